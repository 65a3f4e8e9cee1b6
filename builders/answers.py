"""Answers in one canonical spelling, so that two answers are compared as plain strings.

Everything builds Polars expressions; nothing runs per row in Python. What cannot be read is null,
never a guess. Not here: finding the answer within a response, and algebra (that `x + 1` is
`1 + x`); both belong to verification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl

from builders.numbers import number
from builders.schema import ANSWER_TYPES, AnswerType


def normalise(value: pl.Expr, answer_type: pl.Expr | str) -> pl.Expr:
    r"""Canonical spelling of an answer.

    Args:
        value: String. For number, choice and boolean only what follows the last `####` counts.
        answer_type: one of `ANSWER_TYPES` for all rows, or a String expression that names it per row.

    Returns:
        String; null where the answer is null, empty or unreadable as its type.

        number   `1,000.50 km` -> `1000.5`, `6/4` -> `1.5`, `2/6` -> `1/3`, `3.2e3` -> `3200`
        choice   `Option c.`, `(C)`, `C) red` -> `C`
        boolean  `Yes.`, `TRUE` -> `true`
        latex    `$\dfrac12$` -> `\frac{1}{2}`, `x + 1` -> `x+1`
        text     trimmed, white space collapsed, no surrounding `$`, no final full stop

        Normalising twice changes nothing. Equal numbers have equal spellings (`builders.numbers`).

    Raises:
        ValueError: `answer_type` is a string and not an answer type.
            In an expression an unknown type gives null.
    """
    if isinstance(answer_type, str):
        if answer_type not in ANSWER_TYPES:
            raise ValueError(f"answer type {answer_type!r} is none of {', '.join(ANSWER_TYPES)}")
        rule = RULES[answer_type]
        return value.cast(pl.String).map_batches(rule, return_dtype=pl.String, is_elementwise=True)
    return pl.map_batches([value.cast(pl.String), answer_type], _by_type, return_dtype=pl.String, is_elementwise=True)


def boxed(value: pl.Expr) -> pl.Expr:
    r"""Content of the last `\boxed{}` or `\fbox{}` whose braces balance, up to eight deep; null when there is none."""
    held = r"(?:[^{}\\]|\\.)*"
    for _ in range(8):
        held = rf"(?:[^{{}}\\]|\\.|\{{{held}\}})*"
    found = value.str.extract_groups(rf"(?s)^.*\\(?:boxed|fbox)(?:\s*\{{({held})\}}|\s+([^\s{{}}$]+))").struct
    return pl.coalesce(found.field("1"), found.field("2")).str.strip_chars()


def _by_type(columns: Sequence[pl.Series]) -> pl.Series:
    """Each row by the rule of its type; an unknown type gives null."""
    value, kinds = columns
    if len(kinds) == 1:  # a literal
        kinds = kinds.new_from_index(0, len(value))
    rows = pl.DataFrame({"value": value, "kind": kinds}).with_row_index()
    done = [
        part.select("index", rule(part["value"]).alias("value"))
        for kind, rule in RULES.items()
        if (part := rows.filter(pl.col("kind") == kind)).height
    ]
    read = pl.concat([rows.select("index", "value").clear(), *done])
    return rows.select("index").join(read, on="index", how="left", maintain_order="left")["value"]


def guess_type(gold: pl.Series, choices: pl.Series) -> AnswerType:
    r"""The answer type of a whole source, judged by its gold answers.

    Args:
        gold: String [problems]; nulls are skipped.
        choices: List(String) [problems]; null where the problem is not multiple choice.

    Returns:
        `choice` when every problem has choices and every gold is a letter, else `boolean`, `number`,
        `latex` when any gold holds a LaTeX command, else `text`. Without any gold: `choice` when all
        have choices, else `text`.
    """
    known, multiple_choice = gold.drop_nulls(), choices.null_count() == 0
    if known.is_empty():
        return "choice" if multiple_choice and len(choices) else "text"

    def all_read_as(kind: str) -> bool:
        return RULES[kind](known).null_count() == 0

    if multiple_choice and all_read_as("choice"):
        return "choice"
    if all_read_as("boolean"):
        return "boolean"
    if all_read_as("number"):
        return "number"
    return "latex" if known.str.contains(r"\\[A-Za-z]+").any() else "text"


def _line(value: pl.Series) -> pl.Series:
    """White space collapsed and trimmed."""
    return value.str.replace_all(r"\s+", " ").str.strip_chars(" ")


_HELD = r"\s*\{((?:[^{}\\]|\\[^{}])*)\}"  # the argument of a LaTeX command, without braces inside
_TEXT = r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)" + _HELD


def _bare(value: pl.Series) -> pl.Series:
    r"""What follows the last `####`, without `\boxed{}`, `\text{}`, delimiters, Markdown, final punctuation."""
    return (
        _line(value.str.replace(r"(?s)^.*####", ""))
        .str.replace_all(r"\\[()\[\]]", "")
        .str.replace_all(_TEXT, " ${1} ")
        .str.replace_all(_TEXT, " ${1} ")  # one within another
        .str.replace(r"^[\s$*`\"'“”‘’]+", "")
        .str.replace(r"[\s$*`\"'“”‘’.,;:?]+$", "")
        .str.replace(r"^\\(?:boxed|fbox)\s*\{(.*)\}$", "$1")
        .str.strip_chars_start(" ")
        .str.strip_chars_end(" .")
    )


def _number(value: pl.Series) -> pl.Series:
    return number(_bare(value))


_CHOICE_PREFIX = r"(?i)^(?:(?:the |correct |right |final )*(?:answer|option|choice)\b(?: is)?\s*:?\s*)+"


def _choice(value: pl.Series) -> pl.Series:
    # A letter alone, in brackets, or before a delimiter: the `A` of `A cat` is a word.
    said = _bare(value).str.replace(_CHOICE_PREFIX, "").str.strip_chars_end("! ")
    letter = said.str.extract_groups(r"^(?:[(\[{]\s*([A-Za-z])\s*[)\]}]|([A-Za-z])(?:\s*[).:\]]|\s+[-–—]\s|$))").struct
    return pl.select(pl.coalesce(letter.field("1"), letter.field("2"))).to_series().str.to_uppercase()


def _boolean(value: pl.Series) -> pl.Series:
    # Before punctuation or the end: `no one knows` is neither.
    word = _bare(value).str.to_lowercase().str.extract(r"^(yes|no|true|false)(?:$|\s*[.,;:!(*])")
    return word.replace({"yes": "true", "no": "false"})


def _text(value: pl.Series) -> pl.Series:
    trimmed = _line(value).str.strip_chars_start("$ ").str.strip_chars_end("$. ")
    return trimmed.set(trimmed == "", None)


_ROW_BREAK = "\ue000"  # stands for `\\` while single backslashes are looked at
_PLAIN_NUMBER = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?)$"


def _latex(value: pl.Series) -> pl.Series:
    tidy = _line(
        value.str.replace_all(r"\\", _ROW_BREAK, literal=True)
        .str.replace_all(r"([0-9])(?:\{,\}|,\\!)([0-9])", "$1$2")
        .str.replace_all(r"\\(?:left|right)\b\.?|\\[()\[\]!,;:\s]", " ")
        .str.replace_all(_TEXT, " ${1} ")
        .str.replace_all(_TEXT, " ${1} ")  # one within another
        .str.replace_all(r"\^\{?\\circ\b\}?|\\\$", "")
        .str.replace_all(r"\\%", "%")
        .str.replace_all(r"\\[dtc]frac", r"\frac")
        .str.replace_all(r"\\frac\s*([0-9])", r"\frac{$1}")
        .str.replace_all(r"\\frac\s*\{([^{}]*)\}\s*([0-9A-Za-z])", r"\frac{$1}{$2}")
        .str.strip_chars_start("$ \t\n")
        .str.strip_chars_end("$. \t\n")
    )
    # Blanks mean something between words only; `3,4` and `3, 4` are one list, `1,000` is one number.
    spaced = (
        tidy.str.replace_all(r"\s*([^\w\s\\])\s*|\s+(\\)", "$1$2")
        .str.replace_all(",", ", ", literal=True)
        .str.replace(r"^(-?)([0-9]+)/([0-9]+)$", r"$1\frac{$2}{$3}")
        .str.replace(r"^\\frac\{-([0-9]+)\}\{([0-9]+)\}$", r"-\frac{$1}{$2}")
        .str.replace(r"^\([a-z](?:, [a-z])+\)=\(", "(")
        .str.replace_all(_ROW_BREAK, r"\\", literal=True)
        .str.strip_chars(" ")
    )
    plain = [number(text.set(~text.str.contains(_PLAIN_NUMBER), None)) for text in (tidy, spaced)]
    return pl.select(pl.coalesce(*plain, spaced.set(spaced == "", None))).to_series()


RULES: Final[Mapping[str, Callable[[pl.Series], pl.Series]]] = {
    "number": _number,
    "choice": _choice,
    "boolean": _boolean,
    "latex": _latex,
    "text": _text,
}
