"""What pilots say about options that were tried little or not at all: a Gaussian process over options and sizes.

Options that share a teacher or a format, or have neighbouring levels, are likely to do alike, and to gain alike from
more problems, about the same with each doubling. Put as covariances of accuracies (Rasmussen and Williams 2006, chapter
2; for learning curves, Swersky et al. 2014, arXiv:1406.3896, with a simpler kernel here), every pilot says something
about every option. The few constants are not chosen: every set of a small grid counts as far as the pilots are likely
under it (chapter 5), so that what few pilots cannot tell stays open.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = "NDArray[np.float64]"
NEAR: Final = 1.5
"""Levels over which accuracies of one teacher and format move together."""
SPREADS: Final = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Standard deviation of accuracy between options, at the full size."""
GROWTHS: Final = (0.0, 0.5, 1.5)
"""How fast differences come up: with each doubling of the size they are two to this power as large. 0: pilots show them
as they will be. Small students learn next to nothing for a while and then a lot; pilots that small tell nothing, and
where all fail alike, that is one of the two things it may mean."""
OWN: Final = (0.05, 0.2, 0.5)
"""Share of that variance which an option has to itself."""
SLOPES: Final = (0.1, 0.4)
"""How much options differ in what a doubling of the size gives them, as a share of how they differ at full size."""
SEEDS: Final = (0.0, 0.007, 0.015, 0.05)
"""Standard deviation that the seed of training adds."""
OWN_LUCK: Final = (1.0, 0.4)
"""Share of the variance of counting right answers that is not common to all students: they answer the same problems,
and a hard one is hard for all."""
DRAWS: Final = 4000


@dataclass(frozen=True, slots=True)
class Option:
    """One way to make training data. `level` null: none was requested."""

    teacher: str | None
    level: int | None
    format: str | None


@dataclass(frozen=True, slots=True)
class Pilot:
    """A small training, and how its student did."""

    option: int
    size: int
    """Problems trained on."""
    correct: int
    n: int
    """Problems tested on."""


@dataclass(frozen=True)
class Belief:
    """Accuracy of every option at the full size, as far as the pilots tell."""

    mean: NDArray[np.float64]
    """[options]"""
    covariance: NDArray[np.float64]
    """[options, options]"""

    def interval(self, option: int) -> tuple[float, float]:
        """95 %, within 0..1."""
        half = 1.96 * float(np.sqrt(self.covariance[option, option]))
        return max(0.0, float(self.mean[option]) - half), min(1.0, float(self.mean[option]) + half)

    def draws(self) -> NDArray[np.float64]:
        """float64 [DRAWS, options]: accuracies that the pilots allow."""
        dice = np.random.default_rng(0)
        return dice.multivariate_normal(self.mean, self.covariance, DRAWS, method="eigh")

    def chances(self) -> NDArray[np.float64]:
        """[options]: how likely each is the best one."""
        best = self.draws().argmax(axis=1)
        return np.bincount(best, minlength=len(self.mean)) / DRAWS

    def chance_within(self, option: int, points: float) -> float:
        """How likely no option is better than this one by more than `points` (0.01: one point)."""
        drawn = self.draws()
        return float((drawn.max(axis=1) - drawn[:, option] <= points).mean())


def believe(
    options: Sequence[Option],
    pilots: Sequence[Pilot],
    size: int,
    *,
    mixtures: Sequence[Sequence[int]] = (),
    predictors: NDArray[np.float64] | None = None,
) -> Belief:
    """Accuracies at `size` after some pilots.

    Args:
        options: what there is to choose from.
        pilots: at least one; those with an option beyond `options` are of `mixtures`, in their order.
        size: problems in the full training.
        mixtures: each the options that it is mixed from, in equal parts; they stand behind the options.
        predictors: float [options, predictors] of anything that may foretell accuracy; scale and sign do not matter.
    """
    parts = _parts(options, mixtures, predictors)
    at = np.array([pilot.option for pilot in pilots])
    sizes = np.log2(np.array([pilot.size for pilot in pilots], float))
    n = np.array([pilot.n for pilot in pilots], float)
    y = np.array([pilot.correct for pilot in pilots]) / n
    smooth = (y * n + 1) / (n + 2)  # a pilot without a right answer is not known without error
    counting = smooth * (1 - smooth) / n
    gap = np.abs(sizes[:, None] - sizes[None, :])
    short = np.log2(size) - sizes  # doublings that are missing
    centre = float(np.average(y, weights=2.0**sizes))
    likely, means, covariances = [], [], []
    for spread, own, slope, seeds, luck, growth in itertools.product(
        SPREADS, OWN, SLOPES, SEEDS, OWN_LUCK, GROWTHS
    ):  # fmt: skip
        alike = spread**2 * ((1 - own) * parts[0] + own * parts[1])
        shown = 2.0 ** (-growth * short)
        # All accuracies rise together with size: a level of their own, that at half the size is mostly the same.
        rise = 0.25**2 * 0.8**gap
        differ = alike[np.ix_(at, at)] * np.outer(shown, shown) * (1 + slope**2 * np.outer(short, short))
        seen = differ + rise + np.diag(luck * counting + seeds**2)
        lower = np.linalg.cholesky(seen + 1e-10 * np.eye(len(y)))
        white = np.linalg.solve(lower, y - centre)
        likely.append(-0.5 * float(white @ white) - float(np.log(np.diag(lower)).sum()))
        cross = alike[:, at] * shown + 0.25**2 * 0.8 ** short[None, :]
        half = np.linalg.solve(lower, cross.T)
        means.append(centre + half.T @ white)
        covariances.append(alike + 0.25**2 - half.T @ half)
    weights = np.exp(np.array(likely) - max(likely))
    weights /= weights.sum()
    mean = weights @ np.array(means)
    apart = np.array(means) - mean
    covariance = np.tensordot(weights, np.array(covariances), 1) + np.einsum("k,ki,kj->ij", weights, apart, apart)
    return Belief(mean, (covariance + covariance.T) / 2)


def _parts(
    options: Sequence[Option], mixtures: Sequence[Sequence[int]], predictors: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Covariance by what options share, and what each has to itself; mixtures are means of their parts."""
    count = len(options)

    def same(values: list[object]) -> NDArray[np.float64]:
        return np.array([[float(a == b) for b in values] for a in values])

    levels = np.array([np.nan if option.level is None else float(option.level) for option in options])
    apart = levels[:, None] - levels[None, :]
    near = np.where(np.isnan(apart), same([option.level for option in options]), np.exp(-(apart**2) / (2 * NEAR**2)))
    kinds = [near]
    for name in ("teacher", "format"):
        values = [getattr(option, name) for option in options]
        if len(set(values)) > 1:
            kinds += [same(values), same(values) * near]
    if predictors is not None:
        scaled = predictors - predictors.mean(axis=0)
        scaled = scaled / np.where(scaled.std(axis=0) > 0, scaled.std(axis=0), 1.0)
        kinds.append(scaled @ scaled.T / max(1, scaled.shape[1]))
    shared = np.mean(kinds, axis=0)
    weights = np.vstack([np.eye(count), *([_mixed(parts, count)] if (parts := mixtures) else [])])
    return weights @ shared @ weights.T, np.eye(len(weights)) * 1.0


def _mixed(mixtures: Sequence[Sequence[int]], count: int) -> NDArray[np.float64]:
    """float64 [mixtures, options]: the share of each option."""
    table = np.zeros((len(mixtures), count))
    for row, parts in enumerate(mixtures):
        table[row, list(parts)] = 1 / len(parts)
    return table
