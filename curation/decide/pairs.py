"""Preference pairs: which two traces of a problem are put against each other. Texts are read when they are written."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.config import Pairs
from curation.decide.keys import Keys
from curation.decide.rules import Rows, preferred


def make_pairs(keys: Keys, rules: list[Pairs], good: NDArray[np.bool_], complete: NDArray[np.bool_]) -> pl.DataFrame:
    """Pairs of all rules, by problem, rule and number.

    Args:
        keys: in the order of a dataset.
        rules: what is paired.
        good: traces that meet `keep` and are no duplicates.
        complete: traces with a completion that may be looked at at all.

    Returns:
        problem, rule (its number), chosen, rejected: UInt32, the latter two places in the order of a dataset.
    """
    found = [_of_rule(keys, number, rule, good, complete) for number, rule in enumerate(rules)]
    empty = pl.DataFrame(schema=dict.fromkeys(("problem", "rule", "number", "chosen", "rejected"), pl.UInt32))
    return pl.concat([empty, *found]).sort("problem", "rule", "number").drop("number")


def _of_rule(
    keys: Keys, number: int, rule: Pairs, good: NDArray[np.bool_], complete: NDArray[np.bool_]
) -> pl.DataFrame:
    chosen, rejected = _sides(keys, number, rule, good, complete)
    left, right = _numbered(keys, chosen, rule, "chosen"), _numbered(keys, rejected, rule, "rejected")
    pairs = left.join(right, on=["problem", "number"], how="inner")
    if rule.rule == "short_long":  # beyond the middle the shortest would meet a shorter one
        tokens = keys.columns["tokens"]
        pairs = pairs.filter(pl.Series(tokens[pairs["chosen"].to_numpy()] < tokens[pairs["rejected"].to_numpy()]))
    return pairs.select("problem", pl.lit(number, pl.UInt32).alias("rule"), "number", "chosen", "rejected")


def _sides(
    keys: Keys, number: int, rule: Pairs, good: NDArray[np.bool_], complete: NDArray[np.bool_]
) -> tuple[Rows, Rows]:
    """Traces that can be chosen, and those that can be rejected, each in the order of pairing."""
    columns = keys.columns
    if rule.rule == "short_long":
        known = np.flatnonzero(good & (columns["tokens"] >= 0))
        return preferred(keys, known, "shortest", ""), preferred(keys, known, "longest", "")
    if rule.levels:
        first, second = (np.flatnonzero(good & (columns["granularity"] == level)) for level in rule.levels)
        return first, second
    chosen, rejected = columns[f"chosen:{number}"] & complete, columns[f"rejected:{number}"] & complete
    if rule.rule == "correct_incorrect":
        chosen = chosen & good
    return np.flatnonzero(chosen), np.flatnonzero(rejected & ~chosen)


def _numbered(keys: Keys, rows: Rows, rule: Pairs, side: str) -> pl.DataFrame:
    """problem, number within it, place; at most as many of a problem as pairs are wanted."""
    frame = pl.DataFrame({"problem": keys.columns["problem"][rows], side: rows.astype(np.uint32)})
    frame = frame.with_columns(number=pl.int_range(pl.len(), dtype=pl.UInt32).over("problem"))
    return frame.filter(pl.col("number") < rule.per_problem)
