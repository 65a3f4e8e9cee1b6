"""What duplicates are looked for among, traces or problems, and how groups of them become marks.

An item has an id, a text, and a guard: items with different guards are never in one group. The guard is the gold
answer, as `builders.answers` normalises it, as given where that cannot be read. An unknown gold is a value of its own:
if it went with any, two problems with different golds could meet through a third whose gold is unknown.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.text.steps import trace_text

Within = Literal["corpus", "problem"]
"""Where copies of a trace are looked for: anywhere, or among the traces of the same problem only."""

TRACE_COLUMNS: Final = ("problem_id", "gold", "gold_value", "response", "reasoning", "answer")
PROBLEM_COLUMNS: Final = ("problem_id", "gold", "gold_value", "question", "choices")


def trace_items(traces: pl.LazyFrame, within: Within) -> pl.LazyFrame:
    """`id`, `text` (see `trace_text`), `guard` (UInt64) of each trace; text is null where nothing is said."""
    guards = [_gold()] if within == "corpus" else [_gold(), pl.col("problem_id")]
    return traces.select(pl.col("trace_id").alias("id"), _said(trace_text()).alias("text"), _hashed(*guards))


def problem_items(traces: pl.LazyFrame) -> pl.LazyFrame:
    """The same of each problem with a question: its choices are part of the text.

    Read from its trace of the least id, so that nothing depends on order should two traces disagree.
    """
    asked = traces.filter(pl.col("problem_id").is_not_null() & pl.col("question").is_not_null())
    first = asked.group_by("problem_id").agg(pl.col("trace_id").min()).select("trace_id").collect(engine="streaming")
    choices = pl.col("choices").list.join("\n", ignore_nulls=True).fill_null("")
    text = pl.concat_str("question", choices, separator="\n")
    once = asked.join(first.lazy(), on="trace_id", how="semi")
    return once.select(pl.col("problem_id").alias("id"), _said(text).alias("text"), _hashed(_gold()))


def of_traces(groups: pl.DataFrame, name: str) -> pl.DataFrame:
    """Groups of traces (`id` and the marks) as marks: `trace_id`, `<name>.<mark>`."""
    return groups.rename({mark: "trace_id" if mark == "id" else f"{name}.{mark}" for mark in groups.columns})


def of_problems(groups: pl.DataFrame, name: str, traces: pl.LazyFrame) -> pl.DataFrame:
    """Groups of problems as marks of their traces; null where there is no question."""
    named = groups.rename({mark: "problem_id" if mark == "id" else f"{name}.{mark}" for mark in groups.columns})
    pairs = traces.select("trace_id", "problem_id").collect(engine="streaming")
    return pairs.join(named, on="problem_id", how="left", maintain_order="left").drop("problem_id")


def representatives(ids: pl.Series, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [items]: the item of the least id among those with the same label; labels count from 0."""
    order = ids.arg_sort().to_numpy()
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.arange(len(ids))
    least = np.full(labels.max(initial=-1) + 1, len(ids))
    np.minimum.at(least, labels, rank)
    named: NDArray[np.int64] = order[least[labels]].astype(np.int64)
    return named


def groups_of(ids: pl.Series, named: NDArray[np.int64], present: NDArray[np.bool_]) -> pl.DataFrame:
    """`id`, `group` (the id of the item that names it), `size`; the last two null where `present` is false.

    Args:
        ids: String [items].
        named: int64 [items]: the item that names the group of each, see `representatives`.
        present: bool [items].
    """
    sizes = np.bincount(named, minlength=len(ids))[named]
    columns = {"id": ids, "group": ids.gather(named), "size": pl.Series(sizes, dtype=pl.Int32)}
    there = pl.Series(present, dtype=pl.Boolean)
    frame = pl.DataFrame(columns, schema_overrides={"id": pl.String, "group": pl.String})
    return frame.with_columns(pl.when(there).then(pl.col(mark)).alias(mark) for mark in ("group", "size"))


def runs(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of equal values begins, and how long it is."""
    changes = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    begins = np.flatnonzero(changes)
    return begins, np.diff(begins, append=len(values))


def _said(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(r"\S")).then(text)


def _gold() -> pl.Expr:
    return pl.coalesce("gold_value", pl.col("gold").str.strip_chars())


def _hashed(*parts: pl.Expr) -> pl.Expr:
    """UInt64, null for none. Polars may hash otherwise in its next version: marks depend on equality alone."""
    present = [pl.concat_str(part.is_not_null().cast(pl.String), part.fill_null("")) for part in parts]
    return pl.concat_str(*present, separator="\x00").hash().alias("guard")
