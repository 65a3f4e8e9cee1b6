"""Memory: how much a training took, and what to lower when there was too little."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from builders.errors import CotmillError

if TYPE_CHECKING:
    from training.config import TrainConfig


def peak() -> int:
    """Bytes: what was allocated on a GPU at most, else what this process held at most."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def explained(config: TrainConfig) -> Iterator[None]:
    """Turn the several ways of running out of memory into one error that says what to lower.

    Raises:
        CotmillError: there was no memory left.
    """
    try:
        yield
    except MemoryError as error:
        raise CotmillError(smaller(config)) from error
    except RuntimeError as error:
        if "out of memory" not in str(error) and "allocate memory" not in str(error):
            raise
        raise CotmillError(smaller(config)) from error


def smaller(config: TrainConfig) -> str:
    """What to lower, with the values that were too high."""
    section, said = ("dpo" if config.goal.trainer == "dpo" else "sft"), config.trl
    batch, steps = said.get("per_device_train_batch_size", 8), said.get("gradient_accumulation_steps", 1)
    tries = []
    if batch > 1:
        half = batch // 2
        tries.append(
            f"train.{section}.per_device_train_batch_size: {half} (it was {batch}), with"
            f" train.{section}.gradient_accumulation_steps: {steps * batch // half} to learn the same"
        )
    if not said.get("gradient_checkpointing", False):
        tries.append(f"train.{section}.gradient_checkpointing: true")
    tries.append(f"a smaller train.{section}.max_length (it was {said.get('max_length', 1024)})")
    if config.lora is None:
        tries.append("train.lora.r: 16, which trains an adapter")
    elif config.lora.bits is None:
        tries.append("train.lora.bits: 4")
    lines = "\n".join(f"  {line}" for line in tries)
    return f"training ran out of memory. No model was written. Try, in this order:\n{lines}"
