"""Text that says the same again: how much of it, and whether it ended in a loop.

Words are runs of anything but white space, lines are what stands between line ends. Every run of `GRAM` words gets a
hash, and equal hashes of one trace are paired, each with the one before it. How far apart they are is the period of a
loop: where the distance stays, a block is said over and over. Not here: repetition across traces (`duplicates`), and
the compression ratio, which `steps` has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.engine.gates import judged
from curation.text.steps import trace_text

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import Span

GRAM: Final = 4
"""Words that count as a repetition when they come again in the same order."""
LONG: Final = 30
"""A text with more bytes than this to a word is read character by character: there are no spaces to speak of."""
MOST: Final = 1 << 20
"""Words that are looked at, of one trace."""
WINDOW: Final = 512
"""Words from the end that a loop is looked for in."""

_ROW_BITS, _HASH_BITS, _PLACE_BITS = 14, 30, 20
"""Of the 64 that are sorted: trace, hash, place. The hash needs none of the others, so no neighbour changes a mark."""

_ODD, _OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_SPACE: Final = 32
_ROOM: Final = 8
"""Slots to a place, where places of the same hash are looked for: the more, the fewer meet by chance."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Repetition:
    """Marks traces with how much they repeat themselves.

    ngrams  Float32  share of runs of 4 words that the trace has said before, 0..1; null below 4 words
    lines   Float32  share of lines that it has said before, blank ones aside, 0..1
    times   Int32    how often the block that is repeated most was said in a row; 1: none was
    block   Int32    words of that block; the shortest of those said equally often
    loop    Boolean  the trace ends in a loop: in a block that is said `times` times or more in a row, `words` words
                     in all; the last may be cut off

    All null where nothing was said. Numbers count as words, so a table of sums is no loop.
    """

    times: int = 3
    """How often a block must be said in a row to be a loop."""
    words: int = 12
    """Words that a loop must have, all rounds together."""

    name: ClassVar[str] = "repetition"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "ngrams": pl.Float32(),
        "lines": pl.Float32(),
        "times": pl.Int32(),
        "block": pl.Int32(),
        "loop": pl.Boolean(),
    }
    source: ClassVar[str] = (
        "shares of repeated n-grams and lines after Gopher (Rae et al. 2021, arXiv:2112.11446, table A1: at most 0.30 "
        "of the lines and 0.15 of the characters in repeated 5-grams, for web pages); loops are our own"
    )
    cost: ClassVar[str] = "190,000 rows/s of 300 characters on one core; NumPy over the bytes"

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `repetition.ngrams` and the rest."""
        return judged(traces, self, self._judge)

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """The first round of the loop that each of a few traces ends in, and all that follow."""
        from curation.passes import Span  # which imports the passes

        found: list[list[Span]] = []
        said = traces.select(trace_text().alias("said"))["said"]
        marks = (traces[f"{self.name}.{mark}"] for mark in ("loop", "times", "block"))
        for text, looped, times, block in zip(said, *marks, strict=True):
            found.append([])
            if looped:
                start, first, end = _rounds(text, times, block)
                found[-1] += [Span("loop", "text", start, first, "this"), Span("loop", "text", first, end, "again")]
        return found

    def _judge(self, traces: pl.DataFrame) -> pl.DataFrame:
        spoken = pl.when(trace_text().str.contains(r"\S")).then(trace_text())
        texts = traces.select(spoken.alias("text")).with_row_index("row").drop_nulls("text")
        if texts.is_empty():
            return traces.select(pl.lit(None, kind).alias(mark) for mark, kind in self.marks.items())
        marks = _repeats(texts["text"], self.times, self.words).with_columns(texts["row"])
        return traces.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")).join(
            marks, on="row", how="left", maintain_order="left"
        )


def _repeats(texts: pl.Series, times: int, words: int) -> pl.DataFrame:
    """The marks of texts, none of which is null or blank."""
    rows, _, _, hashes = _words(texts)
    counts = np.bincount(rows, minlength=len(texts))
    grams, gram_rows = _grams(hashes, rows)
    back = _back(grams, gram_rows)
    repeated = np.bincount(gram_rows[back > 0], minlength=len(texts))
    rounds, blocks = _runs(back, gram_rows, len(texts))
    looped = np.zeros(len(texts), bool)
    ends = np.cumsum(counts)
    for row in _suspects(back, gram_rows):
        found = _tail(hashes[ends[row] - min(counts[row], WINDOW) : ends[row]], times, words)
        if found is not None:
            looped[row] = True
            if found[0] >= rounds[row]:
                rounds[row], blocks[row] = found
    return pl.DataFrame(
        {
            "ngrams": pl.Series(repeated / np.maximum(counts - GRAM + 1, 1)).set(pl.Series(counts < GRAM), None),
            "lines": _lines(texts),
            "times": rounds,
            "block": pl.Series(blocks).set(pl.Series(rounds < 2), None),
            "loop": looped,
        }
    )


def _words(texts: pl.Series) -> tuple[Array, Array, Array, Array]:
    """Where the words of all texts are: the text each is from, and its first byte, one behind its last, and a hash.

    Read off the bytes of all texts at once; nothing is copied out. Words of 16 bytes or fewer have the same hash where
    they are the same; longer ones where length, first and last 8 bytes are, which is enough to tell them apart in one
    text.
    """
    offsets, data = _bytes(texts)
    inside = data > _SPACE
    begin, end = inside.copy(), inside.copy()
    begin[1:] &= ~inside[:-1]
    end[:-1] &= ~inside[1:]
    begin[offsets[:-1]] = inside[offsets[:-1]]  # a word does not reach into the next text
    end[offsets[1:] - 1] = inside[offsets[1:] - 1]
    starts = np.flatnonzero(begin)
    counts = np.diff(np.searchsorted(starts, offsets))
    spaceless = np.flatnonzero(np.diff(offsets) > LONG * (counts + 1))
    if len(spaceless):
        for row in spaceless:
            here = slice(offsets[row], offsets[row + 1])
            leads = (data[here] & 0xC0) != 0x80  # the first byte of each character
            begin[here] = leads & inside[here]
            end[here] = np.append(leads[1:], True) & inside[here]
        starts = np.flatnonzero(begin)
        counts = np.diff(np.searchsorted(starts, offsets))
    ends = np.flatnonzero(end) + 1
    rows = np.repeat(np.arange(len(texts)), counts)
    if counts.max(initial=0) > MOST:
        kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < MOST
        rows, starts, ends = rows[kept], starts[kept], ends[kept]
    return rows, starts, ends, _word_hashes(data, starts, ends)


def _bytes(texts: pl.Series) -> tuple[Array, Array]:
    """Offsets [texts + 1] and bytes of texts."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(array.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    return offsets - offsets[0], data


def _word_hashes(data: Array, starts: Array, ends: Array) -> Array:
    """UInt64 of each word: its length, its first 8 bytes and its last 8."""
    padded = np.concatenate((np.zeros(8, np.uint8), data, np.zeros(8, np.uint8)))
    eights = np.ndarray((len(padded) - 7,), "<u8", padded.data, 0, (1,))
    length = ends - starts
    cut = np.maximum(64 - 8 * length, 0).astype(np.uint64)
    first = (eights[starts + 8] << cut) >> cut
    last = eights[ends] >> cut
    first *= _ODD
    last += length.astype(np.uint64)
    last *= _OTHER
    hashes: Array = first ^ last
    return hashes


def _grams(hashes: Array, rows: Array) -> tuple[Array, Array]:
    """A hash for each run of `GRAM` words, and the row it is in. Runs that reach into the next row are no runs."""
    if len(hashes) < GRAM:
        return hashes[:0], rows[:0]
    last = len(hashes) - GRAM + 1
    whole = hashes[:last].copy()
    for step in range(1, GRAM):
        whole *= _ODD  # wraps; odd, so nothing is lost
        whole += hashes[step : last + step]
    whole ^= whole >> np.uint64(29)
    whole *= _OTHER
    inside = rows[:last] == rows[GRAM - 1 :]
    return whole[inside], rows[:last][inside]


def _back(hashes: Array, rows: Array) -> Array:
    """Int64: how many places before it the same hash stands in the same row; 0: nowhere.

    Args:
        hashes: UInt64 [places], of which the upper 30 bits count.
        rows: Int64 [places], ascending; at most `MOST` places each.
    """
    back = np.zeros(len(hashes), np.int64)
    place_bits, row_shift = np.uint64(_PLACE_BITS), np.uint64(_HASH_BITS + _PLACE_BITS)
    mask = np.uint64((1 << _PLACE_BITS) - 1)
    start = 0
    while start < len(hashes):
        end = min(start + MOST, int(np.searchsorted(rows, rows[start] + (1 << _ROW_BITS))))
        if end < len(hashes) and rows[end] == rows[end - 1]:
            end = int(np.searchsorted(rows, rows[end]))
        near = _met(hashes[start:end], rows[start:end])
        keys = hashes[start:end][near] >> np.uint64(64 - _HASH_BITS)
        keys <<= place_bits
        keys |= (rows[start:end][near] - rows[start]).astype(np.uint64) << row_shift
        keys |= near.astype(np.uint64)
        keys.sort()
        places = (keys & mask).astype(np.int64)
        keys >>= place_bits
        same = np.flatnonzero(keys[1:] == keys[:-1])
        back[start + places[same + 1]] = places[same + 1] - places[same]
        start = end
    return back


def _met(hashes: Array, rows: Array) -> Array:
    """Places, ascending, that may have the hash of another in their row: all that have, and some that have not.

    Each row has a stretch of slots of its own, so this stays in the cache; sorting all places would take twice as long.
    """
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    counts = np.diff(np.append(first, len(rows)))
    scaled = ((hashes >> np.uint64(40)) * np.repeat(counts * _ROOM, counts).astype(np.uint64)) >> np.uint64(24)
    slots = scaled.astype(np.int64) + np.repeat(first * _ROOM, counts)
    places = np.arange(len(hashes), dtype=np.int32)
    held = np.empty(len(hashes) * _ROOM, np.int32)
    held[slots] = places  # the last to come stays
    shared = np.zeros(len(held), bool)
    shared[slots[held[slots] != places]] = True
    return np.flatnonzero(shared[slots])


def _runs(back: Array, rows: Array, height: int) -> tuple[Array, Array]:
    """Int32 [rows]: how often the block that is said most often in a row is said, and its words; 1 and 0 for none.

    While a block comes again and again, the distance to the place before stays the same: the words of the block.
    """
    rounds, blocks = np.ones(height, np.int32), np.zeros(height, np.int32)
    at = np.flatnonzero(back)
    if not len(at):
        return rounds, blocks
    far = back[at]
    begins = np.concatenate(([0], np.flatnonzero((np.diff(at) != 1) | (np.diff(far) != 0)) + 1))
    length = np.diff(np.append(begins, len(at)))
    block, row = far[begins], rows[at[begins]]
    said = (length + GRAM - 1 + block) // block
    order = np.lexsort((-block, said, row))  # of each row the last one is the one to keep
    rounds[row[order]], blocks[row[order]] = said[order], block[order]
    blocks[rounds < 2] = 0
    return rounds, blocks


def _suspects(back: Array, rows: Array) -> list[int]:
    """Rows that end with words they have said before, the very last word aside."""
    last = np.flatnonzero(np.diff(rows, append=-1))
    before = np.maximum(last - 1, 0)
    repeated = (back[last] > 0) | ((back[before] > 0) & (rows[before] == rows[last]))
    found: list[int] = rows[last[repeated]].tolist()
    return found


def _tail(hashes: Array, times: int, words: int) -> tuple[int, int] | None:
    """Rounds and words of the loop that one text ends in; its last word may have been cut off."""
    for end in (len(hashes), len(hashes) - 1):
        last = hashes[end - GRAM : end]
        if len(last) < GRAM:
            continue
        for block in range(1, end // times + 1):
            if hashes[end - 1] != hashes[end - 1 - block]:
                continue
            differs = np.flatnonzero(hashes[block:end] != hashes[: end - block])
            run = end - block - (differs[-1] + 1 if len(differs) else 0) + block
            if run >= max(times * block, words):
                return int(run // block), block
    return None


def _lines(texts: pl.Series) -> pl.Series:
    """Float32: share of the lines that came before; 0 where there is but one."""
    shares = np.zeros(len(texts), np.float32)
    several = texts.str.contains("\n", literal=True)
    if several.any():
        lines = texts.filter(several).str.split("\n").list.eval(pl.element().str.strip_chars())
        rows = np.repeat(np.arange(len(lines)), lines.list.len().to_numpy())
        flat = lines.explode()
        said = (flat.str.len_bytes() > 0).to_numpy()
        hashes, rows = flat.hash(seed=0).to_numpy()[said], rows[said]
        again = np.bincount(rows[_back(hashes, rows) > 0], minlength=len(lines))
        shares[several.to_numpy()] = again / np.maximum(np.bincount(rows, minlength=len(lines)), 1)
    return pl.Series(shares)


def _rounds(text: str, times: int, block: int) -> tuple[int, int, int]:
    """Characters where the first round of the loop that ends a text begins and ends, and where the last one ends."""
    _, starts, _, hashes = _words(pl.Series([text]))
    end = len(hashes) if hashes[-1] == hashes[-1 - block] else len(hashes) - 1
    first = starts[max(end - times * block, 0)], starts[end - (times - 1) * block]
    raw = text.encode()
    begin, after = (len(raw[:at].decode()) for at in first)
    return begin, after, len(text.rstrip())
