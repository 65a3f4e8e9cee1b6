"""What deciding needs of each trace, in some 60 bytes: `curation.decide.expressions` over one shard after the other.

DuckDB evaluates the recipe's expressions over a shard and the marks beside it; of the result only numbers are
held (ids as 128 bits, texts as hashes, names as codes), so that a million traces fit anywhere. An expression
that looks at other rows (a window, a subquery) is evaluated over all shards at once instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.errors import CorpusError, CotmillError
from builders.machine import cores
from builders.schema import TRACES
from curation.config import CurateConfig
from curation.decide.asked import Asked, asked
from curation.decide.expressions import LOOKS_AROUND, beside, brief, check_expression, column_types, wall_in
from curation.engine.ids import halves
from curation.engine.marks import marks_file
from curation.passes import Pass

if TYPE_CHECKING:
    import duckdb

Array = NDArray[Any]
T = TypeVar("T")
U = TypeVar("U")

_SCALARS: Final = {
    "granularity": ("coalesce(granularity, 127)::smallint", np.int16),
    "sample_index": ("coalesce(sample_index::bigint, 9223372036854775807)", np.int64),
    "tokens": ("coalesce(completion_tokens, -1)::integer", np.int32),
}
"""Key -> SQL and type; what is unknown comes last in its order, tokens aside, which are -1."""
_CODED: Final = ("teacher", "format")


@dataclass
class Keys:
    """Compact columns of all traces, in the order of the shards."""

    shards: list[Path]
    heights: list[int]
    """Traces per shard."""
    columns: dict[str, Array]
    """Key -> [traces]. Ids are `<id>_hi` and `<id>_lo` (uint64); `f64` keys are NaN where unknown, hashes 0."""
    words: dict[str, list[str | None]]
    """Coded key -> what its codes stand for; codes are in the order of the words, unknown last."""

    @property
    def rows(self) -> int:
        """Traces in all."""
        return sum(self.heights)

    def frame(self, *names: str) -> pl.DataFrame:
        """Some columns, without a copy."""
        return pl.DataFrame({name: self.columns[name] for name in names})


def read_keys(corpus: Corpus, config: CurateConfig, passes: Sequence[Pass]) -> Keys:
    """Evaluate every expression of `config` for every trace.

    Raises:
        CotmillError: an expression is no SQL, names what is not there, is of the wrong type, or cannot be
            evaluated for some trace.
        CorpusError: there are no traces, a shard cannot be read, or marks do not stand beside their traces.
    """
    import duckdb

    shards = corpus.shards()
    if not shards:
        raise CorpusError(f"{corpus.path} holds no traces yet.\nSample some: cotmill sample RECIPE --out {corpus.path}")
    held = [_look(shard) for shard in shards]
    marks = {made.name: [marks_file(corpus, made, shard) for shard in shards] for made in passes}
    wanted = asked(config)
    with duckdb.connect(":memory:") as connection:
        types = column_types(connection)
        wall_in(connection, [*shards, *(file for files in marks.values() for file in files)])

        def view(first: int, last: int) -> str:
            there = set[str]().union(*(columns for _, columns in held[first:last]))
            beside_them = {name: files[first:last] for name, files in marks.items()}
            return beside(shards[first:last], passes, beside_them, sorted(there), types)

        connection.execute(f"create view traces as {view(0, len(shards))}")
        for one in wanted.expressions:
            check_expression(connection, one.sql, passes, one.where, one.kind)
        around = any(re.search(LOOKS_AROUND, one.sql) for one in wanted.expressions)
        step = len(shards) if around else 1
        parts = [(first, min(first + step, len(shards))) for first in range(0, len(shards), step)]
        heights = [height for height, _ in held]
        filling = _Filling(sum(heights), wanted)

        def select(part: tuple[int, int]) -> pl.DataFrame:
            # Windows shuffle rows, hence their numbers.
            source = "(select *, row_number() over () as _row from traces)" if around else f"({view(*part)})"
            more = ", _row" if around else ""
            found = _run(connection, f"select {wanted.select}{more} from {source} as traces", wanted)
            found = found.sort("_row") if around else found
            if found.height != sum(heights[slice(*part)]):
                raise CotmillError(_not_one_each(connection, wanted, sum(heights)))
            _check_aligned(found, shards[slice(*part)], passes, corpus)
            return found.drop("_aligned")

        for found in in_order(select, parts):
            filling.add(found)
    return Keys(shards, heights, *filling.done())


def in_order(work: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
    """`map` in threads, as many as there are cores; results in order, few of them waiting."""
    threads = min(len(cores()), 8)
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(work, item) for item in items[:threads]]
        try:
            for number in range(len(items)):
                result = waiting.pop(0).result()
                if number + threads < len(items):
                    waiting.append(pool.submit(work, items[number + threads]))
                yield result
        finally:
            for future in waiting:
                future.cancel()


class _Filling:
    """The columns of `Keys` while shards come in."""

    def __init__(self, rows: int, wanted: Asked) -> None:
        self.at, self.wanted = 0, wanted
        kinds: dict[str, Any] = {f"{name}_{part}": np.uint64 for name in ("trace", "problem") for part in ("hi", "lo")}
        kinds |= {name: kind for name, (_, kind) in _SCALARS.items()}
        kinds |= dict.fromkeys((*_CODED, *wanted.coded), np.uint32)
        kinds |= wanted.typed
        self.columns: dict[str, Array] = {name: np.empty(rows, kind) for name, kind in kinds.items()}
        self.codes: dict[str, dict[str | None, int]] = {name: {} for name in (*_CODED, *wanted.coded)}

    def add(self, found: pl.DataFrame) -> None:
        rows = slice(self.at, self.at + found.height)
        for name in ("trace", "problem"):
            self.columns[f"{name}_hi"][rows], self.columns[f"{name}_lo"][rows] = halves(found[f"{name}_id"])
        for name in self.codes:
            self.columns[name][rows] = _encode(found[name], self.codes[name])
        for name in (*_SCALARS, *self.wanted.typed):
            self.columns[name][rows] = found[name].to_numpy()
        self.at = rows.stop

    def done(self) -> tuple[dict[str, Array], dict[str, list[str | None]]]:
        """The columns, with codes in the order of their words whichever shard brought a word first."""
        words: dict[str, list[str | None]] = {}
        for name, codes in self.codes.items():
            words[name] = sorted(codes, key=lambda word: (word is None, word or ""))
            ranks = np.empty(max(len(codes), 1), np.uint32)
            ranks[[codes[word] for word in words[name]]] = np.arange(len(codes), dtype=np.uint32)
            self.columns[name] = ranks[self.columns[name]]
        return self.columns, words


def _encode(values: pl.Series, codes: dict[str | None, int]) -> Array:
    """uint32 [values]; words that are new get the next code."""
    own = values.unique()
    for word in own.to_list():
        codes.setdefault(word, len(codes))
    new = pl.Series([codes[word] for word in own.to_list()], dtype=pl.UInt32)
    return values.replace_strict(own, new, return_dtype=pl.UInt32).to_numpy()


def _look(shard: Path) -> tuple[int, list[str]]:
    """Rows and columns of a shard."""
    try:
        with pq.ParquetFile(shard) as file:
            return file.metadata.num_rows, [name for name in file.schema_arrow.names if name in TRACES]
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["?"])[0]
        raise CorpusError(
            f"{shard} is not a readable trace shard: {reason}.\n"
            f"Move it out of {shard.parent} to go on without its rows."
        ) from None


def _run(connection: duckdb.DuckDBPyConnection, query: str, wanted: Asked) -> pl.DataFrame:
    import duckdb

    try:
        with connection.cursor() as cursor:
            found: pl.DataFrame = cursor.sql(query).pl()
    except duckdb.Error as error:  # of the values, not the words: a cast that fails, for example
        named = wanted.expressions[0].where if len(wanted.expressions) == 1 else "curate"
        said = "; ".join(f"{one.where}: `{one.sql}`" for one in wanted.expressions)
        raise CotmillError(f"{named}: {brief(error)}\nIt came up in one of: {said}\nNothing was written.") from None
    return found


def _not_one_each(connection: duckdb.DuckDBPyConnection, wanted: Asked, rows: int) -> str:
    """Which expression makes more rows, or fewer, than there are traces."""
    for one in wanted.expressions:
        query = f"select count(*) from (select trace_id, ({one.sql}\n) from traces)"
        (made,) = connection.execute(query).fetchone() or (0,)
        if made != rows:
            return f"{one.where}: `{one.sql}` made {made:,} rows of {rows:,} traces; nothing was written."
    return f"Traces and marks have different numbers of rows; of {rows:,} traces nothing was written."


def _check_aligned(found: pl.DataFrame, shards: list[Path], passes: Sequence[Pass], corpus: Corpus) -> None:
    if found["_aligned"].all():
        return
    for shard in shards:
        ids = pl.read_parquet(shard, columns=["trace_id"], glob=False)["trace_id"]
        for made in passes:
            file = marks_file(corpus, made, shard)
            if not pl.read_parquet(file, columns=["trace_id"], glob=False)["trace_id"].equals(ids, null_equal=True):
                raise CorpusError(
                    f"{file} does not hold the rows of {shard} in their order; nothing was written.\n"
                    f"Have it made again: rm {file}"
                )
