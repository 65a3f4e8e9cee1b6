"""What teachers were told: the different prompts of a corpus, for dataset.json and the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builders.identity import digest


def prompts_of(arms: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The different prompts, by level and format.

    Args:
        arms: of corpus.json.

    Returns:
        level, format, teachers (who were asked so), head: list of [role, text], all that stood before the question.
        Imported traces have no prompt and no entry.
    """
    found: dict[str, dict[str, Any]] = {}
    for arm in arms.values():
        prompt = arm.get("prompt") or {}
        if not isinstance(prompt, Mapping) or not prompt.get("head"):
            continue
        said = {"level": prompt.get("level"), "format": prompt.get("format"), "head": prompt["head"]}
        entry = found.setdefault(digest(said), {**said, "teachers": []})
        if arm.get("teacher") not in entry["teachers"]:
            entry["teachers"].append(arm.get("teacher"))
    order = sorted(
        found.values(), key=lambda e: (e["format"] or "", e["level"] is None, e["level"] or 0, str(e["head"]))
    )
    return [entry | {"teachers": sorted(map(str, entry["teachers"]))} for entry in order]
