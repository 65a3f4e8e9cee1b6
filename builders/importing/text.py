"""Text as a corpus can hold it, out of whatever a row holds; what was mended is counted."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import orjson

LONG = 1_000_000
"""Characters above which a response is counted as very long."""


class Unfit(Exception):
    """This row cannot become a trace; the message says why."""


class Texts:
    """Makes texts of values and keeps count of what was odd about them in `notes`."""

    def __init__(self) -> None:
        self.notes: Counter[str] = Counter()

    def response(self, value: Any) -> str:
        """A trace; missing is empty.

        Raises:
            Unfit: an object or a list.
        """
        if value is None:
            return ""
        if not isinstance(value, str | list | dict):
            self.notes["responses that are no text, written as text"] += 1
        text = self.text(value, "response")
        if "\x00" in text:
            self.notes["responses with NUL"] += 1
        if len(text) > LONG:
            self.notes[f"responses above {LONG:,} characters"] += 1
        return text

    def text(self, value: Any, role: str) -> str:
        """Text of anything that is one value; numbers and truth values as JSON spells them.

        Raises:
            Unfit: an object or a list; as gold it is JSON.
        """
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, list | dict) and role == "gold":
            return to_json(value)
        if isinstance(value, list | dict | bytes):
            kind = {list: "a list", dict: "an object"}.get(type(value), "binary")
            raise Unfit(f"the {role} is {kind}, not text")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def clean(self, text: str) -> str:
        """A lone surrogate has no UTF-8, so no Parquet: `?` stands for it."""
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            self.notes["texts with lone surrogates, replaced by ?"] += 1
            return text.encode("utf-8", "replace").decode()
        return text


def to_json(value: Any) -> str:
    """Compact JSON of anything: what JSON does not know is written as its `str`."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # lone surrogates, whole numbers beyond 64 bits
        return json.dumps(value, default=str)
