"""Turns of a conversation in the layouts that data sets use: ShareGPT's and OpenAI's."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
}


class Turn(NamedTuple):
    """One turn; `reasoning` is what an assistant's turn holds apart from its content."""

    role: str
    content: str
    reasoning: str | None = None


def as_turns(value: Any) -> list[Turn] | None:
    """A list of {role, content} or {from, value}, also spelt as JSON; None when it is something else."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    if not isinstance(value, list):
        return None
    turns = [_turn(item) for item in value]
    known = [turn for turn in turns if turn is not None]
    return known if len(known) == len(turns) else None


def _turn(item: Any) -> Turn | None:
    if not isinstance(item, dict):
        return None
    role, content = item.get("role", item.get("from")), item.get("content", item.get("value"))
    if isinstance(content, list):  # parts; what is not text has none
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    if not isinstance(role, str) or not isinstance(content, str | None):
        return None
    reasoning = item.get("reasoning_content") or item.get("reasoning")
    return Turn(ROLES.get(role.lower(), role), content or "", reasoning if isinstance(reasoning, str) else None)
