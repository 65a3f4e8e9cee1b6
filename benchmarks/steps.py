"""Cutting traces into steps and counting all that `Steps` counts, on 1,000,000 traces, streaming.

    python -m benchmarks.steps DATA_DIR [--rows 1000000] [--sample 2000]

DATA_DIR is searched for alpaca pairs (`*.json`: `output`) and GSM8K (`*.jsonl`: `answer`); what is found is repeated to
`--rows` and written to one Parquet file first, which is not timed. Timed: reading it, marking, writing the marks.
Peak memory is that of a process which does only this. Target: 40,000 rows/s on 2 cores.

Beside it, where installed: pysbd, and nltk's Punkt, trained on the sample itself as its model is a download. They only
find sentences; the share of identical cuts is that of our cuts on which both agree, over all cuts of either.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.measure import finish, summary
from curation.passes import make_pass
from curation.text.steps import cut

ROW_GROUP = 16_384


def texts_in(directory: Path) -> pl.Series:
    found = [row["output"] for file in sorted(directory.rglob("*.json")) for row in json.loads(file.read_bytes())]
    for file in sorted(directory.rglob("*.jsonl")):
        rows = map(json.loads, file.read_text().splitlines())
        found += [row["answer"] for row in rows if "answer" in row]
    if not found:
        raise SystemExit(f"error: no traces under {directory}")
    return pl.Series("response", found).sample(fraction=1.0, shuffle=True, seed=0)


def write_traces(texts: pl.Series, rows: int, file: Path) -> None:
    repeated = texts.gather(pl.int_range(rows, eager=True) % len(texts))
    frame = repeated.to_frame().with_columns(answer="response", reasoning=pl.lit(None, pl.String))
    frame.write_parquet(file, row_group_size=ROW_GROUP)


def mark_all(file: Path, out: Path, queue: multiprocessing.Queue) -> None:
    start = time.perf_counter()
    marked = make_pass("steps").mark(pl.scan_parquet(file)).select("^steps[.].*$")
    marked.sink_parquet(out)
    seconds = time.perf_counter() - start
    queue.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def measure(file: Path, rows: int, repeats: int) -> dict:
    """Each run in a process of its own: its peak memory is its own, and nothing is warm."""
    context, rates, peaks = multiprocessing.get_context("spawn"), [], []
    for _ in range(repeats):
        queue = context.Queue()
        process = context.Process(target=mark_all, args=(file, file.with_suffix(".marks"), queue))
        process.start()
        seconds, peak = queue.get()
        process.join()
        rates.append(rows / seconds)
        peaks.append(peak)
    return {"rows_per_s": summary(rates), "peak_mib": round(max(peaks))}


def places(text: str, pieces: list[str]) -> set[int]:
    """Where a text is cut: the offset of the first character of each piece but the first."""
    found, at = set(), 0
    for piece in map(str.strip, pieces):
        if piece and (start := text.find(piece, at)) >= 0:
            found.add(start)
            at = start + len(piece)
    return found - {min(found, default=0)}


def compare(texts: list[str], theirs: Callable[[str], list[str]]) -> dict:
    start = time.perf_counter()
    cuts = [theirs(text) for text in texts]
    seconds = time.perf_counter() - start
    ours = cut(pl.Series(texts)).to_list()
    pairs = [(places(text, a), places(text, b)) for text, a, b in zip(texts, ours, cuts, strict=True)]
    same, either = sum(len(a & b) for a, b in pairs), sum(len(a | b) for a, b in pairs)
    whole = sum(a == b for a, b in pairs) / len(texts)
    return {
        "rows_per_s": round(len(texts) / seconds),
        "same_cuts": round(same / either, 3),
        "same_rows": round(whole, 3),
    }


def others(texts: list[str]) -> dict:
    found = {}
    try:
        import pysbd

        found["pysbd"] = compare(texts, pysbd.Segmenter(language="en", clean=False).segment)
    except ImportError:
        print("pysbd is not installed: left out")
    try:
        from nltk.tokenize.punkt import PunktSentenceTokenizer, PunktTrainer

        trained = PunktSentenceTokenizer(PunktTrainer("\n".join(texts)).get_params())
        found["nltk (Punkt trained on the sample)"] = compare(texts, trained.tokenize)
    except ImportError:
        print("nltk is not installed: left out")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    texts = texts_in(given.data)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "traces.parquet"
        write_traces(texts, given.rows, file)
        result = measure(file, given.rows, given.repeats)
    characters = round(float(texts.str.len_chars().mean()))
    result |= {
        "rows": given.rows,
        "characters_per_row": characters,
        "beside": others(texts.head(given.sample).to_list()),
    }
    rate, peak = result["rows_per_s"]["median"], result["peak_mib"]
    print(f"{given.rows:,} traces of {characters} characters: {rate:,.0f} rows/s, peak {peak:,} MiB")
    finish("steps", result)


if __name__ == "__main__":
    main()
