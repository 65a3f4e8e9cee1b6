"""What `verify` does at the edges; its verdicts are in the labelled table of test_verdicts.py."""

from __future__ import annotations

import polars as pl
import pytest

from builders.schema import TRACES
from curation.verification.verify import Verify, verdicts

CORRECT, INCORRECT, UNPARSEABLE = "correct", "incorrect", "unparseable"


def rows(*cases: dict) -> pl.DataFrame:
    return pl.DataFrame([{"status": "ok", "answer_type": "number", **case} for case in cases], schema=TRACES)


def one(**case) -> str:
    return verdicts(rows({"gold_value": "12", **case})).item()


def test_all_types_in_one_frame_keep_their_rows():
    frame = rows(
        {"answer": "#### C", "gold_value": "C", "answer_type": "choice"},
        {"answer": "#### 12", "gold_value": "12"},
        {"answer": "#### no", "gold_value": "true", "answer_type": "boolean"},
        {"answer": "#### 12", "gold_value": "13"},
    )
    assert verdicts(frame).to_list() == [CORRECT, CORRECT, INCORRECT, INCORRECT]


def test_without_gold_there_is_no_verdict_but_an_answer():
    marked = Verify().mark(rows({"answer": "#### 12"}).lazy()).select("^verify.*$").collect()
    assert marked.row(0) == ("no_gold", "12", False, None)


@pytest.mark.parametrize("status", ["rejected", "empty"])
def test_who_said_nothing_is_unparseable(status):
    assert one(answer="#### 12", status=status) == UNPARSEABLE


def test_a_truncated_response_with_an_answer_line_is_judged():
    assert one(answer="#### 12\nNow", status="truncated") == CORRECT


def test_what_a_truncated_response_was_cut_in_is_no_answer():
    assert one(answer="The answer is 12", status="truncated") == UNPARSEABLE
    assert one(answer="12", status="truncated") == UNPARSEABLE


@pytest.mark.parametrize("kind", ["number", "latex", "text", "choice", "boolean"])
def test_a_megabyte_is_no_answer(kind):
    for said in ("9" * 1_000_000, "(" * 1_000_000, "x+" * 500_000, "a, " * 300_000):
        assert one(answer=f"The answer is {said}", gold_value="12", answer_type=kind) in (INCORRECT, UNPARSEABLE)
        assert one(answer=rf"\boxed{{{said}}}", gold_value="12", answer_type=kind) in (INCORRECT, UNPARSEABLE)


def test_a_box_may_be_deep():
    deep = "{" * 60 + "12" + "}" * 60
    assert one(answer=rf"\boxed{{{deep}}}") == CORRECT


def test_a_tower_of_powers_ends():
    assert one(answer=r"\boxed{9^{9^{9^{9}}}}", answer_type="latex") in (UNPARSEABLE, "timeout")


def test_plain_answers_start_no_processes():
    import subprocess
    import sys

    code = (
        "import polars as pl, sys; from builders.schema import TRACES;"
        "from curation.verification.verify import verdicts;"
        "rows = [dict(answer='The answer is 12 apples.', gold_value='12', answer_type='number', status='ok'),"
        "dict(answer='13', gold_value='12', answer_type='number', status='ok')];"
        "print(verdicts(pl.DataFrame(rows, schema=TRACES)).to_list(), 'curation.verification.algebra' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['correct', 'incorrect'] False"


def test_equal_pairs_are_asked_once(monkeypatch):
    asked = []
    import curation.verification.algebra

    def same(golds, answers, kinds, *, seconds):
        asked.append((golds.to_list(), answers.to_list()))
        return pl.Series(["correct"] * len(golds), dtype=pl.String)

    monkeypatch.setattr(curation.verification.algebra, "same", same)
    frame = rows(*({"answer": r"\boxed{1+x}", "gold_value": "x+1", "answer_type": "latex"} for _ in range(5)))
    assert verdicts(frame).to_list() == [CORRECT] * 5
    assert asked == [(["x+1"], ["1+x"])]


def test_the_response_is_read_where_answer_is_null():
    assert one(response="#### 12") == CORRECT


def test_reasoning_is_not_searched():
    assert one(response="<think>#### 12", reasoning="#### 12") == UNPARSEABLE


def test_no_number_is_guessed_unless_asked_for():
    frame = rows({"answer": "3 + 9 = 12.", "gold_value": "12"}, {"answer": "The answer is not 12", "gold_value": "12"})
    assert verdicts(frame).to_list() == [UNPARSEABLE, UNPARSEABLE]
    # Where there is an answer line, doubtful as it may be, nothing is guessed.
    assert Verify(fallback="last_number").judge(frame)["verdict"].to_list() == [CORRECT, UNPARSEABLE]


def test_without_known_choices_any_letter_will_do():
    assert one(answer="#### E", gold_value="E", answer_type="choice") == CORRECT


def test_the_text_of_two_choices_names_neither():
    assert one(answer="#### red", gold_value="A", answer_type="choice", choices=["red", "Red"]) == UNPARSEABLE


def test_empty_frame():
    assert verdicts(rows()).to_list() == []
