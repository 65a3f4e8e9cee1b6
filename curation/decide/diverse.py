"""The k most diverse traces of each problem, for all problems at once.

Greedy max-min (Gonzalez 1985): after the first trace, each time the one whose nearest chosen trace is
farthest. Distance is 1 - Jaccard similarity of the sets of 3-word shingles, of which each trace's
`SKETCH` smallest hashes are held (a bottom-k sketch, Broder 1997): exact for traces of up to so
many shingles, some 250 bytes a candidate.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from builders.errors import CorpusError
from curation.decide.keys import Keys, in_order
from curation.decide.rules import Rows
from curation.text.shingles import mixed, shingles, words

SKETCH: Final = 64
WINDOW: Final = 3
BLOCK: Final = 50_000
"""Candidates compared at a time; problems are never divided."""

Array = NDArray[Any]


def least_diverse(keys: Keys, order: Array, rows: Rows, most: int, part: Array) -> Rows:
    """Those that are not among the `most` diverse of their part.

    Args:
        keys: in the order of a dataset.
        order: place of each row in the shards, as `rules.in_dataset_order` gives it.
        rows: candidates, in the order of a dataset.
        most: how many of a part stay.
        part: [traces] number of the problem, or of what else `most` is counted for.
    """
    part = part[rows]
    sizes = np.bincount(part)
    crowded = sizes[part] > most
    rows, part = rows[crowded], part[crowded]
    by_part = np.argsort(part, kind="stable")
    rows, part = rows[by_part], part[by_part]
    values, counts = _sketches(keys, order[rows])
    starts = np.concatenate([[0], np.cumsum(counts)])
    begins = np.flatnonzero(np.diff(part, prepend=-1))
    gone = []
    first = 0
    while first < len(rows):  # whole parts, up to BLOCK rows
        after = begins[begins > first]
        last = int(next(iter(after[after >= first + BLOCK]), len(rows)))
        block = slice(first, last)
        chosen = _greedy(values[starts[first] : starts[last]], counts[block], part[block], most)
        gone.append(rows[block][~chosen])
        first = last
    return np.concatenate(gone) if gone else rows


def _greedy(values: Array, counts: Array, part: Array, most: int) -> NDArray[np.bool_]:
    """Which rows are chosen. `values` are the sketches, one after the other; a part's rows stand together."""
    _, part = np.unique(part, return_inverse=True)
    begins = np.flatnonzero(np.diff(part, prepend=-1))
    row = np.repeat(np.arange(len(counts)), counts)
    # A shingle counts within its part only, so its hash takes the part in.
    own = mixed(values.astype(np.uint64) | (part[row].astype(np.uint64) << np.uint64(32)))
    similarity = np.zeros(len(counts))  # to the nearest chosen row
    chosen = np.zeros(len(counts), bool)
    newest = begins
    for turn in range(most):
        chosen[newest] = True
        if turn + 1 == most:
            break
        picked = np.sort(own[np.isin(row, newest)])
        place = np.minimum(np.searchsorted(picked, own), max(len(picked) - 1, 0))
        shared = np.bincount(row[picked[place] == own] if len(picked) else row[:0], minlength=len(counts))
        union = counts + counts[newest][part] - shared
        similarity = np.maximum(similarity, np.where(union > 0, shared / np.maximum(union, 1), 1.0))
        # Least similar first, then first in order; what is chosen already comes last.
        ranked = np.lexsort((np.arange(len(counts)), np.where(chosen, 2.0, similarity), part))
        newest = ranked[begins]
    return chosen


def _sketches(keys: Keys, places: Array) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The smallest hashes of each trace, one trace after the other as in `places`, and how many each has."""
    by_place = np.argsort(places)
    ends = np.cumsum(keys.heights)
    cuts = np.searchsorted(places[by_place], np.concatenate([[0], ends]))

    def read(number: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        inside = places[by_place[cuts[number] : cuts[number + 1]]] - (ends[number] - keys.heights[number])
        if not len(inside):
            return np.zeros(0, np.uint32), np.zeros(0, np.int64)
        try:
            texts = pl.read_parquet(keys.shards[number], columns=["response"], glob=False)["response"]
        except (pl.exceptions.PolarsError, OSError) as error:
            raise CorpusError(f"{keys.shards[number]} cannot be read any more: {error}") from None
        return _sketch(texts.gather(inside))

    parts = list(in_order(read, range(len(keys.shards))))
    values = np.concatenate([found for found, _ in parts])
    counts = np.concatenate([count for _, count in parts])
    starts = np.cumsum(counts) - counts
    back = np.empty(len(places), np.int64)
    back[by_place] = np.arange(len(places))
    counts, starts = counts[back], starts[back]
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return values[np.repeat(starts, counts) + within], counts


def _sketch(texts: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    made = shingles(words(texts), WINDOW)
    row = np.repeat(np.arange(len(texts)), np.diff(made.offsets))
    hashes = np.unique((row.astype(np.uint64) << np.uint64(32)) | (made.values >> np.uint64(32)))
    row = (hashes >> np.uint64(32)).astype(np.int64)
    counts = np.bincount(row, minlength=len(texts))
    within = np.arange(len(hashes)) - (np.cumsum(counts) - counts)[row]
    return hashes[within < SKETCH].astype(np.uint32), np.minimum(counts, SKETCH)
