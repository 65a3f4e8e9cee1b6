"""How good a student is: every problem asked as it was taught, judged by curation, with an interval.

DIR/corpus/            the answers, as a corpus: a killed evaluation goes on from them
DIR/results.parquet    a row per problem
DIR/probes.parquet     a row per altered reasoning, if probes were asked for
DIR/evaluation.json    the figures; written last, so its presence means done
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from builders.corpus import Corpus
from builders.disk import replacing, write_json
from builders.errors import CotmillError, Occupied
from builders.identity import digest, trace_id
from builders.plan import Arm
from builders.teachers import Teacher
from curation.engine.marks import beside, mark
from curation.passes import fingerprint as pass_fingerprint
from curation.verification.verify import Verify
from training import probes
from training.config import EvaluateConfig
from training.evaluation import overlap
from training.evaluation.asking import Asked, arm_of, ask, messages
from training.evaluation.figures import ANSWERED, ANSWERS, ASKED, difficulty, judge, per_problem, summarise
from training.evaluation.paired import Comparison, compare_evaluations
from training.evaluation.place import DONE, PROBES, RESULTS
from training.evaluation.student import CannotLoad
from training.watch import Log, to_stderr

__all__ = [
    "ANSWERED", "ASKED", "DONE", "RESULTS", "Comparison", "EvaluateReport", "compare_evaluations", "evaluate",
    "finished", "judge", "messages", "summarise",
]  # fmt: skip

NOT_IDENTITY: Final = {"window", "batch", "limit", "backend", "engine", "probes", "cuts", "revision"}
"""Settings that change no answer, or that model and problems already say."""


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """What `evaluation.json` holds. Shares are in 0..1; null: nothing to compute it from."""

    fingerprint: str
    """Of model, problems and settings: the same evaluation has the same one."""
    n: int
    """Problems with a gold answer. All shares of right and wrong are over these."""
    samples: int
    """Answers per problem."""
    correct: int
    """Answers, of n x samples."""
    accuracy: float | None
    interval: tuple[float, float]
    """95 %: Wilson for one sample, else a bootstrap over problems (training.stats.share_interval)."""
    pass_at_k: list[dict[str, Any]]
    """k, share, interval; empty for one sample. Share: unbiased (Chen et al. 2021)."""
    maj_at_k: list[dict[str, Any]]
    """k, share, interval: the answer that most of k give is right."""
    unparseable: int
    """Answers in which no answer was found; they count as wrong."""
    unparseable_share: float | None
    timeout: int
    """Answers that were not judged in time; they count as wrong."""
    no_gold: int
    """Problems asked that have no gold answer."""
    rejected: int
    """Problems the model cannot be asked, too long mostly; they count as wrong."""
    truncated: int
    """Answers cut at `max_tokens` or at the end of the context."""
    truncated_share: float
    """Of all answers."""
    mean_tokens: float | None
    """Completion tokens per answer."""
    median_tokens: float | None
    by_difficulty: list[dict[str, Any]]
    """difficulty, n, correct, accuracy, interval; empty where the problems do not say."""
    by_source: list[dict[str, Any]]
    """The same by `source`; empty for one source."""
    asked: int
    """Requests of the process that finished; what was there already was not asked again."""
    tokens: int
    """Completion tokens of all answers."""
    seconds: float
    """From the first question to the last answer of that process; without starting the engine."""
    tokens_per_s: float | None
    """Null when nothing was asked."""
    start_seconds: float
    """Spent on starting and stopping the engine."""
    model: dict[str, Any]
    """Identity of the weights."""
    engine: str
    config: dict[str, Any]
    rules: str
    """Fingerprint of the `verify` pass that judged."""
    trained_on: list[str] = field(default_factory=list)
    """Datasets that the problems were compared with."""
    overlap: dict[str, int] = field(default_factory=dict)
    """Source -> problems that were trained on; each was waived by name."""
    probes: dict[str, Any] | None = None
    """See `training.probes`; null: none were asked for."""


def evaluate(
    model: str | Path | Teacher,
    problems: pl.DataFrame,
    config: EvaluateConfig,
    out: Path,
    *,
    trained_on: Sequence[str | Path] = (),
    allow_overlap: Collection[str] = (),
    overwrite: bool = False,
    log: Log = to_stderr,
) -> EvaluateReport:
    """Ask `model` every problem and judge the answers.

    An evaluation that is already in `out` is not repeated, and one that was killed goes on.

    Args:
        model: `smollm2-135m`, a directory or a Hub id; or a teacher, asked with the settings it was made with.
        problems: columns of builders.schema.PROBLEMS.
        config: the recipe's `evaluate` section.
        out: directory; made if missing.
        trained_on: datasets (directories or Parquet files) that the problems must not overlap; those that the model's
            card names are added.
        allow_overlap: values of `source` whose problems may overlap all the same.
        overwrite: replace another evaluation in `out`; its answers stay in `out/corpus`.
        log: gets lines of progress.

    Raises:
        Occupied: `out` holds another evaluation.
        CotmillError: no problems, one twice, none with a gold answer, none short enough, or one that was trained on; no
            such model, or one without a tokenizer; requests that stay unanswered.
        MissingDependency: neither vLLM nor transformers is installed.
        KeyboardInterrupt: interrupted; what was answered is kept.
    """
    asked = _checked(problems.head(config.limit) if config.limit else problems)
    name = model if isinstance(model, str | Path) else model.name
    looked, counts = overlap.check(asked, str(name), trained_on, allow_overlap, log)
    students = _students(model, config)
    for student in students:
        if report := finished(out, fingerprint(student, asked, config)):
            log(f"already evaluated: {out / DONE}")
            return _probed(report, student, config, out, log)
    if (out / DONE).exists() and not overwrite:
        raise Occupied(out, "another evaluation")
    for stale in (DONE, PROBES):
        (out / stale).unlink(missing_ok=True)
    corpus = Corpus.create(out / "corpus")
    student, arm, took = _ask(corpus, students, asked, config, log)
    answers = _answers(corpus, arm, asked, config)
    if (answers["status"] == "rejected").all():
        raise CotmillError(f"the model can be asked none of {asked.height:,} problems: {answers['error'][0]}")
    with replacing(out / RESULTS) as temporary:
        per_problem(answers).write_parquet(temporary)
    report = EvaluateReport(
        fingerprint=fingerprint(student, asked, config),
        **summarise(answers),
        asked=took.requests,
        tokens=int(answers["completion_tokens"].sum()),
        seconds=round(took.seconds, 3),
        tokens_per_s=_rate(answers, took),
        start_seconds=round(took.start_seconds, 2),
        model=dict(student.identity),
        engine=student.engine,
        config=_said(config),
        rules=_rules(config),
        trained_on=looked,
        overlap=counts,
    )
    write_json(out / DONE, asdict(report))
    return _probed(report, student, config, out, log)


def fingerprint(student: Teacher, problems: pl.DataFrame, config: EvaluateConfig) -> str:
    """128 bits over all that an evaluation depends on: model, backend, problems, settings, verifier. Starts nothing."""
    return digest([dict(student.identity), problems["problem_id"].to_list(), _said(config), _rules(config)])


def _rules(config: EvaluateConfig) -> str:
    """Of the pass that judges: other rules, or another version of them, make another evaluation."""
    return pass_fingerprint(Verify(fallback=config.fallback))


def finished(out: Path, fingerprint: str) -> EvaluateReport | None:
    """The report of an evaluation that is already done in `out`."""
    try:
        held = orjson.loads((out / DONE).read_bytes())
        known = {one.name for one in fields(EvaluateReport)}
        same = held["fingerprint"] == fingerprint and held.keys() <= known and (out / RESULTS).is_file()
        return EvaluateReport(**held) if same else None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _said(config: EvaluateConfig) -> dict[str, Any]:
    """The settings that an evaluation depends on; a recipe's section has more keys than these."""
    return config.model_dump(mode="json", include=set(EvaluateConfig.model_fields) - NOT_IDENTITY)


def _checked(problems: pl.DataFrame) -> pl.DataFrame:
    """Raise CotmillError for problems that make no evaluation."""
    if problems.is_empty():
        raise CotmillError("there is no problem to evaluate on. Look at --problems, or evaluate.problems in the recipe")
    twice = problems.filter(pl.col("problem_id").is_duplicated())
    if twice.height:
        raise CotmillError(
            f"{twice['problem_id'].n_unique():,} problems are there more than once, so they would count more than once;"
            f" first {twice['question'][0][:100]!r}.\nKeep one of each: builders.problems.load_all does"
        )
    if not problems["gold_value"].is_not_null().any():
        unread = problems["gold"].drop_nulls()
        why = (
            f"have gold answers that cannot be read, first {unread[0][:60]!r}" if len(unread) else "have no gold answer"
        )
        raise CotmillError(
            f"all {problems.height:,} problems {why}, so nothing can be judged.\nName the column that holds it:"
            " columns: {gold: NAME} in the recipe's evaluate.problems"
        )
    return problems


def _students(model: str | Path | Teacher, config: EvaluateConfig) -> list[Teacher]:
    if not isinstance(model, str | Path):
        return [model]
    from training.evaluation.backends import backends

    return backends(str(model), config)


def _ask(
    corpus: Corpus, students: list[Teacher], problems: pl.DataFrame, config: EvaluateConfig, log: Log
) -> tuple[Teacher, Arm, Asked]:
    """Ask everything, by the first of `students` that can be started."""
    log(f"asking {problems.height:,} problems{f', {config.n} answers each' if config.n > 1 else ''}")
    for place, student in enumerate(students, start=1):
        arm = arm_of(student, config)
        try:
            return student, arm, ask(corpus, arm, problems, config.n)
        except CannotLoad as error:
            if place == len(students):
                raise
            log(f"{error}\nGoing on with {students[place].engine}, which is slower.")
    raise AssertionError("unreachable")


def _answers(corpus: Corpus, arm: Arm, problems: pl.DataFrame, config: EvaluateConfig) -> pl.DataFrame:
    """Every answer of this evaluation, judged: ANSWERS, verdict, value; in the order of the problems."""
    ids = [trace_id(problem, arm.arm_id, i) for problem in problems["problem_id"] for i in range(config.n)]
    judged = Verify(fallback=config.fallback)
    mark(corpus, [judged])
    columns = [name for name in ANSWERS.names() if name not in ("trace_id", "difficulty")]
    rows = beside(corpus, corpus.shards(), [*columns, "verify.verdict", "verify.answer"], [judged])
    held = rows.filter(pl.col("trace_id").is_in(ids)).rename({"verify.verdict": "verdict", "verify.answer": "value"})
    hard = problems.select("problem_id", difficulty(problems["meta"]))
    found = pl.DataFrame({"trace_id": ids}).lazy().join(held, on="trace_id", how="left", maintain_order="left")
    return (
        found.join(hard.lazy(), on="problem_id", how="left", maintain_order="left")
        .with_columns(pl.col("verdict").fill_null("unparseable"))  # a row that the checker fails on
        .select(*ANSWERS.names(), "verdict", "value")
        .collect()
    )


def _probed(report: EvaluateReport, student: Teacher, config: EvaluateConfig, out: Path, log: Log) -> EvaluateReport:
    """The report with the probes that are asked for, made now unless they are there."""
    if not config.probes:
        return report
    said = probes.probe(out, student, config, held=report.probes, log=log)
    values = {one.name: getattr(report, one.name) for one in fields(report)}
    report = EvaluateReport(**{**values, "probes": said})
    write_json(out / DONE, asdict(report))
    return report


def _rate(answers: pl.DataFrame, took: Asked) -> float | None:
    """Completion tokens per second; of a resumed evaluation, tokens by the share of answers that it gave."""
    if not took.requests or not took.seconds:
        return None
    return round(int(answers["completion_tokens"].sum()) * took.requests / answers.height / took.seconds, 1)
