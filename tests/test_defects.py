"""Defects: each is seen where it is, and no other with it."""

from __future__ import annotations

import polars as pl
import pytest

from builders.schema import TRACES
from curation.engine.marking import mark_frame
from curation.trust.defects import MEANINGS, Defects, before_answer


def marks_of(text: str | None, **columns) -> set[str]:
    row = {"trace_id": "0", "response": text, "answer": text, "status": "ok", **columns}
    found = mark_frame(pl.DataFrame([row], schema=TRACES), Defects())
    return {name for name in MEANINGS if found[f"defects.{name}"].item()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He has 5 + 7 = 12 apples. The answer is 12.", set()),
        (None, {"empty"}),
        (" \n", {"empty"}),
        ("He has 5 + 7 = 12 apples.", {"no_answer_line"}),
        ("The answer is 12.", {"bare"}),
        ("So, the final answer is 12.", {"bare"}),
        ("12", {"bare", "no_answer_line"}),
        ("Thus, the correct answer is 12. Because it is. The answer is 12.", {"several_answer_lines"}),
        ("He has 12 apples. The answer is 12. The answer is 12.00", {"several_answer_lines"}),
        ("He has 12 apples. The answer is 12. The answer is 13.", {"several_answer_lines", "conflicting_answers"}),
        (r"He has 12 apples. The answer is \boxed{12}.", set()),
        ("To find the answer: 1. Read it. 2. Add the two. The answer is 12.", set()),
        ("The answer is found by adding the two. The answer is 12.", set()),
        # Glued text; a list number that sticks to a number may be a part of it.
        ("He has 12 apples.Then he eats one. The answer is 11.", {"glued"}),
        ("Apples in all: 5 + 7 = 12Apples left: 12 - 1 = 11. The answer is 11.", {"glued"}),
        ("That can be worked out:12 - 1 = 11. The answer is 11.", {"glued"}),
        ("1. Five groups.2. Two each is 5 x 2 = 10. The answer is 10.", {"glued", "glued_list"}),
        ("1. That is 290 / 2 = 145.5.2. Then stop. The answer is 145.5.", {"glued", "glued_list"}),
        ("That makes 290 / 2 = 145.0. The answer is 145.0", set()),
        ("He left at 3:45 and came at 5:15, at a ratio of 2:3. The answer is 90.", set()),
        # LaTeX that went through a decoder of escapes.
        ("Half of it is \frac{1}{2}. The answer is 2.", {"latex_damage"}),  # a form feed
        ("Three of it is 3 \times 4. The answer is 12.", {"latex_damage"}),  # a tab
        ("Choose with \binom{4}{2}. The answer is 6.", {"latex_damage"}),  # a backspace
        ("One line\twith a tab. The answer is 12.", set()),
        (r"First add them.\nThen stop there. The answer is 12.", {"literal_newlines"}),
        (r"It is \neq 3 and \nu is 2. The answer is 12.", set()),
        (r"\begin{array} a \\n = 5 \end{array} is it. The answer is 5.", set()),
        # Characters.
        ("He has 5 Ã— 7 apples here. The answer is 35.", {"mojibake"}),
        ("He has 5 â€“ 3 apples here. The answer is 2.", {"mojibake"}),
        ("He has 5 \ufffd 7 apples. The answer is 35.", {"mojibake"}),
        ("São Paulo, Âge, 20 °C and 5 × 7 – 3. The answer is 32.", set()),
        ("He has \x00 5 apples here. The answer is 5.", {"control"}),
        ("He has \u202e 5 apples here. The answer is 5.", {"control"}),
        ("He has 👨\u200d👩 5 apples here. The answer is 5.", set()),
    ],
)
def test_a_defect_is_seen_and_no_other(text, found):
    assert marks_of(text) == found


@pytest.mark.parametrize(
    ("columns", "truncated"),
    [
        ({"status": "truncated"}, True),
        ({"finish_reason": "length"}, True),
        ({"finish_reason": "stop", "completion_tokens": 512, "params": '{"max_tokens":512}'}, True),  # it said `stop`
        ({"finish_reason": "stop", "completion_tokens": 511, "params": '{"max_tokens":512}'}, False),
        ({"completion_tokens": 600, "params": '{"max_completion_tokens": 512}'}, True),
        # A share of what one call for six levels gave says nothing.
        ({"completion_tokens": 600, "params": '{"max_tokens":512}', "call_id": "c"}, False),
        ({"completion_tokens": 600, "params": "{}"}, False),
        ({"completion_tokens": 600, "params": '{"max_tokens":99999999999999999999}'}, False),
        ({"status": None}, None),
    ],
)
def test_truncated_by_status_finish_reason_or_cap(columns, truncated):
    row = {"trace_id": "0", "response": "He has five", "status": "ok", **columns}
    marks = mark_frame(pl.DataFrame([row], schema=TRACES), Defects())
    assert marks["defects.truncated"].item() is truncated


def test_what_is_said_behind_the_reasoning_counts():
    thought = "The answer is 11. No."
    assert marks_of(None, reasoning=thought, answer="He has 5 and 7. The answer is 12.") == set()


def test_the_answer_line_is_cut_with_what_leads_to_it():
    texts = pl.DataFrame({"t": ["It is 12. Thus, the final answer is 12.", "It is 12.", None]})
    assert texts.select(before_answer(pl.col("t"))).to_series().to_list() == ["It is 12. ", "It is 12.", None]


def test_spans_point_at_what_is_glued():
    text = "Ännchen has 12 apples.Then she eats one. The answer is 11."
    traces = pl.DataFrame([{"trace_id": "0", "response": text, "status": "ok"}], schema=TRACES)
    [[span]] = Defects().spans(Defects().mark(traces.lazy()).collect())
    assert (span.mark, text[span.start : span.end]) == ("glued", "s.Th")
