"""A student's tokenizer before training, and its files after: what vLLM loads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.disk import TEMPORARY, sync_directory
from builders.errors import CotmillError
from builders.teachers.smollm2 import resolve_model
from builders.teachers.templates import template_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Limits:
    """What a student's weights can take."""

    context: int | None
    """Most tokens of a row; None: no limit is known."""
    vocabulary: int
    """Rows of its embedding."""


def load_tokenizer(config: TrainConfig, log: Callable[[str], None] = lambda _: None) -> PreTrainedTokenizerBase:
    """The student's tokenizer, with a chat template, an end token and a padding token.

    What it lacks and gets here is said to `log`.

    Raises:
        CotmillError: no such model, or its tokenizer cannot be loaded or has no end token.
    """
    from transformers import AutoTokenizer

    trust = bool(config.trl.get("trust_remote_code", False))
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            resolve_model(config.student), revision=config.revision, trust_remote_code=trust
        )
    except (OSError, ValueError) as error:
        raise CotmillError(f"train.student: {config.student} has no tokenizer that loads: {_first(error)}") from error
    if chosen := config.trl.get("eos_token"):
        if chosen not in tokenizer.get_vocab():
            raise CotmillError(f"train.sft.eos_token: the tokenizer of {config.student} has no token {chosen!r}")
        tokenizer.eos_token = chosen
    if tokenizer.eos_token_id is None:
        raise CotmillError(
            f"train.student: the tokenizer of {config.student} has no end token, so the student could not learn"
            " to stop. Name one: train.sft.eos_token"
        )
    # Padding is masked out of the loss, so EOS serves; only its id has to exist.
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
        log(f"the student has no padding token: {tokenizer.eos_token} serves, as padding is not in the loss")
    if not tokenizer.chat_template and config.chat_template in (None, "auto"):
        log("the student has no chat template: `plain` is used, and saved with it (train.chat_template)")
    tokenizer.chat_template = template_of(tokenizer, config.chat_template)
    return tokenizer


def limits(config: TrainConfig) -> Limits:
    """Context and vocabulary of the student, from its configuration.

    Raises:
        CotmillError: its configuration cannot be loaded.
    """
    from transformers import AutoConfig

    trust = bool(config.trl.get("trust_remote_code", False))
    try:
        held = AutoConfig.from_pretrained(
            resolve_model(config.student), revision=config.revision, trust_remote_code=trust
        ).get_text_config()
    except (OSError, ValueError) as error:
        raise CotmillError(
            f"train.student: {config.student} has no configuration that loads: {_first(error)}"
        ) from error
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    context = next((int(n) for name in names if (n := getattr(held, name, None))), None)
    return Limits(context, int(held.vocab_size))


def save(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    end: set[int],
    out: Path,
    *,
    weights: dict[str, Any] | None = None,
    card: str = "",
) -> None:
    """Write safetensors, tokenizer, chat template and card to `out`, which appears whole or not at all.

    Args:
        model: a transformers model without adapters.
        tokenizer: as trained with.
        end: ids of the tokens that ended the training rows; generation stops at them.
        out: directory; an older one is replaced.
        weights: its state, where the model holds only a part of it (FSDP).
        card: text of README.md.
    """
    stops = model.generation_config.eos_token_id
    stops = set(stops if isinstance(stops, list) else [stops]) - {None}
    # A base model trained under a chat template ends its turns with a token that it did not stop at before.
    model.generation_config.eos_token_id = sorted(stops | end)
    temporary = out.with_name(f"{TEMPORARY}{out.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary, **({} if weights is None else {"state_dict": weights}))
    tokenizer.save_pretrained(temporary)
    if card:
        (temporary / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
    sync_directory(out.parent)


def merged(said: dict[str, Any], adapter: Path) -> Any:
    """The student as it was before training, loaded again and whole, with an adapter merged in.

    For weights that were held in few bits, or spread over several processes, while the adapter was trained.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(
        resolve_model(said["student"]), revision=said["revision"], dtype=torch.float32
    )
    return PeftModel.from_pretrained(base, adapter).merge_and_unload()


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
