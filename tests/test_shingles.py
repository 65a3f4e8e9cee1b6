"""Texts as hashes of words and shingles."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.text import shingles as module
from curation.text.shingles import sequence_keys, shingles, tokens, words


def hashes(made, text):
    return made(pl.Series([text], dtype=pl.String)).values.tolist()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Mia has 3 apples.", 4),
        ("Don't", 2),
        ("3.5 + \\frac{3}{4}", 5),  # 3 5 frac 3 4
        ("", 0),
        (None, 0),
        (" \n\t.,;!\x00", 0),
        ("naïve café", 2),
        ("答案是 12", 4),  # three characters and a number
        ("🙂", 0),
        ("a" * 100_000 + " b", 2),  # longer than one slice
    ],
)
def test_words_of_a_text(text, count):
    assert len(hashes(words, text)) == count


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mia has 3 apples.", "mia HAS (3) apples"),
        ("it’s", "it's"),
        ("ＦＵＬＬ width １２", "full width 12"),
        ("x²", "x2"),
        ("Straße", "STRAßE"),
        ("e\u0301t\u00e9", "\u00e9te\u0301"),  # composed or not
        ("a\u00a0b", "a b"),
        ("3 × 4", "3 * 4"),  # signs are no words
    ],
)
def test_texts_of_the_same_words(one, other):
    assert hashes(words, one) == hashes(words, other)


def test_words_of_two_texts_stay_two():
    assert np.diff(words(pl.Series(["ab", "", "cd", None, "ef gh"])).offsets).tolist() == [1, 0, 1, 0, 2]


def test_a_hash_is_the_same_on_every_machine_and_under_every_version():
    assert hashes(words, "apples") == [0xE145F07671F30870]


def test_a_table_in_slices_says_what_its_rows_say(monkeypatch):
    texts = pl.Series(["one two three", "", "four", None, "five six", "seven 8"] * 50)
    whole = shingles(words(texts), 2)
    monkeypatch.setattr(module, "SLICE", 16)
    parts = shingles(words(texts), 2)
    assert whole.values.tolist() == parts.values.tolist()
    assert whole.offsets.tolist() == parts.offsets.tolist()


def plain(text, n):
    said = re.findall("[a-z0-9]+", text.lower())
    return [tuple(said[i : i + n]) for i in range(max(len(said) - n + 1, 1))] if said else []


@given(st.lists(st.text(alphabet="abC1 .\n", max_size=40), max_size=20), st.integers(1, 6))
def test_shingles_are_equal_where_the_words_are(texts, n):
    made = shingles(words(pl.Series(texts, dtype=pl.String)), n)
    expected = [window for text in texts for window in plain(text, n)]
    assert np.diff(made.offsets).tolist() == [len(plain(text, n)) for text in texts]
    pairs = set(zip(made.values.tolist(), expected, strict=True))
    assert len(pairs) == len(set(expected)) == len(set(made.values.tolist()))


def test_a_shingle_has_a_word_at_least():
    with pytest.raises(ValueError, match="at least 1 word"):
        shingles(words(pl.Series(["a"])), 0)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("The answer  is\n12.", "the ANSWER is 12. ", True),
        ("12 - 5", "12 + 5", False),
        ("a b", "b a", False),
        ("a a b", "a b", False),
        ("ab", "a b", False),
    ],
)
def test_equal_tokens_in_equal_order(one, other, equal):
    keys = sequence_keys(tokens(pl.Series([one, other])))
    assert (keys[0] == keys[1]) == equal
