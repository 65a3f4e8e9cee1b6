"""TRL's GKDTrainer: the student follows a local teacher's distribution over the next token.

On the dataset's own traces, or in part (`sft.lmbda`) on what the student says itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from builders.errors import CotmillError
from builders.teachers.smollm2 import resolve_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.config import TrainConfig
    from training.objectives.distill import Distill
    from training.rows import Prepared
    from training.tokens import Tokens


def make(
    prepared: Prepared, tokenizer: PreTrainedTokenizerBase, config: TrainConfig, said: dict[str, Any], shared: Any
) -> Any:
    """A GKDTrainer with its teacher.

    Args:
        prepared: rows to train on.
        tokenizer: the student's.
        config: the recipe's `train` section; its objective is `distill`.
        said: fields of GKDConfig.
        shared: further arguments of every trainer.

    Raises:
        CotmillError: the teacher does not load, or has another vocabulary.
    """
    from datasets import Dataset
    from trl.experimental.gkd import GKDConfig, GKDTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    objective: Distill = config.goal  # type: ignore[assignment]  # whose trainer this is
    rows = prepared.rows
    data = Dataset.from_dict({"input_ids": [row.input_ids for row in rows], "labels": [_labels(row) for row in rows]})
    init = said.pop("teacher_model_init_kwargs", None) or {}
    args = GKDConfig(**{"lmbda": 0.0, "beta": 0.0, "temperature": 1.0, **said})
    teacher = load_teacher(objective, tokenizer, init, cpu=args.use_cpu)
    pad = tokenizer.pad_token_id
    collate = with_prompts(DataCollatorForLanguageModeling(pad_token_id=pad), pad)
    return GKDTrainer(teacher_model=teacher, args=args, train_dataset=data, data_collator=collate, **shared)


def load_teacher(objective: Distill, tokenizer: PreTrainedTokenizerBase, init: dict[str, Any], *, cpu: bool) -> Any:
    """The teacher's model, once its vocabulary is known to be the student's.

    Raises:
        CotmillError: there is no such model, or its tokens are others.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = resolve_model(objective.teacher)
    said = {"revision": objective.revision, **init}
    try:
        theirs = AutoTokenizer.from_pretrained(where, revision=objective.revision).get_vocab()
        if theirs != tokenizer.get_vocab():
            shared = len(theirs.items() & tokenizer.get_vocab().items())
            raise CotmillError(
                f"train.objective.distill.teacher: {objective.teacher} has another vocabulary than the student"
                f" ({shared:,} of {len(theirs):,} tokens are the same), so their distributions cannot be compared.\n"
                "Choose a teacher of the student's family, or learn from its traces: objective: sft"
            )
        return AutoModelForCausalLM.from_pretrained(where, **{"dtype": torch.float32 if cpu else "auto", **said})
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CotmillError(f"train.objective.distill.teacher: {objective.teacher} does not load: {first}") from error


def with_prompts(collate: Any, pad: int) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """A collator that also gives the prompts alone, padded on the left: int64 [rows, tokens].

    The student goes on from them where it is taught on its own words.
    """

    def collated(examples: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        heads = [example["input_ids"][: _start(example["labels"])] for example in examples]
        most = max(map(len, heads))
        batch: dict[str, Any] = collate(examples)
        batch["prompts"] = torch.tensor([[pad] * (most - len(head)) + head for head in heads])
        batch["prompt_attention_mask"] = torch.tensor([[0] * (most - len(h)) + [1] * len(h) for h in heads])
        return batch

    return collated


def _labels(row: Tokens) -> list[int]:
    return [i if m else -100 for i, m in zip(row.input_ids, row.completion_mask, strict=True)]


def _start(labels: list[int]) -> int:
    return next(i for i, label in enumerate(labels) if label != -100)
