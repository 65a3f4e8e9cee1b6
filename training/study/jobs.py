"""Teaching and testing one arm, and several of them side by side.

A student of a few million parameters leaves most of two cores idle; two such students do not. Side by side each process
has its share of the cores, or a GPU to itself, and keeps what it says in `log.txt` of its arm.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from builders import machine
from builders.disk import write_json
from builders.errors import CotmillError, MissingDependency
from training.config import EvaluateConfig, TrainConfig
from training.study import teach
from training.study.arms import Arm
from training.watch import Log, to_stderr

DONE: Final = "arm.json"
ROWS: Final = "train.parquet"
SAID: Final = "log.txt"


@dataclass(frozen=True)
class Job:
    """All that one arm takes; picklable."""

    arm: Arm
    model: str
    """The student as it is before the training."""
    training: TrainConfig | None
    """Null: it is tested as it is."""
    evaluation: EvaluateConfig
    problems: pl.DataFrame
    """Held out; columns of PROBLEMS."""
    folder: Path
    """Of the arm; holds `train.parquet`, and gets the rest."""
    keep_model: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """An arm failed for a reason of its own."""

    why: str


Report = dict[str, Any]
"""What `arm.json` holds."""


def do(job: Job, log: Log) -> Report:
    """Teach and test; goes on after a kill.

    Raises:
        CotmillError: see `teach.teach` and `teach.test`.
    """
    began = time.monotonic()
    lesson, rows = None, job.folder / ROWS
    if job.training:
        lesson = teach.teach(rows, job.training, job.evaluation, job.folder / "student", log)
    tested = lesson.model if lesson else job.model
    marks = teach.test(
        tested, job.problems, job.evaluation, [rows] if lesson else [], job.folder / "evaluation", log
    )  # fmt: skip
    if not job.keep_model:
        shutil.rmtree(job.folder / "student" / "model", ignore_errors=True)
        shutil.rmtree(job.folder / "student" / "adapter", ignore_errors=True)
    report = {
        **job.arm.factors(),
        "rows": job.arm.rows,
        "training": asdict(lesson) if lesson else None,
        "evaluation": asdict(marks),
        "seconds": round(time.monotonic() - began, 2),
    }
    write_json(job.folder / DONE, report)
    return report


def in_turn(jobs: Iterable[Job], log: Log = to_stderr) -> Iterator[tuple[Arm, Report | Failure]]:
    """One job after another, in this process.

    Raises:
        MissingDependency: what training or testing needs is not installed.
    """
    for job in jobs:
        try:
            yield job.arm, do(job, log)
        except MissingDependency:
            raise
        except CotmillError as error:
            yield job.arm, Failure(str(error))


def side_by_side(jobs: Iterable[Job], count: int) -> Iterator[tuple[Arm, Report | Failure]]:
    """`count` jobs at a time, each in a process of its own; in the order in which they end.

    An interruption is handed on to them, and waits until they have stopped.

    Raises:
        CotmillError: a process died.
        MissingDependency: what training or testing needs is not installed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share what torch has started
    shares, pids = context.SimpleQueue(), context.SimpleQueue()
    for share in _shares(count):
        shares.put(share)
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(os.getpid(), shares, pids))
    running: dict[Future[Report | Failure], Arm] = {}
    waiting = iter(jobs)
    try:
        while True:
            while len(running) < count and (job := next(waiting, None)) is not None:
                running[pool.submit(_apart, job)] = job.arm
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running[future], future.result()
                del running[future]
    except BrokenProcessPool:
        arms = "\n".join(f"  {arm.label()}" for arm in running.values())
        raise CotmillError(
            f"a process that ran an arm died, for want of memory most likely. It was one of\n{arms}\n"
            "Say a smaller --jobs; what is done is kept, and the same command goes on."
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if running:
            while not pids.empty():
                with suppress(ProcessLookupError):
                    os.kill(pids.get(), signal.SIGINT)
        pool.shutdown()


def _shares(count: int) -> list[list[int] | str]:
    """For each of `count` processes its cores, or the id of its GPU."""
    if there := machine.gpus():
        said = os.environ.get("CUDA_VISIBLE_DEVICES")
        ids = said.split(",") if said else [str(i) for i in range(len(there))]
        return [ids[i % len(ids)] for i in range(count)]
    cores = machine.cores()
    parts = [cores[i * len(cores) // count : (i + 1) * len(cores) // count] for i in range(count)]
    return [part or [cores[i % len(cores)]] for i, part in enumerate(parts)]


def _begin(parent: int, shares: Any, pids: Any) -> None:
    """Take a share of the machine, before anything counts cores or GPUs."""
    machine.die_with(parent)
    os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which hands it on once
    pids.put(os.getpid())
    share = shares.get()
    if isinstance(share, str):
        os.environ["CUDA_VISIBLE_DEVICES"] = share
    elif hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share)
    else:
        os.environ.setdefault("OMP_NUM_THREADS", str(len(share)))


def _apart(job: Job) -> Report | Failure:
    """`do` in a worker: what it prints goes to the arm's log."""
    with (job.folder / SAID).open("ab", buffering=0) as said:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(said.fileno(), stream.fileno())
    try:
        return do(job, to_stderr)
    except MissingDependency:
        raise
    except CotmillError as error:
        return Failure(str(error))
