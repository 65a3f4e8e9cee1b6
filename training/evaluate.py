"""How good a student is: every problem asked once, greedily, under vLLM, and judged by curation.

The student is asked as it was taught: the chat template it was saved with, over the same question
text. `evaluation.json` is written last: its presence means done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from builders import config as builders_config
from builders.disk import replacing, write_json
from builders.errors import CotmillError, Occupied, RejectedRequest, TeacherError, UnansweredRequest
from builders.identity import digest, row_seed
from builders.prompts import render_question
from builders.schema import TRACES
from builders.teachers import Completion, Message, Request, Teacher
from builders.traces import trace_row
from curation.intervals import wilson_interval
from training.config import EvaluateConfig
from training.stats import Paired, compare
from training.watch import Log, to_stderr

DONE: Final = "evaluation.json"
RESULTS: Final = "results.parquet"

ASKED: Final = ("problem_id", "question", "choices", "gold", "gold_value", "answer_type", "source", "split")
ANSWERED: Final = (
    *("response", "reasoning", "answer", "status", "error", "finish_reason"),
    *("prompt_tokens", "completion_tokens", "seconds"),
)
"""Columns of results.parquet as in a corpus, before `verdict` and `value` (the answer that was read)."""

TRIES: Final = 3
"""A request that the engine gives up on is asked again, at most so often in all."""


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """What `evaluation.json` holds. Shares are in 0..1; null: nothing to compute it from."""

    fingerprint: str
    """Of model, problems and settings: the same evaluation has the same one."""
    n: int
    """Problems with a gold answer. Accuracy and its interval are over these."""
    correct: int
    accuracy: float | None
    interval: tuple[float, float]
    """Wilson, 95 %."""
    unparseable: int
    """Answers in which no answer was found; they count as wrong."""
    unparseable_share: float | None
    no_gold: int
    """Problems asked that have no gold answer."""
    rejected: int
    """Problems the model cannot be asked, too long mostly; they count as wrong."""
    truncated_share: float
    """Of all problems asked."""
    mean_tokens: float | None
    """Completion tokens per answer."""
    tokens: int
    """Completion tokens."""
    seconds: float
    """From the first question to the last answer; without starting the engine."""
    tokens_per_s: float
    start_seconds: float
    """Until the engine was ready."""
    model: dict[str, Any]
    """Identity of the weights."""
    engine: str
    config: dict[str, Any]


def evaluate(
    model: str | Path,
    problems: pl.DataFrame,
    config: EvaluateConfig,
    out: Path,
    *,
    overwrite: bool = False,
    log: Log = to_stderr,
) -> EvaluateReport:
    """Ask `model` every problem and judge the answers; rows in `out/results.parquet`.

    An evaluation that is already in `out` is not repeated.

    Args:
        model: `smollm2-135m`, a directory or a Hub id.
        problems: columns of builders.schema.PROBLEMS.
        config: the recipe's `evaluate` section.
        out: directory; made if missing.
        overwrite: replace another evaluation in `out`.
        log: gets lines of progress.

    Raises:
        Occupied: `out` holds another evaluation.
        CotmillError: no problems, no such model, a problem that stays unanswered.
        MissingDependency: vLLM is not installed.
    """
    from builders.teachers.vllm import VllmTeacher

    asked = problems.head(config.limit) if config.limit else problems
    if asked.is_empty():
        raise CotmillError("there is no problem to evaluate on. Look at evaluate.problems in the recipe")
    teacher = VllmTeacher(_settings(str(model), config))
    identity = dict(teacher.identity)
    said = config.model_dump(mode="json", include=set(EvaluateConfig.model_fields) - {"window"})
    key = digest([identity, asked["problem_id"].to_list(), said])
    if report := finished(out, key):
        log(f"already evaluated: {out / DONE}")
        return report
    if (out / DONE).exists() and not overwrite:
        raise Occupied(out, "another evaluation")
    (out / DONE).unlink(missing_ok=True)
    began = time.monotonic()
    rows, ready, ended = asyncio.run(_ask_all(teacher, asked, config, key))
    results = judge(rows, config)
    with replacing(out / RESULTS) as temporary:
        results.write_parquet(temporary)
    seconds = ended - ready
    tokens = int(results["completion_tokens"].sum())
    report = EvaluateReport(
        fingerprint=key,
        **summarise(results),
        tokens=tokens,
        seconds=round(seconds, 2),
        tokens_per_s=round(tokens / seconds, 1),
        start_seconds=round(ready - began, 2),
        model=identity,
        engine=teacher.engine,
        config=said,
    )
    write_json(out / DONE, asdict(report))
    return report


def finished(out: Path, fingerprint: str) -> EvaluateReport | None:
    """The report of an evaluation that is already done in `out`."""
    try:
        held = orjson.loads((out / DONE).read_bytes())
        return EvaluateReport(**held) if held["fingerprint"] == fingerprint else None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


def messages(config: EvaluateConfig, question: str, choices: Sequence[str] | None = None) -> list[Message]:
    """What a student is asked; with the default settings, the prompt of a training row."""
    head = [{"role": "system", "content": config.system}] if config.system else []
    text = config.template.replace("{question}", render_question(question, choices))
    return [*head, {"role": "user", "content": text}]


def judge(rows: pl.DataFrame, config: EvaluateConfig) -> pl.DataFrame:
    """Add `verdict` (correct, incorrect, unparseable, no_gold) and `value`, the answer that was read."""
    from curation.verify import Verify

    marked = Verify(fallback=config.fallback).mark(rows.lazy()).collect()
    return rows.with_columns(verdict=marked["verify.verdict"], value=marked["verify.answer"])


def summarise(results: pl.DataFrame) -> dict[str, Any]:
    """Counts and shares of judged rows, by the names that EvaluateReport gives them."""
    verdicts = dict(results.group_by("verdict").len().iter_rows())
    no_gold = verdicts.get("no_gold", 0)
    n, correct = results.height - no_gold, verdicts.get("correct", 0)
    unparseable = verdicts.get("unparseable", 0)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else None,
        "interval": wilson_interval(correct, n),
        "unparseable": unparseable,
        "unparseable_share": unparseable / n if n else None,
        "no_gold": no_gold,
        "rejected": int((results["status"] == "rejected").sum()),
        "truncated_share": int((results["status"] == "truncated").sum()) / results.height,
        "mean_tokens": results["completion_tokens"].mean(),
    }


def compare_evaluations(before: Path, after: Path) -> Paired:
    """Two evaluations on the problems that both asked and that have a gold answer.

    Args:
        before: directory that `evaluate` wrote.
        after: likewise.

    Raises:
        CotmillError: a directory holds no finished evaluation.
    """
    for folder in (before, after):
        if not (folder / DONE).is_file():
            raise CotmillError(f"{folder} holds no finished evaluation ({DONE}). Make one: cotmill evaluate")
    keys = pl.col("verdict") != "no_gold"
    first, second = (
        pl.read_parquet(folder / RESULTS, columns=["problem_id", "verdict"]).filter(keys).unique("problem_id")
        for folder in (before, after)
    )
    both = first.join(second, on="problem_id", suffix="_after").sort("problem_id")
    return compare((both["verdict"] == "correct").to_list(), (both["verdict_after"] == "correct").to_list())


def _settings(model: str, config: EvaluateConfig) -> builders_config.VllmTeacher:
    said = config.model_dump(include={"chat_template", "temperature", "max_tokens", "engine", "window"})
    return builders_config.VllmTeacher.model_validate({"kind": "vllm", "model": model, **said})


async def _ask_all(
    teacher: Teacher, problems: pl.DataFrame, config: EvaluateConfig, key: str
) -> tuple[pl.DataFrame, float, float]:
    """One row per problem, in order; and the times at which the engine was ready and the last answer came."""
    room = asyncio.Semaphore(config.window)

    async def one(problem: dict[str, Any]) -> dict[str, Any]:
        trace = digest([key, config.seed, problem["problem_id"]])
        ask = messages(config, problem["question"], problem["choices"])
        request = Request(trace, problem["problem_id"], ask, row_seed(trace))
        async with room:
            began = time.monotonic()
            answer, error = await _answer(teacher, request)
        seconds = time.monotonic() - began
        return trace_row(problem, answer, max_tokens=config.max_tokens, seconds=seconds, error=error)

    async with teacher:
        ready = time.monotonic()
        tasks = [asyncio.create_task(one(row)) for row in problems.select(ASKED).iter_rows(named=True)]
        try:
            answered = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        ended = time.monotonic()
    schema = {name: TRACES[name] for name in (*ASKED, *ANSWERED)}
    rows = [{name: row.get(name) for name in schema} for row in answered]
    return pl.DataFrame(rows, schema=schema), ready, ended


async def _answer(teacher: Teacher, request: Request) -> tuple[Completion | None, str | None]:
    """The answer, or why the model will never give one."""
    for left in reversed(range(TRIES)):
        try:
            return await teacher.sample(request), None
        except RejectedRequest as error:
            return None, str(error)
        except UnansweredRequest as error:
            if not left:
                raise TeacherError(
                    f"problem {request.problem_id} was not answered in {TRIES} tries: {error}."
                    " Nothing was written; run it again"
                ) from error
    raise AssertionError("unreachable")
