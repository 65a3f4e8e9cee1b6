"""Benchmarks: questions that no training trace may hold, out of a file, the Hub or a preset.

What a row means is recognised as `cotmill import` does it, so a benchmark's question is the text that an import of the
same file would give. Not here: looking for them (`curation.contamination.decontaminate`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from glob import glob, has_magic
from hashlib import blake2b
from pathlib import Path
from typing import Final, get_args

import polars as pl

from builders.config import PresetSource
from builders.errors import SourceError
from builders.importing.layout import Usual
from builders.importing.read import Row, Source, find_sources
from builders.importing.reader import Reader
from builders.importing.recognise import LEARN_ROWS, Recogniser
from builders.importing.text import Texts, Unfit
from builders.problems import load_preset, presets
from builders.problems.files import READERS

SCHEMA: Final = pl.Schema({"row": pl.Int32(), "question": pl.String(), "choices": pl.List(pl.String())})
FORMS: Final = "a file (.jsonl, .json, .csv, .parquet), OWNER/NAME[@CONFIG][:SPLIT] of the Hub, or a preset[:SPLIT]"
_HUB: Final = re.compile(r"([\w.-]+/[\w.-]+)(?:@([^@:]+))?(?::([^@:]+))?")
_SPLITS: Final = get_args(PresetSource.model_fields["split"].annotation)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """The questions of one file or split. Equal only to itself, so that an index of it can be kept."""

    name: str
    """Written into marks: of a file the last two parts of its path, else as the user said it."""
    questions: pl.DataFrame
    """Columns of `SCHEMA`. `row` counts from 0 as `datasets` and Polars do; rows without a question are not there."""


def listed(against: str | Iterable[str]) -> tuple[str, ...]:
    """Benchmarks named in a list, or in one text with `+` between them."""
    said = [against] if isinstance(against, str) else against
    return tuple(dict.fromkeys(name for part in said for name in map(str.strip, part.split("+")) if name))


def load_benchmarks(named: Sequence[str], column: str | None = None) -> tuple[Benchmark, ...]:
    """The benchmarks, in the order they are named; what was read is kept until a file changes.

    Args:
        named: each one of `FORMS`. A glob gives a benchmark per file.
        column: the files' column with the question; null: recognised by its name.

    Raises:
        SourceError: one of them is missing, cannot be read, has no column with a question, or is empty; or the Hub
            is out of reach.
    """
    held = tuple((name, tuple((file, file.stat().st_mtime_ns) for file in _files(name))) for name in named)
    return _load(held, column)


def content_of(benchmarks: Iterable[Benchmark]) -> str:
    """128 bits over questions, choices and their places, as 32 hex digits; names and paths do not matter."""
    state = blake2b(digest_size=16)
    for benchmark in benchmarks:
        for part in benchmark.questions.iter_slices(65_536):
            state.update(part.write_json().encode())
        state.update(b"\x00")
    return state.hexdigest()


@lru_cache(maxsize=4)
def _load(named: tuple[tuple[str, tuple[tuple[Path, int], ...]], ...], column: str | None) -> tuple[Benchmark, ...]:
    """Benchmarks and their files, each with the time of its last change: it is there to be part of the key."""
    labels = ["/".join(file.parts[-2:]) for _, files in named for file, _ in files]
    found = []
    for name, files in named:
        for file, _ in files:
            label = "/".join(file.parts[-2:])
            shown = label if labels.count(label) == 1 else str(file)
            found.append(replace(_read(_source(str(file)), str(file), column), name=shown))
        if not files:
            found.append(_from_elsewhere(name, column))
    return tuple(found)


def _files(name: str) -> list[Path]:
    """Files that a name means; none: it is a preset or a dataset of the Hub.

    Raises:
        SourceError: it looks like a file and there is none.
    """
    path = Path(name).expanduser()
    found = sorted(map(Path, glob(str(path), recursive=True))) if has_magic(name) else [path]
    if files := [file for file in found if file.is_file()]:
        return files
    if path.suffix.lower() in READERS or has_magic(name) or path.is_absolute():
        raise SourceError(f"benchmark {name}: no such file, looked at from {Path.cwd()}.\nA benchmark is {FORMS}.")
    return []


def _source(name: str, config: str | None = None, split: str | None = None) -> Source:
    found, wrong = find_sources([name], config=config, split=split)
    if wrong:
        raise SourceError(f"benchmark {wrong[0]}")
    return found[0]


def _from_elsewhere(name: str, column: str | None) -> Benchmark:
    short, _, split = name.partition(":")
    if short in presets():
        if split not in ("", *_SPLITS):
            raise SourceError(f"benchmark {name}: a preset has the splits {' and '.join(_SPLITS)}, not {split!r}.")
        problems = load_preset(PresetSource(source="preset", name=short, split=split or "test")).problems
        rows = problems.with_row_index("row").select(SCHEMA.names()).cast(SCHEMA)
        return Benchmark(name, rows)
    if hub := _HUB.fullmatch(name):
        return _read(_source(f"hf://datasets/{hub[1]}", hub[2], hub[3] or "test"), name, column)
    raise SourceError(
        f"benchmark {name!r} is no file, no dataset and no preset.\nA benchmark is {FORMS}: {', '.join(presets())}."
    )


def _read(source: Source, name: str, column: str | None) -> Benchmark:
    first = [row for _, row in next(source.batches(), [])[:LEARN_ROWS] if isinstance(row, dict)]
    recogniser = Recogniser({"question": column} if column else {}, first)
    layouts = [recogniser.layout(row) for row in first]
    columns = list(dict.fromkeys(key for row in first for key in row))
    if not columns:
        raise SourceError(f"benchmark {name} holds no rows.\nWrite it again, or take it out of `against`.")
    missing = column is not None and not {column, column.split(".")[0]} & set(columns)
    if missing or not any(layout.roles["question"] or layout.chat for layout in layouts):
        what = f"has no column {column!r}" if missing else "has no column that is known to hold questions"
        raise SourceError(
            f"benchmark {name} {what}; it has {', '.join(columns)}.\n"
            f"Say which one it is: decontaminate:against={name},question=COLUMN"
        )
    counted = (row for batch in source.batches() for row in batch)
    parts = [SCHEMA.to_frame(), *_tables(counted, recogniser)]
    rows = pl.concat(parts).filter(pl.col("question").str.contains(r"[\p{L}\p{N}]"))
    if rows.is_empty():
        raise SourceError(
            f"benchmark {name}: none of its rows asks anything; its columns are {', '.join(columns)}.\n"
            f"Say which one holds the question: decontaminate:against={name},question=COLUMN"
        )
    return Benchmark(name, rows)


def _tables(rows: Iterable[Row], recogniser: Recogniser, size: int = 65_536) -> Iterator[pl.DataFrame]:
    """Rows as tables of `SCHEMA`, so that a large benchmark is never held as Python objects."""
    texts, held = Texts(), list[tuple[int, str, list[str] | None]]()
    for place, (_, row) in enumerate(rows):
        if not isinstance(row, dict):
            continue
        reader = Reader(row, recogniser.layout(row), Usual(), texts)
        try:
            question, pairs = reader.choices(reader.question(reader.turns()))
        except Unfit:
            continue
        held.append((place, question.strip(), [pair["text"] or "" for pair in pairs] if pairs else None))
        if len(held) == size:
            yield pl.DataFrame(held, SCHEMA, orient="row")
            held = []
    yield pl.DataFrame(held, SCHEMA, orient="row")
