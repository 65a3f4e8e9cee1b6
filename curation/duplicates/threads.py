"""A corpus in batches, and work on several of them at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import polars as pl

BATCH: Final = 8_192
"""Rows read at once."""
THREADS: Final = 2
"""Work done at the same time: numpy lets go of the interpreter while it computes."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def batches(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows of a frame in order, `BATCH` at a time; only a few batches are held."""
    return iter(frame.collect_batches(chunk_size=BATCH, engine="streaming"))


def in_threads(work: Callable[[_In], _Out], things: Iterable[_In]) -> Iterator[_Out]:
    """`work` of each thing, in order; never more than a few are held at once."""
    waiting: deque[Future[_Out]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for thing in things:
            waiting.append(pool.submit(work, thing))
            if len(waiting) > 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
