"""Running the arms of a study: each known by its id, each whole or to be gone on with.

    DIR/arms/<id>/train.parquet    what the student was taught
    DIR/arms/<id>/student/         the training; weights go once they are tested, unless they are to stay
    DIR/arms/<id>/evaluation/      the answers, and a row for each problem
    DIR/arms/<id>/log.txt          what was said, of arms that ran side by side
    DIR/arms/<id>/arm.json         factors and figures; written last, so its presence means done
    DIR/results.parquet            a row for each arm that is done

An arm that fails for a reason of its own (a loss that is not a number, no memory) is noted and the others run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from builders import machine
from builders.disk import replacing
from builders.errors import CotmillError
from training.study.arms import Arm, Arms, NotRun
from training.study.config import StudyConfig
from training.study.jobs import DONE, ROWS, Failure, Job, Report, in_turn, side_by_side
from training.study.students import Students
from training.watch import Log, to_stderr

Watch = Callable[[int, int, Arm], None]
"""Told arms done, arms in all, and the arm that comes next."""


def run_arms(
    study: StudyConfig,
    made: Arms,
    students: Students,
    out: Path,
    *,
    jobs: int | None = None,
    log: Log = to_stderr,
    watch: Watch | None = None,
) -> tuple[list[Report], list[NotRun]]:
    """Run what is not done yet.

    Args:
        study: what is asked for.
        made: its arms.
        students: who is taught.
        out: directory of the study.
        jobs: arms at a time; null: one for each GPU, or one.
        log: gets lines of progress.
        watch: see `Watch`.

    Returns:
        What `arm.json` says of each arm that is done, in the order of arms; and the arms that failed, with the reason.

    Raises:
        CotmillError: another process runs this study; or a process that ran an arm died.
        MissingDependency: what training or testing needs is not installed.
    """
    count = jobs or max(1, len(machine.gpus()))
    with _alone(out):
        done = {arm.id: held for arm in made.arms if (held := finished(out / "arms" / arm.id))}
        todo = [arm for arm in made.arms if arm.id not in done]
        total, failed = len(made.arms), list[NotRun]()

        def prepared() -> Iterator[Job]:
            for arm in todo:
                if watch:
                    watch(len(done) + len(failed), total, arm)
                log(f"arm {made.arms.index(arm) + 1} of {total}: {arm.label()}")
                yield _job(study, made, arm, students, out)

        for arm, outcome in side_by_side(prepared(), count) if count > 1 else in_turn(prepared(), log):
            if isinstance(outcome, Failure):
                log(f"failed: {arm.label()}: {outcome.why}")
                failed.append(NotRun(arm.label(), outcome.why.splitlines()[0]))
                continue
            done[arm.id] = outcome
            tested = outcome["evaluation"]
            log(f"{arm.label()}: {tested['correct'] / max(1, tested['n']):.1%} in {outcome['seconds']:,.0f} s")
    # Names may have changed since; what they stand for has not.
    return [{**done[arm.id], **arm.factors()} for arm in made.arms if arm.id in done], failed


def finished(folder: Path) -> Report | None:
    """What `arm.json` says; None: the arm is not done."""
    try:
        held: Report = orjson.loads((folder / DONE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return held


def is_done(arm: Arm, out: Path) -> bool:
    """Whether a run would skip this arm."""
    return finished(out / "arms" / arm.id) is not None


def _job(study: StudyConfig, made: Arms, arm: Arm, students: Students, out: Path) -> Job:
    """What an arm takes, its rows and its student written where they are needed."""
    folder = out / "arms" / arm.id
    folder.mkdir(parents=True, exist_ok=True)
    model = students.model(arm.student, arm.seed)
    training = None
    if arm.control != "untrained":
        with replacing(folder / ROWS) as temporary:
            made.rows(arm).write_parquet(temporary)
        training = study.training(arm.student, arm.objective, arm.seed, model)
    evaluation = study.evaluation(arm.student)
    return Job(arm, model, training, evaluation, made.problems[arm.dataset], folder, study.keep_models)


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
