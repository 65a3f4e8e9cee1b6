"""The labelled table: hundreds of responses, what `Verify` has to say of each, and which right answers it rejects."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from builders.answers import normalise
from builders.schema import ANSWER_TYPES, TRACES
from builders.yaml import read_yaml
from curation.verification.verify import Verify

CHOICES = ["red", "blue", "a cat", "blue whale"]
TABLE = read_yaml((Path(__file__).parent / "verdicts.yaml").read_text(encoding="utf-8"))
CASES = [{"kind": kind, **case} for kind, cases in TABLE.items() for case in cases]


def frame(cases: list[dict]) -> pl.DataFrame:
    """The cases as traces whose gold was read as a corpus reads it."""
    rows = [
        {
            "status": "ok",
            "answer": case["says"],
            "gold": case["gold"],
            "answer_type": case["kind"],
            "choices": case.get("choices", CHOICES) if case["kind"] == "choice" else None,
        }
        for case in cases
    ]
    return pl.DataFrame(rows, schema=TRACES).with_columns(gold_value=normalise(pl.col("gold"), pl.col("answer_type")))


@pytest.fixture(scope="module")
def judged() -> pl.DataFrame:
    return Verify(seconds=20).judge(frame(CASES))  # a busy machine is no reason for a timeout


def falsely_accepted(judged: pl.DataFrame) -> list[dict]:
    return [c for c, v in zip(CASES, judged["verdict"], strict=True) if v == "correct" and c["verdict"] != "correct"]


def test_it_is_large_and_covers_every_answer_type():
    assert len(CASES) >= 300
    assert set(TABLE) == set(ANSWER_TYPES)


def test_every_gold_is_read_and_verifies_against_itself():
    # Of kind choice, gold is a letter; one that the table does not offer (`E`) is no answer.
    golds = [case for case in CASES if not (case["kind"] == "choice" and case["gold"] not in "ABCD")]
    rows = frame(golds)
    assert rows["gold_value"].null_count() == 0
    boxed = rows.with_columns(answer=pl.concat_str(pl.lit(r"\boxed{"), "gold_value", pl.lit("}")))
    verdicts = Verify(seconds=20).judge(boxed)["verdict"]
    assert [(g["kind"], g["gold"]) for g, v in zip(golds, verdicts, strict=True) if v != "correct"] == []


def test_nothing_wrong_is_accepted(judged):
    accepted = [
        c for c, v in zip(CASES, judged["verdict"], strict=True) if v == "correct" and c["verdict"] != "correct"
    ]
    assert accepted == []


def test_every_verdict_is_the_one_in_the_table(judged):
    other = [
        (case["kind"], case["says"], case["gold"], case["verdict"], verdict)
        for case, verdict in zip(CASES, judged["verdict"], strict=True)
        if verdict != case["verdict"]
    ]
    assert other == []


def test_right_answers_that_are_rejected_are_few_and_say_why():
    rejected = [case for case in CASES if "rejected" in case]
    assert all(case["rejected"] and case["verdict"] != "correct" for case in rejected)
    assert len(rejected) < len(CASES) / 10


def test_conflicting_answer_lines(judged):
    told = [
        (case["conflict"], mark) for case, mark in zip(CASES, judged["conflict"], strict=True) if "conflict" in case
    ]
    assert len(told) >= 10
    assert all(expected == mark for expected, mark in told)


def test_without_algebra_nothing_wrong_is_accepted_either():
    exact = Verify(algebra=False).judge(frame(CASES))
    assert falsely_accepted(exact) == []
    assert set(exact["by"].drop_nulls()) == {"exact"}


def test_the_tiers_say_who_decided(judged):
    by = pl.DataFrame({"verdict": judged["verdict"], "by": judged["by"]})
    assert set(by["by"].drop_nulls()) == {"exact", "algebra"}
    decided = by["verdict"].is_in(["correct", "incorrect"])
    assert (by["by"].is_not_null() == decided).all()


def test_the_examples_in_the_documentation():
    page = (Path(__file__).parent.parent / "docs" / "verification.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| (number|choice|boolean|latex|text) \| `([^|]*)` \| `([^|]*)` \| (\w+) \|", re.MULTILINE)
    examples = [{"kind": k, "says": says, "gold": gold, "verdict": v} for k, says, gold, v in row.findall(page)]
    verdicts = Verify(seconds=20).judge(frame(examples))["verdict"]
    assert len(examples) >= 30
    assert [(e["says"], v) for e, v in zip(examples, verdicts, strict=True) if v != e["verdict"]] == []
