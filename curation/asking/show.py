"""Query results as text or files: a table for people, CSV and JSON for programs, Parquet for data.

Imports nothing heavy: `cotmill sql` is as fast as its question. Rows come in batches and are written as
they come; a table holds only those it shows.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH: Final = 2_048
SHOWN: Final = 1_000
"""Rows of a table; the count below it is of all."""
NARROWEST: Final = 12
"""A text column is cut to no less, however narrow the terminal."""

Row = tuple[Any, ...]


def text(connection: DuckDBPyConnection, sql: str, format: str) -> str:
    """Run `sql`; its rows as `table`, `csv` or `json`, without a final newline."""
    rows = connection.execute(sql)
    if format == "table":
        return table(rows)
    buffer = io.StringIO()
    _stream(rows, format, buffer)
    return buffer.getvalue().rstrip("\n")


def write(connection: DuckDBPyConnection, sql: str, format: str, out: Path) -> None:
    """Run `sql`; its rows into a file, which appears whole or not at all."""
    temporary = out.with_name(f".tmp-{os.getpid()}-{out.name}")
    try:
        if format == "parquet":
            import pyarrow.parquet as pq

            reader = connection.sql(sql).to_arrow_reader()
            with pq.ParquetWriter(temporary, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as handle:
                _stream(connection.execute(sql), format, handle)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def table(rows: DuckDBPyConnection, width: int | None = None) -> str:
    """An aligned table and a line with the number of rows.

    Numbers are never cut. Text shares what is left of `width` (default: the terminal's, 120 when there
    is none) and is cut with an ellipsis; control characters are shown as a dot.
    """
    names, head, count = _names(rows), [], 0
    if names == ["explain_key", "explain_value"]:  # a drawing, not a table
        return "\n".join(str(row[1]).rstrip() for row in _each(rows))
    for row in _each(rows):
        count += 1
        if count <= SHOWN:
            head.append(row)
    numeric = [all(isinstance(row[i], int | float | Decimal | None) for row in head) for i in range(len(names))]
    cells = [[_cell(value) for value in row] for row in head]
    needs = [max([_width(name), *(_width(row[i]) for row in cells)]) for i, name in enumerate(names)]
    widths = _fit(needs, numeric, width or shutil.get_terminal_size((120, 24)).columns)

    def line(parts: Sequence[str]) -> str:
        return "  ".join(_pad(p, w, n) for p, w, n in zip(parts, widths, numeric, strict=True)).rstrip()

    total = f"{count:,} row{'' if count == 1 else 's'}" + (f", the first {SHOWN:,} shown" if count > SHOWN else "")
    return "\n".join([line(names), line(["─" * w for w in widths]), *map(line, cells), f"({total})"])


def _stream(rows: DuckDBPyConnection, format: str, handle: IO[str]) -> None:
    names = _names(rows)
    if format == "csv":
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_csv(value) for value in row] for row in _each(rows))
        return
    opening = "[\n"
    for row in _each(rows):
        handle.write(opening + json.dumps(_json(dict(zip(names, row, strict=True))), ensure_ascii=False))
        opening = ",\n"
    handle.write("[]\n" if opening == "[\n" else "\n]\n")


def _names(rows: DuckDBPyConnection) -> list[str]:
    return [str(column[0]) for column in rows.description or ()]


def _each(rows: DuckDBPyConnection) -> Iterator[Row]:
    while batch := rows.fetchmany(BATCH):
        yield from batch


def _fit(needs: list[int], numeric: list[bool], width: int) -> list[int]:
    """Column widths: numbers get what they need, the widest text gives way first."""
    widths = list(needs)
    over = sum(widths) + 2 * (len(widths) - 1) - width
    while over > 0:
        texts = [i for i, number in enumerate(numeric) if not number and widths[i] > NARROWEST]
        if not texts:
            break
        widest = max(texts, key=widths.__getitem__)
        others = max([widths[i] for i in texts if i != widest], default=NARROWEST)
        less = min(over, max(1, widths[widest] - max(others, NARROWEST)))
        widths[widest] -= less
        over -= less
    return widths


def _cell(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return repr(value) if value != int(value or 0) or abs(value) >= 1e15 else f"{value:.1f}"
        case list() | dict():
            return _printable(json.dumps(_json(value), ensure_ascii=False))
    return _printable(str(value))


def _printable(value: str) -> str:
    # A model's text may hold anything, terminal commands too.
    return "".join(c if c.isprintable() else "·" for c in " ".join(value[:2_000].split()))


def _width(value: str) -> int:
    """Columns of a terminal: wide characters take two, combining ones none."""
    if value.isascii():
        return len(value)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value)


def _pad(value: str, width: int, right: bool) -> str:
    if _width(value) > width:
        while _width(value) >= width:
            value = value[:-1]
        value += "…"
    space = " " * (width - _width(value))
    return space + value if right else value + space


def _csv(value: Any) -> Any:
    return json.dumps(_json(value), ensure_ascii=False) if isinstance(value, list | dict) else value


def _json(value: Any) -> Any:
    """What JSON can say; it has no NaN, no infinity and no dates."""
    match value:
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case list() | tuple():
            return [_json(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case bool() | int() | str() | None:
            return value
    return str(value)
