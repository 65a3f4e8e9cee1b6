"""Does the reasoning of a trace lead to the answer that it states?

Cheap proxies, over whole columns: they compare numbers and names that stand in the text, and know nothing of what it
means. Not here: whether the answer is right (`verify`) and whether the equations hold (`arithmetic`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import polars as pl

from curation.engine.gates import judged, places
from curation.text.steps import trace_text
from curation.trust.equations import HIGHEST_ITEM, leading_value
from curation.verification.extract import MARKERS

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import Span

TAIL: Final = 200
"""Characters at the end that are searched first: a marker there is the last one, and nearly all are there."""
CUT: Final = "\x1e"
"""Put before every answer marker, to cut a text at them."""

_DIGITS = r"(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)"
_NUMBER = rf"[-−]?\s?\\?[$€£₹]?\s?{_DIGITS}"
STATED: Final = rf"^[^0-9\n]{{0,60}}?({_NUMBER}(?:\s?/\s?[0-9]+)?)"
"""The first number behind an answer marker, whatever words lead up to it."""
BARE: Final = rf"^[\s:：=*_$(\\\[]*({_NUMBER}(?:\s?/\s?[0-9]+)?)"
"""The same with no words before it: for answers that need not be numbers."""
_OPERATION = r"(?:[A-Za-z\s]{0,20}(?:[-+*×÷·−^]|\\times|\\cdot|\\div)\s?(?:[0-9($]|[A-Za-z](?-u:\b)))"
RESULT: Final = rf"=\s*{_NUMBER}(?:\s?/\s?[0-9]+)?{_OPERATION}?"
"""What follows an equals sign, and whether an operation goes on behind it: `= 13 books + 8 books`."""
GOES_ON: Final = rf"{_OPERATION}$"
SAID: Final = r"[0-9][0-9,]*(?:\.[0-9]+)?"
GLUED: Final = r"([0-9][0-9,]*)\.(?:[1-9]|1[0-9]|20)[.)]\s*\p{Lu}"
"""`145.5. To ensure` may be 145 and list item 5."""
LETTER: Final = r"^[^A-Za-z\n]{0,20}(?:(?i:option|choice|answer)\s+)?\(?([A-Z])(?:[^A-Za-z]|$)"
ONE_NUMBER: Final = rf"^[^0-9]*?({_NUMBER}(?:\s?/\s?[0-9]+)?)[^0-9]*$"

_ITEM_ENDS: Final = re.compile(r"[.)]\s*[A-Z]")
SENTENCE: Final = r"[^.!?\s][^.!?\n]{7,}"
"""Shorter ones (`1`, `= 5`) may come again and say something new."""

TAKEN_BACK: Final = (
    r"(?i)(?-u:\b)(?:wait|sorry|apolog(?:y|ies|i[sz]e)|mistake|mistaken|actually|correction|incorrect|hold on|oops"
    r"|scratch that|on second thought|my bad|let me re[a-z]*|misread|miscalculated|should (?:be|have been)"
    r"|not (?:right|correct))(?-u:\b)"
)
"""Behind the answer line, these apologise for it or take it back."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """Marks traces whose reasoning and answer do not go together.

    mismatch_low       Boolean  the last `= number` before the answer line differs from the stated answer, which occurs
                                nowhere before: rarely harmless
    mismatch_high      Boolean  the last `= number` differs, whatever else; checks and other units are harmless
    value_absent       Boolean  the stated number never occurs before the answer line
    other_option_only  Boolean  it names the text of another option and not that of the one that it chooses: a weak sign
    repeat_share       Float32  share of the text, in bytes of sentences, that it has said before; 0..1
    flaw_repetition    Boolean  `repeat_share` is `share` or more
    takes_back         Boolean  behind its answer line it apologises or takes the answer back

    Null where it does not apply: without an answer line, where the answer is no number (for multiple choice: where the
    chosen option holds none), where nothing equals a number, without options, without a sentence. The answer line is
    the last one. A list number that sticks to a result does not make it another one.
    """

    share: float = 0.3
    """Of a text that says the same again, from which on it goes round in circles."""

    name: ClassVar[str] = "consistency"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer", "answer_type", "choices")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "mismatch_low": pl.Boolean(),
        "mismatch_high": pl.Boolean(),
        "value_absent": pl.Boolean(),
        "other_option_only": pl.Boolean(),
        "repeat_share": pl.Float32(),
        "flaw_repetition": pl.Boolean(),
        "takes_back": pl.Boolean(),
    }
    source: ClassVar[str] = (
        "think/answer: our own, measured on the traces released with arXiv 2502.18001; repetition: a cheap proxy for "
        "an LLM judge that is told 30 % of the text (flaw repetition, arXiv:2505.23646)"
    )
    cost: ClassVar[str] = "230,000 rows/s on 2 cores; Polars"

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `consistency.mismatch_low` and the rest."""
        return judged(traces, self, self._judge)

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """The result and the answer that differ, sentences that come again, and words that take an answer back."""
        texts = traces.select(_text()).to_series()
        lines = last_line(texts)
        rows = traces.select(pl.col(f"{self.name}.{mark}").alias(mark) for mark in self.marks).iter_rows(named=True)
        return [_spans(*row) for row in zip(texts, lines, rows, strict=True)]

    def _judge(self, traces: pl.DataFrame) -> pl.DataFrame:
        texts = traces.select(_text()).to_series()
        rows = traces.select(pl.col("answer_type").fill_null("text").alias("kind"), "choices").with_columns(
            texts.alias("text"), last_line(texts).alias("line")
        )
        behind = pl.col("line").str.replace(rf"(?i)^(?:{MARKERS})", "")
        before = pl.col("text").str.head(pl.col("text").str.len_chars() - pl.col("line").str.len_chars())
        rows = rows.with_columns(before.alias("before"), behind.alias("behind"), option=_option(behind))
        stated = number(rows.select(_stated()).to_series())
        differs = _differs(last_results(rows["before"]), stated, rows["before"])
        absent = ~occurs(stated, rows["before"])
        repeated = repeat_share(texts)
        return pl.DataFrame(
            {
                "mismatch_low": (differs & absent).set(differs.is_null(), None),
                "mismatch_high": differs,
                "value_absent": absent,
                "other_option_only": other_option_only(rows),
                "repeat_share": repeated,
                "flaw_repetition": repeated >= self.share,
                "takes_back": rows["behind"].str.contains(TAKEN_BACK),
            }
        )


def _text() -> pl.Expr:
    return pl.when(trace_text().str.contains(r"\S")).then(trace_text())


def last_line(texts: pl.Series) -> pl.Series:
    """String [traces]: the last answer marker and all that follows it; null where there is none."""
    line = _last_piece(texts.str.tail(TAIL))
    unseen = line.is_null() & (texts.str.len_bytes() > TAIL)
    if not unseen.any():
        return line
    rows = unseen.arg_true()
    return line.scatter(rows, _last_piece(texts.gather(rows)))


def _last_piece(texts: pl.Series) -> pl.Series:
    pieces = (
        texts.str.replace_all(CUT, " ", literal=True).str.replace_all(f"(?i){MARKERS}", f"{CUT}${{0}}").str.split(CUT)
    )
    return (
        pieces.to_frame("pieces")
        .select(pl.when(pl.col("pieces").list.len() > 1).then(pl.col("pieces").list.last()))
        .to_series()
    )


def _option(behind: pl.Expr) -> pl.Expr:
    """String: the text of the option that an answer line names by its letter."""
    letter = pl.when(pl.col("kind") == "choice").then(behind.str.extract(LETTER, 1))
    place = letter.str.to_integer(base=36, strict=False) - 10  # in base 36, A is 10
    return pl.col("choices").list.get(place, null_on_oob=True)


def _stated() -> pl.Expr:
    """String: the number that an answer line states, as it is written there."""
    line = pl.col("behind").str.replace(r"^[^\n]*=", "")
    kind = pl.col("kind")
    return (
        pl.when(kind == "choice")
        .then(pl.col("option").str.extract(ONE_NUMBER, 1))
        .when(kind == "number")
        .then(line.str.extract(STATED, 1))
        .when(kind != "boolean")
        .then(line.str.extract(BARE, 1))
    )


def number(said: pl.Series) -> pl.Series:
    """Float64: the value of what `STATED` or `RESULT` found; equal decimals give equal values."""
    plain = said.str.replace_all(r"[=,$€£₹\s\\]", "").str.replace("−", "-", literal=True)
    value = plain.cast(pl.Float64, strict=False)
    ratio = plain.str.contains("/", literal=True).fill_null(False)
    if not ratio.any():
        return value
    parts = plain.filter(ratio).str.split_exact("/", 1).struct.unnest().cast(pl.Float64, strict=False)
    return value.scatter(ratio.arg_true(), parts["field_0"] / parts["field_1"])


def last_results(before: pl.Series) -> pl.DataFrame:
    """What the last equals sign before the answer line gives.

    Returns:
        said: String, as it is written. value: Float64; of `= 13 + 8`, where the trace stops before the last sum, 21;
        null where nothing equals a number, or it is not clear which.
    """
    said = before.str.extract_all(RESULT).list.last()
    value = number(said)
    rows = said.str.contains(GOES_ON).fill_null(False).arg_true()
    worked_out = [_worked_out(text, last) for text, last in zip(before.gather(rows), said.gather(rows), strict=True)]
    if worked_out:
        value = value.scatter(rows, pl.Series(worked_out, dtype=pl.Float64))
    return pl.DataFrame({"said": said, "value": value})


def _worked_out(text: str, last: str) -> float | None:
    value = leading_value(text[text.rindex(last) + 1 :])
    return None if value is None else float(value)


def _differs(result: pl.DataFrame, stated: pl.Series, before: pl.Series) -> pl.Series:
    """Boolean [traces]: result and answer are two numbers; null where one is missing."""
    differs = result["value"] != stated
    rows = differs.fill_null(False).arg_true()
    columns = (before.gather(rows), result["said"].gather(rows), stated.gather(rows))
    apart = [not _is_glued(text, said, answer) for text, said, answer in zip(*columns, strict=True)]
    return differs.scatter(rows, pl.Series(apart, dtype=pl.Boolean)) if apart else differs


def _is_glued(text: str, said: str, stated: float) -> bool:
    """Whether a list number stuck to a result that is the answer: `= 145.5. To` or `= 1455. To` for 145."""
    behind = text[text.rindex(said) + len(said) :]
    if not _ITEM_ENDS.match(behind):
        return False
    item = said.replace(",", "").rstrip().removeprefix("=").strip(" $").partition(f"{stated:.0f}")
    number = item[2].removeprefix(".")
    return not item[0] and number.isdigit() and 1 < int(number) <= HIGHEST_ITEM


def occurs(stated: pl.Series, before: pl.Series) -> pl.Series:
    """Boolean [traces]: the number, whatever its sign, is among those of the text before; null where there is none."""
    asked = pl.select(pl.when(stated.is_not_null()).then(before)).to_series()
    found = _holds(asked.str.extract_all(SAID), stated)
    left = (~found).fill_null(False).arg_true()
    if left.is_empty():
        return found
    glued = asked.gather(left).str.extract_all(GLUED).list.eval(pl.element().str.extract(GLUED, 1))
    return found.scatter(left, _holds(glued, stated.gather(left)))


def _holds(numbers: pl.Series, stated: pl.Series) -> pl.Series:
    values = numbers.list.eval(pl.element().str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False))
    return (
        pl.DataFrame({"values": values, "stated": stated.abs()})
        .select(pl.when(pl.col("stated").is_not_null()).then(pl.col("values").list.contains(pl.col("stated"))))
        .to_series()
    )


def other_option_only(rows: pl.DataFrame) -> pl.Series:
    """Boolean [traces]: another option's text is named before the answer line and the chosen one's is not.

    Args:
        rows: before, choices, and option: the text of the one that is chosen; null: none is.
    """
    none = pl.repeat(None, rows.height, dtype=pl.Boolean, eager=True)
    asked = rows["option"].is_not_null().arg_true()
    if asked.is_empty():
        return none
    few = rows.select("before", "choices", "option")[asked].with_row_index("row")
    plain = few.with_columns(
        pl.col("before", "option").str.to_lowercase(), pl.col("choices").list.eval(pl.element().str.to_lowercase())
    )
    each = plain.explode("choices").filter(pl.col("choices").str.strip_chars() != "")
    named = pl.col("before").str.contains(pl.col("choices"), literal=True)
    chosen = pl.col("choices") == pl.col("option")
    seen = each.group_by("row").agg(other=(named & ~chosen).any(), own=(named & chosen).any())
    marks = few.select("row").join(seen, on="row", how="left", maintain_order="left")
    return none.scatter(asked, marks.select((pl.col("other") & ~pl.col("own")).fill_null(False)).to_series())


def repeat_share(texts: pl.Series) -> pl.Series:
    """Float32 [traces]: bytes of sentences that were said before over bytes of all sentences; null without one."""
    sentences = texts.str.extract_all(SENTENCE)
    count = sentences.list.len()
    share = pl.select(pl.when(count > 0).then(pl.lit(0, pl.Float32))).to_series()
    few = (count > sentences.list.n_unique()).fill_null(False).arg_true()
    if few.is_empty():
        return share
    each = pl.DataFrame({"row": few, "sentence": sentences.gather(few)}).explode("sentence")
    each = each.with_columns(size=pl.col("sentence").str.len_bytes())
    first = pl.col("sentence").is_first_distinct()
    again = each.group_by("row", maintain_order=True).agg(
        share=1 - pl.col("size").filter(first).sum() / pl.col("size").sum()
    )
    return share.scatter(again["row"], again["share"].cast(pl.Float32))


def _spans(text: str | None, line: str | None, marks: dict[str, Any]) -> list[Span]:
    from curation.passes import Span  # which imports the passes

    found: list[Span] = []
    if text is None:
        return found
    answer = len(text) - len(line or "")
    which = "mismatch_low" if marks["mismatch_low"] else "mismatch_high" if marks["mismatch_high"] else None
    if which:
        found += [Span(which, "text", *place, "the last result") for place in places(text[:answer], RESULT)[-1:]]
    if which or marks["value_absent"]:
        found.append(Span(which or "value_absent", "text", answer, len(text), "the answer line"))
    if marks["repeat_share"]:
        seen: set[str] = set()
        for start, end in places(text, SENTENCE):
            if text[start:end] in seen:
                found.append(Span("repeat_share", "text", start, end, "said before"))
            seen.add(text[start:end])
    if marks["takes_back"]:
        behind = [(answer + start, answer + end) for start, end in places(text[answer:], TAKEN_BACK)]
        found += [Span("takes_back", "text", *place) for place in behind]
    return found
