"""How varied the wording of a group of traces is, measured on a sample of them.

Words are runs of letters, digits and apostrophes, in lower case. The answer line is left out: it is
the same for everyone. Samples of all groups have the same size, because vocabulary and share of
distinct word pairs depend on how much one looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from curation.trust.defects import before_answer

SAMPLE: Final = 700
"""Traces of a group that are looked at."""
PAIRS_OF: Final = 8_000
"""Words of a sample whose pairs are counted."""
GRAM: Final = 4
"""Words that count as a repetition when they come again in the same order."""
WORD: Final = r"[\p{L}\p{N}_]+(?:['’][\p{L}\p{N}_]+)*"


def wording(sample: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Figures of wording, one row per group.

    Args:
        sample: `text` (String) and the columns of `by`, at most `SAMPLE` rows of each group, in a fixed order.
        by: what makes a group.

    Returns:
        The columns of `by` and, null where the sample has too few words to say:

        sampled          Int: traces looked at
        distinct_2       distinct pairs of neighbouring words / pairs, over the first `PAIRS_OF` words of the sample;
                         pairs do not reach from one trace into the next. Li et al. 2016, arXiv:1510.03055
        vocabulary       Int: different words of the sample
        opening          the commonest first three words of a trace
        opening_share    share of traces that begin with them
        repeats_within   share of a trace's runs of `GRAM` words that it has said before, pooled over the sample
        repeats_between  share of runs of `GRAM` words that another trace of the sample has too: what makes the traces
                         of one teacher look alike. After Salkar et al. 2022, "Self-Repetition in Abstractive Neural
                         Summarizers", as a share of runs instead of their score
    """
    # Groups get a number: the columns of `by` may be null, and a number is cheaper to carry along.
    groups = sample.select(by).unique(maintain_order=True).with_row_index("group")
    traces = (
        sample.join(groups, on=list(by), nulls_equal=True, maintain_order="left")
        .with_row_index("trace")
        .select("trace", "group", words=before_answer(pl.col("text")).str.to_lowercase().str.extract_all(WORD))
    )
    words = (
        traces.explode("words", empty_as_null=False)
        .drop_nulls("words")
        .select("trace", "group", word=pl.col("words").hash())
        .with_columns(place=pl.int_range(pl.len()).over("group"))
    )
    found = (
        groups.join(traces.group_by("group").agg(sampled=pl.len()), on="group", how="left")
        .join(_pairs(words), on="group", how="left")
        .join(words.group_by("group").agg(vocabulary=pl.col("word").n_unique()), on="group", how="left")
        .join(_openings(traces), on="group", how="left")
        .join(_repeats(words), on="group", how="left")
    )
    return found.drop("group")


def _run(length: int) -> pl.Expr:
    """UInt64 per word: a hash of it and the next words of its trace; null where those are too few."""
    ahead = [pl.col("word").shift(-step).over("trace").alias(str(step)) for step in range(length)]
    return pl.when(ahead[-1].is_not_null()).then(pl.struct(ahead).hash())


def _pairs(words: pl.DataFrame) -> pl.DataFrame:
    pairs = words.filter(pl.col("place") < PAIRS_OF).select("group", pair=_run(2)).drop_nulls()
    return pairs.group_by("group").agg(distinct_2=pl.col("pair").n_unique() / pl.len())


def _openings(traces: pl.DataFrame) -> pl.DataFrame:
    first = traces.select("group", opening=pl.col("words").list.head(3).list.join(" "))
    counted = (
        first.with_columns(traces=pl.len().over("group"))
        .group_by("group", "opening")
        .agg(count=pl.len(), opening_share=pl.len() / pl.col("traces").first())
    )
    best = counted.filter(pl.col("opening") != "").sort("group", "count", "opening", descending=[False, True, False])
    return best.unique("group", keep="first").select("group", "opening", "opening_share")


def _repeats(words: pl.DataFrame) -> pl.DataFrame:
    runs = words.select("group", "trace", run=_run(GRAM)).drop_nulls()
    each = runs.group_by("group", "trace", "run").agg(times=pl.len())
    shared = each.with_columns(traces=pl.len().over("group", "run"))
    times = pl.col("times")
    return shared.group_by("group").agg(
        repeats_within=(times - 1).sum() / times.sum(),
        repeats_between=times.filter(pl.col("traces") > 1).sum() / times.sum(),
    )
