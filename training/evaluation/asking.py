"""Asking a student every problem: the prompt, the ids of its answers, and a corpus that holds them.

Answers are traces like any other: sampled, journaled and resumed by `builders`. Their ids hash model, prompt, sampling
and problem, so what was asked once is not asked again, and more problems or samples cost only themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from builders.config import VllmTeacher as TeacherSettings
from builders.corpus import Corpus
from builders.errors import TeacherError
from builders.feed import Item
from builders.identity import arm_id, trace_id
from builders.plan import Arm, sampling_of
from builders.prompts import Prompt, render_question
from builders.teachers import Message, Teacher
from curation.value.judge import ask_all
from training.config import EvaluateConfig


@dataclass(frozen=True, slots=True)
class EvaluationPrompt(Prompt):
    """The user turn around a question: the one that training rows have, unless the recipe says more."""

    template: str = "{question}"

    def identity(self) -> Mapping[str, Any]:
        """All of the prompt that is not the problem."""
        return {"head": [list(turn) for turn in self.head], "template": self.template}

    def messages(self, question: str, choices: Sequence[str] | None = None, gold: str | None = None) -> list[Message]:
        """What a student is asked; `gold` is never shown."""
        del gold
        text = self.template.replace("{question}", render_question(question, choices))
        return [*({"role": role, "content": said} for role, said in self.head), {"role": "user", "content": text}]


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking took, this time."""

    requests: int
    """Answered now; the others were there."""
    seconds: float
    """From the first question to the last answer, without starting the engine."""
    start_seconds: float
    """Everything else: starting and stopping the engine, mostly."""


def messages(config: EvaluateConfig, question: str, choices: Sequence[str] | None = None) -> list[Message]:
    """What a student is asked; with the default settings, the prompt of a training row."""
    return prompt_of(config).messages(question, choices)


def prompt_of(config: EvaluateConfig) -> EvaluationPrompt:
    """The prompt that the settings describe."""
    head = (("system", config.system),) if config.system else ()
    return EvaluationPrompt(None, "evaluation", "", head, template=config.template)


def settings_of(model: str, config: EvaluateConfig) -> TeacherSettings:
    """The settings as a teacher of a recipe has them."""
    own = {"chat_template", "revision", "temperature", "top_p", "max_tokens", "engine", "window"}
    return TeacherSettings.model_validate({"kind": "vllm", "model": model, **config.model_dump(include=own)})


def arm_of(teacher: Teacher, config: EvaluateConfig, prompt: Prompt | None = None) -> Arm:
    """One way of asking this student."""
    prompt, settings = prompt or prompt_of(config), settings_of("student", config)
    params = sampling_of(settings)
    key = arm_id(teacher.identity, prompt.identity(), params, config.seed)
    columns = {
        "arm_id": key,
        "teacher": teacher.name,
        "format": prompt.format,
        "params": orjson.dumps(params).decode(),
        "gold_shown": False,
    }
    return Arm(key, teacher, settings, prompt, config.seed, columns)


def ask(corpus: Corpus, arm: Arm, problems: pl.DataFrame, n: int) -> Asked:
    """Ask `n` answers to every problem; those that the corpus holds are not asked again.

    Raises:
        KeyboardInterrupt: interrupted; answers are saved, and the same call goes on.
        TeacherError: the model is gone, or requests stay without an answer; likewise.
    """
    corpus.add_problems(problems)

    def items(held: frozenset[str]) -> Iterator[Item]:
        for problem in problems.iter_rows(named=True):
            for i in range(n):
                if (key := trace_id(problem["problem_id"], arm.arm_id, i)) not in held:
                    yield Item(key, problem, arm, i)

    return run(corpus, arm.teacher, [arm], items)


def run(corpus: Corpus, teacher: Teacher, arms: Sequence[Arm], items: Any) -> Asked:
    """Ask `items` (see `curation.value.judge.ask_all`) to the end.

    Raises:
        KeyboardInterrupt, TeacherError: see `ask`.
    """
    corpus.add_arms({arm.arm_id: arm.describe() for arm in arms})
    began = time.monotonic()
    progress = ask_all(corpus, teacher, items)
    if progress.unanswered:
        raise TeacherError(
            f"{progress.unanswered:,} requests got no answer ({progress.first_unanswered}), so there are no figures.\n"
            f"The other answers are kept in {corpus.path}; the same command asks what is missing."
        )
    return Asked(progress.done, progress.seconds, max(0.0, time.monotonic() - began - progress.seconds))
