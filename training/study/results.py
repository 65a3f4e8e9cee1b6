"""The table of a study: a row for each arm and seed, and one for each arm over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from builders.disk import replacing
from curation.comparing.intervals import wilson_interval
from training.study.config import CELL, StudyConfig
from training.study.teach import verdicts
from training.study.twoway import mean_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from polars._typing import SchemaDict

FILE: Final = "results.parquet"

_ROW: SchemaDict = {
    "arm": pl.String,  # id, the name of its directory below `arms/`
    "dataset": pl.String,
    "teacher": pl.String,  # null of teacher, granularity and format: a control, or the traces' own
    "granularity": pl.Int8,
    "format": pl.String,
    "student": pl.String,
    "size": pl.Int64,  # problems asked for; null: all common ones
    "objective": pl.String,
    "seed": pl.Int64,
    "control": pl.String,  # answer_only, untrained; null: an arm with traces
    "rows": pl.Int64,
    "n": pl.Int64,  # problems with a gold answer
    "correct": pl.Int64,
    "accuracy": pl.Float64,
    "low": pl.Float64,  # Wilson, 95 %: of this student on such problems; seeds are not in it
    "high": pl.Float64,
    "unparseable": pl.Float64,  # share of n
    "truncated": pl.Float64,
    "answer_tokens": pl.Float64,  # mean
    "steps": pl.Int64,
    "train_tokens": pl.Int64,  # prompts included, over all epochs
    "first_loss": pl.Float64,
    "last_loss": pl.Float64,
    "train_seconds": pl.Float64,
    "test_seconds": pl.Float64,
    "seconds": pl.Float64,  # all of the arm, in the process that finished it
}
RESULTS: Final = pl.Schema(_ROW)
"""Columns of results.parquet."""

ARM: Final = (*CELL, "control", "student", "size", "objective")
"""What arms differ in, apart from the seed."""


def table(done: Sequence[Mapping[str, Any]], study: StudyConfig) -> pl.DataFrame:
    """RESULTS of finished arms, in the order of the study's students and levels."""
    rows = []
    for arm in done:
        tested, taught = arm["evaluation"], arm["training"] or {}
        n = tested["n"]
        low, high = wilson_interval(tested["correct"], n)
        rows.append(
            {
                **arm,
                **{key: tested[key] for key in ("n", "correct")},
                "arm": arm["id"],
                "accuracy": tested["correct"] / n,
                "low": low,
                "high": high,
                "unparseable": tested["unparseable"] / n,
                "truncated": tested["truncated_share"],
                "answer_tokens": tested["mean_tokens"],
                "test_seconds": tested["seconds"],
                "train_tokens": taught.get("tokens"),
                "train_seconds": taught.get("seconds"),
                **{key: taught.get(key) for key in ("steps", "first_loss", "last_loss")},
            }
        )
    frame = pl.DataFrame(rows, schema=RESULTS, strict=False)
    order = pl.col("student").cast(pl.Enum(list(study.students)))
    return frame.sort("dataset", order, "objective", "size", "control", "teacher", "format", "granularity", "seed")


def write(frame: pl.DataFrame, out: Path) -> None:
    """Write `out/results.parquet`."""
    with replacing(out / FILE) as temporary:
        frame.write_parquet(temporary)


def over_seeds(frame: pl.DataFrame, out: Path) -> pl.DataFrame:
    """One row for each arm: ARM, rows, seeds, n, accuracy (mean), sd (over seeds), low, high, train_tokens,
    answer_tokens, unparseable, truncated.

    Args:
        frame: RESULTS.
        out: directory of the study, for the verdicts by problem.
    """
    made = []
    for key, seeds in frame.group_by(ARM, maintain_order=True):
        right = matrix(seeds["arm"].to_list(), out)
        low, high = mean_interval(right)
        made.append(
            dict(zip(ARM, key, strict=True))
            | {
                "rows": seeds["rows"][0],
                "seeds": seeds.height,
                "n": seeds["n"][0],
                "accuracy": seeds["accuracy"].mean(),
                "sd": seeds["accuracy"].std(),
                "low": low,
                "high": high,
                **{name: seeds[name].mean() for name in ("train_tokens", "answer_tokens", "unparseable", "truncated")},
            }
        )
    kinds = {name: RESULTS[name] for name in ARM}
    more = dict.fromkeys(("accuracy", "sd", "low", "high", "train_tokens", "answer_tokens", "unparseable", "truncated"))
    return pl.DataFrame(
        made,
        schema={**kinds, "rows": pl.Int64, "seeds": pl.Int64, "n": pl.Int64, **dict.fromkeys(more, pl.Float64)},
        strict=False,
    )


def matrix(arms: Sequence[str], out: Path) -> NDArray[np.float64]:
    """float64 [seeds, problems]: whether each problem was answered right; problems in the order of their ids."""
    return np.stack([verdicts(out / "arms" / arm / "evaluation")["right"].to_numpy() for arm in arms])
