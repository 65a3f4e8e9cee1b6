"""Guards: is a converted trace still the trace it was made from?

Judged from the row alone: the last three turns of a converted trace's `messages` are the question, the source and
what was asked for. A trace that was sampled has no guards, and nulls here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import polars as pl

from builders.numbers import number
from builders.traces import split_reasoning
from curation.convert.anatomy import LABELS, sizes, source_text
from curation.convert.arithmetic import operands, true_equations
from curation.text.steps import cut
from curation.trust.talk import RESIDUE as PROMPTED
from curation.verification.verify import Verify

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

RESIDUE: Final = (
    r"(?i)^\W*(?:sure|certainly|of course|okay|here(?:'s| is| are))\b[^.\n]{0,120}(?::|\n|solution|version)"
    r"|\b(?:re-?written|revised|reworded|expanded|shortened|condensed|padded)[ -](?:solution|version|answer|text)\b"
    r"|\b(?:original|given|provided|previous|above) (?:solution|trace|answer)\b"
    r"|\b(?:level|granularity) ?[1-6]\b|step-by-step solution\s*[:\]]"
    r"|(?:^|\n)\W*(?:more|less) detail(?:ed)?\b[^.\n]{0,40}:"
)
"""Words of a conversion's prompt, beside those of any prompt: see `curation.trust.talk.RESIDUE`."""
QUOTED: Final = 6
"""A sentence of what was asked for, of so many words or more, is residue too where the trace repeats it."""

_COUNTED: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_OTHER: Final = {
    1: ("once", "single"),
    2: ("half", "twice", "double", "doubled", "pair", "couple", "both"),
    3: ("third", "thrice", "triple"),
    4: ("quarter",),
    7: ("week",),
    12: ("dozen",),
    100: ("hundred",),
    1000: ("thousand",),
}
WORDS: Final[dict[str, int]] = {
    **{word: value for value, word in enumerate(_COUNTED)},
    **{word: 20 + 10 * place for place, word in enumerate(_TENS)},
    **{word: value for value, words in _OTHER.items() for word in words},
}
"""Numbers that a text may hold as words; a rewrite may write them in digits."""
SPOKEN: Final = rf"(?i)\b(?:{'|'.join(WORDS)})\b"
FIGURE: Final = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?"
HOW: Final = r'"convert":\{"how":"([^"]*)"'
SUBSCRIPT: Final = r"\p{L}[_^]?\{?[0-9]+\}?"
"""`x_1`, `S_{10}`, `x2`: names, not numbers."""

Reason = Literal["unfinished", "answer", "copy", "residue", "new_numbers", "band"]
REASONS: Final[tuple[Reason, ...]] = ("unfinished", "answer", "copy", "residue", "new_numbers", "band")


@dataclass(frozen=True, slots=True)
class Guards:
    """Marks converted traces with what their conversion did to them.

    answer       Boolean  it answers what its source answers; where the source's answer cannot be read, what gold is;
                          null: neither is known
    new_numbers  List     numbers that neither question nor source hold, in canonical spelling, and that no equation
                          of the trace proves: one that holds exactly, out of numbers that are known by then.
                          List numbers and subscripts are none; `four` in the question makes 4 known
    band         Boolean  steps and words are what the conversion promised; null: it promised nothing
    residue      Boolean  it holds words of a prompt, of a chat template, or a sentence of what was asked for
    copy         Boolean  it is its source; of a teacher's, white space and letter case aside
    ok           Boolean  finished, and nothing of the above is against it
    reason       String   what first is, of unfinished, answer, copy, residue, new_numbers, band

    All null for a trace that was not converted. A guard that is null counts for nothing.
    """

    name: ClassVar[str] = "guards"  # written into shards: never reuse
    version: ClassVar[int] = 2
    source: ClassVar[str] = "our own; the numbers-preserved and answer-unchanged checks of arXiv:2502.18001 section 4"
    cost: ClassVar[str] = "5,000 to 9,000 converted rows/s; sampled traces cost nothing"
    reads: ClassVar[tuple[str, ...]] = (
        *("parent_id", "messages", "question", "choices", "gold", "gold_value", "answer_type", "params"),
        *("response", "reasoning", "answer", "status"),
    )
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "answer": pl.Boolean(),
        "new_numbers": pl.List(pl.String),
        "band": pl.Boolean(),
        "residue": pl.Boolean(),
        "copy": pl.Boolean(),
        "ok": pl.Boolean(),
        "reason": pl.String(),
    }

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `guards.ok`, `guards.reason` and the rest."""
        column = f"{self.name}."
        judged = pl.struct(self.reads).map_batches(
            lambda rows: self.judge(rows.struct.unnest()).to_struct("judged"),
            return_dtype=pl.Struct(self.marks),
            is_elementwise=True,
        )
        return (
            traces.with_columns(judged.alias(column))
            .with_columns(pl.col(column).struct.field(mark).alias(column + mark) for mark in self.marks)
            .drop(column)
        )

    def judge(self, traces: pl.DataFrame) -> pl.DataFrame:
        """The marks, without prefix, for a frame that holds the columns of `reads`."""
        rows = traces.with_row_index("row")
        children = rows.filter(pl.col("parent_id").is_not_null())
        if children.is_empty():
            return traces.select(pl.lit(None, kind).alias(name) for name, kind in self.marks.items())
        judged = _judge(children).select(children["row"], *(pl.col(n).cast(k) for n, k in self.marks.items()))
        return rows.select("row").join(judged, on="row", how="left", maintain_order="left").drop("row")


def verdicts(traces: pl.DataFrame) -> pl.Series:
    """String [traces]: `correct` where no guard is against a trace, else its reason; for judging while sampling."""
    judged = Guards().judge(traces)
    return judged.select(pl.coalesce("reason", pl.lit("correct")).alias("verdict")).to_series()


def _judge(children: pl.DataFrame) -> pl.DataFrame:
    turn = pl.col("messages").list
    rows = children.with_columns(
        child=source_text(),
        source=turn.get(-2, null_on_oob=True).struct.field("content"),
        asked=turn.get(-3, null_on_oob=True).struct.field("content"),
        ask=turn.get(-1, null_on_oob=True).struct.field("content"),
    )
    marks = pl.DataFrame(
        {
            "answer": same_answer(rows, rows["source"]),
            "new_numbers": new_numbers(rows["child"], _known(rows)),
            "band": _in_band(rows),
            "residue": _residue(rows),
            "copy": rows.select(_copied()).to_series(),
            "unfinished": rows.select((pl.col("status") != "ok") | pl.col("child").is_null()).to_series(),
        }
    )
    against = {
        "unfinished": pl.col("unfinished"),
        "answer": ~pl.col("answer"),
        "copy": pl.col("copy"),
        "residue": pl.col("residue"),
        "new_numbers": pl.col("new_numbers").list.len() > 0,
        "band": ~pl.col("band"),
    }
    reason = pl.coalesce(pl.when(against[name]).then(pl.lit(name)) for name in REASONS)
    return marks.with_columns(reason=reason).with_columns(ok=pl.col("reason").is_null())


def _copied() -> pl.Expr:
    """A layout may change nothing but white space, so what was made without a model is compared as it is."""
    rewritten = (pl.col("params").str.extract(HOW, 1) == "teacher").fill_null(True)
    same = pl.col("child").str.strip_chars() == pl.col("source").str.strip_chars()
    return pl.when(rewritten).then(_plain("child") == _plain("source")).otherwise(same)


def _plain(name: str) -> pl.Expr:
    return pl.col(name).str.replace_all(r"\s+", " ").str.strip_chars().str.to_lowercase()


def answers(texts: pl.Series, like: pl.DataFrame) -> pl.Series:
    """String [traces]: what texts answer, in canonical spelling; null: nothing that can be read.

    Args:
        texts: String [traces], whole traces.
        like: [traces] with choices and answer_type.
    """
    parts = [split_reasoning(text) if text is not None else (None, None) for text in texts]
    frame = like.select("choices", "answer_type").with_columns(
        texts.alias("response"),
        pl.Series("reasoning", [part[0] for part in parts], pl.String),
        pl.Series("answer", [part[1] for part in parts], pl.String),
        pl.lit("ok").alias("status"),
        pl.lit(None, pl.String).alias("gold_value"),
    )
    return Verify().judge(frame)["answer"]


def same_answer(rows: pl.DataFrame, sources: pl.Series) -> pl.Series:
    """Boolean [traces]: whether rows answer what their sources do; where that is unreadable, whether they are correct.

    Args:
        rows: [traces] with the columns that `Verify` reads.
        sources: String [traces], the texts that rows were made from.
    """
    own = Verify().judge(rows)
    before = answers(sources, rows)
    correct = pl.when(own["verdict"] != "no_gold").then(own["verdict"] == "correct")
    same = pl.when(before.is_not_null()).then((own["answer"] == before).fill_null(False)).otherwise(correct)
    return pl.select(same.alias("answer")).to_series()


def _in_band(rows: pl.DataFrame) -> pl.Series:
    """Boolean: steps and words lie where `params` says that they should; null: it says nothing."""
    measured = sizes(rows["child"]).with_columns(rows["params"])
    inside = []
    for what in ("steps", "words"):
        low, high = (
            pl.col("params").str.json_path_match(f"$.convert.band.{what}[{i}]").cast(pl.Int32, strict=False)
            for i in (0, 1)
        )
        inside.append(pl.col(what).is_between(low, high))
    steps, words = inside
    both = pl.when(steps.is_null()).then(words).when(words.is_null()).then(steps).otherwise(steps & words)
    valid = pl.col("params").str.contains('"band":{"', literal=True)
    return measured.with_columns(pl.when(valid).then("params")).select(both).to_series()


def _residue(rows: pl.DataFrame) -> pl.Series:
    """Boolean: words that only a prompt holds, or a sentence of what was asked for."""
    found = rows.select(pl.col("child").str.contains(RESIDUE) | pl.col("child").str.contains(PROMPTED)).to_series()
    for ask in rows["ask"].drop_nulls().unique():
        sentences = [s.strip().lower() for s in re.split(r"(?<=[.!?])\s+", ask) if len(s.split()) >= QUOTED]
        if sentences:
            quoted = rows["child"].str.to_lowercase().str.contains_any(sentences) & (rows["ask"] == ask)
            found = found | quoted.fill_null(False)
    return found


def _known(rows: pl.DataFrame) -> pl.Series:
    """List(String) [traces]: numbers that question, choices and source hold, in digits or in words."""
    said = rows.select(
        pl.concat_str(
            pl.col("asked").fill_null(""),
            pl.col("question").fill_null(""),
            pl.col("choices").list.join(" ", ignore_nulls=True).fill_null(""),
            pl.col("source").fill_null(""),
            separator="\n",
        ).alias("said")
    ).to_series()
    return pl.select(pl.concat_list(figures(said), _spoken(said)).list.unique(maintain_order=True)).to_series()


def _spoken(texts: pl.Series) -> pl.Series:
    values = {word: str(value) for word, value in WORDS.items()}
    element = pl.element().str.to_lowercase().replace_strict(values, default=None, return_dtype=pl.String)
    return texts.str.extract_all(SPOKEN).list.eval(element)


def figures(texts: pl.Series) -> pl.Series:
    """List(String) [traces]: the numbers of each text in canonical spelling, each once; null for null.

    List numbers and subscripts are left out.
    """
    steps = cut(texts).list.eval(pl.element().str.replace(LABELS, "${1}"))
    bare = steps.list.join("\n").str.replace_all(SUBSCRIPT, " ")
    found = bare.str.extract_all(FIGURE).to_frame("figure").with_row_index("row")
    each = found.explode("figure").filter(pl.col("figure").is_not_null())
    spelt = each.with_columns(number(each["figure"]).alias("figure")).drop_nulls()
    lists = spelt.group_by("row", maintain_order=True).agg(pl.col("figure").unique(maintain_order=True))
    none = pl.when(texts.is_not_null()).then(pl.lit([], pl.List(pl.String)))
    joined = found.select("row").join(lists, on="row", how="left", maintain_order="left")
    return joined.select(pl.coalesce("figure", none)).to_series().alias(texts.name)


def new_numbers(texts: pl.Series, known: pl.Series) -> pl.Series:
    """List(String) [traces]: numbers of each text that are not known, and that no equation in it proves.

    Args:
        texts: String [traces].
        known: List(String) [traces], in canonical spelling.
    """
    new = pl.DataFrame({"own": figures(texts), "known": known}).select(
        pl.col("own").list.set_difference("known").alias("new")
    )
    out = new["new"].to_list()
    for row, numbers in enumerate(out):  # few traces hold a new number; those are read one at a time
        if numbers:
            out[row] = sorted(set(numbers) - _proven(texts[row], set(known[row])))
    return pl.Series("new_numbers", out, pl.List(pl.String))


def _proven(text: str, known: set[str]) -> set[str]:
    """Results of equations that hold and whose operands are known by then, in canonical spelling."""
    proven: set[str] = set()
    for equation in true_equations(text):
        spelt = number(pl.Series([equation.right, *operands(equation.left)], dtype=pl.String)).to_list()
        if all(operand in known or operand in proven for operand in spelt[1:]):
            proven.add(spelt[0].removeprefix("-"))
    return proven
