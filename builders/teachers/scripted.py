"""A teacher that says what it is told: for tests, dry runs and measuring everything but a model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Self

from builders import config
from builders.joint import write_answer
from builders.teachers import Completion, Request


class ScriptedTeacher:
    """Answers at once, the same for the same request.

    Without `responses` it makes up a short trace that ends in the right answer with probability
    `accuracy` and in a wrong one otherwise; it is the one teacher that is shown the gold answer.
    """

    def __init__(self, settings: config.ScriptedTeacher) -> None:
        self.config = settings
        self.name = settings.name or "scripted"
        self.window = 256
        self.engine = "scripted"

    @property
    def identity(self) -> Mapping[str, Any]:
        """What it was told."""
        return {"kind": "scripted", "accuracy": self.config.accuracy, "responses": self.config.responses}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def sample(self, request: Request) -> Completion:
        """Say the next line of the script."""
        if self.config.delay:
            await asyncio.sleep(self.config.delay)
        text = self._text(request)
        return Completion(
            text,
            finish_reason="stop",
            prompt_tokens=sum(len(m["content"].split()) for m in request.messages),
            completion_tokens=len(text.split()),
        )

    def _text(self, request: Request) -> str:
        question, gold = request.messages[-1]["content"], request.gold or "unknown"
        if self.config.responses:
            line = self.config.responses[request.sample_index % len(self.config.responses)]
            return line.replace("{question}", question).replace("{gold}", gold)
        dice = random.Random(request.seed)
        if request.keys:
            return write_answer({key: self._trace(dice, question, gold) for key in request.keys})
        return self._trace(dice, question, gold)

    def _trace(self, dice: random.Random, question: str, gold: str) -> str:
        right = dice.random() < self.config.accuracy
        answer = gold if right else f"{gold}{dice.randint(1, 9)}"  # 12 becomes 127: wrong, and still a number
        return f"Let us look at it: {question[-80:]}\nStep {dice.randint(1, 99)} leads there. The answer is {answer}."
