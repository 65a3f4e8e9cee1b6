"""From prompt and completion to token ids: the one place that decides which tokens are trained.

The prompt is rendered and tokenised exactly as `builders.teachers.vllm` does it for evaluation, with
the generation prompt; the completion is what follows, up to and including the token that ends it. TRL
gets these ids and mask, so what the preview shows is what is trained.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turns = Sequence[dict[str, str]]

NO_THOUGHT: Final = re.compile(r"<think>\s*</think>\s*")
"""What some templates write before an answer without reasoning. To train on it is to unlearn thinking."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One row as it is trained: ids of prompt and completion, and 1 where a token counts in the loss."""

    input_ids: list[int]
    completion_mask: list[int]
    weight: float = 1.0
    """Factor on the loss of its tokens."""


def tokenise(prompt: Turns | None, completion: Turns | None, tokenizer: PreTrainedTokenizerBase) -> Tokens | str:
    """Ids and loss mask of one row, or why it is none: a key of `training.rows.REASONS`.

    The ids begin with those that evaluation would send for this prompt. They end with the token that
    ends a turn, which is added where the template has none: a student must learn to stop. What the
    template writes behind it (a line break, mostly) is never generated, so it is cut; so is an empty
    thought that the template puts before an answer without one.
    """
    from jinja2 import TemplateError

    said = [turn.get("content") or "" for turn in completion or []]
    if not prompt or not "".join(said).strip():
        return "empty"
    if "".join(said).count("<think>") > "".join(said).count("</think>"):
        return "truncated"
    try:
        before = render(tokenizer, prompt, ask=True)
        whole = render(tokenizer, [*prompt, *(completion or [])], ask=False)
    except TemplateError:
        return "refused"
    after = whole[len(before) :]
    if not whole.startswith(before):
        return _missing(said, whole) or "changed"
    opened = "<think>" if before.rstrip().endswith("<think>") else ""  # by the template: it is asked for, not said
    if fault := _missing(said, opened + "\n" + after, opened):
        return fault
    if "<think>" not in "".join(said) and (added := NO_THOUGHT.match(after)):
        after = after[added.end() :]
    head = encode(tokenizer, before)
    ids = encode(tokenizer, before + after)
    # Where a merge crosses the border, the student would see another prompt than in evaluation.
    tail = ids[len(head) :] if ids[: len(head)] == head else encode(tokenizer, after)
    back = opened + "\n" + decode(tokenizer, tail)
    if fault := _missing(said, back, opened):
        return "think" if fault == "think" else "tokenizer"
    tail = _ended(tail, tokenizer)
    return Tokens(head + tail, [0] * len(head) + [1] * len(tail))


def render(tokenizer: PreTrainedTokenizerBase, messages: Turns, *, ask: bool) -> str:
    """The text of a conversation; with `ask`, up to where the next answer begins."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask))


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of a rendered text, which holds its special tokens already."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text as generation gives it: without special tokens, and otherwise untouched."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _missing(said: Sequence[str], text: str, opened: str = "") -> str | None:
    """What of `said` is not in `text`: a reason, or None. `opened`: a tag that the prompt ends with."""
    for content in said:
        wanted = content.strip()
        if wanted in text:
            continue
        if opened and wanted.startswith(opened) and wanted.removeprefix(opened).strip() in text:
            continue
        if "</think>" not in wanted:
            return "changed"
        thought, _, answer = wanted.removeprefix("<think>").partition("</think>")
        if thought.strip() not in text:
            return "reasoning" if answer.strip() in text else "changed"
        return "think"
    return None


def _ended(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """`ids` up to the end token of the last turn; with EOS added where only text is at the end."""
    special = set(tokenizer.all_special_ids) | {tokenizer.eos_token_id}
    end = len(ids)
    while end and ids[end - 1] not in special and not str(tokenizer.decode([ids[end - 1]])).strip():
        end -= 1
    ends = end and ids[end - 1] in special
    return ids[:end] if ends else [*ids[:end], tokenizer.eos_token_id]
