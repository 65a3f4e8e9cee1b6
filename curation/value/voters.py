"""Which traces speak for a problem, and short keys to group them by."""

from __future__ import annotations

import polars as pl


def is_try(count_told: bool = False) -> pl.Expr:
    """Boolean: whether a trace is a try of its own at its problem. Reads the columns parent_id and gold_shown.

    A conversion repeats the answer of its source, and a teacher who was told the gold answer repeats that (unless
    `count_told`): neither says anything new about problem or answer.
    """
    sampled = pl.col("parent_id").is_null()
    return sampled if count_told else sampled & pl.col("gold_shown").ne_missing(True)


def key_of(*columns: str) -> pl.Expr:
    """UInt64: the same for rows that are equal in all `columns`; null where one of them is null.

    64 bits of hash stand for ids and texts of any length, as a corpus of millions has to fit in memory. Two of a
    million problems meet with a probability of 3e-8.
    """
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in columns)
    return pl.when(known).then(pl.struct(columns).hash())
