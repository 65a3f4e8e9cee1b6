"""Intervals for shares and means. Pure functions of counts; no data frame."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval for a share.

    Args:
        correct: successes, 0 <= correct <= n.
        n: trials. With none, nothing is known: (0, 1).
        confidence: 0 < confidence < 1, two-sided.

    Returns:
        Lower and upper bound, in 0..1.

    Raises:
        ValueError: a count or the confidence is out of range.

    Source: E. B. Wilson 1927, JASA 22:209-212; without continuity correction. Unlike the normal
    approximation it stays inside 0..1 and has a width at 0 of n.

    >>> [round(x, 4) for x in wilson_interval(8, 10)]
    [0.4902, 0.9433]
    """
    if not 0 <= correct <= n:
        raise ValueError(f"correct={correct} is outside 0..{n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} is outside 0..1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, z2 = correct / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At 0 and n one bound is exact; rounding would leave it at 1e-17 from there.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)


def mean_interval(
    mean: float | None, deviation: float | None, n: int, confidence: float = 0.95
) -> tuple[float | None, float | None]:
    """Normal interval for a mean.

    Args:
        mean: of the sample; None when there is none.
        deviation: its standard deviation, with n - 1 below the line; None for fewer than two values.
        n: values.
        confidence: 0 < confidence < 1, two-sided.

    Returns:
        Lower and upper bound; both None where nothing can be said.

    >>> mean_interval(10.0, 2.0, 400)
    (9.804003601545995, 10.195996398454005)
    """
    if mean is None or deviation is None or n < 2:
        return None, None
    half = NormalDist().inv_cdf((1 + confidence) / 2) * deviation / sqrt(n)
    return mean - half, mean + half
