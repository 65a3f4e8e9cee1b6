"""From datasets to students and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotmill.api.recipes import read_recipe

if TYPE_CHECKING:
    from cotmill.recipe import HeldOut, Recipe
    from training.config import TrainConfig
    from training.preview import Shown


def train(
    dataset: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    student: str | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    push: str | None = None,
    private: bool = False,
) -> dict[str, Any]:
    """Teach a student a dataset with TRL; the model is in `out/model`.

    Args:
        dataset: what to train on (a directory, a Parquet file, `USER/NAME` on the Hub), or a recipe (YAML) whose
            `train.dataset` says it.
        out: directory for checkpoints, model and train.json.
        recipe: its `train` section; where it has an `evaluate` section, prompts are compared with it.
        student: model to train, in place of the recipe's.
        overrides: `key=value` over the recipe.
        overwrite: replace another student in `out`.
        push: `USER/NAME` of a model repository to upload the student to.
        private: of a repository that is made.

    Returns:
        The fields of `training.sft.TrainReport`, with `model` as a path; `pushed`: address of the commit, or None.

    Raises:
        RecipeError: no recipe with a `train` section and no student; a recipe that names no dataset.
        CotmillError: see `training.sft.train` and `training.push.push_model`.
    """
    from training.processes import is_first
    from training.push import push_model
    from training.sft import train as run_training

    where, config, loaded = _training(dataset, recipe, student, overrides)
    evaluation, name = (loaded.evaluate, loaded.name) if loaded else (None, None)
    report = run_training(where, config, Path(out), evaluation=evaluation, recipe=name, overwrite=overwrite)
    model = Path(out) / report.model
    pushed = push_model(model, push, private=private) if push and is_first() else None
    return {**asdict(report), "model": str(model), "pushed": pushed}


def preview_training(
    dataset: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    student: str | None = None,
    overrides: Sequence[str] = (),
    rows: int = 3,
) -> Shown:
    """What a student would be trained on, and whether anything speaks against it; nothing is trained or written.

    Args:
        dataset: as `train` takes it.
        recipe: likewise.
        student: likewise.
        overrides: likewise.
        rows: how many rows to show.

    Raises:
        RecipeError: as `train`.
        CotmillError: no such dataset or student. What training would refuse for is in the result's `fault`.
    """
    from training.preview import preview

    where, config, loaded = _training(dataset, recipe, student, overrides)
    return preview(where, config, rows, loaded.evaluate if loaded else None)


def _training(
    dataset: str | Path, recipe: str | Path | Recipe | None, student: str | None, overrides: Sequence[str]
) -> tuple[str | Path, TrainConfig, Recipe | None]:
    """Dataset, `train` section, and the recipe where there is one."""
    from builders.errors import RecipeError
    from cotmill.recipe import load_training

    of_recipe = Path(dataset).suffix in (".yaml", ".yml")
    if of_recipe and recipe is not None:
        raise RecipeError(str(dataset), [f"two recipes: it, and --recipe {recipe}. Name a dataset or leave one out"])
    chosen = dataset if of_recipe else recipe
    loaded = read_recipe(chosen, overrides) if chosen is not None else None
    config = loaded.train if loaded else load_training(overrides)
    if config is None and student is None:
        raise RecipeError(str(chosen), ["train: no such section; or name a model with --student"])
    config = config or load_training()
    if of_recipe and config.dataset is None:
        raise RecipeError(str(dataset), ["train.dataset: missing; say what to train on, or: cotmill train DATASET"])
    if student is not None:
        config = config.model_copy(update={"student": student})
    return config.dataset if of_recipe and config.dataset else dataset, config, loaded


def evaluate(
    model: str | Path,
    out: str | Path,
    *,
    problems: Sequence[str] = (),
    recipe: str | Path | Recipe | None = None,
    probes: Sequence[str] = (),
    trained_on: Sequence[str | Path] = (),
    allow_overlap: Sequence[str] = (),
    overrides: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Test a model on held-out problems.

    Args:
        model: `smollm2-135m`, a directory or a Hub id.
        out: directory for results.parquet and evaluation.json.
        problems: files, presets, Hub datasets; see `cotmill.sources.source_of`. In place of the recipe's.
        recipe: its `evaluate` section; needed where `problems` is empty.
        probes: `truncated`, `corrupted`, `filler`; see `training.probes`.
        trained_on: datasets that the problems must not overlap, besides those that the model's card names.
        allow_overlap: names of problem sources that may overlap all the same.
        overrides: `key=value` over the recipe; without one, `evaluate.key=value`.
        overwrite: replace another evaluation in `out`.

    Returns:
        The fields of `training.evaluate.EvaluateReport`.

    Raises:
        RecipeError: no problems are named.
        CotmillError: see `training.evaluate.evaluate`.
    """
    from builders.problems import load_all
    from cotmill.output import say
    from training.evaluate import evaluate as run_evaluation

    held_out = _held_out(problems, recipe, [*overrides, *([f"evaluate.probes=[{','.join(probes)}]"] if probes else [])])
    loaded = load_all(held_out.problems)
    if loaded.skipped:
        say("problems left out: " + ", ".join(f"{count:,} {reason}" for reason, count in loaded.skipped.items()))
    report = run_evaluation(
        model,
        loaded.problems,
        held_out,
        Path(out),
        trained_on=trained_on,
        allow_overlap=allow_overlap,
        overwrite=overwrite,
    )
    return asdict(report)


def _held_out(problems: Sequence[str], recipe: str | Path | Recipe | None, overrides: Sequence[str]) -> HeldOut:
    """The `evaluate` section that arguments and recipe describe."""
    from builders.errors import RecipeError
    from cotmill.recipe import load_evaluation
    from cotmill.sources import source_of

    sources = [source_of(said) for said in problems]
    if recipe is None:
        if not sources:
            raise RecipeError("evaluate", ["problems: none are named; say --problems SRC, or --recipe RECIPE"])
        return load_evaluation(sources, overrides)
    loaded = read_recipe(recipe, overrides)
    if loaded.evaluate is None:
        raise RecipeError(loaded.name, ["evaluate: no such section, so there is no problem to test on"])
    if not sources:
        return loaded.evaluate
    return loaded.evaluate.model_copy(update={"problems": load_evaluation(sources).problems})


def compare(a: str | Path, b: str | Path, *, common: bool = False) -> dict[str, Any]:
    """Compare two evaluations problem by problem: B against A.

    Args:
        a: directory that `evaluate` wrote; the one to start from.
        b: likewise.
        common: compare on the problems that both have, where one has more.

    Returns:
        The fields of `training.evaluation.paired.Comparison`, and the two directories as `a` and `b`.

    Raises:
        CotmillError: an evaluation is not finished, or the two were asked different problems and `common` is false.
    """
    from training.evaluation.paired import compare_evaluations

    return {"a": str(a), "b": str(b), **asdict(compare_evaluations(Path(a), Path(b), common=common))}
