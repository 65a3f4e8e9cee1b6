"""Does a card say what the data say? The card is made again, and every line that differs is a finding.

Only what stands between the marks for notes is not looked at.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Final

import orjson

from curation.cards.facts import facts
from curation.cards.pictures import FOLDER, PICTURES, held_note, note_of
from curation.cards.render import CROISSANT, has_pictures, rendered

SHOWN: Final = 160
"""Characters of a line that a finding quotes."""


def check_card(directory: Path) -> list[dict[str, Any]]:
    """Hold the card of a dataset against its data.

    Returns:
        What does not agree: file, line (in that file; null: none), said (by the card; null: nothing), should (null: it
        should not be there). Empty when all agrees.

    Raises:
        CotmillError: there is no dataset at `directory`.
    """
    from curation.packaging.dataset import read_manifest

    manifest, counted = read_manifest(directory), facts(directory)
    text, described = rendered(directory, manifest, counted)
    return [
        *_counts(manifest, counted),
        *_text(directory / "README.md", text),
        *_croissant(directory / CROISSANT, described),
        *(_pictures(directory, note_of(counted, manifest)) if has_pictures(directory) else ()),
    ]


def _counts(manifest: dict[str, Any], counted: dict[str, Any]) -> list[dict[str, Any]]:
    """What dataset.json counts, where rows say it, too."""
    firsts = {reason["reason"]: reason["first"] for reason in counted["reasons"] if reason["first"]}
    splits = {split["split"]: split["rows"] for split in counted["splits"]}
    facts_of = {"rows": counted["rows"], "kept": counted["kept"], "removed": firsts, "problems": counted["problems"]}
    found = []
    for key, should in facts_of.items():
        if (said := manifest.get(key)) is not None and said != should:
            found.append(_finding("dataset.json", None, f"{key}: {said}", f"{key}: {should}"))
    said = {name: rows for name, rows in manifest.get("splits", {}).items() if rows}
    if said != splits:
        found.append(_finding("dataset.json", None, f"splits: {said}", f"splits: {splits}"))
    return found


def _text(card: Path, should: str) -> list[dict[str, Any]]:
    if not card.is_file():
        return [_finding(card.name, None, None, "a card")]
    said, right = card.read_text("utf-8").splitlines(), should.splitlines()
    found = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, said, right, autojunk=False).get_opcodes():
        if kind != "equal":
            for i in range(max(b - a, d - c)):
                left = said[a + i] if a + i < b else None
                found.append(_finding(card.name, min(a + i, b) + 1, left, right[c + i] if c + i < d else None))
    return found


def _croissant(file: Path, should: dict[str, Any]) -> list[dict[str, Any]]:
    if not file.is_file():
        return [_finding(file.name, None, None, "the metadata")]
    try:
        said = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        return [_finding(file.name, None, f"no JSON: {error}", "the metadata")]
    if not isinstance(said, dict):
        return [_finding(file.name, None, "no JSON object", "the metadata")]
    keys = [key for key in dict.fromkeys([*should, *said]) if said.get(key) != should.get(key)]
    return [_finding(file.name, None, f"{key}: {said.get(key)}", f"{key}: {should.get(key)}") for key in keys]


def _pictures(directory: Path, note: str) -> list[dict[str, Any]]:
    paths = [directory / FOLDER / name for name in PICTURES]
    return [
        _finding(f"{FOLDER}/{path.name}", None, "shows other numbers", "a picture of these data")
        for path in paths
        if held_note(path) != note
    ]


def _finding(file: str, line: int | None, said: str | None, should: str | None) -> dict[str, Any]:
    cut = [text if text is None or len(text) <= SHOWN else f"{text[:SHOWN]} …" for text in (said, should)]
    return {"file": file, "line": line, "said": cut[0], "should": cut[1]}
