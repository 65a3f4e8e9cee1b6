"""From a study to its arms: which traces each is made of, cut to the problems that all have, and its identity.

An arm's id hashes what can change its result: the rows, the student, the settings, the seed, and how it is tested. So a
study that is widened finds the arms it already has, and two arms whose rows are the same are trained once; where a new
arm makes fewer problems common, the rows of the others change, and they are other arms.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from builders.corpus import Corpus
from builders.errors import CotmillError
from builders.identity import digest
from curation.packaging.dataset import write_dataset
from training.study.config import CELL, Factors, StudyConfig

SCHEME: Final = 1
"""Version of what goes into an arm's id."""

Cell = tuple[str, str | None, int | None, str | None]
"""Dataset, teacher, granularity and format: which traces."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One student to teach and test."""

    id: str
    dataset: str
    teacher: str | None
    """Null of teacher, granularity and format: of a control, or the trace's own."""
    granularity: int | None
    format: str | None
    student: str
    size: int | None
    """Asked for; null: all common problems."""
    objective: str | None
    seed: int
    control: str | None
    """`answer_only`, `untrained`; null: an arm with traces."""
    rows: int
    """To train on."""
    data: str
    """Digest of the rows."""

    def factors(self) -> dict[str, Any]:
        """What it differs in from others, with its control."""
        return {k: v for k, v in asdict(self).items() if k not in ("rows", "data")}

    def label(self) -> str:
        """For people."""
        what = self.control or f"{self.teacher}, level {self.granularity or '-'}, {self.format}"
        return f"{self.dataset}: {what}; {self.student}, {self.rows:,} rows, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class NotRun:
    """An arm that cannot be run, or was not."""

    what: str
    why: str


@dataclass(frozen=True)
class Cut:
    """The traces of one dataset, ready to be trained on: the same problems in every cell."""

    dataset: str
    cells: dict[Cell, pl.DataFrame]
    """Rows in the order of problem ids, which are hashes: the first n are a random n, and the same in every cell."""
    problems: int
    """In every cell."""
    before: dict[Cell, int]
    """Problems that a cell had before the cut."""

    def rows(self, cell: Cell, size: int | None) -> pl.DataFrame:
        """The rows of an arm: `prompt`, `completion`, `answer` (the gold answer, for the control)."""
        return self.cells[cell].head(size) if size else self.cells[cell]


@dataclass(frozen=True)
class Arms:
    """All arms of a study, in the order in which they run, and what is left out."""

    arms: list[Arm]
    not_run: list[NotRun]
    cuts: dict[str, Cut] = field(repr=False)
    problems: dict[str, pl.DataFrame] = field(repr=False)
    """Dataset -> held-out problems."""

    def rows(self, arm: Arm) -> pl.DataFrame:
        """What an arm is trained on."""
        cut = self.cuts[arm.dataset]
        cell = next(iter(cut.cells)) if arm.control else (arm.dataset, arm.teacher, arm.granularity, arm.format)
        return cut.rows(cell, arm.size)


def make_arms(
    study: StudyConfig,
    corpora: Mapping[str, Path],
    problems: Mapping[str, pl.DataFrame],
    students: Mapping[str, Any],
    folder: Path,
) -> Arms:
    """Expand, cut and identify all arms.

    Args:
        study: what is asked for.
        corpora: dataset -> its corpus.
        problems: dataset -> held-out problems, columns of PROBLEMS.
        students: name -> what fixes the weights that it begins with, apart from the seed.
        folder: where the cut traces go, a dataset for each corpus.

    Raises:
        CotmillError: no arm can be run; arms have not the same problems and may not be cut; a size is larger than what
            all arms have.
    """
    wanted = list(dict.fromkeys(_expanded(study, corpora)))
    cells: dict[str, set[Cell]] = {}
    for cell, *_ in wanted:
        cells.setdefault(cell[0], set()).add(cell)
    cuts = {name: _cut(study, name, Corpus(corpora[name]), mine, folder / name) for name, mine in cells.items()}
    not_run = [
        NotRun(_spelt(cell), "the corpus holds no such trace that may be trained on")
        for cell in dict.fromkeys(cell for cell, *_ in wanted)
        if cell not in cuts[cell[0]].cells
    ]
    there = [one for one in wanted if one[0] in cuts[one[0][0]].cells]
    if not there:
        raise CotmillError(f"study {study.name}: no arm has traces to train on; look at `factors` and `curate.keep`.")
    _refuse_sizes(there, cuts)
    made = list(identified(study, there, cuts, problems, students))
    # Seed by seed: a study that is stopped has whole grids, each with fewer seeds.
    seeds = list(dict.fromkeys(arm.seed for arm in made))
    return Arms(sorted(made, key=lambda arm: seeds.index(arm.seed)), not_run, cuts, dict(problems))


Wanted = tuple[Cell, str, int | None, str, int]
"""Cell, student, size, objective, seed."""


def _expanded(study: StudyConfig, corpora: Mapping[str, Path]) -> Iterator[Wanted]:
    there = {name: _cells(Corpus(path)) for name, path in corpora.items()}
    for entry in study.arms or [Factors()]:
        said = {name: getattr(entry, name) or getattr(study.factors, name) for name in Factors.model_fields}
        for dataset in said["dataset"] or study.datasets:
            held = there[dataset]
            values = [said[name] or held[name].unique(maintain_order=True).to_list() for name in CELL[1:]]
            exist = set(held.rows())
            asked = [bool(said[name]) for name in CELL[1:]]
            for cell in itertools.product(*values):
                # What was asked for by name and is not there is told; combinations of what occurs are not all due.
                if cell not in exist and not all(asked):
                    continue
                for rest in itertools.product(
                    said["student"] or study.students,
                    said["size"] or [None],
                    said["objective"] or study.objectives,
                    said["seed"] or [0],
                ):
                    yield (dataset, *cell), *rest


def _cells(corpus: Corpus) -> pl.DataFrame:
    """The combinations that traces occur in."""
    return corpus.traces().select(CELL[1:]).unique().sort(CELL[1:]).collect()


def _cut(study: StudyConfig, name: str, corpus: Corpus, cells: set[Cell], out: Path) -> Cut:
    """One trace a problem and cell, of the problems that all cells have."""
    cut = study.unequal == "cut"
    said = (
        study.curate.model_dump(exclude_unset=True)
        | {
            "keep": [*study.curate.conditions(), " or ".join(_condition(cell) for cell in sorted(cells, key=str))],
            "dedup": False,  # two levels of a problem may have the same text
            "per_problem": {"max": 1, "rule": "first", "one_per": list(CELL[1:])},
            "common": list(CELL[1:]) if cut else [],
        }
    )
    config = type(study.curate).model_validate(said)
    folder = out.with_name(f"{out.name}-{digest(config.model_dump(mode='json'))[:8]}")
    write_dataset(corpus, config, folder, name=f"{study.name}-{name}", overwrite=True)
    kept = _read(folder / "data/default", "train-*.parquet").sort("problem_id")
    found = {
        (name, *key): frame.select("problem_id", "prompt", "completion", answer="gold")
        for key, frame in kept.partition_by(CELL[1:], as_dict=True, maintain_order=True).items()
    }
    after = {cell: frame.height for cell, frame in found.items()}
    if not cut and len({digest(frame["problem_id"].to_list()) for frame in found.values()}) > 1:
        lines = "\n".join(f"  {count:>9,}  {_spelt(cell)}" for cell, count in after.items())
        raise CotmillError(
            f"study {study.name}: arms have not the same problems, so they differ in more than their traces:\n{lines}\n"
            "Nothing was trained. Cut them to the common ones: --set unequal=cut"
        )
    lost = _read(folder / "removed", "*.parquet").filter(pl.col("reason") == "common")
    more = {(name, *key): count for *key, count in lost.group_by(CELL[1:]).agg(pl.col("problem_id").n_unique()).rows()}
    return Cut(name, found, min(after.values()), {cell: count + more.get(cell, 0) for cell, count in after.items()})


def _read(folder: Path, pattern: str) -> pl.DataFrame:
    return pl.read_parquet(sorted(folder.glob(pattern)), glob=False)


def _condition(cell: Cell) -> str:
    """SQL that is true for the traces of a cell."""
    pairs = zip(CELL[1:], cell[1:], strict=True)
    return "(" + " and ".join(f"{column} is not distinct from {_literal(value)}" for column, value in pairs) + ")"


def _literal(value: str | int | None) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _spelt(cell: Cell) -> str:
    dataset, teacher, level, form = cell
    return f"{dataset}: {teacher}, level {level or '-'}, {form}"


def _refuse_sizes(wanted: list[Wanted], cuts: Mapping[str, Cut]) -> None:
    """Raise when a size is larger than what arms have: they would be equal to the next smaller one."""
    for cell, _, size, *_ in wanted:
        cut = cuts[cell[0]]
        if size and size > cut.problems:
            least = min(cut.before, key=lambda one: cut.before[one])
            raise CotmillError(
                f"factors.size: {size:,} problems are wanted, and all arms of {cell[0]} have {cut.problems:,} in common"
                f" (fewest before the cut: {_spelt(least)}, {cut.before[least]:,}).\nNothing was trained. Say a"
                f" smaller size, leave an arm out, or sample more."
            )


def identified(
    study: StudyConfig,
    wanted: Sequence[Wanted],
    cuts: Mapping[str, Cut],
    problems: Mapping[str, pl.DataFrame],
    students: Mapping[str, Any],
) -> Iterator[Arm]:
    """Arms with their ids; each control once, behind the first arm that it belongs to.

    Args:
        study: for its settings and controls.
        wanted: cell, student, size, objective and seed of each arm.
        cuts: dataset -> its traces.
        problems: see `make_arms`.
        students: likewise.
    """
    asked = {name: digest(frame["problem_id"].to_list()) for name, frame in problems.items()}
    data: dict[tuple[Any, ...], str] = {}
    seen: set[str] = set()
    for cell, student, size, objective, seed in wanted:
        dataset, (first, *_) = cell[0], cuts[cell[0]].cells
        for control in (None, *study.controls):
            source, many = (first if control else cell), (None if control == "untrained" else size)
            rows = cuts[dataset].rows(source, many)
            if (control, source, many) not in data:
                data[control, source, many] = _digest(rows, control)
            learnt = data[control, source, many]
            settings = _settings(study, student, objective, seed, control)
            key = digest([SCHEME, control, learnt, students[student], seed, asked[dataset], *settings])[:16]
            if control and key in seen:
                continue  # the same beside several arms
            seen.add(key)
            told = (None, None, None) if control else cell[1:]
            trained = 0 if control == "untrained" else rows.height
            goal = None if control else objective
            yield Arm(key, dataset, *told, student, many, goal, seed, control, trained, learnt)


def _settings(study: StudyConfig, student: str, objective: str, seed: int, control: str | None) -> list[Any]:
    """What of the settings can change a result, of training and of testing."""
    tested = study.evaluation(student).model_dump(mode="json", exclude={"window", "batch", "backend"})
    if control == "untrained":
        return [None, tested]
    said = study.training(student, None if control else objective, seed, "student")
    return [said.model_dump(mode="json", exclude={"student", "seed", "checkpoint_minutes"}), tested]


def _digest(rows: pl.DataFrame, control: str | None) -> str:
    """Of what an arm learns from; a control reads no completion, and untrained nothing."""
    columns = {"answer_only": ["prompt", "answer"], "untrained": []}.get(control or "", ["prompt", "completion"])
    state = blake2b(digest_size=16)
    for row in rows.select(columns).iter_rows() if columns else ():
        state.update(orjson.dumps(row))
    return state.hexdigest()
