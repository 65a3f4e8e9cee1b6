"""What a pass marked, a few traces at a time: the marks, the words that made them, before and after a conversion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from builders.corpus import Corpus
from builders.errors import CotmillError
from builders.schema import TRACES
from curation.decide.expressions import brief, check_condition
from curation.engine.marks import beside, mark
from curation.passes import Pass, with_needs
from curation.text.steps import trace_text

SHOWN: Final = (
    *("trace_id", "problem_id", "teacher", "granularity", "format", "question", "choices", "gold", "gold_value"),
    *("response", "reasoning", "answer", "status", "parent_id"),
)
OPEN, CLOSE = "⟦", "⟧"
"""Around the words that made a mark."""


def show(corpus: Corpus, made: Pass, *, where: str | None = None, limit: int = 5) -> dict[str, Any]:
    """Traces that a pass has marked, with what made the marks; marks that are missing are made first.

    Args:
        corpus: where the traces are.
        made: the pass.
        where: SQL over trace columns and this pass's marks; by default the traces that it has something
            against: those with a Boolean mark that is true, or what the pass itself calls `notable`.
        limit: at most so many traces.

    Returns:
        pass; marked (rows this time); where (the condition that chose); rows: for each trace trace_id,
        teacher, granularity, format, question, gold, text, marks (mark -> value), spans (mark, column, start,
        end, note; characters) and before (the text it was made from; None for a sampled one).

    Raises:
        CotmillError: the condition cannot be evaluated.
    """
    report = mark(corpus, [made])
    condition = where or _notable(made)
    rows: list[dict[str, Any]] = []
    for frame in _frames(corpus, made):
        found = _matching(frame, made, condition).head(limit - len(rows))
        rows += _described(corpus, made, found)
        if len(rows) >= limit:
            break
    return {"pass": made.name, "marked": report.rows, "where": condition, "rows": rows}


def _notable(made: Pass) -> str:
    said = getattr(made, "notable", None)
    flags = [f'{made.name}."{name}"' for name, kind in made.marks.items() if kind == pl.Boolean]
    return said or " or ".join(flags) or "true"


def _frames(corpus: Corpus, made: Pass) -> Iterator[pl.DataFrame]:
    """Trace columns and a struct of marks, shard by shard."""
    columns = list(dict.fromkeys([*SHOWN, *(c for c in made.reads if c in TRACES)]))
    marks = [f"{made.name}.{name}" for name in made.marks]
    for shard in corpus.shards():
        frame = beside(corpus, [shard], [*columns, *marks], with_needs([made])).collect()
        struct = pl.struct(pl.col(column).alias(name) for column, name in zip(marks, made.marks, strict=True))
        yield frame.select(*columns, struct.alias(made.name))


def _matching(frame: pl.DataFrame, made: Pass, condition: str) -> pl.DataFrame:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.register("traces", frame.to_arrow())
        connection.execute("set enable_external_access = false")
        check_condition(connection, condition, [made], "--where")
        try:
            ids = connection.sql(f"select trace_id from traces where ({condition}\n)").pl()
        except duckdb.Error as error:  # of the values, not the words: a cast that fails, for example
            raise CotmillError(f"--where: {brief(error)}") from None
    return frame.join(ids, on="trace_id", how="semi", maintain_order="left")


def _described(corpus: Corpus, made: Pass, found: pl.DataFrame) -> list[dict[str, Any]]:
    parents = {}
    if ids := found["parent_id"].drop_nulls().to_list():
        texts = corpus.traces().filter(pl.col("trace_id").is_in(ids)).select("trace_id", trace_text())
        parents = dict(texts.collect().iter_rows())
    find = getattr(made, "spans", None)
    marked = found.hstack(found[made.name].struct.unnest().rename(lambda mark: f"{made.name}.{mark}"))
    spans = find(marked) if find and found.height else [[] for _ in range(found.height)]
    shown = found.with_columns(trace_text().alias("text"))
    return [
        {
            **{key: row[key] for key in ("trace_id", "teacher", "granularity", "format", "question", "gold", "text")},
            "marks": row[made.name],
            "spans": [span._asdict() for span in some],
            "before": parents.get(row["parent_id"]),
        }
        for row, some in zip(shown.iter_rows(named=True), spans, strict=True)
    ]


def bracketed(text: str, spans: list[dict[str, Any]], column: str) -> str:
    """A text with brackets around its spans; of spans that overlap, the outermost."""
    pieces, at = [], 0
    for span in sorted((s for s in spans if s["column"] == column), key=lambda s: (s["start"], -s["end"])):
        if span["start"] >= at:
            pieces += [text[at : span["start"]], OPEN, text[span["start"] : span["end"]], CLOSE]
            at = span["end"]
    return "".join([*pieces, text[at:]])


def listing() -> list[dict[str, Any]]:
    """Every pass: name, what it does, parameters and defaults, marks, source, cost, whether it needs all traces."""
    from curation.engine.foreign import offered
    from curation.passes import PASSES, defaults

    found = [
        {
            "pass": name,
            "does": " ".join((kind.__doc__ or "").partition("\n\n")[0].split()),
            "parameters": defaults(kind),
            "marks": {mark: str(dtype) for mark, dtype in kind.marks.items()},
            "source": kind.source,
            "cost": kind.cost,
            "whole_corpus": hasattr(kind, "mark_corpus"),
        }
        for name, kind in PASSES.items()
    ]
    return [*found, *({"pass": name, "does": f"from {entry.value}"} for name, entry in offered().items())]
