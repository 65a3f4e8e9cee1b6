r"""Defects that the text of a trace shows by itself: one Boolean mark each.

Every check is one expression over whole columns. Not here: whether the answer is right (`verify`), and
whether the reasoning leads to it. Source of the list: what is wrong with the traces released with
arXiv 2502.18001, read by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from curation.extract import MARKERS

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

MEANINGS: Final = {
    "empty": "nothing was said",
    "truncated": "cut off at the token cap",
    "no_answer_line": "nothing announces an answer",
    "several_answer_lines": "more than one line announces an answer",
    "conflicting_answers": "the answer lines say different values",
    "bare": "fewer than 3 words before the answer line",
    "glued": "a sentence, a list number or what follows a colon sticks to the text before it",
    "latex_damage": "control characters, or LaTeX commands whose backslash and first letter became one",
}
"""Each defect in words."""

LEAD_IN: Final = r"(?i)(?:\b(?:so|thus|hence|therefore),?\s+)?(?:\b(?:the|my|our)\s+)?(?:\b(?:final|correct)\s+)?$"
"""What belongs to an answer line and stands before its marker."""
_ANNOUNCED: Final = rf"(?:(?:{MARKERS})[\s:：=*_$({{\[]*)+"
VALUE: Final = r"[-−]?[$€£]?[0-9][0-9,]*(?:\.[0-9]+)?|(?:[A-J]|(?i:yes|no|true|false))(?-u:\b)|\\[a-z]+"
ANSWER_LINE: Final = rf"(?i:{_ANNOUNCED})(?:{VALUE})(?:[.)]\s*\p{{Lu}}\p{{Ll}})?"
"""An answer line up to its value; `answer is \boxed{` is one announcement, not two. Words are no values: `the answer is
found by ...` says none."""
LIST_NUMBER: Final = r"[:：]\s*\(?1[.)]\s*\p{Lu}\p{Ll}$"
"""`To find the answer: 1. Read ...` says none either."""

GLUED: Final = (
    r"[\p{Ll}0-9%)\]”\"][.!?]\p{Lu}[\p{Ll}\s'’]"  # apples.Then
    r"|[\p{L}%)\]”\"'][.:;!?]+\(?[0-9]{1,2}[.)]\s"  # groups.3. When
    r"|(?s:(?:^|[\s:])1[.)]\s.*[0-9]\.[1-9][0-9]?\.\s\p{Lu})"  # 145.5. To, in a list that began with 1
    r"|\p{L}{2}:\p{Lu}\p{Ll}|\p{L}{2}:[0-9]+\s*[-+*/×÷=]"  # below:Then, sum:3 + 4
)
LATEX_DAMAGE: Final = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
    r"|\t(?:imes|ext|heta|an\b|o\b|frac|ilde|riangle)|\r(?:ight|angle|m\b)|\n(?:eq|ewline)\b|\\n\\n"
)
r"""`\t` and `imes` was `\times`, a form feed and `rac` was `\frac`."""


def answering_text() -> pl.Expr:
    """What is said behind the reasoning; all of it where the reasoning is not set apart. As `verify` reads it."""
    return pl.coalesce("answer", pl.when(pl.col("reasoning").is_null()).then("response"))


def before_answer(text: pl.Expr) -> pl.Expr:
    """String: the part of a text before its last answer line; all of it where there is none."""
    last = text.str.extract(rf"(?is)^(.*)(?:{MARKERS}).*?$", 1)
    return pl.coalesce(last.str.replace(LEAD_IN, ""), text)


@dataclass(frozen=True, slots=True)
class Defects:
    """Marks traces with the defects of `MEANINGS`; all but `empty` and `truncated` are null where nothing was said."""

    name: ClassVar[str] = "defects"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer", "status")
    marks: ClassVar[dict[str, PolarsDataType]] = dict.fromkeys(MEANINGS, pl.Boolean())

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `defects.<name>` for each of `MEANINGS`."""
        text, lines = pl.col("defects.text"), pl.col("defects.lines")
        said = lines.list.eval(_value(pl.element())).list.drop_nulls().list.n_unique()
        found = {
            "empty": pl.col("response").is_null() & text.is_null(),
            "truncated": pl.col("status") == "truncated",
            "no_answer_line": ~text.str.contains(rf"(?i){MARKERS}"),
            "several_answer_lines": lines.list.len() > 1,
            "conflicting_answers": said > 1,
            "bare": before_answer(text).str.count_matches(r"\S+") < 3,
            "glued": text.str.contains(GLUED),
            "latex_damage": text.str.contains(LATEX_DAMAGE),
        }
        found["empty"] |= (pl.col("response").fill_null("") + text.fill_null("")).str.contains(r"\S").not_()
        spoken = pl.when(answering_text().str.contains(r"\S")).then(answering_text())
        return (
            traces.with_columns(spoken.alias("defects.text"))
            .with_columns(_answer_lines(text).alias("defects.lines"))
            .with_columns(mark.alias(f"{self.name}.{name}") for name, mark in found.items())
            .drop("defects.text", "defects.lines")
        )


def _answer_lines(text: pl.Expr) -> pl.Expr:
    """List(String): the answer lines of each text, cut behind their values."""
    return text.str.extract_all(ANSWER_LINE).list.eval(pl.element().filter(~pl.element().str.contains(LIST_NUMBER)))


def _value(line: pl.Expr) -> pl.Expr:
    """What an answer line says, spelt so that equal values are equal; null for a formula."""
    said = line.str.extract(rf"^(?i:{_ANNOUNCED})({VALUE})", 1).str.to_lowercase().str.replace_all(r"[,$€£]", "")
    plain = said.str.replace(r"^([-−]?[0-9]+)\.0*$", "$1").str.replace(r"(\.[0-9]*[1-9])0+$", "$1")
    return pl.when(~plain.str.starts_with("\\")).then(plain)
