r"""Defects that the text of a trace shows by itself: one Boolean mark each.

Whole columns at a time, and what is dear only where a cheap look says so. Not here: whether the answer is right
(`verify`), whether the reasoning leads to it, what should not have been said (`talk`), and loops (`repetition`).
Source of the list: what is wrong with the traces released with arXiv 2502.18001, read by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from curation.engine.gates import holds, judged, spans_of, where
from curation.text.steps import trace_text
from curation.verification.extract import MARKERS

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import Span

MEANINGS: Final = {
    "empty": "nothing was said",
    "truncated": "cut off at the token cap, whatever the engine says",
    "no_answer_line": "nothing announces an answer",
    "several_answer_lines": "more than one line announces an answer",
    "conflicting_answers": "the answer lines say different values",
    "bare": "fewer than 3 words before the answer line",
    "glued": "a sentence, a list number or what follows a colon sticks to the text before it",
    "glued_list": "a list number sticks to the text before it: `145.5. To` may be 145.5, or 145 and item 5",
    "latex_damage": "LaTeX commands whose backslash and first letter became one control character",
    "literal_newlines": "line ends written out as a backslash and an n",
    "mojibake": "characters that were decoded twice, or not at all",
    "control": "other control characters, and ones that show nothing or turn the text around",
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

GLUED_LIST: Final = (
    r"[\p{L}%)\]”\"'][.:;!?]+\(?[0-9]{1,2}[.)]\s?(?:\*\*)?[\p{Lu}\s]"  # groups.3. When
    r"|(?s:(?:^|[\s:])1[.)]\s.*[0-9]\.[1-9][0-9]?\.\s?\p{Lu})"  # 145.5. To, in a list that began with 1
)
GLUED: Final = (
    r"[\p{Ll}0-9%)\]”\"][.!?]\p{Lu}[\p{Ll}\s'’]"  # apples.Then
    r"|[0-9]\p{Lu}\p{Ll}{3}"  # = 24Total
    r"|\p{L}{2}:(?:\p{Lu}\p{Ll}|\p{Lu}\s*[-+*/×÷=]|-\s)"  # below:Then, found:X = 4
    r"|\p{L}{2}:\$?[0-9]+(?:\s*[-+*/×÷=(]|\s+\p{Ll}{2})"  # sum:3 + 4, follows:841 (in all)
    rf"|{GLUED_LIST}"
)
LATEX_DAMAGE: Final = (
    r"\x08[a-z]|\x0c(?:rac|orall|box|lat|loor)|\x07(?:lpha|ngle|pprox|rray)|\x0b(?:ec|dots|arepsilon|phantom)"
    r"|\t(?:imes|ext|heta|an(?-u:\b)|o(?-u:\b)|au(?-u:\b)|frac|ilde|riangle|herefore)"
    r"|\r(?:ight|angle|ho(?-u:\b)|m(?-u:\b))|\n(?:eq|ewline|abla)(?-u:\b)"
)
r"""`\t` and `imes` was `\times`, a form feed and `rac` was `\frac`."""
LITERAL_NEWLINE: Final = r"(?:^|[^\\])(?:\\r)?\\n(?:[^a-z\s]|\s|$)"
r"""Not `\neq` and `\nu`, nor the `\\` that ends a line of an array."""
MOJIBAKE: Final = (
    r"[ÂÃ][\u{A0}-\u{BF}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"  # Ã— was a times sign, Â° a degree sign
    r"|â[€‚„†ˆ‰Š‹–—š]|[ÎÏ][€±²³´¸¼½¿]|ðŸ|ï¿½|ï»¿"  # â€“ was a dash, âˆš a root, Ï€ was pi
    r"|[\u{80}-\u{84}\u{86}-\u{9F}\u{FFFD}]"
)
"""UTF-8 that was read as Latin-1 or Windows-1252 and written again, and what could not be decoded."""
CONTROL: Final = r"[\x00-\x06\x0e-\x1f\x7f\u{200B}\u{202A}-\u{202E}\u{2060}-\u{2069}\u{FEFF}\u{E000}-\u{F8FF}]"
"""Joiners (U+200C, U+200D) are left alone: Persian and emoji need them."""
DAMAGE_LETTERS: Final = r"[\x07\x08\x0b\x0c]"
"""Control characters too, where they damaged no LaTeX."""

_HINTS: Final = r"(?i)answer|box|####|option|choice"
"""Each marker holds at least one of these, so a text with one of them has one answer line."""
_EARLY: Final = rf"(?is)^\s*(?:\S+\s+){{0,6}}?\S*?(?:{MARKERS})"
"""A marker so near the beginning that fewer than 3 words may stand before it."""
_UNUSUAL: Final = r"[^\t\n\r -~]"
_CAP: Final = r'"max_(?:new_|completion_)?tokens":\s*([0-9]{1,9})'
_AT_CAP: Final = ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens")
"""Finish reasons of engines for the same thing."""

_PLACES: Final = {
    "several_answer_lines": {"an answer line": ANSWER_LINE},
    "conflicting_answers": {"an answer line": ANSWER_LINE},
    "glued": {"nothing between": GLUED},
    "glued_list": {"nothing before the list number": GLUED_LIST},
    "latex_damage": {"was a LaTeX command": LATEX_DAMAGE},
    "literal_newlines": {"was a line end": LITERAL_NEWLINE},
    "mojibake": {"decoded wrongly": MOJIBAKE},
    "control": {"not to be seen": f"{CONTROL}|{DAMAGE_LETTERS}"},
}


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
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = (
        *("response", "reasoning", "answer", "status", "finish_reason", "completion_tokens", "params", "call_id"),
    )
    marks: ClassVar[dict[str, PolarsDataType]] = dict.fromkeys(MEANINGS, pl.Boolean())
    source: ClassVar[str] = "our own, from the defects of the traces released with arXiv 2502.18001"
    cost: ClassVar[str] = "350,000 rows/s of 300 characters on one core; Polars, 9 searches"

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `defects.<name>` for each of `MEANINGS`."""
        return judged(traces, self, _judge)

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """Where the marks of a few traces come from."""
        return spans_of(traces, trace_text(), _PLACES, f"{self.name}.")


def _judge(traces: pl.DataFrame) -> pl.DataFrame:
    spoken = pl.when(answering_text().str.contains(r"\S")).then(answering_text())
    rows = traces.with_columns(spoken.alias("text")).with_columns(truncated=_truncated())
    text = pl.col("text")
    # Several looks at once: these are what costs, and run side by side.
    seen = rows.select(
        (pl.col("response").fill_null("") + text.fill_null("")).str.contains(r"\S").not_().alias("empty"),
        text.str.contains(rf"(?i){MARKERS}").alias("announced"),
        (text.str.count_matches(_HINTS) > 1).alias("several"),
        (text.str.contains(_EARLY) | ~text.str.contains(r"\S\s+\S+\s+\S")).alias("early"),
        text.str.contains(GLUED).alias("glued"),
        text.str.contains(r"[\x07\x08\t\x0b\x0c\r][a-z]|\n(?:eq|ewline|abla)").alias("damaged"),
        text.str.contains(LITERAL_NEWLINE).alias("literal_newlines"),
        text.str.contains(_UNUSUAL).alias("unusual"),
    )
    said = rows["text"]
    several = where(seen["several"], said, lambda texts: _answers(texts).list.len() > 1)
    latex = where(seen["damaged"], said, holds(LATEX_DAMAGE))
    control = where(seen["unusual"], said, holds(CONTROL)) | (
        where(seen["unusual"] & ~latex, said, holds(DAMAGE_LETTERS))
    )
    return seen.select("empty", "glued", "literal_newlines").with_columns(
        rows["truncated"],
        ~seen["announced"].alias("no_answer_line"),
        several.alias("several_answer_lines"),
        where(several, said, _conflicting).alias("conflicting_answers"),
        where(seen["early"], said, _bare).alias("bare"),
        where(seen["glued"], said, holds(GLUED_LIST)).alias("glued_list"),
        latex.alias("latex_damage"),
        where(seen["unusual"], said, holds(MOJIBAKE)).alias("mojibake"),
        control.alias("control"),
    )


def _truncated() -> pl.Expr:
    """Boolean: by status, by finish reason, or by the cap: servers say `stop` though it was reached.

    What a joint call gives each trace of its tokens is a share, which says nothing about the cap.
    """
    cap = pl.col("params").str.extract(_CAP, 1).cast(pl.Int64, strict=False)
    capped = (pl.col("completion_tokens") >= cap) & pl.col("call_id").is_null() & (cap > 0)
    ended = pl.col("finish_reason").is_in(_AT_CAP)
    return capped.fill_null(False) | ended.fill_null(False) | (pl.col("status") == "truncated")


def _answers(texts: pl.Series) -> pl.Series:
    """List(String): the answer lines of each text, cut behind their values."""
    lines = texts.str.extract_all(ANSWER_LINE)
    return lines.list.eval(pl.element().filter(~pl.element().str.contains(LIST_NUMBER)))


def _conflicting(texts: pl.Series) -> pl.Series:
    return _answers(texts).list.eval(_value(pl.element())).list.drop_nulls().list.n_unique() > 1


def _bare(texts: pl.Series) -> pl.Series:
    return texts.to_frame("text").select(before_answer(pl.col("text")).str.count_matches(r"\S+") < 3).to_series()


def _value(line: pl.Expr) -> pl.Expr:
    """What an answer line says, spelt so that equal values are equal; null for a formula."""
    said = line.str.extract(rf"^(?i:{_ANNOUNCED})({VALUE})", 1).str.to_lowercase().str.replace_all(r"[,$€£]", "")
    plain = said.str.replace(r"^([-−]?[0-9]+)\.0*$", "$1").str.replace(r"(\.[0-9]*[1-9])0+$", "$1")
    return pl.when(~plain.str.starts_with("\\")).then(plain)
