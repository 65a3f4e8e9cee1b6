"""The decision: which traces are kept, in which split, and why each other one is not.

    keys      what each trace says for itself: conditions, ids, hashes (curation.decide.keys)
    rules     duplicates, per problem, common set, mixture, splits, pairs, in the order of a dataset

Everything is decided here, once, and no row is lost: the decision names every trace of the corpus
exactly once. Texts are not held; they are read again when a dataset is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.errors import CotmillError
from curation.config import CurateConfig
from curation.decide.asked import FAILED, FINE
from curation.decide.diverse import least_diverse
from curation.decide.expressions import brief, check_condition, marked, wall_in
from curation.decide.keys import Keys, read_keys
from curation.decide.mix import over_quota, shuffle
from curation.decide.pairs import make_pairs
from curation.decide.rules import (
    Rows,
    duplicates,
    in_dataset_order,
    not_common,
    preferred,
    split_codes,
    too_many,
)
from curation.engine.ids import halves
from curation.passes import Pass

NOT_SELECTED: Final = "not selected"
NO_COMPLETION: Final = "no completion"
DUPLICATE: Final = "duplicate"
PER_PROBLEM: Final = "per_problem"
COMMON: Final = "common"
MIX: Final = "mix"

Array = NDArray[Any]


@dataclass(frozen=True)
class Decision:
    """What becomes of every trace. Arrays are in the order of a dataset unless they say otherwise."""

    shards: list[Path]
    heights: list[int]
    """Traces per shard."""
    order: Array
    """uint32: place of each row in the shards, one after the other."""
    problem: Array
    """uint32: number of the row's problem."""
    split: Array
    """uint8: index into `splits`; of removed rows too."""
    splits: list[str]
    reason: Array
    """int32: index into `reasons`; -1: kept."""
    reasons: list[str]
    failing: Array
    """uint32: index into `failures`."""
    failures: list[list[str]]
    """Lists of all conditions that a row fails."""
    weight: Array | None
    """float64, when weights are asked for."""
    pairs: pl.DataFrame
    """problem, rule, chosen, rejected; see `curation.decide.pairs.make_pairs`."""
    shortfall: dict[str, int]
    """Cell of the mixture -> traces that it lacks."""
    cell: Array | None = None
    """uint32: index into `cells`; None: `curate.configs` names nothing."""
    cells: list[str | None] = field(default_factory=list)
    """Values of what `curate.configs` names, as `curation.packaging.layout.lay_out` takes them."""

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which rows stay."""
        return np.asarray(self.reason < 0)

    def counts(self) -> dict[str, Any]:
        """rows, kept, removed (by first reason), failing (by every reason), splits, problems, shortfall, pairs."""
        kept = self.kept
        removed = np.bincount(self.reason[~kept], minlength=len(self.reasons))
        failing: dict[str, int] = {}
        for said, count in zip(self.failures, np.bincount(self.failing, minlength=len(self.failures)), strict=True):
            for reason in said:
                failing[reason] = failing.get(reason, 0) + int(count)
        for reason, count in zip(self.reasons, removed, strict=True):
            failing[reason] = max(failing.get(reason, 0), int(count))
        splits = np.bincount(self.split[kept], minlength=len(self.splits))
        pairs = np.bincount(self.split[self.pairs["chosen"].to_numpy()], minlength=len(self.splits))
        return {
            "rows": len(self.reason),
            "kept": int(kept.sum()),
            "removed": _most_first(dict(zip(self.reasons, removed.tolist(), strict=True))),
            "failing": _most_first(failing),
            "splits": dict(zip(self.splits, splits.tolist(), strict=True)),
            "problems": int(np.count_nonzero(np.bincount(self.problem[kept]))),
            "shortfall": self.shortfall,
            "pairs": dict(zip(self.splits, pairs.tolist(), strict=True)) if pairs.any() else {},
        }


def decide(corpus: Corpus, config: CurateConfig, passes: Sequence[Pass]) -> pl.DataFrame:
    """Keep or remove each trace, as `decision` does.

    Returns:
        trace_id, split, reason: String [traces], in the order of a dataset. `reason` is null for kept
        rows. `split` goes by a hash of the problem's id, for removed rows too.
    """
    made = decision(corpus, config, passes)
    reasons = pl.Series("reason", [*made.reasons, None], dtype=pl.String)
    return pl.DataFrame(
        {
            "trace_id": corpus.traces().select("trace_id").collect().to_series().gather(made.order),
            "split": pl.Series(made.splits, dtype=pl.String).gather(made.split.astype(np.uint32)),
            "reason": reasons.gather(np.where(made.kept, len(made.reasons), made.reason)),
        }
    )


def decision(corpus: Corpus, config: CurateConfig, passes: Sequence[Pass]) -> Decision:
    """Keep or remove each trace; marks must be there (`curation.engine.marks.mark`).

    Rules, in this order, the first that applies giving the reason: `not selected`, `no completion` (nothing to learn),
    `failed: <condition>` and `unknown: <condition>` (false, null) for each condition of `keep`,
    `duplicate` (`duplicate: <pass>`), `per_problem`, `common`, `mix`.

    Raises:
        CotmillError: an expression is no SQL, names what is not there (the message names what is), or is
            not what is asked for; also when it would read files, or two traces have one id.
        CorpusError: there are no traces.
    """
    selected = selection(config)
    keys = read_keys(corpus, config, passes)
    outside = ~_among(keys, *selected) if selected else np.zeros(0, bool)
    order = in_dataset_order(keys)
    run = _Deciding(keys, config, outside[order] if selected else np.zeros(keys.rows, bool))
    units = {made.name: getattr(made, "unit", "trace") for made in passes}
    run.duplicates(units)
    good = run.reason < 0
    run.per_problem(order)
    if config.common:
        run.remove(COMMON, not_common(keys, run.staying(), config.common))
    shortfall: dict[str, int] = {}
    if config.mix:
        gone, shortfall = over_quota(keys, run.staying(), config.mix)
        run.remove(MIX, gone)
    complete = ~run.incomplete & ~run.outside
    split, splits = split_codes(keys, config)
    return Decision(
        keys.shards, keys.heights, order, keys.columns["problem"], split, splits, run.reason, run.reasons,
        keys.columns["states"], run.failures, _weights(keys, config, run.reason < 0),
        make_pairs(keys, config.pair_rules(), good, complete), shortfall,
        keys.columns.get("config"), keys.words.get("config", []),
    )  # fmt: skip


def selection(config: CurateConfig) -> tuple[Array, Array] | None:
    """The ids of `curate.select` as uint64 halves, sorted, each once; None when nothing is selected.

    Raises:
        CotmillError: the file cannot be read or has no column `trace_id`.
    """
    if config.select is None:
        return None
    try:
        ids = pl.read_parquet(config.select, columns=["trace_id"], glob=False)["trace_id"].cast(pl.String)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CotmillError(
            f"curate.select: {config.select} is no Parquet file with a column `trace_id`: "
            f"{str(error).splitlines()[0]}\n"
            "Make one: cotmill sql CORPUS 'select trace_id from traces where ...' --out FILE.parquet"
        ) from None
    frame = pl.DataFrame(dict(zip(("hi", "lo"), halves(ids.drop_nulls()), strict=True))).unique().sort("hi", "lo")
    return frame["hi"].to_numpy(), frame["lo"].to_numpy()


class _Deciding:
    """The reasons while rules are applied."""

    def __init__(self, keys: Keys, config: CurateConfig, outside: NDArray[np.bool_]) -> None:
        self.keys, self.config, self.outside = keys, config, outside
        said = [NO_COMPLETION, *config.condition_names()]
        words = [word or "" for word in keys.words["states"]]
        self.failures = [_failures(word, said) for word in words]
        self.reasons = list(dict.fromkeys([NOT_SELECTED, *(text for texts in self.failures for text in texts)]))
        known = {text: code for code, text in enumerate(self.reasons)}
        states = keys.columns["states"]
        self.reason = np.array([known[texts[0]] if texts else -1 for texts in self.failures], np.int32)[states]
        self.reason[outside] = 0
        self.incomplete = np.array([word[0] == FAILED for word in words], bool)[states]

    def staying(self) -> Rows:
        """Rows that no rule has removed so far."""
        return np.flatnonzero(self.reason < 0)

    def remove(self, reason: str, rows: Rows) -> None:
        self.reason[rows] = len(self.reasons)
        self.reasons.append(reason)

    def duplicates(self, units: dict[str, str]) -> None:
        names = {"text": DUPLICATE} if self.config.dedup is True else {}
        names |= {f"group:{name}": f"{DUPLICATE}: {name}" for name in self.config.groups()}
        for column, reason in names.items():
            rows = preferred(self.keys, self.staying(), self.config.prefer, "prefer")
            self.remove(reason, duplicates(self.keys, rows, column, units.get(column.partition(":")[2], "trace")))
            del self.keys.columns[column]

    def per_problem(self, order: Array) -> None:
        limit, keys = self.config.per_problem, self.keys
        if limit is None:
            return
        within = ["problem", "one_per"] if limit.one_per else ["problem"]
        rows = self.staying()
        if limit.rule == "diverse":
            part = keys.frame(*within).select(pl.struct(pl.all()).rank("dense")).to_series().to_numpy()
            gone = least_diverse(keys, order, rows, limit.max, part)
        elif limit.rule == "random":
            gone = too_many(keys, rows[np.argsort(shuffle(keys, rows, limit.seed), kind="stable")], limit.max, within)
        else:
            rows = (
                rows[np.argsort(keys.columns["sample_index"][rows], kind="stable")] if limit.rule == "first" else rows
            )
            gone = too_many(keys, preferred(keys, rows, limit.rule, "best"), limit.max, within)
        self.remove(PER_PROBLEM, gone)


def _failures(states: str, said: list[str]) -> list[str]:
    """All that a row with these states fails, in words."""
    found = [NO_COMPLETION] if states[0] == FAILED else []
    for state, condition in zip(states[1:], said[1:], strict=True):
        if state != FINE:
            found.append(f"{'failed' if state == FAILED else 'unknown'}: {condition}")
    return list(dict.fromkeys(found))


def _among(keys: Keys, hi: Array, lo: Array) -> NDArray[np.bool_]:
    """Which traces have one of these ids."""
    wanted = pl.DataFrame({"trace_hi": hi, "trace_lo": lo, "there": np.ones(len(hi), bool)})
    joined = keys.frame("trace_hi", "trace_lo").join(
        wanted, on=["trace_hi", "trace_lo"], how="left", maintain_order="left"
    )
    return np.asarray(joined["there"].fill_null(False).to_numpy())


def _weights(keys: Keys, config: CurateConfig, kept: NDArray[np.bool_]) -> Array | None:
    if config.weights is None:
        return None
    weight = keys.columns["weight"]
    wrong = kept & ~((weight >= 0) & np.isfinite(weight))
    if count := int(wrong.sum()):
        raise CotmillError(
            f"curate.weights: `{config.weights}` is unknown, negative or infinite for {count:,} kept traces; a weight "
            "is a number of at least 0.\nGive the unknown ones a weight: coalesce(..., 1). Nothing was written."
        )
    return weight


def _most_first(counts: dict[str, int]) -> dict[str, int]:
    """The most frequent first, without what never happened."""
    return dict(sorted(((k, v) for k, v in counts.items() if v), key=lambda item: (-item[1], item[0])))


__all__ = ["Decision", "brief", "check_condition", "decide", "decision", "marked", "selection", "wall_in"]
