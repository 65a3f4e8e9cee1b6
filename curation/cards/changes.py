"""The list of changes in a card: one line per dataset that stood at this place, the newest first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

FIRST: Final = "First version."
_LINE: Final = re.compile(r"^- `([0-9a-f]{8})`: .* traces?\. (.*)$", re.MULTILINE)


def changes(manifest: Mapping[str, Any], counted: Mapping[str, Any], former: Path) -> list[str]:
    """The lines, Markdown.

    Args:
        manifest: dataset.json.
        counted: `curation.cards.facts.facts`: the newest line counts.
        former: a dataset whose card may hold lines already; when it is an earlier version, its lines go on here.
    """
    card, key = former / "README.md", manifest["fingerprint"][:8]
    lines = _lines(card.read_text("utf-8")) if card.is_file() else []
    head = f"- `{key}`: {counted['kept']:,} of {counted['rows']:,} traces."
    if lines and lines[0][0] == key:  # the same dataset, its card made anew
        return [f"{head} {lines[0][1]}", *(whole for _, _, whole in lines[1:])]
    return [f"{head} {_difference(manifest, former) if lines else FIRST}", *(whole for _, _, whole in lines)]


def _lines(card: str) -> list[tuple[str, str, str]]:
    """(fingerprint, what changed, the whole line) of each line of the section."""
    section = card.partition("\n## Changes\n")[2].partition("\n## ")[0]
    return [(found[1], found[2], found[0]) for found in _LINE.finditer(section)]


def _difference(manifest: Mapping[str, Any], former: Path) -> str:
    """What made it another dataset, in words without numbers."""
    try:
        before = orjson.loads((former / "dataset.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return "Made anew."
    found = ["the corpus"] if before.get("corpus") != manifest.get("corpus") else []
    old, new = before.get("passes", {}), manifest.get("passes", {})
    found += [f"the pass {name}" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    was, now = before.get("curate", {}), manifest.get("curate", {})
    ignored = ("passes",)
    found += [
        f"`curate.{key}`"
        for key in sorted(was.keys() | now.keys())
        if key not in ignored and was.get(key) != now.get(key)
    ]
    return f"Changed: {', '.join(found)}." if found else "Made anew."
