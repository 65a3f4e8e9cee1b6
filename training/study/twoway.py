"""An accuracy over seeds and problems, and the difference of two, with intervals that count both.

An accuracy moves with the seed of training and with the problems that happen to be in the test. With S seeds all tested
on the same P problems, the right-or-wrong table is a two-way layout without replication:

    y[s, p] = mean + seed[s] + problem[p] + rest[s, p]

and the mean has the variance (MS_seed + MS_problem - MS_rest) / (S P), by the usual equations of expected mean squares
(R. L. Brennan 2001, Generalizability Theory, chapter 2, for the random design p x i). Degrees of freedom are
Satterthwaite's (1946, Biometrics Bulletin 2:110-114).
"""

from __future__ import annotations

from math import inf, sqrt
from typing import TYPE_CHECKING

import numpy as np

from curation.comparing.intervals import wilson_interval
from training.study.distributions import t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_interval(right: NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a mean over seeds and problems, within 0..1.

    Args:
        right: float [seeds, problems], 0..1.
        confidence: two-sided.

    Returns:
        Bounds. Where no answer differs from another, Wilson's with as many trials as problems. Of one seed, problems
        alone: then the seeds are not in it.

    >>> low, high = mean_interval(np.array([[1.0, 0, 1, 0], [1, 0, 1, 0]]))
    >>> round(low, 3), round(high, 3)  # mean 0.5, both seeds alike: sqrt(1 / 3 / 4) = 0.289, 3.18 of it
    (0.0, 1.0)
    """
    mean, half = _half(right, confidence)
    if half == 0 and mean in (0.0, 1.0):
        return wilson_interval(round(mean * right.shape[1]), right.shape[1], confidence)
    return max(0.0, mean - half), min(1.0, mean + half)


def difference(
    first: NDArray[np.float64], second: NDArray[np.float64], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Second minus first on the same problems: mean, low, high.

    Args:
        first: float [seeds, problems]. Seed s of the one goes with seed s of the other: the same weights to begin with
            and the same order of rows.
        second: likewise; of the longer one, only as many seeds as the shorter has.
        confidence: two-sided.
    """
    seeds = min(len(first), len(second))
    mean, half = _half(second[:seeds] - first[:seeds], confidence)
    return mean, max(-1.0, mean - half), min(1.0, mean + half)


def _half(table: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Mean of a two-way table and half the width of its interval."""
    seeds, problems = table.shape
    mean = float(table.mean())
    by_problem = table.mean(axis=0)
    if problems < 2:
        return mean, inf
    ms_problem = seeds * float(by_problem.var(ddof=1))
    if seeds == 1:
        return mean, t_quantile((1 + confidence) / 2, problems - 1) * sqrt(ms_problem / problems)
    by_seed = table.mean(axis=1)
    ms_seed = problems * float(by_seed.var(ddof=1))
    rest = table - by_problem - by_seed[:, None] + mean
    free = (seeds - 1) * (problems - 1)
    ms_rest = float((rest**2).sum()) / free
    # A component that is estimated below 0 counts as none, and its degrees of freedom are the rest's.
    if ms_seed <= ms_rest and ms_problem <= ms_rest:
        square = float(((table - mean) ** 2).sum()) / (table.size - 1)
        return mean, t_quantile((1 + confidence) / 2, table.size - 1) * sqrt(square / table.size)
    if ms_seed <= ms_rest:
        total, known = ms_problem, float(problems - 1)
    elif ms_problem <= ms_rest:
        total, known = ms_seed, float(seeds - 1)
    else:
        total = ms_seed + ms_problem - ms_rest
        known = total**2 / (ms_seed**2 / (seeds - 1) + ms_problem**2 / (problems - 1) + ms_rest**2 / free)
    return mean, t_quantile((1 + confidence) / 2, max(1.0, known)) * sqrt(total / table.size)
