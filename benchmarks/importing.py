"""Importing a JSONL of 1,000,000 traces of 250,000 problems.

Timed: reading, recognising, ids, Parquet; then the same command again, which must add nothing. Not: making the
file. Peak memory is that of the process. One row in a thousand is broken.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import finish
from builders.importing import Options, import_traces

ROWS, PROBLEMS = 1_000_000, 250_000


def make_file(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for i in range(rows):
            problem = i % PROBLEMS
            row = {
                "instruction": f"A shop has {problem} boxes and sells some of them. How many of {problem} are left?",
                "output": f"There are {problem} boxes at first. {'One more is sold. ' * (i % 13)}"
                f"That is {problem} - {i % 7} = {problem - i % 7} ({i}). The answer is {problem - i % 7}.",
                "gold": str(problem),
            }
            file.write('{"instruction": \n' if i % 1000 == 999 else json.dumps(row) + "\n")


def main(rows: int = ROWS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, corpus = Path(folder) / "traces.jsonl", Path(folder) / "corpus"
        make_file(source, rows)
        megabytes = source.stat().st_size / 1e6
        seconds, summaries = [], []
        for _ in range(2):
            start = time.perf_counter()
            summaries.append(import_traces([str(source)], corpus, Options(teacher="shop", granularity=3)))
            seconds.append(time.perf_counter() - start)
    first, again = summaries
    assert (first["rows"], again["imported"]) == (rows, 0)
    assert first["imported"] + first["duplicated"] + sum(first["unimported"].values()) == rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    result = {
        "rows": rows,
        "megabytes": round(megabytes),
        "imported": first["imported"],
        "rows_per_s": round(rows / seconds[0]),
        "again_rows_per_s": round(rows / seconds[1]),
        "peak_gib": round(peak, 2),
    }
    print(f"{result['rows_per_s']:,} rows/s, again {result['again_rows_per_s']:,} rows/s, peak {peak:.2f} GiB")
    finish("importing", result)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
