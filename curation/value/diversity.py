"""How alike the traces of one problem are, by the words they share.

Texts are compared as sets of shingles (`curation.text.shingles`): runs of a few words. Two proofs of one idea in
other words
are unlike here, and two that differ in a number are alike. Whether traces are copies of one another across problems is
a question for the passes on duplicates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from builders import machine
from builders.errors import CotmillError
from curation.text.shingles import Words, shingles, words
from curation.text.steps import trace_text
from curation.value.voters import key_of

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

REACH: Final = 32
"""A trace is compared with so many traces before it and after it, in the order of their ids (which are hashes)."""
GROUP: Final = 1000
"""Traces of a problem that are looked at together; those beyond are looked at as if they had another problem."""
BITS: Final = 1024
"""Of the bitmap that stands for a trace when all are compared with all."""
PART_BYTES: Final = 256 << 20
"""Text in memory at a time: a corpus of more is read once for each part."""
BATCH: Final = 5_000
"""Rows that are read at once."""
BLOCK_BYTES: Final = 2 << 20
"""Text whose shingles are in memory at a time, whole groups of traces: what the second-level cache nearly holds."""

# How many elements a bitmap with so many bits set stands for (linear counting; the last entry has no finite value).
_STANDS_FOR: Final = np.array([-BITS * log(1 - min(bits, BITS - 1) / BITS) for bits in range(BITS + 1)])
_STANDS_FOR[0] = 1e-9


@dataclass(frozen=True, slots=True)
class Diversity:
    """Marks each trace with how near it is to the others of its problem.

    nearest     Float32  Jaccard similarity of its shingles to those of the most similar other trace, 0 to 1
    mean        Float32  mean Jaccard similarity to the others
    distinct_n  Float32  different shingles over all shingles of the problem's traces; more traces have less

    With up to 33 traces of a problem every pair is compared; of more, each trace with its 64 neighbours by id. Which
    one is the most similar is estimated by bitmaps, and so is `mean`; the similarity to that one is exact. Null for a
    trace without words and for an unknown problem; `nearest` and `mean` also where there is no other trace.
    """

    name: ClassVar[str] = "diversity"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("problem_id", "response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "nearest": pl.Float32(),
        "mean": pl.Float32(),
        "distinct_n": pl.Float32(),
    }
    source: ClassVar[str] = (
        "resemblance of shingle sets: Broder 1997; distinct-n: Li et al. 2016 (arXiv 1510.03055); "
        "estimates by linear counting: Whang et al. 1990"
    )
    cost: ClassVar[str] = "115,000 rows/s on 2 cores for 300 characters each; numpy and Polars"

    words: int = 3
    """Words of a shingle."""

    def __post_init__(self) -> None:
        if self.words < 1:
            raise CotmillError(f"pass diversity: a shingle has at least 1 word, not {self.words}; say words=3")

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and `diversity.<mark>` for each trace, in no particular order."""
        rows = traces.select("trace_id", text=trace_text(), problem=key_of("problem_id"))
        problem = pl.col("problem")
        size = rows.select(pl.col("text").str.len_bytes().sum()).collect(engine="streaming").item() or 0
        parts = 1 + size // PART_BYTES
        unknown = _read(rows.filter(problem.is_null()).select("trace_id"))
        nothing = (pl.lit(None, kind).alias(f"{self.name}.{mark}") for mark, kind in self.marks.items())
        marked = [unknown.with_columns(nothing)]
        for part in range(parts):
            mine = _read(rows.filter(problem % parts == part)).sort("problem", "trace_id")
            found = _marks(mine["problem"].to_numpy(), mine["text"], self.words)
            columns = (
                pl.Series(f"{self.name}.{mark}", column).fill_nan(None)
                for mark, column in zip(self.marks, found, strict=True)
            )
            marked.append(mine.select("trace_id").with_columns(columns))
        return pl.concat(marked)


def _read(rows: pl.LazyFrame) -> pl.DataFrame:
    """All rows, their texts copied: those of a filtered column would keep all that was read in memory."""
    old = pl.CompatLevel.oldest()
    batches = [
        batch.with_columns(pl.Series(s.name, s.to_arrow(compat_level=old)) for s in batch if s.dtype == pl.String)
        for batch in rows.collect_batches(chunk_size=BATCH)
    ]
    return pl.concat(batches) if batches else rows.head(0).collect()


def _marks(problems: NDArray[np.uint64], texts: pl.Series, n: int) -> NDArray[np.float32]:
    """float32 [3, traces]: nearest, mean, distinct, NaN for unknown. Traces of a problem stand side by side."""
    groups = _groups(problems)
    found = np.full((3, len(groups)), np.nan, np.float32)

    def work(block: tuple[int, int]) -> None:
        rows = slice(*block)
        said, group = shingles(words(texts[rows]), n), groups[rows] - groups[block[0]]
        found[:2, rows] = _compared(said, group)
        found[2, rows] = _distinct(said, group)

    with ThreadPoolExecutor(len(machine.cores())) as pool:  # numpy and Polars let other threads run
        deque(pool.map(work, _blocks(groups, texts)), maxlen=0)
    return found


def _groups(problems: NDArray[np.uint64]) -> NDArray[np.int64]:
    """int64 [traces], ascending: which traces are looked at together."""
    if not len(problems):
        return np.zeros(0, np.int64)
    place = np.arange(len(problems))
    begins = np.concatenate([[True], problems[1:] != problems[:-1]])
    inside = place - np.maximum.accumulate(np.where(begins, place, 0))
    return np.cumsum(begins | (inside % GROUP == 0)) - 1


def _blocks(groups: NDArray[np.int64], texts: pl.Series) -> Iterator[tuple[int, int]]:
    """Runs [first, last) of whole groups with about `BLOCK_BYTES` of text; a larger group is a run of its own."""
    ends = np.append(np.flatnonzero(np.diff(groups)) + 1, len(groups))
    # Traces without text are not free: there may be millions of them.
    size = np.cumsum(texts.str.len_bytes().fill_null(0).to_numpy().astype(np.int64) + 64)
    first = 0
    while first < len(groups):
        full = np.searchsorted(size, (size[first - 1] if first else 0) + BLOCK_BYTES)
        last = int(ends[min(np.searchsorted(ends, full, side="right"), len(ends) - 1)])
        yield first, last
        first = last


class _Sets(NamedTuple):
    """The different shingles of some traces."""

    keys: NDArray[np.uint64]
    """uint64, in no order: the place of the trace in the upper 32 bits, 32 bits of a shingle below."""
    sizes: NDArray[np.int64]
    """int64 [traces]"""


def _sets(said: Words, rows: NDArray[np.int64]) -> _Sets:
    """The sets of some of the traces; their places are those in `rows`."""
    lengths = np.diff(said.offsets)
    place = np.full(len(lengths), -1)
    place[rows] = np.arange(len(rows))
    of = np.repeat(place, lengths)
    keys = _different(of[of >= 0].astype(np.uint64) << np.uint64(32) | said.values[of >= 0] >> np.uint64(32))
    return _Sets(keys, np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(rows)))


def _different(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The different ones; Polars hashes them in a quarter of the time that numpy sorts them in."""
    return pl.Series(keys).unique().to_numpy()


def _distinct(said: Words, group: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [traces]: different shingles of each group over all of its shingles."""
    lengths = np.diff(said.offsets)
    of = np.repeat(group, lengths).astype(np.uint64)
    # 44 bits of a shingle: a group has at most some millions of them, and a block less than a million groups.
    keys = _different(of << np.uint64(44) | said.values >> np.uint64(20))
    different = np.bincount((keys >> np.uint64(44)).astype(np.int64), minlength=group[-1] + 1)
    every = np.bincount(group, weights=lengths)
    with np.errstate(invalid="ignore"):  # 0 / 0: no words at all
        return np.where(lengths > 0, (different / every)[group], np.nan)


def _compared(said: Words, group: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [2, traces]: nearest and mean similarity; NaN where there is nothing to compare with."""
    speaks = np.diff(said.offsets) > 0
    rows = np.flatnonzero(speaks & (np.bincount(group, weights=speaks)[group] > 1))
    found = np.full((2, len(group)), np.nan)
    if len(rows):
        sets = _sets(said, rows)
        other, found[1, rows] = _alike(_bitmaps(sets, group[rows]), group[rows])
        found[0, rows] = _jaccard(sets, other)
    return found


def _alike(bits: NDArray[np.uint64], group: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """int64 and float64 [sets]: the place of the most similar set of the same group, and the mean similarity to all.

    Every group has two sets at least. Similarities are estimated: see `_stand_for`.
    """
    size = _stand_for(bits)  # not its true size: what a bitmap loses, the bitmaps of its unions lose too
    best, other = np.full(len(group), -1.0), np.zeros(len(group), np.int64)
    total, count = np.zeros(len(group)), np.zeros(len(group), np.int64)
    for step in range(1, min(REACH, len(group) - 1) + 1):
        left = np.flatnonzero(group[step:] == group[:-step])
        if not len(left):
            break
        right = left + step
        alike = np.clip((size[left] + size[right]) / _stand_for(bits[left] | bits[right]) - 1, 0, 1)
        for mine, theirs in ((left, right), (right, left)):
            total[mine] += alike
            count[mine] += 1
            better = alike > best[mine]
            best[mine[better]], other[mine[better]] = alike[better], theirs[better]
    return other, total / count


def _bitmaps(sets: _Sets, group: NDArray[np.int64]) -> NDArray[np.uint64]:
    """uint64 [sets, BITS / 64]: a bit for each shingle, or for a share of them where a group has long traces."""
    begins = np.append(True, np.diff(group) > 0)
    longest = np.maximum.reduceat(sets.sizes, np.flatnonzero(begins))[np.cumsum(begins) - 1]
    share = np.minimum(1, BITS / 2 / longest) * 2.0**32
    row, shingle = (sets.keys >> np.uint64(32)).astype(np.int64), sets.keys & np.uint64(0xFFFFFFFF)
    if (longest > BITS / 2).any():
        drawn = shingle < share[row]
        row, shingle = row[drawn], shingle[drawn]
    field = np.zeros((len(group), BITS), bool)
    field[row, (shingle % np.uint64(BITS)).astype(np.int64)] = True
    return np.packbits(field, axis=1).view(np.uint64)


def _stand_for(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """float64 [bitmaps]: estimated elements of each, above 0."""
    found: NDArray[np.float64] = _STANDS_FOR[np.bitwise_count(bits).sum(axis=1, dtype=np.int64)]
    return found


def _jaccard(sets: _Sets, other: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [sets]: shared shingles over all shingles of a set and its `other`."""
    row, shingle = (sets.keys >> np.uint64(32)).astype(np.int64), sets.keys & np.uint64(0xFFFFFFFF)
    wanted = pl.Series(other[row].astype(np.uint64) << np.uint64(32) | shingle)
    found = wanted.is_in(pl.Series(sets.keys).implode()).to_numpy()
    shared = np.bincount(row[found], minlength=len(other))
    return shared / (sets.sizes + sets.sizes[other] - shared)
