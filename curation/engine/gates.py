r"""A dear look only where a cheap one says so, and where in a text a pattern was found.

Nearly all traces are clean, so the passes that look at text first ask a question that costs next to nothing (is this
word in it at all?) and put the exact one to the few that are left. Not here: what is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from curation.passes import LocalPass, Span

_OPEN: Final = "\x1e"
_CLOSE: Final = "\x1f"
"""Stand around what was found; the same characters of the text itself are blanked before."""


def judged(traces: pl.LazyFrame, made: LocalPass, judge: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.LazyFrame:
    """Add the marks of a pass that judges a frame as a whole.

    Args:
        traces: holds the columns that the pass reads.
        made: the pass.
        judge: given a frame of those columns, returns its marks, without prefix and in any order.
    """
    own = [pl.col(name).cast(kind) for name, kind in made.marks.items()]
    column = f"{made.name}."
    marks = pl.struct(made.reads).map_batches(
        lambda rows: judge(rows.struct.unnest()).select(own).to_struct(column),
        return_dtype=pl.Struct(made.marks),
        is_elementwise=True,
    )
    return (
        traces.with_columns(marks.alias(column))
        .with_columns(pl.col(column).struct.field(name).alias(column + name) for name in made.marks)
        .drop(column)
    )


def where(gate: pl.Series, texts: pl.Series, judge: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What `judge` says of the texts whose gate is open; false for the others, null where there is no text.

    Args:
        gate: Boolean [rows]; null is closed.
        texts: String [rows].
        judge: String [some rows] -> Boolean [the same rows].
    """
    verdicts = pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)
    if texts.null_count():
        verdicts = verdicts.set(texts.is_null(), None)
        gate = gate & texts.is_not_null()
    rows = gate.arg_true()
    return verdicts.scatter(rows, judge(texts.gather(rows))) if len(rows) else verdicts


def holds(pattern: str) -> Callable[[pl.Series], pl.Series]:
    """A judge that looks for a pattern."""
    return lambda texts: texts.str.contains(pattern)


def places(text: str, pattern: str) -> list[tuple[int, int]]:
    """Start and end, in characters, of everything in one text that matches a pattern of Polars.

    >>> places("a1b22", "[0-9]+")
    [(1, 2), (3, 5)]
    """
    plain = pl.Series([text]).str.replace_all(f"[{_OPEN}{_CLOSE}]", " ")
    pieces = plain.str.replace_all(pattern, f"{_OPEN}${{0}}{_CLOSE}").item().split(_OPEN)
    found, at = [], len(pieces[0])
    for piece in pieces[1:]:
        inside, _, after = piece.partition(_CLOSE)
        if inside:
            found.append((at, at + len(inside)))
        at += len(inside) + len(after)
    return found


def spans_of(
    traces: pl.DataFrame, text: pl.Expr, patterns: Mapping[str, Mapping[str, str]], prefix: str
) -> list[list[Span]]:
    """Where patterns are found in the texts of a few marked traces.

    Args:
        traces: marked: holds `<prefix><mark>`, Boolean, for each mark of `patterns`.
        text: what to read of each trace.
        patterns: mark -> what is said about the place -> pattern.
        prefix: of the columns: `defects.`.
    """
    from curation.passes import Span  # which imports the passes

    spans: list[list[Span]] = []
    for row, said in zip(traces.iter_rows(named=True), traces.select(text.alias("said"))["said"], strict=True):
        found = [
            Span(mark, "text", *place, note)
            for mark, notes in patterns.items()
            if said and _is_set(row.get(prefix + mark))
            for note, pattern in notes.items()
            for place in places(said, pattern)
        ]
        spans.append(sorted(found, key=lambda span: (span.start, span.end, span.mark)))
    return spans


def _is_set(mark: Any) -> bool:
    return mark is not None and mark is not False
