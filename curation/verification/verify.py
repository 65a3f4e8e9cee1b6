r"""Is a trace's answer right? Compares the answer it states with the gold answer.

Different things are different verdicts, and none is null: `correct`, `incorrect`, `unparseable` (no answer line, an
ambiguous one, or no response), `timeout` (not decided in time), `no_gold` (nothing to compare with). Two tiers: what
canonical spellings prove is settled for whole columns at once; formulas that are spelt differently go to math-verify
in processes with a deadline (`curation.verification.algebra`), each pair once. docs/verification.md says what counts
as an answer, and what is rejected on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import polars as pl

from builders.answers import normalise
from builders.numbers import SPELT
from builders.schema import ANSWER_TYPES
from curation.verification.extract import TORN, announced, answer_lines, only_answers, pieces
from curation.verification.reading import boolean_said, choice_said, last_number, latex_said, number_said, text_said
from curation.verification.units import other_unit

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

Verdict = Literal["correct", "incorrect", "unparseable", "timeout", "no_gold"]

SAID: Final = {"choice": choice_said, "boolean": boolean_said, "latex": latex_said, "text": text_said}
"""How the answer is cut out of its line, numbers aside."""
VALUE: Final = r"^-?[0-9]+(?:\.[0-9]+)?$"
"""A canonical number: another one is another value."""
FORMULA: Final = (
    r"\\(?:begin|end)\{[a-z]+\}|\\[A-Za-z]+|(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|exp|sqrt|max|min|gcd|lcm|mod"
)
"""Letters of a formula that are no words."""
BASE: Final = r"[0-9]\}?_"
"""A number in a base, which algebra does not know."""
MOST_WORDS: Final = 4
"""A gold formula of that many words is still an answer (`not enough information`); more are prose."""
LETTER: Final = (
    r"(?i)^[^\p{L}]*(?:(?:option|choice|answer)\s+(?:is\s+)?)*[(\[]?[A-Z](?:[\s}*]*[)\].:]|\s+[-–—]\s|\W*$)[\s}*\\]*"
)
"""What names an option, before its text."""
DRESSED: Final = r"[%$€£¥₹¢°\p{L}²³]"
"""Where a number may have a unit."""


GOLD_END: Final = 60
"""Characters of gold in which its unit is looked for."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Marks each trace with what it answers and whether that is the gold answer.

    A truncated response that states an answer is judged like any other, but for the word that it was cut in. What a
    model thinks is not searched: a response that never leaves its reasoning answers nothing.
    """

    name: ClassVar[str] = "verify"  # written into shards: never reuse
    version: ClassVar[int] = 2
    source: ClassVar[str] = "our own rules, held by the labelled table tests/verdicts.yaml; algebra by math-verify"
    cost: ClassVar[str] = "160,000 rows/s on 2 cores with number golds; Polars, math-verify for formulas"
    reads: ClassVar[tuple[str, ...]] = (
        *("answer", "response", "reasoning", "status"),
        *("gold", "gold_value", "answer_type", "choices"),
    )
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "verdict": pl.String(),
        "answer": pl.String(),
        "conflict": pl.Boolean(),
        "by": pl.String(),
    }

    fallback: Literal["none", "last_number"] = "none"
    """What to take for a number where no answer line is: nothing, or the last number of the response."""
    algebra: bool = True
    """Whether math-verify is asked about formulas that are spelt differently; without it they are incorrect."""
    seconds: float = 5.0
    """Wall seconds for one answer, after which its verdict is `timeout`."""

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `verify.` and

        verdict   see `curation.verification.verify`
        answer    canonical spelling; null: none was stated
        conflict  answer lines say different values (the last one decides); null: there is no answer line
        by        what decided between correct and incorrect: `exact` or `algebra`; null: nothing did
        """
        judged = pl.struct(self.reads).map_batches(
            lambda rows: self.judge(rows.struct.unnest()).to_struct("judged"),
            return_dtype=pl.Struct(self.marks),
            is_elementwise=True,
        )
        column = f"{self.name}."
        return (
            traces.with_columns(judged.alias(column))
            .with_columns(pl.col(column).struct.field(mark).alias(column + mark) for mark in self.marks)
            .drop(column)
        )

    def judge(self, traces: pl.DataFrame) -> pl.DataFrame:
        """The marks, without prefix, for a frame that holds the columns of `reads`; `gold` may be missing."""
        text = pl.coalesce("answer", pl.when(pl.col("reasoning").is_null()).then("response"))
        spoke = ~pl.col("status").is_in(["rejected", "empty"]).fill_null(False)
        rows = traces.select(
            pl.when(spoke).then(text).alias("text"),
            pl.col("gold") if "gold" in traces.columns else pl.lit(None, pl.String).alias("gold"),
            "gold_value",
            "choices",
            (pl.col("status") == "truncated").fill_null(False).alias("torn"),
            pl.when(pl.col("answer_type").is_in(ANSWER_TYPES))
            .then("answer_type")
            .otherwise(pl.lit("text"))
            .alias("kind"),
        ).with_row_index("row")
        if rows["torn"].any():
            whole = pl.when("torn").then(pl.col("text").str.replace(TORN, "")).otherwise("text")
            rows = rows.with_columns(whole.alias("text"))
        kinds = rows["kind"].unique().to_list()
        parts = [rows] if len(kinds) <= 1 else [rows.filter(kind=kind) for kind in kinds]
        done = [part.hstack(self._answers(part)) for part in parts]
        judged = done[0] if len(done) == 1 else pl.concat(done).sort("row")
        return self._settle(_other_units(judged.with_columns(_exact()))).select(list(self.marks))

    def _answers(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Columns said, answer and conflict of rows that share one answer type.

        The pieces of texts with several answer lines are read behind the texts themselves, in one go.
        """
        texts, whole = announced(rows["text"]), rows.height
        cut = pieces(texts)
        if cut.height:
            rows = pl.concat([rows, rows[cut["row"]].with_columns(cut["text"], torn=True)])
            texts = pl.concat([texts, announced(cut["text"])])
        lines = answer_lines(texts).with_columns(bare=pl.lit(False))
        silent = lines["marker"].is_null()
        if silent.any():
            alone = only_answers(rows.select(pl.when(silent & ~pl.col("torn")).then("text").alias("text")).to_series())
            lines = lines.with_columns(pl.coalesce("said", alone).alias("said"), bare=alone.is_not_null())
        answers = self._read(rows, lines)
        if self.fallback == "last_number" and whole and rows["kind"][0] == "number":
            guessed = last_number(rows["text"]).to_frame("said").select(normalise(pl.col("said"), "number")).to_series()
            answers = answers.zip_with(~silent | answers.is_not_null(), guessed)
        said = cut.select("row", answer=answers[whole:].str.to_lowercase()).drop_nulls()
        torn = said.group_by("row").agg(pl.col("answer").n_unique()).filter(pl.col("answer") > 1)["row"]
        conflict = pl.when(pl.col("marker").is_not_null()).then(
            pl.int_range(pl.len(), dtype=pl.UInt32).is_in(torn.implode())
        )
        return lines.head(whole).select("said", answers.head(whole).alias("answer"), conflict.alias("conflict"))

    def _read(self, rows: pl.DataFrame, lines: pl.DataFrame) -> pl.Series:
        """Canonical answers that lines state; null where doubtful. Rows share one answer type."""
        kind = rows["kind"][0] if rows.height else "text"
        if kind == "number":
            read = number_said(lines)
            answers = _spell(read["said"], kind)
            open_rows = answers.is_null() & read["maths"].is_not_null()
            if self.algebra and open_rows.any():
                answers = answers.zip_with(~open_rows, _spell(read["maths"], "latex"))
            return answers
        said = SAID[kind](lines)
        answers = _spell(said, kind)
        return _among_choices(answers, lines.with_columns(said=said), rows["choices"]) if kind == "choice" else answers

    def _settle(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Verdicts for the rows that spelling did not settle: by algebra, each pair of answers once."""
        keys = ["gold_value", "answer", "kind"]
        left = rows.filter(pl.col("verdict").is_null()).select(keys).unique(maintain_order=True)
        if left.is_empty():
            return rows
        if self.algebra:
            from curation.verification.algebra import same

            found = same(left["gold_value"], left["answer"], left["kind"], seconds=self.seconds)
        else:
            found = pl.repeat("incorrect", left.height, dtype=pl.String, eager=True)
        by = pl.when(self.algebra & pl.col("found").is_in(["correct", "incorrect"])).then(pl.lit("algebra"))
        settled = left.with_columns(found.alias("found")).with_columns(by.alias("way"))
        return rows.join(settled, on=keys, how="left", maintain_order="left").with_columns(
            pl.coalesce("verdict", "found").alias("verdict"), pl.coalesce("by", "way").alias("by")
        )


def verdicts(traces: pl.DataFrame) -> pl.Series:
    """String [traces]: the verdicts of `Verify()`, for judging small batches while sampling."""
    return Verify().judge(traces)["verdict"]


def _spell(said: pl.Series, kind: str) -> pl.Series:
    """Canonical answers; whole numbers, which most answers are, take the short way."""
    if kind != "number":
        return said.to_frame("said").select(normalise(pl.col("said"), kind)).to_series()
    bare = said.str.strip_chars_end(".")
    plain = bare.str.contains(SPELT).fill_null(True)
    if plain.all():
        return bare
    few = said.filter(~plain).to_frame("said").select(normalise(pl.col("said"), kind)).to_series()
    return bare.scatter((~plain).arg_true(), few)


def _exact() -> list[pl.Expr]:
    """Verdict and by, as far as spelling proves them; a null verdict is still open."""
    answer, gold, kind = pl.col("answer"), pl.col("gold_value"), pl.col("kind")
    latex = kind == "latex"
    plain = pl.when(latex).then(gold).str.replace_all(FORMULA, "")
    based = latex & (gold.str.contains(BASE) | answer.str.contains(BASE))
    words = latex & plain.str.contains(r"^[^0-9]*\p{L}{3}").fill_null(False)
    prose = words & (plain.str.count_matches(r"\p{L}{2,}") > MOST_WORDS)
    same = (answer == gold) | (((kind == "text") | words) & (answer.str.to_lowercase() == gold.str.to_lowercase()))
    values = answer.str.contains(VALUE) & gold.str.contains(VALUE)
    decided = kind.is_in(["choice", "boolean", "text"]) | values | based | (words & ~prose)
    known = gold.is_not_null() & answer.is_not_null()
    verdict = (
        pl.when(gold.is_null())
        .then(pl.lit("no_gold"))
        .when(answer.is_null() | (prose & ~same))
        .then(pl.lit("unparseable"))
        .when(same)
        .then(pl.lit("correct"))
        .when(decided)
        .then(pl.lit("incorrect"))
    )
    by = pl.when(known & (same | (decided & ~prose))).then(pl.lit("exact"))
    return [verdict.alias("verdict"), by.alias("by")]


def _other_units(rows: pl.DataFrame) -> pl.DataFrame:
    """The same number of another unit is another answer: `5 cm` for gold `5 m`."""
    gold = pl.col("gold").str.tail(GOLD_END).str.replace(r"(?s)^.*####\s*", "")
    dressed = (pl.col("kind") == "number") & (pl.col("verdict") == "correct") & gold.str.contains(DRESSED)
    few = rows.filter(dressed).select("row", gold.alias("gold"), "said")
    if few.is_empty():
        return rows
    wrong = few.filter(other_unit(few["gold"], few["said"]))["row"]
    return rows.with_columns(
        pl.when(pl.col("row").is_in(wrong.implode())).then(pl.lit("incorrect")).otherwise("verdict").alias("verdict")
    )


def _among_choices(letters: pl.Series, lines: pl.DataFrame, choices: pl.Series) -> pl.Series:
    """Letters that exist and go with the words behind them; where none was said but the text of one choice, its letter.

    Args:
        letters: String [traces], `A` .. `Z` or null.
        lines: said and bare of each trace.
        choices: List(String) [traces]; null: unknown, then any letter will do.
    """
    rows = lines.select("said", "bare", letter=letters, choice=choices).with_row_index("row")
    place = pl.col("letter").str.to_integer(base=36, strict=False) - 10  # in base 36, A is 10
    behind = pl.when(pl.col("letter").is_not_null()).then(
        pl.col("said").str.replace(LETTER, "").str.strip_chars(" .*$}!")
    )
    rows = rows.with_columns(
        letter=pl.when(~(place >= pl.col("choice").list.len()).fill_null(False)).then("letter"),
        behind=behind.fill_null(""),
    )
    alone = (pl.col("behind") == "") & pl.col("letter").is_not_null()
    turned = pl.col("behind").str.contains(r"^(?i:not|no|wrong|incorrect|false)(?-u:\b)|^[A-Z]$")
    each = rows.filter(~alone & pl.col("said").is_not_null() & (pl.col("choice").list.len() > 0)).explode("choice")
    option, said = _plain_text(pl.col("choice")), _plain_text(pl.col("said"))
    each = each.with_columns(place=pl.int_range(pl.len()).over("row")).filter(
        (said == option)
        | (_plain_text(pl.col("behind")) == option)
        | (said == _letter(pl.col("place")).str.to_lowercase() + " " + option)
    )
    only = each.group_by("row").agg(pl.col("place").first(), pl.len()).filter(pl.col("len") == 1)
    joined = rows.join(only.select("row", named=_letter(pl.col("place"))), on="row", how="left", maintain_order="left")
    fits = alone | pl.when("bare").then(pl.col("letter") == pl.col("named")).otherwise(
        (pl.col("named").is_null() & ~turned) | (pl.col("letter") == pl.col("named"))
    )
    return joined.select(
        pl.when(pl.col("letter").is_null()).then("named").when(fits).then("letter").alias("letter")
    ).to_series()


def _plain_text(value: pl.Expr) -> pl.Expr:
    return normalise(value, "text").str.to_lowercase().str.strip_chars(" \"'()")


def _letter(place: pl.Expr) -> pl.Expr:
    return pl.lit("ABCDEFGHIJKLMNOPQRSTUVWXYZ").str.slice(place, 1)
