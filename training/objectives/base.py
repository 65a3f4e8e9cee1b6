# ruff: noqa: ARG002 (a hook that changes nothing)
"""The one interface of all objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from builders.config import Config
from builders.identity import digest
from training.tokens import Tokens, Turns, tokenise

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class Student:
    """What an objective sees of a student before training."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def tokens(self, prompt: Turns | None, completion: Turns | None) -> Tokens | str:
        """One row as plain fine-tuning has it, or why it is none (a key of `training.rows.REASONS`)."""
        return tokenise(prompt, completion, self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    @cached_property
    def vocabulary(self) -> list[int]:
        """Ids of all ordinary tokens, in order."""
        special = set(self.tokenizer.all_special_ids)
        return [i for i in range(len(self.tokenizer)) if i not in special]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands when a batch goes in."""

    step: int
    """Optimiser steps done."""
    steps: int
    """Optimiser steps in all."""
    part: int
    """Number of this batch among those of one optimiser step (gradient accumulation)."""
    process: int
    """Number of this process among those that train together."""
    seed: int
    """`train.seed`."""

    def randomness(self) -> int:
        """A seed for this batch alone, the same when a killed run goes on."""
        return int(digest([self.seed, self.step, self.part, self.process])[:15], 16)


class Objective(Config):
    """What of a row is learnt, and how. Fields are its parameters in a recipe."""

    name: ClassVar[str]
    trainer: ClassVar[Literal["sft", "dpo", "distill"]] = "sft"
    """Which of TRL's trainers: SFTTrainer, DPOTrainer or GKDTrainer."""
    config: ClassVar[str | None] = None
    """Configuration of the dataset that it learns from; None: all but `pairs`."""
    reads: ClassVar[tuple[str, ...]] = ("prompt", "completion")
    """Columns of the dataset that must be there."""
    weighs: ClassVar[bool] = False
    """Whether rows carry a weight, which `score` gets."""

    def rows(self, row: Mapping[str, Any], student: Student) -> list[Tokens] | str:
        """The training rows made of one row of the dataset, or why there is none (training.rows.REASONS)."""
        made = student.tokens(row["prompt"], row["completion"])
        return made if isinstance(made, str) else [made]

    def settle(self, rows: list[Tokens]) -> list[Tokens]:
        """All training rows, once they are known."""
        return rows

    def batch(self, inputs: dict[str, Any], at: Progress, student: Student) -> dict[str, Any]:
        """A batch before the forward pass: `input_ids` and `labels`, int64 [rows, tokens], labels -100 without loss.

        Called in training only, never in an evaluation.
        """
        return inputs

    def score(self, log_probs: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Log-probability of each next token, float [rows, tokens - 1], 0 where no loss is; the loss is minus its sum
        over the number of tokens that count. `weights` has the same shape and is there if `weighs`.
        """
        return log_probs

    @classmethod
    def changes(cls, hook: str) -> bool:
        """Whether this objective has a hook of its own."""
        return getattr(cls, hook) is not getattr(Objective, hook)
