r"""Texts as hashes of their words, and of windows of n words: what duplicates and contamination compare.

A word is a run of letters and digits in lower case after NFKC: `Don't` is two, `3.5` is two, `\frac{3}{4}` is three;
signs, white space and layout do not count. Where a script puts no spaces (Han, Kana, Thai, Lao, Khmer, Burmese), each
character is a word. A hash has 64 bits and is our own arithmetic over UTF-8 bytes: the same on any machine and under
any library version. Two different words share one with a chance of about 2^-64; it is no defence against texts
written to collide. Not here: where in a text a word stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

BASE: Final = 0x9E3779B97F4A7C15
"""Odd, so it has an inverse modulo 2^64: the hash of `text[a:b]` is a difference of prefix sums, divided by BASE^a."""
SLICE: Final = 1 << 16
"""Bytes or words worked on at once: few enough for the second-level cache, many enough to pay for a call of numpy."""

_LOWER: Final = bytes(ord(chr(b).lower()) if b < 0x80 else b for b in range(256))
_WORD_BYTES: Final = bytes(b if b >= 0x80 or chr(b).isalnum() else 0 for b in _LOWER)
_TOKEN_BYTES: Final = bytes(b if b >= 0x80 or not chr(b).isspace() else 0 for b in _LOWER)
"""What a byte counts as; 0: between words. Which characters above ASCII do is settled before, in `_plain`."""
_NO_SPACES: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"


class Words(NamedTuple):
    """Hashes of many texts, one after the other; text i has `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[np.uint64]
    """uint64 [words of all texts], in the order of the text; a word said twice is there twice."""
    offsets: NDArray[np.int64]
    """int64 [texts + 1], ascending from 0 to `len(values)`."""


def words(texts: pl.Series) -> Words:
    """Hashes of the words of each text; null and texts without a letter or digit have none.

    Args:
        texts: String [rows]. Takes 8 bytes per word: hand over a column of many millions of words in parts.
    """
    return _hashes(_plain(texts, r"[^\p{L}\p{N}\p{M}\x00-\x7f]"), _WORD_BYTES)


def tokens(texts: pl.Series) -> Words:
    """Hashes of the runs of anything but white space in each text, in lower case after NFKC; else like `words`."""
    return _hashes(_plain(texts, r"[^\S\x00-\x7f]"), _TOKEN_BYTES)


def sequence_keys(said: Words) -> NDArray[np.uint64]:
    """uint64 [texts]: equal for equal words in equal order; 0 for a text without any."""
    lengths = np.diff(said.offsets)
    place = np.arange(len(said.values)) - np.repeat(said.offsets[:-1], lengths)
    placed = mixed(said.values ^ (place.astype(np.uint64) * np.uint64(BASE)))
    keys = np.zeros(len(lengths), np.uint64)
    if len(filled := np.flatnonzero(lengths)):  # reduceat would give an empty text the first value of the next
        keys[filled] = np.add.reduceat(placed, said.offsets[filled])
    return keys


def shingles(said: Words, n: int) -> Words:
    """Hashes of every `n` words in a row of each text, none across two texts; order counts.

    A text of fewer than `n` words has one shingle, of all of them; a text without words has none. `n = 1` gives the
    words, hashed again.
    """
    if n < 1:
        raise ValueError(f"a shingle has at least 1 word, not {n}")
    counts = np.zeros(len(said.offsets), np.int64)
    values = []
    for first, last in _slices(said.offsets):
        begin, end = said.offsets[first], said.offsets[last]
        found, made = _hash_windows(said.values[begin:end], said.offsets[first : last + 1] - begin, n)
        values.append(found)
        counts[first + 1 : last + 1] = made
    return Words(np.concatenate(values) if values else np.zeros(0, np.uint64), np.cumsum(counts))


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread each value over all 64 bits, in place: MurmurHash3's finaliser (Appleby, public domain)."""
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


def _hashes(texts: pl.Series, table: bytes) -> Words:
    """Hashes of the runs of bytes that `table` maps to anything but 0, mapped so."""
    data, offsets = _utf8(texts)
    # A Python buffer method is the fastest way to map bytes: numpy would widen each to a 64-bit index first.
    codes = np.frombuffer(data.translate(table), np.uint8)
    values, counts, work = [], np.zeros(len(offsets), np.int64), np.empty(SLICE + 1, np.uint64)
    for first, last in _slices(offsets):
        part = codes[offsets[first] : offsets[last]]
        if len(part) >= len(work):
            work = np.empty(len(part) + 1, np.uint64)
        found, inside = _hash_runs(part, offsets[first : last + 1] - offsets[first], work[: len(part) + 1])
        values.append(found)
        counts[first + 1 : last + 1] = np.diff(inside)
    return Words(np.concatenate(values) if values else np.zeros(0, np.uint64), np.cumsum(counts))


def _plain(texts: pl.Series, between: str) -> pl.Series:
    """NFKC in lower case, a space for each character that is `between` words; pure ASCII as it is; no nulls."""
    text = pl.col("text")
    # Null for pure ASCII, which most texts of worked maths are: what follows then costs nothing.
    strange = pl.when(text.str.len_bytes() != text.str.len_chars()).then(text).str.normalize("NFKC").str.to_lowercase()
    parted = strange.str.replace_all(between, " ").str.replace_all(_NO_SPACES, " $0 ")
    return pl.DataFrame({"text": texts.cast(pl.String)}).select(pl.coalesce(parted, text, pl.lit(""))).to_series()


def _utf8(texts: pl.Series) -> tuple[bytes, NDArray[np.int64]]:
    """All texts as one run of bytes, and where each begins: int64 [rows + 1]."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())  # Arrow's plain layout: offsets and bytes
    _, bounds, data = array.buffers()
    offsets = np.frombuffer(bounds, np.int64)[array.offset : array.offset + len(array) + 1]
    return (data.to_pybytes() if data else b""), offsets


def _slices(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of rows [first, last) that hold about `SLICE` values; a longer row is a run of its own."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        last = int(np.searchsorted(offsets, offsets[first] + SLICE, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def _hash_runs(
    codes: NDArray[np.uint8], offsets: NDArray[np.int64], work: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """uint64 hashes of the runs of other than 0, and int64 [rows + 1] how many of them begin before each row.

    `work` holds one value more than `codes`. It is there because half a megabyte that is asked for anew costs more than
    all that is computed in it.
    """
    inside = codes != 0
    rows = offsets[:-1][np.diff(offsets) > 0]  # only where there is text: words of two rows must not become one
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    begins[rows] = inside[rows]
    ends = inside.copy()
    ends[:-1] &= ~inside[1:]
    ends[rows[1:] - 1] = inside[rows[1:] - 1]
    starts = np.flatnonzero(begins)
    powers, inverses = _powers(len(codes))
    work[0], work[1:] = 0, codes
    work[1:] *= powers[: len(codes)]
    np.cumsum(work, out=work)
    hashes = (work[np.flatnonzero(ends) + 1] - work[starts]) * inverses[starts]
    return mixed(hashes), np.searchsorted(starts, offsets)


def _hash_windows(
    values: NDArray[np.uint64], offsets: NDArray[np.int64], n: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """uint64 hashes of windows, and int64 [rows] how many each row has."""
    lengths = np.diff(offsets)
    made = np.where(lengths >= n, lengths - n + 1, np.minimum(lengths, 1))
    keep = np.ones(len(values), bool)
    for back in range(1, n):  # the last n - 1 words of a row begin no window
        keep[offsets[1:][lengths >= back] - back] = False
    hashes = _combined(values, n)
    for length in range(1, n):
        short = offsets[:-1][lengths == length]
        if len(short):
            keep[short] = True
            hashes[short] = _combined(values, length)[short]
    return mixed(hashes[keep]), made


def _combined(values: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """uint64 [values]: a polynomial in BASE over `n` values from each position on; garbage in the last `n - 1`."""
    total = values.copy()
    for ahead in range(1, min(n, len(values))):
        total *= np.uint64(BASE)
        total[: len(values) - ahead] += values[ahead:]
    return total


def _powers(length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """uint64 [at least `length`]: BASE^i and BASE^-i modulo 2^64."""
    if length <= SLICE:
        return _POWERS
    return _power_table(BASE, length), _power_table(pow(BASE, -1, 1 << 64), length)


def _power_table(base: int, length: int) -> NDArray[np.uint64]:
    table = np.full(length, base, np.uint64)
    table[0] = 1
    return np.cumprod(table, dtype=np.uint64)


_POWERS: Final = (_power_table(BASE, SLICE), _power_table(pow(BASE, -1, 1 << 64), SLICE))
