"""Plain supervised fine-tuning: the completion, token by token."""

from __future__ import annotations

from typing import ClassVar

from training.objectives.base import Objective


class Sft(Objective):
    """Loss on every token of the completion and on the one that ends it."""

    name: ClassVar[str] = "sft"
