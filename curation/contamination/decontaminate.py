"""Decontamination: traces whose question is, or repeats, a question of a benchmark.

Judged by content alone: what a trace says about its source and split is not asked. Each hit names the row of the
benchmark and the words that both have. Paraphrases and translations share no n-grams and are not found here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import numpy as np
import polars as pl
from pydantic import Field

from builders.errors import CotmillError
from curation.contamination.benchmarks import FORMS, Benchmark, content_of, listed, load_benchmarks
from curation.contamination.ngrams import Places
from curation.contamination.overlap import TEXTS, Index, words_of
from curation.text.steps import trace_text

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import Span

KINDS: Final = ("exact", "normalised", "stem", "ngram")
"""The strongest first."""
NOTE: Final = 240
"""Characters of a benchmark question that a note shows."""
_NO_SPACES: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_PIECES: Final = rf"\s*(?:[{_NO_SPACES}]|[^\s{_NO_SPACES}]+)"
"""What a text is cut into to say where its words stand: no word has a part in two pieces."""


@dataclass(frozen=True, slots=True)
class Decontaminate:
    """Marks traces that hold a question of a benchmark, with the row of the benchmark and the matching words.

    hit         Boolean   null where there is nothing to look at
    kind        String    how both are the same; the strongest there is, of one strength the earliest row:
                          exact        character for character, white space around it aside; choices too
                          normalised   word for word: case, signs, spacing and `1,000.00` for `1000` aside
                          stem         word for word, with other choices or in another order
                          ngram        `overlap` or more of the benchmark question's n-grams
    benchmark   String    its name
    row         Int32     of the benchmark, from 0
    span        String    the matching words as they stand in the trace; of n-grams, the longest run
    overlap     Float32   largest share of any benchmark question's n-grams that is here, hit or not

    kind, benchmark, row and span are null where there is no hit. Choices are compared where both sides have them. A
    benchmark question of 8 to n - 1 words is one n-gram; a shorter one is found only as a whole question.
    """

    name: ClassVar[str] = "decontaminate"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("question", "choices", "response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "hit": pl.Boolean(),
        "kind": pl.String(),
        "benchmark": pl.String(),
        "row": pl.Int32(),
        "span": pl.String(),
        "overlap": pl.Float32(),
    }
    source: ClassVar[str] = (
        "any single 13-gram of words: GPT-3, arXiv:2005.14165, appendix C; how much it finds: measured"
    )
    cost: ClassVar[str] = "190,000 questions/s, 45,000 texts/s (2 cores); 1 M benchmark questions: 20 s, 2 GB; numpy"

    against: str | tuple[str, ...] = ()
    """Benchmarks: files, `OWNER/NAME[@CONFIG][:SPLIT]` of the Hub, presets (`gsm8k`); a list, or one text with `+`."""
    ngram: Annotated[int, Field(ge=5, le=50)] = 13
    """Words of an n-gram; 8 to 13 are usual. Fewer find more, and more that is mere wording."""
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of a benchmark question's n-grams from which it is a hit; 0: any single one, which is the usual rule."""
    of: Literal["question", "text", "both"] = "question"
    """What is searched; `text` finds a benchmark question quoted in thought or answer."""
    question: str | None = None
    """Column of the benchmarks' files with the question, where its name does not say so."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "against", listed(self.against))

    def content(self) -> str:
        """Digest of the benchmarks' questions.

        Raises:
            CotmillError: none is named, or one cannot be read; see `curation.contamination.benchmarks.load_benchmarks`.
        """
        return content_of(self._benchmarks())

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `decontaminate.hit` and the rest. Reads the benchmarks at once.

        Raises:
            CotmillError: see `content`.
        """
        index = _index(self._benchmarks(), self.ngram)
        found = pl.struct(
            pl.col("question") if self.of != "text" else pl.lit(None, pl.String).alias("question"),
            pl.col("choices") if self.of != "text" else pl.lit(None, pl.List(pl.String)).alias("choices"),
            (trace_text() if self.of != "question" else pl.lit(None, pl.String)).alias("text"),
        ).map_batches(
            lambda rows: self._judge(index, rows.struct.unnest()).select(*self.marks).to_struct(),
            return_dtype=pl.Struct(self.marks),
            is_elementwise=True,
        )
        temporary = f"{self.name}.found"
        return (
            traces.with_columns(found.alias(temporary))
            .with_columns(pl.col(temporary).struct.field(mark).alias(f"{self.name}.{mark}") for mark in self.marks)
            .drop(temporary)
        )

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """Where the matching words stand, each with the benchmark's row as note; for a handful of traces."""
        from curation.passes import Span

        index = _index(self._benchmarks(), self.ngram)
        rows = traces.select("question", "choices", trace_text().alias("text"))
        parts = [(column, _find(index, rows, column, self.overlap)) for column in _searched(self.of)]
        said: list[list[Span]] = [[] for _ in range(rows.height)]
        for column, found in parts:
            for i, row in enumerate(found.iter_rows(named=True)):
                if row["hit"]:
                    asked = _around(index.rows["question"][row["place"]], row["span"])
                    share = f"{row['overlap']:.0%}" if row["overlap"] >= 0.01 else "under 1%"
                    note = f"{row['kind']}, {share} of {row['benchmark']} row {row['row']}: {asked}"
                    said[i].append(Span("hit", column, row["start"], row["start"] + len(row["span"]), note))
        return said

    def _benchmarks(self) -> tuple[Benchmark, ...]:
        named = listed(self.against)
        if not named:
            raise CotmillError(
                "pass decontaminate: no benchmark is named, so there is nothing to look for.\n"
                f"A benchmark is {FORMS}. Say for example decontaminate:against=gsm8k+bench.jsonl"
            )
        try:
            return load_benchmarks(named, self.question)
        except CotmillError as error:
            raise type(error)(f"pass decontaminate: {error}") from None

    def _judge(self, index: Index, rows: pl.DataFrame) -> pl.DataFrame:
        """The marks of rows of question, choices and text; of both, the stronger hit."""
        found = [_find(index, rows, column, self.overlap) for column in _searched(self.of)]
        if len(found) == 1:
            return found[0]
        question, text = found
        # A hit before none, none before nothing to look at; then the stronger kind, the larger share, the earlier row.
        keys = [_strength(part) for part in found]
        better = pl.select(text=keys[1], question=keys[0]).select(pl.col("text") > pl.col("question")).to_series()
        return question.with_columns(
            pl.when(better).then(text[mark]).otherwise(pl.col(mark)).alias(mark) for mark in question.columns
        )


def _searched(of: str) -> tuple[Literal["question", "text"], ...]:
    match of:
        case "question":
            return ("question",)
        case "text":
            return ("text",)
    return ("question", "text")


def _strength(found: pl.DataFrame) -> pl.Series:
    """Float64 [rows]: larger for stronger evidence."""
    kind = pl.col("kind").replace_strict({kind: -i for i, kind in enumerate(KINDS)}, default=-len(KINDS))
    return found.select(
        pl.col("hit").cast(pl.Int8).fill_null(-1) * 100 + kind.cast(pl.Float64) * 10 + pl.col("overlap").fill_null(-1)
    ).to_series()


@lru_cache(maxsize=2)
def _index(benchmarks: tuple[Benchmark, ...], ngram: int) -> Index:
    return Index.of(benchmarks, ngram)


_CHOICES: Final = pl.Series("choices", [None], dtype=pl.List(pl.String))
_FOUND: Final = pl.Schema({**Decontaminate.marks, "place": pl.Int64(), "start": pl.Int64()})


def _find(index: Index, rows: pl.DataFrame, column: Literal["question", "text"], least: float) -> pl.DataFrame:
    """What is found in one column: columns of `_FOUND`. Questions are looked up once, however often they are asked."""
    if column == "text":
        return _find_each(index, rows["text"], _CHOICES.new_from_index(0, rows.height), least)
    said = rows.select("question", "choices", key=pl.col("choices").list.join("\x1f", ignore_nulls=True))
    once = said.unique(["question", "key"], keep="first", maintain_order=True)
    found = _find_each(index, once["question"], once["choices"], least).with_columns(once["question", "key"])
    joined = said.join(found, on=["question", "key"], how="left", nulls_equal=True, maintain_order="left")
    return joined.select(_FOUND.names())


def _find_each(index: Index, texts: pl.Series, choices: pl.Series, least: float) -> pl.DataFrame:
    parts = (
        _find_some(index, texts[start : start + TEXTS], choices[start : start + TEXTS], least)
        for start in range(0, len(texts), TEXTS)
    )
    return pl.concat([_FOUND.to_frame(), *parts])


def _find_some(index: Index, texts: pl.Series, choices: pl.Series, least: float) -> pl.DataFrame:
    said = words_of(texts)
    counts = np.diff(said.offsets)
    whole, parts = index.whole(said, texts, choices), index.parts(said, least)
    several = np.where((parts.share > 0) & (parts.share >= least), parts.place, -1)
    places = np.stack([*whole, several])
    strongest = np.argmax(places >= 0, axis=0)
    place = places[strongest, np.arange(len(texts))]
    hit, is_whole = place >= 0, (place >= 0) & (strongest < KINDS.index("ngram"))
    begin, end = np.where(is_whole, 0, parts.begin), np.where(is_whole, counts, parts.end)
    rows = np.flatnonzero(hit)
    start, span = _spans(texts.gather(rows), begin[rows], end[rows])
    evidence = pl.DataFrame(
        {
            "kind": pl.Series([KINDS[i] for i in strongest[rows]], dtype=pl.String),
            "benchmark": pl.Series([index.name(i) for i in place[rows]], dtype=pl.String),
            "row": index.rows["row"].gather(place[rows]),
            "span": span,
            "place": place[rows],
            "start": start,
            "at": rows,
        }
    )
    share = np.where(is_whole, np.float32(1), parts.share).astype(np.float32)
    every = pl.DataFrame({"hit": hit, "overlap": share, "said": counts > 0}).with_row_index("at").cast({"at": pl.Int64})
    return (
        every.with_columns(pl.when("said").then(mark).alias(mark) for mark in ("hit", "overlap"))
        .join(evidence, on="at", how="left", maintain_order="left")
        .select(_FOUND.names())
        .cast(_FOUND)
    )


def _spans(texts: pl.Series, begin: Places, end: Places) -> tuple[Places, pl.Series]:
    """Where words `begin` to `end - 1` of each text stand: the character they start at, and the text there."""
    if not len(texts):
        return begin, texts
    pieces = pl.DataFrame({"piece": texts.str.extract_all(_PIECES)}).with_row_index("text").explode("piece")
    said = np.concatenate([[0], np.cumsum(np.diff(words_of(pieces["piece"]).offsets))])
    long = pieces.select(
        whole=pl.col("piece").str.len_chars(), bare=pl.col("piece").str.strip_chars_start().str.len_chars()
    ).to_numpy()
    chars = np.concatenate([[0], np.cumsum(long[:, 0].astype(np.int64))])
    base = np.searchsorted(pieces["text"].to_numpy(), np.arange(len(texts)))
    first = np.searchsorted(said, said[base] + begin, side="right") - 1
    last = np.searchsorted(said, said[base] + end - 1, side="right") - 1
    start = chars[first] - chars[base] + (long[first, 0] - long[first, 1]).astype(np.int64)
    stop = chars[last + 1] - chars[base]
    cut = pl.DataFrame({"text": texts, "start": start, "length": stop - start})
    return start, cut.select(pl.col("text").str.slice("start", "length")).to_series()


def _around(question: str, span: str) -> str:
    """The part of a benchmark question around the matching words, in one line; all of it where it is short."""
    flat = " ".join(question.split())
    if len(flat) <= NOTE:
        return flat
    at = max(flat.lower().find(" ".join(span.lower().split())[:40]), 0)
    begin = max(0, min(at - NOTE // 8, len(flat) - NOTE))
    cut = flat[begin : begin + NOTE]
    return f"{'…' * (begin > 0)}{cut}{'…' * (begin + NOTE < len(flat))}"
