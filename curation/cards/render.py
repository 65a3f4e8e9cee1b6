"""The card itself: README.md, croissant.json and pictures of a dataset, from its facts and a template.

A card is a function of the dataset's directory and of the card that was there before: the list of changes goes on, and
what people wrote between the marks of `NOTES` stays. Everything else is made anew.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from builders.disk import replacing, write_json
from curation.cards.changes import changes
from curation.cards.citations import citations
from curation.cards.croissant import croissant
from curation.cards.facts import facts
from curation.cards.licenses import licenses
from curation.cards.markdown import FILTERS
from curation.cards.metadata import metadata
from curation.cards.pictures import FOLDER, PICTURES, draw_pictures
from curation.cards.tables import tables
from curation.packaging.layout import DEFAULT, REMOVED

NOTES: Final = ("<!-- notes: what stands here stays -->", "<!-- end of notes -->")
CROISSANT: Final = "croissant.json"
PROMPTS: Final = 24
"""Prompts that a card shows; dataset.json has all."""


def write_card(directory: Path, *, former: Path | None = None, pictures: bool = True) -> list[Path]:
    """Write README.md and croissant.json, and draw the pictures, of the dataset at `directory`.

    Args:
        directory: has data and dataset.json.
        former: the dataset that this one takes the place of; default: `directory` itself.
        pictures: whether to draw. What is there already is drawn anew in any case.

    Returns:
        The files.

    Raises:
        CotmillError: there is no dataset, or its license promises more than its sources give.
    """
    from curation.packaging.dataset import read_manifest

    manifest, counted = read_manifest(directory), facts(directory)
    drawn = draw_pictures(directory, counted, manifest) if pictures or has_pictures(directory) else []
    text, described = _render(directory, manifest, counted, former or directory)
    with replacing(directory / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(directory / CROISSANT, described)
    return [directory / "README.md", directory / CROISSANT, *drawn]


def render_card(directory: Path, *, former: Path | None = None) -> str:
    """The text of README.md for the dataset at `directory`; see `write_card`."""
    from curation.packaging.dataset import read_manifest

    return _render(directory, read_manifest(directory), facts(directory), former or directory)[0]


def rendered(directory: Path, manifest: dict[str, Any], counted: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """README.md and croissant.json as they should be, for `curation.cards.check`."""
    return _render(directory, manifest, counted, directory)


def has_pictures(directory: Path) -> bool:
    """Whether the card shows pictures."""
    return all((directory / FOLDER / name).is_file() for name in PICTURES)


def _render(
    directory: Path, manifest: dict[str, Any], counted: dict[str, Any], former: Path
) -> tuple[str, dict[str, Any]]:
    from jinja2 import Environment, StrictUndefined

    configs = tables(directory, manifest)
    names = sorted({arm["teacher"] for arm in counted["by_arm"] if arm["teacher"] is not None})
    license = licenses(manifest, counted["sources"], names)
    leveled = any(arm["granularity"] is not None for arm in counted["by_arm"])
    cited = citations(manifest["passes"], [*license["sources"], *license["teachers"]], leveled)
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= FILTERS
    template = environment.from_string((files("data_cards") / "dataset.md.j2").read_text(encoding="utf-8"))
    keep = manifest["curate"]["keep"]
    told = _told(counted, license["sources"])
    text = template.render(
        metadata=metadata(manifest, counted, configs),
        name=manifest["name"],
        manifest=manifest,
        facts=counted,
        told=told,
        conditions=[keep] if isinstance(keep, str) else keep,
        pictures=PICTURES if has_pictures(directory) else {},
        prompts=manifest.get("prompts", [])[:PROMPTS],
        more_prompts=max(0, len(manifest.get("prompts", [])) - PROMPTS),
        configs=[name for name in configs if name not in (DEFAULT, REMOVED, "pairs")],
        license=license,
        cited=cited,
        verdicts=_verdicts(counted),
        changes=changes(manifest, counted, former),
        notes=_notes(former / "README.md"),
        marks=NOTES,
    )
    said = {"description": " ".join(told), "license": license["license"], "files": counted["files"]}
    return text, croissant(directory, manifest, configs, said, cited["bibtex"])


def _told(counted: dict[str, Any], sources: list[dict[str, Any]]) -> list[str]:
    """What it is, in three sentences, plain text."""
    arms = [arm for arm in counted["by_arm"] if arm["kept"]]
    teachers = _listed(sorted({str(arm["teacher"]) for arm in arms}))
    levels = sorted({arm["granularity"] for arm in arms if arm["granularity"] is not None})
    formats = sorted({str(arm["format"]) for arm in arms if arm["format"] not in (None, "original")})
    at = f" at {_levels(levels)}" if levels else ""
    form = f", also in the format{'s' if len(formats) > 1 else ''} {_listed(formats)}" if formats else ""
    there = {str(one["source"]) for one in counted["sources"] if one["kept"]}
    titles = _listed([one["title"] for one in sources if there & set(one["names"])] or ["of no known source"])
    first = (
        f"{_count(counted['kept'], 'chain-of-thought trace')} for {_count(counted['problems'], 'problem')} ({titles}), "
    )
    first += f"written by {teachers}{at}{form}."
    gone = counted["rows"] - counted["kept"]
    second = (
        f"They were kept of {counted['rows']:,} traces; the other {gone:,} are in the config removed, with the reasons."
        if gone
        else "Every trace that was sampled was kept."
    )
    tokens = "" if counted["tokens"] is None else f", {counted['tokens']:,} tokens in all"
    third = (
        f"A row is a prompt and a completion as conversations{tokens}, with the problem, the answer and its verdict."
    )
    return [first, second, third]


def _verdicts(counted: dict[str, Any]) -> list[tuple[str | None, int]]:
    """Verdict -> removed rows, the most frequent first."""
    found: dict[str | None, int] = {}
    for row in counted["removed"]:
        found[row["verdict"]] = found.get(row["verdict"], 0) + row["rows"]
    return sorted(found.items(), key=lambda item: (-item[1], item[0] or ""))


def _levels(levels: list[int]) -> str:
    if len(levels) == 1:
        return f"level {levels[0]} of granularity"
    if levels == list(range(levels[0], levels[-1] + 1)):
        return f"levels {levels[0]} to {levels[-1]} of granularity"
    return f"the levels {_listed([str(level) for level in levels])} of granularity"


def _listed(names: list[str], most: int = 8) -> str:
    shown = names if len(names) <= most else [*names[:most], f"{len(names) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _notes(card: Path) -> str:
    """What people wrote between the marks; empty when there is nothing."""
    if not card.is_file():
        return ""
    found = re.search(rf"{re.escape(NOTES[0])}\n(.*?){re.escape(NOTES[1])}", card.read_text("utf-8"), re.DOTALL)
    return found[1] if found else ""
