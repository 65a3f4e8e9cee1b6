"""The functions behind the commands. Each takes paths or objects and returns plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotmill.recipe import Recipe


def check(recipe: str | Path | Recipe, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Load problems, look at the teachers and count requests; asks nothing, writes nothing.

    Returns:
        name, problems, skipped (reason -> rows), requests, prompt_tokens and most_completion_tokens
        (estimates), arms (one mapping per teacher, level and format).
    """
    from cotmill.sampling import make_plan

    plan = make_plan(_recipe(recipe, overrides))
    table = plan.table()
    totals = table.select("requests", "prompt_tokens", "most_completion_tokens").sum().row(0, named=True)
    return {
        "name": plan.recipe.name,
        "problems": plan.problems.height,
        "skipped": plan.skipped,
        **totals,
        "stop": plan.recipe.sample.until.model_dump() if plan.recipe.sample.until else None,
        "arms": table.to_dicts(),
    }


def preview(recipe: str | Path | Recipe, rows: int, *, overrides: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Sample a few rows, spread over levels and formats, and write nothing."""
    from cotmill.sampling import preview

    return preview(_recipe(recipe, overrides), rows)


def sample(recipe: str | Path | Recipe, out: str | Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Sample what `recipe` asks for and the corpus at `out` does not hold yet.

    Returns:
        corpus, held (traces found there), sampled, correct, judged, rejected, unanswered, tokens,
        seconds (engine start excluded), tokens_per_s, interrupted.
    """
    from cotmill.display import live
    from cotmill.sampling import sample

    loaded = _recipe(recipe, overrides)
    with live(loaded.name) as on_tick:
        progress = sample(loaded, Path(out), on_tick=on_tick)
    return {
        "corpus": str(out),
        "held": progress.held,
        "sampled": progress.done,
        "correct": progress.correct,
        "judged": progress.judged,
        "rejected": progress.rejected,
        "unanswered": progress.unanswered,
        "why_unanswered": progress.first_unanswered,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 3),
        "tokens_per_s": round(progress.tokens / max(progress.seconds, 1e-9), 1),
        "interrupted": progress.interrupted,
    }


def sql(
    directory: str | Path,
    query: str,
    *,
    format: str = "table",
    out: str | Path | None = None,
    allow_files: bool = False,
) -> str:
    """Run a DuckDB query over a corpus, a dataset or a run.

    Returns:
        The rows as text in `format` (table, csv or json); empty when they went to `out`.
    """
    from curation.sql import query as run_query

    return run_query(Path(directory), query, format=format, out=Path(out) if out else None, allow_files=allow_files)


def curate(
    corpus: str | Path,
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Mark every trace, then write kept rows, removed rows and a card.

    Returns:
        The fields of `curation.dataset.DatasetReport`: dataset, rows, kept, removed, splits ...
    """
    from builders.corpus import Corpus
    from cotmill.recipe import as_mapping
    from curation.dataset import write_dataset

    loaded = _recipe(recipe, overrides)
    lineage = {"recipe": as_mapping(loaded)}
    report = write_dataset(Corpus(corpus), loaded.curate, out, name=loaded.name, lineage=lineage, overwrite=overwrite)
    return asdict(report)


def train(
    dataset: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    student: str | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Fine-tune a student on a dataset with TRL; the model is in `out/model`.

    Returns:
        The fields of `training.sft.TrainReport`, with `model` as a path.

    Raises:
        RecipeError: no recipe with a `train` section and no student.
    """
    from builders.errors import RecipeError
    from cotmill.recipe import load_training
    from training.sft import train as run_training

    config = _recipe(recipe, overrides).train if recipe is not None else load_training(overrides)
    if config is None and student is None:
        raise RecipeError(str(recipe or "train"), ["train: no such section; or name a model with --student"])
    config = config or load_training()
    if student is not None:
        config = config.model_copy(update={"student": student})
    report = run_training(Path(dataset), config, Path(out))
    return {**asdict(report), "model": str(Path(out) / report.model)}


def evaluate(
    model: str | Path, recipe: str | Path | Recipe, out: str | Path, *, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Test a model on the held-out problems of a recipe.

    Returns:
        The fields of `training.evaluate.EvaluateReport`.

    Raises:
        RecipeError: the recipe has no `evaluate` section.
    """
    from builders.errors import RecipeError
    from builders.problems import load_all
    from training.evaluate import evaluate as run_evaluation

    loaded = _recipe(recipe, overrides)
    if loaded.evaluate is None:
        raise RecipeError(loaded.name, ["evaluate: no such section, so there is no problem to test on"])
    problems = load_all(loaded.evaluate.problems).problems
    return asdict(run_evaluation(model, problems, loaded.evaluate, Path(out)))


def run(recipe: str | Path | Recipe, out: str | Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Sample, curate, evaluate, train and evaluate again; stages that are done are skipped.

    Returns:
        What `out/summary.json` holds; see `cotmill.run.run`.
    """
    from cotmill.run import run as run_all

    return run_all(_recipe(recipe, overrides), Path(out))


def _recipe(recipe: str | Path | Recipe, overrides: Sequence[str]) -> Recipe:
    from cotmill.recipe import Recipe, load_recipe

    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
