"""Intervals, tests and the metrics of several samples. Pure functions of numbers; no model, no data frame.

Wilson's interval for a share is in `curation.comparing.intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from curation.comparing.intervals import wilson_interval

RESAMPLES: Final = 10_000
"""Draws of a bootstrap."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Two answerers on the same problems: how often they differ, and whether that is more than chance."""

    n: int
    """Problems that both were asked."""
    only_before: int
    """Right before, wrong after."""
    only_after: int
    """Wrong before, right after."""
    difference: float
    """Accuracy after minus before, in -1..1."""
    interval: tuple[float, float]
    """Bootstrap interval of the difference."""
    p: float
    """McNemar's exact two-sided p."""


def mcnemar(only_before: int, only_after: int) -> float:
    """Exact McNemar test that before and after are equally good on the same problems.

    Args:
        only_before: problems right before and wrong after.
        only_after: problems wrong before and right after.

    Returns:
        Two-sided p: twice the chance of at most min(b, c) heads in b + c fair tosses, at most 1.
        Problems on which both agree say nothing and do not enter.

    Raises:
        ValueError: a count is negative.

    Source: Q. McNemar 1947, Psychometrika 12:153-157, in its exact binomial form.

    >>> mcnemar(1, 5)  # (1 + 6) / 64 * 2
    0.21875
    """
    if min(only_before, only_after) < 0:
        raise ValueError(f"counts must not be negative: {only_before}, {only_after}")
    n = only_before + only_after
    tail, term = 0, 1
    for k in range(min(only_before, only_after) + 1):
        tail += term
        term = term * (n - k) // (k + 1)  # the next binomial coefficient, exactly
    return min(1.0, float(2 * tail / (1 << n)))  # integers to the end: correctly rounded for any n


def bootstrap_mean(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over problems.

    A value per problem makes this a cluster bootstrap: all answers to a problem are drawn together. Values of
    problems are few different numbers (0, 1/n .. 1), so a resample is one multinomial draw of how often each comes:
    exact, and no array of problems is needed.

    Args:
        values: float [problems], one for each: share correct, pass@k, a difference.
        confidence: 0 < confidence < 1, two-sided.
        resamples: draws.
        seed: of the draws.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: there are no values, or the confidence is out of range.

    Source: B. Efron and R. Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    import numpy as np

    if not len(values) or not 0 < confidence < 1:
        raise ValueError(f"{len(values)} values and confidence={confidence} give no interval")
    different, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    n = int(counts.sum())
    random = np.random.default_rng(seed)
    if different.size * resamples > n * 1000:  # many different values: draw problems, a block at a time
        means = np.concatenate([random.choice(values, (100, n)).mean(axis=1) for _ in range(resamples // 100)])
    else:
        means = random.multinomial(n, counts / n, size=resamples) @ different / n
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def share_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean of shares, one per problem: Wilson's where each is 0 or 1, else a bootstrap.

    Where all problems have the same share, as all wrong, a bootstrap has no width; Wilson's has.

    Args:
        values: float [problems], each in 0..1. With none, nothing is known: (0, 1).
    """
    if all(value in (0, 1) for value in values):
        return wilson_interval(round(sum(values)), len(values))
    return bootstrap_mean(values)


def paired_interval(
    only_before: int, only_after: int, n: int, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """`bootstrap_mean` of the difference in accuracy, after minus before, from counts alone.

    Args:
        only_before: problems right before and wrong after: -1 each.
        only_after: problems wrong before and right after: +1 each.
        n: all problems. With none, nothing is known: (-1, 1).
        confidence: two-sided.
        resamples: draws.
        seed: of the draws.

    Raises:
        ValueError: the counts do not fit into n.
    """
    import numpy as np

    if min(only_before, only_after) < 0 or only_before + only_after > n:
        raise ValueError(f"{only_before} + {only_after} discordant problems do not fit into {n}")
    if n == 0:
        return -1.0, 1.0
    values = np.repeat([-1.0, 0.0, 1.0], [only_before, n - only_before - only_after, only_after])
    return bootstrap_mean(values, confidence=confidence, resamples=resamples, seed=seed)  # type: ignore[arg-type]


def compare(before: Sequence[bool], after: Sequence[bool], *, seed: int = 0) -> Paired:
    """Before against after on the same problems, in the same order.

    Raises:
        ValueError: the two are not equally long.
    """
    pairs = list(zip(before, after, strict=True))
    b = sum(x and not y for x, y in pairs)
    c = sum(y and not x for x, y in pairs)
    n = len(pairs)
    return Paired(n, b, c, (c - b) / n if n else 0.0, paired_interval(b, c, n, seed=seed), mcnemar(b, c))


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Chance that at least one of `k` answers to a problem is right, estimated from `samples` of them.

    Args:
        samples: answers given.
        correct: right ones, 0 <= correct <= samples.
        k: answers drawn without replacement, 1 <= k <= samples.

    Returns:
        1 - C(n - c, k) / C(n, k), in 0..1. Unbiased, unlike 1 - (1 - c / n) ** k.

    Raises:
        ValueError: `k` or a count is out of range.

    Source: Chen et al. 2021, arXiv:2107.03374, eq. 1.

    >>> [pass_at_k(4, correct, 2) for correct in (0, 1, 4)]  # 1 - C(3, 2) / C(4, 2) = 1 - 3 / 6
    [0.0, 0.5, 1.0]
    """
    from math import comb

    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(f"correct={correct} and k={k} do not fit {samples} samples")
    return 1 - comb(samples - correct, k) / comb(samples, k)


def steps_to(n: int) -> list[int]:
    """Values of k to report: powers of two up to `n`, and `n`.

    >>> steps_to(1), steps_to(10)
    ([1], [1, 2, 4, 8, 10])
    """
    return sorted({1 << i for i in range(n.bit_length())} | {n})


def area_over_curve(shares: Sequence[float], values: Sequence[float]) -> float:
    """1 minus the area under a curve over 0..1, by the trapezoid rule.

    Args:
        shares: float [points], ascending, the first 0 and the last 1: share of the reasoning that was given.
        values: float [points], 0..1: share of answers that are the same.

    Raises:
        ValueError: the two differ in length, or the shares do not run from 0 to 1.

    Source: Lanham et al. 2023, arXiv:2307.13702 (early answering), who give the measure and no quadrature; the
    trapezoids are ours. 0: the reasoning changed nothing. 1: without all of it the answer is never the same.

    >>> area_over_curve([0, 0.5, 1], [0, 0, 1])  # the one triangle has an area of 1/4
    0.75
    """
    if len(shares) != len(values) or len(shares) < 2 or (shares[0], shares[-1]) != (0, 1):
        raise ValueError(f"{len(shares)} shares and {len(values)} values are no curve from 0 to 1")
    points = list(zip(shares, values, strict=True))
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
    return 1 - area
