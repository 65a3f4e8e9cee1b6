"""How much of what accuracies differ in goes with which factor: an analysis of variance, type II.

Each term (a factor, or two factors together) gets the sum of squares by which it lowers the error of a least-squares
fit of all terms that do not contain it: a factor is asked what it explains beside the others, before its interactions
(F. Yates 1934, JASA 29:51-66; type II in R's `car::Anova`). In a balanced study, where every combination was run, this
is the plain decomposition, and the parts add up. What no term explains goes with the seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from training.study.distributions import f_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACTORS: Final = ("dataset", "teacher", "granularity", "format", "student", "size", "objective")
REST: Final = "rest"

Term = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the decomposition."""

    term: str
    squares: float
    """Sum of squares, in accuracy squared."""
    freedom: int
    share: float
    """Of the total sum of squares (eta squared). Unbalanced arms: shares need not add up to 1."""
    f: float | None
    """Null: nothing is left to compare with."""
    p: float | None


def decompose(results: pl.DataFrame, factors: Sequence[str] = FACTORS) -> list[Part]:
    """Share of the variance of accuracies that goes with each factor, with each pair of factors, and with none.

    Args:
        results: columns `accuracy`, the factors, a row per arm and seed; without controls.
        factors: those to look at. One that does not vary is left out, as is a pair of which no combination is repeated.

    Returns:
        Factors by share, then pairs by share, then the rest. Empty when nothing varies.
    """
    y = results["accuracy"].to_numpy().astype(np.float64)
    varied = [name for name in factors if name in results.columns and results[name].n_unique() > 1]
    total = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    if not varied or total == 0:
        return []
    codes = {name: _effects(results[name]) for name in varied}
    terms: list[Term] = [(name,) for name in varied]
    for pair in itertools.combinations(varied, 2):
        if _fits([*terms, pair], codes, len(y)):
            terms.append(pair)
    free, error = _fit([*terms], codes, y)
    rest = len(y) - free
    parts = []
    for term in terms:
        others = [other for other in terms if not set(term) <= set(other)]
        rank, without = _fit(others, codes, y)
        rank_with, with_it = _fit([*others, term], codes, y)
        squares, freedom = max(0.0, without - with_it), rank_with - rank
        f = squares / freedom / (error / rest) if rest and freedom and error > 0 else None
        p = None if f is None else f_tail(f, freedom, rest)
        parts.append(Part(" x ".join(term), squares, freedom, squares / total, f, p))
    parts.sort(key=lambda part: (" x " in part.term, -part.share))
    return [*parts, Part(REST, error, rest, error / total, None, None)]


def _effects(values: pl.Series) -> NDArray[np.float64]:
    """float64 [rows, levels - 1]: sum-to-zero coding, so that a main effect is one over all levels of the others."""
    code = values.cast(pl.String).fill_null("\0").rank("dense").to_numpy().astype(int) - 1
    levels = int(code.max()) + 1
    table = np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])
    coded: NDArray[np.float64] = table[code]
    return coded


def _columns(terms: Sequence[Term], codes: dict[str, NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    parts = [np.ones((rows, 1))]
    for term in terms:
        columns = codes[term[0]]
        for name in term[1:]:
            columns = (columns[:, :, None] * codes[name][:, None, :]).reshape(rows, -1)
        parts.append(columns)
    return np.hstack(parts)


def _fit(terms: Sequence[Term], codes: dict[str, NDArray[np.float64]], y: NDArray[np.float64]) -> tuple[int, float]:
    """Rank of the terms, and the sum of squares that they leave."""
    x = _columns(terms, codes, len(y))
    solution, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    return int(rank), float(((y - x @ solution) ** 2).sum())


def _fits(terms: Sequence[Term], codes: dict[str, NDArray[np.float64]], rows: int) -> bool:
    """Whether all columns of the terms can be told apart, and a row is left over."""
    x = _columns(terms, codes, rows)
    return bool(x.shape[1] < rows and int(np.linalg.matrix_rank(x)) == x.shape[1])
