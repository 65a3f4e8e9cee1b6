"""Preference pairs: which traces are put against each other, and what is written of them."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.config import CurateConfig
from curation.packaging.dataset import write_dataset
from curation.packaging.write import PAIR
from tests.corpora import corpus_of, trace

SAID = ("prompt", "chosen", "rejected")


def said(problem: str, *texts: str, **columns) -> list[dict]:
    return [trace(problem, text, sample_index=i, **columns) for i, text in enumerate(texts)]


def written(folder, rows, *, shards=1, **settings) -> pl.DataFrame:
    """The configuration `pairs` of the dataset of these rows, with the texts for messages."""
    corpus = corpus_of(folder / "c", *(rows[i::shards] for i in range(shards)))
    write_dataset(corpus, CurateConfig(**settings), folder / "d", name="n")
    files = sorted((folder / "d" / "data" / "pairs").glob("*.parquet"))
    texts = [pl.col(side).list.first().struct.field("content").alias(side) for side in SAID]
    return pl.concat([pl.read_parquet(file).with_columns(texts) for file in files])


def couples(folder, rows, rule, **settings) -> list[tuple[str, str]]:
    pairs = rule if isinstance(rule, list) else {"rule": rule} if isinstance(rule, str) else rule
    found = written(folder, rows, pairs=pairs, **settings)
    return found.select("chosen", "rejected").rows()


def test_a_correct_trace_before_an_incorrect_one(tmp_path):
    rows = [*said("p", "#### 12", "#### 13", "so #### 12"), *said("q", "q #### 12"), *said("r", "no idea", "r #### 12")]
    assert couples(tmp_path, rows, "correct_incorrect") == [("#### 12", "#### 13")]  # of r nothing is incorrect


def test_as_many_as_both_sides_have(tmp_path):
    rows = said("p", "a #### 12", "b #### 12", "c #### 12", "a #### 13", "b #### 13")
    rule = {"rule": "correct_incorrect", "per_problem": 9}
    assert couples(tmp_path, rows, rule) == [("a #### 12", "a #### 13"), ("b #### 12", "b #### 13")]


def test_the_shortest_correct_before_the_longest_correct(tmp_path):
    rows = said("p", "three #### 12", "a #### 12", "seventeen #### 12", "the longest of all #### 13")
    assert couples(tmp_path, rows, "short_long") == [("a #### 12", "seventeen #### 12")]


def test_traces_of_one_length_are_no_pair(tmp_path):
    rows = said("p", "a #### 12", "b #### 12") + said("q", "a #### 12", "bc #### 12")
    assert couples(tmp_path, rows, {"rule": "short_long", "per_problem": 3}) == [("a #### 12", "bc #### 12")]


def test_what_per_problem_removes_can_be_rejected(tmp_path):
    rows = said("p", "longer #### 12", "a #### 12")
    cut = {"max": 1, "rule": "shortest"}
    assert couples(tmp_path, rows, "short_long", per_problem=cut) == [("a #### 12", "longer #### 12")]


def test_one_level_before_another(tmp_path):
    rows = [trace("p", f"{level} #### 12", granularity=level) for level in (1, 2, 6)]
    assert couples(tmp_path, rows, {"rule": "levels", "levels": [2, 6]}) == [("2 #### 12", "6 #### 12")]


def test_conditions_in_sql_choose_among_all_traces(tmp_path):
    rows = said("p", "fine #### 12", "lazy #### 12", "lazy #### 13", "")
    rule = {"rule": ["response like 'lazy%'", "verify.verdict = 'correct'"], "per_problem": 5}
    # The lazy and correct one is chosen, so it is not rejected too; the empty one is nothing.
    assert couples(tmp_path, rows, rule) == [("lazy #### 12", "fine #### 12")]


def test_a_pair_says_where_it_comes_from(tmp_path):
    rows = said("p", "#### 12", "#### 13")
    found = written(tmp_path, rows, pairs={"rule": "correct_incorrect"}, prompt="Q: {question}")
    assert found.columns == list(PAIR)
    row = found.row(0, named=True)
    assert (row["prompt"], row["problem_id"], row["pair_rule"]) == ("Q: What is p?", "p", "correct_incorrect")
    assert (row["chosen_id"], row["rejected_id"]) == (rows[0]["trace_id"], rows[1]["trace_id"])


def test_several_rules_stand_side_by_side(tmp_path):
    rows = said("p", "#### 12", "so #### 12", "#### 13")
    found = written(tmp_path, rows, pairs=[{"rule": "short_long"}, {"rule": "correct_incorrect"}])
    assert found["pair_rule"].to_list() == ["short_long", "correct_incorrect"]


def test_a_pair_is_in_the_split_of_its_problem(tmp_path):
    rows = [row for i in range(30) for row in said(f"p{i}", "#### 12", "#### 13")]
    written(tmp_path, rows, pairs={"rule": "correct_incorrect"}, splits={"train": 0.5, "test": 0.5})
    for split in ("train", "test"):
        kept, pairs = (
            pl.read_parquet(tmp_path / "d" / "data" / name / f"{split}-*.parquet")["problem_id"].unique().sort()
            for name in ("default", "pairs")
        )
        assert kept.equals(pairs)


def test_datasets_reads_them_as_a_configuration(tmp_path):
    from datasets import load_dataset

    written(tmp_path, said("p", "#### 12", "#### 13"), pairs={"rule": "correct_incorrect"})
    row = load_dataset(str(tmp_path / "d"), "pairs")["train"][0]
    assert [row[side][0]["role"] for side in ("prompt", "chosen", "rejected")] == ["user", "assistant", "assistant"]
    assert load_dataset(str(tmp_path / "d"))["train"].num_rows == 1


def test_counts_are_in_the_manifest(tmp_path):
    written(tmp_path, said("p", "#### 12", "#### 13"), pairs={"rule": "correct_incorrect"})
    assert json.loads((tmp_path / "d" / "dataset.json").read_text())["pairs"] == {"train": 1}


@settings(max_examples=10, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("pq"), st.booleans(), st.integers(0, 40)), min_size=2, max_size=16))
def test_chosen_is_correct_and_shorter_than_a_longer_one(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("c")
    made = [
        trace(problem, f"{'x' * size}{i} #### {12 if right else 13}", sample_index=i)
        for i, (problem, right, size) in enumerate([*rows, ("z", True, 1), ("z", True, 2)])
    ]
    found = written(folder, made, shards=3, pairs={"rule": "short_long", "per_problem": 4}, dedup=False)
    assert found["chosen"].str.ends_with("12").all()
    assert found["rejected"].str.ends_with("12").all()
    assert (found["chosen"].str.len_chars() < found["rejected"].str.len_chars()).all()
    ids = [*found["chosen_id"], *found["rejected_id"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        ({"rule": "levels"}, "belong together"),
        ({"rule": "short_long", "levels": [1, 2]}, "belong together"),
        ({"rule": "levels", "levels": [2, 2]}, "the same"),
        ({"rule": ["true"]}, "two conditions"),
    ],
)
def test_wrong_rules_are_explained(pairs, complaint):
    with pytest.raises(ValidationError, match=complaint):
        CurateConfig(pairs=pairs)


def test_correct_and_incorrect_need_verification():
    with pytest.raises(ValidationError, match="needs the pass verify"):
        CurateConfig(passes=[], keep="true", pairs={"rule": "correct_incorrect"})
