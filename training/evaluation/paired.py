"""Two evaluations on the same problems: what differs, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import polars as pl

from builders.errors import CotmillError
from training.evaluation.place import DONE, RESULTS
from training.stats import bootstrap_mean, mcnemar

SHOWN: Final = 60
"""Characters of a question that a message quotes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A. Shares are in 0..1; None: there is no problem to compare on."""

    n: int
    """Problems that both were asked and that have a gold answer."""
    left_out: tuple[int, int]
    """Problems of A and of B that the other was not asked."""
    accuracy_a: float | None
    accuracy_b: float | None
    """On the common problems."""
    difference: float
    """B minus A, in -1..1."""
    interval: tuple[float, float]
    """95 %, bootstrap over problems: both answers to a problem are drawn together."""
    both: int
    only_a: int
    """Problems that A got right and B did not."""
    only_b: int
    neither: int
    p: float
    """Two-sided, exact McNemar test on `only_a` and `only_b`."""
    tested: str
    """What these four count: `answers`, or with several samples `majority answers`."""
    engines: tuple[str, str]
    """Other versions may answer otherwise."""


def compare_evaluations(a: Path, b: Path, *, common: bool = False) -> Comparison:
    """Compare two evaluations problem by problem.

    Args:
        a: directory that `evaluate` wrote; the one to start from.
        b: likewise.
        common: compare on the problems that both have where one has more.

    Raises:
        CotmillError: a directory holds no finished evaluation, or they asked different problems and `common` is false,
            or they have none in common, or were judged by different rules.
    """
    first, second = _results(a), _results(b)
    said = [orjson.loads((folder / DONE).read_bytes()) for folder in (a, b)]
    if said[0].get("rules") != said[1].get("rules"):
        raise CotmillError(
            f"{a} and {b} were judged by different rules (evaluate.fallback, or another version of cotmill).\nJudge"
            " both alike: repeat the commands that made them with --overwrite; no question is asked again"
        )
    left_out = (_missing(first, second), _missing(second, first))
    if any(map(len, left_out)) and not common:
        lines = "\n".join(
            f"  {len(own):,} of {whole.height:,} in {folder} alone, such as {own['question'][0][:SHOWN]!r}"
            for own, whole, folder in zip(left_out, (first, second), (a, b), strict=True)
            if len(own)
        )
        raise CotmillError(
            f"{a} and {b} were asked different problems:\n{lines}\nTest both on the same ones, or compare on those that"
            " they share: --common"
        )
    pairs = first.join(second, on="problem_id", suffix="_b", maintain_order="left")
    if pairs.is_empty():
        raise CotmillError(f"{a} and {b} have no problem with a gold answer in common, so there is nothing to compare")
    won_a, won_b = pairs["verdict"] == "correct", pairs["verdict_b"] == "correct"
    differences = pairs["rate_b"] - pairs["rate"]
    only_a, only_b = int((won_a & ~won_b).sum()), int((won_b & ~won_a).sum())
    several = bool((pairs["samples"] > 1).any() or (pairs["samples_b"] > 1).any())
    return Comparison(
        n=pairs.height,
        left_out=(len(left_out[0]), len(left_out[1])),
        accuracy_a=float(pairs["rate"].mean()),  # type: ignore[arg-type]
        accuracy_b=float(pairs["rate_b"].mean()),  # type: ignore[arg-type]
        difference=float(differences.mean()),  # type: ignore[arg-type]
        interval=bootstrap_mean(differences.to_list()),
        both=int((won_a & won_b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~won_a & ~won_b).sum()),
        p=mcnemar(only_a, only_b),
        tested="majority answers" if several else "answers",
        engines=(str(said[0].get("engine")), str(said[1].get("engine"))),
    )


def _results(folder: Path) -> pl.DataFrame:
    """problem_id, question, verdict, samples, rate of the problems with a gold answer."""
    if not (folder / DONE).is_file() or not (folder / RESULTS).is_file():
        raise CotmillError(f"{folder} holds no finished evaluation ({DONE}). Make one: cotmill evaluate")
    rows = pl.read_parquet(folder / RESULTS, columns=["problem_id", "question", "verdict", "samples", "correct"])
    return rows.filter(pl.col("verdict") != "no_gold").with_columns(rate=pl.col("correct") / pl.col("samples"))


def _missing(rows: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return rows.join(other, on="problem_id", how="anti", maintain_order="left")
