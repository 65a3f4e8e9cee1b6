# ruff: noqa: ARG002 (the Trainer passes every argument to every hook)
"""What happens beside the steps of a run: progress lines, checkpoints by the clock, a stop when it fails."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from builders.errors import CotmillError
from training.checkpoints import mark_whole
from training.processes import as_the_first, is_first, wait

if TYPE_CHECKING:
    from transformers import TrainerCallback


Log = Callable[[str], None]
"""Gets one line of progress at a time."""


QUIET: Final = 5.0
"""Seconds between two lines of progress, at least. No loss is lost by it: all of them are in the report."""


def to_stderr(line: str) -> None:
    """The default log: stdout is for results."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def watcher(log: Log, tokens_per_epoch: int, minutes: float | None) -> TrainerCallback:
    """A callback that logs, asks for a checkpoint every `minutes` (None: never), and ends a failed run.

    Raises (from the training loop):
        CotmillError: the loss is not a number.
    """
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        """Nested, as its base class is only there once transformers is imported."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.began = self.saved = time.monotonic()
            self.first = state.epoch or 0.0
            self.said = -math.inf
            log(f"{state.max_steps} steps, {state.num_train_epochs} epochs of {tokens_per_epoch:,} tokens")

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if minutes and as_the_first(time.monotonic() - self.saved > 60 * minutes):
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.saved = time.monotonic()
            wait()  # every process writes its part
            if is_first():
                mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not (math.isfinite(loss) and math.isfinite(logs.get("grad_norm", 0.0))):
                raise CotmillError(
                    f"training stopped at step {state.global_step}: the loss is {loss}, its gradient"
                    f" {logs.get('grad_norm')}. No model was written."
                    f"\nTry a smaller train.sft.learning_rate (it was {args.learning_rate:g}), or train.sft.bf16: false"
                )
            now = time.monotonic()
            if now - self.said < QUIET and state.global_step < state.max_steps:
                return
            self.said, seconds = now, now - self.began
            done = (state.epoch - self.first) * tokens_per_epoch
            left = seconds / max(state.epoch - self.first, 1e-9) * (state.num_train_epochs - state.epoch)
            log(
                f"step {state.global_step}/{state.max_steps}  loss {loss:.3f}"
                f"  {done / seconds:,.0f} tokens/s  {max(left, 0):.0f} s left"
            )

    return Watcher()
