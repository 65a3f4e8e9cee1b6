"""`cotmill run`: one recipe, all stages, one directory.

    corpus/  dataset/  before/  student/  after/    a stage each
    recipe.yaml                                     the recipe as it was resolved
    sampling.json                                   the figures of the sampling run that wrote last
    summary.json                                    the figures of all stages

Every stage knows by itself what is done: sampling by trace ids, the others by the fingerprint of
their inputs. So a second run does nothing, and a changed value runs again what depends on it. What
such a run would replace is moved to `superseded/`, never overwritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import yaml

from builders.corpus import Corpus
from builders.disk import replacing, write_json
from builders.errors import Occupied, RecipeError
from builders.problems import load_all
from cotmill import api
from cotmill.output import say
from cotmill.recipe import Recipe, as_mapping
from curation.packaging.dataset import read_manifest
from curation.packaging.layout import files_of


def run(recipe: Recipe, out: Path) -> dict[str, Any]:
    """Run all stages of a recipe into `out`.

    Returns:
        directory, recipe, traces (in the corpus), by_level, kept, engine, sampling_tokens_per_s (of the
        run that sampled), train, eval_before, eval_after, change (None without the stage), seconds.

    Raises:
        CotmillError: a stage cannot run; what is done stays done.
        KeyboardInterrupt: sampling was interrupted; the same command goes on.
    """
    start = time.monotonic()
    _refuse_overlap(recipe)
    out.mkdir(parents=True, exist_ok=True)
    _keep_recipe(recipe, out)

    say("sampling ...")
    sampled = api.sample(recipe, out / "corpus")
    rate = _sampling_rate(out, sampled)
    if sampled["interrupted"]:
        say("Interrupted: what is finished is saved. The same command goes on from here.")
        raise KeyboardInterrupt
    _convert(recipe, out / "corpus")
    say("curating ...")
    curated = _replace(out / "dataset", lambda: _curate(recipe, out))
    before = trained = after = change = None
    if recipe.train and recipe.evaluate:
        say("testing the student before training ...")
        student = recipe.train.student
        before = _replace(out / "before", lambda: api.evaluate(student, out / "before", recipe=recipe))
    if recipe.train:
        say("training ...")
        trained = _replace(out / "student", lambda: api.train(out / "dataset", out / "student", recipe=recipe))
    if trained and recipe.evaluate:
        say("testing it again ...")
        model = trained["model"]
        after = _replace(
            out / "after", lambda: api.evaluate(model, out / "after", recipe=recipe, trained_on=[out / "dataset"])
        )
        change = _change(out)
    corpus = Corpus(out / "corpus")
    summary = {
        "directory": str(out),
        "recipe": recipe.name,
        "traces": curated["rows"],
        "by_level": by_level(corpus, out / "dataset"),
        "kept": curated["kept"],
        "engine": corpus.traces().select(pl.col("engine").last()).collect().item(),
        "sampling_tokens_per_s": rate,
        "train": trained,
        "eval_before": before,
        "eval_after": after,
        "change": change,
        "seconds": round(time.monotonic() - start, 1),
    }
    write_json(out / "summary.json", summary)
    return summary


def _curate(recipe: Recipe, out: Path) -> dict[str, Any]:
    """The dataset; rows of the one before it keep their places, so that publishing sends what is new."""
    earlier = sorted(out.glob("superseded/dataset-*/dataset.json"))
    return api.curate(out / "corpus", recipe, out / "dataset", after=earlier[-1].parent if earlier else None)


def _convert(recipe: Recipe, corpus: Path) -> None:
    """The recipe's conversions, in order.

    Raises:
        KeyboardInterrupt: one was interrupted; the same command goes on.
    """
    from cotmill.converting import convert

    for conversion in recipe.convert:
        wanted = conversion.regranularize or conversion.reformat
        assert wanted is not None
        say("converting ...")
        if convert(corpus, wanted, recipe)["interrupted"]:
            say("Interrupted: what is finished is saved. The same command goes on from here.")
            raise KeyboardInterrupt


def by_level(corpus: Corpus, dataset: Path) -> list[dict[str, Any]]:
    """Per granularity level: traces sampled, correct and kept, and tokens of all that were sampled.

    `correct` is as the dataset's own `verify` pass has it; None when it was made without one.
    """
    kept = pl.scan_parquet(files_of(dataset), glob=False)
    traces = corpus.traces().select("trace_id", "granularity", "completion_tokens")
    correct = pl.lit(None, pl.Boolean)
    if fingerprint := read_manifest(dataset)["passes"].get("verify"):
        files = sorted((corpus.path / "marks" / f"verify-{fingerprint[:8]}").glob("*.parquet"))
        traces = traces.join(pl.scan_parquet(files, glob=False), on="trace_id", how="left")
        correct = pl.col("verify.verdict") == "correct"
    return (
        traces.join(kept.select("trace_id", kept=pl.lit(True)), on="trace_id", how="left")
        .group_by("granularity")
        .agg(
            sampled=pl.len(),
            correct=pl.when(correct.is_not_null().any()).then(correct.sum()),
            kept=pl.col("kept").sum(),
            tokens=pl.col("completion_tokens").sum(),
        )
        .sort("granularity")
        .collect()
        .to_dicts()
    )


def _refuse_overlap(recipe: Recipe) -> None:
    """Raise RecipeError when a held-out problem is also one to learn from."""
    if recipe.evaluate is None or recipe.train is None:
        return
    asked = {tuple(question.lower().split()) for question in load_all(recipe.problems).problems["question"]}
    held_out = load_all(recipe.evaluate.problems).problems["question"]
    both = [question for question in held_out if tuple(question.lower().split()) in asked]
    if both:
        raise RecipeError(
            recipe.name,
            [
                f"evaluate.problems: {len(both):,} of {len(held_out):,} held-out problems are also in `problems`, "
                f"for example: {both[0][:100]!r}. Accuracy on them would say nothing; choose another seed or split"
            ],
        )


def _keep_recipe(recipe: Recipe, out: Path) -> None:
    with replacing(out / "recipe.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(dict(as_mapping(recipe)), sort_keys=False, allow_unicode=True))


def _replace(stage: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Make a stage; when another one is in its place, move that to `superseded/` first."""
    try:
        return make()
    except Occupied:
        pass
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    aside = stage.parent / "superseded" / f"{stage.name}-{stamp}"
    aside.parent.mkdir(exist_ok=True)
    stage.rename(aside)
    say(f"{stage} was made from other traces or settings; it is now {aside}")
    return make()


def _sampling_rate(out: Path, sampled: dict[str, Any]) -> float | None:
    """Tokens per second of the run that sampled most lately, which may not be this one."""
    if sampled["sampled"]:
        write_json(out / "sampling.json", sampled)
    try:
        return float(orjson.loads((out / "sampling.json").read_bytes())["tokens_per_s"])
    except (OSError, KeyError, TypeError, orjson.JSONDecodeError):
        return None


def _change(out: Path) -> dict[str, Any]:
    """After against before, on the same problems."""
    from training.evaluate import compare_evaluations

    paired = compare_evaluations(out / "before", out / "after")
    return {"difference": paired.difference, "interval": paired.interval, "p": paired.p, "n": paired.n}
