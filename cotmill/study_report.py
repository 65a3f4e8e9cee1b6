"""A study's report: report.md and one self-contained report.html, from the same tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl

from builders.disk import replacing
from cotmill.study_figures import draw
from cotmill.study_tables import Table, figures, gather, tables
from training.study.arms import NotRun
from training.study.config import StudyConfig


def write_report(
    study: StudyConfig,
    frame: pl.DataFrame,
    arms: pl.DataFrame,
    not_run: Sequence[NotRun],
    problems: Mapping[str, int],
    out: Path,
) -> dict[str, Any]:
    """Write `out/report.md`, `out/report.html` and a picture each beside it.

    Args:
        study: what was asked.
        frame: RESULTS, a row per arm and seed.
        arms: a row per arm; see `training.study.results.over_seeds`.
        not_run: what there is no row for.
        problems: dataset -> problems that all its arms have.
        out: directory of the study.

    Returns:
        The figures behind the tables: curves, variance, arms.
    """
    found = gather(frame, arms, out)
    pictures, made = draw(found), tables(found, not_run)
    lead = _lead(study, frame, problems)
    with replacing(out / "report.html") as temporary:
        temporary.write_text(_html(study.name, lead, pictures, made), encoding="utf-8")
    names = {}
    for number, (caption, svg) in enumerate(pictures.items(), 1):
        names[caption] = f"figure-{number}.svg"
        with replacing(out / names[caption]) as temporary:
            temporary.write_text(svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1), encoding="utf-8")
    with replacing(out / "report.md") as temporary:
        temporary.write_text(_markdown(study.name, lead, names, made), encoding="utf-8")
    return {"name": study.name, "problems": dict(problems), **figures(found)}


def _lead(study: StudyConfig, frame: pl.DataFrame, problems: Mapping[str, int]) -> list[str]:
    seeds = frame["seed"].n_unique()
    trained = ", ".join(_taught(frame.filter(dataset=name), count, name) for name, count in problems.items())
    asked = frame.select("dataset", "n").unique(maintain_order=True).rows()
    tested = ", ".join(f"{n:,} of {name}" for name, n in asked)
    minutes = frame["seconds"].sum() / 60
    return [
        *([study.description] if study.description else []),
        f"{frame.height} students, {seeds} {'seed' if seeds == 1 else 'seeds'}, {minutes:,.1f} minutes in all. Every"
        f" arm was trained on the same problems ({trained}) and tested on the same held-out ones ({tested}).",
    ]


def _taught(frame: pl.DataFrame, count: int, name: str) -> str:
    """How many of the common problems of a dataset its arms were trained on."""
    sizes = frame.filter(pl.col("control").ne_missing("untrained"))["size"].unique().sort().to_list()
    if sizes == [None] or not sizes:
        return f"{count:,} problems of {name}"
    return f"{' or '.join(f'{size or count:,}' for size in sizes)} of {count:,} problems of {name}"


def _html(name: str, lead: list[str], pictures: Mapping[str, str], made: Sequence[Table]) -> str:
    from jinja2 import Environment

    text = files("cotmill").joinpath("study_report.html.j2").read_text("utf-8")
    page = Environment(autoescape=True, keep_trailing_newline=True).from_string(text)
    return page.render(name=name, lead=lead, pictures=pictures, tables=made)


def _markdown(name: str, lead: list[str], pictures: Mapping[str, str], made: Sequence[Table]) -> str:
    parts = [f"# {_cell(name)}", *map(_cell, lead), *(f"![{caption}]({file})" for caption, file in pictures.items())]
    for table in made:
        parts.append(f"## {_cell(table.title)}")
        if table.rows:
            parts.append(_grid(table))
        if table.note:
            parts.append(table.note)
    return "\n\n".join(parts) + "\n"


def _grid(table: Table) -> str:
    rule = "|".join(["---", *["---" if table.prose else "--:"] * (len(table.columns) - 1)])
    lines = []
    for number, row in enumerate(table.rows):
        best = table.best[number] if table.best else None
        cells = [f"**{_cell(cell)}**" if place == best else _cell(cell) for place, cell in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return f"| {' | '.join(map(_cell, table.columns))} |\n|{rule}|\n" + "\n".join(lines)


def _cell(text: str) -> str:
    """Text that cannot break out of its cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
