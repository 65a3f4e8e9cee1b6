"""What an import is told, and everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builders.errors import SourceError
from builders.importing.layout import KNOWN

ROLES = tuple(role for role in KNOWN if role not in ("answer_type", "gold_value", "status"))


@dataclass(frozen=True, slots=True)
class Options:
    """What goes before whatever the rows say, and what fills in where they say nothing."""

    teacher: str | None = None
    granularity: int | None = None
    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # role -> column
    answers: Path | None = None
    split: str | None = None
    config: str | None = None  # configuration of Hub datasets

    def wrong(self) -> list[str]:
        """One line for everything that no import can do."""
        lines = []
        if self.granularity is not None and not 1 <= self.granularity <= 6:
            lines.append(f"granularity {self.granularity} is outside 1 (coarsest) to 6 (finest)")
        lines += [
            f"map: there is no {role!r} to be found in a column; known: {', '.join(ROLES)}"
            for role in self.columns
            if role not in ROLES
        ]
        for name in ("teacher", "format", "split"):
            if (value := getattr(self, name)) is not None and not value.strip():
                lines.append(f"{name} is empty")
        return lines


def read_map(text: str) -> dict[str, str]:
    """`question=COL,response=COL` as a mapping.

    Raises:
        SourceError: a part is no `role=column`.
    """
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    if bad := [f"{role}{sign}{column}" for role, sign, column in parts if not (role.strip() and column.strip())]:
        raise SourceError(f"map: {', '.join(bad)} is not role=column.\nRoles: {', '.join(ROLES)}.")
    return {role.strip(): column.strip() for role, _, column in parts}


def refuse(lines: Sequence[str]) -> SourceError:
    """All of it in one error."""
    listed = "\n".join("  " + line.replace("\n", "\n  ") for line in lines)
    return SourceError(f"cannot import:\n{listed}\nNothing was written. Every layout that is known: docs/import.md")
