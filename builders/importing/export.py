"""Writes a corpus's traces as one file that import reads back, and that trainers load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from builders.corpus import Corpus
from builders.disk import replacing
from builders.errors import SourceError
from builders.prompts import LETTERS

_ABOUT = (
    "trace_id", "gold", "gold_value", "answer_type", "source", "split", "teacher", "granularity", "format",
    "sample_index", "finish_reason", "status",
)  # fmt: skip
"""Columns that every layout has after its own."""

_PLACE = pl.int_range(pl.len())
_LETTER = pl.lit(LETTERS).str.slice(_PLACE, 1)
_CHOICES = pl.when(pl.col("choices").is_not_null()).then(
    pl.struct(label=pl.col("choices").list.eval(_LETTER), text="choices")
)
_APART = pl.when(pl.col("answer") == pl.col("response")).then("reasoning")
"""Reasoning that is not in the response itself."""

_ASKED = pl.concat_str(
    "question",
    pl.lit("\n") + pl.col("choices").list.eval(_LETTER + ". " + pl.element()).list.join("\n"),
    ignore_nulls=True,
)
_SAID = (
    pl.when(_APART.is_not_null())
    .then(pl.concat_str(pl.lit("<think>\n"), "reasoning", pl.lit("\n</think>\n\n"), "response"))
    .otherwise("response")
)


def _turns(role: str, content: str, user: str, assistant: str) -> pl.Expr:
    return pl.concat_list(
        pl.struct(pl.lit(user).alias(role), _ASKED.alias(content)),
        pl.struct(pl.lit(assistant).alias(role), _SAID.alias(content)),
    )


LAYOUTS: Mapping[str, Mapping[str, pl.Expr]] = {
    "rows": {
        "question": pl.col("question"),
        "choices": _CHOICES,
        "response": pl.col("response"),
        "reasoning": _APART,
    },
    "messages": {"messages": _turns("role", "content", "user", "assistant")},
    "sharegpt": {"conversations": _turns("from", "value", "human", "gpt")},
    "alpaca": {"instruction": _ASKED, "input": pl.lit(""), "output": _SAID},
}
"""Own columns of each layout. `rows` holds all that import reads; the others put choices into the question."""


def export_traces(corpus: str | Path, out: str | Path, layout: str = "rows") -> dict[str, Any]:
    """Write every trace of a corpus, in the corpus's order, as one file; whole or not at all.

    Args:
        corpus: a corpus.
        out: FILE.jsonl, FILE.parquet or FILE.csv. In CSV, choices and turns are JSON.
        layout: one of `LAYOUTS`.

    Returns:
        file, layout, rows.

    Raises:
        SourceError: another suffix or layout.
        CorpusError: there is no corpus.
    """
    path, wrong = Path(out), []
    sink = _SINKS.get(path.suffix.lower())
    if sink is None:
        wrong.append(f"{path}: cannot write `{path.suffix}` files; known: {', '.join(_SINKS)}")
    if layout not in LAYOUTS:
        wrong.append(f"there is no layout {layout!r}; known: {', '.join(LAYOUTS)}")
    if sink is None or wrong:
        raise SourceError("cannot export:\n  " + "\n  ".join(wrong) + "\nNothing was written.")
    own = [expression.alias(name) for name, expression in LAYOUTS[layout].items()]
    traces = Corpus(corpus).traces()
    with replacing(path) as temporary:
        sink(traces.select(*own, *_ABOUT), temporary)
    rows = int(traces.select(pl.len()).collect().item())
    return {"file": str(path), "layout": layout, "rows": rows}


def _jsonl(rows: pl.LazyFrame, path: Path) -> None:
    rows.sink_ndjson(path, check_extension=False)


def _parquet(rows: pl.LazyFrame, path: Path) -> None:
    rows.sink_parquet(path)


def _csv(rows: pl.LazyFrame, path: Path) -> None:
    nested = [name for name, dtype in rows.collect_schema().items() if dtype.is_nested()]
    rows.with_columns(_as_json(name) for name in nested).sink_csv(path, check_extension=False)


def _as_json(name: str) -> pl.Expr:
    """JSON of a struct or list; only structs know how, so the list is put into one and its braces taken off."""
    held = pl.struct(pl.col(name)).struct.json_encode()
    inner = held.str.slice(len(name) + 4, held.str.len_chars() - len(name) - 5)
    return pl.when(pl.col(name).is_not_null()).then(inner).alias(name)


_SINKS: Mapping[str, Callable[[pl.LazyFrame, Path], None]] = {".jsonl": _jsonl, ".parquet": _parquet, ".csv": _csv}
