"""SQL expressions that users write over traces and marks: checked, explained, and walled in.

A pass stands in SQL as a struct named after it, so that `verify.verdict = 'correct' and granularity <= 2`
means what it says and its `answer` is never confused with the trace's. DuckDB evaluates them; nothing
here is ever Python code, and no expression reads a file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from builders.errors import CotmillError
from builders.schema import TRACES
from curation.engine.sqlpass import UNSTEADY
from curation.passes import Pass

if TYPE_CHECKING:
    import duckdb

Kind = Literal["boolean", "number", "any"]
LOOKS_AROUND: Final = r"(?i)\b(over|select|from|table|values|with)\b"
"""Words without which an expression is about one row alone. Some rows have them and look at no other: no harm done."""
NUMBERS: Final = r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN)"


def wall_in(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """From here on the connection reads these files and no others, and nothing can change that."""
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"set allowed_paths = [{', '.join(map(literal, files))}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def marked(shards: Sequence[Path], passes: Sequence[Pass], marks: Mapping[str, Sequence[Path]]) -> str:
    """SELECT of all traces with one struct column per pass; marks are joined by trace id."""
    joins, columns = "", ""
    for made in passes:
        joins += (
            f" left join (select trace_id, {_struct(made)} as marks from {_read(marks[made.name])})"
            f" as {_name(made)} using (trace_id)"
        )
        columns += f", {_name(made)}.marks as {_name(made)}"
    return f"select traces.*{columns} from {_read(shards)} as traces{joins}"


def beside(
    shards: Sequence[Path],
    passes: Sequence[Pass],
    marks: Mapping[str, Sequence[Path]],
    columns: Sequence[str],
    types: Mapping[str, str],
) -> str:
    """As `marked`, of files whose rows stand in the same order: marks are put beside traces, which is five times as
    fast. A column `_aligned` says whether the ids of a row agree.

    Args:
        shards: trace files.
        passes: whose marks are put beside them.
        marks: pass -> its files, one per shard.
        columns: what the shards hold; the other columns of a trace are null.
        types: trace column -> DuckDB's type.
    """
    own = ", ".join(_quoted(c) if c in columns else f"null::{kind} as {_quoted(c)}" for c, kind in types.items())
    joins = "".join(
        f" positional join (select trace_id as _id, {_struct(made)} as marks from {_read(marks[made.name])})"
        f" as {_name(made)}"
        for made in passes
    )
    structs = "".join(f", {_name(made)}.marks as {_name(made)}" for made in passes)
    same = " and ".join(["true", *(f"{_name(made)}._id is not distinct from _t.trace_id" for made in passes)])
    return f"select _t.*{structs}, {same} as _aligned from (select {own} from {_read(shards)}) as _t{joins}"


def column_types(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Trace column -> DuckDB's type; ask before the connection is walled in."""
    connection.register("_empty", TRACES.to_frame().to_arrow())
    found = connection.execute("select column_name, column_type from (describe _empty)").fetchall()
    connection.unregister("_empty")
    return dict(found)


def check_condition(
    connection: duckdb.DuckDBPyConnection, condition: str, passes: Sequence[Pass], where: str = "curate.keep"
) -> None:
    """Raise CotmillError unless `condition` is one expression that is true or false for a trace."""
    check_expression(connection, condition, passes, where, "boolean")


def check_expression(
    connection: duckdb.DuckDBPyConnection, said: str, passes: Sequence[Pass], where: str, kind: Kind = "any"
) -> None:
    """Raise CotmillError unless `said` is one expression over a row of the view `traces`, of this kind."""
    import duckdb

    if unsteady := re.search(UNSTEADY, said):
        raise CotmillError(
            f"{where}: `{said}` calls {unsteady[1]}(): the same recipe would give another dataset next "
            "time.\nFor a random choice per problem say `per_problem: {max: 1, rule: random, seed: 0}`."
        )
    try:
        duckdb.SQLExpression(said)  # exactly one expression, no statement
        described = connection.execute(f"describe select trace_id, ({said}\n) from traces").fetchall()
    except duckdb.Error as error:
        columns = [c for (c,) in connection.execute("select column_name from (describe traces)").fetchall()]
        raise CotmillError(_explain(said, where, brief(error), columns, passes)) from None
    found = described[1][1]
    if kind == "boolean" and found != "BOOLEAN":
        raise CotmillError(f"{where}: `{said}` is {found}, not true or false; compare it with something.")
    if kind == "number" and not re.fullmatch(NUMBERS, found):
        raise CotmillError(f"{where}: `{said}` is {found}, not a number.")


def brief(error: Exception) -> str:
    """DuckDB's message without the query around it, which is not the user's."""
    return str(error).split("\n\nLINE ")[0].strip()


def literal(text: str | Path) -> str:
    """A text in SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def _explain(said: str, where: str, error: str, columns: list[str], passes: Sequence[Pass]) -> str:
    """What is wrong with an expression, what it may have meant, and what there is."""
    names = {made.name for made in passes}
    own = [f"{made.name}.{mark}" for made in passes for mark in made.marks]
    traces = [name for name in columns if name not in names and not name.startswith("_")]
    words = re.findall(r"[A-Za-z_]\w*(?:\.\w+)?", re.sub(r"'[^']*'", "", said))
    blamed = [word for word in words if re.search(rf'"{re.escape(word.rpartition(".")[2])}"', error)] or words
    blamed += [word for word in words if re.search(rf'"{re.escape(word.partition(".")[0])}"', error)]
    hints: list[str] = []
    for word in dict.fromkeys(blamed):
        if word not in own and word not in traces and word not in names:
            # A mark without its pass (`verdict`) is as near as a misspelt one.
            bare = [mark for mark in own if mark.partition(".")[2] == word]
            hints += (bare or difflib.get_close_matches(word, [*own, *traces, *names], n=1))[:1]
    guess = f" Did you mean `{hints[0]}`?" if hints else ""
    return (
        f"{where}: `{said}` cannot be evaluated: {error}{guess}\n"
        f"Marks: {', '.join(own) or 'none, as no passes are named'}\nTrace columns: {', '.join(traces)}\n"
        "Nothing was written."
    )


def _struct(made: Pass) -> str:
    fields = ", ".join(f"{literal(mark)}: {_quoted(f'{made.name}.{mark}')}" for mark in made.marks)
    return f"{{{fields}}}" if fields else "null"


def _name(made: Pass) -> str:
    return _quoted(made.name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(map(literal, files))}], union_by_name = true, hive_partitioning = false)"
