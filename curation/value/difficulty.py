"""How hard a problem is for those who tried: the share of tries that verify.

Not here: how hard a problem looks. A problem that nobody was asked twice has a pass rate, and no difficulty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import polars as pl

from builders.errors import CotmillError
from curation.value.voters import is_try, key_of

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

JUDGED: Final = ("correct", "incorrect", "unparseable")
"""Verdicts that count as a try: an answer that cannot be read solves nothing. `timeout` says something about the
checker, and `no_gold` nothing at all."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Marks every trace of a problem with how often the problem was solved.

    pass_rate   Float32  correct tries over all tries; null where there is none
    samples     Int32    tries: traces with a verdict of `JUDGED` that were sampled (`curation.value.voters.is_try`)
    bin         String   `never` (0), `hard`, `medium`, `easy`, `always` (1); null below `min_samples` tries
    pass_at_k   Float32  how likely one of `k` tries is correct, without bias: 1 - C(n - c, k) / C(n, k) for c correct
                         of n tries; null for n < k

    Traces that are no tries (conversions, traces of a teacher who was told the answer) get the marks of their problem
    too. All null for a trace whose problem (or, per teacher, whose teacher) is unknown.
    """

    name: ClassVar[str] = "difficulty"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("problem_id", "teacher", "parent_id", "gold_shown", "verify.verdict")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "pass_rate": pl.Float32(),
        "samples": pl.Int32(),
        "bin": pl.String(),
        "pass_at_k": pl.Float32(),
    }
    source: ClassVar[str] = (
        "pass@k: Chen et al. 2021 (arXiv 2107.03374), eq. 1; 0 and 1 as bins of their own: neither teaches by reward "
        "(DAPO, arXiv 2503.14476, sec. 3.2); thirds between them: our own"
    )
    cost: ClassVar[str] = "3,600,000 rows/s on 2 cores; Polars"

    per: Literal["problem", "teacher"] = "problem"
    """Whose tries: all of a problem, or those of each teacher apart."""
    hard: float = 1 / 3
    """Below this pass rate, and above 0, a problem is `hard`."""
    easy: float = 2 / 3
    """From this pass rate on, and below 1, it is `easy`; between the two `medium`."""
    min_samples: int = 4
    """Fewer tries give no bin. 4 is the least with which every bin can occur."""
    k: int = 4
    """Of `pass_at_k`."""
    count_told: bool = False
    """Whether traces of a teacher who was told the gold answer count as tries."""

    def __post_init__(self) -> None:
        if not (0 < self.hard <= self.easy <= 1 and self.min_samples >= 1 and self.k >= 1):
            raise CotmillError(
                f"pass difficulty: hard={self.hard}, easy={self.easy}, min_samples={self.min_samples}, k={self.k} do "
                "not fit together.\nSay 0 < hard <= easy <= 1, min_samples >= 1 and k >= 1."
            )

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and `difficulty.<mark>` for each trace, in no particular order."""
        by = ("problem_id",) if self.per == "problem" else ("problem_id", "teacher")
        verdict = pl.col("verify.verdict")
        rows = traces.select(
            "trace_id",
            group=key_of(*by),
            tried=is_try(self.count_told) & verdict.is_in(JUDGED).fill_null(False),
            solved=(verdict == "correct").fill_null(False),
        ).collect(engine="streaming")
        tries = rows.lazy().filter(pl.col("group").is_not_null()).group_by("group")
        counts = tries.agg(n=pl.col("tried").sum(), c=(pl.col("tried") & pl.col("solved")).sum())
        figures = counts.select("group", **self._figures()).collect()
        joined = rows.lazy().select("trace_id", "group").join(figures.lazy(), on="group", how="left")
        return joined.select(
            "trace_id", *(pl.col(name).cast(kind).alias(f"{self.name}.{name}") for name, kind in self.marks.items())
        ).collect()

    def _figures(self) -> dict[str, pl.Expr]:
        """The marks of a group with `c` correct of `n` tries."""
        n, c = pl.col("n").cast(pl.Int64), pl.col("c").cast(pl.Int64)
        rate = pl.when(n > 0).then(c / n)
        # C(n - c, k) / C(n, k), factor by factor: the numbers themselves overflow.
        wrong = pl.lit(1.0)
        for i in range(self.k):
            wrong = wrong * (n - c - i).clip(lower_bound=0) / (n - i)
        names = pl.when(rate == 0).then(pl.lit("never")).when(rate == 1).then(pl.lit("always"))
        names = names.when(rate < self.hard).then(pl.lit("hard")).when(rate < self.easy).then(pl.lit("medium"))
        return {
            "pass_rate": rate,
            "samples": n,
            "bin": pl.when(n >= self.min_samples).then(names.otherwise(pl.lit("easy"))),
            "pass_at_k": pl.when(n >= self.k).then(1 - wrong),
        }
