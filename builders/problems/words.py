"""One-step word problems out of templates: no download, any count, gold known.

Not a benchmark: the sentences are plain on purpose, so that a very small model solves some of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import polars as pl

from builders.config import Config, WordsSource
from builders.problems.dice import Dice
from builders.problems.table import RAW, Loaded, finish
from builders.yaml import read_yaml

ATTEMPTS = 200
"""Draws in search of a new question before a repeated one is let through, to be counted as a duplicate."""


class Parts(Config):
    """What is in `words.yaml`."""

    names: list[str]
    """People."""
    things: list[str]
    """What is counted; the plural adds an s."""
    places: list[tuple[str, str]]
    """Containers, singular and plural."""
    templates: dict[str, list[str]]
    """Questions by operation, with the fields {a} {b} {name} {other} {thing} {things} {place} {places}."""


@cache
def _parts() -> Parts:
    return Parts.model_validate(read_yaml(files("builders.problems").joinpath("words.yaml").read_text("utf-8")))


def load_words(source: WordsSource) -> Loaded:
    """Problems made from (seed, operation, index) alone: a larger count keeps the first ones."""
    rows = list(_rows(source))
    raw = pl.DataFrame(
        {
            "question": [question for question, _, _ in rows],
            "gold": [str(gold) for _, gold, _ in rows],
            "source": "words",
            "meta": [json.dumps({"operation": operation}) for _, _, operation in rows],
        }
    )
    missing = [pl.lit(None, RAW[name]).alias(name) for name in ("choices", "letter")]
    return finish(raw.with_columns(missing).select(RAW.names()), split=source.split, answer_type="number")


def _rows(source: WordsSource) -> Iterator[tuple[str, int, str]]:
    """Question, gold and operation; the operations take turns."""
    seen: set[str] = set()
    for index in range(source.count):
        operation = source.operations[index % len(source.operations)]
        for attempt in range(ATTEMPTS):
            dice = Dice(source.seed, operation, index, attempt)
            question, gold = _problem(operation, dice, source.largest)
            if question not in seen:
                break
        seen.add(question)
        yield question, gold, operation


def _problem(operation: str, dice: Dice, largest: int) -> tuple[str, int]:
    a, b, gold = _numbers(operation, dice, largest)
    parts = _parts()
    thing, (place, places) = dice.pick(parts.things), dice.pick(parts.places)
    name, other = dice.pick(parts.names), dice.pick(parts.names[1:])
    question = dice.pick(parts.templates[operation]).format(
        a=a,
        b=b,
        name=name,
        other=other if other != name else parts.names[0],
        thing=thing,
        things=thing + "s",
        place=place,
        places=places,
    )
    return question, gold


def _numbers(operation: str, dice: Dice, largest: int) -> tuple[int, int, int]:
    """Two numbers from 2 to `largest` and the result, a whole number above 0."""
    if operation == "divide":
        divisor = dice.between(2, largest // 2)
        result = dice.between(2, largest // divisor)
        return divisor * result, divisor, result
    if operation == "subtract":
        more = dice.between(3, largest)
        less = dice.between(2, more - 1)
        return more, less, more - less
    a, b = dice.between(2, largest), dice.between(2, largest)
    return a, b, a + b if operation == "add" else a * b
