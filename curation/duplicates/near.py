"""Near duplicates: texts that share most of their shingles, found by MinHash and banding, verified by Jaccard.

What is grouped: connected components of the pairs whose Jaccard similarity reaches the threshold. A pair is looked at
when it shares a band (see `curation.duplicates.minhash`); what is not similar enough on all shingles is never joined.
Equal sets of shingles are collapsed first: a text that is there 10,000 times is one text here. Not here: which one of
a group stays.
"""

from __future__ import annotations

import mmap
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.duplicates.components import Components
from curation.duplicates.items import (
    PROBLEM_COLUMNS,
    TRACE_COLUMNS,
    Within,
    groups_of,
    of_problems,
    of_traces,
    problem_items,
    representatives,
    runs,
    trace_items,
)
from curation.duplicates.minhash import Sets, as_sets, band_keys, bands_for, foreseen, jaccard, set_keys
from curation.duplicates.threads import batches, in_threads
from curation.text.shingles import mixed, shingles, words

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

SLICE: Final = 4_096
"""Texts sketched at once."""
ALL_PAIRS: Final = 16
"""Texts in a bucket up to which each pair is looked at."""
ROUNDS: Final = 32
"""Representatives that the texts of a larger bucket are compared with, one after the other."""

GROUP_MARKS: Final[dict[str, PolarsDataType]] = {"group": pl.String(), "size": pl.Int32(), "similarity": pl.Float32()}

PAIRS: Final = 1 << 14
"""Pairs a thread compares at once."""


@dataclass(frozen=True, slots=True)
class NearTrace:
    """Groups traces that say nearly the same, whoever wrote them, unless their golds differ.

    group        String   the least trace_id of the group; of a trace like no other, its own
    size         Int32    traces in the group, this one included
    similarity   Float32  Jaccard similarity to the trace that names the group, 1 for that trace itself; below the
                          threshold where only a chain of similar traces leads there; null in a group of one

    All null where nothing is said.
    """

    name: ClassVar[str] = "near_trace"  # written into shards: never reuse
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "trace"
    reads: ClassVar[tuple[str, ...]] = TRACE_COLUMNS
    marks: ClassVar[dict[str, PolarsDataType]] = GROUP_MARKS
    source: ClassVar[str] = "MinHash: Broder 1997; banding: Mining of Massive Datasets, 3.4"
    cost: ClassVar[str] = "90,000 rows/s on 2 cores, 0.8 GiB a million; numpy"

    threshold: float = 0.8
    """Least Jaccard similarity of a pair, above 0 and up to 1. Of 60 words, one that differs leaves 0.84."""
    ngram: int = 5
    """Words per shingle."""
    within: Within = "corpus"
    """Where copies are looked for: in the whole `corpus`, or among the traces of the same `problem`."""

    def __post_init__(self) -> None:
        check(self.threshold, ngram=self.ngram)

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and the marks of each trace."""
        return of_traces(near_groups(trace_items(traces, self.within), self.threshold, self.ngram), self.name)


@dataclass(frozen=True, slots=True)
class NearQuestion:
    """Groups problems that ask nearly the same and have the same gold; choices are part of the question.

    group        String   the least problem_id of the group; of a problem like no other, its own
    size         Int32    problems in the group, this one included
    similarity   Float32  Jaccard similarity to the problem that names the group; see `NearTrace`

    All null where there is no question.
    """

    name: ClassVar[str] = "near_question"  # written into shards: never reuse
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "problem"
    reads: ClassVar[tuple[str, ...]] = PROBLEM_COLUMNS
    marks: ClassVar[dict[str, PolarsDataType]] = GROUP_MARKS
    source: ClassVar[str] = "MinHash: Broder 1997; banding: Mining of Massive Datasets, 3.4"
    cost: ClassVar[str] = "170,000 rows/s on 2 cores, two traces a problem; numpy"

    threshold: float = 0.8
    """Least Jaccard similarity of a pair, above 0 and up to 1. Of 40 words, one that differs leaves 0.85."""
    ngram: int = 3
    """Words per shingle: fewer than for traces, as questions are short."""

    def __post_init__(self) -> None:
        check(self.threshold, ngram=self.ngram)

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and the marks of its problem, for each trace."""
        groups = near_groups(problem_items(traces), self.threshold, self.ngram)
        return of_problems(groups, self.name, traces)


def check(threshold: float, **counts: int) -> None:
    """Raise ValueError for parameters out of range."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is a similarity above 0 and up to 1, not {threshold}")
    if wrong := [name for name, count in counts.items() if count < 1]:
        raise ValueError(f"{wrong[0]} is at least 1, not {counts[wrong[0]]}")


def near_groups(items: pl.LazyFrame, threshold: float, ngram: int) -> pl.DataFrame:
    """`id`, `group`, `size`, `similarity` of each item.

    Args:
        items: `id` (String), `text` (String), `guard` (UInt64; different guards are never grouped).
        threshold: least Jaccard similarity of a pair.
        ngram: words per shingle.

    The sets of shingles lie in a temporary file, 4 bytes each; in memory are about 200 bytes per item at a threshold of
    0.8 (120 of them for bands and MinHashes), beside its id.
    """
    with tempfile.TemporaryFile() as values, tempfile.TemporaryFile() as records:
        ids, present, made = _sketch_all(items, ngram, *bands_for(threshold), values, records)
        sizes = made["size"].astype(np.int64)
        filled = np.flatnonzero(sizes)
        _, first, content = np.unique(made["content"][filled], return_index=True, return_inverse=True)
        chosen = filled[first]  # one item for each different text
        # An empty file cannot be mapped.
        mapped = mmap.mmap(values.fileno(), 0, access=mmap.ACCESS_READ) if len(filled) else None
        starts = np.cumsum(sizes) - sizes
        sets = Sets(np.frombuffer(mapped or b"", np.uint32), starts[chosen], sizes[chosen])
        parts = Components(len(chosen))
        texts = _Texts(sets, made["low"], chosen, threshold)
        for band in range(made["bands"].shape[1]):
            _join_bucketmates(parts, made["bands"][:, band][chosen], texts)
            if mapped and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)  # what was read would count as memory of this process
        labels = np.arange(len(chosen), len(chosen) + len(ids))  # without a word: like no other
        labels[filled] = parts.roots[content]
        named = representatives(ids, labels)
        similarity = _to_representative(sets, content, filled, named)
    groups = groups_of(ids, named, present)
    shared = pl.when(pl.col("size") > 1).then(pl.Series(similarity, dtype=pl.Float32))
    return groups.with_columns(shared.alias("similarity"))


def _to_representative(
    sets: Sets, content: NDArray[np.int64], filled: NDArray[np.int64], named: NDArray[np.int64]
) -> NDArray[np.float64]:
    """float64 [items]: Jaccard similarity of each item to the one that names its group; NaN for items without a word.

    Args:
        sets: of the different texts.
        content: int64 [items with words]: which of them each says.
        filled: int64 [items with words]: their numbers among all items.
        named: int64 [items]: the item that names the group of each.
    """
    says = np.zeros(len(named), np.int64)
    says[filled] = content
    theirs = np.zeros(len(sets.sizes), np.int64)
    theirs[content] = says[named[filled]]
    other = np.flatnonzero(theirs != np.arange(len(theirs)))
    of_text = np.ones(len(theirs))
    of_text[other] = jaccard(sets, other, theirs[other])
    similarity = np.full(len(named), np.nan)
    similarity[filled] = of_text[content]
    return similarity


class _Texts(NamedTuple):
    """The different texts, to be compared."""

    sets: Sets
    low: NDArray[np.uint8]  # of all items
    items: NDArray[np.int64]  # which item each text is of
    threshold: float

    def similar(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Bool [pairs]: whether two texts reach the threshold; the cheapest questions first."""
        sizes = self.sets.sizes
        lesser, greater = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        open_ = np.flatnonzero(lesser >= self.threshold * greater)  # sizes bound the similarity
        low = self.low[self.items[left[open_]]], self.low[self.items[right[open_]]]
        open_ = open_[foreseen(*low, self.threshold)]
        reached = np.zeros(len(left), bool)
        reached[open_] = jaccard(self.sets, left[open_], right[open_]) >= self.threshold
        return reached


def _sketch_all(
    items: pl.LazyFrame, ngram: int, bands: int, rows: int, values: IO[bytes], records: IO[bytes]
) -> tuple[pl.Series, NDArray[np.bool_], NDArray[Any]]:
    """Ids of all items, whether they say anything, and their records, see `_record`; `values` gets their sets.

    The records are read back from a file: collected in memory, they would be there twice for a moment.
    """
    record = _record(bands, rows)

    def sketch(batch: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[NDArray[Any], NDArray[np.uint32]]]]:
        return batch, [_sketch(part, ngram, bands, rows) for part in batch.iter_slices(SLICE)]

    ids, present = [pl.Series("id", [], pl.String)], [np.zeros(0, bool)]
    for batch, sketched in in_threads(sketch, batches(items)):
        ids.append(batch["id"])
        present.append(batch["text"].is_not_null().to_numpy())
        for made, sets in sketched:
            records.write(made.data)
            values.write(sets.data)
    values.flush()
    records.seek(0)
    return pl.concat(ids), np.concatenate(present), np.fromfile(records, record)


def _record(bands: int, rows: int) -> np.dtype[Any]:
    """What is kept of each item.

    content  equal for equal sets of shingles under equal guards
    size     shingles
    bands    see `band_keys`
    low      see `band_keys`
    """
    return np.dtype(
        [("content", np.uint64), ("size", np.int32), ("bands", np.uint32, (bands,)), ("low", np.uint8, (bands * rows,))]
    )


def _sketch(batch: pl.DataFrame, ngram: int, bands: int, rows: int) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    """Records of some texts, and the values of their sets."""
    sets = as_sets(shingles(words(batch["text"]), ngram))
    guard = mixed(batch["guard"].to_numpy().copy())
    keys, low = band_keys(sets, bands, rows)
    made = np.empty(batch.height, _record(bands, rows))
    made["content"] = mixed(set_keys(sets) ^ guard)
    made["size"] = sets.sizes
    made["bands"] = (keys ^ (guard >> np.uint64(32)).astype(np.uint32)).T  # other guards, other buckets
    made["low"] = low
    return made, sets.values


def _join_bucketmates(parts: Components, band: NDArray[np.uint32], texts: _Texts) -> None:
    """Join what is similar among the texts that share their key in one band.

    In small buckets all pairs are looked at. In large ones, each text is compared with one representative; those not
    joined to it go on among themselves, with a new one.
    """
    keys = np.sort((band.astype(np.uint64) << np.uint64(32)) | np.arange(len(band), dtype=np.uint64))
    found = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    buckets = (keys >> np.uint64(32)).astype(np.int64)
    for _ in range(ROUNDS):
        begins, sizes = runs(buckets)
        small = sizes <= ALL_PAIRS
        inside = np.repeat(small, sizes)
        for near, far in ((1, 2), (2, ALL_PAIRS)):  # neighbours first: what they join needs no other pair
            _join(parts, *_pairs_at(found[inside], buckets[inside], near, far), texts)
        found, buckets, begins, sizes = found[~inside], buckets[~inside], begins[~small], sizes[~small]
        if not len(found):
            return
        first = np.repeat(found[np.cumsum(sizes) - sizes], sizes)
        _join(parts, first, found, texts)
        left = parts.apart(first, found)
        found, buckets = found[left], buckets[left]


def _pairs_at(
    texts: NDArray[np.int64], buckets: NDArray[np.int64], near: int, far: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of texts in one bucket that stand at least `near` and less than `far` apart."""
    left, right = [texts[:0]], [texts[:0]]
    for apart in range(near, min(far, len(texts))):
        same = np.flatnonzero(buckets[apart:] == buckets[:-apart])
        if not len(same):
            break
        left.append(texts[same])
        right.append(texts[same + apart])
    return np.concatenate(left), np.concatenate(right)


def _join(parts: Components, left: NDArray[np.int64], right: NDArray[np.int64], texts: _Texts) -> None:
    """Join the pairs that are similar enough; what hangs together already is not compared."""
    apart = parts.apart(left, right)
    left, right = left[apart], right[apart]
    portions = [slice(first, first + PAIRS) for first in range(0, len(left), PAIRS)]
    found = in_threads(lambda portion: texts.similar(left[portion], right[portion]), portions)
    similar = np.concatenate([np.zeros(0, bool), *found])
    parts.join(left[similar], right[similar])
