"""Running the arms of a study: one after another, each known by its id, each whole or to be gone on with.

    DIR/arms/<id>/train.parquet    what the student was taught
    DIR/arms/<id>/student/         the training; weights go once they are tested, unless they are to stay
    DIR/arms/<id>/evaluation/      the answers, and a row for each problem
    DIR/arms/<id>/arm.json         factors and figures; written last, so its presence means done
    DIR/results.parquet            a row for each arm that is done

An arm that fails for a reason of its own (a loss that is not a number, no memory) is noted and the others run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson
from filelock import FileLock, Timeout

from builders.disk import replacing, write_json
from builders.errors import CotmillError, MissingDependency
from training.study import teach
from training.study.arms import Arm, Arms, NotRun
from training.study.config import StudyConfig
from training.study.students import Students
from training.watch import Log, to_stderr

DONE: Final = "arm.json"

Watch = Callable[[int, int, Arm], None]
"""Told arms done, arms in all, and the arm that comes next."""


def run_arms(
    study: StudyConfig,
    made: Arms,
    students: Students,
    out: Path,
    *,
    log: Log = to_stderr,
    watch: Watch | None = None,
) -> tuple[list[dict[str, Any]], list[NotRun]]:
    """Run what is not done yet.

    Args:
        study: what is asked for.
        made: its arms.
        students: who is taught.
        out: directory of the study.
        log: gets lines of progress.
        watch: see `Watch`.

    Returns:
        What `arm.json` says of each arm that is done, in the order of arms; and the arms that failed, with the reason.

    Raises:
        CotmillError: another process runs this study.
        MissingDependency: what training or testing needs is not installed.
    """
    done, failed = [], []
    with _alone(out):
        for number, arm in enumerate(made.arms):
            if watch:
                watch(number, len(made.arms), arm)
            folder = out / "arms" / arm.id
            if (held := finished(folder)) is None:
                log(f"arm {number + 1} of {len(made.arms)}: {arm.label()}")
                try:
                    held = _run_arm(study, made, arm, students, folder, log)
                except MissingDependency:
                    raise
                except CotmillError as error:
                    log(f"failed: {error}")
                    failed.append(NotRun(arm.label(), str(error).splitlines()[0]))
                    continue
            done.append({**held, **arm.factors()})  # names may have changed since; what they stand for has not
    return done, failed


def finished(folder: Path) -> dict[str, Any] | None:
    """What `arm.json` says; None: the arm is not done."""
    try:
        held: dict[str, Any] = orjson.loads((folder / DONE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return held


def is_done(arm: Arm, out: Path) -> bool:
    """Whether a run would skip this arm."""
    return finished(out / "arms" / arm.id) is not None


def _run_arm(study: StudyConfig, made: Arms, arm: Arm, students: Students, folder: Path, log: Log) -> dict[str, Any]:
    began = time.monotonic()
    model = students.model(arm.student, arm.seed)
    evaluation = study.evaluation(arm.student)
    lesson, rows = None, folder / "train.parquet"
    if arm.control != "untrained":
        with replacing(rows) as temporary:
            made.rows(arm).write_parquet(temporary)
        config = study.training(arm.student, arm.objective, arm.seed, model)
        lesson = teach.teach(rows, config, evaluation, folder / "student", log)
    asked = made.problems[arm.dataset]
    marks = teach.test(
        lesson.model if lesson else model, asked, evaluation, [rows] if lesson else [], folder / "evaluation", log
    )
    if not study.keep_models:
        shutil.rmtree(folder / "student" / "model", ignore_errors=True)
        shutil.rmtree(folder / "student" / "adapter", ignore_errors=True)
    report = {
        **arm.factors(),
        "rows": arm.rows,
        "training": asdict(lesson) if lesson else None,
        "evaluation": asdict(marks),
        "seconds": round(time.monotonic() - began, 2),
    }
    write_json(folder / DONE, report)
    return report


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Two processes would train the same arm into one directory."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise CotmillError(f"{out} is being written by another process; wait for it, or choose another --out") from None


def left(arms: Sequence[Arm], out: Path) -> list[Arm]:
    """The arms that are not done."""
    return [arm for arm in arms if not is_done(arm, out)]
