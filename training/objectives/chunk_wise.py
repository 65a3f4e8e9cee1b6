"""Chunk-wise training: one coherent part of the trace carries the loss at a time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import Field

from curation.text.steps import segment
from training.objectives.base import Objective, Student
from training.tokens import Tokens, decode


class ChunkWise(Objective):
    """A row of `chunks` parts becomes as many rows: question and the parts before, loss on one part.

    Chunks have equal numbers of steps, as near as they can (the average chunker); steps are those of
    `curation.text.steps`. The masks of a trace's rows together are that of plain fine-tuning, once over.

    Source: Skip-Thinking, arXiv:2505.18642; its search for better borders and its skipping are not here.
    """

    name: ClassVar[str] = "chunk_wise"
    chunks: int = Field(3, ge=1)
    """At most so many; a trace of fewer steps has as many as it has steps."""

    def rows(self, row: Mapping[str, Any], student: Student) -> list[Tokens] | str:
        """One row per chunk, in order."""
        whole = student.tokens(row["prompt"], row["completion"])
        if isinstance(whole, str):
            return whole
        start = whole.completion_mask.index(1)
        said = whole.input_ids[start:]
        borders = [start, *(start + n for n in self._borders(said, student)), len(whole.input_ids)]
        return [
            Tokens(whole.input_ids[:end], [0] * begin + [1] * (end - begin))
            for begin, end in pairwise(borders)
            if end > begin
        ]

    def _borders(self, said: list[int], student: Student) -> list[int]:
        """Numbers of tokens before each chunk but the first."""
        steps = segment(decode(student.tokenizer, said))
        count = min(self.chunks, len(steps))
        ends = [sum(len(step) for step in steps[: len(steps) * k // count]) for k in range(1, count)]
        borders, length, place = [], 0, 0
        for number, token in enumerate(said):
            while place < len(ends) and length >= ends[place]:
                borders.append(number)
                place += 1
            length += len(decode(student.tokenizer, [token]))
        return borders
