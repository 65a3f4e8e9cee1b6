"""From judged answers to figures: results per problem, accuracy, pass@k, maj@k, what was cut off or unreadable.

Tables in, tables and numbers out; no model and no disk.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from builders.schema import TRACES
from curation.verification.verify import Verify
from training.config import EvaluateConfig
from training.stats import pass_at_k, share_interval, steps_to

ASKED: Final = ("problem_id", "question", "choices", "gold", "gold_value", "answer_type", "source", "split")
ANSWERED: Final = (
    *("response", "reasoning", "answer", "status", "error", "finish_reason"),
    *("prompt_tokens", "completion_tokens", "seconds"),
)
"""Columns of results.parquet as in a corpus."""
DIFFICULTY: Final = ("difficulty", "level")
"""Keys of a problem's `meta` that say how hard it is; the first that is there."""
MOST_LEVELS: Final = 10
"""More different numbers than that are put into quarters."""


def judge(rows: pl.DataFrame, config: EvaluateConfig) -> pl.DataFrame:
    """Add `verdict` and `value`, the answer that was read, to rows with what `Verify` reads."""
    marked = Verify(fallback=config.fallback).mark(rows.lazy()).collect()
    return rows.with_columns(verdict=marked["verify.verdict"], value=marked["verify.answer"])


def difficulty(meta: pl.Series) -> pl.Series:
    """String [problems]: how hard each problem is as its source says; numbers of many kinds as quarters of the set.

    Args:
        meta: String [problems], JSON objects. Where they hold none of `DIFFICULTY`, or an object, null.
    """
    said = meta.to_frame("meta").select(
        pl.coalesce(
            pl.when(~found.str.contains(r"^\s*[\[{]")).then(found)
            for found in (pl.col("meta").str.json_path_match(f"$.{key}") for key in DIFFICULTY)
        )
    ).to_series().rename("difficulty")  # fmt: skip
    numbers = said.cast(pl.Float64, strict=False)
    if said.n_unique() <= MOST_LEVELS or numbers.null_count() > said.null_count():
        return said
    low, middle, high = (numbers.quantile(share, "linear") for share in (0.25, 0.5, 0.75))
    number = pl.col("difficulty")
    quarters = (
        pl.when(number <= low)
        .then(pl.lit("1 lowest quarter"))
        .when(number <= middle)
        .then(pl.lit("2"))
        .when(number <= high)
        .then(pl.lit("3"))
        .when(number.is_not_null())
        .then(pl.lit("4 highest quarter"))
    )
    return numbers.to_frame("difficulty").select(quarters.alias("difficulty")).to_series()


def per_problem(answers: pl.DataFrame) -> pl.DataFrame:
    """A row per problem, in order.

    Args:
        answers: ASKED, difficulty, sample_index, ANSWERED, verdict, value; a row per answer, those of a problem
            together and by sample_index.

    Returns:
        ASKED, difficulty, `samples`, `correct` (of them; null without gold), and the row of one answer: the first that
        gives the answer with the most votes, with its ANSWERED, `verdict`, `value` and `trace_id`.
        Of one sample, that one.
    """
    counts = answers.group_by("problem_id", maintain_order=True).agg(
        samples=pl.len().cast(pl.Int32),
        correct=pl.when((pl.col("verdict") != "no_gold").all())
        .then((pl.col("verdict") == "correct").sum())
        .cast(pl.Int32),
    )
    chosen = winners(answers, ["problem_id"])
    joined = counts.join(chosen, on="problem_id", how="left", maintain_order="left")
    return joined.select(*ASKED, "difficulty", "samples", "correct", *ANSWERED, "verdict", "value", "trace_id")


def winners(answers: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Of each group, the first answer that gives the answer with the most votes; of a tie, that which came first.

    Votes are counted by canonical spelling, text without regard to case. Unreadable answers do not vote; where nothing
    votes, the first answer. Gold has no say in it.
    """
    text = pl.col("answer_type").fill_null("text") == "text"
    said = pl.when(text).then(pl.col("value").str.to_lowercase()).otherwise("value")
    votes = pl.when(said.is_not_null()).then(pl.len()).otherwise(0).over([*by, "_said"])
    ranked = answers.with_columns(_said=said).with_columns(_votes=votes)
    return (
        ranked.sort([*by, "_votes", "sample_index"], descending=[*[False] * len(by), True, False])
        .unique(by, keep="first", maintain_order=True)
        .drop("_said", "_votes")
    )


def summarise(answers: pl.DataFrame) -> dict[str, Any]:
    """Counts and shares, by the names that EvaluateReport gives them; columns as `per_problem` takes them."""
    known = answers.filter(pl.col("verdict") != "no_gold")
    problems = known["problem_id"].n_unique()
    samples = known.height // problems if problems else 1
    verdicts = dict(known.group_by("verdict").len().iter_rows())
    solved = known.group_by("problem_id", maintain_order=True).agg(c=(pl.col("verdict") == "correct").sum())["c"]
    correct, unparseable = verdicts.get("correct", 0), verdicts.get("unparseable", 0)
    ks = steps_to(samples)
    pass_at = {k: [pass_at_k(samples, c, k) for c in solved] for k in ks}
    truncated = int((answers["status"] == "truncated").sum())
    return {
        "n": problems,
        "samples": samples,
        "correct": correct,
        "accuracy": correct / known.height if known.height else None,
        "interval": share_interval([c / samples for c in solved]),
        "pass_at_k": [_share(k, pass_at[k]) for k in ks] if samples > 1 else [],
        "maj_at_k": [_share(k, majorities(known, k)) for k in ks] if samples > 1 else [],
        "unparseable": unparseable,
        "unparseable_share": unparseable / known.height if known.height else None,
        "timeout": verdicts.get("timeout", 0),
        "no_gold": answers["problem_id"].n_unique() - problems,
        "rejected": answers.filter(status="rejected")["problem_id"].n_unique(),
        "truncated": truncated,
        "truncated_share": truncated / answers.height,
        "mean_tokens": answers["completion_tokens"].mean(),
        "median_tokens": answers["completion_tokens"].median(),
        "by_difficulty": by(known, "difficulty", samples),
        "by_source": by(known, "source", samples) if known["source"].n_unique() > 1 else [],
    }


def majorities(known: pl.DataFrame, k: int) -> list[float]:
    """Float [problems]: share of groups of `k` answers in which the answer with the most votes is correct.

    A problem's samples are cut into groups in their order; those that are left over are not used. Each group is `k`
    independent answers, so the mean estimates maj@k without bias.
    """
    whole = known.with_columns(group=pl.col("sample_index") // k).filter(pl.len().over("problem_id", "group") == k)
    won = winners(whole, ["problem_id", "group"])
    shares = won.group_by("problem_id", maintain_order=True).agg(won=(pl.col("verdict") == "correct").mean())
    return shares["won"].to_list()


def by(known: pl.DataFrame, column: str, samples: int) -> list[dict[str, Any]]:
    """Accuracy for each value of a column that is not null, in order; empty where there is none."""
    found = []
    parts = known.filter(pl.col(column).is_not_null()).partition_by(column, as_dict=True)
    for (value,), part in sorted(parts.items(), key=_in_order):
        solved = part.group_by("problem_id").agg(c=(pl.col("verdict") == "correct").sum())["c"].to_list()
        found.append(
            {
                column: value,
                "n": len(solved),
                "correct": sum(solved),
                "accuracy": sum(solved) / part.height,
                "interval": share_interval([c / samples for c in solved]),
            }
        )
    return found


def _in_order(item: tuple[tuple[Any, ...], Any]) -> tuple[float, str]:
    """Numbers by size, before words."""
    value = str(item[0][0])
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _share(k: int, values: list[float]) -> dict[str, Any]:
    return {"k": k, "share": sum(values) / len(values), "interval": share_interval(values)}


ANSWERS: Final = pl.Schema(
    {
        **{name: TRACES[name] for name in ("trace_id", *ASKED)},
        "difficulty": pl.String(),
        "sample_index": TRACES["sample_index"],
        **{name: TRACES[name] for name in ANSWERED},
    }
)
"""A row per answer, before it is judged."""
