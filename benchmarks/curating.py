"""The whole engine on a million traces: mark, decide, write; again after 1 % more; and how it grows.

    python -m benchmarks.million DATA_DIR MILLION --rows 1000000
    python -m benchmarks.curating DATA_DIR MILLION [--more FOUR_MILLION]

The recipe is recipes/curation/default.yaml: verification, every mark for trust, exact and near duplicates,
decontamination, selection, writing; no language model. Each run is a process of its own, `cotmill curate` as a user
starts it; its peak memory is that of the process and those it started. The corpus is copied first (hard links), so that
its marks do not stay.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.measure import finish, user_environment
from curation.passes import is_whole, parse_pass

RECIPE = Path(__file__).parent.parent / "recipes" / "curation" / "default.yaml"


def linked(corpus: Path, folder: Path) -> Path:
    """The corpus without its marks, its files shared."""
    shutil.copytree(corpus, folder, copy_function=os.link, ignore=shutil.ignore_patterns("marks", ".lock"))
    return folder


def curate(corpus: Path, out: Path, against: list[str]) -> dict[str, Any]:
    """One `cotmill curate`: its summary, seconds and peak memory."""
    said = f"curate.passes.10.decontaminate.against=[{', '.join(map(str, against))}]"
    command = [sys.executable, "-m", "benchmarks.curating", "--one", ".", str(corpus), "--out", str(out), "--set", said]
    done = subprocess.run(command, env=user_environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def tests_of(data: Path, folder: Path) -> list[str]:
    """The test questions of GSM8K and of SVAMP: those of all 1,000 that were not trained on."""
    trained = {row["instruction"].strip() for row in json.loads((data / "svamp" / "SVAMP_only_ans.json").read_bytes())}
    rows = map(json.loads, (data / "svamp" / "svamp_all_1000.jsonl").read_text().splitlines())
    asked = [f"{row['Body'].rstrip()} {row['Question']}" for row in rows]
    asked = [question for question in asked if question not in trained]
    file = folder / "svamp_test.jsonl"
    file.write_text("\n".join(json.dumps({"question": question}) for question in asked))
    return [str(data / "gsm8k" / "test.jsonl"), str(file)]


def one(corpus: Path, out: Path, said: str) -> None:
    from cotmill import api

    start = time.perf_counter()
    summary = api.curate(corpus, RECIPE, out, overrides=[said])
    seconds = time.perf_counter() - start
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({**summary, "wall": seconds, "peak_gib": peak / 1024**2}))


def add_rows(corpus: Path, share: float) -> int:
    """A shard of new traces: known texts under new ids, as a teacher's further samples would be."""
    shards = sorted((corpus / "traces").glob("*.parquet"))
    rows = pl.scan_parquet(shards).select(pl.len()).collect().item()
    new = pl.scan_parquet(shards).head(int(rows * share)).collect()
    new = new.with_columns(trace_id=pl.col("trace_id").str.reverse(), sample_index=pl.col("sample_index") + 1000)
    new.write_parquet(corpus / "traces" / f"part-{len(shards):06d}.parquet")
    return new.height


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curating", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="holds the test questions: gsm8k/, svamp/")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--more", type=Path, metavar="CORPUS", help="a larger corpus, for how time and memory grow")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--set", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.one:
        one(said.corpus, said.out, said.set)
        return
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=said.corpus.parent) as scratch:
        against = tests_of(said.data, Path(scratch))
        corpus = linked(said.corpus, Path(scratch) / "corpus")
        first = curate(corpus, Path(scratch) / "dataset", against)
        told("first", first)
        shutil.rmtree(Path(scratch) / "dataset")
        again = curate(corpus, Path(scratch) / "dataset", against)
        told("again, marks there", again)
        new = add_rows(corpus, 0.01)
        second = curate(corpus, Path(scratch) / "second", against)
        told(f"with {new:,} more", second)
        whole = {made.name for made in map(parse_pass, PASSES) if is_whole(made)}
        local = [sum(s for name, s in run["marks"]["seconds"].items() if name not in whole) for run in (first, second)]
        result |= {"first": figures(first), "again": figures(again), "one_percent_more": figures(second)}
        result["local_passes_second_of_first"] = round(local[1] / local[0], 4)
        print(f"local passes after 1 % more: {local[1] / local[0]:.1%} of the first time")
    if said.more:
        with tempfile.TemporaryDirectory(dir=said.more.parent) as scratch:
            against = tests_of(said.data, Path(scratch))
            grown = curate(linked(said.more, Path(scratch) / "corpus"), Path(scratch) / "dataset", against)
        told("more", grown)
        times = {key: round(grown[key] / first[key], 2) for key in ("rows", "wall", "peak_gib")}
        result |= {"more": figures(grown), "growth": times}
        print(f"{times['rows']} x the rows: {times['wall']} x the time, {times['peak_gib']} x the memory")
    finish("curating", result)


PASSES = ("exact_question", "exact_trace", "near_trace")
"""Whole-corpus passes of the recipe."""


def told(what: str, run: dict[str, Any]) -> None:
    marks = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run["marks"]["seconds"].items())
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run["seconds"].items())
    size = f"{run['rows']:,} rows, {run['kept']:,} kept"
    print(
        f"{what}: {size}, in {run['wall']:.1f} s, peak {run['peak_gib']:.2f} GiB",
        f"\n  seconds: {phases}\n  passes: {marks}",
        flush=True,
    )


def figures(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "rows": run["rows"],
        "kept": run["kept"],
        "seconds": round(run["wall"], 1),
        "peak_gib": round(run["peak_gib"], 2),
        "passes": {name: round(seconds, 1) for name, seconds in run["marks"]["seconds"].items()},
    }


if __name__ == "__main__":
    main()
