"""Guards: each one fires on what it is for, and on nothing else."""

from __future__ import annotations

import json

import polars as pl
import pytest

from builders.schema import TRACES
from curation.convert.guards import Guards, figures, new_numbers
from curation.engine.marking import mark_frame
from tests.corpora import messy_traces, trace

SOURCE = "Pam has 4 boxes with 6 eggs each. 4 * 6 = 24 eggs. She drops 5. 24 - 5 = 19. The answer is 19."
QUESTION = "Pam buys four boxes with 6 eggs in each and drops 5. How many are whole?"
ASK = "Write this solution again in less detail. Solve it in one sentence that holds the calculation."


def child(says: str | None, *, source: str = SOURCE, how: str = "teacher", band: dict | None = None, **columns) -> dict:
    """A converted trace with the answer 19."""
    turns = [("user", QUESTION), ("assistant", source), ("user", ASK)]
    settings = {
        "gold": "19",
        "parent_id": "f" * 32,
        "question": QUESTION,
        "messages": [{"role": role, "content": content} for role, content in turns],
        "params": json.dumps({"convert": {"how": how, "version": 1, "band": band or {}}}, separators=(",", ":")),
        **columns,
    }
    return trace("eggs", says, **settings)


def guarded(says: str | None, **columns) -> dict:
    return Guards().judge(pl.DataFrame([child(says, **columns)], schema=TRACES)).row(0, named=True)


def test_a_faithful_rewrite_passes():
    assert guarded("There are 4 * 6 = 24 eggs and 24 - 5 = 19 are whole. The answer is 19.") == {
        "answer": True, "new_numbers": [], "band": None, "residue": False, "copy": False, "ok": True, "reason": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "says", "more"),
    [
        ("answer", "There are 24 - 5 = 18. The answer is 18.", {}),
        ("answer", "There are 24 - 5 = 19.", {}),  # says none any more
        (
            "copy",
            "pam has 4 boxes with 6 eggs each.  4 * 6 = 24 eggs. She drops 5.\n24 - 5 = 19. The answer is 19.",
            {},
        ),
        ("residue", "Sure! Here is the solution: 24 - 5 = 19. The answer is 19.", {}),
        ("residue", "24 - 5 = 19. The answer is 19.<|im_end|>", {}),
        ("residue", "Solve it in one sentence that holds the calculation. 24 - 5 = 19. The answer is 19.", {}),
        ("residue", "As in the original solution, 24 - 5 = 19. The answer is 19.", {}),
        ("new_numbers", "There are 24 + 7 - 12 = 19. The answer is 19.", {}),
        ("band", "24 - 5 = 19. The answer is 19.", {"band": {"steps": [3, 9]}}),
        ("band", "24 - 5 = 19. The answer is 19.", {"band": {"steps": [1, 2], "words": [20, 30]}}),
        ("unfinished", "24 - 5 = 19. The answer is 19.", {"status": "truncated"}),
        ("unfinished", None, {}),
    ],
)
def test_each_guard_fires(reason, says, more):
    marks = guarded(says, **more)
    assert (marks["ok"], marks["reason"]) == (False, reason)


def test_what_is_new_is_listed():
    assert guarded("There are 24 + 7 - 12 = 19. The answer is 19.")["new_numbers"] == ["12", "7"]


@pytest.mark.parametrize(
    ("says", "new"),
    [
        ("3 + 4 = 7, and 7 + 3 = 10.", []),  # results, one out of the other
        ("3 + 4 = 8.", ["8"]),  # does not hold
        ("3 * 5 = 15.", ["15", "5"]),  # 5 came from nowhere, so 15 is not proven
        ("1. Take 3.\n2. Add 4.", []),  # list numbers
        ("x_1 = 3 and x_{12} = 4.", []),  # subscripts
        ("3.0 and 4.", []),  # the same number
        ("7 = 3 + 4.", ["7"]),  # written the other way round it is not looked for
    ],
)
def test_new_numbers(says, new):
    assert new_numbers(pl.Series([says]), pl.Series([["3", "4"]])).to_list() == [new]


def test_numbers_in_words_are_known():
    marks = guarded("4 * 6 - 5 = 19. The answer is 19.", source="Four times six less 5. The answer is 19.")
    assert marks["new_numbers"] == []


def test_figures_are_spelt_alike():
    assert figures(pl.Series(["1,000.50 or 1000.5 or 2", None, ""])).to_list() == [["1000.5", "2"], None, []]


def test_a_source_without_a_readable_answer_is_judged_by_gold():
    assert guarded("4 * 6 - 5 = 19. The answer is 19.", source="4 * 6 - 5 = 19.")["answer"] is True
    assert guarded("4 * 6 - 5 = 19.", source="4 * 6 - 5 = 19.", gold=None)["answer"] is None


def test_a_faithful_rewrite_of_a_wrong_trace_passes():
    wrong = "4 * 6 = 24. The answer is 24."
    assert guarded("It is 4 * 6 = 24. The answer is 24.", source=wrong)["ok"] is True
    assert guarded("4 * 6 - 5 = 19. The answer is 19.", source=wrong)["reason"] == "answer"


def test_a_layout_may_change_nothing_but_white_space():
    assert guarded(SOURCE.replace(". ", ".\n"), how="layout:numbered")["copy"] is False


def test_traces_that_were_not_converted_have_no_guards():
    marks = Guards().judge(pl.DataFrame([trace("p", "The answer is 12.")], schema=TRACES)).row(0)
    assert marks == (None,) * len(Guards.marks)


def test_messy_children_are_marked_and_none_is_lost():
    messy = messy_traces()
    turns = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": text}] for text in messy["response"]]
    turns = [[*two, {"role": "user", "content": None}] for two in turns]
    broken = messy.with_columns(
        pl.lit("p").alias("parent_id"),
        pl.Series("messages", turns, TRACES["messages"]),
        pl.Series("params", ["{", None, "[]", '{"convert":{"band":{"steps":["x"]}}}', ""] * 100).head(messy.height),
    )
    marks = mark_frame(broken, Guards())
    assert marks.height == messy.height
    assert marks["guards.ok"].null_count() == 0
