"""Passes that users write in Python.

    passes:
      - my_passes.py/Shouting: {share: 0.5}

The class is a pass as `curation.passes.LocalPass` says: a frozen dataclass with `name`, `version`, `reads`, `marks` and
`mark`. It is read from a file, or offered by an installed package under the entry point group `cotmill.passes`.
It runs in worker processes that are killed when they hang; a row that it fails on gets nulls, and the run goes on.
"""

from __future__ import annotations

import importlib.util
import io
import re
import sys
from dataclasses import fields, is_dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from builders.errors import CotmillError
from builders.schema import TRACES
from curation.engine.marking import Failure, give_up, mark_frame, nothing
from curation.engine.workers import Failure as WorkerFailure
from curation.engine.workers import TimedOut, Workers

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import LocalPass

GROUP: Final = "cotmill.passes"
"""Entry point group under which packages offer passes."""
NEEDED: Final = ("name", "version", "reads", "marks", "mark")
SECONDS: Final = 60.0
"""Wall for one slice of rows; a slice that takes longer is halved, a row that does is given up."""
SLICE: Final = 1_024


class Foreign:
    """A user's pass, run in workers. `found` is the user's own instance, which says name, reads and marks."""

    def __init__(self, where: str, found: Any, settings: dict[str, Any]) -> None:
        self.where, self.found, self.settings = where, found, settings
        self.name: str = found.name
        self.version: int = found.version
        self.reads: tuple[str, ...] = tuple(found.reads)
        self.marks: dict[str, PolarsDataType] = dict(found.marks)

    def content(self) -> str:
        """Digest of the code: another text, other marks."""
        source = Path(sys.modules[type(self.found).__module__].__file__ or "")
        return blake2b(source.read_bytes(), digest_size=16).hexdigest()

    def parameters(self) -> dict[str, Any]:
        """The user's fields and their values."""
        return {f.name: getattr(self.found, f.name) for f in fields(self.found)}

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add the user's marks; nulls where the pass failed."""
        own = {f"{self.name}.{mark}": kind for mark, kind in self.marks.items()}

        def beside(rows: pl.DataFrame) -> pl.DataFrame:
            return rows.hstack(self.judge_rows(rows)[0].drop("trace_id"))

        return traces.map_batches(beside, schema={**traces.collect_schema(), **own})

    def judge_rows(self, traces: pl.DataFrame) -> tuple[pl.DataFrame, list[Failure]]:
        """The user's marks beside trace_id, and the rows that it could not mark."""
        done: dict[int, pl.DataFrame] = {}
        failures: list[Failure] = []
        todo = [(at, traces.slice(at, SLICE)) for at in range(0, traces.height, SLICE)]
        with Workers("curation.engine.foreign:mark_slice", seconds=SECONDS) as workers:
            while todo:
                outcomes = workers.map([(self.where, self.settings, _packed(rows)) for _, rows in todo])
                again = []
                for (at, rows), outcome in zip(todo, outcomes, strict=True):
                    if isinstance(outcome, bytes):
                        done[at] = pl.read_ipc(io.BytesIO(outcome))
                    elif isinstance(outcome, WorkerFailure) and outcome.kind == "CotmillError":
                        raise CotmillError(outcome.text)  # what it does to rows is wrong, not a row
                    elif rows.height > 1:
                        half = rows.height // 2
                        again += [(at, rows.head(half)), (at + half, rows.slice(half))]
                    else:
                        failures.append(Failure(rows["trace_id"][0], _told(outcome)))
                        done[at] = nothing(rows, self)
                todo = again
                give_up(self, failures, marked=sum(part.height for part in done.values()) - len(failures))
        return pl.concat([nothing(traces.clear(), self), *(done[at] for at in sorted(done))]), failures


def mark_slice(item: tuple[str, dict[str, Any], bytes]) -> bytes:
    """In a worker: the marks of some rows, as Arrow IPC; raises what the user's code raises."""
    from curation.passes import build

    where, settings, packed = item
    kind = load(where)
    made: LocalPass = build(kind, where, settings)  # type: ignore[assignment]  # `load` has seen its `mark`
    marks = mark_frame(pl.read_ipc(io.BytesIO(packed)), made)
    return _packed(marks)


def make(name: str, settings: dict[str, Any]) -> Foreign:
    """The pass at `FILE.py/CLASS`, or one that an installed package offers.

    Raises:
        CotmillError: there is no such class, it is no pass, or a parameter is wrong.
    """
    from curation.passes import build

    return Foreign(name, build(load(name), name, settings), settings)


def offered() -> dict[str, EntryPoint]:
    """Passes of installed packages, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@lru_cache
def load(where: str) -> type[Any]:
    """The class at `FILE.py/CLASS` or behind an entry point.

    Raises:
        CotmillError: there is none, or it is no pass; all that is missing at once.
    """
    file, slash, name = where.rpartition("/")
    try:
        kind: Any = getattr(_module(Path(file)), name) if slash else offered()[where].load()
    except Exception as error:  # importing runs the user's code: anything may come
        raise CotmillError(f"pass {where} cannot be loaded: {type(error).__name__}: {error}") from None
    if missing := [needed for needed in NEEDED if not hasattr(kind, needed)]:
        raise CotmillError(
            f"{where} is no pass: it lacks {', '.join(missing)}.\nA pass is a frozen dataclass; see docs/passes.md."
        )
    found: type[Any] = kind
    if not is_dataclass(found):
        raise CotmillError(f"{where} is no pass: put @dataclass(frozen=True) above it; see docs/passes.md.")
    check_name(kind.name, where)
    if strange := [column for column in kind.reads if column not in TRACES]:
        raise CotmillError(f"pass {where} reads {', '.join(strange)}, which traces do not have: {', '.join(TRACES)}")
    return found


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"cotmill_pass_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def check_name(name: str, where: str) -> None:
    """Raise CotmillError where the name of a user's pass would hide something else in SQL."""
    from curation.passes import PASSES

    taken = "a pass of cotmill" if name in PASSES else "a trace column" if name in TRACES else None
    if taken or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        wrong = f"is {taken}" if taken else "is not a name of lower-case letters, digits and _"
        raise CotmillError(f"pass {where}: `{name}` {wrong}; call it something else.")


def _told(outcome: TimedOut | WorkerFailure) -> str:
    if isinstance(outcome, TimedOut):
        return f"took longer than {outcome.seconds:g} s"
    return f"{outcome.kind}: {outcome.text}"


def _packed(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_ipc(buffer)
    return buffer.getvalue()
