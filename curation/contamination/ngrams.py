"""N-grams as hashes in flat arrays: which are known, and which questions each stands in.

Nothing here knows of words or benchmarks; `curation.contamination.overlap` builds on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.text.shingles import Words

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

COMMON: Final = 100
"""An n-gram that stands in more benchmark questions than this is their boilerplate, and evidence of nothing. Above the
50 questions per template of GSM-Symbolic, which are no boilerplate."""
BUCKETS: Final = 16
"""Parts that the n-grams of a benchmark are sorted in."""
PAIRS: Final = 1 << 22
"""Matches of a text with a benchmark question that are held at once."""


class Lookup(NamedTuple):
    """From a hash to the first place it was met at."""

    keys: Hashes
    places: Places

    @classmethod
    def of(cls, keys: Hashes, places: Places) -> Lookup:
        """`places` must ascend."""
        unique, first = np.unique(keys, return_index=True)
        return cls(unique, places[first])

    def find(self, keys: Hashes) -> Places:
        """int64 [keys]: the place, -1 where the hash is unknown."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.places[at], -1)


class Grams(NamedTuple):
    """The n-grams of one length, and the questions that each stands in."""

    keys: Hashes
    """uint64 [n-grams], ascending."""
    starts: Places
    """int64 [n-grams + 1]: n-gram k stands in `questions[starts[k]:starts[k + 1]]`."""
    questions: NDArray[np.int32]
    seen: NDArray[np.bool_]
    """Whether any key begins with these bits. Says no to nearly every n-gram of a clean text, in one memory access."""

    @classmethod
    def of(cls, grams: Hashes, questions: NDArray[np.int32]) -> Grams:
        """From n-grams and the question of each, these ascending; what is common to too many questions is left out."""
        keys, counts, standing = np.empty_like(grams), np.empty(len(grams), np.int32), np.empty_like(questions)
        made = held = 0
        # By their first bits: sorting is then done in small pieces and in the order that is wanted.
        for bucket in range(BUCKETS):
            own = np.flatnonzero(grams >> np.uint64(64 - BUCKETS.bit_length() + 1) == bucket)
            own = own[np.argsort(grams[own], kind="stable")]
            gram, question = grams[own], questions[own]
            once = changes(gram) | changes(question)  # a question that repeats itself has an n-gram once
            gram, question = gram[once], question[once]
            starts = np.flatnonzero(changes(gram))
            count = np.diff(np.append(starts, len(gram)))
            stays = count <= COMMON
            question = question[np.repeat(stays, count)]
            more = int(stays.sum())
            keys[made : made + more], counts[made : made + more] = gram[starts][stays], count[stays]
            standing[held : held + len(question)] = question
            made, held = made + more, held + len(question)
        bits = min(max(16, (made * 32).bit_length()), 27)
        seen = np.zeros(1 << bits, np.bool_)
        seen[(keys[:made] >> np.uint64(64 - bits)).view(np.int64)] = True
        starts = np.zeros(made + 1, np.int64)
        np.cumsum(counts[:made], out=starts[1:])
        return cls(keys[:made], starts, standing[:held], seen)

    def find(self, values: Hashes) -> tuple[Places, Places]:
        """Positions in `values` that hold a known n-gram, and which one it is."""
        shift = np.uint64(65 - len(self.seen).bit_length())
        maybe = np.flatnonzero(self.seen[(values >> shift).view(np.int64)])
        at = np.minimum(np.searchsorted(self.keys, values[maybe]), len(self.keys) - 1)
        right = self.keys[at] == values[maybe]
        return maybe[right], at[right]

    def spread(self, grams: Places) -> tuple[Places, NDArray[np.int32]]:
        """Each n-gram once for each question that it stands in: its place in `grams`, and the question."""
        counts = self.starts[grams + 1] - self.starts[grams]
        ahead = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(np.arange(len(grams)), counts), self.questions[np.repeat(self.starts[grams], counts) + ahead]


def changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a value differs from the one before it; the first does."""
    found = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def met(grams: Grams, said: Words) -> tuple[Places, Places, Places]:
    """Every n-gram of the texts that is in the index: its text, the word it begins at, and which it is."""
    at, gram = grams.find(said.values)
    text = np.searchsorted(said.offsets, at, side="right") - 1
    return text, at - said.offsets[text], gram


def bounded(text: Places, costs: Places) -> Iterator[tuple[int, int]]:
    """Runs [first, last) of whole texts that cost about `PAIRS`."""
    ends = np.append(np.flatnonzero(text[1:] != text[:-1]) + 1, len(text)) if len(text) else text
    total = np.concatenate([[0], np.cumsum(costs)])
    first = 0
    while first < len(text):
        last = int(ends[max(np.searchsorted(total[ends], total[first] + PAIRS, side="right") - 1, 0)])
        last = last if last > first else int(ends[np.searchsorted(ends, first, side="right")])
        yield first, last
        first = last


def longest(
    grams: Grams, text: Places, word: Places, gram: Places, hit: Places, length: int
) -> Iterator[tuple[Places, Places, Places]]:
    """For texts that hit a question with n-grams of this length: the longest run of its words that they say."""
    wanted = hit[text] >= 0
    text, word, gram = text[wanted], word[wanted], gram[wanted]
    for first, last in bounded(text, grams.starts[gram + 1] - grams.starts[gram]):
        source, question = grams.spread(gram[first:last])
        own = np.unique(source[question == hit[text[first:last][source]]]) + first
        if not len(own):
            continue
        which, at = text[own], word[own]
        breaks = changes(which) | changes(at - np.arange(len(at)))
        begins = np.flatnonzero(breaks)
        lengths = np.diff(np.append(begins, len(own)))
        order = np.lexsort((begins, -lengths, which[begins]))
        top = order[changes(which[begins][order])]
        yield which[begins[top]], at[begins[top]], at[begins[top]] + lengths[top] - 1 + length
