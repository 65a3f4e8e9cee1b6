"""MinHash over whole columns: sets of shingles, signatures in bands, and the exact Jaccard similarity of pairs.

Two sets agree in one MinHash with a chance equal to their Jaccard similarity s (Broder 1997, "On the resemblance and
containment of documents"), so in all `rows` MinHashes of a band with s^rows, and in at least one of `bands` bands with
1 - (1 - s^rows)^bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, section 3.4.2). Plain numpy over flat
arrays. Not here: which pairs are looked at, and what becomes of them.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.text.shingles import BASE, Words, mixed

RECALL: Final = 0.99
"""Chance that a pair exactly at the threshold shares a band; pairs above it have a better one."""
HASHES: Final = 64
"""MinHashes per text at most: the dearest part of the work, and 64 tell 0.8 from 0.5 well."""
CHUNK: Final = 1 << 17
"""Shingles compared at once: few enough for the second-level cache."""

_HALF: Final = np.uint64(32)
_FACTORS: Final = np.random.Generator(np.random.PCG64(0)).integers(1 << 32, size=HASHES, dtype=np.uint32) | np.uint32(1)
"""uint32 [HASHES], odd: `x * factor` modulo 2^32 puts hashes into another order. A constant to add makes no difference:
over 20,000 pairs of 10 to 540 shingles, the spread of the share of equal MinHashes is that of ideal permutations to
1 % with it and without."""


def bands_for(threshold: float) -> tuple[int, int]:
    """Bands and rows per band: the most rows, and so the fewest false candidates, that `RECALL` and `HASHES` allow.

    >>> bands_for(0.8)
    (12, 5)
    """
    best = (1, 1)
    for rows in range(1, HASHES + 1):
        bands = 1 if threshold >= 1 else math.ceil(math.log(1 - RECALL) / math.log1p(-(threshold**rows)))
        if bands * rows > HASHES:
            break
        best = (bands, rows)
    return best


def chance(similarity: float, bands: int, rows: int) -> float:
    """Chance that a pair of this Jaccard similarity shares at least one band."""
    return 1 - (1 - similarity**rows) ** bands


class Sets(NamedTuple):
    """Shingles of many texts, each text's in ascending order without repeats."""

    values: NDArray[np.uint32]
    """uint32; may be a file mapped into memory: only what is asked for is read."""
    starts: NDArray[np.int64]
    """int64 [texts]: where in `values` each set begins."""
    sizes: NDArray[np.int64]
    """int64 [texts]: shingles in each."""


def as_sets(shingled: Words) -> Sets:
    """Each text's shingles as a set of 32-bit hashes.

    Among the shingles of two texts of 1,000 words, some two share a hash with a chance of 5 in 10,000; that moves the
    similarity by as little.
    """
    values, starts = (shingled.values >> _HALF).astype(np.uint32), shingled.offsets[:-1]
    _sort_each(values, starts, np.diff(shingled.offsets))
    fresh = np.ones(len(values) + 1, bool)
    np.not_equal(values[1:], values[:-1], out=fresh[1:-1])
    fresh[starts] = True
    kept = np.concatenate([[0], np.cumsum(fresh[:-1])])[shingled.offsets]
    return Sets(values[fresh[:-1]], kept[:-1], np.diff(kept))


def _sort_each(values: NDArray[np.uint32], starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    """Sort each text's values in place: texts of like size as the rows of one matrix, which takes a tenth of the time
    of sorting them all with their text's number before them.
    """
    width = 16
    while len(starts):
        fits = sizes <= width
        where = starts[fits, None] + np.arange(width)
        real = np.arange(width) < sizes[fits, None]
        rows = np.full(where.shape, np.iinfo(np.uint32).max)
        rows[real] = values[where[real]]
        rows.sort(axis=1)
        values[where[real]] = rows[real]
        starts, sizes, width = starts[~fits], sizes[~fits], 2 * width


def set_keys(sets: Sets) -> NDArray[np.uint64]:
    """uint64 [texts]: equal for equal sets; 0 for an empty one."""
    keys = np.zeros(len(sets.sizes), np.uint64)
    filled = np.flatnonzero(sets.sizes)
    if len(filled):  # reduceat would give an empty set the first value of the next
        keys[filled] = np.add.reduceat(mixed(sets.values.astype(np.uint64)), sets.starts[filled])
    return keys


def band_keys(sets: Sets, bands: int, rows: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """The MinHashes of each text in two forms, 0 for an empty set.

    Returns:
        uint32 [bands, texts]: those of each band, hashed into one value.
        uint8 [texts, bands * rows]: the last byte of each, for `foreseen`.
    """
    keys = np.zeros((bands, len(sets.sizes)), np.uint32)
    low = np.zeros((len(sets.sizes), bands * rows), np.uint8)
    filled = np.flatnonzero(sets.sizes)
    if not len(filled):
        return keys, low
    starts, permuted = sets.starts[filled], np.empty_like(sets.values)
    least = np.empty((bands * rows, len(filled)), np.uint32)
    for place, factor in enumerate(_FACTORS[: bands * rows]):
        np.multiply(sets.values, factor, out=permuted)
        np.minimum.reduceat(permuted, starts, out=least[place])
    low[filled] = least.T.astype(np.uint8)
    for band in range(bands):
        joined = np.zeros(len(filled), np.uint64)
        for minhash in least[band * rows : (band + 1) * rows]:
            joined *= np.uint64(BASE)
            joined += minhash
        keys[band, filled] = mixed(joined) >> _HALF
    return keys, low


def foreseen(left: NDArray[np.uint8], right: NDArray[np.uint8], threshold: float) -> NDArray[np.bool_]:
    """Bool [pairs]: whether enough MinHashes agree for a comparison to be worth it.

    A pair at the threshold is turned away with a chance of 1 in 700: its agreeing MinHashes are then more than three
    standard deviations below what is expected. A byte of each is enough to tell (Li and Koenig 2010).

    Args:
        left: uint8 [pairs, MinHashes], see `band_keys`.
        right: the same of the other text of each pair.
        threshold: least Jaccard similarity.
    """
    hashes = left.shape[1]
    expected = hashes * threshold
    enough: NDArray[np.bool_] = (left == right).sum(axis=1) >= expected - 3 * math.sqrt(expected * (1 - threshold))
    return enough


def jaccard(sets: Sets, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [pairs]: shared shingles over all shingles of texts `left[i]` and `right[i]`, none of them empty."""
    total = sets.sizes[left] + sets.sizes[right]
    ends = np.cumsum(total)
    shared = np.zeros(len(left), np.int64)
    first = 0
    while first < len(left):
        before = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, before + CHUNK, side="right")), first + 1)
        shared[first:last] = _shared(sets, left[first:last], right[first:last])
        first = last
    return shared / (total - shared)


def _shared(sets: Sets, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [pairs]: shingles that both have. Each pair's sets are sorted together; what is shared is there twice."""
    texts = np.concatenate([left, right])
    sizes = sets.sizes[texts]
    ends = np.cumsum(sizes)
    where = np.arange(ends[-1]) + np.repeat(sets.starts[texts] - (ends - sizes), sizes)
    pairs = np.tile(np.arange(len(left), dtype=np.uint64), 2) << _HALF
    keys = np.repeat(pairs, sizes)
    keys |= sets.values[where]
    keys.sort(kind="stable")  # merges the two runs that are sorted already: a tenth of the time
    twice = keys[1:][keys[1:] == keys[:-1]] >> _HALF
    return np.bincount(twice.astype(np.int64), minlength=len(left))
