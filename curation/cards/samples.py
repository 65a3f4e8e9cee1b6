"""Up to three kept rows to show: one problem at several levels where there is one, else rows of different kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

SHOWN: Final = 3
LONGEST: Final = 1_500
"""Characters of a prompt or a completion that a card shows."""
_KEY: Final = ["trace_id", "problem_id", "teacher", "granularity", "format"]
_TOLD: Final = ["teacher", "granularity", "format", "gold", "answer", "verdict", "trace_id"]


def samples(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The rows: teacher, granularity, format, gold, answer, verdict, trace_id, prompt and completion (texts, cut).

    Which ones depends on the rows alone, not on how they lie in files.
    """
    scan = pl.scan_parquet(list(files), glob=False)
    chosen = _chosen(scan.select(_KEY).collect(engine="streaming"))
    wanted = pl.DataFrame({"trace_id": chosen, "_at": range(len(chosen))}, schema={"trace_id": pl.String, "_at": int})
    said = {name: pl.col(name).list.last().struct.field("content") for name in ("prompt", "completion")}
    rows = scan.join(wanted.lazy(), on="trace_id").select("_at", *_TOLD, **said).collect(engine="streaming")
    found = rows.unique("_at", keep="any").sort("_at").drop("_at").to_dicts()
    return [row | {key: _cut(row[key] or "") for key in said} for row in found]


def _chosen(rows: pl.DataFrame) -> list[str]:
    """Ids of the problem that shows most levels of one teacher and format: coarsest, middle, finest; then of others."""
    told = rows.group_by("teacher", "format", "problem_id").agg(n=pl.col("granularity").n_unique())
    # The smallest id among equals: ids are hashes, so that this is no choice of ours.
    one = told.sort("n", "problem_id", "teacher", "format", descending=[True, False, False, False], nulls_last=True)
    best = one.head(1).drop("n")
    keys = ["teacher", "format", "problem_id"]
    alike = rows.join(best, on=keys, how="semi", nulls_equal=True).sort("granularity", "trace_id", nulls_last=True)
    ids = alike.unique("granularity", keep="first", maintain_order=True)["trace_id"].to_list()
    picked = [ids[0], ids[len(ids) // 2], ids[-1]] if len(ids) > SHOWN else ids
    other = rows.filter(~pl.col("trace_id").is_in(picked)).sort("trace_id")
    others = other.unique(["teacher", "granularity", "format"], keep="first", maintain_order=True)["trace_id"]
    return [*picked, *others.to_list()][:SHOWN]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
