"""Students made on the spot: a Llama with random weights and a tokenizer trained on the study's own texts.

For studies that fit on a laptop. Digits are tokens of their own, so that a number is always spelt the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from builders.config import Config
from builders.disk import TEMPORARY, sync_directory
from builders.quiet import no_bars

TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL: Final = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")


class ScratchStudent(Config):
    """A Llama (Touvron et al. 2023, arXiv:2302.13971) that knows nothing yet; weights drawn from the arm's seed."""

    layers: int = Field(ge=1)
    """Transformer blocks."""
    width: int = Field(ge=8)
    """Size of the hidden state."""
    heads: int = Field(ge=1)
    """Attention heads; the width is a multiple."""
    feed_forward: int | None = Field(None, ge=8)
    """Inner size of the feed-forward part; null: 8/3 of the width, rounded up to a multiple of 16."""
    vocabulary: int = Field(512, ge=261)
    """Most tokens of the tokenizer: bytes, five marks, and merges of the commonest pieces of text."""
    context: int = Field(512, ge=16)
    """Longest sequence."""

    @model_validator(mode="after")
    def _heads_divide(self) -> ScratchStudent:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads of an even size")
        return self

    def parameters(self) -> int:
        """Weights, the vocabulary counted as full."""
        ff = self.inner()
        block = 4 * self.width**2 + 3 * self.width * ff + 2 * self.width
        return self.vocabulary * self.width + self.layers * block + self.width

    def inner(self) -> int:
        """Inner size of the feed-forward part."""
        return self.feed_forward or -(-(8 * self.width // 3) // 16) * 16


def make_scratch(settings: ScratchStudent, texts: Iterable[str], seed: int, out: Path) -> Path:
    """Write a new student to `out`, whole or not at all; one that is there is left as it is.

    Args:
        settings: sizes.
        texts: questions and traces that the tokenizer is trained on.
        seed: of the weights.
        out: directory.
    """
    if (out / "config.json").is_file():
        return out
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    fast: Any = PreTrainedTokenizerFast
    llama: Any = LlamaForCausalLM
    tokenizer = fast(
        tokenizer_object=_train_tokenizer(texts, settings.vocabulary), eos_token="<|end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = TEMPLATE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = llama(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=settings.width,
                intermediate_size=settings.inner(),
                num_hidden_layers=settings.layers,
                num_attention_heads=settings.heads,
                max_position_embeddings=settings.context,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                tie_word_embeddings=True,
            )
        )
    temporary = out.with_name(f"{TEMPORARY}{out.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    with no_bars():
        model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    temporary.rename(out)
    sync_directory(out.parent)
    return out


def _train_tokenizer(texts: Iterable[str], vocabulary: int) -> object:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    # Cut at digits alone: ` + ` and `. The answer is ` may then become one token each.
    digits = pre_tokenizers.Digits(individual_digits=True)
    text = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([digits, text])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    return bpe
