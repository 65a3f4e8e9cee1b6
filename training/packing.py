"""Packing: several short rows in one, without padding. Only where no row is cut and none sees another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from builders.errors import CotmillError

if TYPE_CHECKING:
    from training.config import TrainConfig

LOOK: Final = 48
"""Tokens of a row that the check looks at."""


def refuse_cutting(config: TrainConfig) -> None:
    """Raise where packs are filled with pieces of rows: a piece has lost its question, or its answer and end."""
    strategy = config.trl.get("packing_strategy", "bfd")
    if config.trl.get("packing") and strategy == "wrapped" and "truncated" not in config.allow:
        raise CotmillError(
            "train.sft.packing_strategy: `wrapped` cuts rows in two wherever a pack is full, so that answers are"
            " truncated and prompts lost.\nSay `bfd`, which keeps rows whole, or waive it: train.allow: [truncated]"
        )


def check_packing(trainer: Any, config: TrainConfig) -> None:
    """Raise where the student's attention crosses from one packed row to the next.

    Two rows go in together, twice; the second time the first one says something else. If that moves a logit of
    the second row, the two are not separate.

    Raises:
        CotmillError: they are not.
    """
    if not getattr(trainer, "padding_free", False) or "packing" in config.allow:
        return
    if seen := leak(trainer):
        raise CotmillError(
            f"this student's attention reaches from one packed row into the next (a logit moves by {seen:.2g}), so"
            " packing would teach answers to other rows' questions.\nSay packing: false and padding_free: false, set"
            " model_init_kwargs.attn_implementation to `sdpa`, `flex_attention` or a FlashAttention, or waive it:"
            " train.allow: [packing]"
        )


def leak(trainer: Any) -> float:
    """By how much a logit of a packed row moves when the row before it changes; 0.0 where rows are separate."""
    import torch

    ids = trainer.train_dataset[0]["input_ids"][:LOOK]
    vocabulary = trainer.model.config.get_text_config().vocab_size
    other = [(i + 1) % vocabulary for i in ids]
    logits = []
    was = trainer.model.training
    trainer.model.eval()
    for first in (ids, other):
        batch = trainer.data_collator([{"input_ids": first, "weight": 1.0}, {"input_ids": ids, "weight": 1.0}])
        said = {k: v for k, v in batch.items() if k not in ("labels", "weights")}
        said = {k: v.to(trainer.model.device) if hasattr(v, "to") else v for k, v in said.items()}
        with torch.no_grad(), trainer.compute_loss_context_manager():
            logits.append(trainer.model(**said, use_cache=False).logits[:, len(ids) : 2 * len(ids)].float())
    trainer.model.train(was)
    moved = (logits[0] - logits[1]).abs().max().item()
    scale = logits[0].abs().max().item()
    return moved if moved > 1e-4 * max(scale, 1e-6) else 0.0
