"""The parts of one row: question, choices, traces, gold and what else it says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from builders.importing.chat import Turn, as_turns
from builders.importing.layout import Layout, Usual, at, filled, pick
from builders.importing.lettered import Pair, as_pairs, from_columns, split_choices
from builders.importing.text import Texts, Unfit, to_json
from builders.prompts import LETTERS

OURS = frozenset(("trace_id", "problem_id"))
"""Written by export, and computed anew."""

Said = tuple[str | None, str | None]
"""A trace and the reasoning set apart from it; no trace: the row is a problem only."""


class Reader:
    """One row, read part by part; notes which keys were used, as the rest goes into `meta`."""

    __slots__ = ("_layout", "_roles", "_row", "_texts", "_used", "_usual", "misplaced")

    def __init__(self, row: Mapping[str, Any], layout: Layout, usual: Usual, texts: Texts) -> None:
        self._row, self._layout, self._roles = row, layout, layout.roles
        self._usual, self._texts = usual, texts
        self._used: set[str] = set(layout.options)
        self.misplaced: str | None = None  # the unusual key that the trace was found under

    def said(self, role: str) -> str | None:
        """The text under a key of this role."""
        if not (keys := self._roles[role]):
            return None
        key, value = pick(self._row, keys)
        if key is None or not filled(value):
            return None
        self._used.add(key)
        return self._texts.text(value, role)

    def turns(self) -> list[Turn]:
        """Of a conversation, or of a prompt that is one; empty when the row is neither."""
        chat = self._layout.chat
        key, value = pick(self._row, (chat,) if chat is not None else self._roles["question"])
        if key is None or not filled(value) or (chat is None and not isinstance(value, list)):
            return []
        turns = as_turns(value)
        if turns is None:
            raise Unfit(f"{key} holds no list of turns with role and content")
        asked = sum(turn.role == "user" for turn in turns)
        if asked > 1:
            raise Unfit(f"several user turns: {asked}; one question and its answer are a trace")
        self._used.add(key)
        return [turn._replace(content=self._texts.clean(turn.content)) for turn in turns]

    def question(self, turns: Sequence[Turn]) -> str:
        """The question with its context, as a teacher would read it."""
        key, value = pick(self._row, self._roles["question"])
        if isinstance(value, list) or not filled(value):
            value = next((turn.content for turn in turns if turn.role == "user"), None)
        if not filled(value):
            raise Unfit("no question")
        if key is not None:
            self._used.add(key)
        text = self._texts.text(value, "question")
        if before := self._beside(key, "context"):
            text = f"{before} {text.strip()}"
        if after := self._beside(key, "input"):
            text = f"{text.strip()}\n{after}"
        return text

    def _beside(self, question: str | None, role: str) -> str | None:
        """Context under another key than the question's and the trace's."""
        keys = self._roles.get(role)
        if not keys:
            return None
        key, value = pick(self._row, keys)
        if key is None or key == question or not filled(value):
            return None
        if role == "input" and pick(self._row, self._roles["response"])[0] == key:
            return None
        self._used.add(key)
        return self._texts.text(value, role).strip()

    def choices(self, asked: str) -> tuple[str, list[Pair] | None]:
        """The question without its choices, and these."""
        key, value = pick(self._row, self._roles["choices"])
        if key is None and not self._layout.options:
            found = split_choices(asked)
            if found is None:
                return asked, None
            self._texts.notes["choices taken out of the question"] += 1
            return found
        # A column of choices that holds none says that there are none.
        self._used.update([key] if key is not None else [])
        try:
            pairs = as_pairs(value) if key is not None else from_columns(self._row, self._layout.options)
        except ValueError as error:
            raise Unfit(str(error)) from None
        if pairs is not None:
            pairs = [{name: text and self._texts.clean(text) for name, text in pair.items()} for pair in pairs]
        return asked, pairs

    def traces(self, turns: Sequence[Turn]) -> list[Said]:
        """Every trace; an empty one where there should be one."""
        answers = [turn for turn in turns if turn.role == "assistant"]
        if answers:
            return [self._of_turn(answers[-1])]
        key, value = pick(self._row, [key for key in self._roles["response"] if key not in self._used])
        if key is None:  # where other rows have a key for it, a trace is missing; else this is a problem
            return [("" if turns or self._usual.named else None, None)]
        if self._layout.test and self._usual.response is None and not filled(value):
            return [(None, None)]
        self._used.add(key)
        if self._usual.response not in (None, key) and filled(value):
            self.misplaced = key
        if not isinstance(value, list):
            return [(self._texts.response(value), None)]
        said = as_turns(value)
        if said:
            return [self._of_turn(said[-1])]
        return [(self._texts.response(item), None) for item in value] or [("", None)]

    def _of_turn(self, turn: Turn) -> Said:
        return self._texts.response(turn.content), turn.reasoning and self._texts.clean(turn.reasoning)

    def gold(self, choices: Sequence[Pair] | None, *, has_trace: bool) -> tuple[str | None, str | None]:
        """Letter of the choice that gold names by position, and gold as given."""
        for key in self._roles["gold"]:
            value = at(self._row, key)
            # True and False under these names judge the trace where there is one.
            judges = has_trace and isinstance(value, bool) and key.lower() in ("label", "correct")
            if not filled(value) or judges or key in self._used:
                continue
            self._used.add(key)
            value = value[0] if isinstance(value, list) and len(value) == 1 else value
            by_place = isinstance(value, int) and not isinstance(value, bool) and choices
            letter = LETTERS[value] if by_place and 0 <= value < min(len(choices or ()), len(LETTERS)) else None
            return letter, self._texts.text(value, "gold")
        return None, None

    def level(self) -> int | None:
        """Granularity: `3`, `Level 3`, `level_3`."""
        key, value = pick(self._row, self._roles["granularity"])
        if key is None or not filled(value):
            return None
        found = _LEVEL.fullmatch(str(value).strip())
        if found is None:
            self._texts.notes["granularity outside 1-6, left out"] += 1
            return None
        self._used.add(key)
        return int(found[1])

    def index(self) -> int | None:
        """Which sample of its problem the row says it is."""
        key, value = pick(self._row, self._roles["sample_index"])
        found = _INDEX.fullmatch(str(value).strip()) if key is not None else None
        if key is None or found is None:
            return None
        self._used.add(key)
        return int(found[1])

    def endings(self, count: int) -> list[str | None]:
        """Finish reason of each of `count` traces."""
        key, value = pick(self._row, self._roles["finish_reason"])
        said = value if isinstance(value, list) else [value] * count
        if key is None or len(said) != count or not any(isinstance(item, str) for item in said):
            return [None] * count
        self._used.add(key)
        return [self._texts.clean(item) if isinstance(item, str) and item else None for item in said]

    def prompt(self, turns: Sequence[Turn], asked: str) -> list[dict[str, str]] | None:
        """The turns before the trace, when the row says how it was asked."""
        asking = [{"role": turn.role, "content": turn.content} for turn in turns if turn.role != "assistant"]
        system = self.said("system")
        if system is not None:
            asking = [{"role": "system", "content": system}, *(asking or [{"role": "user", "content": asked}])]
        return asking or None

    def rest(self) -> str | None:
        """JSON object of whatever else the row says."""
        left = self._row.keys() - self._used - OURS
        rest = {key: value for key, value in self._row.items() if key in left and value is not None and value != ""}
        return to_json(rest) if rest else None


_LEVEL = re.compile(r"(?:level[\s_]?)?([1-6])(?:\.0)?", re.IGNORECASE)
_INDEX = re.compile(r"(\d{1,9})(?:\.0)?")
