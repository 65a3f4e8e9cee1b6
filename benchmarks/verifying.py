"""Verifying traces with number golds, beside math-verify alone; and whether both say the same.

    python -m benchmarks.verifying CORPUS [--sample 2000]

Timed for us: `cotmill mark CORPUS --pass verify`, which reads the traces from Parquet, extracts answers, compares, and
writes the marks, on all cores. Timed for math-verify: `verify(parse(gold), parse(response))` row by row in one process,
as its users write it, its timeouts off (they cost it time); reading is not counted. Beside it the same in as many
processes as cores. Target: 100 times math-verify alone, and the same verdict on each row of the sample that math-verify
finds an answer in; where not, the row is listed with the end of its text, as somebody has to look who is right.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.curating import linked
from benchmarks.measure import finish, summary
from builders.corpus import Corpus
from builders.machine import cores
from curation.engine.marks import mark, marks_file
from curation.engine.workers import Failure, TimedOut, Workers
from curation.verification.verify import Verify

SEED = 0
TAIL = 160
"""Characters of a response that are printed."""
WALL = 10.0


def by_math_verify(pair: tuple[str, str]) -> tuple[bool, bool, str]:
    """Whether math-verify finds an answer in the response, whether it equals the gold, and what it read."""
    from math_verify import parse, verify

    gold, response = pair
    wanted, given = parse(gold, parsing_timeout=None), parse(response, parsing_timeout=None)
    return bool(wanted) and bool(given), verify(wanted, given, timeout_seconds=None), str(given)


def quiet() -> None:
    """math-verify warns that its timeouts are off; and its tables are built by the first row."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    by_math_verify(("1", "The answer is $1$."))


def measure_ours(corpus: Path, repeats: int) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Rows per second of marking a copy of the corpus (hard links) that has no marks, and the marks."""
    rates = []
    with tempfile.TemporaryDirectory(dir=corpus.parent) as scratch:
        for number in range(repeats):
            copy = Corpus(linked(corpus, Path(scratch) / str(number)))
            start = time.perf_counter()
            rows = mark(copy, [Verify()]).rows
            rates.append(rows / (time.perf_counter() - start))
        marks = pl.read_parquet([marks_file(copy, Verify(), shard) for shard in copy.shards()])
    return marks, summary(rates)


def measure_theirs(pairs: list[tuple[str, str]], repeats: int) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """Rows per second alone (in `repeats` equal slices of the sample) and on all cores, and what they said."""
    quiet()
    rates, size = [], max(1, len(pairs) // repeats)
    for at in range(0, size * repeats, size):
        part = pairs[at : at + size]
        start = time.perf_counter()
        for pair in part:
            by_math_verify(pair)
        rates.append(len(part) / (time.perf_counter() - start))
    with Workers("benchmarks.verifying:by_math_verify", seconds=WALL, start="benchmarks.verifying:quiet") as workers:
        workers.map(pairs[: 4 * len(cores())])
        start = time.perf_counter()
        said = workers.map(pairs)
        together = len(pairs) / (time.perf_counter() - start)
    return summary(rates), {"rows_per_s": round(together, 1), "processes": len(cores())}, said


def compare(sample: pl.DataFrame, said: list[Any]) -> tuple[Counter[str], list[dict[str, Any]]]:
    """How often which verdicts meet, and the rows where they differ."""
    meetings: Counter[str] = Counter()
    differ = []
    for row, theirs in zip(sample.iter_rows(named=True), said, strict=True):
        if isinstance(theirs, TimedOut | Failure) or not theirs[0]:
            meetings[f"{row['verify.verdict']} | no answer"] += 1
            continue
        verdict = "correct" if theirs[1] else "incorrect"
        meetings[f"{row['verify.verdict']} | {verdict}"] += 1
        if verdict != row["verify.verdict"]:
            ours = {"ours": row["verify.verdict"], "our_answer": row["verify.answer"]}
            differ.append(
                {
                    "trace_id": row["trace_id"],
                    "gold": row["gold_value"],
                    **ours,
                    "theirs": verdict,
                    "their_answer": theirs[2],
                    "text": row["text"][-TAIL:],
                }
            )
    return meetings, differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sample", type=int, default=2_000, help="traces given to math-verify, drawn at random")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    marks, ours = measure_ours(given.corpus, given.repeats)
    traces = (
        Corpus(given.corpus).traces().filter((pl.col("answer_type") == "number") & pl.col("gold_value").is_not_null())
    )
    text = pl.coalesce("answer", "response")
    chosen = marks.sample(min(given.sample, marks.height), seed=SEED, shuffle=True)
    texts = traces.select("trace_id", "gold_value", text.alias("text")).drop_nulls()
    sample = chosen.lazy().join(texts, on="trace_id", maintain_order="left").collect()
    alone, together, said = measure_theirs(sample.select("gold_value", "text").rows(), given.repeats)
    meetings, differ = compare(sample, said)
    for row in differ:
        print(
            f"{row['trace_id']} gold {row['gold']}: we say {row['ours']} ({row['our_answer']}), math-verify "
            f"{row['theirs']} ({row['their_answer']})\n    ... {row['text']!r}"
        )
    answered = sum(count for key, count in meetings.items() if not key.endswith("no answer"))
    ratio = ours["median"] / alone["median"]
    print(
        f"{marks.height:,} traces: {ours['median']:,.0f} rows/s; math-verify alone {alone['median']:,.0f} "
        f"(on {together['processes']} cores {together['rows_per_s']:,.0f}): {ratio:,.0f} times.\n"
        f"Same verdict on {answered - len(differ):,} of {answered:,} sampled traces in which math-verify finds one."
    )
    result = {"rows": marks.height, "sample": sample.height, "ours_rows_per_s": ours, "math_verify_rows_per_s": alone}
    result |= {"math_verify_all_cores": together, "ratio": round(ratio, 1), "answered": answered}
    finish("verifying", {**result, "differ": len(differ), "ours_and_theirs": dict(meetings)})


if __name__ == "__main__":
    main()
