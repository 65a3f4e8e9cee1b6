"""Which keys of a row play which role: decided by the names of the keys, once for each shape of row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from builders.importing.lettered import choice_columns

KNOWN: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "problem", "question_stem", "query", "instruction", "prompt", "input"),
    "context": ("context", "body", "passage"),
    "response": (
        "response", "completion", "output", "generation", "generated_text", "generated_solution",
        "deepseek_solution", "rationale", "cot", "chain_of_thought", "explanation",
    ),
    "reasoning": ("reasoning", "reasoning_content", "thinking", "deepseek_reasoning"),
    "gold": (
        "gold", "gold_answer", "ground_truth", "expected_answer", "final_answer", "answer", "label", "answerkey",
        "correct", "expected_output",
    ),
    "choices": ("choices", "options"),
    "teacher": ("teacher",),
    "granularity": ("granularity", "granularity_level"),
    "format": ("format",),
    "sample_index": ("sample_index",),
    "split": ("split",),
    "source": ("source",),
    "system": ("system", "system_prompt"),
    "finish_reason": ("finish_reason", "finish_reasons"),
    "answer_type": ("answer_type",),
    "gold_value": ("gold_value",),
    "status": ("status",),
}  # fmt: skip
"""Keys looked at for each role, lower case, the first that holds something first."""

MANY = ("generations", "responses", "completions")
CHAT = ("messages", "conversations", "conversation")


class Usual(NamedTuple):
    """What the first rows of a source show."""

    response: str | None = None  # the key that most traces lie under
    named: bool = False  # there are keys like `gpt4_output`; then `output` is gold
    input_is_context: bool = False  # some row has an instruction, an input and an output


class Layout(NamedTuple):
    """Keys of one shape of row, by role."""

    roles: Mapping[str, tuple[str, ...]]
    options: list[str]  # a column per choice
    chat: str | None
    test: bool  # has a label, and an `output` that may be there only for show (schema G)


def layout_of(keys: Sequence[str], columns: Mapping[str, str], usual: Usual) -> Layout:
    """Roles of the keys of a row.

    Args:
        keys: as the row spells them; case does not matter.
        columns: role -> column, said by the user; goes before what is known.
        usual: what the source's first rows show.
    """
    by_name = {key.lower(): key for key in reversed(keys)}
    roles = {role: tuple(by_name[name] for name in names if name in by_name) for role, names in KNOWN.items()}
    roles = {**roles, **{role: (column,) for role, column in columns.items()}}
    chat = next((by_name[name] for name in CHAT if name in by_name), None)
    many = [by_name[name] for name in MANY if name in by_name]
    named = [key for name, key in by_name.items() if is_named_output(name)]
    plain = roles["response"]
    test = "label" in by_name and plain == (by_name.get("output"),) and not (named or chat or many)
    if "response" in columns:
        chat = None
    elif many:
        chat, roles["response"] = None, (many[0],)
    elif chat:
        roles["response"] = ()
        if "question" not in columns:
            roles["question"] = tuple(key for key in roles["question"] if key.lower() in ("question", "problem"))
    elif named or usual.named:
        roles["response"] = tuple(sorted(named, key=lambda key: key != usual.response))
        if "gold" not in columns:
            roles["gold"] += tuple(by_name[name] for name in ("output",) if name in by_name)
    elif not plain:
        other = next((by_name[name] for name in ("solution", "answer") if name in by_name), None)
        roles["response"] = (other,) if other is not None else roles["reasoning"]
        roles["reasoning"] = roles["reasoning"] if other is not None else ()
    roles["response"] = tuple(sorted(roles["response"], key=lambda key: key != usual.response))
    if "input" in by_name and roles["question"] != (by_name["input"],):
        roles["input"] = (by_name["input"],)
        if not usual.input_is_context and plain and "response" not in columns and not (chat or many or named):
            roles["response"] += roles["input"]  # where a trace may have strayed to
    if "gold" not in columns:
        roles["gold"] = tuple(key for key in roles["gold"] if key not in roles["response"])
    options = [] if "choices" in columns else choice_columns(by_name)
    return Layout(roles, options, chat, test)


def is_named_output(name: str) -> bool:
    """`gpt4_output`: a column named after who wrote it."""
    return name.endswith("_output") and name not in ("_output", "expected_output", "reference_output", "gold_output")


def filled(value: Any) -> bool:
    """Whether there is something: no null, no empty list, no blank text."""
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    return value is not None and value != []


def pick(row: Mapping[str, Any], keys: Sequence[str]) -> tuple[str | None, Any]:
    """The first of `keys` that holds something, else the first there is."""
    first: tuple[str | None, Any] = (None, None)
    if not keys:
        return first
    for key in keys:
        value = at(row, key)
        if filled(value):
            return key, value
        if first[0] is None:
            first = key, value
    return first


def at(row: Mapping[str, Any], path: str) -> Any:
    """What lies at a key, or at a dotted path within objects."""
    value: Any = row.get(path)
    if value is None and "." in path:
        value = row
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    # NaN is how tables say that there is nothing.
    return None if isinstance(value, float) and value != value else value
