"""One arm: a student taught and tested. The one place where a study touches training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from training.config import EvaluateConfig, TrainConfig
from training.watch import Log

RESULTS: Final = "results.parquet"
"""Of an evaluation, below its directory: a row for each problem."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a training took."""

    model: str
    steps: int
    tokens: int
    """Prompts included, over all epochs."""
    seconds: float
    first_loss: float | None
    last_loss: float | None


@dataclass(frozen=True, slots=True)
class Marks:
    """What an evaluation gave."""

    n: int
    correct: int
    unparseable: int
    truncated_share: float
    mean_tokens: float | None
    """Of an answer."""
    seconds: float


def teach(rows: Path, config: TrainConfig, evaluation: EvaluateConfig, out: Path, log: Log) -> Lesson:
    """Train `config.student` on a Parquet file of rows; goes on after a kill.

    Raises:
        CotmillError: see `training.sft.train`.
    """
    from training.sft import train

    made = train(rows, config, out, evaluation=evaluation, overwrite=True, log=log)
    tokens = round(made.tokens * made.epochs)
    return Lesson(str(out / made.model), made.steps, tokens, made.seconds, made.first_loss, made.last_loss)


def test(
    model: str, problems: pl.DataFrame, config: EvaluateConfig, trained_on: list[Path], out: Path, log: Log
) -> Marks:
    """Ask a student every problem; goes on after a kill.

    Raises:
        CotmillError: see `training.evaluate.evaluate`; a problem that was trained on is one.
    """
    from training.evaluate import evaluate

    made = evaluate(model, problems, config, out, trained_on=trained_on, overwrite=True, log=log)
    return Marks(made.n, made.correct, made.unparseable, made.truncated_share, made.mean_tokens, made.seconds)


def verdicts(out: Path) -> pl.DataFrame:
    """`problem_id` and `right` (share of its answers that are correct, 0..1) of a finished evaluation."""
    rows = pl.read_parquet(out / RESULTS, columns=["problem_id", "correct", "samples"]).drop_nulls("correct")
    return rows.select("problem_id", right=pl.col("correct") / pl.col("samples")).sort("problem_id")
