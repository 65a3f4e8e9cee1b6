"""Steps as data: where the steps of a trace end, and how much each trace says.

`segment` cuts one text, `cut` a column; `Steps` marks traces with the cuts and with what can be
counted. The rules for where a step ends are in `curation.text.segment`. Not here: what level of detail the
counts amount to (`curation.text.detail`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from curation.text.segment import HARD, ITEM, ends, is_blank, mark_ends

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

NUMBER: Final = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|[½⅓⅔¼¾⅕⅛]"
"""`1,000.50` is one number, and so is each half of `3/4`; `1st` holds one too."""
EQUATION: Final = r"[^<>!:=\s]\s*(?:=|≈|\\approx|(?i:equals|is equal to))"
"""Something that equals something; a chain `a = b = c` counts twice. Not `<=`, `!=` or `:=`."""
NO_EQUATION: Final = r"[^<>!:=\s]\s*=(?:[=>]|\s*\$?<<)"
"""Looks like one at its left: `=>`, `==`, and the first half of GSM8K's `48/2 = <<48/2=24>>24`."""
CONNECTIVES: Final = (
    *("because", "since", "so", "therefore", "thus", "hence", "consequently", "then", "first", "second", "third"),
    *("next", "finally", "if", "when", "while", "but", "however", "although", "also", "given", "which means"),
    *("this means", "as a result", "in other words", "for example", "instead", "now"),
)
"""Words that tie one thought to another; `∴`, `∵` and `⇒` count too. English only."""
CONNECTIVE: Final = rf"(?i:(?-u:\b)(?:{'|'.join(CONNECTIVES)})(?-u:\b))|[∴∵⇒]"

COUNTS: Final[dict[str, PolarsDataType]] = {
    "count": pl.Int32(),
    "words": pl.Int32(),
    "chars": pl.Int32(),
    "numbers": pl.Int32(),
    "equations": pl.Int32(),
    "connectives": pl.Int32(),
}


def trace_text() -> pl.Expr:
    """What a trace says, thought and answer: the text that `Steps` cuts and counts.

    `response` holds both, unless the engine set the reasoning apart: then they are joined by a line end. Null
    where there is neither. Reads the columns response, reasoning, answer.
    """
    response, reasoning, answer = pl.col("response"), pl.col("reasoning"), pl.col("answer")
    apart = reasoning.is_not_null() & (response.is_null() | (response == answer))
    joined = pl.concat_str(reasoning, pl.coalesce(answer, pl.lit("")), separator="\n")
    return pl.when(apart).then(joined).otherwise(pl.coalesce(response, answer))


def segment(text: str) -> list[str]:
    r"""The steps of one text; joined they are the text again.

    White space belongs to the step before it. A text of nothing but white space is one piece, though `Steps`
    counts no step in it; an empty one is none.

    >>> segment("1. He has 3.5 kg.2. Half is 3.5 / 2 = 1.75.3. Done")
    ['1. He has 3.5 kg.', '2. Half is 3.5 / 2 = 1.75.', '3. Done']
    """
    pieces: list[str] = cut(pl.Series([text], dtype=pl.String))[0].to_list()
    return pieces


def cut(texts: pl.Series) -> pl.Series:
    """List(String): the steps of each text, as `segment` gives them; null for null."""
    rows = mark_ends(pl.LazyFrame({"text": texts}).with_row_index("row"), "text", "marked")
    whole = pl.concat_list(pl.col("text").str.len_chars().cast(pl.Int32))
    blank = is_blank(pl.col("text")) & (pl.col("text") != "")
    found = rows.select(end=pl.when(blank).then(whole).otherwise(ends(pl.col("marked")))).collect().to_series()
    return at_ends(texts, found)


def at_ends(texts: pl.Series, found: pl.Series) -> pl.Series:
    """List(String): each text cut at its ends, List(Int32), as the pass marks them; null for null."""
    rows = pl.LazyFrame({"text": texts, "end": found}).with_row_index("row")
    pieces = (
        rows.filter(pl.col("end").list.len() > 0)
        .explode("end")
        .with_columns(start=pl.col("end").shift(1).over("row").fill_null(0))
        .select("row", piece=pl.col("text").str.slice(pl.col("start"), pl.col("end") - pl.col("start")))
        .group_by("row", maintain_order=True)
        .agg("piece")
    )
    none = pl.when(pl.col("text").is_not_null()).then(pl.lit([], pl.List(pl.String)))
    joined = rows.join(pieces, on="row", how="left", maintain_order="left")
    return joined.select(pl.coalesce("piece", none).alias(texts.name)).collect().to_series()


@dataclass(frozen=True, slots=True)
class Steps:
    """Marks traces with where their steps end, and with how much they say.

    ends          List(Int32)  characters up to the end of each step: `text[ends[i - 1]:ends[i]]` is step i
    count         Int32        steps; 0 for an empty text
    words         Int32        runs of anything but white space
    chars         Int32        characters (code points)
    numbers       Int32        numbers said, list numbers aside; see `NUMBER`
    equations     Int32        see `EQUATION`
    connectives   Int32        see `CONNECTIVES`
    compression   Float32      bytes after zlib (level 6) over bytes before: low where a text repeats itself, above 1
                               for very short ones; null for an empty text

    All null where there is no text. Ends rather than texts are kept: those would double the disk, and the text is in
    the trace already.
    """

    name: ClassVar[str] = "steps"  # written into shards: never reuse
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "our own segmenter, checked against the steps counted by hand in the traces of arXiv:2502.18001"
    )
    cost: ClassVar[str] = "58,800 rows/s on 2 cores; zlib is half of it"
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {"ends": pl.List(pl.Int32), **COUNTS, "compression": pl.Float32()}

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `steps.ends`, `steps.count` and the rest."""
        prefix = f"{self.name}."
        before = traces.collect_schema().names()
        marks = [prefix + name for name in self.marks]
        return (
            counted(traces, trace_text(), prefix)
            .with_columns(
                ends(pl.col(f"{prefix}marked")).alias(f"{prefix}ends"),
                compression(pl.col(f"{prefix}text")).alias(f"{prefix}compression"),
            )
            .select(*before, *marks)
        )


def counted(traces: pl.LazyFrame, text: pl.Expr, prefix: str, names: Iterable[str] = COUNTS) -> pl.LazyFrame:
    """Add `<prefix>text`, `<prefix>marked` (see `mark_ends`) and counts, those of `COUNTS` that are named."""
    said, marked = pl.col(f"{prefix}text"), pl.col(f"{prefix}marked")
    items = marked.str.count_matches(ITEM, literal=True)
    cuts = marked.str.count_matches(HARD, literal=True)
    counts = {
        "count": pl.when(is_blank(marked)).then(0).otherwise(cuts + 1),
        "words": said.str.count_matches(r"\S+"),
        "chars": said.str.len_chars(),
        # A list number is not a number that is said. One that is glued to a number was counted as part of that.
        "numbers": said.str.count_matches(NUMBER).cast(pl.Int32) - items.cast(pl.Int32),
        "equations": said.str.count_matches(EQUATION).cast(pl.Int32)
        - said.str.count_matches(NO_EQUATION).cast(pl.Int32),
        "connectives": said.str.count_matches(CONNECTIVE),
    }
    with_text = mark_ends(traces.with_columns(text.alias(f"{prefix}text")), f"{prefix}text", f"{prefix}marked")
    return with_text.with_columns(counts[name].cast(COUNTS[name]).alias(prefix + name) for name in names)


def compression(text: pl.Expr) -> pl.Expr:
    """Float32: bytes after zlib (level 6) over bytes before; null for null and for an empty text.

    The one thing here that Python does row by row, and the dearest: 10 microseconds for 280 bytes, more than
    cutting costs. LZ4 would take one, but finds next to nothing in texts that short.
    """

    def ratios(texts: pl.Series) -> pl.Series:
        raws = texts.cast(pl.Binary).to_list()
        return pl.Series([len(zlib.compress(raw)) / len(raw) if raw else None for raw in raws], dtype=pl.Float32)

    return text.map_batches(ratios, return_dtype=pl.Float32, is_elementwise=True)
