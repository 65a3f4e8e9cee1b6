"""Direct preference optimisation, on the preference pairs of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from training.objectives.base import Objective, Student
from training.tokens import Tokens


class Dpo(Objective):
    """TRL's DPOTrainer (Rafailov et al. 2023, arXiv:2305.18290); its fields are in `train.dpo`."""

    name: ClassVar[str] = "dpo"
    trainer: ClassVar[Literal["sft", "dpo", "distill"]] = "dpo"
    config: ClassVar[str | None] = "pairs"
    reads: ClassVar[tuple[str, ...]] = ("prompt", "chosen", "rejected")

    def rows(self, row: Mapping[str, Any], student: Student) -> list[Tokens] | str:
        """Chosen and rejected, each after the same prompt."""
        made = []
        for side in ("chosen", "rejected"):
            tokens = student.tokens(row["prompt"], row[side])
            if isinstance(tokens, str):
                return tokens
            made.append(tokens)
        return made
