"""Finding a good option with small pilots: successive halving, led by what all pilots say together.

Every option is tried on a few problems, the better third on three times as many, and so on; each round costs about the
same (Jamieson and Talwalkar 2016, arXiv:1502.07943). Two things are ours: who goes on is decided by the expected
accuracy at the full size (`training.study.belief`) instead of the last accuracy alone, and what is left of the budget
goes to further seeds of those that may still be the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from builders.errors import CotmillError
from training.study.belief import Belief, Option, Pilot, believe

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST: Final = 16
"""Problems in a pilot, at least."""
FINALISTS: Final = 3


class Pull(Protocol):
    """Trains an option and tests it."""

    def __call__(self, option: int, size: int, seed: int, parts: Sequence[int] = ()) -> Pilot:
        """Train on `size` problems with this seed; with `parts` on a mixture of those options, known as `option`."""


@dataclass(frozen=True)
class Advice:
    """What was found, and what it cost."""

    choice: int
    """Option; `len(options)` and above: a mixture."""
    belief: Belief
    pilots: list[Pilot]
    tokens: int
    grid_tokens: int
    """Of one training of every option at the full size."""
    mixture: list[int] = field(default_factory=list)
    """Options that the mixture tried is made of; empty: none was."""


def search(
    options: Sequence[Option],
    cost: Sequence[float],
    size: int,
    budget: float,
    pull: Pull,
    *,
    predictors: NDArray[np.float64] | None = None,
    mixture: bool = False,
    eta: int = 3,
    seed: int = 0,
) -> Advice:
    """Choose an option.

    Args:
        options: at least one.
        cost: tokens that training on one problem takes, for each option, repetitions included.
        size: problems in the full training.
        budget: tokens for all pilots together; never exceeded.
        pull: trains and tests.
        predictors: see `believe`.
        mixture: also try the finalists mixed in equal parts.
        eta: each round keeps one in so many.
        seed: of the first training of each option; further ones count up.

    Raises:
        CotmillError: the budget does not allow a pilot of `LEAST` problems for every option.
    """
    costs = np.array(cost, float)
    rounds = max(1, ceil(log(max(len(options) / FINALISTS, 1), eta)) + 1)
    least = LEAST * costs.sum() * rounds
    if budget < least:
        raise CotmillError(
            f"a budget of {budget:,.0f} tokens is too small for {len(options)} arms: {rounds} rounds of at least"
            f" {LEAST} problems each take {ceil(least):,}.\nSay --budget {ceil(least)} or more, or fewer arms."
        )
    pilots: list[Pilot] = []
    spent, mixed = 0.0, list[int]()
    running = list(range(len(options)))
    for number in range(rounds):
        if number:
            keep = max(min(FINALISTS, len(running)), ceil(len(running) / eta))
            mean = believe(options, pilots, size, predictors=predictors).mean
            running = sorted(running, key=lambda option: -mean[option])[:keep]
        last = number == rounds - 1
        mixed = running if mixture and last and len(running) > 1 else []
        price = float(costs[running].sum()) + (float(costs[mixed].mean()) if mixed else 0.0)
        here = min(size, int((budget - spent) / (rounds - number) / price))
        done = [pull(option, here, seed) for option in running]
        done += [pull(len(options), here, seed, mixed)] if mixed else []
        here = max(pilot.size for pilot in done)  # there may be fewer problems than were asked for
        spent += price * here
        pilots += done

    def now() -> Belief:
        return believe(options, pilots, size, predictors=predictors, mixtures=[mixed] if mixed else [])

    final = [*running, *([len(options)] if mixed else [])]
    prices = [*costs, *([float(costs[mixed].mean())] if mixed else [])]
    seeds = dict.fromkeys(final, seed)
    while len(final) > 1:
        belief = now()
        # Of the finalists, the one that may be the best and is known least.
        doubt = belief.chances()[final] * np.sqrt(np.diag(belief.covariance)[final])
        option = final[int(doubt.argmax())]
        if spent + prices[option] * here > budget or seeds[option] - seed >= 8:
            break
        seeds[option] += 1
        pilots.append(pull(option, here, seeds[option], mixed if option == len(options) else ()))
        spent += prices[option] * here
    belief = now()
    return Advice(int(belief.mean.argmax()), belief, pilots, round(spent), round(float(costs.sum()) * size), mixed)
