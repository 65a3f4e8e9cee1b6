"""Problems out of JSON, JSONL, CSV and Parquet files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from builders.config import FileSource
from builders.errors import SourceError
from builders.problems.columns import read_columns
from builders.problems.table import Loaded, concat_raw, finish

Table = tuple[pl.DataFrame, dict[str, int]]
"""Rows of a file, and how many were left out for which reason."""


def load_files(source: FileSource, base: Path | None) -> Loaded:
    """Problems of all files, in the order given; a glob's files in the order of their names.

    Raises:
        SourceError: a file is missing, empty, torn, of another kind than its name says, or lacks a column.
    """
    parts = []
    for path in (file for given in source.path for file in resolve(given, base)):
        table, skipped = read_table(path)
        raw, more = read_columns(table, source.columns, source=source.name or path.stem, where=str(path))
        parts.append((raw, {**skipped, **more}))
    raw, skipped = concat_raw(parts)
    return finish(raw, split=source.split, answer_type=source.answer_type, limit=source.limit, skipped=skipped)


def resolve(path: Path, base: Path | None) -> list[Path]:
    """Files that a path or glob means: beside the recipe first, then in the working directory.

    Raises:
        SourceError: there is none.
    """
    places = [Path()] if path.is_absolute() else [*([base] if base else []), Path()]
    for place in places:
        full = place / path.expanduser()
        found = sorted(Path(p) for p in glob(str(full), recursive=True)) if has_magic(str(path)) else [full]
        if files := [file for file in found if file.is_file()]:
            return files
    looked = " or ".join(str(place.resolve()) for place in places)
    hint = " It is a directory: say `DIR/*.jsonl`." if any((p / path).is_dir() for p in places) else ""
    raise SourceError(
        f"{path}: no such file in {looked}.{hint}\nMend `path`, relative to the recipe or to where you are."
    )


def read_table(path: Path) -> Table:
    """Every row of one file, of the kind its suffix names.

    Raises:
        SourceError: another suffix, or the content is not what the suffix says.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SourceError(f"{path}: cannot read `{path.suffix}` files.\nKnown: {', '.join(READERS)}.")
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty.\nWrite it again, or take it out of the recipe's `path`.")
    try:
        table, skipped = reader(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(
            f"{path} cannot be read as {path.suffix.lstrip('.').upper()}; it may be torn or another kind of file.\n"
            f"The reader says: {reason}"
        ) from error
    if table.is_empty():
        bad = ", ".join(f"{reason}s: {count}" for reason, count in skipped.items())
        raise SourceError(f"{path} holds no rows{f' ({bad})' if bad else ''}.\nWrite it again, or take it out.")
    return table, skipped


def _json(path: Path) -> Table:
    value = parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(value, list):
        found = f"an object with the keys {', '.join(list(value)[:8])}" if isinstance(value, dict) else "no array"
        raise ValueError(f"it holds {found}; an array of objects is needed")
    rows = [row for row in value if isinstance(row, dict)]
    return _frame(rows), _counted("malformed entry", len(value) - len(rows))


def _jsonl(path: Path) -> Table:
    rows, bad = [], 0
    with path.open("rb") as lines:
        for line in lines:
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if not text:
                continue
            try:
                row = parse_json(text)
            except ValueError:
                row = None  # one torn line costs one row, never the file
            if isinstance(row, dict):
                rows.append(row)
            else:
                bad += 1
    return _frame(rows), _counted("malformed line", bad)


def parse_json(text: bytes) -> Any:
    """JSON, and what Python's own writer makes of it: NaN (read as null) and whole numbers of any size.

    Raises:
        ValueError: it is neither.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text, parse_constant=lambda _: None)


def _frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def _counted(reason: str, count: int) -> dict[str, int]:
    return {reason: count} if count else {}


def _csv(path: Path) -> Table:
    return pl.read_csv(path, infer_schema=False), {}  # text as it stands: `007` and `1.50` stay


def _parquet(path: Path) -> Table:
    return pl.read_parquet(path), {}


READERS: Mapping[str, Callable[[Path], Table]] = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
