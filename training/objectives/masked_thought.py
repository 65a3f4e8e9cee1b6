"""Masked thought: part of the trace is hidden in the input while all of it is still asked for."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from training.objectives.base import Objective, Progress, Student


class MaskedThought(Objective):
    """Replaces input tokens of the completion at random; labels stay as they are, prompts untouched.

    Source: Chen et al. 2024, arXiv:2403.02178. For GSM8K it replaces up to 40 % of the tokens by random ones.
    """

    name: ClassVar[str] = "masked_thought"
    rate: float = Field(0.4, ge=0, le=1)
    """Chance of each input token to be replaced, once the ramp is over."""
    ramp: float = Field(2 / 3, ge=0, le=1)
    """The rate grows from 0 to `rate` over this share of the optimiser steps. 0: it is full from the start."""
    replace: str = "random"
    """`random`: by any ordinary token; else by this token of the student's vocabulary."""

    def rate_at(self, at: Progress) -> float:
        """The chance at this step."""
        return self.rate * (min(1.0, at.step / (self.ramp * at.steps)) if self.ramp and at.steps else 1.0)

    def batch(self, inputs: dict[str, Any], at: Progress, student: Student) -> dict[str, Any]:
        """Corrupt `input_ids` where `labels` count."""
        import torch

        ids, labels = inputs["input_ids"], inputs["labels"]
        if not (rate := self.rate_at(at)):
            return inputs
        draw = torch.Generator().manual_seed(at.randomness())
        hit = (torch.rand(ids.shape, generator=draw) < rate).to(ids.device) & (labels != -100)
        return {**inputs, "input_ids": torch.where(hit, self._replacement(ids, draw, student), ids)}

    def _replacement(self, ids: Any, draw: Any, student: Student) -> Any:
        import torch

        if self.replace == "random":
            vocabulary = torch.tensor(student.vocabulary)
            return vocabulary[torch.randint(len(vocabulary), ids.shape, generator=draw)].to(ids.device)
        found = student.tokenizer.get_vocab().get(self.replace)
        if found is None:
            from builders.errors import CotmillError

            raise CotmillError(
                f"train.objective.masked_thought.replace: the student has no token {self.replace!r}; say `random`"
            )
        return torch.full_like(ids, found)
