"""Repetition: shares worked out by hand, loops and what looks like one."""

from __future__ import annotations

import polars as pl
import pytest

from builders.schema import TRACES
from curation.engine.marking import mark_frame
from curation.trust.repetition import Repetition


def marked(*texts: str | None, made: Repetition | None = None) -> pl.DataFrame:
    rows = [{"trace_id": str(place), "response": text} for place, text in enumerate(texts)]
    return mark_frame(pl.DataFrame(rows, schema=TRACES), made or Repetition())


def one(text: str | None, mark: str):
    return marked(text)[f"repetition.{mark}"].item()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a b c d e f", 0.0),
        ("a b c d a b c d", 0.2),  # 5 runs of 4 words, one of which comes again
        ("a b  c d\na b c d", 0.2),  # white space is white space
        ("a a a a a a", 0.6667),  # 3 runs, of which 2 come again
        ("a b c", None),
        ("", None),
        (None, None),
    ],
)
def test_share_of_repeated_runs_of_words(text, share):
    assert one(text, "ngrams") == (None if share is None else pytest.approx(share, abs=1e-4))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("wait\nwait\n\n wait \nso 4", 0.5),  # 4 lines, 2 kinds: 2 of 4 came before
        ("one\ntwo", 0.0),
        ("one", 0.0),
        (" ", None),
    ],
)
def test_share_of_repeated_lines(text, share):
    assert one(text, "lines") == share


@pytest.mark.parametrize(
    ("text", "times", "block", "loop"),
    [
        ("Add them. " + "The answer is 12. " * 5, 5, 4, True),
        ("Add them. " + "The answer is 12. " * 5 + "The answer", 5, 4, True),  # cut off at the token cap
        ("Add them. " + "The answer is 12. " * 5 + "The ans", 5, 4, True),  # in the middle of a word
        ("no " * 20, 20, 1, True),
        # A block that holds the same words twice itself.
        ("So it is 5 and so it is 5 then. " * 4, 4, 10, True),
        ("哈" * 40, 40, 1, True),  # no spaces: characters are the words
        ("It is 12. The answer is 12. The answer is 12.", 2, 4, False),
        ("a b " * 4 + "and that was all of it", 4, 2, False),  # it came to an end
        ("Add 5 + 5 + 5 + 5 + 5 + 5 + 5 = 35. The answer is 35.", 6, 2, False),
        ("First 5 + 7 = 12. Then 12 - 1 = 11. The answer is 11.", 1, None, False),
        ("a b", 1, None, False),
    ],
)
def test_loops(text, times, block, loop):
    assert marked(text).row(0)[3:] == (times, block, loop)


def test_nothing_repeats_across_traces():
    assert marked("a b c d", "a b c d")["repetition.ngrams"].to_list() == [0.0, 0.0]


def test_how_often_and_how_long_are_parameters():
    text = "It is 12. The answer is 12. The answer is 12."
    assert marked(text, made=Repetition(times=2, words=8))["repetition.loop"].to_list() == [True]


def test_a_long_trace_is_no_slower_to_read_than_it_is_long():
    assert marked("The answer is 12. " * 60_000 + "x" * 100_000)["repetition.ngrams"].item() > 0.99


def test_spans_point_at_the_first_round_and_the_others():
    text = "Fünf. " + "The answer is 12. " * 3 + "The answer"
    traces = pl.DataFrame([{"trace_id": "0", "response": text}], schema=TRACES)
    [[this, again]] = Repetition().spans(Repetition().mark(traces.lazy()).collect())
    assert text[this.start : this.end].split() in (["The", "answer", "is", "12."], ["is", "12.", "The", "answer"])
    assert (this.end, again.end) == (again.start, len(text))
