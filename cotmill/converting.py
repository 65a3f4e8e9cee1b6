"""`cotmill regranularize` and `cotmill reformat`: from a corpus to the same corpus with converted traces in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from builders.config import SampleConfig, TeacherConfig, Until
from builders.corpus import Corpus
from builders.errors import CotmillError, SourceError
from builders.sampling import Progress, Sampler
from builders.spec import Specs, load_specs, shipped_specs
from builders.teachers import Teacher, make_teacher
from cotmill.recipe import Recipe
from curation.convert.children import Lengths, convert_free, sources_of, with_text
from curation.convert.config import Reformat, Regranularize
from curation.convert.free import Free, band_of, to_layout, to_length, to_level
from curation.convert.guards import Guards, verdicts
from curation.convert.layouts import LAYOUTS
from curation.convert.rewriting import PADDED, RewriteFeed, Rewrites, Target, rows_of
from curation.convert.sources import chosen
from curation.engine.marks import mark, marks_file

KINDS: dict[str, type[Regranularize] | type[Reformat]] = {"regranularize": Regranularize, "reformat": Reformat}
OnTick = Callable[[Progress], None]


def make_conversion(kind: str, settings: Mapping[str, Any]) -> Regranularize | Reformat:
    """What a command line asks for, checked like a recipe's section.

    Raises:
        CotmillError: a value does not fit; all that do not, at once.
    """
    try:
        return KINDS[kind].model_validate(dict(settings))
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']} (it is {e['input']!r})" for e in error.errors()]
        raise CotmillError(f"{kind} cannot be done:\n" + "\n".join(faults) + "\nNothing was written.") from None


def convert(
    corpus_path: Path,
    wanted: Regranularize | Reformat,
    recipe: Recipe | None = None,
    on_tick: OnTick | None = None,
) -> dict[str, Any]:
    """Convert traces of a corpus; what is there already is not made again.

    Args:
        corpus_path: the corpus; children are added to it.
        wanted: the targets, and which traces.
        recipe: its teachers rewrite, its specs say what levels are.
        on_tick: called about twenty times a second while a teacher is asked.

    Returns:
        corpus, added (rows), conversions (one mapping per target and way: how, level, format, sources, made, held,
        without; of a teacher's also teacher, passed, failed (sources) and reasons of the attempts made now), guards
        (of all children in the corpus: how many pass, how many fail for which reason) and interrupted.

    Raises:
        CotmillError: the corpus or the condition is wrong, a target does not exist, or a teacher is needed and
            none is named.
    """
    specs = load_specs(recipe.sample.specs) if recipe else shipped_specs()
    free, targets = _targets(wanted, specs)
    if targets and recipe is None:
        names = ", ".join(target.name() for target in targets)
        raise CotmillError(f"{names}: only a teacher can write that. Name a recipe with one: --recipe RECIPE")
    corpus = Corpus(corpus_path)
    reports: list[dict[str, Any]] = []
    interrupted = False
    sources = chosen(corpus, wanted.where)
    with corpus.writing():
        for one in free:
            lengths = (
                Lengths(corpus, one.level, band_of(specs, one.level)) if one.how == "padding" and one.level else None
            )
            reports.append(convert_free(corpus, one, sources, lengths).as_dict())
    if recipe is not None:
        teachers: list[tuple[TeacherConfig, Teacher]] = (
            [(c, make_teacher(c)) for c in recipe.teacher] if targets else []
        )
        for config, teacher in teachers:
            for target in targets:
                rewrites = Rewrites(specs, config, teacher, target, recipe.seed)
                done, interrupted = _rewrite(corpus, teacher, rewrites, target, sources, wanted.tries, recipe, on_tick)
                reports.append(done)
                if interrupted:
                    return _summary(corpus, reports, interrupted)
    return _summary(corpus, reports, interrupted)


def _summary(corpus: Corpus, reports: Sequence[dict[str, Any]], interrupted: bool) -> dict[str, Any]:
    """The figures of all conversions, once the guards have marked what is new."""
    guards = Guards()
    mark(corpus, [guards])
    marks = pl.scan_parquet([marks_file(corpus, guards, shard) for shard in corpus.shards()], glob=False)
    verdict = pl.when(pl.col("guards.ok")).then(pl.lit("pass")).otherwise(pl.col("guards.reason"))
    judged = marks.filter(pl.col("guards.ok").is_not_null()).select(verdict=verdict).collect()["verdict"].value_counts()
    return {
        "corpus": str(corpus.path),
        "added": sum(report["made"] for report in reports),
        "conversions": list(reports),
        "guards": dict(judged.sort("count", "verdict", descending=[True, False]).iter_rows()),
        "interrupted": interrupted,
    }


def _targets(wanted: Regranularize | Reformat, specs: Specs) -> tuple[list[Free], list[Target]]:
    """Conversions without a model, and those that a teacher is asked for."""
    if isinstance(wanted, Regranularize):
        if wanted.how == "teacher":
            return [], [Target(level=level) for level in wanted.levels]
        ways = ["merge", "split"] if wanted.how == "free" else [wanted.how]
        return [to_level(specs, way, level) for level in wanted.levels for way in ways], []
    written = [one.format for one in specs.formats if one.instruction]
    free: list[Free] = []
    targets: list[Target] = []
    for name in wanted.formats:
        layout = name in LAYOUTS or name == PADDED
        if name not in written and not layout:
            known = f"without a model: {', '.join(LAYOUTS)}, {PADDED}; with a teacher: {', '.join(written)}"
            raise SourceError(f"There is no format {name} to convert to; {known}.")
        by_teacher = wanted.how == "teacher" or (wanted.how is None and not layout)
        if by_teacher and name not in written and name != PADDED:
            raise SourceError(f"{name} is a layout: no teacher is asked for it. Leave out --how teacher.")
        if not by_teacher and not layout:
            raise SourceError(f"Only a teacher can write the format {name}; there is no way without a model.")
        if by_teacher:
            targets.append(Target(format=name))
        else:
            free.append(to_layout(specs, name) if name in LAYOUTS else to_length(specs, wanted.to_level))
    return free, targets


def _rewrite(
    corpus: Corpus,
    teacher: Teacher,
    rewrites: Rewrites,
    target: Target,
    sources: pl.Series,
    tries: int,
    recipe: Recipe,
    on_tick: OnTick | None,
) -> tuple[dict[str, Any], bool]:
    """One teacher and one target; what became of the sources, and whether it was interrupted."""
    without: dict[str, int] = {}
    reasons: dict[str, int] = {}
    rows = rows_of((with_text(chunk) for chunk in sources_of(corpus, sources)), without)
    feed = RewriteFeed(
        rows, rewrites, _judged(corpus), tries, lambda arm: corpus.add_arms({arm.arm_id: arm.describe()})
    )

    def judge(batch: pl.DataFrame) -> pl.Series:
        found = verdicts(batch)
        for reason in found.filter(found != "correct"):
            reasons[reason] = reasons.get(reason, 0) + 1
        return found

    settings = {"flush_rows": recipe.sample.flush_rows, "flush_seconds": recipe.sample.flush_seconds}
    sample = SampleConfig(n=tries, until=Until(verified=1), **settings)
    progress = Progress(planned=None)
    if not feed.finished():  # start no idle engine
        Sampler(corpus, sample, progress, judge, on_tick, reads=Guards.reads).run([(teacher, feed)])
    if feed.already:
        without["of that level or format already"] = feed.already
    report = {
        "how": "teacher",
        "teacher": teacher.name,
        "level": target.level,
        "format": target.format,
        "sources": feed.sources + sum(count for why, count in without.items() if "already" not in why),
        "made": progress.done,
        "held": feed.held,
        "passed": feed.passed,
        "failed": feed.failed,
        "reasons": reasons,
        "without": without,
        "unanswered": progress.unanswered,
        "why_unanswered": progress.first_unanswered,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 3) if progress.done else 0.0,
    }
    return report, progress.interrupted


def _judged(corpus: Corpus) -> dict[str, bool]:
    """Converted trace -> whether its guards let it pass."""
    held = corpus.traces().filter(pl.col("parent_id").is_not_null()).select("trace_id", *Guards.reads).collect()
    if held.is_empty():
        return {}
    return dict(zip(held["trace_id"], verdicts(held) == "correct", strict=True))
