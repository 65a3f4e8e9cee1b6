"""A trace taken apart for conversion: what is thought, what is said, and the ending with the answer line.

Cutting is done for whole columns (`curation.text.steps.cut`); what is built of the pieces is plain Python, a row at a
time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from curation.text.steps import cut
from curation.verification.extract import MARKER

ANSWER: Final = re.compile(MARKER)
LABEL: Final = re.compile(
    r"\s*(?:[-*•–]\s+|\(?[0-9]{1,3}[.)](?=\s|[A-Z])\s*"
    r"|(?i:step|question|q|part|sub-?(?:question|problem|task)) ?[0-9]{1,3} ?[.:)]\s*)"
)
"""A bullet or a list number; not part of what a step says."""
LABELS: Final = r"^\s*(?:<think>)?" + LABEL.pattern.replace(r"(?=\s|[A-Z])", r"(\s|[A-Z])")
"""The same for Polars, which cannot look ahead: what group 1 holds is no part of it."""


class NoChild(Exception):
    """A trace cannot be converted; the message is the reason that is counted."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a trace. Steps keep the white space behind them."""

    thought: tuple[str, ...] | None
    """Steps inside `<think>`; None: there is no such block."""
    said: tuple[str, ...]
    """Steps before the answer line."""
    ending: tuple[str, ...]
    """From the last answer line on; without one, the last step. Empty: the trace ends in its thought."""
    answered: bool
    """Whether `ending` begins with an answer line."""

    def blocks(self) -> list[tuple[str, ...]]:
        """Runs of steps that conversions may change."""
        return [self.thought or (), self.said]

    def count(self) -> int:
        """Steps, the answer line not among them."""
        return len(self.thought or ()) + len(self.said) + len(self.ending) - self.answered

    def having(self, thought: tuple[str, ...], said: tuple[str, ...]) -> Anatomy:
        """The same ending behind other steps."""
        return replace(self, thought=None if self.thought is None else thought, said=said)

    def write(self) -> str:
        """The trace as text."""
        after = _joined((*self.said, *self.ending)).strip()
        if self.thought is None:
            return after
        return f"<think>\n{_joined(self.thought).strip()}\n</think>\n\n{after}".rstrip()


def _joined(steps: tuple[str, ...]) -> str:
    """Steps side by side; those that were glued together get a blank between them."""
    return "".join(step if not step or step[-1].isspace() else f"{step} " for step in steps)


def source_text() -> pl.Expr:
    """The whole text of a trace; reasoning that an engine set apart stands in `<think>` again.

    Null where there is neither response nor answer. Reads the columns response, reasoning, answer.
    """
    response, reasoning, answer = pl.col("response"), pl.col("reasoning"), pl.col("answer")
    apart = reasoning.is_not_null() & (response.is_null() | (response == answer))
    joined = pl.concat_str(
        pl.lit("<think>\n"), reasoning, pl.lit("\n</think>\n\n"), answer.fill_null(""), ignore_nulls=False
    )
    return pl.when(apart).then(joined).otherwise(pl.coalesce(response, answer))


def dissect(texts: pl.Series) -> list[Anatomy | None]:
    """The parts of each trace; None for null and for nothing but white space."""
    pieces = texts.str.extract_groups(r"(?s)^\s*(?:<think>)?(.*)</think>(.*)$").struct.unnest()
    thought = pl.select(pieces["1"].str.strip_chars()).to_series()
    after = pl.select(pl.coalesce(pieces["2"], texts)).to_series()
    columns = texts.to_list(), cut(thought).to_list(), cut(after).to_list()
    return [_anatomy(*row) for row in zip(*columns, strict=True)]


def _anatomy(text: str | None, thought: list[str] | None, after: list[str] | None) -> Anatomy | None:
    if text is None or not text.strip():
        return None
    steps = [step for step in after or [] if step.strip()]
    place = next((i for i in range(len(steps) - 1, -1, -1) if ANSWER.match(steps[i])), None)
    answered = place is not None
    if place is None:
        place = max(0, len(steps) - 1)
    inner = None if thought is None else tuple(step for step in thought if step.strip())
    return Anatomy(inner, tuple(steps[:place]), tuple(steps[place:]), answered)


def sizes(texts: pl.Series) -> pl.DataFrame:
    """Columns steps and words: Int32 [traces]. The answer line counts among the words and not among the steps.

    This is how the bands of levels and formats are meant; null for null.
    """
    steps = cut(texts)
    answered = steps.list.eval(pl.element().str.contains(MARKER)).list.any()
    counted = pl.DataFrame({"text": texts, "steps": steps, "answered": answered})
    return counted.select(
        pl.when(pl.col("text").str.contains(r"\S"))
        .then(pl.col("steps").list.len().cast(pl.Int32) - pl.col("answered").cast(pl.Int32))
        .when(pl.col("text").is_not_null())
        .then(0)
        .alias("steps"),
        pl.col("text").str.count_matches(r"\S+").cast(pl.Int32).alias("words"),
    )


def unlabelled(step: str) -> str:
    """A step without bullet or list number, and without white space around it."""
    return LABEL.sub("", step, count=1).strip() if LABEL.match(step) else step.strip()
