"""Which equations are taken for right, for wrong, and for neither; where the wrong ones stand."""

from __future__ import annotations

import time
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from curation.convert.arithmetic import evaluate
from curation.engine.marking import mark_frame
from curation.trust.arithmetic import Arithmetic, check, proven
from curation.trust.equations import FOUND, judge
from tests.corpora import messy_traces, trace


def of(text: str | None) -> dict[str, object]:
    return check(pl.Series([text], dtype=pl.String)).row(0, named=True)


def counts(text: str) -> tuple[object, object]:
    marks = of(text)
    return marks["checked"], marks["wrong"]


@pytest.mark.parametrize(
    "text",
    [
        "2 + 3 = 5",
        "4 * 6 - 5 = 19",
        "2 + 3 * 4 = 14",
        "( 5.0 * 10.0 ) - 5.0 = 45.0",
        "290 ÷ 2 = 145",
        "7 × 8 = 56",
        "3 x 4 = 12",
        "7 − 18 = −11",
        r"\frac{48}{2} = 24",
        r"$12 \times 3 = 36$",
        r"\left(3 + 4\right) \cdot 2 = 14",
        "$1,000.50 + $2 = $1,002.50",
        "5 apples + 3 apples = 8 apples",
        "8 balloons per minute * 15 minutes = 120 balloons",
        "145 (each group) × 2 (groups) = 290 (total)",
        r"3\text{ cm} + 4\text{ cm} = 7\text{ cm}",
        "<<48/2=24>>24",
        "20% of 50 = 10",
        "1/2 of 10 = 5",
        "5/25 = 20%",
        "5 / 25 * 100 = 20%",
        "100% - 80% = 20%",
        "8 = 5 + 3",
        "2^3 = 8",
        "5 - -3 = 8",
        "16 - (-11) = 27",
        "- 3 + 4 = 7",  # a bullet
        "-3 + 4 = 1",
        "**3 + 4 = 7**",
        "5 times 4 = 20",
        "9 divided by 3 = 3",
        ".5 * 4 = 2",
    ],
)
def test_it_holds(text):
    assert counts(text) == (1, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 = 6", "5"),
        ("491 * 1181 = 579271", "579871"),
        ("5 apples + 3 apples = 9 apples", "8"),
        ("1 / 3 = 0.4", "1/3"),
        ("52 - 84 = 32", "-32"),
        ("10 + 2 * 3 = 36", "16"),
        ("<<48/2=25>>25", "24"),
        ("<<48/2=24>>42", "24"),  # the calculator is right, what was copied is not
        (r"\frac{3+5}{2} = 5", "4"),
        ("7 / 2 = 4", "3.5"),  # 3.5 is as short; nobody had to round
    ],
)
def test_it_does_not_hold(text, value):
    assert of(text)["wrong"] == 1
    assert of(text)["errors"][0]["value"] == value


@pytest.mark.parametrize(
    "text",
    [
        "2x + 3 = 5",
        "x + 3 + 4 = 12",
        "x = 5 and y = 6",
        "Week 1 + Week 2 = 35 + 35",
        "the 5 friends = 250 / 5 + 1",
        "2 weeks * 5 = 70 days",  # 14 days
        "17 / 5 = 3 remainder 2",
        "50 - 20% = 40",  # of 50
        "twice 5 + 3 = 13",
        "half of 10 + 2 = 7",
        "Step 1 - 3 + 5 = 8",
        "8 x 1 1/2 = 12",
        "2 - 1/2 = 1 1/2 cups",
        "$80 000 x 20/100 = $16 000",
        "is 2 + 2 = 5?",
        "10**10**10 = 5",
        "1 / 0 = 5",
        "3 + 4 = y",
        "7 + 1 <= 5",
        "the answer is 12",
    ],
)
def test_what_is_not_clear_is_not_wrong(text):
    assert of(text)["wrong"] == 0


def test_names_in_an_expression_are_not_checked():
    assert counts("x + 3 + 4 = 12, 2y - 1 = 3, a = b") == (0, 0)


def test_each_equals_sign_of_a_chain_counts():
    assert counts("79 - (24 + 51) = 79 - 75 = 4") == (2, 0)
    assert counts("79 - (24 + 51) = 79 - 75 = 5") == (2, 1)


def test_a_run_on_chain_means_its_single_steps():
    assert counts("5 + 3 = 8 - 2 = 6") == (2, 0)


@pytest.mark.parametrize(
    "text",
    [
        "1. We divide: 290 ÷ 2 = 145.5. To ensure this, multiply.",  # 145 and item 5
        "we get 49 - 59 = -103. Add the birds.",  # -10, item 3 instead of the full stop
        "28 + 82 = 110110 - 30 = 8080 - 2 = 78",  # lines without their ends
        "is 158 - 147.158 - 147 = 11.",  # a sentence that ends as the next begins
        "the cost:1.3 + 4 = 7",  # item 1
    ],
)
def test_glued_list_numbers_and_lines_are_not_wrong(text):
    marks = of(text)
    assert marks["checked"] > 0
    assert marks["wrong"] == 0


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("2 / 3 = 0.67", True),
        ("2 / 3 = 0.66", True),  # cut off
        ("2 / 3 = 0.68", False),
        ("10 / 3 = 3", True),
        ("10 / 3 = 4", False),
        ("10 / 4 = 3", False),  # 2.5 needs no rounding
        ("3.33 * 3 = 10", True),
        ("12.5 * 3 = 38", False),
        ("1.005 * 100 = 100.5", True),
        ("0.1 + 0.2 = 0.3", True),
    ],
)
def test_rounding_to_the_places_that_are_written(text, right):
    assert of(text)["ok"] is right


def test_an_error_says_where_it_stands():
    text = "🙂 First 2 + 2 = 4. Then 3 * 3 = 8 apples."
    [error] = of(text)["errors"]
    assert error == {"start": 24, "end": 33, "text": "3 * 3 = 8", "value": "9"}
    assert text[24:33] == "3 * 3 = 8"


def test_the_same_equation_twice_is_found_at_both_places():
    assert [e["start"] for e in of("1 + 1 = 3, 1 + 1 = 3")["errors"]] == [0, 11]


def test_nothing_checked_is_neither_right_nor_wrong():
    assert of("He has 5 apples.") == {"checked": 0, "wrong": 0, "ok": None, "errors": [], "unfinished": False}


def test_no_text_no_marks():
    assert set(of(None).values()) == {None}


@pytest.mark.parametrize(
    ("text", "left_open"),
    [
        ("8 - 3 = ? The answer is 5", True),
        ("8 - 3 = ___. The answer is 5", True),
        ("total = ? total = 8 - 3 = 5. The answer is 5", False),
        ("difference = ? 8 = difference. The answer is 8", False),
        ("8 - 3 = 5. The answer is 5", False),
        ("8 - 3 = ? The answer = 5", True),  # the answer line closes nothing
    ],
)
def test_a_result_that_was_left_open(text, left_open):
    assert of(text)["unfinished"] is left_open


_numbers = st.integers(0, 999) | st.decimals("0.1", "99.9", places=1)
_sums = st.lists(st.tuples(st.sampled_from("+-*"), _numbers), min_size=1, max_size=3)


@given(_numbers, _sums)
def test_both_ways_of_checking_agree_with_fractions(first, rest):
    left = f"{first}" + "".join(f" {sign} {number}" for sign, number in rest)
    value = evaluate(left)
    assert value is not None
    written = f"{value.numerator}" if value.denominator == 1 else f"{float(value)}"
    right, wrong = f"{left} = {written}", f"{left} = {float(value + Fraction(3, 2))}"
    assert (judge(right).faults, len(judge(wrong).faults)) == ((), 1)
    assert not proven(pl.Series([wrong])).any()


@pytest.mark.parametrize("text", ["2 + 3 = 5", "2 * 3 - 4 / 2 + 1 = 5", "$1,000 + $1 = $1,001"])
def test_common_equations_take_the_fast_way(text):
    assert proven(pl.Series([text]).str.extract(f"({FOUND})")).all()


@pytest.mark.parametrize(
    "piece",
    ["1+", "(", "1 = ", "3 + 4 = 8 ", "= ?", "5 apples - ", "9", "((1+1)", "1,", r"\frac{", "a 1 ", "2^", "1 x "],
)
def test_a_megabyte_of_anything_takes_a_moment(piece):
    start = time.perf_counter()
    of(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - start < 5


def test_a_pass_says_where_its_marks_come_from():
    traces = pl.DataFrame(
        [trace("p", "2 + 2 = 5. 8 - 3 = ? The answer is 5")], schema_overrides={"reasoning": pl.String}
    )
    traces = traces.with_columns(reasoning=pl.lit(None, pl.String))
    marked = Arithmetic().mark(traces.lazy()).collect()
    [spans] = Arithmetic().spans(marked)
    assert [(s.mark, s.start, s.end, s.note) for s in spans] == [
        ("wrong", 0, 9, "should be 4"),
        ("unfinished", 17, 20, ""),
    ]


def test_shards_and_neighbours_do_not_matter():
    messy = messy_traces()
    whole = mark_frame(messy, Arithmetic())
    assert_frame_equal(pl.concat(mark_frame(part, Arithmetic()) for part in messy.iter_slices(7)), whole)
