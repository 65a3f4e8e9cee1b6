"""Rows that count more and rows that count less."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from builders.errors import CotmillError
from training.objectives.base import Objective, Student
from training.tokens import Tokens

if TYPE_CHECKING:
    import torch


class Weighted(Objective):
    """The loss of a row's tokens, times the row's column `weight`.

    Weights are divided by their mean over all trained tokens, so that their scale is not a learning rate:
    equal weights are plain fine-tuning.
    """

    name: ClassVar[str] = "weighted"
    reads: ClassVar[tuple[str, ...]] = ("prompt", "completion", "weight")
    weighs: ClassVar[bool] = True

    def rows(self, row: Mapping[str, Any], student: Student) -> list[Tokens] | str:
        """The plain row with its weight."""
        weight = row["weight"]
        if weight is None or not math.isfinite(weight):
            return "unweighted"
        if weight < 0:
            raise CotmillError(f"the column `weight` holds {weight}; a row cannot count less than not at all (0)")
        made = super().rows(row, student)
        return made if isinstance(made, str) else [dataclasses.replace(t, weight=float(weight)) for t in made]

    def settle(self, rows: list[Tokens]) -> list[Tokens]:
        """Weights with mean 1 over the trained tokens."""
        tokens = [sum(row.completion_mask) for row in rows]
        whole = sum(n * row.weight for n, row in zip(tokens, rows, strict=True))
        if rows and not whole:
            raise CotmillError("every weight in the column `weight` is 0: there is nothing to learn")
        return [dataclasses.replace(row, weight=row.weight * sum(tokens) / whole) for row in rows]

    def score(self, log_probs: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Each token by the weight of its row."""
        return log_probs if weights is None else log_probs * weights
