"""Where objectives reach into a trainer of TRL: batches before the forward pass, and the loss of each token.

TRL's `compute_loss` sums the log-probabilities that the model gives it, with all its care for accumulation and
several processes. So the hooks stand around the model that it calls, and there is no second copy of the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training.objectives import Objective, Progress, Student

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def hooked(base: Any, objective: Objective, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The trainer class for an objective: `base` itself where the objective changes neither batches nor loss."""
    if not (objective.changes("batch") or objective.changes("score")):
        return base
    student = Student(tokenizer)

    class ObjectiveTrainer(base):  # type: ignore[misc]
        """`base` with the objective's hooks; nested, as `base` is only there once TRL is imported."""

        _step, _part = -1, 0

        def _set_signature_columns_if_needed(self) -> None:
            super()._set_signature_columns_if_needed()
            if objective.weighs and "weight" not in self._signature_columns:
                self._signature_columns += ["weight"]

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            inputs = {**inputs}
            weights = inputs.pop("weights", None)
            if self.model.training:
                inputs = objective.batch(inputs, self._progress(), student)

            def scored(**said: Any) -> Any:
                out = model(**said)
                if getattr(out, "log_probs", None) is not None:
                    out.log_probs = objective.score(out.log_probs, None if weights is None else weights[:, 1:])
                return out

            return super().compute_loss(scored, inputs, *args, **kwargs)

        def _progress(self) -> Progress:
            step = self.state.global_step
            self._part = self._part + 1 if step == self._step else 0
            self._step = step
            process = self.accelerator.process_index
            return Progress(step, self.state.max_steps, self._part, process, self.args.seed)

    return ObjectiveTrainer


def weighing(collate: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """A collator that hands the weight of each row on, as `weights`: one float32 per token, shaped as `labels`."""

    def collated(examples: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        batch: dict[str, Any] = collate(examples)
        rows = torch.tensor([example["weight"] for example in examples], dtype=torch.float32)
        labels = batch["labels"]
        if getattr(collate, "padding_free", False):
            lengths = torch.tensor([len(example["input_ids"]) for example in examples])
            flat = torch.zeros(labels.shape[1])
            flat[: int(lengths.sum())] = torch.repeat_interleave(rows, lengths)
            batch["weights"] = flat[None]
        else:
            batch["weights"] = rows[:, None].expand(labels.shape).contiguous()
        return batch

    return collated
