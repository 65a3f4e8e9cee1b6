"""The audit finds golds that do not verify themselves, and rows on which the tiers differ."""

from __future__ import annotations

import pytest

from cotmill.render_audit import of_audit
from curation.verification.audit import audit
from tests.corpora import corpus_of, trace

CLEAN = [
    trace("a", "So.\nThe answer is 12", "12"),
    trace("b", "The answer is 13", "12"),
    trace("c", r"\boxed{\frac{2}{4}}", r"\frac{1}{2}", answer_type="latex", gold_value=r"\frac{1}{2}"),
    trace("d", "The answer is B", "B", answer_type="choice", choices=["1", "2"]),
    trace("e", "I do not know.", "7"),
    trace("f", "The answer is 3", None),
]


@pytest.fixture
def clean(tmp_path):
    return corpus_of(tmp_path / "clean", CLEAN[:2], CLEAN[2:])


def test_a_sound_corpus_passes(clean):
    found = audit(clean, sample=10)
    assert found["passed"]
    assert found["golds"] == {"distinct": 4, "verified": 4, "unread": 0, "failed": []}
    # compared: a and b; c is for algebra alone, d has no algebra, e no answer, f no gold
    assert found["sample"] == {"rows": 6, "compared": 2, "agree": 2, "disagreements": []}


def test_a_gold_that_is_not_its_own_value_is_listed(tmp_path):
    corpus = corpus_of(
        tmp_path / "c", [trace("a", "Hm.", "12", gold_value="13"), trace("b", "Hm.", "12", gold_value="13")]
    )
    found = audit(corpus, sample=10)
    wrong = {"gold": "12", "answer_type": "number", "traces": 2, "exact": "incorrect", "algebra": "correct"}
    assert (found["passed"], found["golds"]["failed"]) == (False, [wrong])


def test_a_gold_without_a_value_is_listed(tmp_path):
    found = audit(corpus_of(tmp_path / "c", [trace("a", "Hm.", "a dozen", gold_value=None)]), sample=10)
    wrong = {"gold": "a dozen", "answer_type": "number", "traces": 1, "exact": "no_gold", "algebra": "unparseable"}
    assert (found["golds"]["failed"], found["golds"]["unread"]) == ([wrong], 1)


def test_a_gold_that_algebra_cannot_read_is_counted_and_no_fault(tmp_path):
    says = {"answer_type": "latex", "gold_value": r"\text{nobody}"}
    found = audit(
        corpus_of(tmp_path / "c", [trace("a", r"\boxed{\text{nobody}}", r"\text{nobody}", **says)]), sample=10
    )
    assert found["golds"]["unread"] == 1


def test_rows_on_which_the_tiers_differ_are_listed(tmp_path):
    row = trace("a", "The answer is 2", "1/2", gold_value="2")
    found = audit(corpus_of(tmp_path / "c", [row]), sample=10)
    assert found["sample"]["disagreements"] == [
        {"trace_id": row["trace_id"], "gold": "1/2", "answer": "2", "exact": "correct", "algebra": "incorrect"}
    ]


def test_a_gold_that_ends_a_solution_counts_from_its_marker(tmp_path):
    found = audit(corpus_of(tmp_path / "c", [trace("a", "#### 12", "6 + 6 = 12\n#### 12", gold_value="12")]), sample=1)
    assert (found["passed"], found["sample"]["agree"]) == (True, 1)


def test_the_sample_is_the_same_whatever_the_shards(clean, tmp_path):
    other = corpus_of(tmp_path / "other", CLEAN[::-1])
    assert audit(clean, sample=3) == audit(other, sample=3)
    assert audit(clean, sample=3)["sample"]["rows"] == 3


def test_an_empty_corpus_passes(tmp_path):
    assert audit(corpus_of(tmp_path / "c", []), sample=10)["passed"]


def test_people_see_the_counts_and_each_difference(tmp_path):
    row = trace("a", "The answer is 2", "1/2", gold_value="2")
    text = of_audit(audit(corpus_of(tmp_path / "c", [row]), sample=10))
    assert "disagree on 1 of 1 sampled traces" in text
    assert row["trace_id"] in text
