"""Whether the reasoning leads to the stated answer: each mark on traces written by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from builders.schema import TRACES
from curation.engine.marking import mark_frame
from curation.trust.consistency import Consistency
from tests.corpora import messy_traces, trace


def marked(text: str | None, **columns: Any) -> pl.DataFrame:
    rows = pl.DataFrame([trace("p", text, **columns)], schema=TRACES)
    return Consistency().mark(rows.lazy()).collect()


def of(text: str | None, mark: str, **columns: Any) -> Any:
    return marked(text, **columns)[f"consistency.{mark}"].item()


@pytest.mark.parametrize(
    ("text", "high", "low"),
    [
        ("7 + 5 = 12. The answer is 12", False, False),
        # Calls it impossible and then states what it never derived.
        ("Steven has 7 - 18 = -11. This is impossible. The answer is 27", True, True),
        ("24 / 2 = 12 packs. The answer is 48", True, True),
        ("48 / 2 = 24, and 24 * 2 = 48 checks it. The answer is 24", True, False),  # a check: harmless
        ("T = 13 books + 8 books. The answer is 21", False, False),  # stops before the sum, which is the answer
        ("T = 13 pounds - 8 pounds\n The answer is 5", False, False),
        ("T = 13 + 8. The answer is 22", True, True),
        ("T = 30 - x. The answer is 12", None, None),
        ("He lost 8 - 5 = 33. New ones came. The answer is 3", False, False),  # 3 and item 3
        ("1. Divide: 290 / 2 = 145.5. To check, multiply. The answer is 145", False, False),  # 145 and item 5
        ("291 / 2 = 145.5, so the answer is 145", True, True),
        ("The total is 1,200 = 1200.0. The answer is $1,200", False, False),
        ("6 / 8 = 3/4. The answer is 0.75", False, False),
        ("<<48/2=24>>24 clips\n#### 24", False, False),
        ("He has 12. The answer is 12", None, None),  # nothing equals a number
        ("7 + 5 = 12", None, None),  # no answer line
        ("7 + 5 = 12. The answer is twelve", None, None),
        ("7 + 5 = 12. The answer is 7 + 5 = 12", False, False),
    ],
)
def test_last_result_and_answer(text, high, low):
    marks = marked(text)
    assert marks["consistency.mismatch_high"].item() is high
    assert marks["consistency.mismatch_low"].item() is low


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("Subtract 3 from 8. The answer is 5", True),
        ("Subtract 3 from 8 to get 5. The answer is 5", False),
        ("He has 15. The answer is 5", True),  # the 5 of 15 is none
        ("He has 1,005 now. The answer is 1005", False),
        ("That is 5.0 kg. The answer is 5", False),
        ("The answer is 5", True),
        ("Subtract 3 from 8.", None),
    ],
)
def test_the_stated_value_occurs_before(text, absent):
    assert of(text, "value_absent") is absent


def test_reasoning_that_is_set_apart_is_part_of_the_text():
    assert of(None, "value_absent", reasoning="8 - 3 = 5", response=None, answer="The answer is 5") is False


@pytest.mark.parametrize(
    ("text", "other_only"),
    [
        ("A river flows. The answer is A", False),
        ("A desert is dry. The answer is A", True),
        ("A desert is no river. The answer is A", False),
        ("It is wet. The answer is A", False),
        ("A desert is dry.", None),
    ],
)
def test_only_another_option_is_named(text, other_only):
    assert of(text, "other_option_only", answer_type="choice", choices=["River", "Desert", ""]) is other_only


def test_the_number_of_the_chosen_option_is_the_stated_one():
    columns = {"answer_type": "choice", "choices": ["10 km", "20 km"]}
    assert of("4 * 5 = 20. The answer is (A)", "mismatch_low", **columns) is True
    assert of("4 * 5 = 20. The answer is (B)", "mismatch_low", **columns) is False
    assert of("4 * 5 = 20. The answer is (E)", "mismatch_low", **columns) is None


PARAGRAPH = "First we add the apples to the pears. Then nothing changes at all! "


def test_a_paragraph_pasted_four_times():
    marks = marked(PARAGRAPH * 4)
    assert marks["consistency.repeat_share"].item() == pytest.approx(0.75)
    assert marks["consistency.flaw_repetition"].item() is True


def test_three_different_candidates_are_no_repetition():
    text = "Try 3 as the side: too small. Try 4 as the side: too small. Try 5 as the side: it fits. The answer is 5"
    assert of(text, "repeat_share") == 0
    assert of(text, "flaw_repetition") is False


def test_a_sentence_said_twice_counts_by_its_length():
    # 20 bytes twice, 10 once: 20 of 50 were said before.
    assert of("a" * 20 + "." + "a" * 20 + "." + "b" * 10, "repeat_share") == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("8 - 3 = 5. The answer is 5. Sorry, I made a mistake: it should be 6.", True),
        ("The answer is 5. Wait, that is not right.", True),
        ("Wait, 8 - 3 is 5. The answer is 5.", False),  # before the answer line it is thinking
        ("The answer is 5 apples, which are left.", False),
        ("8 - 3 = 5", None),
    ],
)
def test_taken_back_behind_the_answer_line(text, back):
    assert of(text, "takes_back") is back


def test_an_answer_line_far_from_the_end_is_found():
    assert of("The answer is 5. " + "He likes it. " * 100 + "Sorry, that is wrong.", "takes_back") is True


def test_nothing_said_no_marks():
    marks = marked(None).select("^consistency[.].*$")
    assert all(value is None for value in marks.row(0))


def test_where_the_marks_come_from():
    text = "We try it out. 7 + 5 = 12. We try it out. The answer is 13. Sorry."
    marks = marked(text)
    [spans] = Consistency().spans(marks)
    assert [(s.mark, text[s.start : s.end]) for s in spans] == [
        ("mismatch_low", "= 12"),
        ("mismatch_low", "answer is 13. Sorry."),
        ("repeat_share", "We try it out"),
        ("takes_back", "Sorry"),
    ]


def test_shards_and_neighbours_do_not_matter():
    messy = messy_traces()
    whole = mark_frame(messy, Consistency())
    assert_frame_equal(pl.concat(mark_frame(part, Consistency()) for part in messy.iter_slices(7)), whole)
