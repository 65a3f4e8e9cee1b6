"""What a student will be trained on, for the eye: each row with the tokens that carry loss marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.quiet import quiet
from training import rows, student
from training.checks import check, check_prompt, faults
from training.sft import longest
from training.source import find

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.config import EvaluateConfig, TrainConfig

LOSS, REST, END = "\x1b[1;32m", "\x1b[2m", "\x1b[0m"
"""Bold green for what carries loss, faint for what does not."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One row as the student meets it."""

    tokens: list[str]
    """Text of each token; joined they are the row. A character of several tokens stands at the last of them."""
    ids: list[int]
    trained: list[bool]
    """Whether the token counts in the loss."""

    def __str__(self) -> str:
        """The text, with what is trained between ⟦ and ⟧."""
        return self.marked("⟦", "⟧", "", "")

    def coloured(self) -> str:
        """The text with what is trained in bold green, for a terminal."""
        return self.marked(LOSS, END, REST, END)

    def marked(self, begin: str, end: str, other: str, other_end: str) -> str:
        """The text with marks around what is trained, and around what is not."""
        parts, inside = [], None
        for token, trained in zip(self.tokens, self.trained, strict=True):
            if trained != inside:
                parts += [end if inside else other_end if inside is not None else "", begin if trained else other]
                inside = trained
            parts.append(token)
        return "".join([*parts, end if inside else other_end])


@dataclass(frozen=True, slots=True)
class Shown:
    """What `cotmill train --preview` shows."""

    objective: str
    rows: list[Preview]
    left_out: dict[str, int]
    """Rows of the dataset that would not be trained on, by reason."""
    total: int
    """Rows that would be trained on."""
    tokens: int
    """In one epoch."""
    trained_tokens: int
    """In one epoch, those in the loss."""
    notes: list[str] = field(default_factory=list)
    """What the student lacks and gets."""
    fault: str | None = None
    """Why training would be refused."""


def preview(
    dataset: Path | str, config: TrainConfig, rows_shown: int = 3, evaluation: EvaluateConfig | None = None
) -> Shown:
    """The first training rows as the student meets them, and the checks on all of them.

    Loads the tokenizer, not the model.

    Raises:
        CotmillError: no such dataset, student or settings. What training would refuse for is in `fault`.
    """
    from builders.errors import CotmillError

    notes: list[str] = []
    with quiet():
        source = find(dataset)
        tokenizer = student.load_tokenizer(config, notes.append)
        limits = student.limits(config)
        data = rows.read_rows(source.path, config.split, config.limit, config.goal)
        prepared = rows.prepare(data, tokenizer, longest(config, limits), config.goal)
        fault = "\n".join(faults(source.path, config, prepared)) or None
        try:
            check(source.path, config, prepared, limits)
            check_prompt(data, tokenizer, config, evaluation)
        except CotmillError as error:
            fault = fault or str(error)
        return Shown(
            objective=config.goal.name,
            rows=[shown(row, tokenizer) for row in prepared.rows[:rows_shown]],
            left_out=prepared.left_out,
            total=len(prepared.rows),
            tokens=prepared.tokens,
            trained_tokens=prepared.trained_tokens,
            notes=notes,
            fault=fault,
        )


def shown(row: rows.Tokens, tokenizer: PreTrainedTokenizerBase) -> Preview:
    """One row, token by token."""
    return Preview(list(_texts(row.input_ids, tokenizer)), row.input_ids, [bool(m) for m in row.completion_mask])


def _texts(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> Iterable[str]:
    """Text of each token. Tokens that are part of a character are held back until it is whole."""
    held: list[int] = []
    for i in ids:
        held.append(i)
        text = _decode(held, tokenizer)
        if text.endswith("\ufffd") and len(held) < 4:
            yield ""
        else:
            held = []
            yield text


def _decode(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> Any:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)
