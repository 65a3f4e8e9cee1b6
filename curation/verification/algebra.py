"""Verification, tier two: are two answers equal by algebra? In worker processes with a hard wall for each pair.

Only what plain comparison cannot settle should come here: some hundred pairs a second and core. The workers start with
the first pair and serve all calls of this process; what they said is remembered, as corpora repeat answers.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final, Literal

import polars as pl

from curation.engine.workers import Failure, TimedOut, Workers

Verdict = Literal["correct", "incorrect", "unparseable", "timeout"]
Pair = tuple[str, str, str]

SECONDS: Final = 5.0
MEMORY: Final = 4 << 30
"""Bytes of address space that a worker may have: some powers would take all there is."""
REMEMBERED: Final = 100_000
"""Pairs; beyond them, all are forgotten."""


def same(golds: pl.Series, answers: pl.Series, kinds: pl.Series | str, *, seconds: float = SECONDS) -> pl.Series:
    """Compare each gold with the answer beside it. Their order matters: see `curation.verification.equality`.

    Args:
        golds: String [rows].
        answers: String [rows].
        kinds: String [rows], answer types, or one for all rows; null: any.
        seconds: wall time for one pair, above 0. Equal pairs are compared once.

    Returns:
        String [rows]: `correct`, `incorrect`, `unparseable` (either is no formula: prose, code, too long, too
        deep, a choice, a boolean) or `timeout`; null where gold or answer is null.
    """
    kind = pl.lit(kinds) if isinstance(kinds, str) else kinds.cast(pl.String).fill_null("")
    rows = pl.DataFrame({"gold": golds, "answer": answers}).cast(pl.String).with_columns(kind=kind)
    asked = rows.drop_nulls().unique(maintain_order=True)
    told = asked.with_columns(pl.Series("verdict", _judge(list(asked.iter_rows()), seconds), pl.String))
    return rows.join(told, on=["gold", "answer", "kind"], how="left", maintain_order="left")["verdict"]


def _judge(pairs: list[Pair], seconds: float) -> list[Verdict]:
    """The verdicts of distinct pairs."""
    told = {pair: verdict for pair in pairs if (verdict := _said.get((seconds, pair)))}
    if new := [pair for pair in pairs if pair not in told]:
        told.update(zip(new, map(_verdict, _workers(seconds).map(new)), strict=True))
        if len(_said) + len(new) > REMEMBERED:
            _said.clear()
        _said.update(((seconds, pair), told[pair]) for pair in new)
    return [told[pair] for pair in pairs]


def _verdict(outcome: Any) -> Verdict:
    if isinstance(outcome, TimedOut):
        return "timeout"
    if isinstance(outcome, Failure):  # no memory, recursion too deep: of the pair nothing is known
        return "unparseable"
    return outcome  # type: ignore[no-any-return]  # as `curation.verification.equality.judge` says


def _workers(seconds: float) -> Workers:
    """The pool of this process; after a fork, the child has its own."""
    with _lock:
        key = os.getpid(), seconds
        if key not in _pools:
            judge, start = "curation.verification.equality:judge", "curation.verification.equality:warm_up"
            _pools[key] = Workers(judge, seconds=seconds, start=start, memory=MEMORY)
        return _pools[key]


_lock = threading.Lock()
_pools: dict[tuple[int, float], Workers] = {}
_said: dict[tuple[float, Pair], Verdict] = {}
