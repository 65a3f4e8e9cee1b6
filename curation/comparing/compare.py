"""Teachers compared: figures per teacher, level and format of a corpus.

Passes mark the traces shard by shard; what is needed of them (numbers and answers, never texts) is
held in one table, some 200 bytes a trace; figures are aggregates of that. Wording is measured on a
sample. Nothing is drawn or written here but marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from builders.corpus import Corpus
from builders.errors import CorpusError, CotmillError
from curation.comparing.intervals import mean_interval, wilson_interval
from curation.comparing.wording import SAMPLE, wording
from curation.decide.select import brief, check_condition, marked, wall_in
from curation.engine.marks import mark, marks_file
from curation.passes import Pass
from curation.text.detail import Detail, GranularityReport, granularity_report
from curation.text.steps import Steps
from curation.trust.defects import MEANINGS, Defects, answering_text
from curation.verification.verify import Verify

if TYPE_CHECKING:
    import duckdb

BY: Final = ("teacher", "granularity", "format")
"""What is compared; each combination that occurs is an arm."""
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
DEFECTS: Final = tuple(MEANINGS)

_HELD: Final = {
    **{name: name for name in ("trace_id", "problem_id", *BY, "sample_index")},
    "verdict": "verify.verdict",
    "answer": "verify.answer",
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "steps.count": "steps.count",
    "steps.words": "steps.words",
    "detail.score": "detail.score",
    **{name: f"defects.{name}" for name in DEFECTS},
}
"""Column of the held table -> SQL."""


@dataclass(frozen=True)
class Comparison:
    """What there is to say about the teachers of a corpus."""

    rows: int
    """Traces looked at."""
    problems: int
    """Different problems among them."""
    arms: pl.DataFrame
    """One row per arm, sorted; see `compare`."""
    granularity: GranularityReport
    """Requested against measured levels, per teacher and format."""


def compare(
    corpus: Corpus, *, where: str | None = None, prices: Mapping[str, tuple[float, float]] | None = None
) -> Comparison:
    """Mark what is unmarked, then measure every arm.

    Args:
        corpus: gets marks, nothing else.
        where: SQL over trace columns and the marks of verify, steps, detail and defects: look at these traces only.
        prices: teacher -> price of a million prompt tokens and of a million completion tokens.

    Returns:
        `arms` has the columns of `BY` and, null where unknown:

        rows, problems        traces, and different problems among them
        correct, judged       traces with the gold answer, of those whose problem has one
        verified, verified_low, verified_high   correct / judged, and its Wilson interval (95 %)
        tokens, tokens_median                   completion tokens
        words, words_median, words_5 .. words_95   words, and quantiles of them
        steps, detail, detail_low, detail_high  means; the interval (95 %) is of the mean
        sampled, distinct_2 .. repeats_between  see `curation.comparing.wording`
        agreement             over the problems that another teacher answered at the same level and in the same format:
                              share of pairs of answers, its own and another's, that are the same; traces without an
                              answer have no part. All of a problem's pairs together weigh 1
        empty .. control                        traces with that defect; see `curation.trust.defects`
        prompt_tokens, completion_tokens        sums: what was paid for
        cost, cost_per_correct                  in the currency of `prices`

    Raises:
        CorpusError: there are no traces.
        CotmillError: `where` is no condition, or no trace meets it; `prices` names a teacher who is not there.
    """
    passes: list[Pass] = [Verify(), Steps(), Detail(), Defects()]
    mark(corpus, passes)
    rows = _held(corpus, passes, where)
    if strangers := set(prices or {}) - set(rows["teacher"]):
        there = ", ".join(rows["teacher"].unique().drop_nulls().sort())
        raise CotmillError(f"--price names {', '.join(sorted(strangers))}; the teachers are: {there}.")
    arms = rows.group_by(BY).agg(_figures())
    for more in (_agreement(rows), wording(_sample(corpus, rows), BY)):
        arms = arms.join(more, on=list(BY), how="left", nulls_equal=True)
    arms = _with_cost(_with_intervals(arms), prices or {}).sort(*BY, nulls_last=True)
    report = granularity_report(rows, by=("teacher", "format"))
    return Comparison(rows.height, rows["problem_id"].n_unique(), arms, report)


def _held(corpus: Corpus, passes: list[Pass], where: str | None) -> pl.DataFrame:
    """The columns of `_HELD` for all traces that meet the condition; a shard is looked at at a time."""
    import duckdb

    if not (shards := corpus.shards()):
        raise CorpusError(f"{corpus.path} holds no traces yet.\nSample some: cotmill sample RECIPE --out {corpus.path}")
    columns = ", ".join(f'{sql} as "{name}"' for name, sql in _HELD.items())
    condition = f"\nwhere ({where}\n)" if where else ""
    parts = []
    for shard in shards:
        marks = {made.name: [marks_file(corpus, made, shard)] for made in passes}
        with duckdb.connect(":memory:") as connection:
            wall_in(connection, [shard, *(file for files in marks.values() for file in files)])
            connection.execute(f"create view traces as {marked([shard], passes, marks)}")
            if where:
                check_condition(connection, where, passes, "--where")
            parts.append(_select(connection, f"select {columns} from traces{condition}"))
    rows = pl.concat(parts)
    if rows.is_empty():
        raise CotmillError(f"--where {where}: none of the traces meets it, so there is nothing to report.")
    return rows


def _select(connection: duckdb.DuckDBPyConnection, query: str) -> pl.DataFrame:
    import duckdb

    try:
        found: pl.DataFrame = connection.sql(query).pl()
    except duckdb.Error as error:  # of the values: a cast that fails, for example
        raise CotmillError(f"--where: {brief(error)}\nNothing was written.") from None
    return found


def _figures() -> list[pl.Expr]:
    """Aggregates of the held table; what has no value anywhere stays null."""
    verdict, words = pl.col("verdict"), pl.col("steps.words")
    detail, tokens = pl.col("detail.score").cast(pl.Float64), pl.col("completion_tokens")
    return [
        pl.len().alias("rows"),
        pl.col("problem_id").n_unique().alias("problems"),
        (verdict == "correct").sum().alias("correct"),
        (verdict != "no_gold").sum().alias("judged"),
        tokens.mean().alias("tokens"),
        tokens.median().alias("tokens_median"),
        words.mean().alias("words"),
        words.median().alias("words_median"),
        *(words.quantile(share, "linear").alias(f"words_{share * 100:.0f}") for share in QUANTILES),
        pl.col("steps.count").mean().alias("steps"),
        detail.mean().alias("detail"),
        detail.std().alias("_detail_std"),
        detail.count().alias("_detail_rows"),
        *(pl.col(name).sum() for name in DEFECTS),
        *_sums("prompt_tokens", "completion_tokens"),
    ]


def _sums(*names: str) -> list[pl.Expr]:
    return [pl.when(pl.col(name).count() > 0).then(pl.col(name).cast(pl.Int64).sum()).alias(name) for name in names]


def _with_intervals(arms: pl.DataFrame) -> pl.DataFrame:
    shares = [wilson_interval(k, n) if n else (None, None) for k, n in arms.select("correct", "judged").rows()]
    detail = [mean_interval(*row) for row in arms.select("detail", "_detail_std", "_detail_rows").rows()]
    bounds = {
        **{f"verified_{name}": [pair[i] for pair in shares] for i, name in enumerate(("low", "high"))},
        **{f"detail_{name}": [pair[i] for pair in detail] for i, name in enumerate(("low", "high"))},
    }
    verified = pl.when(pl.col("judged") > 0).then(pl.col("correct") / pl.col("judged")).alias("verified")
    more = [pl.Series(name, values, dtype=pl.Float64) for name, values in bounds.items()]
    return arms.with_columns(verified, *more).drop("_detail_std", "_detail_rows")


def _with_cost(arms: pl.DataFrame, prices: Mapping[str, tuple[float, float]]) -> pl.DataFrame:
    paid = [
        pl.col("teacher").replace_strict({name: pair[i] for name, pair in prices.items()} or {"": 0.0}, default=None)
        for i in (0, 1)
    ]
    # Of traces that were imported only the answers' tokens may be known: then the cost is not.
    cost = (pl.col("prompt_tokens") * paid[0] + pl.col("completion_tokens") * paid[1]) / 1e6
    each = pl.when(pl.col("correct") > 0).then(pl.col("cost") / pl.col("correct"))
    return arms.with_columns(cost.cast(pl.Float64).alias("cost")).with_columns(each.alias("cost_per_correct"))


def _agreement(rows: pl.DataFrame) -> pl.DataFrame:
    """`agreement` per arm that has others to agree with; see `compare`."""
    place = ["problem_id", "granularity", "format"]
    said = rows.drop_nulls("answer").group_by(*place, "teacher", "answer").agg(mine=pl.len())
    alike = pl.col("mine") * (pl.col("mine").sum().over(*place, "answer") - pl.col("mine"))
    answers = said.with_columns(alike=alike).group_by(*place, "teacher").agg(pl.col("mine", "alike").sum())
    others = pl.col("mine").sum().over(place) - pl.col("mine")
    pairs = answers.with_columns(pairs=pl.col("mine") * others).filter(pl.col("pairs") > 0)
    return pairs.group_by(BY).agg(agreement=(pl.col("alike") / pl.col("pairs")).mean())


def _sample(corpus: Corpus, rows: pl.DataFrame) -> pl.DataFrame:
    """BY and `text` of up to `SAMPLE` traces of each arm: those of the same problems, as far as all arms have them."""
    order = ["problem_id", "sample_index", "trace_id"]  # ids are hashes: their order is a fixed shuffle
    spoken = rows.filter(~pl.col("empty"))
    chosen = spoken.sort(order).group_by(BY, maintain_order=True).head(SAMPLE).select(*BY, *order)
    texts = (
        corpus.traces()
        .join(chosen.lazy().select("trace_id"), on="trace_id", how="semi")
        .select("trace_id", text=answering_text())
        .collect(engine="streaming")
    )
    return chosen.join(texts, on="trace_id", how="left", maintain_order="left").select(*BY, "text")
