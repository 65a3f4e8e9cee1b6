"""A pass that is plain SQL, written in a recipe.

    passes:
      - sql: {name: chatty, select: "length(response) as chars, response ilike '%sorry%' as sorry"}

DuckDB evaluates the select list over each trace; `chatty.chars` and `chatty.sorry` are its marks. It sees trace columns
only, one trace at a time: what looks across rows (aggregates, windows) or gives another value next time is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import polars as pl

from builders.errors import CotmillError
from builders.schema import TRACES
from curation.engine.foreign import check_name

if TYPE_CHECKING:
    import duckdb
    from polars._typing import PolarsDataType

UNSTEADY: Final = (
    r"(?i)\b(random|setseed|uuid\w*|gen_random_uuid|now|today|nextval|get_current_\w+|current_setting)\s*\("
)
"""Functions that give another answer next time; then the same recipe would give another dataset."""


@dataclass(frozen=True)
class SqlPass:
    """Marks each trace with what a select list says of it."""

    version: ClassVar[int] = 1

    name: str
    """What its marks are called in SQL: `<name>.<mark>`."""
    select: str
    """`expression as mark, ...`, over the columns of traces."""
    reads: tuple[str, ...] = ()
    """The columns that the expressions use; found out, never given."""
    kinds: tuple[tuple[str, PolarsDataType], ...] = ()
    """The marks and their types; found out, never given."""

    @property
    def marks(self) -> dict[str, PolarsDataType]:
        """Mark -> type, as DuckDB gives it."""
        return dict(self.kinds)

    def parameters(self) -> dict[str, Any]:
        """What was said in the recipe."""
        return {"name": self.name, "select": self.select}

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `<name>.<mark>` for each expression."""
        own = {f"{self.name}.{mark}": kind for mark, kind in self.kinds}
        return traces.map_batches(
            lambda rows: rows.hstack(self._evaluate(rows)), schema={**traces.collect_schema(), **own}
        )

    def _evaluate(self, traces: pl.DataFrame) -> pl.DataFrame:
        rows = traces.select(self.reads or traces.columns[:1])
        with _duckdb(rows) as connection:
            found: pl.DataFrame = connection.sql(f"select {self.select}\n from traces").pl()
        return found.rename({mark: f"{self.name}.{mark}" for mark, _ in self.kinds})


def make(settings: dict[str, Any]) -> SqlPass:
    """The pass that a recipe writes as `sql: {name: ..., select: ...}`.

    Raises:
        CotmillError: a key is missing or unknown, the name is taken, or DuckDB cannot evaluate the list (its
            message, and the columns that there are).
    """
    if set(settings) != {"name", "select"} or not all(isinstance(value, str) for value in settings.values()):
        raise CotmillError(
            f"pass sql: it takes `name` and `select`, two texts, and was given {settings or 'nothing'}.\n"
            'For example: - sql: {name: short, select: "length(response) < 40 as yes"}'
        )
    name, select = settings["name"], settings["select"]
    check_name(name, "sql")
    reads = _columns(name, select)
    with _duckdb(pl.DataFrame(schema=TRACES).select(reads or ["trace_id"])) as connection:
        kinds = connection.sql(f"select {select}\n from traces").pl().schema
    return SqlPass(name, select, reads, tuple(kinds.items()))


def _columns(name: str, select: str) -> tuple[str, ...]:
    """The trace columns a select list uses; refuses what does not judge each trace by itself."""
    import duckdb

    if unsteady := re.search(UNSTEADY, select):
        raise CotmillError(f"pass {name}: `{select}` calls {unsteady[1]}(): it would give other marks next time.")
    # One row per trace: a list that gives one row for two has an aggregate in it, one that gives more an unnest.
    probe = pl.DataFrame(schema=TRACES).clear(2).with_columns(trace_id=pl.Series(["a", "b"]))
    try:
        with _duckdb(probe) as connection:
            query = f"select {select}\n from traces"
            if len(connection.extract_statements(query)) != 1:
                raise CotmillError(f"pass {name}: say a select list, not statements: `{select}`")
            [(tree,)] = connection.execute("select json_serialize_sql(?)", [query]).fetchall()
            rows = connection.sql(query).pl()
    except duckdb.Error as error:
        reason = str(error).split("\n\nLINE ")[0].strip()
        raise CotmillError(
            f"pass {name}: `{select}` cannot be evaluated: {reason}\nTrace columns: {', '.join(TRACES)}"
        ) from None
    nodes = list(_nodes(json.loads(tree)))
    if rows.height != 2 or any(node.get("class") in ("WINDOW", "SUBQUERY") for node in nodes):
        raise CotmillError(
            f"pass {name}: `{select}` looks at more than one trace at a time (an aggregate, a window, a subquery).\n"
            "Such questions are for `cotmill sql`; its result can be a selection: curate.select."
        )
    if taken := [column for column in rows.columns if not re.fullmatch(r"\w+", column)]:
        raise CotmillError(f"pass {name}: name each mark: `{taken[0]} as ...`")
    if any(node.get("class") == "STAR" for node in nodes):
        raise CotmillError(f"pass {name}: name the columns instead of `*`.")
    used = {part for node in nodes if node.get("class") == "COLUMN_REF" for part in node["column_names"]}
    return tuple(column for column in TRACES if column in used)


def _nodes(tree: Any) -> Any:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)


def _duckdb(traces: pl.DataFrame) -> duckdb.DuckDBPyConnection:
    """A connection that sees `traces` and nothing else; rows come back in order."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.register("traces", traces.to_arrow())
    connection.execute("set timezone = 'UTC'")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection
