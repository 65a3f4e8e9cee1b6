"""What a study will cost, before it costs it: tokens and seconds of each arm, estimated.

Tokens: a digit is one, four other characters are one. Seconds: from arms of the same student that are done; before the
first is, 6 x parameters x tokens (Kaplan et al. 2020, arXiv:2001.08361, section 2.1) at the speed at which NumPy
multiplies matrices here. Where the parameters are not known, or on a GPU, seconds are unknown until then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from math import ceil
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from builders import machine
from builders.teachers.smollm2 import EMBEDDED
from training.study.arms import Arm, Arms
from training.study.config import StudyConfig
from training.study.jobs import DONE
from training.study.run import finished, is_done

STARTING: Final = 5.0
"""Seconds an arm takes besides: loading, saving, testing. A guess, until an arm is done."""


def estimate(study: StudyConfig, made: Arms, out: Path) -> list[dict[str, Any]]:
    """A line for each arm: its factors, rows, `tokens` and `seconds` (null: unknown) of training, `done`.

    Args:
        study: what is asked for.
        made: its arms.
        out: directory of the study; arms that are done there tell how fast students train.
    """
    lengths: dict[str, float] = {}
    lines = []
    for arm in made.arms:
        if arm.data not in lengths:
            lengths[arm.data] = _mean_tokens(made.rows(arm), arm.control)
        tokens = round(_visits(study, arm) * lengths[arm.data])
        lines.append({**arm.factors(), "rows": arm.rows, "tokens": tokens, "done": is_done(arm, out)})
    speed = _speeds(study, (line["student"] for line in lines), out)
    for line in lines:
        rate, start = speed[line["student"]]
        line["seconds"] = None if rate is None else round(start + line["tokens"] / rate, 1)
    return lines


def _mean_tokens(rows: pl.DataFrame, control: str | None) -> float:
    if rows.is_empty():
        return 0.0
    said = pl.col("answer") if control else pl.col("completion").list.first().struct.field("content")
    texts = rows.head(500).select(pl.col("prompt").list.last().struct.field("content") + " " + said).to_series()
    digits = texts.str.count_matches(r"\d")
    tokens = digits + (texts.str.len_chars() - digits) / 4
    return float(tokens.sum()) / tokens.len() + (6 if control else 3)


def _visits(study: StudyConfig, arm: Arm) -> int:
    """Rows seen, repetitions included."""
    if arm.control == "untrained":
        return 0
    said = study.training(arm.student, arm.objective, arm.seed, "student").trl
    batch = int(said.get("per_device_train_batch_size", 8)) * int(said.get("gradient_accumulation_steps", 1))
    if (steps := int(said.get("max_steps", -1))) > 0:
        return steps * batch
    return ceil(arm.rows * float(said.get("num_train_epochs", 3)))


def _speeds(study: StudyConfig, names: Iterable[str], out: Path) -> dict[str, tuple[float | None, float]]:
    """Student -> tokens a second, and seconds beside the training."""
    files = sorted((out / "arms").glob(f"*/{DONE}"))
    held = [arm for file in files if (arm := finished(file.parent)) and arm["training"]]
    speeds: dict[str, tuple[float | None, float]] = {}
    flops = None
    for name in dict.fromkeys(names):
        mine = [arm for arm in held if arm["student"] == name]  # with other settings, too: the speed is about the same
        if mine:
            training = sum(arm["training"]["seconds"] for arm in mine)
            start = sum(arm["seconds"] - arm["training"]["seconds"] for arm in mine) / len(mine)
            speeds[name] = (sum(arm["training"]["tokens"] for arm in mine) / max(training, 1e-3), max(0.0, start))
            continue
        size = None if machine.gpus() else _parameters(study, name)
        if size is not None and flops is None:
            flops = _machine_flops()
        speeds[name] = (None if size is None or flops is None else flops / (6 * size), STARTING)
    return speeds


def _parameters(study: StudyConfig, name: str) -> int | None:
    """Weights of a student; None where that takes more than a look at its files."""
    chosen = study.students[name]
    if chosen.scratch:
        return chosen.scratch.parameters()
    if chosen.model == EMBEDDED:
        return 135_000_000
    files = list(Path(chosen.model or "").expanduser().glob("*.safetensors"))
    return sum(file.stat().st_size for file in files) // 4 or None


def _machine_flops() -> float:
    """Floating-point operations a second in a product of two matrices of 512 x 512, float32."""
    side = 512
    matrix = np.ones((side, side), np.float32)
    best = float("inf")
    for _ in range(30):  # the fastest: others may use the machine, too
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best
