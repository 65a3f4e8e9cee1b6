"""`cotmill check` and `cotmill sample`: from a recipe to a plan, and from a plan to a corpus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from builders.config import FileTeacher, ReferenceTeacher, TeacherConfig
from builders.corpus import Corpus
from builders.errors import RecipeError, TeacherError, UnansweredRequest
from builders.feed import Feed, FixedFeed, Item, RetryFeed, UntilFeed, items_of
from builders.plan import Arm, check_leaks, make_arms, plan, second_tries, without
from builders.problems import load_all
from builders.problems.table import Loaded
from builders.prompts import Specs, load_specs
from builders.sampling import JUDGED, Judge, Progress, Sampler, ask
from builders.teachers import Teacher, make_teacher
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
            asked = not isinstance(arm.config, FileTeacher | ReferenceTeacher)  # these two look up, at no cost
            head = sum(len(content) for _, content in arm.prompt.head)
            characters = int(sizes.gather(mine["problem"]).sum()) + head * mine.height
            characters //= max(1, len(arm.prompt.levels))  # one prompt for all levels of a joint call
            rows.append(
                {
                    "teacher": arm.teacher.name,
                    "granularity": arm.prompt.level,
                    "format": arm.prompt.format,
                    "problems": mine["problem"].n_unique(),
                    "requests": mine.height,
                    "prompt_tokens": characters // CHARACTERS_PER_TOKEN * asked,
                    "most_completion_tokens": arm.config.max_tokens * mine.height * asked,
                }
            )
        keys = ["teacher", "granularity", "format"]
        return pl.DataFrame(rows).group_by(keys, maintain_order=True).sum()

    def calls(self) -> int:
        """First tries as the teachers see them: the levels of a joint call are one."""
        joint = [max(1, len(arm.prompt.levels)) for arm in self.arms]
        sizes = pl.Series(joint, dtype=pl.UInt16).gather(self.requests["arm"])
        return round((1 / sizes).sum())


def make_plan(recipe: Recipe, *, assume_presets: bool = False) -> Plan:
    """Load the problems, look at the teachers, compute every trace id.

    Args:
        recipe: what to ask of whom.
        assume_presets: see `builders.problems.load_all`; such a plan tells how much, and is never asked.

    Raises:
        CotmillError: problems cannot be read, a model is unknown, a level or format does not exist, or an
            exemplar gives a problem's answer away.
        RecipeError: the recipe names no problems or no teacher, or there is no problem to ask.
    """
    if missing := [key for key in ("problems", "teacher") if not getattr(recipe, key)]:
        raise RecipeError(recipe.name, [f"{key}: missing, and sampling needs it" for key in missing])
    loaded = load_all(recipe.problems, assume_presets=assume_presets)
    if recipe.sample.gold == "shown":
        loaded = _with_gold(loaded)
    if loaded.problems.is_empty():
        raise RecipeError(recipe.name, [f"problems: the sources hold no usable problem ({loaded.skipped or 'empty'})"])
    specs = load_specs(recipe.sample.specs)
    teachers: list[tuple[TeacherConfig, Teacher]] = [(config, make_teacher(config)) for config in recipe.teacher]
    answer_types = loaded.problems["answer_type"].unique().to_list()
    arms = make_arms(teachers, recipe.sample, answer_types, recipe.seed, specs)
    check_leaks(loaded.problems, arms)
    requests = plan(loaded.problems, arms, specs, recipe.sample.n)
    return Plan(recipe, loaded.problems, loaded.skipped, specs, teachers, arms, requests)


def _with_gold(loaded: Loaded) -> Loaded:
    """Without the problems whose gold answer cannot be shown, which are counted instead."""
    known = loaded.problems.filter(pl.col("gold").str.contains(r"\S"))
    lacking = loaded.problems.height - known.height
    return Loaded(known, {**loaded.skipped, **({"no gold answer to show": lacking} if lacking else {})})


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
    from curation.verification.verify import verdicts

    judge = judge or verdicts
    planned = make_plan(recipe)
    corpus = Corpus.create(out)
    corpus.add_problems(planned.problems)
    asked = [arm for first in planned.arms for arm in (first, first.second_try) if arm]
    corpus.add_arms({arm.arm_id: arm.describe() for arm in asked})
    held = corpus.held_ids()
    rest = without(planned.requests, held)
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
    if recipe.sample.gold == "retry":
        progress.planned, known = None, _judged(corpus, judge)
        feeds = [(teacher, _retrying(feed, teacher, planned, held, known)) for teacher, feed in feeds]
    sampler = Sampler(corpus, recipe.sample, progress, judge, on_tick)
    sampler.run([(teacher, feed) for teacher, feed in feeds if not feed.finished()])  # start no idle engine
    if progress.unanswered and not (progress.done or progress.held or progress.interrupted):
        raise TeacherError(
            f"None of {progress.unanswered:,} requests was answered ({progress.first_unanswered}), so {out} holds no "
            f"trace. They are listed in {out / 'unanswered.jsonl'}.\n"
            "See whether the teacher is well; the same command asks again."
        )
    return progress


def _retrying(feed: Feed, teacher: Teacher, planned: Plan, held: pl.Series, known: Mapping[str, bool]) -> RetryFeed:
    """`feed` with second tries, those that an earlier run left over among them."""
    wrong = pl.Series([key for key, correct in known.items() if not correct], dtype=pl.String)
    with_gold = planned.problems["gold_value"].is_not_null()
    tried = _for(teacher, planned.requests, planned.arms).filter(pl.col("trace_id").is_in(wrong.implode()))
    tried = tried.filter(with_gold.gather(tried["problem"]))
    due = without(second_tries(tried, planned.arms, planned.problems), held)
    items = items_of(due, planned.problems, [arm.second_try or arm for arm in planned.arms])
    return RetryFeed(feed, items, frozenset(held))


def preview(recipe: Recipe, rows: int) -> list[dict[str, Any]]:
    """Sample a few rows, spread over the arms, and write nothing."""
    planned = make_plan(recipe)
    spread = planned.requests.gather_every(max(1, planned.requests.height // rows)).head(rows)
    return asyncio.run(_preview(planned, spread))


async def _preview(planned: Plan, requests: pl.DataFrame) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for _, teacher in planned.teachers:
        items = list(items_of(_for(teacher, requests, planned.arms), planned.problems, planned.arms))
        if items:
            async with teacher:
                for rows in await asyncio.gather(*(_preview_one(teacher, item) for item in items)):
                    out += rows
    return out


async def _preview_one(teacher: Teacher, item: Item) -> list[dict[str, Any]]:
    try:
        return await ask(teacher, item)
    except UnansweredRequest as failure:
        messages = item.arm.prompt.messages(item.problem["question"], item.problem["choices"], item.problem["gold"])
        said = {"messages": messages, "status": "unanswered", "error": str(failure)}
        return [{**item.problem, **trace.arm.columns, **said} for trace in item.each()]


def _for(teacher: Teacher, requests: pl.DataFrame, arms: list[Arm]) -> pl.DataFrame:
    mine = [i for i, arm in enumerate(arms) if arm.teacher is teacher]
    return requests.filter(pl.col("arm").is_in(mine))


def _judged(corpus: Corpus, judge: Judge) -> dict[str, bool]:
    """Which held traces are correct."""
    held = corpus.traces().select("trace_id", *JUDGED).collect()
    if held.is_empty():
        return {}
    return dict(zip(held["trace_id"], judge(held) == "correct", strict=True))
