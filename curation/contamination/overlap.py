"""Which benchmark question a text repeats: an index of whole questions and of their n-grams, in flat arrays.

Words are those of `curation.text.shingles`, and `1,000.00` is `1000`. Not here: where benchmarks come from
(`curation.contamination.benchmarks`), and what counts as a hit (`curation.contamination.decontaminate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.contamination.benchmarks import Benchmark
from curation.contamination.ngrams import Grams, Hashes, Lookup, Places, bounded, changes, longest, met
from curation.text.shingles import Words, mixed, shingles, words

SHORTEST: Final = 8
"""Words. A question of fewer is found only as a whole question: as part of a text it is everyday language. Also the
least n that GPT-3 used for any test set (arXiv:2005.14165, appendix C)."""
TEXTS: Final = 16_384
"""Texts that are looked up at once."""
ANY: Final = np.uint64(1)
NO_CHOICES: Final = np.uint64(2)


class Whole(NamedTuple):
    """Texts that are a benchmark question: places in the index, -1 where they are not."""

    exact: Places
    """Character for character, and the same choices in the same order, where both have choices."""
    normalised: Places
    """Word for word, and so the choices."""
    stem: Places
    """Word for word, whatever the choices."""


class Parts(NamedTuple):
    """The benchmark question of which a text says the most; arrays over the texts."""

    place: Places
    """Where it is in the index; -1: the text has none of any question's n-grams."""
    share: NDArray[np.float32]
    """Of that question's n-grams."""
    begin: Places
    """Word at which the longest run begins that both have; the word behind it is at `end`. Only where the share is
    large enough."""
    end: Places


@dataclass(frozen=True)
class Index:
    """The questions of some benchmarks. A place is a row's number over all of them, in the order given."""

    names: list[str]
    offsets: list[int]
    """Place of each benchmark's first row."""
    rows: pl.DataFrame
    """`row` within its benchmark, `question`, `choices`, by place."""
    openings: Hashes
    """First n-gram of each question, ascending: texts that begin otherwise are no whole question."""
    exact: Lookup
    normalised: Lookup
    stem: Lookup
    grams: dict[int, Grams]
    """By their length: n, and the lengths of the questions of `SHORTEST` to n - 1 words, which have one n-gram each."""
    totals: NDArray[np.int32]
    """How many of its n-grams are in the index, by place; 0 for a question that repeats an earlier one."""
    ngram: int

    @classmethod
    def of(cls, benchmarks: Sequence[Benchmark], ngram: int) -> Index:
        """Build. Takes some 2 KB per question of 45 words while it does, and 1 KB afterwards."""
        rows = pl.concat(benchmark.questions for benchmark in benchmarks)
        offsets = np.cumsum([0, *(benchmark.questions.height for benchmark in benchmarks)]).tolist()
        places = np.arange(rows.height)
        wholes, openings, grams = _summed(rows, ngram)
        raw, (choices, choice_words) = _raw(rows["question"]), choice_hashes(rows["choices"])

        def both(question: Hashes, chosen: Hashes) -> Lookup:
            keys = np.stack([_with(question, chosen), _with(question, ANY)], axis=1).ravel()
            return Lookup.of(keys, np.repeat(places, 2))

        made, totals = {}, np.zeros(rows.height, np.int32)
        for length in list(grams):
            made[length] = Grams.of(*grams.pop(length))
            totals += np.bincount(made[length].questions, minlength=rows.height).astype(np.int32)
        return cls(
            [benchmark.name for benchmark in benchmarks],
            offsets[:-1],
            rows,
            np.unique(openings),
            both(raw, choices),
            both(wholes, choice_words),
            Lookup.of(wholes, places),
            {length: grams for length, grams in made.items() if len(grams.keys)},
            totals,
            ngram,
        )

    def whole(self, said: Words, questions: pl.Series, choices: pl.Series) -> Whole:
        """Which texts are a question as a whole.

        Args:
            said: words of the texts, see `words_of`.
            questions: String [texts].
            choices: List(String) [texts]; null where there are none.
        """
        found = Whole(*(np.full(len(questions), -1) for _ in Whole._fields))
        counts = np.diff(said.offsets)
        there = np.flatnonzero(counts > 0)
        opens = shingles(_taken(said, there, self.ngram), self.ngram).values
        maybe = there[np.isin(opens, self.openings)]
        if not len(maybe):
            return found
        wholes = whole_hashes(_taken(said, maybe))
        chosen, chosen_words = choice_hashes(choices.gather(maybe))
        found.stem[maybe] = self.stem.find(wholes)
        for into, lookup, question, own in (
            (found.exact, self.exact, _raw(questions.gather(maybe)), chosen),
            (found.normalised, self.normalised, wholes, chosen_words),
        ):
            same = lookup.find(_with(question, np.where(own == NO_CHOICES, ANY, own)))
            bare = lookup.find(_with(question, NO_CHOICES))  # a benchmark without choices cannot disagree on them
            into[maybe] = np.where((same < 0) | ((bare >= 0) & (bare < same)), bare, same)
        return found

    def parts(self, said: Words, least: float) -> Parts:
        """The question of which each text says the largest share; the earliest of several.

        Args:
            said: words of the texts.
            least: share from which the matching words are looked for.
        """
        texts = len(said.offsets) - 1
        place, share = np.full(texts, -1), np.zeros(texts, np.float32)
        matches = {length: met(grams, shingles(said, length)) for length, grams in self.grams.items()}
        found = [self._shares(self.grams[length], *rest) for length, rest in matches.items()]
        text, question, part = (np.concatenate([f[i] for f in found]) if found else np.zeros(0, int) for i in range(3))
        order = np.lexsort((question, -part, text))
        text, question, part = text[order], question[order], part[order]
        best = np.flatnonzero(changes(text))
        place[text[best]], share[text[best]] = question[best], part[best]

        begin, end = np.full(texts, -1), np.full(texts, -1)
        hit = np.where(share >= least, place, -1)
        for length, grams in self.grams.items():
            for which, first, last in longest(grams, *matches[length], hit, length):
                begin[which], end[which] = first, last
        return Parts(place, share, begin, end)

    def _shares(
        self, grams: Grams, text: Places, _: Places, gram: Places
    ) -> tuple[Places, Places, NDArray[np.float32]]:
        """Text, question, and the share of the question's n-grams that the text has, for every pair with any."""
        pairs = np.unique(text * len(grams.keys) + gram)
        text, gram = pairs // len(grams.keys), pairs % len(grams.keys)
        parts = []
        for first, last in bounded(text, grams.starts[gram + 1] - grams.starts[gram]):
            source, question = grams.spread(gram[first:last])
            keys, counts = np.unique(text[first:last][source] * len(self.totals) + question, return_counts=True)
            asked = keys % len(self.totals)
            parts.append((keys // len(self.totals), asked, (counts / self.totals[asked]).astype(np.float32)))
        if not parts:
            return text, gram, np.zeros(0, np.float32)
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def name(self, place: int) -> str:
        """The benchmark that a place is in."""
        return self.names[int(np.searchsorted(self.offsets, place, side="right")) - 1]


def words_of(texts: pl.Series) -> Words:
    """Words of texts, numbers in one format: `1,000` as `1000`, `3.50` as `3.5`, `24.0` as `24`."""
    written = texts.str.contains(r"[0-9](?:[.,]|\{,\})[0-9\\]").fill_null(False)
    if not written.any():
        return words(texts)
    place = written.arg_true()
    number = (
        texts.gather(place)
        .str.replace_all(_THOUSANDS, "$1$2")
        .str.replace_all(_THOUSANDS, "$1$2")  # 1,000,000: the matches overlap
        .str.replace_all(r"([0-9])\.0+(?-u:\b)", "$1")
        .str.replace_all(r"([0-9]\.[0-9]*[1-9])0+(?-u:\b)", "$1")
    )
    return words(texts.clone().scatter(place, number))  # `scatter` writes into its series


_THOUSANDS: Final = r"([0-9])(?:,|\{,\}|,\\!)([0-9]{3})"


def whole_hashes(said: Words) -> Hashes:
    """uint64 [texts]: a hash of all words of each text in their order; 0 for a text without words."""
    counts = np.diff(said.offsets)
    position = np.arange(len(said.values)) - np.repeat(said.offsets[:-1], counts)
    total = np.zeros(len(said.values) + 1, np.uint64)
    np.cumsum(mixed(said.values + _position(position)), out=total[1:])
    hashes: Hashes = total[said.offsets[1:]] - total[said.offsets[:-1]]
    return hashes


def _position(place: Places) -> Hashes:
    return (place.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)


def _with(question: Hashes, chosen: Hashes | np.uint64) -> Hashes:
    return mixed(question * np.uint64(3) ^ chosen)


def _raw(texts: pl.Series) -> Hashes:
    return texts.str.strip_chars().hash().to_numpy()


def choice_hashes(choices: pl.Series) -> tuple[Hashes, Hashes]:
    """Hashes of the choices as they stand, and of their words; `NO_CHOICES` where there are none."""
    none = (choices.list.len().fill_null(0) == 0).to_numpy()
    if none.all():
        nothing = np.full(len(choices), NO_CHOICES)
        return nothing, nothing
    joined = choices.list.eval(pl.element().fill_null("").str.strip_chars()).list.join("\x1f")
    raw, said = joined.hash().to_numpy(), whole_hashes(words_of(joined))
    return np.where(none, NO_CHOICES, raw), np.where(none, NO_CHOICES, said)


def _taken(said: Words, rows: Places, most: int | None = None) -> Words:
    """The words of some texts; of each the first `most`."""
    counts = np.diff(said.offsets)[rows]
    counts = counts if most is None else np.minimum(counts, most)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    at = np.repeat(said.offsets[:-1][rows] - offsets[:-1], counts) + np.arange(offsets[-1])
    return Words(said.values[at], offsets)


def _summed(rows: pl.DataFrame, ngram: int) -> tuple[Hashes, Hashes, dict[int, tuple[Hashes, NDArray[np.int32]]]]:
    """Whole hashes and openings of all questions; and by length the n-grams of distinct questions."""
    wholes, openings = [], []
    made: dict[int, list[tuple[Hashes, NDArray[np.int32]]]] = {}
    for start in range(0, rows.height, TEXTS):
        said = words_of(rows["question"][start : start + TEXTS])
        hashes = whole_hashes(said)
        wholes.append(hashes)
        openings.append(shingles(_taken(said, np.arange(len(hashes)), ngram), ngram).values)
    every = np.concatenate(wholes)
    first = np.zeros(len(every), np.bool_)
    first[np.unique(every, return_index=True)[1]] = True
    for start in range(0, rows.height, TEXTS):
        own = np.flatnonzero(first[start : start + TEXTS])
        said = _taken(words_of(rows["question"][start : start + TEXTS]), own)
        counts = np.diff(said.offsets)
        for length in np.unique(np.minimum(counts[counts >= min(SHORTEST, ngram)], ngram)).tolist():
            which = np.flatnonzero(counts >= ngram if length == ngram else counts == length)
            grams = shingles(_taken(said, which), length)
            question = np.repeat(own[which] + start, np.diff(grams.offsets)).astype(np.int32)
            made.setdefault(length, []).append((grams.values, question))
    joined = {}
    for length in sorted(made):
        values, questions = zip(*made.pop(length), strict=True)
        joined[length] = np.concatenate(values), np.concatenate(questions)
    return every, np.concatenate(openings), joined
