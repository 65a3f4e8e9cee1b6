"""The prompt of `cotmill sql DIR`: queries that end with `;`, answered one by one, read-only like all queries."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builders.errors import CotmillError
from cotmill.output import result, say

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

HISTORY: Final = Path.home() / ".cotmill_sql_history"
HELP: Final = (
    "End a query with ;   .views lists what there is   .quit (or Ctrl-D) leaves   Ctrl-C drops a half-typed query"
)


def converse(directory: str | Path, *, format: str = "table", allow_files: bool = False) -> None:
    """Answer queries from the terminal; or all of standard input, where that is no terminal.

    Raises:
        CotmillError: there is nothing to ask at `directory`; or, without a terminal, a query is wrong.
    """
    from curation.asking.sql import ask, connect, statements

    with connect(directory, allow_files=allow_files) as connection:
        if not sys.stdin.isatty():
            for query in statements(connection, sys.stdin.read()):
                result(ask(connection, query, format))
            return
        _remember()
        say(f"{directory}, read-only. {HELP}")
        _loop(connection, format)


def _loop(connection: DuckDBPyConnection, format: str) -> None:
    from curation.asking.sql import LISTED, ask, inventory

    held: list[str] = []
    while True:
        try:
            line = input("    ...> " if held else "cotmill> ")
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            held = []
            say("")
            continue
        word = line.strip()
        if not held and word in (".quit", ".exit", "quit", "exit"):
            return
        if not held and word.startswith("."):
            say(inventory(connection) if word == ".views" else HELP)
            continue
        if word:
            held.append(line)
        if held and word.endswith(";"):
            try:
                result(ask(connection, "\n".join(held).rstrip().removesuffix(";"), format))
            except CotmillError as error:
                say(f"error: {str(error).partition(LISTED)[0].rstrip()}")  # .views lists what there is
            except KeyboardInterrupt:
                say("stopped")
            held = []


def _remember() -> None:
    """Arrow keys and a history over sessions, where Python was built with readline."""
    try:
        import atexit
        import readline
    except ImportError:
        return
    with suppress(OSError):  # the first time there is none
        readline.read_history_file(HISTORY)
    readline.set_history_length(1_000)
    atexit.register(_save)


def _save() -> None:
    import readline

    with suppress(OSError):  # a home that cannot be written to is no reason to complain on leaving
        readline.write_history_file(HISTORY)
