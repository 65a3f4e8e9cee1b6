"""Pictures of teachers side by side, as PNG. Only drawing: every number comes out of the table of arms.

Colour says the teacher, line and marker say the format; colours are Okabe and Ito's, which people with
any common colour blindness tell apart. matplotlib is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from builders.disk import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A6A00", "#444444")
STYLES: Final = {
    "original": ("-", "o"),
    "least_to_most": ("--", "s"),
    "rephrase_and_respond": (":", "^"),
    "symbolic": ("-.", "D"),
}
OTHER_STYLE: Final = ((0, (5, 1, 1, 1, 1, 1)), "v")
INK, GRID = "#222222", "#DDDDDD"
SPREAD: Final = 0.46
"""Levels that the arms of one level are spread over, so that their intervals do not hide each other."""

Row = Mapping[str, Any]


def draw(
    arms: pl.DataFrame,
    folder: Path,
    names: Sequence[str] = ("levels.png", "lengths.png", "heatmap.png"),
    note: str | None = None,
) -> list[Path]:
    """Draw all figures that the arms have numbers for.

    Args:
        arms: as `curation.comparing.compare.compare` gives them.
        folder: where the pictures go, each whole or not at all.
        names: which of them.
        note: see `save`.

    Returns:
        The files, in the order in which to look at them.
    """
    series, made = _series(arms), {"levels.png": _levels, "lengths.png": _lengths, "heatmap.png": _heatmap}
    for name in names:
        save(made[name](series), folder / name, note)
    return [folder / name for name in names]


def save(figure: Figure, path: Path, note: str | None = None) -> None:
    """Write a picture, whole or not at all; `note` is text inside the PNG, for programs."""
    with replacing(path) as temporary:
        said = {"Comment": note} if note else None
        figure.savefig(temporary, dpi=150, format="png", facecolor="white", metadata=said)


Series = dict[tuple[str, str], list[dict[str, Any]]]
"""(teacher, format) -> its arms, by level; those without a level last."""


def _series(arms: pl.DataFrame) -> Series:
    found: Series = {}
    plain_first = pl.col("format") != "original"
    for row in arms.sort("teacher", plain_first, "format", "granularity", nulls_last=True).to_dicts():
        found.setdefault((row["teacher"] or "unknown", row["format"] or "original"), []).append(row)
    return found


def _name(key: tuple[str, str]) -> str:
    teacher, form = key
    return teacher if form == "original" else f"{teacher}, {form.replace('_', '-')}"


def _look(series: Series) -> dict[tuple[str, str], dict[str, Any]]:
    teachers = list(dict.fromkeys(teacher for teacher, _ in series))
    looks = {}
    for teacher, form in series:
        line, marker = STYLES.get(form, OTHER_STYLE)
        colour = COLOURS[teachers.index(teacher) % len(COLOURS)]
        looks[teacher, form] = {"color": colour, "linestyle": line, "marker": marker}
    return looks


def new_figure(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, in inches, in the style of all pictures."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06)
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    axes = [figure.add_subplot(1, panels, number + 1) for number in range(panels)]
    for axis in axes:
        axis.set_facecolor("white")
        axis.tick_params(colors=INK, labelsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#888888")
    return figure, axes


def _shift(number: int, count: int) -> float:
    return SPREAD * (number / (count - 1) - 0.5) if count > 1 else 0.0


def _level_axis(axis: Axes, levels: Sequence[int]) -> None:
    axis.set_xticks(levels)
    axis.set_xlabel("requested level (1 coarsest, 6 finest)", fontsize=11, color=INK)
    if levels:
        axis.set_xlim(min(levels) - 0.5, max(levels) + 0.5)


def _known_levels(series: Series) -> list[int]:
    return sorted({row["granularity"] for rows in series.values() for row in rows if row["granularity"] is not None})


def _levels(series: Series) -> Figure:
    """Verified share and detail over the level, each with its 95 % interval."""
    levels = _known_levels(series)
    figure, axes = new_figure(2, 11.5, 4.2 + 0.24 * ((len(series) + 2) // 3))
    for axis, key, scale, label in (
        (axes[0], "verified", 100, "verified traces (%)"),
        (axes[1], "detail", 1, "detail (+1: about twice as much)"),
    ):
        for number, (name, look) in enumerate(_look(series).items()):
            rows = [row for row in series[name] if row[key] is not None]
            _points(axis, rows, key, scale, _shift(number, len(series)), look, _name(name))
        axis.set_ylabel(label, fontsize=11, color=INK)
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        _level_axis(axis, levels)
    made = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    order = [text for name in series for text in (_name(name), f"{_name(name)} (no level)") if text in made]
    handles = {text: made[text] for text in order}
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=3, frameon=False, fontsize=10,
        handlelength=3.2,
    )  # fmt: skip
    return figure


def _points(
    axis: Axes, rows: Sequence[Row], key: str, scale: float, shift: float, look: Mapping[str, Any], name: str
) -> None:
    """A line through the levels; arms without a level are a band across."""
    placed = [row for row in rows if row["granularity"] is not None]
    if placed:
        low, high = (
            [
                scale * abs((row[f"{key}_{end}"] if row[f"{key}_{end}"] is not None else row[key]) - row[key])
                for row in placed
            ]
            for end in ("low", "high")
        )
        axis.errorbar(
            [row["granularity"] + shift for row in placed], [scale * row[key] for row in placed], yerr=(low, high),
            capsize=2.5, markersize=5, linewidth=1.6, elinewidth=1.1, label=name, **look,
        )  # fmt: skip
    for row in rows:
        if row["granularity"] is None:
            axis.axhline(scale * row[key], color=look["color"], linewidth=1.4, alpha=0.9, label=f"{name} (no level)")
            if row[f"{key}_low"] is not None:
                band = (scale * row[f"{key}_low"], scale * row[f"{key}_high"])
                axis.axhspan(*band, color=look["color"], alpha=0.12, linewidth=0)


def _lengths(series: Series) -> Figure:
    """Words per trace: median, middle half and the middle nine tenths, by level."""
    levels = _known_levels(series)
    places: list[int | None] = [*levels]
    if any(row["granularity"] is None for rows in series.values() for row in rows):
        places.append(None)
    looks = _look(series)
    boxes = [
        (place, name, row)
        for place in places
        for name, rows in series.items()
        for row in rows
        if row["granularity"] == place and row["words"] is not None
    ]
    figure, (axis,) = new_figure(1, max(7.5, 2.2 + 0.42 * len(boxes)), 4.6 + 0.24 * ((len(series) + 3) // 4))
    x, ticks = 0.0, []
    for place in places:
        start = x
        for found, name, row in boxes:
            if found == place:
                _box(axis, x, row, looks[name])
                x += 0.42
        ticks.append((start + x - 0.42) / 2)
        x += 0.4
    axis.set_xticks(ticks, ["no level" if place is None else str(place) for place in places])
    axis.set_xlabel("requested level (1 coarsest, 6 finest)", fontsize=11, color=INK)
    axis.set_ylabel("words per trace", fontsize=11, color=INK)
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    _box_legend(figure, looks)
    return figure


def _box(axis: Axes, x: float, row: Row, look: Mapping[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    low, first, middle, third, high = (row[f"words_{share}"] for share in (5, 25, 50, 75, 95))
    colour = look["color"]
    axis.plot([x, x], [low, high], color=colour, linewidth=1.3, zorder=2)
    axis.add_patch(Rectangle((x - 0.15, first), 0.3, third - first, facecolor="white", edgecolor="none", zorder=3))
    axis.add_patch(
        Rectangle(
            (x - 0.15, first), 0.3, third - first, facecolor=(colour, 0.35), edgecolor=colour, zorder=3, linewidth=1.3,
            linestyle=look["linestyle"],
        )
    )  # fmt: skip
    axis.plot([x - 0.15, x + 0.15], [middle, middle], color=INK, linewidth=1.8, zorder=4, solid_capstyle="butt")
    axis.plot([x], [middle], marker=look["marker"], color=INK, markersize=4, zorder=5)


def _box_legend(figure: Figure, looks: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=(look["color"], 0.35), edgecolor=look["color"], linestyle=look["linestyle"], label=_name(name))
        for name, look in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=10)
    figure.suptitle("Bar: median. Box: the middle half. Line: 5 % to 95 %.", fontsize=10, color="#555555")


def _heatmap(series: Series) -> Figure:
    """Teacher x level: verified share and median words, written into the cells."""
    places: list[int | None] = [*_known_levels(series)]
    if any(row["granularity"] is None for rows in series.values() for row in rows):
        places.append(None)
    figure, axes = new_figure(2, 4.6 + 1.25 * len(places), 1.5 + 0.42 * len(series))
    for axis, key, scale, digits, title in (
        (axes[0], "verified", 100, 1, "verified traces (%)"),
        (axes[1], "words_median", 1, 0, "words per trace, median"),
    ):
        _cells(axis, series, places, key, scale, digits)
        axis.set_title(title, fontsize=11, color=INK)
        axis.set_xticks(range(len(places)), ["no\nlevel" if place is None else str(place) for place in places])
        axis.set_xlabel("requested level", fontsize=11, color=INK)
    axes[0].set_yticks(range(len(series)), [_name(name) for name in series])
    axes[1].set_yticks([])
    return figure


def _cells(axis: Axes, series: Series, places: Sequence[int | None], key: str, scale: float, digits: int) -> None:
    import numpy as np
    from matplotlib import colormaps

    grid = np.full((len(series), len(places)), np.nan)
    for y, rows in enumerate(series.values()):
        for row in rows:
            if row[key] is not None:
                grid[y, places.index(row["granularity"])] = scale * row[key]
    known = grid[~np.isnan(grid)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    span = max(high - low, 1e-9)
    # Only the light part of the map, so that the numbers stay readable in black.
    colours = colormaps["YlGnBu"].with_extremes(bad="#F7F7F7")
    axis.imshow(grid, cmap=colours, vmin=low - 0.05 * span, vmax=low + 1.8 * span, aspect="auto")
    for (y, x), value in np.ndenumerate(grid):
        if not np.isnan(value):
            axis.text(x, y, f"{value:.{digits}f}", ha="center", va="center", fontsize=10, color="black")
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(len(places) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(series) + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.tick_params(which="both", length=0)
