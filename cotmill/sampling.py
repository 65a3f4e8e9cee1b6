"""`cotmill check` and `cotmill sample`: from a recipe to a plan, and from a plan to a corpus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from builders.config import TeacherConfig
from builders.corpus import Corpus
from builders.errors import RecipeError, RejectedRequest, TeacherError, UnansweredRequest
from builders.feed import Feed, FixedFeed, UntilFeed
from builders.identity import row_seed
from builders.plan import Arm, make_arms, plan, without
from builders.problems import load_all
from builders.prompts import Specs, load_specs
from builders.sampling import JUDGED, Judge, Progress, Sampler
from builders.teachers import Request, Teacher, make_teacher
from builders.traces import trace_row
from cotmill.recipe import Recipe

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English under a BPE vocabulary; used for estimates before any tokenizer is loaded."""


@dataclass(frozen=True)
class Plan:
    """A recipe made concrete: nothing sampled, nothing written."""

    recipe: Recipe
    problems: pl.DataFrame
    skipped: dict[str, int]
    specs: Specs
    teachers: list[tuple[TeacherConfig, Teacher]]
    arms: list[Arm]
    requests: pl.DataFrame
    """Every request of the grid, as `builders.plan.plan` returns it, held or not."""

    def table(self) -> pl.DataFrame:
        """One row per teacher, level and format: problems, most requests, estimated tokens."""
        sizes = self.problems["question"].str.len_chars().fill_null(0)
        rows = []
        for number, arm in enumerate(self.arms):
            mine = self.requests.filter(arm=number)
            head = sum(len(content) for _, content in arm.prompt.head)
            characters = int(sizes.gather(mine["problem"]).sum()) + head * mine.height
            rows.append(
                {
                    "teacher": arm.teacher.name,
                    "granularity": arm.prompt.level,
                    "format": arm.prompt.format,
                    "problems": mine["problem"].n_unique(),
                    "requests": mine.height,
                    "prompt_tokens": characters // CHARACTERS_PER_TOKEN,
                    "most_completion_tokens": arm.config.max_tokens * mine.height,
                }
            )
        keys = ["teacher", "granularity", "format"]
        return pl.DataFrame(rows).group_by(keys, maintain_order=True).sum()


def make_plan(recipe: Recipe) -> Plan:
    """Load the problems, look at the teachers, compute every trace id.

    Raises:
        CotmillError: problems cannot be read, a model is unknown, a level or format does not exist.
        RecipeError: there is no problem to ask.
    """
    loaded = load_all(recipe.problems)
    if loaded.problems.is_empty():
        raise RecipeError(recipe.name, [f"problems: the sources hold no usable problem ({loaded.skipped or 'empty'})"])
    specs = load_specs(recipe.sample.specs)
    teachers: list[tuple[TeacherConfig, Teacher]] = [(config, make_teacher(config)) for config in recipe.teacher]
    answer_types = loaded.problems["answer_type"].unique().to_list()
    arms = make_arms(teachers, recipe.sample, answer_types, recipe.seed, specs)
    requests = plan(loaded.problems, arms, specs, recipe.sample.n)
    return Plan(recipe, loaded.problems, loaded.skipped, specs, teachers, arms, requests)


def sample(
    recipe: Recipe,
    out: Path,
    *,
    judge: Judge | None = None,
    on_tick: Callable[[Progress], None] | None = None,
) -> Progress:
    """Sample what the recipe asks for and the corpus at `out` does not hold yet.

    Args:
        recipe: what to ask of whom.
        out: the corpus; made when absent.
        judge: verdicts for the display and the stop rule; default: the `verify` pass.
        on_tick: called about twenty times a second with the figures so far.

    Raises:
        CotmillError: see `make_plan`, `Corpus` and `Sampler.run`.
        TeacherError: no request was answered, and the corpus is empty.
    """
    from curation.verify import verdicts

    judge = judge or verdicts
    planned = make_plan(recipe)
    corpus = Corpus.create(out)
    corpus.add_problems(planned.problems)
    corpus.add_arms({arm.arm_id: arm.describe() for arm in planned.arms})
    rest = without(planned.requests, corpus.held_ids())
    progress = Progress(planned=rest.height, held=planned.requests.height - rest.height)
    feeds: list[tuple[Teacher, Feed]] = []
    if recipe.sample.until is None:
        for _, teacher in planned.teachers:
            mine = _for(teacher, rest, planned.arms)
            feeds += [(teacher, FixedFeed(mine, planned.problems, planned.arms))]
    else:
        progress.planned, known = None, _judged(corpus, judge)
        for _, teacher in planned.teachers:
            groups = _for(teacher, planned.requests, planned.arms).filter(sample_index=0)
            feeds += [(teacher, UntilFeed(groups, planned.problems, planned.arms, known, recipe.sample))]
    sampler = Sampler(corpus, recipe.sample, progress, judge, on_tick)
    sampler.run([(teacher, feed) for teacher, feed in feeds if not feed.finished()])  # start no idle engine
    if progress.unanswered and not (progress.done or progress.held or progress.interrupted):
        raise TeacherError(
            f"None of {progress.unanswered:,} requests was answered ({progress.first_unanswered}), so {out} holds no "
            f"trace. They are listed in {out / 'unanswered.jsonl'}.\n"
            "See whether the teacher is well; the same command asks again."
        )
    return progress


def preview(recipe: Recipe, rows: int) -> list[dict[str, Any]]:
    """Sample a few rows, spread over the arms, and write nothing."""
    planned = make_plan(recipe)
    spread = planned.requests.gather_every(max(1, planned.requests.height // rows)).head(rows)
    return asyncio.run(_preview(planned, spread))


async def _preview(planned: Plan, requests: pl.DataFrame) -> list[dict[str, Any]]:
    out = []
    for _, teacher in planned.teachers:
        mine = _for(teacher, requests, planned.arms)
        if mine.height:
            async with teacher:
                rows = mine.iter_rows(named=True)
                out += await asyncio.gather(*(_preview_one(planned, teacher, row) for row in rows))
    return out


async def _preview_one(planned: Plan, teacher: Teacher, row: dict[str, Any]) -> dict[str, Any]:
    arm, problem = planned.arms[row["arm"]], planned.problems.row(row["problem"], named=True)
    messages = arm.prompt.messages(problem["question"], problem["choices"])
    key = row["trace_id"]
    request = Request(key, problem["problem_id"], messages, row_seed(key), row["sample_index"], problem["gold"])
    completion, error = None, None
    try:
        completion = await teacher.sample(request)
    except (RejectedRequest, UnansweredRequest) as failure:
        error = str(failure)
    fixed = {**problem, **arm.columns, "trace_id": key, "messages": messages}
    return trace_row(fixed, completion, max_tokens=arm.config.max_tokens, seconds=0.0, error=error)


def _for(teacher: Teacher, requests: pl.DataFrame, arms: list[Arm]) -> pl.DataFrame:
    mine = [i for i, arm in enumerate(arms) if arm.teacher is teacher]
    return requests.filter(pl.col("arm").is_in(mine))


def _judged(corpus: Corpus, judge: Judge) -> dict[str, bool]:
    """Which held traces are correct."""
    held = corpus.traces().select("trace_id", *JUDGED).collect()
    if held.is_empty():
        return {}
    return dict(zip(held["trace_id"], judge(held) == "correct", strict=True))
