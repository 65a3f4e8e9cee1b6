"""Teachers side by side: figures worked by hand, and the report that holds them."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from builders.corpus import Corpus
from builders.errors import CorpusError, CotmillError
from cotmill import api
from curation.comparing.compare import compare
from curation.comparing.intervals import mean_interval
from curation.comparing.wording import SAMPLE, wording
from tests.corpora import corpus_of, trace


def arm(found, teacher: str, level: int | None = 1, form: str = "original") -> dict:
    same = pl.col("granularity").eq_missing(level) & (pl.col("format") == form)
    return found.arms.filter(same, teacher=teacher).row(0, named=True)


@pytest.fixture
def two(tmp_path):
    """Teacher a is right on p and q; b is right on p, wrong on q and says nothing of r; c knows no levels."""
    rows = [
        trace("p", "5 + 7 = 12. #### 12", teacher="a", completion_tokens=10),
        trace("q", "5 + 7 = 12. #### 12", teacher="a", completion_tokens=20),
        trace("r", "#### 12", teacher="a", gold=None, completion_tokens=None),
        trace("p", "It is 12. #### 12", teacher="b"),
        trace("q", "It is 13. #### 13", teacher="b"),
        trace("r", None, teacher="b"),
        trace("p", "#### 12", teacher="c", granularity=None),
    ]
    return corpus_of(tmp_path / "c", rows[:3], rows[3:])


def test_verified_is_of_those_with_a_gold_answer(two):
    found = arm(compare(two), "a")
    assert (found["rows"], found["problems"], found["correct"], found["judged"]) == (3, 3, 2, 2)
    assert (found["verified"], found["verified_high"]) == (1.0, 1.0)
    assert found["verified_low"] == pytest.approx(0.34238, abs=1e-5)  # Wilson for 2 of 2: 2 / (2 + 1.96^2)


def test_what_a_trace_does_not_tell_has_no_part_in_a_mean(two):
    found = arm(compare(two), "a")
    assert (found["tokens"], found["tokens_median"], found["completion_tokens"]) == (15.0, 15.0, 30)


def test_agreement_is_over_problems_that_both_answered(two):
    # p: 12 and 12; q: 12 and 13; of r, b says nothing
    assert [arm(compare(two), teacher)["agreement"] for teacher in "ab"] == [0.5, 0.5]


def test_nobody_to_agree_with_is_unknown(two):
    assert arm(compare(two), "c", None)["agreement"] is None


def test_each_problem_weighs_the_same_in_agreement(tmp_path):
    rows = [trace("p", f"#### {n}", teacher="a", sample_index=i) for i, n in enumerate([12, 12, 13])]
    rows += [trace("p", "#### 12", teacher="b"), trace("q", "#### 1", teacher="a"), trace("q", "#### 2", teacher="b")]
    assert arm(compare(corpus_of(tmp_path / "c", rows)), "a")["agreement"] == pytest.approx((2 / 3 + 0) / 2)


def test_where_chooses_traces_by_columns_and_marks(two):
    found = compare(two, where="teacher = 'b' and verify.verdict = 'correct'")
    assert (found.rows, found.arms.height) == (1, 1)


def test_cost_is_tokens_times_price(two):
    found = compare(two, prices={"a": (1.0, 2.0)})
    assert arm(found, "a")["cost"] == pytest.approx((30 * 1.0 + 30 * 2.0) / 1e6)  # 3 x 10 asked, 10 + 20 answered
    assert arm(found, "a")["cost_per_correct"] == pytest.approx(45e-6)
    assert arm(found, "b")["cost"] is None


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"where": "techer = 'a'"}, "--where: `techer = 'a'` cannot be evaluated"),
        ({"where": "teacher"}, "--where: `teacher` is VARCHAR, not true or false"),
        ({"where": "teacher = 'nobody'"}, "none of the traces meets it"),
        ({"prices": {"d": (1, 1)}}, "--price names d; the teachers are: a, b, c"),
    ],
)
def test_what_cannot_be_reported_is_said(two, settings, complaint):
    with pytest.raises(CotmillError, match=complaint.replace("(", r"\(")):
        compare(two, **settings)


def test_an_empty_corpus_has_nothing_to_compare(tmp_path):
    with pytest.raises(CorpusError, match="holds no traces yet"):
        compare(Corpus.create(tmp_path / "c"))


def wording_of(*texts: str) -> dict:
    sample = pl.DataFrame({"text": texts}).with_columns(teacher=pl.lit("a"), granularity=pl.lit(None, pl.Int8))
    return wording(sample, ["teacher", "granularity"]).row(0, named=True)


def test_pairs_do_not_reach_over_the_end_of_a_trace():
    # a b | a b: pairs ab, ab; not ba
    assert wording_of("A b. The answer is 1", "a B! The answer is 2")["distinct_2"] == 1 / 2


def test_vocabulary_knows_no_case_and_no_answer_line():
    assert wording_of("Don't add. Don’t Add. The answer is 7.")["vocabulary"] == 3  # don't, add, don’t


def test_the_commonest_opening_has_three_words():
    found = wording_of("To find it, add.", "to find it: stop", "We add.", "")
    assert (found["opening"], found["opening_share"]) == ("to find it", 2 / 4)


def test_repeats_within_a_trace_and_between_traces_are_two_things():
    # a b c d a b c d: runs abcd bcda cdab dabc abcd, the last one again. e f g h | e f g h: both elsewhere.
    found = wording_of("a b c d a b c d", "e f g h", "e f g h")
    assert (found["repeats_within"], found["repeats_between"]) == (1 / 7, 2 / 7)


def test_traces_too_short_for_a_figure_have_none():
    found = wording_of("The answer is 7.")
    assert (found["sampled"], found["distinct_2"], found["vocabulary"], found["opening"]) == (1, None, None, None)


def test_all_arms_are_sampled_on_the_same_problems(tmp_path):
    rows = [trace(f"p{i:04}", f"word{i} #### 1", teacher=t) for i in range(SAMPLE + 5) for t in "ab"]
    arms = compare(corpus_of(tmp_path / "c", rows[::-1])).arms
    assert arms["sampled"].to_list() == [SAMPLE, SAMPLE]
    assert arms["vocabulary"].to_list() == [SAMPLE, SAMPLE]


@pytest.mark.parametrize(("mean", "deviation", "n"), [(None, None, 0), (1.0, None, 1)])
def test_no_interval_without_two_values(mean, deviation, n):
    assert mean_interval(mean, deviation, n) == (None, None)


def test_the_report_is_a_directory_that_stands_alone(two, tmp_path):
    said = api.report(two.path, tmp_path / "r", prices=["a=1,2"])
    text = (tmp_path / "r" / "report.md").read_text()
    for name in ("levels.png", "lengths.png", "heatmap.png"):
        assert (tmp_path / "r" / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in text
    assert text.count("| a | 1 | original |") == 4  # amounts, wording, defects, cost
    assert pl.read_parquet(tmp_path / "r" / "arms.parquet").height == len(said["arms"]) == 3
    assert pl.read_csv(tmp_path / "r" / "arms.csv").height == 3


def test_what_traces_say_cannot_break_the_tables(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", "x #### 12", teacher="a|b\n<img>")])
    api.report(corpus.path, tmp_path / "r")
    assert "| a\\|b &lt;img> | 1 |" in (tmp_path / "r" / "report.md").read_text()


def test_a_corpus_is_no_place_for_a_report(two):
    with pytest.raises(CotmillError, match="is a corpus; choose another directory"):
        api.report(two.path, two.path)


@pytest.mark.parametrize("price", ["a", "a=1", "a=1,2,3", "=1,2", "a=x,1", "a=-1,2", "a=nan,1"])
def test_a_price_has_one_form(two, tmp_path, price):
    with pytest.raises(CotmillError, match="write it as TEACHER=IN,OUT"):
        api.report(two.path, tmp_path / "r", prices=[price])


def test_a_report_is_the_same_however_traces_lie_in_shards(tmp_path):
    rows = [trace(f"p{i}", f"{i} and {i + 1} #### {i}", teacher=t, gold="3") for i in range(9) for t in "ab"]
    one = compare(corpus_of(tmp_path / "one", rows)).arms
    many = compare(corpus_of(tmp_path / "many", rows[12:], rows[3:12], rows[:3])).arms
    assert_frame_equal(one, many)
