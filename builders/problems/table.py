"""From raw rows to the `problems` table: typed answers, ids, and an account of every row left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from builders.answers import guess_type, normalise
from builders.identity import problem_id
from builders.schema import PROBLEMS, AnswerType

if TYPE_CHECKING:
    from polars._typing import SchemaDict

_RAW: SchemaDict = {
    "question": pl.String,
    "choices": pl.List(pl.String),
    "gold": pl.String,
    "letter": pl.String,  # of the choice that gold names by label, text or position; null: gold says it itself
    "source": pl.String,
    "meta": pl.String,
}
RAW: Final = pl.Schema(_RAW)
"""What every kind of source is read into."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Problems, and how many rows were left out for which reason (`empty question`, `duplicate` ...)."""

    problems: pl.DataFrame
    skipped: dict[str, int] = field(default_factory=dict)


def finish(
    raw: pl.DataFrame,
    *,
    split: str,
    answer_type: AnswerType | None = None,
    limit: int | None = None,
    skipped: Mapping[str, int] | None = None,
) -> Loaded:
    """Make the `problems` table of one source.

    Args:
        raw: columns of `RAW`.
        split: name written into the `split` column.
        answer_type: null: guessed from all gold answers of the source.
        limit: keep the first so many problems.
        skipped: reasons and counts of rows that never became raw rows.

    Returns:
        Problems in the order of `raw`; rows without a question and repeated problems are counted, not kept. A problem
        without gold stays.
    """
    tidy = tidied(raw.cast(RAW))
    asked = tidy.filter(pl.col("question") != "")
    once = asked.unique(["question", "choices", "gold"], keep="first", maintain_order=True)
    left_out = Counter(skipped or {})
    left_out["empty question"] += tidy.height - asked.height
    left_out["duplicate"] += asked.height - once.height

    # `letter` shows that gold names a choice even where it does so by its text.
    said = pl.coalesce("letter", "gold")
    kind = answer_type or guess_type(once.select(said).to_series(), once["choices"])
    problems = once.head(limit or once.height).with_columns(
        pl.lit(kind).alias("answer_type"),
        pl.lit(split).alias("split"),
        gold_value(kind, said).alias("gold_value"),
    )
    ids = map(problem_id, problems["question"], problems["choices"].to_list(), problems["gold"])
    problems = problems.with_columns(pl.Series("problem_id", list(ids), pl.String))
    return Loaded(problems.select(PROBLEMS.names()).cast(PROBLEMS), dict(+left_out))


def tidied(rows: pl.DataFrame) -> pl.DataFrame:
    """Questions trimmed; blank gold and empty lists of choices become null. All that ids are made of is tidy."""
    return rows.with_columns(
        pl.col("question").str.strip_chars(),
        pl.when(pl.col("gold").str.strip_chars() != "").then("gold"),
        pl.when(pl.col("choices").list.len() > 0).then("choices"),
    )


def gold_value(kind: str, said: pl.Expr) -> pl.Expr:
    """Gold in its canonical spelling; `said` is the letter of the choice it names, or gold itself."""
    if kind != "choice":
        return normalise(pl.col("gold"), kind)
    letter = normalise(said, "choice")
    position = letter.replace_strict({chr(65 + i): i for i in range(26)}, default=None, return_dtype=pl.Int64)
    within = pl.col("choices").is_null() | (position < pl.col("choices").list.len())
    return pl.when(within).then(letter)  # gold `E` of four choices is no answer


def concat(parts: Sequence[Loaded]) -> Loaded:
    """One table of several, first come first; a problem that two sources share is a duplicate."""
    problems = pl.concat([PROBLEMS.to_frame(), *(part.problems for part in parts)])
    once = problems.unique("problem_id", keep="first", maintain_order=True)
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    skipped["duplicate"] += problems.height - once.height
    return Loaded(once, dict(+skipped))


def concat_raw(parts: Sequence[tuple[pl.DataFrame, Mapping[str, int]]]) -> tuple[pl.DataFrame, Counter[str]]:
    """Raw rows of several tables as one, and their counts added up."""
    skipped: Counter[str] = Counter()
    for _, counts in parts:
        skipped.update(counts)
    return pl.concat([RAW.to_frame(), *(raw for raw, _ in parts)]), skipped
