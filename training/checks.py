"""What would teach a student something else than its dataset says, found before any step is made.

The faults of single rows are found while they are tokenised (`training.rows`). Here they become one message
each, together with what only the whole shows: another prompt than in evaluation, ids that the model has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.errors import CotmillError
from builders.teachers.templates import template_of
from training.rows import FAULTS, Prepared, explain
from training.tokens import encode, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.config import EvaluateConfig, TrainConfig
    from training.student import Limits

MEND: dict[str, str] = {
    "refused": "Choose another: train.chat_template",
    "reasoning": "Templates of reasoning models do so with earlier turns, and some with every turn. Train under one"
    " that keeps it (train.chat_template), or without reasoning: curate.completion: answer",
    "think": "Train under a template that writes the turn as it is, with a tokenizer for which <think> is no special"
    " token",
    "changed": "Choose another: train.chat_template",
    "tokenizer": "Text it does not know, letters it changes, or a special token written in the trace. Choose another"
    " student, or leave such rows out",
    "truncated": "Such a trace has no end to learn. Leave it out in curation: keep: status = 'ok'",
    "masked": "Look at its objective and its completion",
    "end": "Name a token of the student that ends an answer: train.sft.eos_token",
}


def faults(dataset: Path | str, config: TrainConfig, prepared: Prepared) -> list[str]:
    """One message for each kind of fault that `train.allow` does not waive."""
    found = []
    for why in FAULTS:
        count = prepared.left_out.get(why, 0)
        if not count or why in config.allow:
            continue
        first = prepared.examples[why] + 1
        found.append(
            f"{dataset}: row {first} cannot be trained on, as {FAULTS[why]} ({count} of"
            f" {prepared.sources + sum(prepared.left_out.values())} rows).\n{MEND[why]}; or leave such rows out:"
            f" train.allow: [{why}]"
        )
    return found


def check(dataset: Path | str, config: TrainConfig, prepared: Prepared, limits: Limits) -> None:
    """Raise for the first fault, or where nothing is left to train on.

    Raises:
        CotmillError: with the reason for every row.
    """
    if prepared.rows or set(prepared.left_out) & set(FAULTS):
        for message in faults(dataset, config, prepared):
            raise CotmillError(f"{message}\nNothing was trained. See the rows: cotmill train {dataset} --preview")
    if not prepared.rows:
        reasons = explain(prepared) or [f"the split {config.split} holds no rows"]
        lines = "\n".join(f"  {line}" for line in reasons)
        raise CotmillError(
            f"{dataset} holds nothing to train on:\n{lines}\nNothing was trained. Look at it:"
            f" cotmill sql {dataset} 'select prompt, completion from kept limit 3'"
        )
    most = max(max(row.input_ids) for row in prepared.rows)
    if most >= limits.vocabulary:
        raise CotmillError(
            f"train.student: the tokenizer of {config.student} gives token {most}, and the model knows"
            f" {limits.vocabulary}: they do not belong together, or tokens were added to the one alone"
        )


def check_prompt(
    rows: Iterable[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    evaluation: EvaluateConfig | None,
) -> None:
    """Raise where a row's prompt is not what evaluation would send for its question.

    Args:
        rows: those with a `question` are looked at.
        tokenizer: with the chat template to train under.
        config: the recipe's `train` section.
        evaluation: its `evaluate` section; None: nothing to compare with.

    Raises:
        CotmillError: with both prompts.
    """
    if evaluation is None or "prompt" in config.allow:
        return
    from training.evaluate import messages

    other = template_of(tokenizer, evaluation.chat_template) if evaluation.chat_template else tokenizer.chat_template
    for number, row in enumerate(rows):
        if row.get("question") is None or not row.get("prompt"):
            continue
        trained = [{"role": turn["role"], "content": turn["content"]} for turn in row["prompt"]]
        asked = [dict(turn) for turn in messages(evaluation, row["question"], row.get("choices"))]
        if trained == asked and other == tokenizer.chat_template:
            continue
        ours, theirs = render(tokenizer, trained, ask=True), _rendered(tokenizer, other, asked)
        if encode(tokenizer, ours) != encode(tokenizer, theirs):
            raise CotmillError(
                f"row {number + 1}: {FAULTS['prompt']}.\n  trained on:     {ours!r}\n  evaluated with: {theirs!r}\n"
                "Make them one: curate.prompt and train.chat_template say the first, evaluate.system, evaluate.template"
                " and evaluate.chat_template the second. Or waive it: train.allow: [prompt]"
            )
        if number >= SEEN:
            return


SEEN = 1000
"""Rows whose prompts are compared: all are made by one rule."""


def _rendered(tokenizer: PreTrainedTokenizerBase, template: Any, turns: list[dict[str, str]]) -> str:
    return str(
        tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, chat_template=str(template))
    )
