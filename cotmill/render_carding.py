"""What `cotmill card` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SHOWN: Final = 20
"""Findings; all of them are in the JSON."""


def of_card(summary: Mapping[str, Any]) -> str:
    """The files that were written, or what the card says and the data do not."""
    if not summary["checked"]:
        return "\n".join(f"wrote {file}" for file in summary["files"])
    found = summary["findings"]
    if not found:
        return f"The card of {summary['dataset']} says what the data say."
    lines = [line for finding in found[:SHOWN] for line in _finding(finding)]
    more = [f"... and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    head = f"{len(found)} things in the card of {summary['dataset']} are not as the data have them:"
    return "\n".join([head, *lines, *more, f"Write it anew: cotmill card {summary['dataset']}"])


def _finding(finding: Mapping[str, Any]) -> list[str]:
    place = finding["file"] if finding["line"] is None else f"{finding['file']}:{finding['line']}"
    return [
        f"  {place}",
        f"    says      {finding['said'] if finding['said'] is not None else '(nothing)'}",
        f"    should    {finding['should'] if finding['should'] is not None else '(not be there)'}",
    ]
