"""How detailed a trace is, measured: one score, and what it says about the levels that were asked for.

A requested level is a wish. `Detail` measures what came of it, in the same unit for every teacher and
problem; `granularity_report` holds the two against each other; `measured_level` puts all teachers on
one scale of levels, so that "the same level" can also mean "the same detail".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import polars as pl

from builders.errors import CotmillError
from curation.text.steps import NUMBER, counted, trace_text

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

LEVELS: Final = 6
PARTS: Final = ("count", "words", "numbers", "equations")
HARDNESS: Final = 0.25
"""Power of the question's numbers with which traces grow.

Measured on GSM8K's human solutions, as the slope of log2(1 + part) on log2(numbers of the question): 0.14 for
steps, 0.17 for equations, 0.25 for words, 0.29 for numbers. Dividing by the numbers themselves would over-correct:
detail would then say little more than how short the question is.
"""


@dataclass(frozen=True, slots=True)
class Detail:
    """Marks traces with how finely they are told: `detail.score`, Float32.

        score = mean of log2(1 + x) over x = steps, words, numbers, equations
                - 1/4 log2(numbers in the question, at least 1)

    One more means about twice as much of everything for the same question. A step that is split in two
    adds a step and takes nothing away, so its trace scores higher: words count whole rather than per
    step, where log words = log steps + log words/step. Words that carry no number and no equation move
    two or three parts of four: padding counts, but less than working. The last term is what harder
    problems need anyway; between the levels of one problem it cancels.

    Null where a trace has no text or no question; 0 is the least for a question with one number.
    """

    name: ClassVar[str] = "detail"  # written into shards: never reuse
    version: ClassVar[int] = 1
    source: ClassVar[str] = "our own formula; its one constant was measured on the human solutions of GSM8K"
    cost: ClassVar[str] = "that of `steps` without zlib: cutting and counting"
    reads: ClassVar[tuple[str, ...]] = ("question", "response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {"score": pl.Float32()}

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `detail.score`."""
        prefix = f"{self.name}."
        before = traces.collect_schema().names()
        given = pl.col("question").str.count_matches(NUMBER).clip(1)
        score = detail_score({part: pl.col(prefix + part) for part in PARTS}, given)
        marked = counted(traces, trace_text(), prefix, PARTS).with_columns(score.alias(f"{prefix}score"))
        return marked.select(*before, f"{prefix}score")


def detail_score(parts: dict[str, pl.Expr], given: pl.Expr) -> pl.Expr:
    """Float32: the formula of `Detail`.

    Args:
        parts: steps, words, numbers and equations of the trace, by the names in `PARTS`.
        given: numbers in the question, at least 1.
    """
    said = sum((parts[part].log1p() for part in PARTS), pl.lit(0.0)) / (len(PARTS) * pl.lit(2.0).log())
    return (said - HARDNESS * given.log(2)).cast(pl.Float32)


class GranularityReport(NamedTuple):
    """What became of the levels that were asked for."""

    levels: pl.DataFrame
    """Per teacher and requested level: `rows`; the means `steps`, `words`, `tokens` (null without that mark) and
    `detail`; `measured`, the mean of `measured_level`."""
    teachers: pl.DataFrame
    """Per teacher: `levels` it was asked for; `problems` that have all of them; of those the shares whose detail and
    words never fall from level to level, `detail_never_falls` and `words_never_fall` (null below two levels);
    Spearman's rank correlation of requested level and detail, `rank_within` (per problem, then averaged; a
    problem whose detail never changes has none) and `rank_pooled` (over all its traces)."""


def granularity_report(traces: pl.DataFrame, by: Sequence[str] = ("teacher",)) -> GranularityReport:
    """Hold requested against measured granularity.

    Several traces of a problem at one level are averaged first, where levels are compared.

    Args:
        traces: problem_id, granularity, `steps.count`, `steps.words`, `detail.score`, the columns of `by`; also
            `tokens.count`, if known. Of one format, or with `format` in `by`: each has a length of its own.
        by: what a teacher is; `("teacher", "format")` tells its formats apart.

    Raises:
        CotmillError: a column is missing.
    """
    needed = ["problem_id", "granularity", "steps.count", "steps.words", "detail.score", *by]
    if missing := [name for name in needed if name not in traces.columns]:
        raise CotmillError(
            f"the granularity report needs the column {missing[0]}, and there is: {', '.join(traces.columns)}.\n"
            "Mark the traces with the passes steps and detail."
        )
    tokens = pl.col("tokens.count") if "tokens.count" in traces.columns else pl.lit(None, pl.Int32)
    level = measured_level(pl.col("detail.score"), level_cuts(traces, by))
    rows = traces.with_columns(tokens.alias("tokens.count"), level.alias("measured"))
    means = {"steps": "steps.count", "words": "steps.words", "tokens": "tokens.count", "detail": "detail.score"}
    levels = (
        rows.group_by(*by, "granularity")
        .agg(
            pl.len().alias("rows"),
            *(pl.col(column).mean().cast(pl.Float64).alias(name) for name, column in means.items()),
            pl.col("measured").mean(),
        )
        .sort(*by, "granularity")
    )
    return GranularityReport(levels, _teachers(rows.filter(pl.col("granularity").is_not_null()), by))


def level_cuts(traces: pl.DataFrame, by: Sequence[str] = ("teacher",), levels: int = LEVELS) -> tuple[float, ...]:
    """The scores that part `levels` measured levels, the same for all teachers.

    They are quantiles: each level holds an equal share of all traces, where each teacher weighs the same however many
    traces it wrote. Keep them to put later traces on the same scale.

    Args:
        traces: `detail.score` and the columns of `by`.
        by: what a teacher is.
        levels: how many levels to tell apart.

    Returns:
        `levels - 1` scores, ascending; none if no trace has a score.
    """
    scored = traces.select(*by, score="detail.score").drop_nulls("score").sort("score")
    share = scored.with_columns(weight=1 / pl.len().over(*by)).with_columns(share=pl.col("weight").cum_sum())
    total = share["share"].max()
    if not isinstance(total, float):
        return ()
    # A hair of slack: the sum of many weights is not exactly the sum that it stands for.
    at = [share["share"].search_sorted(total * k / levels - 1e-9) for k in range(1, levels)]
    return tuple(share["score"][min(int(place), share.height - 1)] for place in at)


def measured_level(score: pl.Expr, cuts: Sequence[float]) -> pl.Expr:
    """Int8, 1 to `len(cuts) + 1`: one more for each cut that the score is above; null for null.

    Args:
        score: `detail.score`.
        cuts: from `level_cuts`.
    """
    above = sum(((score > cut).cast(pl.Int8) for cut in cuts), pl.lit(1, pl.Int8))
    return pl.when(score.is_not_null()).then(above)


def _teachers(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The second table of the report, for rows that have a requested level."""
    one = [*by, "problem_id"]
    each = (
        rows.group_by(*one, "granularity")
        .agg(pl.col("detail.score", "steps.words").mean())
        .sort(*one, "granularity")
        .with_columns(
            asked=pl.col("granularity").n_unique().over(*by),
            held=pl.len().over(*one),
            of_level=pl.col("granularity").rank().over(*one),
            of_detail=pl.col("detail.score").rank().over(*one),
        )
    )
    problems = each.group_by(*one, maintain_order=True).agg(
        whole=pl.col("held").first() == pl.col("asked").first(),
        detail=_never_falls("detail.score"),
        words=_never_falls("steps.words"),
        rank=pl.corr("of_level", "of_detail").fill_nan(None),
    )
    whole, several = pl.col("whole"), pl.col("levels") > 1
    shares = problems.group_by(*by).agg(
        problems=whole.sum(),
        detail_never_falls=pl.col("detail").filter(whole).mean(),
        words_never_fall=pl.col("words").filter(whole).mean(),
        rank_within=pl.col("rank").mean(),
    )
    pooled = (
        rows.drop_nulls("detail.score")
        .group_by(*by)
        .agg(rank_pooled=pl.corr("granularity", "detail.score", method="spearman").fill_nan(None))
    )
    asked = rows.group_by(*by).agg(levels=pl.col("granularity").n_unique())
    joined = asked.join(shares, on=list(by), nulls_equal=True).join(pooled, on=list(by), how="left", nulls_equal=True)
    falls = [pl.when(several).then(name).alias(name) for name in ("detail_never_falls", "words_never_fall")]
    return joined.with_columns(falls).sort(*by)


def _never_falls(column: str) -> pl.Expr:
    """Boolean per group, ordered by level; null where a value is unknown."""
    return pl.when(pl.col(column).null_count() == 0).then((pl.col(column).diff().drop_nulls() >= 0).all())
