"""Near deduplication by other packages; run by `benchmarks.near_dedup` in an environment of their own.

    python near_dedup_peers.py datatrove|rensa TEXTS.jsonl FOLDER NGRAM BANDS ROWS

The output is one line of JSON: seconds, and texts kept or those that share a band with another. Nothing of cotmill is
imported.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from pathlib import Path

TASKS = 2


def by_datatrove(source: Path, folder: Path, ngram: int, bands: int, rows: int) -> dict[str, object]:
    """Its four stages, in two processes, as its documentation puts them together."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline import dedup
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=ngram, num_buckets=bands, hashes_per_bucket=rows)
    lines, parts = source.read_text().splitlines(), folder / "in"
    parts.mkdir()
    for task in range(TASKS):
        (parts / f"{task}.jsonl").write_text("\n".join(lines[task::TASKS]) + "\n")
    sigs, buckets, remove, out = (str(folder / name) for name in ("sigs", "buckets", "remove", "out"))

    def run(*steps: object, tasks: int, workers: int = TASKS) -> None:
        logs = str(folder / f"log{len(list(folder.iterdir()))}")
        LocalPipelineExecutor(pipeline=list(steps), tasks=tasks, workers=workers, logging_dir=logs).run()

    start = time.perf_counter()
    run(JsonlReader(str(parts)), dedup.MinhashDedupSignature(sigs, config=config), tasks=TASKS)
    run(dedup.MinhashDedupBuckets(sigs, buckets, config=config), tasks=bands)
    run(dedup.MinhashDedupCluster(buckets, remove, config=config), tasks=1, workers=1)
    run(JsonlReader(str(parts)), dedup.MinhashDedupFilter(remove), JsonlWriter(out, compression=None), tasks=TASKS)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "kept": sum(len(f.read_text().splitlines()) for f in Path(out).glob("*.jsonl"))}


def by_rensa(source: Path, _folder: Path, ngram: int, bands: int, rows: int) -> dict[str, object]:
    """Shingles by Python, all else by its matrix interface. It verifies nothing and has no components."""
    from rensa import RMinHash, RMinHashLSH

    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
    start = time.perf_counter()
    said = [re.findall(r"\w+", text.lower()) for text in texts]
    sets = [[" ".join(w[i : i + ngram]) for i in range(max(len(w) - ngram + 1, 1))] for w in said]
    matrix = RMinHash.digest_matrix_from_token_sets(sets, num_perm=bands * rows, seed=0)
    lsh = RMinHashLSH(threshold=0.8, num_perm=bands * rows, num_bands=bands)
    flags = lsh.query_duplicate_flags_matrix_one_shot(matrix)
    return {"seconds": time.perf_counter() - start, "shares_a_band": sum(flags)}


def main() -> None:
    peer, source, folder, *numbers = sys.argv[1:]
    work = {"datatrove": by_datatrove, "rensa": by_rensa}[peer]
    with contextlib.redirect_stdout(sys.stderr):
        result = work(Path(source), Path(folder), *map(int, numbers))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
