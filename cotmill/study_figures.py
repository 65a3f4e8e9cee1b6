"""Pictures of a study as SVG text: curves over levels, and heat maps. Only drawing; colours are those of reports.

The SVG has no links and loads nothing, so it can stand inside a page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from cotmill.study_tables import Study, named
from curation.comparing.figures import COLOURS, GRID, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>P"
CURVES = (
    "Accuracy over granularity: means over seeds with 95 % intervals; pale dots are single seeds. Dashed: bare answers,"
    " without traces."
)


def draw(study: Study) -> dict[str, str]:
    """Caption -> SVG, in the order in which to look at them; empty where arms have no levels."""
    if len(study.levels()) < 2:
        return {}
    made = {CURVES: _curves(study)}
    if sum(1 for _ in study.groups()) > 1 or len(study.students()) > 1:
        made["Accuracy (%) by student and level."] = _heat(study)
    return {caption: _svg(figure) for caption, figure in made.items()}


def _axes(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    across = min(panels, 2)
    down = -(-panels // across)
    figure = Figure(figsize=(width * across, height * down), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    axes = [figure.add_subplot(down, across, number + 1) for number in range(panels)]
    for axis in axes:
        axis.tick_params(colors=INK, labelsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#888888")
    return figure, axes


def _curves(study: Study) -> Figure:
    """A panel for each group, a line for each student."""
    groups = list(study.groups())
    figure, axes = _axes(len(groups), 6.2, 4.2)
    students, levels = study.students(), study.levels()
    for axis, (group, rows) in zip(axes, groups, strict=True):
        for number, student in enumerate(students):
            mine = rows.filter((pl.col("student") == student) & pl.col("granularity").is_not_null()).sort("granularity")
            if mine.height:
                shift = 0.24 * (number / (len(students) - 1) - 0.5) if len(students) > 1 else 0.0
                _line(axis, mine, number, shift, student)
                _dots(axis, study.runs(**group, control=None, student=student), number, shift)
            if control := study.control(group, student, "answer_only"):
                colour = COLOURS[number % len(COLOURS)]
                axis.axhline(100 * control["accuracy"], color=colour, linewidth=1.2, linestyle="--", alpha=0.8)
        axis.set_xticks(levels)
        axis.set_xlabel("level (1 coarsest, 6 finest)", fontsize=11, color=INK)
        axis.set_ylabel("accuracy (%)", fontsize=11, color=INK)
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.set_title(named(group, study), fontsize=11, color=INK)
    top = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:  # panels are there to be compared
        axis.set_ylim(0, top)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=10)
    return figure


def _dots(axis: Axes, runs: pl.DataFrame, number: int, shift: float) -> None:
    runs = runs.drop_nulls("granularity")
    if runs["seed"].n_unique() > 1:
        x, y = runs["granularity"].to_numpy() + shift + 0.09, 100 * runs["accuracy"].to_numpy()
        axis.scatter(x, y, s=16, color=COLOURS[number % len(COLOURS)], alpha=0.6, linewidths=0)


def _line(axis: Axes, mine: pl.DataFrame, number: int, shift: float, student: str) -> None:
    y = 100 * mine["accuracy"].to_numpy()
    spread = [abs(100 * mine[end].to_numpy() - y) for end in ("low", "high")]
    axis.errorbar(
        mine["granularity"].to_numpy() + shift, y, yerr=spread, label=student, color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)], markersize=5, linewidth=1.6, elinewidth=1.1, capsize=2.5,
    )  # fmt: skip


def _heat(study: Study) -> Figure:
    """Groups and students down, levels across."""
    import numpy as np
    from matplotlib import colormaps

    levels = study.levels()
    names, grid = [], []
    for group, rows in study.groups():
        for student in rows["student"].unique(maintain_order=True):
            at: Mapping[Any, Any] = {r["granularity"]: r for r in rows.filter(pl.col("student") == student).to_dicts()}
            grid.append([100 * at[level]["accuracy"] if level in at else np.nan for level in levels])
            said = named(group, study)
            names.append(f"{student}, {said}" if said else student)
    figure, (axis,) = _axes(1, 3.4 + 0.8 * len(levels), 1.2 + 0.4 * len(names))
    values = np.array(grid)
    known = values[~np.isnan(values)]
    span = max(float(np.ptp(known)), 1e-9)
    low = float(known.min())
    colours = colormaps["YlGnBu"].with_extremes(bad="#F7F7F7")
    axis.imshow(values, cmap=colours, vmin=low - 0.05 * span, vmax=low + 1.8 * span, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            axis.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=10, color="black")
    axis.set_xticks(range(len(levels)), [f"L{level}" for level in levels])
    axis.set_yticks(range(len(names)), names)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure


def _svg(figure: Figure) -> str:
    """The figure alone: no XML header, no document type, no metadata; the same bytes for the same figures."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "cotmill", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href=", "href=")
