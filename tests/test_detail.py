"""Measured granularity: the score by hand, and the report on problems small enough to count."""

from __future__ import annotations

from math import log2

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import CotmillError
from curation.passes import make_pass
from curation.text.detail import granularity_report, level_cuts, measured_level

QUESTION = "Ben has 8 pens and 2 bags. How many in each?"


def score(response: str | None, question: str | None = QUESTION) -> float | None:
    row = {"question": question, "response": response, "reasoning": None, "answer": response}
    traces = pl.LazyFrame([row], schema=dict.fromkeys(row, pl.String))
    return make_pass("detail").mark(traces).collect()["detail.score"][0]


def measured(*details: tuple[str, str, int | None, float | None]) -> pl.DataFrame:
    """Marked traces from (teacher, problem, requested level, detail); words are ten times the detail."""
    rows = pl.DataFrame(
        details,
        schema={"teacher": pl.String, "problem_id": pl.String, "granularity": pl.Int8, "detail.score": pl.Float32},
        orient="row",
    )
    words = (pl.col("detail.score") * 10).cast(pl.Int32)
    return rows.with_columns(words.alias("steps.words"), pl.lit(2).alias("steps.count"))


def test_the_formula():
    # 2 steps, 7 words, 3 numbers, 1 equation: log2 of 3, 8, 4, 2; and 2 numbers in the question.
    assert score("So 8 / 2 = 4. Four.") == pytest.approx((log2(3) + 3 + 2 + 1) / 4 - 1 / 4)


def test_a_compound_step_that_is_split_scores_higher():
    assert score("He adds 3 + 4 = 7. Then 7 * 2 = 14.") > score("He adds 3 + 4 = 7 then 7 * 2 = 14.")


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(["He adds 3 and 4", "It is 3 + 4 = 7", "So now we know"]), min_size=2, max_size=6))
def test_every_split_of_a_trace_scores_higher(clauses):
    scores = [score(". ".join(clauses[:i]) + ". " + " so ".join(clauses[i:])) for i in range(1, len(clauses))]
    assert scores == sorted(set(scores))


def test_padding_moves_it_less_than_working_of_the_same_length():
    assert score("Let us now think hard. So 4.") < score("First 8 / 2 = 4 here. So 4.")


def test_the_same_trace_is_finer_for_an_easier_question():
    assert score("8 / 2 = 4.", "What is half of 8?") > score("8 / 2 = 4.", QUESTION)


def test_nothing_said_is_zero():
    assert score("", "How many?") == 0


@pytest.mark.parametrize(("response", "question"), [(None, QUESTION), ("4", None)])
def test_unknown_stays_unknown(response, question):
    assert score(response, question) is None


def test_means_per_teacher_and_level():
    report = granularity_report(measured(("a", "p", 1, 1.0), ("a", "q", 1, 2.0), ("a", "p", 2, 4.0)))
    assert report.levels.select("granularity", "rows", "detail", "words", "tokens").rows() == [
        (1, 2, 1.5, 15.0, None),
        (2, 1, 4.0, 40.0, None),
    ]


def test_share_of_problems_whose_detail_never_falls():
    p, q = [("a", "p", 1, 1.0), ("a", "p", 2, 1.0), ("a", "p", 3, 2.0)], [("a", "q", i, 4.0 - i) for i in (1, 2, 3)]
    assert granularity_report(measured(*p, *q)).teachers["detail_never_falls"].to_list() == [0.5]


def test_a_problem_that_lacks_a_level_does_not_count():
    whole, part = [("a", "p", 1, 2.0), ("a", "p", 2, 1.0)], [("a", "q", 1, 1.0)]
    teachers = granularity_report(measured(*whole, *part)).teachers
    assert teachers.select("levels", "problems", "detail_never_falls", "words_never_fall").row(0) == (2, 1, 0.0, 0.0)


def test_one_level_is_no_order():
    assert granularity_report(measured(("a", "p", 3, 1.0))).teachers["detail_never_falls"].to_list() == [None]


def test_several_samples_of_a_level_are_averaged():
    traces = measured(("a", "p", 1, 1.0), ("a", "p", 1, 4.0), ("a", "p", 2, 2.0))  # 2.5, then 2
    assert granularity_report(traces).teachers["detail_never_falls"].to_list() == [0.0]


def test_rank_correlation_within_problems_is_averaged():
    up, down = [("a", "p", i, float(i)) for i in (1, 2, 3)], [("a", "q", 1, 9.0), ("a", "q", 2, 8.0)]
    assert granularity_report(measured(*up, *down)).teachers["rank_within"].to_list() == [pytest.approx(0.0)]


def test_a_problem_whose_detail_never_changes_has_no_rank():
    flat, up = [("a", "p", 1, 1.0), ("a", "p", 2, 1.0)], [("a", "q", 1, 1.0), ("a", "q", 2, 2.0)]
    assert granularity_report(measured(*flat, *up)).teachers["rank_within"].to_list() == [pytest.approx(1.0)]


def test_pooled_rank_correlation_mixes_problems():
    # Within each problem detail rises; over all, the ranks 1 4 2 3 of levels 1 1 2 2 even out.
    traces = measured(("a", "p", 1, 1.0), ("a", "q", 1, 4.0), ("a", "p", 2, 2.0), ("a", "q", 2, 3.0))
    assert granularity_report(traces).teachers["rank_pooled"].to_list() == [pytest.approx(0.0)]


def test_teachers_are_told_apart():
    up, down = [("a", "p", i, float(i)) for i in (1, 2)], [("b", "p", i, 3.0 - i) for i in (1, 2)]
    assert granularity_report(measured(*up, *down)).teachers.select("teacher", "detail_never_falls").rows() == [
        ("a", 1.0),
        ("b", 0.0),
    ]


def test_traces_without_a_requested_level_have_a_row_and_no_rank():
    report = granularity_report(measured(("a", "p", None, 1.0), ("a", "p", 1, 2.0)))
    assert (report.levels["granularity"].to_list(), report.teachers["levels"].to_list()) == ([None, 1], [1])


def test_an_unknown_detail_leaves_the_order_unknown():
    assert (
        granularity_report(measured(("a", "p", 1, None), ("a", "p", 2, 1.0))).teachers["detail_never_falls"][0] is None
    )


def test_no_traces_no_report():
    assert [table.height for table in granularity_report(measured())] == [0, 0]


def test_a_missing_column_is_named():
    with pytest.raises(CotmillError, match=r"needs the column detail\.score[\s\S]*passes steps and detail"):
        granularity_report(measured(("a", "p", 1, 1.0)).drop("detail.score"))


def test_measured_levels_share_the_traces_equally():
    traces = measured(*(("a", f"p{i}", 1, float(i)) for i in range(12)))
    levels = traces.select(measured_level(pl.col("detail.score"), level_cuts(traces))).to_series()
    assert levels.to_list() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def test_a_teacher_with_more_traces_weighs_no_more():
    few = measured(*(("a", f"p{i}", 1, float(i)) for i in range(6)), *(("b", f"p{i}", 1, 10.0 + i) for i in range(6)))
    many = pl.concat([few, few.filter(teacher="b"), few.filter(teacher="b")])
    assert level_cuts(many) == level_cuts(few)


def test_the_same_detail_is_the_same_level_whoever_wrote_it():
    traces = measured(("terse", "p", 6, 1.0), ("chatty", "p", 1, 1.0), ("chatty", "p", 6, 5.0))
    levels = granularity_report(traces).levels.filter(pl.col("detail") == 1.0)["measured"]
    assert levels.n_unique() == 1


def test_unknown_detail_has_no_level():
    assert pl.select(measured_level(pl.lit(None, pl.Float32), [1.0])).item() is None
