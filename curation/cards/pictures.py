"""The pictures of a card, below `pictures/`: pipeline, funnel, levels and lengths. Only drawing; `facts` counts.

Each PNG holds a digest of the numbers that it shows, so that a picture of other data is found out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from builders.identity import digest
from curation.comparing.figures import COLOURS, INK, draw, new_figure, save
from curation.comparing.intervals import wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER: Final = "pictures"
PICTURES: Final = {
    "pipeline.png": "From problems over teachers, traces and passes to this dataset.",
    "funnel.png": "How many traces are left after each kind of rule.",
    "levels.png": "Share of correct traces among those sampled, and measured detail of those kept, by requested level.",
    "lengths.png": "Words per kept trace by requested level.",
}
"""File -> what a reader who cannot see it is told."""


def draw_pictures(directory: Path, counted: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[Path]:
    """Draw all pictures of a card into `<directory>/pictures`."""
    note, folder = note_of(counted, manifest), directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    _pipeline(folder / "pipeline.png", counted, manifest, note)
    _funnel(folder / "funnel.png", counted, note)
    draw(arms_of(counted), folder, ("levels.png", "lengths.png"), note)
    return [folder / name for name in PICTURES]


def note_of(counted: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The digest of everything that pictures show."""
    shown = {key: counted[key] for key in ("rows", "kept", "problems", "funnel", "by_arm", "measured", "sources")}
    return f"cotmill {digest(_plain({**shown, 'passes': list(manifest['passes'])}))}"


def held_note(picture: Path) -> str | None:
    """The digest inside a PNG; None: it holds none."""
    found = re.search(rb"cotmill [0-9a-f]{32}", picture.read_bytes())
    return found[0].decode() if found else None


def arms_of(counted: Mapping[str, Any]) -> pl.DataFrame:
    """One row per teacher, level and format with kept rows, columns as `curation.comparing.figures` draws them."""
    sampled = {(a["teacher"], a["granularity"], a["format"]): a for a in counted["by_arm"]}
    rows = []
    for arm in counted["measured"]["arms"]:
        of = sampled[arm["teacher"], arm["granularity"], arm["format"]]
        low, high = wilson_interval(of["correct"], of["judged"]) if of["judged"] else (None, None)
        rows.append(arm | {"verified": of["accuracy"], "verified_low": low, "verified_high": high})
    return pl.DataFrame(rows, infer_schema_length=None)


def _plain(value: Any) -> Any:
    """Floats to nine digits: sums in another order differ in the last bits, and such a picture is the same."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _funnel(path: Path, counted: Mapping[str, Any], note: str) -> None:
    """A bar per stage: what is left, and in light what it took away."""
    stages = [stage for stage in counted["funnel"] if stage["stage"] != "kept"] or counted["funnel"]
    figure, (axis,) = new_figure(1, 8.0, 0.9 + 0.46 * len(stages))
    for y, stage in enumerate(stages):
        axis.barh(y, stage["left"], color=COLOURS[0], height=0.62)
        axis.barh(y, stage["removed"], left=stage["left"], color=COLOURS[0], alpha=0.18, height=0.62)
        gone = f"   −{stage['removed']:,}" if stage["removed"] else ""
        axis.text(
            stage["left"] + stage["removed"], y, f"  {stage['left']:,}{gone}", va="center", fontsize=10, color=INK
        )
    axis.set_yticks(range(len(stages)), [stage["stage"] for stage in stages])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.22 * max(1, counted["rows"]))
    axis.set_xticks([])
    axis.spines[["bottom"]].set_visible(False)
    axis.set_title("traces left", fontsize=11, color=INK, loc="left")
    save(figure, path, note)


def _pipeline(path: Path, counted: Mapping[str, Any], manifest: Mapping[str, Any], note: str) -> None:
    """Five boxes and the arrows between them."""
    sources, teachers = len(counted["sources"]), len({arm["teacher"] for arm in counted["by_arm"]})
    boxes = [
        ("problems", f"{_several(sources, 'source')}"),
        ("teachers", f"{_several(teachers, 'teacher')}, {_several(len(counted['by_arm']), 'way')} of asking"),
        ("traces", f"{counted['rows']:,} sampled"),
        ("passes", _several(len(manifest["passes"]), "pass")),
        ("dataset", f"{counted['kept']:,} kept for {_several(counted['problems'], 'problem')}"),
    ]
    figure, (axis,) = new_figure(1, 11.0, 1.7)
    axis.set_axis_off()
    axis.set_xlim(0, len(boxes))
    axis.set_ylim(0, 1)
    for place, (title, text) in enumerate(boxes):
        _box(axis, place, title, text, last=place == len(boxes) - 1)
        if place:
            axis.annotate(
                "", xy=(place + 0.05, 0.5), xytext=(place - 0.05, 0.5), arrowprops={"arrowstyle": "->", "color": INK}
            )
    save(figure, path, note)


def _box(axis: Axes, place: int, title: str, text: str, *, last: bool) -> None:
    import textwrap

    from matplotlib.patches import FancyBboxPatch

    colour = COLOURS[2] if last else COLOURS[0]
    shape = FancyBboxPatch(
        (place + 0.09, 0.14), 0.82, 0.72, boxstyle="round,pad=0,rounding_size=0.05", facecolor=(colour, 0.12),
        edgecolor=colour, mutation_aspect=1.2,
    )  # fmt: skip
    axis.add_patch(shape)
    axis.text(place + 0.5, 0.68, title, ha="center", va="center", fontsize=11, fontweight="bold", color=INK)
    axis.text(place + 0.5, 0.38, textwrap.fill(text, 20), ha="center", va="center", fontsize=9.5, color=INK)


def _several(count: int, what: str) -> str:
    plural = {"pass": "passes"}.get(what, f"{what}s")
    return f"{count:,} {what if count == 1 else plural}"
