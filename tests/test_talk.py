"""Talk that belongs in no solution: found where it is, and not in word problems that sound like it."""

from __future__ import annotations

import polars as pl
import pytest

from builders.schema import TRACES
from curation.engine.marking import mark_frame
from curation.trust.talk import Talk


def marks_of(text: str | None) -> set[str] | None:
    marks = mark_frame(pl.DataFrame([{"trace_id": "0", "response": text}], schema=TRACES), Talk()).drop("trace_id")
    values = {name.removeprefix("talk."): value for name, value in marks.row(0, named=True).items()}
    return None if None in values.values() else {name for name, value in values.items() if value}


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        ("residue", "Solution Path: First, add them."),
        ("residue", "Step-by-step solution: 1. Add them."),
        ("residue", "Add them. <|im_end|>"),
        ("residue", "[INST] Add them. [/INST] It is 5."),
        ("residue", "It is 5.</s>"),
        ("residue", "It is 5.\n\n### Response: It is 5."),
        ("residue", "It is 5.\nHuman: And now?"),
        ("residue", "Level 3:\nAdd them."),
        ("residue", "A solution of granularity 4 follows."),
        ("residue", "Sure, here is how. 2 + 3 = 5."),
        ("residue", "Certainly! 2 + 3 = 5."),
        ("residue", "Here is the step-by-step solution:\n2 + 3 = 5."),
        ("residue", "2 + 3 = 5. I hope this helps!"),
        ("residue", "Solve {question} now."),
        ("refusal", "As an AI language model, I add numbers."),
        ("refusal", "I'm sorry, but that is too hard."),
        ("refusal", "I cannot help with that."),
        ("refusal", "The number of eggs cannot be determined."),
        ("refusal", "There is not enough information to say."),
        ("hedge", "That is 6, while the given answer is 5."),
        ("hedge", "To match the provided answer of 1, we add 2."),
        ("hedge", "There seems to be a discrepancy here."),
        ("hedge", "This suggests an error in the problem statement."),
        ("hedge", "The answer given is 13, so it is 13."),
        ("hedge", "We get -4, which seems incorrect."),
        ("retry", "2 + 3 = 6. Wait, that is 5."),
        ("retry", "2 + 3 = 6. Oops, it is 5."),
        ("retry", "I made a mistake above: it is 5."),
        ("retry", "It is 6. Let me recalculate: it is 5."),
        ("retry", "Let’s re-evaluate that: 5."),
    ],
)
def test_a_phrase_has_its_mark(mark, text):
    assert marks_of(text) == {mark}


@pytest.mark.parametrize(
    "text",
    [
        "Pam waits for 2 long waits: 3 hours each. The waiter waits, too.",
        "He parked on level 3 of the garage and reached level 5 of the game.",
        "We are given that 4 boxes hold 6 eggs each. The answer is 24.",
        "Of the given answer choices, the given answer options are even.",
        "Luke made 3 mistakes and Pam made 2 errors in her essay.",
        "Here is 5 dollars. Here are 3 more. Of coursework he did 5 hours.",
        "To determine the discrepancy between the two, subtract 3.",
        r"\text{answer} is \boxed{answer}, of the user interface of a system",
        "#### 12",
        "She is sure that 2 + 3 = 5. Surely it is.",
    ],
)
def test_a_word_problem_has_none(text):
    assert marks_of(text) == set()


def test_nothing_is_said_of_nothing():
    assert marks_of(" ") is None


def test_spans_say_what_kind_it_is():
    text = "Würde man raten? No. Wait, the given answer is 5."
    traces = pl.DataFrame([{"trace_id": "0", "response": text}], schema=TRACES)
    [spans] = Talk().spans(Talk().mark(traces.lazy()).collect())
    assert [(s.mark, s.note, text[s.start : s.end]) for s in spans] == [
        ("retry", "takes back", ". Wait,"),
        ("hedge", "an answer that was known", "given answer i"),
    ]
