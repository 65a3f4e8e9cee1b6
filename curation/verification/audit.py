"""Can the verdicts of this corpus be trusted? The checker is checked in two ways.

Every distinct gold answer, said by a trace, has to be judged correct. And on a sample of traces the two tiers
have to agree wherever both can answer: tier one compares canonical spellings (`curation.verification.verify`), tier
two reads what
gold and answer line say by itself and compares by algebra (`curation.verification.algebra`). What differs is listed.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from builders.corpus import Corpus
from curation.verification.algebra import SECONDS, same
from curation.verification.extract import announced, answer_lines
from curation.verification.verify import Verify

GOLD: Final = ("gold", "gold_value", "answer_type", "choices")
FORMULAS: Final = ("number", "latex")
"""Answer types that tier two can compare."""
ROWS: Final = ("trace_id", "answer", "response", "reasoning", "status", *GOLD)


def audit(corpus: Corpus, *, sample: int = 1_000, seconds: float = SECONDS) -> dict[str, Any]:
    """Check the checker; nothing is written.

    Args:
        corpus: its traces and the gold answers they carry.
        sample: traces to compare the tiers on; those with the smallest trace ids, which are hashes.
        seconds: wall time for one comparison by algebra.

    Returns:
        passed          no gold failed and the tiers never disagreed
        golds           distinct, verified; unread (by algebra, so compared by spelling alone);
                        failed: [{gold, answer_type, traces, exact, algebra}], verdicts of both tiers
        sample          rows, compared (both tiers answered), agree;
                        disagreements: [{trace_id, gold, answer, exact, algebra}]
    """
    golds, rows = audit_golds(corpus, seconds), audit_sample(corpus, sample, seconds)
    return {"passed": not golds["failed"] and not rows["disagreements"], "golds": golds, "sample": rows}


def audit_golds(corpus: Corpus, seconds: float) -> dict[str, Any]:
    """Every distinct gold answer against itself, by both tiers; see `audit`."""
    golds = (
        corpus.traces()
        .filter(pl.col("gold").is_not_null())
        .group_by(GOLD)
        .agg(traces=pl.len())
        .sort("gold", "answer_type", "gold_value", "traces")
        .collect(engine="streaming")
    )
    said = (
        pl.when(pl.col("gold").str.contains("####", literal=True))
        .then("gold")
        .otherwise("\\boxed{" + pl.col("gold") + "}")
    )
    spoken = golds.with_columns(answer=said, response=said, reasoning=pl.lit(None, pl.String), status=pl.lit("ok"))
    checked = golds.with_columns(
        Verify(algebra=False).judge(spoken)["verdict"].alias("exact"), _by_algebra(golds, _value("gold"), seconds)
    )
    wrong = (pl.col("exact") != "correct") | pl.col("algebra").is_in(["incorrect", "timeout"]).fill_null(False)
    failed = checked.filter(wrong)
    return {
        "distinct": golds.height,
        "verified": golds.height - failed.height,
        "unread": checked.filter(pl.col("algebra") == "unparseable").height,
        "failed": failed.select("gold", "answer_type", "traces", "exact", "algebra").to_dicts(),
    }


def audit_sample(corpus: Corpus, sample: int, seconds: float) -> dict[str, Any]:
    """Both tiers on some traces; see `audit`."""
    traces = corpus.traces()
    chosen = traces.select(pl.col("trace_id").bottom_k(sample))
    rows = traces.select(ROWS).join(chosen, on="trace_id", how="semi").sort("trace_id").collect(engine="streaming")
    judged = Verify(algebra=False).judge(rows)
    text = pl.coalesce("answer", pl.when(pl.col("reasoning").is_null()).then("response"))
    rows = rows.with_columns(answer_lines(announced(rows.select(text).to_series()))["said"])
    both = (
        rows.with_columns(judged.select(pl.col("verdict").alias("exact"), "by"))
        .with_columns(_by_algebra(rows, "said", seconds))
        .filter((pl.col("by") == "exact") & pl.col("algebra").is_in(["correct", "incorrect"]))
    )
    differ = both.filter(pl.col("exact") != pl.col("algebra"))
    return {
        "rows": rows.height,
        "compared": both.height,
        "agree": both.height - differ.height,
        "disagreements": differ.select(
            "trace_id", "gold", pl.col("said").alias("answer"), "exact", "algebra"
        ).to_dicts(),
    }


def _by_algebra(rows: pl.DataFrame, answer: pl.Expr | str, seconds: float) -> pl.Series:
    """Tier two's verdicts, from what is said and not from canonical spellings; null: not for algebra, or unsaid."""
    asked = rows.select(
        gold=pl.when(pl.col("answer_type").is_in(FORMULAS)).then(_value("gold")),
        said=answer if isinstance(answer, pl.Expr) else pl.col(answer),
    )
    return same(asked["gold"], asked["said"], rows["answer_type"], seconds=seconds).alias("algebra")


def _value(column: str) -> pl.Expr:
    """What follows the last `####`; a gold answer may come with its solution."""
    return pl.col(column).str.replace(r"(?s)^.*####", "").str.strip_chars()
