"""From converted texts to rows of the corpus, chunk by chunk, each chunk a shard that is there whole or not at all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from builders.corpus import Corpus
from builders.disk import replacing
from builders.identity import trace_id
from builders.journal import SHARD_ROWS
from builders.prompts import render_question
from builders.schema import TRACES
from builders.spec import Band
from builders.traces import split_reasoning
from curation.convert.anatomy import source_text
from curation.convert.free import Free

INHERITED = (
    *("problem_id", "question", "choices", "gold", "gold_value", "answer_type", "source", "split"),
    *("teacher", "gold_shown"),
)
"""Columns of a child that are its parent's."""


@dataclass
class Report:
    """An account of sources: each of them is made, held or without a child."""

    how: str
    level: int | None
    format: str | None
    sources: int = 0
    made: int = 0
    held: int = 0  # the child was in the corpus before
    without: Counter[str] = field(default_factory=Counter)  # no child, by reason

    def as_dict(self) -> dict[str, Any]:
        """Plain data; reasons commonest first."""
        return {**vars(self), "without": dict(self.without.most_common())}


def sources_of(corpus: Corpus, chosen: pl.Series, rows: int = SHARD_ROWS) -> Iterator[pl.DataFrame]:
    """The chosen traces with all their columns, shard by shard, `rows` at most at a time, in a fixed order."""
    for shard in corpus.shards():
        scan = pl.scan_parquet(shard, glob=False, schema=TRACES, missing_columns="insert", extra_columns="ignore")
        yield from scan.filter(pl.col("trace_id").is_in(chosen.implode())).collect().iter_slices(rows)


def convert_free(corpus: Corpus, free: Free, chosen: pl.Series, lengths: Lengths | None = None) -> Report:
    """Convert the chosen traces without a model, and append the children.

    Args:
        corpus: locked for writing by the caller.
        free: the conversion.
        chosen: String, ids of the sources.
        lengths: for padding, what to aim at.

    Returns:
        What became of every source.
    """
    report, held = Report(free.how, free.level, free.format), set(corpus.held_ids())
    key, described = free.arm()
    for chunk in sources_of(corpus, chosen):
        report.sources += chunk.height
        sources = with_text(chunk)
        if lengths is not None:
            sources = lengths.beside(sources)
        extra = (
            sources["partner"].fill_null("") if lengths is not None else pl.Series([""]).new_from_index(0, chunk.height)
        )
        ids = [
            trace_id(problem, key, 0, parent + more)
            for problem, parent, more in zip(sources["problem_id"], sources["trace_id"], extra, strict=True)
        ]
        sources = sources.with_columns(
            pl.Series("child_id", ids, pl.String), pl.Series("there", [one in held for one in ids], pl.Boolean)
        )
        sources = sources.with_columns(pl.col("child_id").alias("seed"))
        report.held += int(sources["there"].sum())
        fresh = sources.filter(~pl.col("there"))
        unfit = fresh.filter(pl.col("unfit").is_not_null())
        report.without.update(unfit["unfit"].to_list())
        fit = fresh.filter(pl.col("unfit").is_null())
        if fit.is_empty():
            continue
        made = fit.with_columns(free.texts(fit).select(pl.col("text").alias("made"), "reason"))
        report.without.update(made["reason"].drop_nulls().to_list())
        children = _children(free, key, made.filter(pl.col("made").is_not_null()))
        report.made += children.height
        if children.height:
            corpus.add_arms({key: described})
            with replacing(corpus.path / "traces" / f"{corpus.next_shard()}.parquet") as temporary:
                children.write_parquet(temporary)
    return report


def with_text(traces: pl.DataFrame) -> pl.DataFrame:
    """Traces with their whole `text`, and `unfit`: why a trace can be no source; null where it can."""
    unfit = (
        pl.when(pl.col("status").is_in(["rejected", "empty"]) | ~pl.col("text").str.contains(r"\S").fill_null(False))
        .then(pl.lit("no text"))
        .when(pl.col("status") == "truncated")
        .then(pl.lit("the source is truncated"))
    )
    return traces.with_columns(source_text().alias("text")).with_columns(unfit.alias("unfit"))


def _children(free: Free, key: str, made: pl.DataFrame) -> pl.DataFrame:
    """Rows as TRACES, for sources with `made` and `child_id`."""
    parts = [split_reasoning(text) for text in made["made"]]
    asked = [render_question(*row) for row in made.select("question", "choices").rows()]
    turns = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": text}, {"role": "user", "content": free.ask}]
        for q, text in zip((q or "" for q in asked), made["text"], strict=True)
    ]
    targets = made["words"].to_list() if "words" in made.columns else [None] * made.height
    level = pl.lit(free.level, pl.Int8) if free.how in ("merge", "split") else pl.col("granularity")
    columns: dict[str, pl.Expr | pl.Series] = {
        "trace_id": pl.col("child_id"),
        **{name: pl.col(name) for name in INHERITED},
        "arm_id": pl.lit(key),
        "granularity": level,
        "format": pl.col("format") if free.format is None else pl.lit(free.format),
        "sample_index": pl.lit(0, pl.Int32),
        "parent_id": pl.col("trace_id"),
        "messages": pl.Series("messages", turns, TRACES["messages"]),
        "response": pl.col("made"),
        "reasoning": pl.Series("reasoning", [part[0] for part in parts], pl.String),
        "answer": pl.Series("answer", [part[1] for part in parts], pl.String),
        "status": pl.lit("ok"),
        "params": pl.Series("params", [free.params(words) for words in targets], pl.String),
        "engine": pl.lit(f"{free.how} {free.version}"),
        "created_at": pl.lit(datetime.now(UTC)),
    }
    filled = {name: columns.get(name, pl.lit(None)) for name in TRACES}
    return made.select(expression.alias(name) for name, expression in filled.items()).cast(TRACES)


class Lengths:
    """What padding aims at: the length of the finer trace of the same problem, or the middle of the level's band.

    The finer trace is the one of the level, the same teacher and, where there are several, the same sample index or
    else the lowest one. Its id goes into the child's: another partner gives another child.
    """

    def __init__(self, corpus: Corpus, level: int, band: Band) -> None:
        self._middle = round(math.sqrt(band.words[0] * band.words[1]))
        finer = corpus.traces().filter(
            pl.col("granularity") == level, pl.col("parent_id").is_null(), pl.col("status") == "ok"
        )
        columns = ["problem_id", "teacher", "format", "sample_index"]
        self._finer = (
            finer.select(*columns, partner="trace_id", words=source_text().str.count_matches(r"\S+").cast(pl.Int32))
            .filter(pl.col("words") > 0)
            .sort(*columns, "partner")
            .collect()
        )

    def beside(self, sources: pl.DataFrame) -> pl.DataFrame:
        """Sources with `words`, Int32, and `partner`: the finer trace's id, null where the band's middle counts."""
        keys = ["problem_id", "teacher", "format"]
        each = self._finer.unique([*keys, "sample_index"], keep="first", maintain_order=True)
        first = each.unique(keys, keep="first", maintain_order=True).drop("sample_index")
        joined = sources.join(each, on=[*keys, "sample_index"], how="left", nulls_equal=True, maintain_order="left")
        joined = joined.join(first, on=keys, how="left", nulls_equal=True, maintain_order="left", suffix="_first")
        return joined.with_columns(
            pl.coalesce("words", "words_first", pl.lit(self._middle, pl.Int32)).alias("words"),
            pl.coalesce("partner", "partner_first").alias("partner"),
        ).drop("words_first", "partner_first")
