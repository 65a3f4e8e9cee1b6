"""From a corpus and a recipe's `curate` section to a dataset on disk.

    data/default/<split>-00000-of-00001.parquet    kept rows: prompt, completion and where they come from
    removed/*.parquet                              every other row, all its columns and marks, and the reason
    dataset.json                                   lineage: recipe, corpus, passes, versions, counts
    README.md                                      the card

The directory is built beside its place and renamed, so it is there whole or not at all. The same
corpus and the same settings give the same files, byte for byte.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from builders.corpus import Corpus
from builders.disk import TEMPORARY, sync_directory, write_json
from builders.errors import CorpusError, CotmillError, Occupied
from builders.identity import digest
from builders.prompts import render_question
from builders.schema import TRACES
from curation.card import render_card
from curation.config import CurateConfig
from curation.marks import MarkReport, mark, marks_file
from curation.passes import Pass, fingerprint
from curation.select import decide

SCHEMA_VERSION: Final = 1
ROWS_PER_FILE: Final = 100_000
"""Of one Parquet file; also what is held in memory at once."""
ASKED: Final = ("teacher", "identity", "sampling", "seed")
KEPT: Final = (
    *("trace_id", "problem_id", "prompt", "completion", "question", "choices", "gold", "answer"),
    *("reasoning", "response", "teacher", "granularity", "format", "sample_index", "completion_tokens"),
    *("verdict", "source"),
)
"""Columns of a kept row. `answer` is the canonical spelling of what the trace answers."""


@dataclass(frozen=True)
class DatasetReport:
    """What became of the traces."""

    dataset: str
    """The directory."""
    name: str
    fingerprint: str
    """Of the corpus, the passes and the settings."""
    rows: int
    """Traces in the corpus; kept plus removed."""
    kept: int
    removed: dict[str, int]
    """Reason -> rows, the most frequent first."""
    splits: dict[str, int]
    """Split -> kept rows."""
    problems: int
    """Problems with a kept row."""
    reused: bool = False
    """The dataset was there already, with the same fingerprint."""
    marks: MarkReport = field(default_factory=MarkReport)


def write_dataset(
    corpus: Corpus,
    config: CurateConfig,
    out: str | Path,
    *,
    name: str,
    lineage: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> DatasetReport:
    """Mark what is unmarked, decide, and write the dataset with its card.

    Args:
        corpus: where traces come from; gets marks, nothing else.
        config: what marks, and which marks decide.
        out: directory of the dataset.
        name: for the card.
        lineage: plain data about what made the corpus (recipe, commands); kept as it is. No part of the
            fingerprint: a recipe whose `train` section changed has the same dataset.
        overwrite: replace another dataset at `out`.

    Raises:
        CotmillError: a condition is wrong (see `decide`), `out` holds something else, or no row is kept.
            Then nothing is written but marks: every trace is still in the corpus, and the message
            counts the reasons.
    """
    out, passes = Path(out), config.made_passes()
    marked = mark(corpus, passes)
    identity = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "corpus": corpus_fingerprint(corpus),
        "passes": {made.name: fingerprint(made) for made in passes},
        "curate": config.model_dump(mode="json"),
    }
    key = digest(identity)
    if held := _held(out, key, overwrite):
        return DatasetReport(dataset=str(out), reused=True, marks=marked, **held)
    decision = decide(corpus, config, passes)
    counts = {**_count(decision, config), "problems": _problems(corpus, decision)}
    if not counts["kept"]:
        raise CotmillError(_nothing_kept(corpus, passes, counts))
    with _in_its_place(out) as folder:
        _write_kept(folder, corpus, config, passes, decision)
        _write_removed(folder, corpus, passes, decision)
        manifest = {"fingerprint": key, **identity, **counts, "teachers": _teachers(corpus)}
        write_json(folder / "dataset.json", {**manifest, "lineage": dict(lineage or {}), "versions": _versions()})
        (folder / "README.md").write_text(render_card(folder), encoding="utf-8")
    return DatasetReport(dataset=str(out), name=name, fingerprint=key, marks=marked, **counts)


def corpus_fingerprint(corpus: Corpus) -> str:
    """128-bit hash over the sorted trace ids: how they are spread over shards does not matter."""
    ids = corpus.held_ids().sort()
    return blake2b("\n".join(ids.to_list()).encode(), digest_size=16).hexdigest()


def read_manifest(directory: Path) -> dict[str, Any]:
    """`dataset.json` of a dataset.

    Raises:
        CotmillError: there is none, or it is not readable.
    """
    try:
        manifest: dict[str, Any] = orjson.loads((directory / "dataset.json").read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise CotmillError(
            f"{directory} is not a dataset of cotmill: its dataset.json cannot be read ({error}).\n"
            f"Make one: cotmill curate CORPUS --recipe RECIPE --out {directory}"
        ) from None
    return manifest


def _held(out: Path, key: str, overwrite: bool) -> dict[str, Any] | None:
    """The counts of an equal dataset at `out`; None when it is to be written."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / "dataset.json").is_file():
        raise CotmillError(f"{out} exists and is not a dataset; nothing was written.\nChoose another directory: --out")
    manifest = read_manifest(out)
    if manifest.get("fingerprint") == key:
        return {k: manifest[k] for k in ("name", "fingerprint", "rows", "kept", "removed", "splits", "problems")}
    if overwrite:
        return None
    raise Occupied(out, f"another dataset ({manifest.get('name')}, {manifest.get('kept', 0):,} rows)")


def _count(decision: pl.DataFrame, config: CurateConfig) -> dict[str, Any]:
    """rows, kept, removed, splits; checks that nothing was lost."""
    gone = (
        decision.filter(pl.col("reason").is_not_null())["reason"]
        .value_counts()
        .sort("count", "reason", descending=[True, False])
    )
    stay = dict(decision.filter(pl.col("reason").is_null())["split"].value_counts().iter_rows())
    counts: dict[str, Any] = {
        "rows": decision.height,
        "kept": sum(stay.values()),
        "removed": dict(gone.iter_rows()),
        "splits": {name: stay.get(name, 0) for name in config.splits},
    }
    if counts["kept"] + sum(counts["removed"].values()) != counts["rows"]:
        raise AssertionError(f"kept and removed rows do not add up: {counts}")
    return counts


def _problems(corpus: Corpus, decision: pl.DataFrame) -> int:
    """How many problems have a kept row."""
    kept = decision.lazy().filter(pl.col("reason").is_null()).select("trace_id")
    traces = corpus.traces().select("trace_id", "problem_id").join(kept, on="trace_id", how="semi")
    return int(traces.select(pl.col("problem_id").n_unique()).collect().item())


def _nothing_kept(corpus: Corpus, passes: list[Pass], counts: Mapping[str, Any]) -> str:
    reasons = "\n".join(f"  {count:>9,}  {reason}" for reason, count in counts["removed"].items())
    ask = "select * from traces"
    if any(made.name == "verify" for made in passes):
        ask = "select verdict, count(*) from marks_verify group by 1"
    return (
        f"None of {counts['rows']:,} traces is kept, so there is no dataset to write:\n{reasons}\n"
        f'All of them are still in the corpus, with their marks. See why: cotmill sql {corpus.path} "{ask}"'
    )


def _write_kept(folder: Path, corpus: Corpus, config: CurateConfig, passes: list[Pass], decision: pl.DataFrame) -> None:
    """data/default/<split>-*.parquet for every split that got rows."""
    verified = any(made.name == "verify" for made in passes)
    answer, verdict = (
        (pl.col("verify").struct.field(mark) if verified else pl.lit(None, pl.String)).alias(mark)
        for mark in ("answer", "verdict")
    )
    for split in config.splits:
        rows = decision.filter(pl.col("reason").is_null() & (pl.col("split") == split)).select("trace_id")
        parts = list(rows.iter_slices(ROWS_PER_FILE)) if rows.height else []
        for number, part in enumerate(parts):
            full = _join(corpus, passes, part).with_columns(
                turn("user", prompt_text(config.prompt)).alias("prompt"),
                turn("assistant", completion_text(config.completion)).alias("completion"),
            )
            file = folder / "data" / "default" / f"{split}-{number:05d}-of-{len(parts):05d}.parquet"
            _write(full.with_columns(answer, verdict).select(KEPT), file)


def _write_removed(folder: Path, corpus: Corpus, passes: list[Pass], decision: pl.DataFrame) -> None:
    """removed/*.parquet: trace columns, one struct per pass, reason. One empty file if none was removed."""
    rows = decision.filter(pl.col("reason").is_not_null()).select("trace_id", "reason")
    parts = list(rows.iter_slices(ROWS_PER_FILE)) if rows.height else [rows]
    for number, part in enumerate(parts):
        columns = [*TRACES.names(), *(made.name for made in passes), "reason"]
        _write(
            _join(corpus, passes, part).select(columns),
            folder / "removed" / f"removed-{number:05d}-of-{len(parts):05d}.parquet",
        )


def _join(corpus: Corpus, passes: list[Pass], part: pl.DataFrame) -> pl.LazyFrame:
    """`part` (trace_id and more) with the columns of its traces and a struct of marks per pass; in its order."""
    joined = part.lazy().join(corpus.traces(), on="trace_id", how="left", maintain_order="left")
    for made in passes:
        files = [marks_file(corpus, made, shard) for shard in corpus.shards()]
        fields = [pl.col(f"{made.name}.{name}").alias(name) for name in made.marks]
        marks = pl.scan_parquet(files, glob=False).select("trace_id", pl.struct(fields).alias(made.name))
        joined = joined.join(marks, on="trace_id", how="left", maintain_order="left")
    return joined


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
    """String [rows]: what a student learns to say; as `curation.select.COMPLETIONS` says it in SQL."""
    if which == "response":
        return pl.col("response")
    return pl.coalesce("answer", pl.when(pl.col("reasoning").is_null()).then("response"))


def _write(rows: pl.LazyFrame, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    found = rows.collect()
    if lost := found["problem_id"].null_count():
        raise CorpusError(f"{lost:,} traces that were decided on cannot be read any more; nothing was written.")
    with file.open("wb") as handle:
        found.write_parquet(handle, row_group_size=10_000)
        os.fsync(handle.fileno())


@contextmanager
def _in_its_place(out: Path) -> Iterator[Path]:
    """Yield an empty directory beside `out`; on success it takes the place of `out`."""
    out = out.absolute()
    folder = out.with_name(f"{TEMPORARY}{os.getpid()}-{out.name}")
    old = out.with_name(f"{TEMPORARY}{os.getpid()}-old-{out.name}")
    folder.mkdir(parents=True)
    try:
        yield folder
        if out.exists():
            out.rename(old)
        folder.rename(out)
        sync_directory(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _teachers(corpus: Corpus) -> list[dict[str, Any]]:
    """Who was asked, and with which sampling parameters; levels and formats apart."""
    arms = corpus.manifest.get("arms", {}).values()
    return list({digest(asked): asked for arm in arms if (asked := {k: arm.get(k) for k in ASKED})}.values())


def _versions() -> dict[str, str]:
    """Versions of what decided and wrote."""
    found = {}
    for package in ("cotmill", "duckdb", "polars"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout
            continue
    return found
