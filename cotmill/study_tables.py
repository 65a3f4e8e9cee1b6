"""The tables of a study's report, as plain rows: what Markdown and HTML both show.

Accuracies are in per cent here; an interval of 95 % follows in brackets. Nothing is rounded before it is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from training.study import results
from training.study.arms import NotRun
from training.study.levels import Curve, curve, spearman
from training.study.twoway import difference
from training.study.variance import decompose

GROUP: Final = ("dataset", "teacher", "format", "size", "objective")
"""Beside student and level: one table for each combination."""
OTHERS: Final = ("teacher", "format", "size", "objective", "dataset")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a heading and a note."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    best: list[int | None] = field(default_factory=list)
    """Per row, the column to stress."""
    prose: bool = False
    """Whether cells are words, which stand to the left."""


@dataclass(frozen=True)
class Study:
    """Everything a report shows."""

    frame: pl.DataFrame
    """RESULTS: a row per arm and seed."""
    arms: pl.DataFrame
    """A row per arm; see `results.over_seeds`."""
    curves: dict[tuple[Any, ...], Curve]
    """GROUP and student -> its curve, where there are two levels or more."""
    out: Path

    def students(self) -> list[str]:
        """In the study's order."""
        return self.arms["student"].unique(maintain_order=True).to_list()

    def levels(self) -> list[int]:
        """All levels, ascending."""
        return sorted(self.arms["granularity"].drop_nulls().unique().to_list())

    def groups(self) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
        """The arms with traces, group by group."""
        taught = self.arms.filter(pl.col("control").is_null())
        for key, rows in taught.group_by(GROUP, maintain_order=True):
            yield dict(zip(GROUP, key, strict=True)), rows

    def control(self, group: Mapping[str, Any], student: str, name: str) -> dict[str, Any] | None:
        """The control beside an arm of this group."""
        rows = self.arms.filter(
            (pl.col("control") == name)
            & (pl.col("dataset") == group["dataset"])
            & (pl.col("student") == student)
            & (pl.col("size").eq_missing(group["size"]) if name == "answer_only" else True)
        )
        return rows.row(0, named=True) if rows.height else None

    def runs(self, **factors: Any) -> pl.DataFrame:
        """Rows of `frame` with these factors."""
        return self.frame.filter([pl.col(name).eq_missing(pl.lit(value)) for name, value in factors.items()])

    def tables_of(self, **factors: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64 [seeds, problems] of one arm."""
        return results.matrix(self.runs(**factors).sort("seed")["arm"].to_list(), self.out)


def gather(frame: pl.DataFrame, arms: pl.DataFrame, out: Path) -> Study:
    """A study with the curve of each student."""
    study = Study(frame, arms, {}, out)
    for group, rows in study.groups():
        for student in rows["student"].unique(maintain_order=True):
            mine = rows.filter((pl.col("student") == student) & pl.col("granularity").is_not_null())
            if mine.height < 2:
                continue
            levels = {
                level: study.tables_of(**group, control=None, student=student, granularity=level)
                for level in mine["granularity"]
            }
            study.curves[*group.values(), student] = curve(levels)
    return study


def tables(study: Study, not_run: Sequence[NotRun]) -> list[Table]:
    """All tables that there is something to say in, in the order in which to read them."""
    made = [
        *_by_level(study),
        _curves(study),
        _gains(study),
        *_other_factors(study),
        _variance(study),
        _costs(study),
        _not_run(not_run),
    ]
    return [one for one in made if one is not None]


def named(group: Mapping[str, Any], study: Study) -> str:
    """A group in words: what varies in this study."""
    varied = [name for name in GROUP if study.arms.filter(pl.col("control").is_null())[name].n_unique() > 1]
    said = [_factor(name, group[name]) for name in varied]
    return ", ".join(said)


def _by_level(study: Study) -> Iterator[Table]:
    """Students down, levels across, as the paper has it."""
    levels = study.levels()
    controls = study.arms["control"].drop_nulls().unique(maintain_order=True).to_list()
    for group, rows in study.groups():
        bare = rows["granularity"].null_count() > 0
        places: list[int | None] = [*levels, *([None] if bare else [])]
        lines, best = [], []
        for student in rows["student"].unique(maintain_order=True):
            mine = {row["granularity"]: row for row in rows.filter(pl.col("student") == student).to_dicts()}
            cells = [mine.get(place) for place in places]
            known = [(row["accuracy"], i) for i, row in enumerate(cells) if row]
            best.append(max(known)[1] + 1 if known else None)
            others = [study.control(group, student, name) for name in controls]
            lines.append([student, *(accuracy(row) for row in (*cells, *others))])
        title = named(group, study)
        yield Table(
            f"Accuracy by level{': ' + title if title else ''}",
            ["student", *("no level" if place is None else f"L{place}" for place in places), *map(_words, controls)],
            lines,
            "Mean over seeds, in per cent, with a 95 % interval that counts seeds and test problems. The best level of"
            " each student is stressed; see below how sure that is.",
            best,
        )


def _curves(study: Study) -> Table | None:
    lines = []
    for key, made in study.curves.items():
        group, student = dict(zip(GROUP, key[:-1], strict=True)), key[-1]
        sure = ", ".join(f"L{level} {share:.0%}" for level, share in made.how_often.items() if share >= 0.05)
        lines.append(
            [
                *([named(group, study)] if named(group, study) else []),
                student,
                f"L{made.best}",
                sure,
                points(made.over_coarsest),
                points(made.over_finest),
                f"{made.trend:+.2f} (p = {made.trend_p:.3f})",
            ]
        )
    if not lines:
        return None
    first = ["arms"] if len(lines[0]) == 7 else []
    return Table(
        "Which level, for which student",
        [*first, "student", "best", "best in resamples", "best - coarsest", "best - finest", "trend"],
        lines,
        "*Best in resamples*: how often a level comes out best when test problems and seeds are drawn again."
        " Differences are in points, on the same problems; the best level was chosen by the same figures, so its lead"
        " is flattered. *Trend*: rank correlation of level and accuracy, with a permutation test; a peak in the middle"
        " has none.",
    )


def _gains(study: Study) -> Table | None:
    """What reasoning adds to bare answers; against strength, the Matthew effect."""
    lines, strength, gains = [], [], []
    for group, rows in study.groups():
        for student in rows["student"].unique(maintain_order=True):
            control = study.control(group, student, "answer_only")
            mine = rows.filter(pl.col("student") == student).sort("accuracy", descending=True)
            if control is None or not mine.height:
                continue
            top = mine.row(0, named=True)
            factors = {name: top[name] for name in (*GROUP, "student", "granularity")}
            bare = {"dataset": group["dataset"], "size": group["size"], "student": student, "control": "answer_only"}
            gain = difference(study.tables_of(**bare), study.tables_of(**factors, control=None))
            strength.append(control["accuracy"])
            gains.append(gain[0])
            what = [named(group, study)] if named(group, study) else []
            lines.append([*what, student, accuracy(control), _level(top["granularity"]), accuracy(top), points(gain)])
    if not lines:
        return None
    first = ["arms"] if len(lines[0]) == 6 else []
    rank = spearman(np.array(strength), np.array(gains))
    said = "" if rank is None else f" Rank correlation of gain and answer-only accuracy over these lines: {rank:+.2f}."
    return Table(
        "Gain over bare answers",
        [*first, "student", "answer only", "best level", "its accuracy", "gain"],
        lines,
        f"Points that traces of the best level add to training on bare answers to the same problems.{said} The paper's"
        " reading is that stronger students gain more; fewer than three students cannot show it.",
    )


def _other_factors(study: Study) -> Iterator[Table]:
    """Students and levels down, the values of one other factor across, where it has several."""
    taught = study.arms.filter(pl.col("control").is_null())
    for name in OTHERS:
        values = taught[name].unique(maintain_order=True).to_list()
        if len(values) < 2:
            continue
        rest = [other for other in OTHERS if other != name and taught[other].n_unique() > 1]
        lines = []
        for key, rows in taught.group_by("student", "granularity", *rest, maintain_order=True):
            there = {row[name]: row for row in rows.to_dicts()}
            if len(there) > 1:
                told = [_factor(other, value) for other, value in zip(rest, key[2:], strict=True)]
                lines.append([str(key[0]), _level(key[1]), *told, *(accuracy(there.get(value)) for value in values)])
        if lines:
            heads = ["student", "level", *rest, *(_factor(name, value) for value in values)]
            yield Table(f"Accuracy by {name}", heads, lines)


def _variance(study: Study) -> Table | None:
    taught = study.frame.filter(pl.col("control").is_null())
    parts = decompose(taught)
    if not parts:
        return None
    lines = [
        [
            part.term.replace("granularity", "level"),
            f"{part.share:.1%}",
            str(part.freedom),
            "-" if part.f is None else f"{part.f:.1f}",
            "-" if part.p is None else f"{part.p:.2g}",
        ]
        for part in parts
    ]
    n = float(taught["n"].sum()) / taught.height
    noise = (taught["accuracy"] * (1 - taught["accuracy"]) / taught["n"]).mean()
    assert isinstance(noise, float)
    return Table(
        "Share of variance",
        ["factor", "share", "degrees of freedom", "F", "p"],
        lines,
        f"Type II sums of squares over {taught.height} students; a cross (x) is what two factors do together beyond"
        f" each alone; the rest goes with {'what crosses do' if taught['seed'].n_unique() == 1 else 'the seed'}."
        f" {n:,.0f} test problems by themselves give an accuracy a standard error of {100 * noise**0.5:.1f}"
        " points, which all arms share as far as they answer the same problems.",
    )


def _costs(study: Study) -> Table:
    taught = study.arms.filter(pl.col("control").is_null() | (pl.col("control") == "answer_only"))
    by = taught.group_by("student", "control", "granularity", maintain_order=True).agg(
        pl.col("rows").first(), pl.col("train_tokens", "answer_tokens", "unparseable", "truncated").mean()
    )
    lines = [
        [
            row["student"],
            _words(row["control"]) if row["control"] else _level(row["granularity"]),
            f"{row['rows']:,}",
            *("-" if row[k] is None else f"{row[k]:,.0f}" for k in ("train_tokens", "answer_tokens")),
            *(f"{row[k]:.1%}" for k in ("unparseable", "truncated")),
        ]
        for row in by.to_dicts()
    ]
    heads = ["student", "level", "rows", "tokens trained on", "tokens an answer", "unparseable", "truncated"]
    return Table("What it took", heads, lines, "Means over seeds and over the factors not shown.")


def _not_run(not_run: Sequence[NotRun]) -> Table:
    lines = [[one.what, one.why] for one in not_run]
    return Table("Not run", ["arm", "why"], lines, "" if lines else "Every arm that was asked for was run.", prose=True)


def accuracy(row: Mapping[str, Any] | None) -> str:
    """`53.4 [50.1, 56.7]`."""
    if row is None:
        return "-"
    return f"{100 * row['accuracy']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def points(found: tuple[float, float, float]) -> str:
    """A difference in points with its interval."""
    return f"{100 * found[0]:+.1f} [{100 * found[1]:+.1f}, {100 * found[2]:+.1f}]"


def _level(level: int | None) -> str:
    return "no level" if level is None else f"L{level}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _factor(name: str, value: Any) -> str:
    if name == "size":
        return "all problems" if value is None else f"{value:,} problems"
    return "-" if value is None else _words(str(value))


def figures(study: Study) -> dict[str, Any]:
    """What study.json holds besides tables: curves and shares of variance as numbers."""
    taught = study.frame.filter(pl.col("control").is_null())
    return {
        "curves": [
            {**dict(zip((*GROUP, "student"), key, strict=True)), **asdict(made)} for key, made in study.curves.items()
        ],
        "variance": [asdict(part) for part in decompose(taught)],
        "arms": study.arms.to_dicts(),
    }
