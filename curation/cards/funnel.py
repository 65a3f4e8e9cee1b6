"""From sampled to kept: which rule took how many rows away, and what of that was contamination.

A stage is a kind of rule. A row counts in the stage of its first reason, so stages add up; reasons count both ways,
as the first and as one of several.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import polars as pl

STAGES: Final = {
    "listed": "in the given list of traces",
    "answered": "with a completion",
    "in scope": "of the kind that the recipe wants, by what was asked",
    "verified": "with the right answer",
    "sound": "free of the defects that the recipe names",
    "decontaminated": "without a benchmark's questions",
    "deduplicated": "without duplicates",
    "selected": "chosen per problem, in common, by mixture",
}
"""Stage -> what is left after it, in words."""
SPANS: Final = 5
"""Matching spans that a benchmark shows."""


def stage_of(reason: str) -> str:
    """The stage that a reason of `curation.decide.select.decision` belongs to.

    A condition belongs to the pass that it names first.

    >>> stage_of("failed: verify.verdict = 'correct'"), stage_of("unknown: granularity > 2"), stage_of("mix")
    ('verified', 'in scope', 'selected')
    """
    if reason == "not selected":
        return "listed"
    if reason == "no completion":
        return "answered"
    if reason.partition(":")[0] == "duplicate":
        return "deduplicated"
    if not reason.startswith(("failed: ", "unknown: ")):
        return "selected"
    named = re.search(r"\b([a-z]\w*)\.[a-z]", re.sub(r"'[^']*'", "", reason))
    return {"verify": "verified", "decontaminate": "decontaminated"}.get(named[1], "sound") if named else "in scope"


def stages(rows: pl.DataFrame, conditions: Sequence[str]) -> list[dict[str, Any]]:
    """What is left after each stage that removed a row or has a condition, in the order in which rules apply.

    Args:
        rows: reason (null: kept) and rows (how many).
        conditions: the recipe's `keep`.

    Returns:
        stage (the first is `sampled`, the last `kept`), removed, left.
    """
    gone: dict[str, int] = {}
    for reason, count in rows.drop_nulls("reason").group_by("reason").agg(pl.col("rows").sum()).rows():
        gone[stage_of(reason)] = gone.get(stage_of(reason), 0) + count
    asked = [stage_of(f"failed: {condition}") for condition in conditions if condition != "true"]
    order = dict.fromkeys(["listed", "answered", *asked, *STAGES])
    left = int(rows["rows"].sum())
    found = [{"stage": "sampled", "removed": 0, "left": left}]
    for stage in order:
        if stage in gone or stage in asked:
            left -= gone.get(stage, 0)
            found.append({"stage": stage, "removed": gone.get(stage, 0), "left": left})
    return [*found, {"stage": "kept", "removed": 0, "left": left}]


def funnel(rows: pl.DataFrame, removed: Sequence[Path], conditions: Sequence[str]) -> list[dict[str, Any]]:
    """Every reason: reason, stage, first (rows whose first reason it is), all (rows that it applies to).

    In the order of the rules; conditions that removed nothing are there with zeros.

    Args:
        rows: reason (null: kept) and rows (how many).
        removed: files of removed rows.
        conditions: the recipe's `keep`.
    """
    first = dict(rows.drop_nulls("reason").group_by("reason").agg(pl.col("rows").sum()).rows())
    every = _all_reasons(removed)
    said = [f"{state}: {condition}" for condition in conditions for state in ("failed", "unknown")]
    asked = [reason for reason in said if reason in every or reason in first or reason.startswith("failed")]
    known = ["not selected", "no completion", *(reason for reason in asked if reason != "failed: true")]
    rest = sorted({*first, *every} - set(known), key=lambda reason: (list(STAGES).index(stage_of(reason)), reason))
    return [
        {
            "reason": reason,
            "stage": stage_of(reason),
            "first": first.get(reason, 0),
            "all": max(every.get(reason, 0), first.get(reason, 0)),
        }
        for reason in [*known, *rest]
        if reason in asked or first.get(reason, 0) or every.get(reason, 0)
    ]


def contamination(manifest: dict[str, Any], removed: Sequence[Path], looked: int) -> dict[str, Any] | None:
    """What the pass `decontaminate` found among the removed rows; None when the recipe does not run it.

    A kept row does not say what its marks were: what the recipe's conditions let through is not counted here.

    Returns:
        settings (of the pass), looked (rows it looked at), conditions (those of the recipe that ask it), benchmarks:
        list of benchmark, traces, first (those that no earlier rule removed), problems, rows (of the benchmark that
        were met), spans (different matching texts), exact, normalised, stem, ngram (traces by kind), examples (some
        spans, those of most traces first).
    """
    settings = _settings(manifest.get("curate", {}).get("passes", []))
    if settings is None:
        return None
    keep = manifest["curate"].get("keep", [])
    asking = [c for c in ([keep] if isinstance(keep, str) else keep) if "decontaminate." in c]
    against = settings.get("against", [])
    named = against.split("+") if isinstance(against, str) else list(against)
    hits = _hits(removed)
    found = [_benchmark(str(name[0]), part) for name, part in hits.group_by("benchmark", maintain_order=True)]
    there = {one["benchmark"] for one in found}
    without = [_short(name) for name in named if not any(_is(b, _short(name)) for b in there)]
    found += [_benchmark(name, hits.clear()) for name in without]
    return {
        "settings": {key: value for key, value in settings.items() if key != "against"},
        "looked": looked,
        "conditions": asking,
        "benchmarks": sorted(found, key=lambda one: (-one["traces"], one["benchmark"])),
    }


def _settings(passes: Sequence[Any]) -> dict[str, Any] | None:
    """What the recipe says about decontaminate, however it writes it."""
    for said in passes:
        if isinstance(said, dict) and "decontaminate" in said:
            return dict(said["decontaminate"] or {})
        if isinstance(said, str) and said.partition(":")[0] == "decontaminate":
            pairs = (part.partition("=") for part in said.partition(":")[2].split(",") if part)
            return {key.strip(): value.strip() for key, _, value in pairs}
    return None


def _hits(removed: Sequence[Path]) -> pl.DataFrame:
    """Problem_id, benchmark, row, kind, span of the removed rows that repeat a benchmark."""
    parts = []
    for file in removed:
        scan = pl.scan_parquet(file, glob=False)
        if "decontaminate" in scan.collect_schema().names():
            marks = [pl.col("decontaminate").struct.field(name) for name in ("hit", "benchmark", "row", "kind", "span")]
            first = pl.col("reason").str.contains("decontaminate.", literal=True).alias("first")
            parts.append(scan.select("problem_id", first, *marks).filter("hit").drop("hit").collect(engine="streaming"))
    text = dict.fromkeys(("benchmark", "kind", "span"), pl.String)
    empty = pl.DataFrame(schema={"problem_id": pl.String, "first": pl.Boolean, **text, "row": pl.Int32}).select(
        "problem_id", "first", "benchmark", "row", "kind", "span"
    )
    return pl.concat([empty, *parts]).sort("benchmark", "row", "problem_id")


def _benchmark(name: str, hits: pl.DataFrame) -> dict[str, Any]:
    spans = hits.group_by("span").agg(n=pl.len()).sort(pl.col("n"), "span", descending=[True, False])
    kinds = dict(hits.group_by("kind").agg(pl.len()).rows())
    return {
        "benchmark": name,
        "traces": hits.height,
        "first": int(hits["first"].sum()),
        "problems": hits["problem_id"].n_unique() if hits.height else 0,
        "rows": hits["row"].n_unique() if hits.height else 0,
        "spans": spans.height,
        **{kind: kinds.get(kind, 0) for kind in ("exact", "normalised", "stem", "ngram")},
        "examples": spans["span"].head(SPANS).to_list(),
    }


def _is(marked: str, named: str) -> bool:
    """Whether a recipe's name means a benchmark of the marks; of paths dataset.json may hold the last part alone."""
    return fnmatch(marked, named) or fnmatch(marked, f"*/{named}")


def _short(name: str) -> str:
    """A benchmark's name as `curation.contamination.benchmarks` writes it into marks."""
    return "/".join(Path(name).parts[-2:]) if Path(name).suffix in (".jsonl", ".json", ".csv", ".parquet") else name


def _all_reasons(removed: Sequence[Path]) -> dict[str, int]:
    """Reason -> rows that it applies to. Datasets of before `reasons` know the first alone."""
    found: dict[str, int] = {}
    for file in removed:
        scan = pl.scan_parquet(file, glob=False)
        listed = "reasons" in scan.collect_schema().names()
        each = scan.select(reason=pl.col("reasons")).explode("reason") if listed else scan.select("reason")
        for reason, count in each.group_by("reason").agg(pl.len()).collect(engine="streaming").rows():
            found[reason] = found.get(reason, 0) + count
    found.pop(None, None)  # type: ignore[call-overload]
    return found
