# ruff: noqa: ARG001, ARG002 (one signature for all trainers; TRL's own for its method)
"""TRL's DPOTrainer on rows that are tokenised already: chosen and rejected after the very same prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.config import TrainConfig
    from training.rows import Prepared
    from training.tokens import Tokens


def make(
    prepared: Prepared, tokenizer: PreTrainedTokenizerBase, config: TrainConfig, said: dict[str, Any], shared: Any
) -> Any:
    """A DPOTrainer over preference pairs.

    Args:
        prepared: its rows are chosen, rejected, chosen, rejected ...
        tokenizer: the student's.
        config: the recipe's `train` section.
        said: fields of DPOConfig.
        shared: further arguments of every trainer.
    """
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    class TokenisedDPOTrainer(DPOTrainer):
        """TRL's own, which would tokenise once more and lose what the preview showed."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    pairs = zip(prepared.rows[::2], prepared.rows[1::2], strict=True)
    data = Dataset.from_list([pair(chosen, rejected) for chosen, rejected in pairs])
    return TokenisedDPOTrainer(args=DPOConfig(**said), train_dataset=data, **shared)


def pair(chosen: Tokens, rejected: Tokens) -> dict[str, list[int]]:
    """The three columns of ids that TRL's collator for preferences takes."""
    start = chosen.completion_mask.index(1)
    return {
        "prompt_ids": chosen.input_ids[:start],
        "chosen_ids": chosen.input_ids[start:],
        "rejected_ids": rejected.input_ids[rejected.completion_mask.index(1) :],
    }
