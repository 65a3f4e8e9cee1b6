"""Marks on disk: for every shard of traces one file per pass, beside it and never inside it.

    marks/<pass>-<first 8 digits of its fingerprint>/
        <name of the shard>.parquet         trace_id and the pass's columns, rows as in the shard
        <name of the shard>.failed.jsonl    rows that the pass could not mark, and why; absent: none
        state.json                          whole-corpus passes: what the marks were made of

Shards never change, so neither do the marks of a local pass: what exists is used again, and only new shards
or new parameters cost anything. The marks of a whole-corpus pass are made anew when traces, or marks
that it reads, have changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from builders.corpus import Corpus
from builders.disk import replacing, write_json
from builders.errors import CorpusError
from builders.machine import cores
from curation.engine.ids import corpus_fingerprint
from curation.engine.marking import Failure, mark_rows, mark_whole
from curation.passes import CorpusPass, LocalPass, Pass, fingerprint, is_whole, label, with_needs

SHOWN: Final = 5
"""Failures per pass that a report names; all of them are on disk."""

Watch = Callable[[str, int, int], None]
"""Called with a pass's name (`local` for all local ones), shards done and shards to do."""


@dataclass(frozen=True)
class MarkReport:
    """What marking did."""

    rows: int = 0
    """Traces marked by at least one pass this time; 0: all marks were there."""
    shards: int = 0
    """Trace shards in the corpus."""
    computed: dict[str, int] = field(default_factory=dict)
    """Pass -> mark files written."""
    reused: dict[str, int] = field(default_factory=dict)
    """Pass -> mark files found."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Pass -> seconds of marking and writing, reading excluded; local passes share the cores, so theirs add up to more
    than the clock shows."""
    failed: dict[str, int] = field(default_factory=dict)
    """Pass -> rows it could not mark, of this run and earlier ones; passes without such rows are left out."""
    failures: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Pass -> the first of those rows: trace_id and error."""


def marks_file(corpus: Corpus, made: Pass, shard: Path) -> Path:
    """Where the marks of one pass for one shard are, or will be."""
    return marks_folder(corpus, made) / shard.name


def marks_folder(corpus: Corpus, made: Pass) -> Path:
    """Where the marks of one pass are, or will be."""
    return corpus.path / "marks" / label(made)


def mark(corpus: Corpus, passes: Sequence[Pass], *, watch: Watch | None = None) -> MarkReport:
    """Make the marks that are missing, those of passes that the given ones read included.

    Each shard is read once, for all local passes that lack it, and as many shards at a time as there are
    cores. Whole-corpus passes follow.

    Args:
        corpus: its traces are read; only `marks/` is written, each file whole or not at all.
        passes: what to mark with.
        watch: told of progress; called from several threads, one at a time.

    Raises:
        CorpusError: a shard cannot be read.
        CotmillError: a pass changed rows or columns that are not its own (a bug in that pass), says that it
            cannot work (a missing package, a file that is not there), or fails on every row. A row that a
            pass raises on gets nulls and is counted in the report.
    """
    passes = with_needs(passes)
    shards = corpus.shards()
    local: list[LocalPass] = [made for made in passes if not is_whole(made)]  # type: ignore[misc]
    run = _Marking(corpus, watch)
    run.local(shards, local)
    for made in passes:
        if is_whole(made):
            run.whole(shards, made, passes)
    reused = {made.name: len(shards) - run.computed.get(made.name, 0) for made in passes}
    failures = {made.name: found for made in passes if (found := _failures(marks_folder(corpus, made)))}
    return MarkReport(
        rows=run.rows,
        shards=len(shards),
        computed={made.name: run.computed.get(made.name, 0) for made in passes},
        reused=reused,
        seconds={made.name: run.seconds.get(made.name, 0.0) for made in passes},
        failed={name: len(found) for name, found in failures.items()},
        failures={name: found[:SHOWN] for name, found in failures.items()},
    )


class _Marking:
    """One call of `mark`: what it has counted so far."""

    def __init__(self, corpus: Corpus, watch: Watch | None) -> None:
        self.corpus, self.watch = corpus, watch or (lambda *_: None)
        self.rows = 0
        self.computed: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.lock = threading.Lock()

    def local(self, shards: Sequence[Path], passes: Sequence[LocalPass]) -> None:
        """Mark each shard with the passes that have not marked it."""
        folders = {made.name: marks_folder(self.corpus, made) for made in passes}
        held = {name: {file.name for file in folder.glob("*.parquet")} for name, folder in folders.items()}
        missing = {shard: [p for p in passes if shard.name not in held[p.name]] for shard in shards}
        todo = [(shard, wanted) for shard, wanted in missing.items() if wanted]
        done = 0

        def one(task: tuple[Path, list[LocalPass]]) -> None:
            nonlocal done
            shard, wanted = task
            traces = _read(self.corpus, shard, sorted({"trace_id"}.union(*(p.reads for p in wanted))))
            for made in wanted:
                start = time.perf_counter()
                marks, failures = mark_rows(traces, made)
                _write(marks, failures, folders[made.name] / shard.name)
                self.count(made.name, 1, time.perf_counter() - start)
            with self.lock:
                self.rows += traces.height
                done += 1
                self.watch("local", done, len(todo))

        # Threads, as Polars works outside the interpreter's lock; one shard alone leaves cores idle.
        with ThreadPoolExecutor(max_workers=len(cores())) as pool:
            tasks = [pool.submit(one, task) for task in todo]
            try:
                for task in tasks:
                    task.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def whole(self, shards: Sequence[Path], made: CorpusPass, passes: Sequence[Pass]) -> None:
        """Mark the whole corpus with one pass, unless nothing it looks at has changed."""
        folder = marks_folder(self.corpus, made)
        read = {column.split(".")[0] for column in made.reads if "." in column}
        state: dict[str, Any] = {
            "traces": corpus_fingerprint(self.corpus),
            "reads": {p.name: fingerprint(p) for p in passes if p.name in read},
            "shards": [shard.name for shard in shards],
        }
        if not shards or _state(folder) == state:
            return
        self.watch(made.name, 0, len(shards))
        start = time.perf_counter()
        ids = pl.scan_parquet(list(shards), glob=False).select("trace_id").collect()
        traces = beside(self.corpus, shards, made.reads, passes)
        marks = mark_whole(traces, ids, made, self.corpus.path / "marks" / made.name)
        (folder / "state.json").unlink(missing_ok=True)  # until all files are new, there is no state
        at = 0
        for done, shard in enumerate(shards, start=1):
            height = pl.scan_parquet(shard, glob=False).select(pl.len()).collect().item()
            _write(marks.slice(at, height), [], folder / shard.name)
            at += height
            self.watch(made.name, done, len(shards))
        write_json(folder / "state.json", state)
        self.rows = max(self.rows, at)
        self.count(made.name, len(shards), time.perf_counter() - start)

    def count(self, name: str, files: int, seconds: float) -> None:
        """Add to what has been done."""
        with self.lock:
            self.computed[name] = self.computed.get(name, 0) + files
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def beside(corpus: Corpus, shards: Sequence[Path], columns: Sequence[str], passes: Sequence[Pass]) -> pl.LazyFrame:
    """Trace_id, trace columns and marks (`verify.verdict`) of some shards: put beside each other, never joined."""
    own = ["trace_id", *(column for column in columns if "." not in column and column != "trace_id")]
    by_name = {made.name: made for made in passes}
    wanted: dict[str, list[str]] = {}
    for column in columns:
        if "." in column:
            wanted.setdefault(column.split(".")[0], []).append(column)
    folders = {name: marks_folder(corpus, by_name[name]) for name in wanted}
    parts = [
        pl.concat(
            [
                pl.scan_parquet(shard, glob=False).select(own),
                *(
                    pl.scan_parquet(folders[name] / shard.name, glob=False).select(some)
                    for name, some in wanted.items()
                ),
            ],
            how="horizontal",
        )
        for shard in shards
    ]
    return pl.concat(parts).select("trace_id", *(column for column in columns if column != "trace_id"))


def _write(marks: pl.DataFrame, failures: Sequence[Failure], file: Path) -> None:
    """One mark file; the failures first, so that marks are never there without them."""
    failed = file.with_suffix(".failed.jsonl")
    if failures:
        with replacing(failed) as temporary:
            temporary.write_bytes(b"\n".join(orjson.dumps(asdict(failure)) for failure in failures) + b"\n")
    with replacing(file) as temporary:
        marks.write_parquet(temporary)


def _failures(folder: Path) -> list[dict[str, str]]:
    return [orjson.loads(line) for file in sorted(folder.glob("*.failed.jsonl")) for line in file.open("rb")]


def _state(folder: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = orjson.loads((folder / "state.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return state


def _read(corpus: Corpus, shard: Path, columns: list[str]) -> pl.DataFrame:
    try:
        return pl.read_parquet(shard, columns=columns, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CorpusError(
            f"{shard} is not a readable trace shard: {reason}.\n"
            f"Move it out of {corpus.path / 'traces'} to go on without its rows."
        ) from None
