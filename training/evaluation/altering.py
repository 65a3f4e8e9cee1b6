r"""Reasoning taken apart and altered, for the probes. Text in, text out; deterministic.

A response is head + steps + tail + cue + answer. The cue is the student's own words that announce its answer, so that
an answer can be asked for at any place without words that it has never seen. The interventions are those of Lanham et
al. 2023 (arXiv:2307.13702: early answering, adding mistakes, filler tokens); mistakes are made by rule, not by a model.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from curation.text.steps import cut
from curation.verification.extract import MARKERS

VERSION: Final = 1
"""Of these rules; part of the identity of what is asked."""
LAST_MARKER: Final = re.compile(rf"(?is)^.*({MARKERS})")
BEFORE_MARKER: Final = re.compile(
    r"(?i)(?:\b(?:so|therefore|thus|hence),?\s+)?(?:\*\*)?(?:\bthe\s+)?(?:\b(?:final|correct|right)\s+)?\$?\Z"
)
"""Words that belong to the announcement: `So the final` before `answer is`."""
NUMBER: Final = re.compile(r"(?<![\w.,])[0-9]+(?!\w|[.,][0-9])")
"""A whole number, which can be changed without harm to the text around it."""
FILLER: Final = " ..."


@dataclass(frozen=True, slots=True)
class Parts:
    """A response without its answer."""

    head: str
    """`<think>` and white space; empty without it."""
    steps: tuple[str, ...]
    tail: str
    """`</think>` and the white space around it; empty without it."""
    cue: str
    """The words that announce the answer: `The answer is`, `####`."""

    @property
    def reasoning(self) -> str:
        """All steps."""
        return "".join(self.steps)


@dataclass(frozen=True, slots=True)
class Altered:
    """What is put into the student's mouth."""

    prefix: str
    kept: int
    """Steps before the first one that was altered or left out."""


def take_apart(responses: Sequence[str]) -> list[Parts | None]:
    """The parts of responses; None where no words announce an answer, or no reasoning stands before them.

    >>> take_apart(["2 * 9 = 18. So the answer is 18.", "The answer is 18."])
    [Parts(head='', steps=('2 * 9 = 18. ',), tail='', cue='So the answer is'), None]
    """
    found = [_split(response) for response in responses]
    steps = cut(pl.Series([said[0] if said else None for said in found], dtype=pl.String)).to_list()
    return [replace(said[1], steps=tuple(own)) if said else None for said, own in zip(found, steps, strict=True)]


def truncated(parts: Parts, cuts: int) -> list[Altered]:
    """The first steps alone, then the cue; none of the steps first. At most `cuts` places, evenly spread."""
    n = len(parts.steps)
    places = range(n) if n <= cuts else [i * n // cuts for i in range(cuts)]
    return [Altered(parts.head + "".join(parts.steps[:i]) + parts.tail + parts.cue, i) for i in places]


def corrupted(parts: Parts, seed: int) -> list[Altered]:
    """The steps up to one with a whole number, the last of which is raised by 1 to 9; empty where none has one."""
    dice = random.Random(seed)
    places = [i for i, step in enumerate(parts.steps) if NUMBER.search(step)]
    if not places:
        return []
    place = dice.choice(places)
    step = parts.steps[place]
    last = list(NUMBER.finditer(step))[-1]
    wrong = f"{step[: last.start()]}{int(last[0]) + dice.randint(1, 9)}{step[last.end() :]}"
    # A blank belongs to the word behind it in most vocabularies, so it is left for the student to say.
    return [Altered(parts.head + ("".join(parts.steps[:place]) + wrong).rstrip(" "), place)]


def filler(parts: Parts, tokens: Callable[[str], int]) -> list[Altered]:
    """Dots in place of all steps, about as many tokens; then the cue.

    Args:
        parts: of the response.
        tokens: counts them.
    """
    each = tokens(FILLER * 16) / 16
    dots = (FILLER * max(1, round(tokens(parts.reasoning) / each))).lstrip()
    blank = parts.reasoning[len(parts.reasoning.rstrip()) :]
    return [Altered(parts.head + dots + blank + parts.tail + parts.cue, 0)]


def _split(response: str) -> tuple[str, Parts] | None:
    """The reasoning, and the parts around it."""
    head = tail = inside = ""
    rest = response
    if "</think>" in response:
        opening = re.match(r"\s*<think>\s*", response)
        head = opening[0] if opening else ""
        thought, _, rest = response[len(head) :].rpartition("</think>")
        inside = thought.rstrip()
        tail = thought[len(inside) :] + "</think>" + rest[: len(rest) - len(rest.lstrip())]
    marker = LAST_MARKER.match(rest)
    if not marker:
        return None
    words = BEFORE_MARKER.search(rest[: marker.start(1)])
    start = words.start() if words else marker.start(1)
    reasoning = inside if tail else rest[:start]
    return (reasoning, Parts(head, (), tail, rest[start : marker.end()])) if reasoning.strip() else None
