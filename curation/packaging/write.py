"""Rows of a decision as Parquet files, each shard read once.

A split's rows lie in every shard, as shards are in the order of sampling and splits in that of a dataset. So
rows are first dealt to temporary files, so many rows of a split each, and those are then sorted and written one after
the other. What is in memory is a shard and a temporary file, however many there are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.errors import CorpusError
from builders.prompts import render_question
from builders.schema import TRACES
from curation.config import CurateConfig
from curation.contamination.splits import check
from curation.decide.select import Decision
from curation.engine.marks import marks_file
from curation.packaging.before import Before
from curation.packaging.layout import PAIRS, REMOVED, Layout, lay_out
from curation.packaging.parquet import ParquetFiles
from curation.passes import Pass
from curation.text.steps import at_ends, trace_text

ROWS_DEALT: Final = 100_000
"""At most in one temporary file."""
BYTES_DEALT: Final = 400_000_000
"""Of traces in one temporary file, about; at least a thousand rows."""
KEPT: Final = (
    *("trace_id", "problem_id", "prompt", "completion", "question", "choices", "gold", "answer"),
    *("reasoning", "response", "teacher", "granularity", "format", "sample_index", "completion_tokens"),
    *("verdict", "source"),
)
"""Columns of a kept row. `answer` is the canonical spelling of what the trace answers. `steps` (the texts that the pass
`steps` cuts a trace into) and `weight` follow where there are any."""
PAIR: Final = ("prompt", "chosen", "rejected", "chosen_id", "rejected_id", "pair_rule", "problem_id")
"""Columns of a preference pair."""

Array = NDArray[Any]
_PLACE: Final = ("_file", "_row")


@dataclass(frozen=True)
class Written:
    """What is on disk."""

    configs: dict[str, dict[str, Any]]
    """Config -> `of` (what its rows share), `splits`: split -> rows, problems (of kept rows), bytes, memory (bytes as
    Arrow), files (relative to the dataset, in the order of their rows)."""
    renamed: dict[str, str]
    """See `curation.packaging.layout.Layout`."""
    overlaps: int
    """Questions that splits share, which the recipe allows (`allow_overlap`)."""


@dataclass(frozen=True)
class _Output:
    """The rows of one folder and split."""

    kind: Literal["kept", "removed", "pairs"]
    folder: str
    split: str
    rows: int
    cell: int = 0
    cuts: tuple[int, ...] = ()
    """Where files of the version before end that stay as they were."""

    @property
    def stem(self) -> str:
        """Path in the dataset, without number and ending."""
        return f"{self.folder}/{self.split}"


@dataclass(frozen=True)
class _Plan:
    """Which row goes where. Arrays over all rows in the order of the shards."""

    layout: Layout
    outputs: list[_Output]
    """Kept rows, then removed ones, then pairs."""
    dealt: list[list[int]]
    """Numbers of the temporary files of each output."""
    removed: int
    """Number of the first temporary file of removed rows."""
    file: Array
    """uint32: number of a temporary file."""
    row: Array
    """uint32: place among the rows of the output."""
    sides: pl.DataFrame
    """_at (place of the trace in the shards), _file, _row, _side ("chosen", "rejected"), pair_rule; by _at."""


def write_rows(
    folder: Path,
    corpus: Corpus,
    config: CurateConfig,
    passes: Sequence[Pass],
    decision: Decision,
    before: Before | None = None,
) -> Written:
    """Write data/ and removed/ below `folder`.

    Args:
        folder: of the dataset to be.
        corpus: where the rows are.
        config: what a prompt and a completion are, and which configs there are.
        passes: whose marks removed rows keep.
        decision: what becomes of every row.
        before: an earlier version of the dataset: its rows keep their places, new ones follow.

    Raises:
        CorpusError: a shard or its marks cannot be read any more; what was written is to be thrown away.
        CotmillError: splits share questions, and the recipe does not allow it; or there are too many configs.
    """
    plan = _plan(config, decision, before, _rows_dealt(decision))
    dealt = folder / ".dealt"
    dealt.mkdir(parents=True)
    writing = _Writing(folder, dealt, corpus, config, passes, decision, plan)
    ends = np.cumsum(decision.heights)
    for shard, first, last in zip(decision.shards, [0, *ends[:-1]], ends, strict=True):
        writing.deal(shard, int(first), int(last))
    shared = check(pl.concat(writing.asked), waived=config.allow_overlap, where="curate.splits")
    writing.asked.clear()
    held = [writing.finish(output, numbers) for output, numbers in zip(plan.outputs, plan.dealt, strict=True)]
    dealt.rmdir()
    return Written(_configs(plan, held, decision), plan.layout.renamed, shared.height)


class _Writing:
    """The temporary files and what is needed to turn them into those of the dataset."""

    def __init__(
        self,
        folder: Path,
        dealt: Path,
        corpus: Corpus,
        config: CurateConfig,
        passes: Sequence[Pass],
        decision: Decision,
        plan: _Plan,
    ) -> None:
        self.folder, self.dealt, self.corpus, self.config = folder, dealt, corpus, config
        self.passes, self.decision, self.plan = passes, decision, plan
        place = np.empty_like(decision.order)
        place[decision.order] = np.arange(len(place), dtype=place.dtype)
        self.place = place
        """Place in the order of a dataset, of each row in the order of the shards."""
        self.reasons = [*decision.failures, *([reason] for reason in decision.reasons)]
        self.asked: list[pl.DataFrame] = []
        """A row per problem with a kept trace: its question and split, for the guard between splits."""
        kept = np.flatnonzero(decision.kept)
        self.steps = any(made.name == "steps" for made in passes)
        self.first = np.zeros(len(place), bool)
        self.first[kept[np.flatnonzero(np.diff(decision.problem[kept], prepend=np.uint32(2**32 - 1)))]] = True
        self.chunks: list[list[int]] = [[] for numbers in plan.dealt for _ in numbers]
        """Bytes of each chunk in each temporary file."""

    def deal(self, shard: Path, first: int, last: int) -> None:
        """The rows of one shard to the temporary files; they stand at `first` to `last` in the order of the shards."""
        rows = self._read(shard, last - first).with_columns(
            pl.Series("_file", self.plan.file[first:last]), pl.Series("_row", self.plan.row[first:last])
        )
        place = self.place[first:last]
        if self.decision.weight is not None:
            rows = rows.with_columns(pl.Series("weight", self.decision.weight[place]))
        kept = rows.filter(pl.col("_file") < self.plan.removed)
        self._append(kept.select(*_PLACE, *self._kept_columns()))
        splits = pl.Series("_split", self.decision.splits, dtype=pl.String).gather(self.decision.split[place])
        asked = rows.with_columns(splits).filter(pl.Series(self.first[place]))
        own = asked.select("problem_id", "question", "choices", split="_split", source_split="split")
        # A filtered text column holds on to all texts it came from, unless it is copied through Arrow.
        self.asked.append(pl.DataFrame(own.to_arrow(compat_level=pl.CompatLevel.oldest())))
        gone = pl.Series(self.decision.reason[place] >= 0)
        removed = rows.filter(gone)
        if removed.height:
            self._append(removed.select(*_PLACE, *TRACES.names(), *self._structs(), *self._why(place[gone.to_numpy()])))
        at = self.plan.sides["_at"].to_numpy()
        sides = self.plan.sides.slice(low := int(np.searchsorted(at, first)), int(np.searchsorted(at, last)) - low)
        if sides.height:
            self._append(self._sides(rows, sides, first))

    def finish(self, output: _Output, numbers: Sequence[int]) -> dict[str, Any]:
        """The files of one output from its temporary ones: rows, bytes, memory, files."""
        made: ParquetFiles | None = None
        for number in numbers:
            rows = self._final(output.kind, self._dealt(number))
            most = self.config.file_bytes()
            made = made or ParquetFiles(self.folder / output.stem, rows.schema, most, output.cuts)
            made.write(rows)
        assert made is not None
        files = made.close()
        return {
            "rows": made.rows,
            "bytes": sum(file.stat().st_size for file in files),
            "memory": made.memory,
            "files": [file.relative_to(self.folder).as_posix() for file in files],
        }

    def _final(self, kind: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows as they are published."""
        if kind == "pairs":
            return self._paired(rows)
        if kind == "removed":
            return rows.drop(_PLACE)
        rows = rows.with_columns(
            turn("user", prompt_text(self.config.prompt)).alias("prompt"),
            turn("assistant", completion_text(self.config.completion)).alias("completion"),
        ).with_columns(answer="_answer", verdict="_verdict")
        if self.steps:
            rows = rows.with_columns(at_ends(rows["_text"], rows["_ends"]).alias("steps"))
        return rows.select(*KEPT, *(name for name in ("steps", "weight") if name in rows.columns))

    def _read(self, shard: Path, height: int) -> pl.DataFrame:
        """All columns of a shard's traces, with the marks of all passes beside them."""
        parts = []
        try:
            scan = pl.scan_parquet(shard, schema=TRACES, glob=False, missing_columns="insert", extra_columns="ignore")
            parts.append(scan.collect())
            for made in self.passes:
                columns = [f"{made.name}.{mark}" for mark in made.marks]
                parts.append(pl.read_parquet(marks_file(self.corpus, made, shard), columns=columns, glob=False))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise CorpusError(f"{shard} or its marks cannot be read: {error}\nNothing was written.") from None
        if wrong := [part.height for part in parts if part.height != height]:
            raise CorpusError(f"{shard} had {height:,} rows and has {wrong[0]:,} now; nothing was written.")
        return pl.concat(parts, how="horizontal")

    def _kept_columns(self) -> list[pl.Expr | str]:
        own = [name for name in KEPT if name in TRACES]
        verified = any(made.name == "verify" for made in self.passes)
        marks = [
            (pl.col(f"verify.{mark}") if verified else pl.lit(None, pl.String)).alias(f"_{mark}")
            for mark in ("answer", "verdict")
        ]
        if self.steps:
            marks += [trace_text().alias("_text"), pl.col("steps.ends").alias("_ends")]
        return [*own, *marks, *(["weight"] if self.decision.weight is not None else [])]

    def _structs(self) -> Iterator[pl.Expr]:
        for made in self.passes:
            yield pl.struct(pl.col(f"{made.name}.{mark}").alias(mark) for mark in made.marks).alias(made.name)

    def _why(self, place: Array) -> list[pl.Series]:
        """`reason` and `reasons` of removed rows; a rule that is no condition is the only one."""
        made = self.decision
        reason, failing = made.reason[place], made.failing[place]
        several = np.array([bool(said) for said in made.failures])[failing]
        code = np.where(several, failing, len(made.failures) + reason)
        return [
            pl.Series(made.reasons, dtype=pl.String).gather(reason).alias("reason"),
            pl.Series(self.reasons, dtype=pl.List(pl.String)).gather(code).alias("reasons"),
        ]

    def _sides(self, rows: pl.DataFrame, sides: pl.DataFrame, first: int) -> pl.DataFrame:
        """The traces of this shard that are half of a pair."""
        said = rows.select(
            *("trace_id", "problem_id", "question", "choices"),
            completion_text(self.config.completion).alias("_said"),
        )
        return pl.concat([sides.drop("_at"), said[(sides["_at"] - first).to_numpy()]], how="horizontal")

    def _paired(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Chosen and rejected traces, which lie in the same order, side by side."""
        chosen, rejected = (rows.filter(pl.col("_side") == side) for side in ("chosen", "rejected"))
        said = [
            chosen.select(
                *("problem_id", "pair_rule"),
                turn("user", prompt_text(self.config.prompt)).alias("prompt"),
                turn("assistant", pl.col("_said")).alias("chosen"),
                pl.col("trace_id").alias("chosen_id"),
            ),
            rejected.select(
                turn("assistant", pl.col("_said")).alias("rejected"), pl.col("trace_id").alias("rejected_id")
            ),
        ]
        return pl.concat(said, how="horizontal").select(PAIR)

    def _append(self, rows: pl.DataFrame) -> None:
        for (number,), part in rows.partition_by("_file", as_dict=True, include_key=True).items():
            buffer = io.BytesIO()
            part.write_ipc_stream(buffer, compression="uncompressed")
            with (self.dealt / str(number)).open("ab") as handle:
                handle.write(buffer.getbuffer())
            self.chunks[int(number)].append(buffer.tell())

    def _dealt(self, number: int) -> pl.DataFrame:
        """The rows of one temporary file in their order; it is removed."""
        file = self.dealt / str(number)
        if not self.chunks[number]:  # no row was removed
            return pl.DataFrame(schema=TRACES).with_columns(
                *(pl.lit(None, pl.Struct(dict(made.marks))).alias(made.name) for made in self.passes),
                *(pl.lit(None, kind).alias(name) for name, kind in (("_file", pl.UInt32), ("_row", pl.UInt32))),
                pl.lit(None, pl.String).alias("reason"),
                pl.lit(None, pl.List(pl.String)).alias("reasons"),
            )
        with file.open("rb") as handle:
            parts = [pl.read_ipc_stream(io.BytesIO(handle.read(size))) for size in self.chunks[number]]
        file.unlink()
        return pl.concat(parts).sort("_row")


def _plan(config: CurateConfig, decision: Decision, before: Before | None, most: int) -> _Plan:
    """Give every row its temporary file, and its place among the rows of its output."""
    outputs: list[_Output] = []
    numbers: list[list[int]] = []
    file, row = np.empty_like(decision.order), np.empty_like(decision.order)

    def deal(rows: NDArray[np.intp], output: _Output) -> None:
        if before is not None:
            places = before.places(output.kind, decision.order[rows])
            rows, places = rows[order := np.argsort(places, kind="stable")], places[order]
            output = replace(output, cuts=tuple(before.cuts(output.kind, places, output.stem)))
        first = sum(map(len, numbers))
        at = np.arange(len(rows), dtype=np.uint32)
        here = decision.order[rows]
        file[here], row[here] = first + at // most, at
        outputs.append(output)
        numbers.append(list(range(first, first + max(1, -(-len(rows) // most)))))

    kept = decision.kept
    cell = np.zeros(len(kept), np.uint32) if decision.cell is None else decision.cell
    used = np.unique(cell[kept])
    layout = lay_out(config.parts(), [decision.cells[code] for code in used] if decision.cells else [None])
    for number, (code, name) in enumerate(zip(used, layout.cells, strict=True)):
        own = np.flatnonzero(kept & (cell == code))
        for index, split in enumerate(decision.splits):
            rows = own[decision.split[own] == index]
            if len(rows):
                deal(rows, _Output("kept", f"data/{name}", split, len(rows), number))
    removed = sum(map(len, numbers))
    gone = np.flatnonzero(~kept)
    deal(gone, _Output("removed", REMOVED, REMOVED, len(gone)))  # a reader finds a file without rows instead of none
    sides = _sides_of(config, decision, before, most, outputs, numbers)
    return _Plan(layout, outputs, numbers, removed, file, row, sides)


def _sides_of(
    config: CurateConfig,
    decision: Decision,
    before: Before | None,
    most: int,
    outputs: list[_Output],
    numbers: list[list[int]],
) -> pl.DataFrame:
    """Both halves of every pair, by place in the shards; adds the outputs of pairs."""
    sides = {side: decision.order[decision.pairs[side].to_numpy()] for side in ("chosen", "rejected")}
    labels = pl.Series([rule.label() for rule in config.pair_rules()], dtype=pl.String).gather(decision.pairs["rule"])
    split = decision.split[decision.pairs["chosen"].to_numpy()]
    number, place = np.empty(len(split), np.uint32), np.empty(len(split), np.uint32)
    for code, name in enumerate(decision.splits):
        rows = np.flatnonzero(split == code)
        if not len(rows):
            continue
        output = _Output("pairs", f"data/{PAIRS}", name, len(rows))
        if before is not None:
            places = before.pairs(sides["chosen"][rows], sides["rejected"][rows], labels.gather(rows))
            rows, places = rows[order := np.argsort(places, kind="stable")], places[order]
            output = replace(output, cuts=tuple(before.cuts("pairs", places, output.stem)))
        first = sum(map(len, numbers))
        place[rows] = np.arange(len(rows), dtype=np.uint32)
        number[rows] = first + place[rows] // most
        outputs.append(output)
        numbers.append(list(range(first, first + -(-len(rows) // most))))
    halves = [
        pl.DataFrame(
            {
                "_at": sides[side],
                "_file": number,
                "_row": place,
                "_side": pl.repeat(side, len(split), dtype=pl.String, eager=True),
                "pair_rule": labels,
            }
        )
        for side in ("chosen", "rejected")
    ]
    return pl.concat(halves).sort("_at", "_file", "_row", "_side")


def _rows_dealt(decision: Decision) -> int:
    """Rows of one temporary file: fewer where traces are long."""
    size = 0
    for shard in decision.shards:
        with pq.ParquetFile(shard) as file:
            size += sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
    mean = size / max(len(decision.order), 1)
    return int(min(ROWS_DEALT, max(1_000, BYTES_DEALT // max(mean, 1))))


def _configs(plan: _Plan, held: Sequence[dict[str, Any]], decision: Decision) -> dict[str, dict[str, Any]]:
    """What each config holds; see `Written`."""
    kept = np.flatnonzero(decision.kept)
    cells = np.zeros(len(kept), np.uint32) if decision.cell is None else decision.cell[kept]
    cells = np.unique(cells, return_inverse=True)[1].astype(np.uint32)
    asked = pl.DataFrame({"cell": cells, "split": decision.split[kept], "problem": decision.problem[kept]}).unique()
    found: dict[str, dict[str, Any]] = {}
    by_split = list(zip(plan.outputs, held, strict=True))
    for config in plan.layout.configs:
        own = asked.filter(pl.col("cell").is_in(config.cells)) if config.of else asked
        counts = own.group_by("split").agg(pl.col("problem").n_unique())
        problems = {decision.splits[code]: count for code, count in counts.rows()}
        splits = {}
        for split in decision.splits:
            parts = [one for o, one in by_split if o.kind == "kept" and o.split == split and o.cell in config.cells]
            if parts:
                splits[split] = _together(parts, problems[split])
        found[config.name] = {"of": config.of, "splits": splits}
    for kind, name in (("pairs", PAIRS), ("removed", REMOVED)):
        if splits := {output.split: _together([one]) for output, one in by_split if output.kind == kind}:
            found[name] = {"of": {}, "splits": splits}
    return found


def _together(parts: Sequence[dict[str, Any]], problems: int | None = None) -> dict[str, Any]:
    sums = {key: sum(part[key] for part in parts) for key in ("rows", "bytes", "memory")}
    asked = {} if problems is None else {"problems": problems}
    return {"rows": sums.pop("rows"), **asked, **sums, "files": [file for part in parts for file in part["files"]]}


def turn(role: str, content: pl.Expr) -> pl.Expr:
    """A conversation of one message, as TRL takes it: List(Struct{role, content})."""
    return pl.concat_list(pl.struct(pl.lit(role).alias("role"), content.alias("content")))


def prompt_text(template: str) -> pl.Expr:
    """String [rows]: the template with each row's question, lettered choices included, in it."""
    asked = pl.struct("question", "choices").map_batches(_render, return_dtype=pl.String, is_elementwise=True)
    pieces: list[pl.Expr] = []
    for piece in template.split("{question}"):
        pieces += [asked, pl.lit(piece)] if pieces else [pl.lit(piece)]
    return pl.concat_str(pieces)


def _render(rows: pl.Series) -> pl.Series:
    asked = rows.struct.unnest()
    if not (asked["choices"].list.len() > 0).any():
        return asked["question"]
    pairs = zip(asked["question"].to_list(), asked["choices"].to_list(), strict=True)
    return pl.Series([render_question(question, choices) for question, choices in pairs], dtype=pl.String)


def completion_text(which: str) -> pl.Expr:
    """String [rows]: what a student learns to say; as `curation.decide.asked.COMPLETIONS` says it in SQL."""
    if which == "response":
        return pl.col("response")
    return pl.coalesce("answer", pl.when(pl.col("reasoning").is_null()).then("response"))
