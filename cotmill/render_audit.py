"""What `cotmill verify --audit` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cotmill.render import table

SHOWN: Final = 20
"""Rows of a list; all of them are in the JSON."""
WIDTH: Final = 60
"""Characters of a gold or an answer."""


def of_audit(audit: Mapping[str, Any]) -> str:
    """The audit of `curation.verification.audit`, with its faults first to be looked at."""
    golds, sample = audit["golds"], audit["sample"]
    differ = len(sample["disagreements"])
    lines = [
        f"{golds['verified']:,} of {golds['distinct']:,} distinct gold answers verify against themselves"
        + (
            f"; algebra cannot read {golds['unread']:,}, which are compared by spelling alone."
            if golds["unread"]
            else "."
        )
    ]
    if golds["failed"]:
        columns = {
            "gold": "gold",
            "answer_type": "type",
            "traces": "traces",
            "exact": "tier one",
            "algebra": "tier two",
        }
        lines += ["", _list(columns, golds["failed"], "Gold answers that do not"), ""]
    lines.append(
        f"The two tiers disagree on {differ:,} of {sample['compared']:,} sampled traces that both can judge "
        f"({sample['rows']:,} were drawn)."
    )
    if differ:
        columns = {"trace_id": "trace", "gold": "gold", "answer": "answer", "exact": "tier one", "algebra": "tier two"}
        lines += ["", _list(columns, sample["disagreements"], "Disagreements")]
    return "\n".join(lines)


def _list(columns: Mapping[str, str], rows: list[dict[str, Any]], title: str) -> str:
    short = [{key: _short(value) for key, value in row.items()} for row in rows[:SHOWN]]
    rest = f"\n... and {len(rows) - SHOWN:,} more (--json has all)" if len(rows) > SHOWN else ""
    return table(columns, short, title) + rest


def _short(value: Any) -> Any:
    """One line; line breaks and control characters are shown as escapes."""
    if not isinstance(value, str):
        return value
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
