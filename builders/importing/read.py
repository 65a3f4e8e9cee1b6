"""Rows out of JSON, JSONL, CSV and Parquet files and Hub datasets, a bounded batch at a time.

A row that cannot be read costs itself only: it comes out as `Broken`, with its place and the
reason. What the keys of a row mean is not decided here.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from builders.errors import CotmillError, SourceError
from builders.problems.files import READERS, parse_json, resolve

BATCH_ROWS = 8192
BATCH_BYTES = 64 << 20
"""A batch of JSON lines ends here at the latest: reasoning traces are long."""

SHOWN = 300
"""Characters of a broken row that are kept for looking at."""


class Broken(NamedTuple):
    """A row that could not be read."""

    reason: str
    text: str


Row = tuple[int, dict[str, Any] | Broken]
"""Its number (a line of the file, or a place counted from 1) and its content."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file or one split of a Hub dataset. `batches()` reads it from the start each time."""

    name: str  # as the user named it
    stem: str  # for the `source` column
    unit: str  # what rows are counted by: `line` or `row`
    batches: Callable[[], Iterator[list[Row]]]
    split: str | None = None
    path: Path | None = None

    def digest(self) -> str | None:
        """BLAKE2b of the file's bytes, 32 hex digits; None for a Hub dataset."""
        if self.path is None:
            return None
        with self.path.open("rb") as file:
            return file_digest(file, "blake2b").hexdigest()[:32]


def find_sources(
    names: Iterable[str], *, split: str | None = None, config: str | None = None
) -> tuple[list[Source], list[str]]:
    """Sources that paths, globs and Hub ids mean, and what is wrong with the others.

    `OWNER/NAME` is a Hub dataset when there is no such file; `hf://datasets/OWNER/NAME[@REVISION]` always is.
    """
    found, wrong = [], []
    for name in names:
        try:
            found += _find(name, split, config)
        except CotmillError as error:
            wrong.append(str(error))
    return found, wrong


_HUB = re.compile(r"(hf://(?:datasets/)?)?([\w.-]+/[\w.-]+)(?:@([^\s@]+))?$")


def _find(name: str, split: str | None, config: str | None) -> list[Source]:
    hub = _HUB.match(name)
    named = hub and (hub[1] or (Path(name).suffix.lower() not in READERS and not Path(name).exists()))
    if hub and named:
        return [_hub_source(name, hub[2], hub[3], split or "train", config)]
    return [file_source(path) for path in resolve(Path(name), None)]


def file_source(path: Path) -> Source:
    """One file, of the kind its suffix names.

    Raises:
        SourceError: another suffix, or an empty file.
    """
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise SourceError(f"{path}: cannot read `{path.suffix}` files.\nKnown: {', '.join(_KINDS)}.")
    if not path.is_file():
        raise SourceError(f"{path}: no such file.\nLook at the name, relative to {Path.cwd()}.")
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty.\nWrite it again, or take it out.")
    unit, reader = _KINDS[kind]

    def batches() -> Iterator[list[Row]]:
        try:
            yield from reader(path)
        except (pl.exceptions.PolarsError, csv.Error, OSError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SourceError(
                f"{path} cannot be read as {kind.lstrip('.').upper()}; it may be torn or another kind of file.\n"
                f"The reader says: {reason}"
            ) from error

    return Source(str(path), path.stem, unit, batches, path=path)


def _hub_source(name: str, repo: str, revision: str | None, split: str, config: str | None) -> Source:
    def batches() -> Iterator[list[Row]]:
        from builders.problems.hub import open_hub

        data = open_hub(repo, config, split, revision)
        frames = (data[i : i + BATCH_ROWS] for i in range(0, len(data), BATCH_ROWS))  # columns, memory-mapped
        rows = (dict(zip(part, row, strict=True)) for part in frames for row in zip(*part.values(), strict=True))
        yield from _numbered(rows)

    return Source(name, f"{repo}/{config}" if config else repo, "row", batches, split=split)


def _jsonl(path: Path) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if not text:
                continue
            try:
                value = _object(parse_json(text))
            except (ValueError, RecursionError) as error:
                value = Broken(f"not JSON: {error}", text[:SHOWN].decode("utf-8", "replace"))
            batch.append((number, value))
            size += len(text)
            if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    yield batch


def _json(path: Path) -> Iterator[list[Row]]:
    """An array of objects, alone or as the only list within an object; or JSON lines under another name."""
    try:
        value = parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        if not _begins_with_an_object(path):
            raise
        yield from _jsonl(path)
        return
    if isinstance(value, dict):
        lists = [held for held in value.values() if isinstance(held, list)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list):
        raise ValueError("it holds no array; an array of objects is needed")
    yield from _numbered(map(_object, value))


def _begins_with_an_object(path: Path) -> bool:
    with path.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"")
    try:
        return isinstance(parse_json(first.removeprefix(b"\xef\xbb\xbf")), dict)
    except ValueError:
        return False


def _object(value: Any) -> dict[str, Any] | Broken:
    if isinstance(value, dict):
        return value
    return Broken(f"a JSON {_JSON_NAMES.get(type(value), 'value')}, not an object", str(value)[:SHOWN])


_JSON_NAMES: Mapping[type, str] = {list: "array", str: "string", int: "number", float: "number", type(None): "null"}


def _csv(path: Path) -> Iterator[list[Row]]:
    csv.field_size_limit(sys.maxsize)  # the default ends at 128 KB, and traces can be longer
    # Bytes that are no UTF-8 come through as lone surrogates, which are counted and replaced later.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        yield from _numbered(_csv_row(header, fields) for fields in reader if fields)


def _csv_row(header: list[str], fields: list[str]) -> dict[str, Any] | Broken:
    if len(fields) == len(header):
        return dict(zip(header, fields, strict=True))
    return Broken(f"{len(fields)} fields where the header has {len(header)}", ",".join(fields)[:SHOWN])


def _parquet(path: Path) -> Iterator[list[Row]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        parts = (pl.DataFrame(part) for part in file.iter_batches(batch_size=BATCH_ROWS))
        yield from _numbered(row for part in parts for row in part.to_dicts())


def _numbered(rows: Iterable[dict[str, Any] | Broken]) -> Iterator[list[Row]]:
    numbered = enumerate(rows, 1)
    while batch := list(islice(numbered, BATCH_ROWS)):
        yield batch


_KINDS: Mapping[str, tuple[str, Callable[[Path], Iterator[list[Row]]]]] = {
    ".json": ("row", _json),
    ".jsonl": ("line", _jsonl),
    ".ndjson": ("line", _jsonl),
    ".csv": ("row", _csv),
    ".parquet": ("row", _parquet),
}
