"""`cotmill advise`: pilots in place of a grid, for one student. The search is `training.study.halving`.

DIR/cut/       the traces that may be trained on, cut to common problems
DIR/arms/      the pilots, each an arm of a study: what is done is not done again
DIR/advice.json
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.disk import write_json
from builders.errors import CotmillError
from builders.problems import load_all
from cotmill.output import say
from cotmill.recipe import load_evaluation, load_recipe, load_training
from cotmill.sources import source_of
from cotmill.studying import refuse_overlap
from curation.config import CurateConfig
from training.study.arms import Arm, Arms, Cell, Cut, identified, make_arms
from training.study.belief import Option, Pilot
from training.study.config import StudyConfig
from training.study.costs import estimate
from training.study.halving import Advice, search
from training.study.run import run_arms
from training.study.students import Students

DATASET = "corpus"
STUDENT = "student"
SAMPLE = 32
"""Traces of each arm whose perplexity is measured."""


def advise(
    corpus: Path,
    *,
    student: str,
    problems: Sequence[str],
    budget: int,
    out: Path,
    recipe: str | Path | None = None,
    seed: int = 0,
    perplexity: bool = True,
    mixture: bool = True,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Find the arm of a corpus that suits a student.

    Args:
        corpus: its combinations of teacher, level and format are the arms.
        student: name, Hub id or directory.
        problems: held-out problems; see `cotmill.sources.source_of`.
        budget: tokens that all pilots together may be trained on, as estimated from the texts.
        out: directory.
        recipe: its `curate`, `train` and `evaluate` sections.
        seed: of training.
        perplexity: whether the student's perplexity of some traces of each arm is measured first.
        mixture: whether the finalists are also tried mixed.
        overrides: of the recipe.

    Returns:
        choice (in words), teacher, granularity and format of it (null: a mixture), expected, interval, chance (that no
        other arm is more than a point better), arms (a line for each, best first: its factors, pilots, largest, seen,
        expected, low, high, best), pilots, tokens, grid_tokens, predictors (arm by arm).

    Raises:
        CotmillError: the budget is too small; nothing to train on; a training failed.
    """
    study = _study(corpus, student, problems, recipe, overrides)
    asked = load_all(study.datasets[DATASET].problems).problems
    refuse_overlap(study.name, {DATASET: corpus}, {DATASET: asked})
    students = Students(study, {DATASET: corpus}, out / "students")
    made = make_arms(study, {DATASET: corpus}, {DATASET: asked}, students.identities, out / "cut")
    cut = made.cuts[DATASET]
    cells = list(cut.cells)
    options = [Option(teacher, level, form) for _, teacher, level, form in cells]
    cost = [line["tokens"] / line["rows"] for line in estimate(study, made, out)]
    predictors = _predictors(corpus, cells, cut, student if perplexity else None)
    pilots = _Pilots(study, made, students, cells, cut, out)
    say(f"{len(cells)} arms of {cut.problems:,} common problems")
    found = search(
        options, cost, cut.problems, budget, pilots.pull, predictors=predictors, mixture=mixture, seed=seed
    )  # fmt: skip
    summary = _summary(found, options, predictors)
    write_json(out / "advice.json", summary)
    return summary


def _study(
    corpus: Path, student: str, problems: Sequence[str], recipe: str | Path | None, overrides: Sequence[str]
) -> StudyConfig:
    """The full grid as a study."""
    sources = [source_of(said) for said in problems]
    if recipe is None:
        curate, train = CurateConfig(), load_training([text for text in overrides if text.startswith("train.")])
        tested = load_evaluation(sources, [text for text in overrides if text.startswith("evaluate.")])
    else:
        loaded = load_recipe(recipe, overrides)
        curate, train = loaded.curate, loaded.train or load_training()
        tested = loaded.evaluate or load_evaluation(sources)
    own = {"common", "dedup", "per_problem", "splits", "mix", "pairs"}
    evaluation = tested.model_dump(exclude_unset=True, exclude={"problems", "allow_overlap"})
    return StudyConfig.model_validate(
        {
            "name": "advice",
            "datasets": {DATASET: {"corpus": corpus, "problems": sources}},
            "students": {STUDENT: {"model": student, "revision": train.revision}},
            "controls": [],
            "curate": {k: v for k, v in curate.model_dump(exclude_unset=True).items() if k not in own},
            "train": train.model_dump(exclude_unset=True, exclude={"student", "seed", "limit", "split", "dataset"}),
            "evaluate": evaluation,
        }
    )


class _Pilots:
    """Runs pilots as arms of a study."""

    def __init__(
        self, study: StudyConfig, made: Arms, students: Students, cells: list[Cell], cut: Cut, out: Path
    ) -> None:
        self._study, self._made, self._students, self._cells, self._cut, self._out = (
            study, made, students, cells, cut, out,
        )  # fmt: skip

    def pull(self, option: int, size: int, seed: int, parts: Sequence[int] = ()) -> Pilot:
        """Train and test; see `training.study.halving.Pull`."""
        cell = self._cells[option] if not parts else self._mix(parts)
        size = min(size, self._cut.problems)
        wanted = [(cell, STUDENT, size, next(iter(self._study.objectives)), seed)]
        (arm,) = identified(self._study, wanted, {DATASET: self._cut}, self._made.problems, self._students.identities)
        one = Arms([arm], [], {DATASET: self._cut}, self._made.problems)
        done, failed = run_arms(self._study, one, self._students, self._out, log=say)
        if failed:
            raise CotmillError(f"a pilot failed, {failed[0].what}: {failed[0].why}")
        tested = done[0]["evaluation"]
        say(f"{_named(arm)}: {tested['correct'] / tested['n']:.1%} after {size:,} problems")
        return Pilot(option, size, tested["correct"], tested["n"])

    def _mix(self, parts: Sequence[int]) -> Cell:
        """A cell whose problems take their trace from one part after another."""
        frames = [self._cut.cells[self._cells[part]].with_row_index("_row") for part in parts]
        cell: Cell = (DATASET, " + ".join(str(part) for part in sorted(parts)), None, "mixture")
        dealt = [frame.filter(pl.col("_row") % len(parts) == i) for i, frame in enumerate(frames)]
        self._cut.cells[cell] = pl.concat(dealt).sort("_row").drop("_row")
        return cell


def _predictors(corpus: Path, cells: list[Cell], cut: Cut, model: str | None) -> NDArray[np.float64] | None:
    """float64 [cells, predictors]: the teacher's pass rate in each cell, and the student's mean surprise."""
    rows = Corpus(corpus).traces().select("teacher", "granularity", "format", "problem_id", "trace_id")
    counts = rows.group_by("teacher", "granularity", "format").agg(pl.col("problem_id").n_unique()).collect()
    asked = {tuple(key): count for *key, count in counts.rows()}
    columns = [[cut.before[cell] / asked[cell[1:]] for cell in cells]]
    if model is not None:
        columns.append(_surprise(corpus, cells, cut, model))
    table = np.array(columns).T
    varied = table[:, np.ptp(table, axis=0) > 1e-9]
    return varied if varied.shape[1] else None


def _surprise(corpus: Path, cells: list[Cell], cut: Cut, model: str) -> list[float]:
    """Mean nats per token of some traces of each cell."""
    from curation.value.perplexity import Perplexity, unload

    ids = cut.cells[cells[0]]["problem_id"].head(SAMPLE).to_list()
    columns = ["teacher", "granularity", "format", "question", "choices", "response"]
    rows = Corpus(corpus).traces().filter(pl.col("problem_id").is_in(ids)).select(columns).collect()
    say(f"reading {rows.height:,} traces with the student ...")
    try:
        scored = rows.with_columns(Perplexity(model=model).score(rows)["mean_nll"])
    finally:
        unload()
    means = {tuple(key): mean for *key, mean in scored.group_by(columns[:3]).agg(pl.col("mean_nll").mean()).rows()}
    known = [mean for mean in means.values() if mean is not None]
    usual = float(np.mean(known)) if known else 0.0
    return [usual if (mean := means.get(cell[1:])) is None else float(mean) for cell in cells]


def _named(arm: Arm) -> str:
    return f"{arm.teacher}, level {arm.granularity or '-'}, {arm.format}"


def _summary(found: Advice, options: Sequence[Option], predictors: NDArray[np.float64] | None) -> dict[str, Any]:
    chances = found.belief.chances()
    lines = []
    order = np.argsort(-found.belief.mean, kind="stable").tolist()
    for number in order:
        mixed = number >= len(options)
        mine = [pilot for pilot in found.pilots if pilot.option == number]
        low, high = found.belief.interval(number)
        largest = max((pilot.size for pilot in mine), default=None)
        there = [pilot for pilot in mine if pilot.size == largest]
        seen = sum(pilot.correct for pilot in there) / sum(pilot.n for pilot in there) if there else None
        one = None if mixed else options[number]
        lines.append(
            {
                "number": number,
                "teacher": one.teacher if one else "mixture",
                "granularity": one.level if one else None,
                "format": one.format if one else None,
                "pilots": len(mine),
                "largest": largest,
                "seen": None if seen is None else f"{seen:.1%}",
                "expected": float(found.belief.mean[number]),
                "low": low,
                "high": high,
                "best": float(chances[number]),
            }
        )
    return {
        "choice": _said(found, options),
        **(asdict(options[found.choice]) if found.choice < len(options) else {}),
        "mixture": found.mixture if found.choice >= len(options) else [],
        "expected": float(found.belief.mean[found.choice]),
        "interval": found.belief.interval(found.choice),
        "chance": found.belief.chance_within(found.choice, 0.01),
        "arms": lines,
        "pilots": len(found.pilots),
        "tokens": found.tokens,
        "grid_tokens": found.grid_tokens,
        "predictors": None if predictors is None else predictors.tolist(),
    }


def _said(found: Advice, options: Sequence[Option]) -> str:
    chosen = [found.choice] if found.choice < len(options) else found.mixture
    names = [f"{o.teacher}, level {o.level or '-'}, {o.format}" for o in (options[i] for i in chosen)]
    return names[0] if len(names) == 1 else f"a mixture, in equal parts, of {'; '.join(names)}"
