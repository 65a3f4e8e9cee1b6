"""No question in two splits, no test row of a source in train: found, counted, named."""

from __future__ import annotations

import polars as pl
import pytest

from builders.errors import CotmillError
from curation.contamination.splits import FINDINGS, against_evaluation, check, overlaps

COLD = "Which of these is usually the coldest thing in a kitchen?"


def rows(*said, **columns) -> pl.DataFrame:
    """Problems p0, p1, ... out of (split, question)."""
    return pl.DataFrame(
        {
            "problem_id": [f"p{i}" for i in range(len(said))],
            "split": [split for split, _ in said],
            "question": [question for _, question in said],
            "choices": columns.get("choices"),
            "source_split": columns.get("source_split"),
        },
        schema_overrides={"choices": pl.List(pl.String), "source_split": pl.String, "question": pl.String},
    )


def pairs(found) -> list[tuple]:
    return found.select("finding", "split", "problem_id", "other_split", "other_problem_id").rows()


def test_disjoint_splits_have_no_findings():
    found = overlaps(rows(("train", "What is 1 + 2?"), ("test", "What is 1 + 3?")))
    assert (found.height, found.schema) == (0, FINDINGS)


def test_the_same_question_in_two_splits():
    found = overlaps(rows(("test", "What is 1,000 + 2?"), ("train", "what is 1000  + 2"), ("train", "What is 5?")))
    assert pairs(found) == [("same question", "train", "p1", "test", "p0")]


def test_within_one_split_it_is_no_finding():
    assert overlaps(rows(("train", "Why?"), ("train", "Why?"))).is_empty()


def test_each_problem_and_pair_of_splits_once():
    said = [("validation", "Why?"), ("test", "Why?"), ("test", "Why?!"), ("train", "why"), ("train", "Why")]
    assert pairs(overlaps(rows(*said))) == [
        ("same question", "test", "p1", "validation", "p0"),
        ("same question", "test", "p2", "validation", "p0"),
        ("same question", "train", "p3", "test", "p1"),
        ("same question", "train", "p3", "validation", "p0"),
        ("same question", "train", "p4", "test", "p1"),
        ("same question", "train", "p4", "validation", "p0"),
    ]


def test_traces_of_a_problem_count_once():
    found = overlaps(pl.concat([rows(("train", "Why?"), ("test", "why"))] * 3))
    assert pairs(found) == [("same question", "train", "p0", "test", "p1")]


@pytest.mark.parametrize(
    ("question", "choices", "finding"),
    [
        (COLD, [["ice", "fire"], ["ice", "fire"]], "same question"),
        (COLD, [["ice", "fire"], ["fire", "ice"]], "same stem"),
        (COLD, [["ice", "fire"], None], "same stem"),
        ("Which is cold?", [["ice", "fire"], ["snow", "sun"]], None),  # everyday words, another problem
        ("Which is cold?", [["ice", "fire"], ["Ice", "Fire"]], "same question"),
    ],
)
def test_choices(question, choices, finding):
    found = overlaps(rows(("train", question), ("test", question), choices=choices))
    assert found["finding"].to_list() == [finding] * (finding is not None)


@pytest.mark.parametrize("name", ["test", "Test", "validation", "val", "dev", "test-hard", "dev_1", "eval"])
def test_what_the_source_holds_out_must_not_be_in_train(name):
    found = overlaps(rows(("train", "Why?"), ("test", "How?"), source_split=[name, name]))
    assert found.select("finding", "problem_id", "source_split").rows() == [("source split", "p0", name)]


@pytest.mark.parametrize("name", ["train", "testing_ground", "devices", "default", "", None])
def test_other_names_are_nobodys_business(name):
    assert overlaps(rows(("train", "Why?"), source_split=[name])).is_empty()


@pytest.mark.parametrize("question", [None, "", "?!"])
def test_no_question_is_like_no_other(question):
    assert overlaps(rows(("train", question), ("test", question))).is_empty()


def test_columns_that_are_not_there_are_null():
    assert overlaps(rows(("train", "Why?"), ("test", "why")).drop("choices", "source_split")).height == 1


def test_check_says_everything_at_once():
    said = [("train", "How many apples?"), ("test", "how many apples"), ("train", COLD), ("test", COLD)]
    bad = rows(*said, choices=[None, None, ["a"], ["b"]], source_split=["train", "test", "dev", "dev"])
    with pytest.raises(CotmillError) as caught:
        check(bad, waived=False, where="out/d")
    assert str(caught.value).startswith(
        "out/d: training and held-out problems overlap.\n"
        "  1 problem: the same question in two splits, word for word\n"
        "    train p0 / test p1: How many apples?\n"
        "  1 problem: the same question with other choices in two splits\n"
        f"    train p2 / test p3: {COLD}\n"
        "  1 problem: in train, though the source says it is held out\n"
        f"    train p2 / source split `dev`: {COLD}\n"
        "Nothing was written."
    )


def test_check_waived_returns_what_it_found():
    assert check(rows(("train", "Why?"), ("test", "why")), waived=True).height == 1


def test_check_lets_a_clean_dataset_pass():
    assert check(rows(("train", "Why?"), ("test", "How?")), waived=False).is_empty()


def test_against_an_evaluation_set():
    train = pl.DataFrame({"question": ["Why?", "What is 1,000?"]})
    held_out = pl.DataFrame({"problem_id": ["e0", "e1"], "question": ["what is 1000", "When?"]})
    assert pairs(against_evaluation(train, held_out)) == [("same question", "train", "1", "evaluation", "e0")]


def test_four_hundred_thousand_rows_take_no_time():
    count = 100_000
    many = pl.DataFrame({"i": range(count)}).select(
        problem_id=pl.col("i").cast(pl.String),
        split=pl.when(pl.col("i") % 10 == 0).then(pl.lit("test")).otherwise(pl.lit("train")),
        question=pl.format("Ann has {} apples and eats one of them. How many?", pl.col("i") // 2),
    )
    assert overlaps(pl.concat([many] * 4)).height == count // 10  # i even and its neighbour: one of them in test
