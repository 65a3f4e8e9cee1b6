"""Comparing teachers in a corpus of 1,000,000 traces: marks, figures, pictures, Markdown.

Timed: `cotmill report` on a corpus without marks, and again when the marks are there. Not: making the corpus.
The traces are made up, three teachers at six levels, as long as those of grade-school problems; or, with a
corpus as argument, its traces again and again. Peak memory is that of the whole process, making the corpus
(a shard at a time) included.
Targets: 120 s, 2 GiB.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import polars as pl

from benchmarks.measure import finish
from builders.corpus import Corpus
from builders.schema import TRACES
from cotmill import api

ROWS, SHARD = 1_000_000, 16_384
TEACHERS, LEVELS = ("ant", "bee", "cow"), range(1, 7)


def made_up(start: int, count: int) -> pl.DataFrame:
    """Traces number `start` and on: for every problem one per teacher and level, level n in about n sentences."""
    arms = len(TEACHERS) * len(LEVELS)
    rows = []
    for number in range(start, start + count):
        problem, arm = divmod(number, arms)
        teacher, level = TEACHERS[arm % len(TEACHERS)], arm // len(TEACHERS) + 1
        a, b = problem % 97 + 2, problem % 89 + 3
        steps = [
            f"{k}. Box {k} of {a} holds {b + k} coins, and {b + k} + {k} = {b + 2 * k}." for k in range(1, level + 2)
        ]
        text = f"To find out how many there are, look at each box. {' '.join(steps)} The answer is {a + b}."
        rows.append((f"{number:032x}", f"{problem:032x}", teacher, level, text, str(a + b)))
    frame = pl.DataFrame(
        rows, orient="row", schema=["trace_id", "problem_id", "teacher", "granularity", "response", "gold_value"]
    )
    return frame.with_columns(
        answer="response",
        gold="gold_value",
        question=pl.lit("There are some boxes with 12 coins and 7 more. How many coins are there?"),
        answer_type=pl.lit("number"),
        format=pl.lit("original"),
        status=pl.lit("ok"),
        sample_index=pl.lit(0),
        prompt_tokens=pl.lit(40),
        completion_tokens=pl.col("response").str.len_chars() // 4,
    )


def repeated(traces: pl.DataFrame, start: int, count: int) -> pl.DataFrame:
    """Rows of a corpus again and again; each round is about problems of its own."""
    rows = pl.DataFrame({"number": range(start, start + count)})
    round_, row = pl.col("number") // traces.height, pl.col("number") % traces.height
    picked = traces[rows.select(row).to_series()]
    ids = rows.select(
        trace_id=pl.col("number").cast(pl.String).str.zfill(32), round=round_.cast(pl.String).str.zfill(4)
    )
    return picked.with_columns(ids["trace_id"], problem_id=picked["problem_id"].str.head(28) + ids["round"])


def make_corpus(folder: Path, source: str | None) -> Corpus:
    corpus = Corpus.create(folder)
    (folder / "traces").mkdir()
    traces = Corpus(source).traces().collect() if source else None
    for number, start in enumerate(range(0, ROWS, SHARD)):
        count = min(SHARD, ROWS - start)
        rows = made_up(start, count) if traces is None else repeated(traces, start, count)
        full = pl.concat([TRACES.to_frame(), rows.cast({k: TRACES[k] for k in rows.columns})], how="diagonal")
        full.select(TRACES.names()).write_parquet(folder / "traces" / f"part-{number:06d}.parquet")
    return corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", help="repeat its traces instead of making some up")
    source = parser.parse_args().corpus
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder) / "corpus", source)
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            said = api.report(corpus.path, Path(folder) / "report")
            seconds.append(round(time.perf_counter() - start, 1))
    assert said["rows"] == ROWS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    result = {"rows": ROWS, "arms": len(said["arms"]), "first_s": seconds[0], "again_s": seconds[1]}
    print(f"{ROWS:,} traces: {seconds[0]:.0f} s, again {seconds[1]:.0f} s, peak {peak:.2f} GiB")
    finish("reporting", {**result, "peak_gib": round(peak, 2)})


if __name__ == "__main__":
    main()
