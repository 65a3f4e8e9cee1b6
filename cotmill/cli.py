"""The command line. A command parses, calls one function of `cotmill`, prints what it returns."""

from __future__ import annotations

from cotmill.commands import building, carding, curating, publishing, students, studying, tools
from cotmill.commands.base import app

__all__ = ["app", "building", "carding", "curating", "main", "publishing", "students", "studying", "tools"]


def main() -> None:
    """Entry point of the console script."""
    app()
