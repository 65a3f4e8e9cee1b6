"""Parquet as the Hub wants it: rows in, files of a bounded size out, the same bytes for the same rows.

zstd; a page index, so that the viewer reads pages and not whole row groups; pages cut where the content says (content-
defined chunking), so that a row more or less changes the pages around it and no others; no dictionaries for texts, as a
dictionary changes with every new text. Row groups and files end after so many rows and bytes, however the rows come in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curation.packaging.features import arrow_schema

ROWS_PER_GROUP: Final = 50_000
"""At most. The Hub recommends row groups of 100 to 300 MB in memory; 50,000 short traces are some 60."""
BYTES_PER_GROUP: Final = 100_000_000
"""In memory; `datasets.config.MAX_ROW_GROUP_SIZE`. The viewer refuses to scan more than 300 MB."""
CODED: Final = frozenset(
    ("role", "teacher", "granularity", "format", "verdict", "source", "reason", "pair_rule", "status", "split")
)
"""Names of columns and fields with few different texts: those get a dictionary."""
LEVEL: Final = 3
"""Of zstd. 1 costs a tenth less time and gives files that are 6 % larger."""


class ParquetFiles:
    """Files `<stem>-00000-of-000NN.parquet`, written one after the other."""

    def __init__(self, stem: Path, schema: pl.Schema, most: int, cuts: Sequence[int] = ()) -> None:
        """Open nothing yet.

        Args:
            stem: path without number and ending.
            schema: columns and types of all rows.
            most: bytes of a file; one row group is written whatever its size.
            cuts: so many rows from the start a file ends, however small it is.
        """
        self.stem, self.most, self.schema = stem, most, arrow_schema(schema)
        self.rows = self.memory = 0
        """Rows so far, and their bytes as Arrow."""
        self._names = schema.names()
        self._cuts = list(cuts)
        self._waiting: list[pl.DataFrame] = []
        self._held = 0
        self._parts: list[Path] = []
        self._handle: IO[bytes] | None = None
        self._writer: pq.ParquetWriter | None = None
        self._last = 0
        """Bytes of the latest row group on disk."""

    def write(self, rows: pl.DataFrame) -> None:
        """Add rows; whole groups of them are written at once."""
        while self._cuts and self.rows + rows.height >= self._cuts[0]:
            room = self._cuts.pop(0) - self.rows
            self._add(rows.head(room))
            self._flush()
            self._shut()
            rows = rows.slice(room)
        if rows.height:
            self._add(rows)

    def _add(self, rows: pl.DataFrame) -> None:
        self._waiting.append(rows.select(self._names))
        self._held += rows.height
        self.rows += rows.height
        if self._held < ROWS_PER_GROUP:
            return
        held = pl.concat(self._waiting)
        whole = self._held - self._held % ROWS_PER_GROUP
        for start in range(0, whole, ROWS_PER_GROUP):
            self._group(held.slice(start, ROWS_PER_GROUP))
        self._waiting, self._held = [held.slice(whole)], self._held - whole

    def close(self) -> list[Path]:
        """Write what waits; the files, named for how many there are. One without row groups when there are no rows."""
        self._flush()
        if not self._parts:
            self._open()
        self._shut()
        names = [
            self.stem.with_name(f"{self.stem.name}-{number:05d}-of-{len(self._parts):05d}.parquet")
            for number in range(len(self._parts))
        ]
        for part, name in zip(self._parts, names, strict=True):
            part.rename(name)
        return names

    def _flush(self) -> None:
        if self._held:
            self._group(pl.concat(self._waiting))
        self._waiting, self._held = [], 0

    def _group(self, rows: pl.DataFrame) -> None:
        table = rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self.schema)
        self.memory += table.nbytes
        pieces = max(1, -(-table.nbytes // BYTES_PER_GROUP))
        size = -(-table.num_rows // pieces)
        for start in range(0, table.num_rows, size):
            self._piece(table.slice(start, size))

    def _piece(self, table: pa.Table) -> None:
        if self._handle is not None and self._handle.tell() + self._last > self.most:
            self._shut()
        if self._handle is None:
            self._open()
        assert self._handle is not None
        assert self._writer is not None
        before = self._handle.tell()
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._last = self._handle.tell() - before

    def _open(self) -> None:
        self.stem.parent.mkdir(parents=True, exist_ok=True)
        part = self.stem.with_name(f".{self.stem.name}-{len(self._parts):05d}")
        self._parts.append(part)
        self._handle = part.open("wb")
        self._writer = pq.ParquetWriter(
            self._handle,
            self.schema,
            compression="zstd",
            compression_level=LEVEL,
            use_dictionary=_coded(self.schema),
            use_content_defined_chunking=True,
            write_page_index=True,
        )

    def _shut(self) -> None:
        if self._writer is not None and self._handle is not None:
            self._writer.close()
            os.fsync(self._handle.fileno())
            self._handle.close()
        self._writer = self._handle = None
        self._last = 0


def _coded(schema: pa.Schema) -> list[str]:
    """Paths of the leaves that get a dictionary, as Parquet writes them."""

    def leaves(path: str, kind: pa.DataType) -> list[str]:
        if pa.types.is_struct(kind):
            return [leaf for inner in kind for leaf in leaves(f"{path}.{inner.name}", inner.type)]
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            return leaves(f"{path}.list.element", kind.value_type)
        return [path]

    found = [leaf for field in schema for leaf in leaves(field.name, field.type)]
    return [leaf for leaf in found if leaf.rpartition(".")[2] in CODED]
