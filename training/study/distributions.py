"""Tails of Student's t and Fisher's F, from the incomplete beta function; so that no one needs SciPy for them."""

from __future__ import annotations

from math import exp, lgamma, log, log1p


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b), for a, b > 0 and x in 0..1.

    Source: the continued fraction of Abramowitz and Stegun 1964, 26.5.8, by Lentz's method as W. J. Lentz gave it in
    1976 (Applied Optics 15:668-671) and Thompson and Barnett mended it in 1986; errors below 1e-12.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, its mirror image does not
        return 1 - incomplete_beta(b, a, 1 - x)
    front = exp(a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a
    tiny = 1e-300
    value, c, d = tiny, tiny, 0.0
    for i in range(1000):
        m = i // 2
        if i == 0:
            term = 1.0
        elif i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        value *= c * d
        if i and abs(1 - c * d) < 1e-15:
            break
    return front * value


def t_tail(t: float, free: float) -> float:
    """Two-sided p of a t value with `free` degrees of freedom."""
    return incomplete_beta(free / 2, 0.5, free / (free + t * t))


def f_tail(f: float, above: float, below: float) -> float:
    """Chance of an F value of at least `f`, with `above` and `below` degrees of freedom."""
    return incomplete_beta(below / 2, above / 2, below / (below + above * f)) if f > 0 else 1.0


def t_quantile(share: float, free: float) -> float:
    """The t value below which `share` (0.5 to 1, not 1) of the distribution lies.

    >>> round(t_quantile(0.975, 4), 3), round(t_quantile(0.975, 1e6), 3)
    (2.776, 1.96)
    """
    tail = 2 * (1 - share)
    low, high = 0.0, 1.0
    while t_tail(high, free) > tail:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, free) > tail else (low, middle)
        if high - low <= 1e-13 * high:
            break
    return (low + high) / 2
