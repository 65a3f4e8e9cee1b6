"""From a problem, a level and a format to the messages a teacher is sent.

The question is rendered by one function for everyone: teachers, training and evaluation. What a
level or a format says is data (`builders.spec`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builders.errors import SourceError
from builders.joint import key_of, write_answer
from builders.spec import Family, FormatSpec, LevelSpec, Specs, load_specs, shipped_specs
from builders.teachers import Message

__all__ = [
    "LETTERS", "Family", "FormatSpec", "LevelSpec", "Prompt", "Specs",
    "load_specs", "make_prompt", "render_question", "shipped_specs",
]  # fmt: skip

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def render_question(question: str, choices: Sequence[str] | None = None) -> str:
    """The text of a problem: the question, then one lettered line for each choice.

    >>> print(render_question("Which is cold?", ["fire", "ice"]))
    Which is cold?
    A. fire
    B. ice
    """
    if not choices:
        return question
    return "\n".join([question, *(f"{LETTERS[i]}. {text}" for i, text in enumerate(choices))])


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is the same for all problems of one family, level and format."""

    level: int | None
    format: str
    family: str
    head: tuple[tuple[str, str], ...]  # (role, content) of system message and exemplar turns
    levels: tuple[int, ...] = ()  # all that one call asks for; empty: a call of its own
    gold_note: str | None = None  # follows the question, with the gold answer in place of `{gold}`
    questions: tuple[str, ...] = ()  # of the exemplars in `head`

    def identity(self) -> Mapping[str, Any]:
        """All of the prompt that is not the problem."""
        said: dict[str, Any] = {"level": self.level, "format": self.format, "head": [list(turn) for turn in self.head]}
        if self.levels:
            said["levels"] = list(self.levels)
        if self.gold_note is not None:
            said["gold_note"] = self.gold_note
        return said

    def call_identity(self) -> Mapping[str, Any]:
        """The same for all levels of one call."""
        return {**self.identity(), "level": None}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the JSON object that a call for several levels is answered with."""
        return tuple(map(key_of, self.levels))

    def messages(self, question: str, choices: Sequence[str] | None = None, gold: str | None = None) -> list[Message]:
        """The prompt for one problem. The head comes first and never varies: engines cache it."""
        head = [{"role": role, "content": content} for role, content in self.head]
        asked = render_question(question, choices)
        if self.gold_note is not None:
            asked = f"{asked}\n\n{self.gold_note.replace('{gold}', gold or '')}"
        return [*head, {"role": "user", "content": asked}]


def make_prompt(
    specs: Specs,
    *,
    level: int | None,
    format: str,
    answer_type: str,
    system: str | None = None,
    joint: Sequence[int] = (),
    gold_shown: bool = False,
) -> Prompt:
    """Put system message and exemplars together for one level, format and answer type.

    Args:
        specs: levels, formats and families.
        level: 1..6, or None to ask without a level: then there are no exemplars either.
        format: name of a format.
        answer_type: of the problem; chooses the family.
        system: the teacher's own system prompt, put first.
        joint: all levels that one call asks for, `level` among them; empty: a call for `level` alone.
        gold_shown: tell the teacher the gold answer, after the question.

    Raises:
        SourceError: no such level or format; the message lists those known.
    """
    family = next((name for name, f in specs.families.items() if answer_type in f.answer_types), "")
    levels, formats = {s.level: s for s in specs.levels}, {s.format: s for s in specs.formats}
    if not {level, *joint} - {None} <= levels.keys() or format not in formats:
        known = f"levels {sorted(levels)}, formats {sorted(formats)}"
        raise SourceError(f"No spec for level {level} in format {format}; known: {known}.")
    questions = specs.families[family].questions if family else []
    if joint:
        chosen = [levels[one] for one in joint]
        instruction, turns = _joint_head(specs, chosen, formats[format], family, questions)
    else:
        one = levels[level] if level is not None else None
        instruction, turns = _head(one, formats[format], family, questions)
    system_text = "\n\n".join(filter(None, [system, instruction]))
    head = [("system", system_text)] if system_text else []
    note = _asking(specs).gold_shown if gold_shown else None
    shown = tuple(questions) if turns or (joint and formats[format].traces.get(family)) else ()
    return Prompt(level, format, family, (*head, *turns), tuple(joint), note, shown)


Turns = list[tuple[str, str]]


def _head(level: LevelSpec | None, form: FormatSpec, family: str, questions: Sequence[str]) -> tuple[str, Turns]:
    """Instruction and exemplar turns of one level; a format's exemplars replace the level's."""
    instruction = "\n\n".join(filter(None, [level.instruction if level else "", form.instruction]))
    traces = form.traces.get(family) or (level.traces.get(family, []) if level else [])
    turns: Turns = []
    for question, trace in zip(questions if traces else [], traces, strict=True):
        turns += [("user", question), ("assistant", trace)]
    return instruction, turns


def _joint_head(
    specs: Specs, levels: Sequence[LevelSpec], form: FormatSpec, family: str, questions: Sequence[str]
) -> tuple[str, Turns]:
    """Instruction and exemplar turns of a call for several levels.

    A format's exemplars have one text for all levels: as an answer they would teach that levels do
    not differ. So the first of them is quoted to show the layout, and there are no turns.
    """
    asking = _asking(specs)
    keys = ", ".join(f'"{key_of(spec.level)}"' for spec in levels)
    lines = [
        asking.joint_level.replace("{key}", key_of(spec.level)).replace("{instruction}", spec.instruction)
        for spec in levels
    ]
    instruction = "\n\n".join(filter(None, [asking.joint.replace("{keys}", keys), "\n".join(lines), form.instruction]))
    if layout := form.traces.get(family):
        shown = asking.joint_layout.replace("{question}", questions[0]).replace("{trace}", layout[0])
        return f"{instruction}\n\n{shown}", []
    turns: Turns = []
    if all(spec.traces.get(family) for spec in levels):
        for question, *traces in zip(questions, *(spec.traces[family] for spec in levels), strict=True):
            texts = {key_of(spec.level): trace for spec, trace in zip(levels, traces, strict=True)}
            turns += [("user", question), ("assistant", write_answer(texts))]
    return instruction, turns


def _asking(specs: Specs) -> Any:
    if specs.asking is None:
        raise SourceError("The specs lack the section `asking`: the words for joint calls and for showing the answer.")
    return specs.asking
