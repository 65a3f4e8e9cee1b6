"""Marking a frame of traces with one pass, so that a row that breaks the pass costs only itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from builders.errors import CotmillError

if TYPE_CHECKING:
    from curation.passes import CorpusPass, LocalPass, Pass

TRIED: Final = 64
"""Rows that fail before a pass is given up, if it has marked none by then."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that a pass could not mark; its marks are null."""

    trace_id: str
    error: str
    """What the pass raised, or that it took too long."""


def mark_frame(traces: pl.DataFrame, made: LocalPass) -> pl.DataFrame:
    """`trace_id` and the columns of one pass, for a frame of traces.

    Raises:
        CotmillError: the pass changed rows or added other columns than it says. What the pass raises
            comes through.
    """
    given = traces.select("trace_id", *made.reads)
    marked = made.mark(given.lazy()).collect()
    own = columns(made)
    if marked.columns != [*given.columns, *own] or not marked["trace_id"].equals(given["trace_id"]):
        raise CotmillError(
            f"Pass {made.name} must add {', '.join(own)} and change nothing else; of {given.height:,} rows it made "
            f"{marked.height:,} with the columns {', '.join(marked.columns)}.\nIts marks were not written."
        )
    return marked.select("trace_id", *own)


def mark_rows(traces: pl.DataFrame, made: LocalPass) -> tuple[pl.DataFrame, list[Failure]]:
    """As `mark_frame`, but rows that the pass raises on get nulls and are named.

    They are found by halving; a pass that fails on each of the first `TRIED` rows is given up.

    Raises:
        CotmillError: see `mark_frame`; what a pass says to its user; or a pass that fails on all it is given.
    """
    if judge := getattr(made, "judge_rows", None):  # a pass that isolates its rows itself
        return judge(traces)  # type: ignore[no-any-return]
    failures: list[Failure] = []
    done: list[pl.DataFrame] = []
    todo = [traces]
    while todo:
        part = todo.pop()
        try:
            done.append(mark_frame(part, made))
        except (CotmillError, MemoryError):
            raise
        except Exception as error:  # a pass may raise anything
            if part.height > 1:
                half = part.height // 2
                todo += [part.slice(half), part.head(half)]  # the first half is popped first: order is kept
                continue
            failures.append(Failure(part["trace_id"][0], brief(error)))
            done.append(nothing(part, made))
            give_up(made, failures, marked=len(done) - len(failures))
    return pl.concat(done), failures


def give_up(made: Pass, failures: list[Failure], *, marked: int) -> None:
    """Raise CotmillError for a pass that has failed `TRIED` times and marked nothing."""
    if len(failures) >= TRIED and not marked:
        raise CotmillError(
            f"pass {made.name} fails on each of the {TRIED} traces it was tried on, first {failures[0].trace_id}: "
            f"{failures[0].error}.\nIts marks were not written."
        )


def mark_whole(traces: pl.LazyFrame, ids: pl.DataFrame, made: CorpusPass, folder: Path | None = None) -> pl.DataFrame:
    """`trace_id` and the columns of a whole-corpus pass, in the order of `ids`.

    Args:
        traces: trace_id and what the pass reads.
        ids: trace_id, for the order.
        made: the pass.
        folder: for one that keeps answers from run to run.

    Raises:
        CotmillError: the pass fails, or does not mark each trace exactly once.
    """
    own = columns(made)
    try:
        given = traces.select("trace_id", *made.reads)
        marks = made.mark_corpus(given, folder) if getattr(made, "keeps", False) else made.mark_corpus(given)  # type: ignore[call-arg]
    except (CotmillError, MemoryError):
        raise
    except Exception as error:
        raise CotmillError(f"pass {made.name} failed: {brief(error)}.\nIts marks were not written.") from error
    if marks.columns != ["trace_id", *own] or marks.height != ids.height:
        raise CotmillError(
            f"Pass {made.name} must give trace_id, {', '.join(own)} for {ids.height:,} traces; it gave "
            f"{marks.height:,} rows of {', '.join(marks.columns)}.\nIts marks were not written."
        )
    if marks["trace_id"].equals(ids["trace_id"]):
        return marks
    return ids.select("trace_id").join(marks, on="trace_id", how="left", maintain_order="left", validate="1:1")


def columns(made: Pass) -> list[str]:
    """The columns that a pass adds."""
    return [f"{made.name}.{mark}" for mark in made.marks]


def nothing(traces: pl.DataFrame, made: Pass) -> pl.DataFrame:
    """Null marks for some traces."""
    return traces.select(
        "trace_id", *(pl.lit(None, kind).alias(f"{made.name}.{mark}") for mark, kind in made.marks.items())
    )


def brief(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
