"""Which traces a corpus holds, so that importing them again adds nothing.

Per problem and arm a trace is known by what it says. A row that names its `sample_index` gets it,
unless another text has it; every other text gets the next free one. 20 bytes per trace stay in memory.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from builders.corpus import Corpus

Verdict = Literal["new", "held", "duplicate"]

_HELD = pl.Schema({"key": pl.UInt64, "said": pl.UInt64, "sample_index": pl.Int32, "old": pl.Boolean})
_KEY = pl.struct("problem_id", "arm_id").hash().alias("key")
_SAID = pl.struct(pl.col("response").fill_null(""), "reasoning").hash().alias("said")


class Held:
    """Traces of the arms that an import has to do with."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus, self._arms, self._held = corpus, set[str](), _HELD.to_frame()

    def place(self, rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        """Sample index and verdict of each row, and take note of the new ones.

        Args:
            rows: [traces] with problem_id, arm_id, response, reasoning and sample_index (null: any).

        Returns:
            Int32 [traces], and String [traces]: `new`, `held` (the corpus had it before) or `duplicate`
            (said by an earlier row of this import).
        """
        self._load(set(rows["arm_id"].unique()) - self._arms)
        keyed = rows.select(_KEY, _SAID, "sample_index")
        near = self._held.filter(pl.col("key").is_in(keyed["key"].unique().implode()))
        slots: dict[int, dict[int, tuple[int, bool]]] = {}
        texts: dict[int, dict[int, int]] = {}
        for key, said, index, old in near.rows():
            slots.setdefault(key, {})[index] = (said, old)
            texts.setdefault(key, {})[said] = index
        placed, verdicts, fresh = [], [], []
        for key, said, wanted in keyed.rows():
            taken, known = slots.setdefault(key, {}), texts.setdefault(key, {})
            index, verdict = _choose(said, wanted, taken, known)
            if verdict == "new":
                taken[index] = (said, False)
                known.setdefault(said, index)
                fresh.append((key, said, index, False))
            placed.append(index)
            verdicts.append(verdict)
        self._held = pl.concat([self._held, pl.DataFrame(fresh, schema=_HELD, orient="row")])
        return pl.Series("sample_index", placed, pl.Int32), pl.Series("verdict", verdicts, pl.String)

    def _load(self, arms: set[str]) -> None:
        if not arms:
            return
        self._arms |= arms
        mine = self._corpus.traces().filter(pl.col("arm_id").is_in(sorted(arms)) & pl.col("parent_id").is_null())
        old = mine.select(_KEY, _SAID, "sample_index", pl.lit(True).alias("old")).collect(engine="streaming")
        self._held = pl.concat([self._held, old.cast(_HELD)])


def _choose(
    said: int, wanted: int | None, taken: dict[int, tuple[int, bool]], known: dict[int, int]
) -> tuple[int, Verdict]:
    if wanted is not None and wanted not in taken:
        return wanted, "new"
    index = wanted if wanted is not None and taken[wanted][0] == said else known.get(said)
    if index is not None:
        return index, "held" if taken[index][1] else "duplicate"
    return max(taken, default=-1) + 1, "new"
