"""Control: traces as long as finer ones, with nothing more in them. Is it the content or the length?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from curation.text.steps import segment
from training.objectives.base import Objective, Student
from training.tokens import Tokens


class Padding(Objective):
    """Filler before the last step of a trace, until the completion is as long as asked for.

    arXiv:2502.18001 pads level 1 to the length of a finer level; with what, and whether it carries loss, is
    not known. Here filler is learnt as the rest is, so that the student's own answers have the length too.
    """

    name: ClassVar[str] = "padding"
    tokens: int | None = Field(None, ge=1)
    """Completions have at least so many tokens ..."""
    times: float | None = Field(None, ge=1)
    """... or so many times their own."""
    filler: str = " ..."
    """What is written over and over."""
    trained: bool = True
    """Whether filler counts in the loss."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.tokens is None) == (self.times is None):
            raise ValueError("say how long completions are to be: either tokens or times")
        if not self.filler:
            raise ValueError("filler is empty")
        return self

    def rows(self, row: Mapping[str, Any], student: Student) -> list[Tokens] | str:
        """The row with filler before its last step."""
        plain = student.tokens(row["prompt"], row["completion"])
        if isinstance(plain, str):
            return plain
        own = sum(plain.completion_mask)
        wanted = self.tokens or round(own * (self.times or 1))
        filler = student.encode(self.filler)
        count = max(0, -(-(wanted - own) // len(filler)))
        place = self._last_step(plain, row["completion"][-1]["content"], student)
        ids, mask = plain.input_ids, plain.completion_mask
        return [
            Tokens(
                [*ids[:place], *filler * count, *ids[place:]],
                [*mask[:place], *[int(self.trained)] * len(filler) * count, *mask[place:]],
            )
        ]

    def _last_step(self, row: Tokens, said: str, student: Student) -> int:
        """Index of the token that begins the last step."""
        left, place = len(segment(said)[-1].strip()), len(row.input_ids)
        start = row.completion_mask.index(1)
        while place > start and left > 0:
            place -= 1
            left -= len(student.tokenizer.decode([row.input_ids[place]], skip_special_tokens=True))
        return place
