"""Gold answers out of a file of questions and answers, such as an answer-only data set."""

from __future__ import annotations

from pathlib import Path

from builders.errors import SourceError
from builders.importing.read import file_source
from builders.importing.recognise import drafts_of


def read_answers(path: Path) -> dict[str, str]:
    """Gold by `question_key`. A question that the file answers in two ways has no gold.

    The answer is what the file's rows hold as gold, else what they hold as the trace.

    Raises:
        SourceError: the file cannot be read, or holds no question with an answer.
    """
    found: dict[str, str | None] = {}
    for draft in drafts_of(file_source(path), {}):
        gold, key = draft.gold or (draft.response or "").strip(), question_key(draft.asked)
        if gold:
            found[key] = gold if found.get(key, gold) == gold else None
    answers = {key: gold for key, gold in found.items() if gold is not None}
    if not answers:
        raise SourceError(
            f"{path} holds no question with an answer.\n"
            "It is read like a file of traces: a question, and gold or what would be the trace."
        )
    return answers


def question_key(question: str) -> str:
    """A question, white space aside."""
    return " ".join(question.split())
