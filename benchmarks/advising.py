"""How often advice is right, and at which cost.

    python -m benchmarks.advising                      a simulated grid
    python -m benchmarks.advising --study DIR          the arms of a finished study with several sizes, replayed

Simulated: 3 teachers x 6 levels x 2 formats with known accuracies, which mostly follow teacher, level and format;
learning curves that rise at different speeds and cross; a seed's effect of 0.7 points; 1,000 test problems of which
some are hard for all. Replayed: every training was really done, for each arm at each size and seed; the search asks for
one and gets the nearest size below. Success: the chosen option's true accuracy (in a replay: its mean over seeds at
the full size) is within a point of the best.

Cost is that of the grid with `--seeds` trainings of every option at the full size. Beside the advice stands what that
grid itself would have said: the option with the best mean, at all of the cost (not in a replay, whose truth that mean
is); and what a grid with a single training of each would have said.
Nothing is timed.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from training.study.belief import Option, Pilot
from training.study.halving import Advice, search

TEACHERS, LEVELS, FORMATS = ("a", "b", "c"), (1, 2, 3, 4, 5, 6), ("original", "symbolic")


class Grid:
    """Options with true learning curves."""

    def __init__(self, dice: np.random.Generator, tested: int, rough: float) -> None:
        self.dice, self.tested, self.size = dice, tested, 4000
        self.options = [Option(t, g, f) for t in TEACHERS for g in LEVELS for f in FORMATS]
        teacher = dict(zip(TEACHERS, dice.normal(0, 0.03, 3), strict=True))
        form = dict(zip(FORMATS, dice.normal(0, 0.01, 2), strict=True))
        # The peak depends on the teacher, too: a teacher's level 3 may be another's level 4.
        peak = {t: dice.uniform(1, 6) for t in TEACHERS}
        bend = dice.uniform(0.003, 0.012)
        base = dice.uniform(0.3, 0.7)
        own = dice.normal(0, rough, len(self.options))
        self.true = np.array(
            [
                base + teacher[o.teacher] + form[o.format] - bend * (o.level - peak[o.teacher]) ** 2 + own[i]
                for i, o in enumerate(self.options)
            ]
        ).clip(0.02, 0.98)
        # Finer traces are slower or faster at first, so that curves cross.
        slope = dice.normal(0, 0.006)
        slow = np.array([slope * (o.level - 3.5) for o in self.options])
        self.drop = (0.12 + slow + dice.normal(0, 2 * rough, len(self.options))).clip(0.02)
        self.cost = np.array([60 + 25 * o.level for o in self.options], float)
        # All students answer the same problems, of which some are hard for all: a logistic model of both.
        self.hard = dice.normal(0, 2.5, tested)
        self.skills = np.linspace(-12, 12, 2001)
        self.curve = np.array([(1 / (1 + np.exp(self.hard - skill))).mean() for skill in self.skills])

    def accuracy(self, option: int, size: int) -> float:
        """The true learning curve."""
        return float(np.clip(self.true[option] - self.drop[option] * ((size / self.size) ** -0.4 - 1), 0.01, 0.99))

    def pull(self, option: int, size: int, seed: int, parts: Sequence[int] = ()) -> Pilot:  # noqa: ARG002
        """One training and its test."""
        there = np.clip(self.accuracy(option, size) + self.dice.normal(0, 0.007), 0.001, 0.999)
        skill = np.interp(there, self.curve, self.skills)
        right = self.dice.random(self.tested) < 1 / (1 + np.exp(self.hard - skill))
        return Pilot(option, size, int(right.sum()), self.tested)


class Replay:
    """The arms of a study, trained at several sizes."""

    def __init__(self, results: pl.DataFrame, student: str, dice: np.random.Generator) -> None:
        rows = results.filter(pl.col("control").is_null() & (pl.col("student") == student))
        full = rows["rows"].max()
        keys = rows.select("teacher", "granularity", "format").unique(maintain_order=True).rows()
        self.options = [Option(*key) for key in keys]
        self.size, self.sizes = int(full), sorted(rows["rows"].unique().to_list())
        self.table: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.true, self.cost = np.zeros(len(keys)), np.zeros(len(keys))
        for i, key in enumerate(keys):
            mine = rows.filter(
                pl.all_horizontal(
                    pl.col(name).eq_missing(pl.lit(value))
                    for name, value in zip(("teacher", "granularity", "format"), key, strict=True)
                )
            )
            for size in self.sizes:
                there = mine.filter(pl.col("rows") == size)
                order = dice.permutation(there.height)
                self.table[i, size] = [there.select("correct", "n").row(int(j)) for j in order]
            whole = mine.filter(pl.col("rows") == full)
            self.true[i] = whole["accuracy"].mean()
            self.cost[i] = whole["train_tokens"].mean() / full

    def pull(self, option: int, size: int, seed: int, parts: Sequence[int] = ()) -> Pilot:  # noqa: ARG002
        """One training and its test."""
        fits = [s for s in self.sizes if s <= size] or self.sizes[:1]
        tried = self.table[option, fits[-1]]
        return Pilot(option, fits[-1], *tried[seed % len(tried)])


def judge(grid: Grid | Replay, share: float, seeds: int = 1) -> tuple[float, float, Advice]:
    """Points that the choice loses to the best option, share of the cost of the grid, and the advice."""
    whole = seeds * float(grid.cost.sum()) * grid.size
    made = search(grid.options, list(grid.cost), grid.size, share * whole, grid.pull)
    return 100 * float(grid.true.max() - grid.true[made.choice]), made.tokens / whole, made


def lost_by_grid(grid: Grid | Replay, seeds: int) -> float:
    """Points that the best mean of the whole grid loses to the best option."""
    pilots = [[grid.pull(option, grid.size, seed) for seed in range(seeds)] for option in range(len(grid.options))]
    means = [sum(pilot.correct / pilot.n for pilot in mine) / seeds for mine in pilots]
    return 100 * float(grid.true.max() - grid.true[int(np.argmax(means))])


def _within(lost: Sequence[float]) -> float:
    return round(float(np.mean(np.array(lost) <= 1.0)), 3)


def _grid(chosen: argparse.Namespace, results: pl.DataFrame | None, dice: np.random.Generator) -> Grid | Replay:
    if results is None:
        return Grid(dice, chosen.tested, chosen.rough)
    return Replay(results, chosen.student or results["student"][0], dice)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run; others draw other grids")
    parser.add_argument("--tested", type=int, default=1000, help="problems a pilot is tested on")
    parser.add_argument(
        "--rough", type=float, default=0.005, help="sd of what an arm's accuracy has to itself; twice that of its curve"
    )
    parser.add_argument("--budget", type=float, default=0.25, help="share of the grid's cost")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each option in the grid")
    parser.add_argument("--study", type=Path, help="directory of a study with several sizes")
    parser.add_argument("--student", help="of the study")
    chosen = parser.parse_args()
    results = pl.read_parquet(chosen.study / "results.parquet") if chosen.study else None
    lost, cost, claimed, lost_by_all, lost_by_one = [], [], [], [], []
    for seed in range(chosen.first, chosen.first + chosen.runs):
        # The same dice for both: what the grid says must not change what the search sees.
        grid, again = (_grid(chosen, results, np.random.default_rng(seed)) for _ in range(2))
        if isinstance(again, Grid):
            lost_by_all.append(lost_by_grid(again, chosen.seeds))
        lost_by_one.append(lost_by_grid(again, 1))
        points, share, made = judge(grid, chosen.budget, chosen.seeds)
        claimed.append(made.belief.chance_within(made.choice, 0.01))
        lost.append(points)
        cost.append(share)
    random = 100 * float(np.mean(grid.true.max() - grid.true))
    report = {
        "benchmark": "advising",
        "grid": str(chosen.study) if chosen.study else "simulated",
        **({} if chosen.study else {"rough": chosen.rough, "tested": chosen.tested}),
        "options": len(grid.options),
        "seeds": chosen.seeds,
        "runs": chosen.runs,
        "within_a_point": _within(lost),
        **({"grid_within_a_point": _within(lost_by_all)} if lost_by_all else {}),
        "one_seed_grid_within_a_point": _within(lost_by_one),
        "claimed": round(float(np.mean(claimed)), 3),
        "points_lost_mean": round(float(np.mean(lost)), 3),
        "points_lost_worst": round(float(np.max(lost)), 3),
        "cost_share_most": round(float(np.max(cost)), 3),
        "points_lost_by_chance": round(random, 3),
        "python": platform.python_version(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
