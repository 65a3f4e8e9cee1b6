"""From a completion to a trace row: what was thought, what was answered, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from builders.joint import Part, read_answer
from builders.schema import Status
from builders.teachers import Completion


def split_reasoning(text: str) -> tuple[str | None, str | None]:
    """Split a response at its `<think>` block into (reasoning, answer).

    Templates that open the block in the prompt leave only `</think>` in the response: that splits
    too. A block that never closes was cut off: all of it is reasoning and there is no answer.

    >>> split_reasoning("<think>3 + 4</think>The answer is 7.")
    ('3 + 4', 'The answer is 7.')
    >>> split_reasoning("3 + 4</think>7"), split_reasoning("<think>3 +"), split_reasoning("7")
    (('3 + 4', '7'), ('3 +', None), (None, '7'))
    """
    before, closing, after = text.rpartition("</think>")
    if closing:
        return before.removeprefix("<think>").strip(), after.strip()
    if text.lstrip().startswith("<think>"):
        return text.lstrip().removeprefix("<think>").strip(), None
    return None, text


def status_of(completion: Completion, max_tokens: int) -> Status:
    """How a response ended. Servers say `stop` at the cap, so the cap is looked at as well."""
    if completion.finish_reason == "length" or (completion.completion_tokens or 0) >= max_tokens:
        return "truncated"
    return "ok" if (completion.text or "").strip() else "empty"


def trace_row(
    fixed: Mapping[str, Any],
    completion: Completion | None,
    *,
    max_tokens: int,
    seconds: float,
    error: str | None,
) -> dict[str, Any]:
    """One row of the corpus.

    Args:
        fixed: the columns that were known before asking.
        completion: what the teacher said; None when it rejected the request.
        max_tokens: the cap it was asked with.
        seconds: from asking to the answer.
        error: why it was rejected.
    """
    row = {**fixed, "seconds": seconds, "created_at": time.time_ns() // 1000, "error": error}
    if completion is None:
        return {**row, "status": "rejected"}
    reasoning, answer = completion.reasoning, completion.text
    if reasoning is None and completion.text is not None:
        reasoning, answer = split_reasoning(completion.text)
    row |= {
        "response": completion.text,
        "reasoning": reasoning,
        "answer": answer,
        "status": status_of(completion, max_tokens),
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "mean_logprob": completion.mean_logprob,
    }
    return row


def joint_rows(
    fixed: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    completion: Completion | None,
    *,
    max_tokens: int,
    seconds: float,
    error: str | None,
) -> list[dict[str, Any]]:
    """The rows of one joint call: each with its own text, and a share of the call's tokens.

    A text that the answer does not hold costs its own row alone: status `empty`, and `error` says why
    and what was answered instead. One that the answer breaks off in is `truncated`.

    Args:
        fixed: per row, the columns that were known before asking.
        keys: per row, the key of its text.
        completion: what the teacher said; None when it rejected the request.
        max_tokens: the cap of the whole call.
        seconds: from asking to the answer.
        error: why it was rejected.
    """
    if completion is None:
        return [trace_row(row, None, max_tokens=max_tokens, seconds=seconds, error=error) for row in fixed]
    reasoning, answer = completion.reasoning, completion.text or ""
    if reasoning is None:
        reasoning, said = split_reasoning(answer)
        answer = said or ""
    parts = read_answer(answer, keys)
    cut = status_of(completion, max_tokens) == "truncated"
    written = shares(completion.completion_tokens, [len(part.text or "") for part in parts])
    read = shares(completion.prompt_tokens, [1] * len(parts))
    rows = []
    for row, key, part, mine, prompt in zip(fixed, keys, parts, written, read, strict=True):
        own = replace(
            completion, text=part.text, reasoning=reasoning, prompt_tokens=prompt, completion_tokens=mine,
            mean_logprob=None,
        )  # fmt: skip
        made = trace_row(row, own, max_tokens=max_tokens, seconds=seconds, error=_remark(key, part, cut, answer))
        made["status"] = _status(part)
        rows.append(made)
    return rows


def _status(part: Part) -> Status:
    if not (part.text or "").strip():
        return "empty"
    return "ok" if part.whole else "truncated"


SHOWN = 2000
"""Characters of an unreadable answer that its rows quote."""


def _remark(key: str, part: Part, cut: bool, answer: str) -> str | None:
    """Why there is no text, or what had to be mended in it; None: nothing to say."""
    if not (part.text or "").strip():
        why = "the answer reached its cap before this text" if cut else f"the answer holds no text under {key}"
        return f"{why}; it was: {answer[:SHOWN]}"
    remarks = []
    if part.mended:
        remarks.append(f"written with one backslash in JSON, and mended: {' '.join(part.mended[:20])}")
    if part.damaged:
        remarks.append("holds control characters, which may have been LaTeX commands")
    return "; ".join(remarks) or None


def shares(total: int | None, weights: Sequence[int]) -> list[int] | list[None]:
    """`total` cut into whole numbers in proportion to `weights`, which sum to it; None stays unknown.

    >>> shares(10, [1, 1, 2]), shares(3, [0, 0]), shares(None, [1, 2])
    ([3, 2, 5], [2, 1], [None, None])
    """
    if total is None:
        return [None] * len(weights)
    if not any(weights):
        weights = [1] * len(weights)
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [int(part) for part in exact]
    by_rest = sorted(range(len(parts)), key=lambda i: parts[i] - exact[i])
    for i in by_rest[: total - sum(parts)]:
        parts[i] += 1
    return parts
