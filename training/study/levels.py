"""Accuracy over granularity, for each student: which level is best, how sure that is, and whether finer is better."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial
from typing import TYPE_CHECKING, Final

import numpy as np

from training.study.twoway import difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES: Final = 4000
PERMUTATIONS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Curve:
    """What a curve over levels says."""

    best: int
    """Level with the highest mean accuracy."""
    how_often: dict[int, float]
    """Level -> share of bootstrap resamples, over problems and over seeds, in which it is the best one."""
    over_finest: tuple[float, float, float]
    """Best minus finest: mean and 95 % interval. The best was chosen by the same figures, so it flatters."""
    over_coarsest: tuple[float, float, float]
    trend: float
    """Rank correlation (Spearman) of level and accuracy, over arms and seeds."""
    trend_p: float
    """How often a random order of the levels gives as strong a trend, up or down; exact for up to six levels."""


def curve(levels: Mapping[int, NDArray[np.float64]], seed: int = 0) -> Curve:
    """Look at the curve of one student.

    Args:
        levels: level -> float [seeds, problems], 0..1, the same problems in all.
        seed: of resampling.
    """
    order = sorted(levels)
    tables = [levels[level] for level in order]
    means = np.array([table.mean() for table in tables])
    best = order[int(means.argmax())]
    trend, p = _trend(tables, seed)
    return Curve(
        best=best,
        how_often=dict(zip(order, _best_shares(tables, seed), strict=True)),
        over_finest=difference(levels[order[-1]], levels[best]),
        over_coarsest=difference(levels[order[0]], levels[best]),
        trend=trend,
        trend_p=p,
    )


def _best_shares(tables: list[NDArray[np.float64]], seed: int) -> list[float]:
    """Problems are drawn for all levels together, seeds for each level apart; a tie is shared."""
    dice = np.random.default_rng(seed)
    wins = np.zeros(len(tables))
    problems = tables[0].shape[1]
    for _ in range(RESAMPLES):
        weights = np.bincount(dice.integers(0, problems, problems), minlength=problems)
        scores = np.array([table[dice.integers(0, len(table), len(table))].mean(axis=0) @ weights for table in tables])
        top = scores >= scores.max() - 1e-9
        wins += top / top.sum()
    return [float(share) for share in wins / RESAMPLES]


def _trend(tables: list[NDArray[np.float64]], seed: int) -> tuple[float, float]:
    """Spearman's rank correlation, and its p under permutations of the levels."""
    scores = [table.mean(axis=1) for table in tables]
    y = _ranks(np.concatenate(scores))
    if np.ptp(y) == 0 or len(tables) < 3:
        return 0.0, 1.0
    counts = [len(one) for one in scores]

    def correlation(places: NDArray[np.int64] | tuple[int, ...]) -> float:
        x = _ranks(np.repeat(np.asarray(places, float), counts))
        return float(np.corrcoef(x, y)[0, 1])

    found = correlation(np.arange(len(tables)))
    if factorial(len(tables)) <= PERMUTATIONS:
        others = [correlation(places) for places in itertools.permutations(range(len(tables)))]
    else:
        dice = np.random.default_rng(seed)
        others = [found, *(correlation(dice.permutation(len(tables))) for _ in range(PERMUTATIONS))]
    return found, float(np.mean(np.abs(others) >= abs(found) - 1e-12))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; ties get their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Rank correlation; None where one side does not vary or there are fewer than three pairs."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])
