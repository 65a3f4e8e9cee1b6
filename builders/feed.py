"""Which request comes next. One feed for each stop rule, one for second tries; none knows who asks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import polars as pl

from builders.config import SampleConfig
from builders.identity import trace_id
from builders.plan import Arm
from builders.teachers import Message

BLOCK = 4096
"""Requests made into Python objects at a time: a plan of a million stays columnar until its turn."""


@dataclass(frozen=True, slots=True)
class Item:
    """One request to make: which trace it will be, of which problem, asked how."""

    trace_id: str  # of a joint call: the id of the call
    problem: Mapping[str, Any]  # columns as in PROBLEMS
    arm: Arm  # of a joint call: any of its arms, as they share the prompt
    sample_index: int
    traces: tuple[Item, ...] = ()  # of a joint call: the traces it is to give, without those held already
    messages: tuple[Message, ...] = ()  # of a conversion: the whole prompt, source included; empty: the arm's prompt
    parent_id: str | None = None  # of a conversion: its source

    def each(self) -> tuple[Item, ...]:
        """The traces this request is to give."""
        return self.traces or (self,)


class Feed(Protocol):
    """Hands out requests. `settle` tells it what became of one."""

    def next(self) -> Item | None:
        """The next request; None when there is none now."""

    def settle(self, item: Item, verified: bool) -> None:
        """Take notice that a trace (of a joint call: each of its traces) is done, and whether it is correct."""

    def finished(self) -> bool:
        """Whether `next` will never give another request."""


class FixedFeed:
    """Every request of a plan, once, in order."""

    def __init__(self, requests: pl.DataFrame, problems: pl.DataFrame, arms: Sequence[Arm]) -> None:
        self._items = items_of(requests, problems, arms)
        self._left = requests.height

    def next(self) -> Item | None:
        """The next request of the plan."""
        item = next(self._items, None)
        if item is not None:
            self._left -= len(item.traces) or 1
        return item

    def settle(self, item: Item, verified: bool) -> None:
        """Nothing to learn: the plan is fixed."""

    def finished(self) -> bool:
        """Whether the plan is used up."""
        return not self._left


def items_of(requests: pl.DataFrame, problems: pl.DataFrame, arms: Sequence[Arm]) -> Iterator[Item]:
    """Rows as `builders.plan.plan` returns them, as requests to make; traces of one joint call make one request."""
    singles = _singles(requests, problems, arms)
    if not any(arm.call for arm in arms):
        yield from singles
        return
    for (problem, call, index), found in groupby(singles, key=_call):
        together = tuple(found)
        if call is None:
            yield from together
        else:
            yield joint_item(trace_id(problem, call, index), together)


def joint_item(key: str, traces: tuple[Item, ...]) -> Item:
    """The call `key` for these traces."""
    return Item(key, traces[0].problem, traces[0].arm, traces[0].sample_index, traces)


def _call(item: Item) -> tuple[str, str | None, int]:
    return item.problem["problem_id"], item.arm.call, item.sample_index


def _singles(requests: pl.DataFrame, problems: pl.DataFrame, arms: Sequence[Arm]) -> Iterator[Item]:
    for block in requests.iter_slices(BLOCK):
        rows = problems[block["problem"].to_list()].to_dicts()
        columns = (block[name].to_list() for name in ("trace_id", "arm", "sample_index"))
        for row, key, arm, index in zip(rows, *columns, strict=True):
            yield Item(key, row, arms[arm], index)


class UntilFeed:
    """Samples of a problem, one index after another, until `verified` are correct or `n` are asked.

    `verified` are asked at once; each one that fails asks for the next index. Which indices are
    asked depends on the answers alone, not on their order of arrival, so a resumed run asks the
    same ones: what the corpus holds is settled at once from `known`.
    """

    def __init__(
        self,
        groups: pl.DataFrame,
        problems: pl.DataFrame,
        arms: Sequence[Arm],
        known: Mapping[str, bool],
        sample: SampleConfig,
    ) -> None:
        """Make the feed.

        Args:
            groups: [groups] with problem (row of `problems`) and arm (index into `arms`).
            problems: [problems], columns as in PROBLEMS.
            arms: ways of asking.
            known: trace id -> whether it is correct, for the traces held already.
            sample: `until.verified` correct traces are wanted per group, at most `n` are asked.
        """
        assert sample.until is not None
        self._problems, self._arms, self._known = problems, arms, known
        self._groups = groups.select("problem", "arm").iter_rows()
        self._verified, self._n = sample.until.verified, sample.n
        self._ready: deque[Item] = deque()
        self._asked: dict[tuple[str, str], int] = {}
        self._open = 0  # handed out and not settled

    def next(self) -> Item | None:
        """The next request; follow-ups of problems begun come first, their prefix is still cached."""
        self._look_ahead()
        if not self._ready:
            return None
        self._open += 1
        return self._ready.popleft()

    def settle(self, item: Item, verified: bool) -> None:
        """Ask for the next sample of the same problem when this one is not correct."""
        self._open -= 1
        if not verified:
            self._ask(item.problem, item.arm, 1)

    def finished(self) -> bool:
        """Whether every problem has enough correct traces or no samples left."""
        self._look_ahead()
        return not self._ready and not self._open

    def _look_ahead(self) -> None:
        """Begin groups until one has something to ask, or none is left."""
        while not self._ready and (group := next(self._groups, None)):
            problem, arm = group
            self._ask(self._problems.row(problem, named=True), self._arms[arm], self._verified)

    def _ask(self, problem: Mapping[str, Any], arm: Arm, count: int) -> None:
        group = (problem["problem_id"], arm.arm_id)
        index = self._asked.get(group, 0)
        while count and index < self._n:
            key = trace_id(*group, index)
            if key in self._known:  # settled by an earlier run: correct, or another one is due
                count -= self._known[key]
            else:
                self._ready.append(Item(key, problem, arm, index))
                count -= 1
            index += 1
        self._asked[group] = index


class RetryFeed:
    """What another feed hands out, and each trace of it that is not correct once more with the gold answer.

    The second try is a trace of its own arm with the same sample index; the first one stays. Whether
    there is one depends on the first answer alone, so a resumed run asks the same ones. The other feed
    hears of first tries only: a stop rule counts what was solved unaided. A joint call is asked again
    for those of its levels that are not correct, once all of them are judged.
    """

    def __init__(self, first: Feed, due: Iterator[Item], held: Collection[str]) -> None:
        """Make the feed.

        Args:
            first: hands out the first tries.
            due: second tries that earlier runs left over.
            held: ids of traces that are in the corpus.
        """
        self._first, self._due, self._held = first, due, held
        self._ready: deque[Item] = deque()
        self._wrong: dict[tuple[str, str, int], list[Item]] = {}
        self._open: Counter[tuple[str, str, int]] = Counter()  # first tries handed out and not settled

    def next(self) -> Item | None:
        """The next request: second tries of problems begun, then those left over, then first tries."""
        item = self._ready.popleft() if self._ready else next(self._due, None)
        if item is None and (item := self._first.next()) is not None:
            self._open[_try(item)] += len(item.each())
        return item

    def settle(self, item: Item, verified: bool) -> None:
        """Ask again when a first try is not correct."""
        if item.arm.second_try is None:  # it was the second
            return
        self._first.settle(item, verified)
        key = _try(item)
        wrong = not verified and item.problem["gold_value"] is not None  # without gold nobody knows
        if wrong and (again := second_try(item)).trace_id not in self._held:
            self._wrong.setdefault(key, []).append(again)
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]
            self._ready.extend(_together(self._wrong.pop(key, [])))

    def finished(self) -> bool:
        """Whether every first try is done, and none is left to ask again."""
        if self._ready or self._open or not self._first.finished():
            return False
        if (item := next(self._due, None)) is not None:
            self._ready.append(item)
        return item is None


def second_try(item: Item) -> Item:
    """The trace that is asked for when `item` is not correct."""
    arm = item.arm.second_try
    assert arm is not None
    key = trace_id(item.problem["problem_id"], arm.arm_id, item.sample_index)
    return Item(key, item.problem, arm, item.sample_index)


def _try(item: Item) -> tuple[str, str, int]:
    return item.problem["problem_id"], item.arm.call or item.arm.arm_id, item.sample_index


def _together(traces: Sequence[Item]) -> Iterator[Item]:
    """Traces of one problem and sample index as requests: one call for all where the arms are joint."""
    if not traces:
        return
    problem, call, index = _call(traces[0])
    if call is None:
        yield from traces
    else:
        yield joint_item(trace_id(problem, call, index), tuple(traces))
