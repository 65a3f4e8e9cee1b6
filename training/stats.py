"""Two accuracies on the same problems: interval and test. Pure functions of counts; no model, no data frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


def paired_interval(
    only_before: int,
    only_after: int,
    n: int,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the difference in accuracy, after minus before.

    Problems are drawn with replacement, both answers to a problem together. As a problem adds -1, 0
    or +1, a resample is one multinomial draw: exact, and no array of problems is needed.

    Args:
        only_before: problems right before and wrong after.
        only_after: problems wrong before and right after.
        n: all problems. With none, nothing is known: (-1, 1).
        confidence: two-sided.
        resamples: draws.
        seed: of the draws.

    Raises:
        ValueError: the counts do not fit into n.

    Source: B. Efron and R. Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    import numpy as np

    if min(only_before, only_after) < 0 or only_before + only_after > n:
        raise ValueError(f"{only_before} + {only_after} discordant problems do not fit into {n}")
    if n == 0:
        return -1.0, 1.0
    shares = [only_before / n, only_after / n, (n - only_before - only_after) / n]
    draws = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile((draws[:, 1] - draws[:, 0]) / n, [tail, 1 - tail])
    return float(low), float(high)


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
