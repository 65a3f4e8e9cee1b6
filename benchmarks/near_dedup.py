"""Near deduplication of traces: rows per second end to end, and what it finds beside brute force and other packages.

    python -m benchmarks.near_dedup CORPUS [--rows N] [--sample 5000] [--peer-rows 20000] [--no-peers]

Timed for us: `near_trace` on a corpus, from reading Parquet to the marks in memory, with its defaults. Quality: on a
sample that is dense in near copies and near misses (half of it whole problems, half runs of neighbours in alphabetical
order of the texts), against exact Jaccard of all pairs by Python's own sets; golds set aside. Recall: of the pairs that
reach the threshold, the share in one group. Precision: of the pairs in one group, the share that brute force has in one
component; those that only a chain holds together are counted beside it. Peers: datatrove's four stages and rensa, with
the same n-gram, bands and rows, in an environment made for them under the user's cache; reading for datatrove is from
JSON lines, as it does. Targets: 15,000 rows/s, recall 0.95, precision 0.99.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import near_dedup_peers
from benchmarks.measure import finish, summary
from builders.corpus import Corpus
from curation.duplicates.minhash import bands_for
from curation.duplicates.near import NearTrace
from curation.text.steps import trace_text

PEERS = ("datatrove[io,processing]", "orjson", "spacy", "rensa")
NAMES = ("datatrove", "rensa")
RUN = 250
"""Neighbours of one run."""


def measure_ours(traces: pl.LazyFrame, repeats: int) -> tuple[dict[str, Any], pl.DataFrame]:
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        marks = NearTrace().mark_corpus(traces)
        rates.append(marks.height / (time.perf_counter() - start))
    return summary(rates), marks


def draw(traces: pl.LazyFrame, size: int) -> pl.DataFrame:
    """Traces for the comparison with brute force."""
    texts = traces.select("trace_id", "problem_id", text=trace_text()).drop_nulls("text").collect()
    problems = texts["problem_id"].unique(maintain_order=True).sample(fraction=1, shuffle=True, seed=0)
    order = pl.DataFrame({"problem_id": problems}).with_row_index("place")
    whole = texts.join(order, on="problem_id").sort("place", "trace_id").head(size // 2).drop("place")
    rest = texts.join(whole, on="trace_id", how="anti").sort("text", "trace_id")
    runs = np.random.default_rng(0).choice(max(1, rest.height // RUN), size=-(-size // 2 // RUN), replace=False)
    return pl.concat([whole, *(rest.slice(run * RUN, RUN) for run in runs)]).head(size)


def brute_force(texts: list[str], ngram: int, threshold: float) -> np.ndarray:
    """Bool [texts, texts]: which pairs reach the threshold."""
    posts: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sets = []
    for row, text in enumerate(texts):
        said = re.findall(r"[^\W_]+", text.lower())
        sets.append({tuple(said[i : i + ngram]) for i in range(max(len(said) - ngram + 1, 1))})
        for shingle in sets[-1]:
            posts[shingle].append(row)
    sizes, similar = np.array([len(s) for s in sets]), np.zeros((len(texts), len(texts)), bool)
    for row, own in enumerate(sets):
        shared = np.bincount(np.concatenate([posts[shingle] for shingle in own]), minlength=len(texts))
        similar[row] = shared >= threshold * (sizes + sizes[row] - shared)
    np.fill_diagonal(similar, False)
    return similar


def closure(similar: np.ndarray) -> np.ndarray:
    """Int [texts]: the least member of each component."""
    parts = np.full(len(similar), -1)
    for seed in range(len(similar)):
        front = [seed] if parts[seed] < 0 else []
        while front:
            row = front.pop()
            if parts[row] < 0:
                parts[row] = seed
                front += np.flatnonzero(similar[row] & (parts < 0)).tolist()
    return parts


def quality(sample: pl.DataFrame, made: NearTrace) -> dict[str, Any]:
    unknown = {name: pl.lit(None, pl.String).alias(name) for name in ("gold", "gold_value", "reasoning", "answer")}
    rows = sample.select("trace_id", "problem_id", pl.col("text").alias("response"), *unknown.values())
    marks = sample.select("trace_id").join(made.mark_corpus(rows.lazy()), on="trace_id", maintain_order="left")
    ours = marks["near_trace.group"].rank("dense").to_numpy()
    similar = brute_force(sample["text"].to_list(), made.ngram, made.threshold)
    theirs = closure(similar)
    upper = np.triu(np.ones_like(similar), 1)
    together, truly = (ours[:, None] == ours) & upper, (theirs[:, None] == theirs) & upper
    pairs = int((similar & upper).sum())
    return {
        "texts": sample.height,
        "similar_pairs": pairs,
        "recall": round(float((similar & together).sum() / max(1, pairs)), 5),
        "pairs_in_groups": int(together.sum()),
        "precision": round(float((together & truly).sum() / max(1, together.sum())), 5),
        "held_by_a_chain_only": round(float((together & ~similar).sum() / max(1, together.sum())), 5),
        "kept": len(np.unique(ours)),
        "kept_by_brute_force": len(np.unique(theirs)),
    }


def peer_python() -> Path:
    """The interpreter of an environment that holds the peers; made once."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cotmill" / "bench-near-dedup"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        print(f"installing {', '.join(PEERS)} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=True, stdout=sys.stderr)
        (home / "complete").touch()
    return python


def measure_peers(texts: pl.DataFrame, made: NearTrace, repeats: int) -> dict[str, Any]:
    python = peer_python()
    ask = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    versions = json.loads(subprocess.check_output([python, "-c", ask, *NAMES]))
    said: dict[str, Any] = {}
    for name in NAMES:
        results = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder) / "texts.jsonl"
                texts.select("text", id="trace_id").write_ndjson(source)
                numbers = map(str, (made.ngram, *bands_for(made.threshold)))
                command = [str(python), near_dedup_peers.__file__, name, str(source), folder, *numbers]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
                results.append(json.loads(done.stdout.splitlines()[-1]))
        rates = summary([texts.height / result.pop("seconds") for result in results])
        said[name] = {"version": versions[name], "rows_per_s": rates, **results[0]}
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--rows", type=int, help="the first so many traces; default: all")
    parser.add_argument("--sample", type=int, default=5_000, help="traces compared with brute force")
    parser.add_argument("--peer-rows", type=int, default=20_000, help="traces given to the peers")
    parser.add_argument("--no-peers", action="store_true", help="install and run nothing else")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    traces, made = Corpus(given.corpus).traces(), NearTrace()
    traces = traces if given.rows is None else traces.head(given.rows)
    ours, marks = measure_ours(traces, given.repeats)
    kept = marks["near_trace.group"].n_unique()
    print(f"{marks.height:,} traces: {ours['median']:,.0f} rows/s, {kept:,} groups")
    found = quality(draw(traces, given.sample), made)
    print(
        f"of {found['similar_pairs']:,} pairs that reach {made.threshold} among {found['texts']:,} texts: recall "
        f"{found['recall']:.4f}, precision {found['precision']:.4f}; kept {found['kept']:,}, by brute force "
        f"{found['kept_by_brute_force']:,}"
    )
    result: dict[str, Any] = {"rows": marks.height, "rows_per_s": ours, "groups": kept, "quality": found}
    if not given.no_peers:
        part = traces.head(given.peer_rows)
        same, few = measure_ours(part, given.repeats)
        texts = part.select("trace_id", text=trace_text()).drop_nulls("text").collect()
        peers = measure_peers(texts, made, given.repeats)
        for name, said in peers.items():
            said["ratio"] = round(same["median"] / said["rows_per_s"]["median"], 1)
            rest = {key: said[key] for key in ("kept", "shares_a_band") if key in said}
            print(
                f"{name} {said['version']} on {texts.height:,}: {said['rows_per_s']['median']:,.0f} rows/s, we "
                f"{same['median']:,.0f}: {said['ratio']:,.1f} times; {rest}"
            )
        result |= {"peer_rows": texts.height, "ours_on_peer_rows": same, "peers": peers}
        result["kept_on_peer_rows"] = few["near_trace.group"].n_unique()
    finish("near_dedup", result)


if __name__ == "__main__":
    main()
