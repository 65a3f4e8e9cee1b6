"""Choices as rows hold them: a column of any layout, columns `A` to `E`, or letters within the question."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from builders.prompts import LETTERS

Pair = dict[str, str | None]
"""`label` (null: the source gives none) and `text` of one choice."""

COLUMNS = ("{}", "option_{}", "choice_{}", "op{}", "option{}")
"""Names of a column per choice, with a lower-case letter in place of the braces."""

_STYLES = (
    re.compile(r"\(([A-Z])\)\s*"),  # (A) 21 (B) 22
    re.compile(r"(?:(?<=^)|(?<=\n))\s*([A-Z])[.):]\s+"),  # one line each
    re.compile(r"(?:(?<=\s)|(?<=,)|(?<=^))([A-Z])[:)]\s*"),  # A: red, B: blue
)
_HEADING = re.compile(r"\s*(?:answer\s+)?(?:choices|options)\s*:?\s*$", re.IGNORECASE)


def split_choices(question: str) -> tuple[str, list[Pair]] | None:
    """A question that ends in lettered choices, as its stem and the choices; None when it does not.

    Careful rather than clever: letters must run A, B, C ... to the end of the text, every choice must hold
    something, and the last one neither asks nor goes on in another line.

    >>> split_choices("Which is cold? (A) fire (B) ice")
    ('Which is cold?', [{'label': 'A', 'text': 'fire'}, {'label': 'B', 'text': 'ice'}])
    >>> split_choices("Let (A) be red and (B) blue. Which is which?") is None
    True
    """
    if not any(sign in question for sign in ("A)", "A:", "A.")):
        return None
    for style in _STYLES:
        marks = list(style.finditer(question))
        start = next((i for i in reversed(range(len(marks))) if marks[i][1] == "A"), None)
        if start is None:
            continue
        run = marks[start:]
        stem = _HEADING.sub("", question[: run[0].start()]).strip()
        ends = [*(mark.start() for mark in run[1:]), len(question)]
        texts = [question[mark.end() : end].strip(" \t\n,;") for mark, end in zip(run, ends, strict=True)]
        in_order = "".join(mark[1] for mark in run) == LETTERS[: len(run)]
        if len(run) > 1 and in_order and stem and all(texts) and not set("?\n") & set(texts[-1]):
            return stem, _lettered(texts)
    return None


def from_columns(row: Mapping[str, Any], names: Sequence[str]) -> list[Pair] | None:
    """Choices out of a column each, up to the first that holds nothing; None for fewer than two."""
    texts = []
    for name in names:
        if row[name] is None or not str(row[name]).strip():
            break
        texts.append(str(row[name]).strip())
    return _lettered(texts) if len(texts) > 1 else None


def choice_columns(keys: Mapping[str, str]) -> list[str]:
    """Those of a row's keys (by their lower-case spelling) that hold a choice each, in order; empty when none do."""
    for pattern in COLUMNS:
        names = [pattern.format(letter) for letter in LETTERS.lower()]
        count = next(i for i, name in enumerate([*names, ""]) if name not in keys)
        if count > 1:
            return [keys[name] for name in names[:count]]
    return []


def as_pairs(value: Any) -> list[Pair] | None:
    """Choices in any layout that `builders.problems.choices` knows, one row's worth; None when there are none.

    Raises:
        ValueError: there is something, but it is none of the layouts.
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        value = _spelt(value)
    if value is None or (isinstance(value, list | tuple | dict) and not value):
        return None
    if isinstance(value, dict):
        if not isinstance(value.get("text"), list):  # {"A": "red", "B": "blue"}
            return [{"label": str(label), "text": str(text)} for label, text in value.items() if text is not None]
        texts, labels = value["text"], value.get("label") or [None] * len(value["text"])
        if len(texts) != len(labels):
            raise ValueError("choices with another number of labels than of texts")
        value = [{"label": label, "text": text} for label, text in zip(labels, texts, strict=True)]
    if not isinstance(value, list | tuple):
        raise ValueError("unreadable choices")
    return [_pair(item) for item in value]


def _pair(item: Any) -> Pair:
    if isinstance(item, dict):
        if "text" not in item:
            raise ValueError("unreadable choices")
        label = item.get("label")
        return {"label": None if label is None else str(label), "text": _text(item["text"])}
    return {"label": None, "text": _text(item)}


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        raise ValueError("unreadable choices")
    return "" if value is None else str(value)


def _spelt(text: str) -> Any:
    """A list spelt as JSON, as Python or as lines."""
    for read in (orjson.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    lines = text.strip().splitlines()
    if len(lines) < 2:  # a list whose commas were lost, as NumPy prints it
        raise ValueError("unreadable choices")
    return lines


def _lettered(texts: Sequence[str]) -> list[Pair]:
    return [{"label": LETTERS[i], "text": text} for i, text in enumerate(texts)]
