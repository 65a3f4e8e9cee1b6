"""The functions behind the commands. Each takes paths or objects and returns plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotmill.recipe import Recipe


def check(recipe: str | Path | Recipe, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Load problems, look at the teachers and count requests; asks nothing, writes nothing.

    Returns:
        name, problems, skipped (reason -> rows), assumed (presets: counted as known, not loaded), requests,
        prompt_tokens and most_completion_tokens (estimates), arms (one mapping per teacher, level and format), stop,
        calls (requests as the teachers see them: joint levels are one) and gold (hidden, shown or retry).
    """
    from builders.config import PresetSource
    from cotmill.sampling import make_plan

    plan = make_plan(_recipe(recipe, overrides), assume_presets=True)
    table = plan.table()
    totals = table.select("requests", "prompt_tokens", "most_completion_tokens").sum().row(0, named=True)
    return {
        "name": plan.recipe.name,
        "problems": plan.problems.height,
        "skipped": plan.skipped,
        "assumed": [source.name for source in plan.recipe.problems if isinstance(source, PresetSource)],
        **totals,
        "stop": plan.recipe.sample.until.model_dump() if plan.recipe.sample.until else None,
        "calls": plan.calls(),
        "gold": plan.recipe.sample.gold,
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


def import_traces(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    teacher: str | None = None,
    granularity: int | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    answers: str | Path | None = None,
    split: str | None = None,
    config: str | None = None,
) -> dict[str, Any]:
    """Import traces that others wrote: files, globs, Hub ids. What is said here goes before what the rows say.

    Args:
        sources: JSON, JSONL, CSV or Parquet files, globs, or `OWNER/NAME` of the Hub.
        out: a corpus, made when there is none.
        teacher: who wrote the traces; may be left out when the rows say it.
        granularity: 1 coarsest to 6 finest.
        format: CoT format; `original` when nothing says otherwise.
        columns: role -> column, where the columns are not recognised; see `builders.importing.options.ROLES`.
        answers: a file with the gold answers, matched by question.
        split: of a Hub dataset, and written into the `split` column.
        config: configuration of a Hub dataset.

    Returns:
        An account of every row; see `builders.importing.write.Counts`.
    """
    from builders.importing import Options, import_traces

    names = [sources] if isinstance(sources, str | Path) else sources
    answers = Path(answers) if answers else None
    options = Options(teacher, granularity, format, columns or {}, answers, split, config)
    return import_traces([str(name) for name in names], out, options)


def export_traces(corpus: str | Path, out: str | Path, *, layout: str = "rows") -> dict[str, Any]:
    """Write a corpus's traces as one JSONL, Parquet or CSV file: rows, messages, sharegpt or alpaca.

    Returns:
        file, layout, rows.
    """
    from builders.importing import export_traces

    return export_traces(corpus, out, layout)


def report(
    corpus: str | Path, out: str | Path, *, where: str | None = None, prices: Sequence[str] = ()
) -> dict[str, Any]:
    """Compare the teachers of a corpus, level by level and format by format, in `out/report.md`.

    Args:
        corpus: gets the marks that are missing, nothing else.
        out: a directory; what an earlier report left there is replaced.
        where: SQL over trace columns and marks: only these traces, as in `curate.keep`.
        prices: `TEACHER=IN,OUT`, prices of a million prompt and of a million completion tokens.

    Returns:
        corpus, where, rows, problems, report, figures, arms (one mapping for each teacher, level and format).
    """
    from cotmill.comparison import read_prices, write_report

    return write_report(Path(corpus), Path(out), where=where, prices=read_prices(prices))


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


def regranularize(
    corpus: str | Path,
    levels: Sequence[int],
    *,
    how: str = "free",
    where: str | None = None,
    tries: int = 3,
    recipe: str | Path | Recipe | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Convert traces of a corpus to other levels: by joining or splitting steps, or by a recipe's teachers.

    Args:
        corpus: children are added to it, sources stay.
        levels: targets, 1..6.
        how: merge, split, free (whichever a trace needs) or teacher.
        where: SQL over trace columns and marks; default: every trace that was not converted itself.
        tries: a rewrite whose guards fail is asked for again, up to so many times in all.
        recipe: who rewrites; also whose specs say what a level is.
        overrides: of the recipe.

    Returns:
        See `cotmill.converting.convert`.
    """
    settings = {"levels": list(levels), "how": how, "where": where, "tries": tries}
    return _convert(corpus, "regranularize", settings, recipe, overrides)


def reformat(
    corpus: str | Path,
    formats: Sequence[str],
    *,
    how: str | None = None,
    to_level: int = 5,
    where: str | None = None,
    tries: int = 3,
    recipe: str | Path | Recipe | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Convert traces of a corpus to other layouts or formats, or make them longer with padding.

    Args:
        corpus: children are added to it, sources stay.
        formats: numbered, prose, equations, think, boxed, answer_line, padded, or formats that a teacher writes.
        how: free or teacher; default: free wherever there is such a way.
        to_level: of `padded`: the level whose length is aimed at.
        where: see `regranularize`, as for the rest.
        tries: likewise.
        recipe: likewise.
        overrides: likewise.

    Returns:
        See `cotmill.converting.convert`.
    """
    settings = {"formats": list(formats), "how": how, "to_level": to_level, "where": where, "tries": tries}
    return _convert(corpus, "reformat", settings, recipe, overrides)


def _convert(
    corpus: str | Path,
    kind: str,
    settings: dict[str, Any],
    recipe: str | Path | Recipe | None,
    overrides: Sequence[str],
) -> dict[str, Any]:
    from cotmill.converting import convert, make_conversion
    from cotmill.display import live

    loaded = _recipe(recipe, overrides) if recipe is not None else None
    wanted = make_conversion(kind, settings)
    with live(kind) as on_tick:
        return convert(Path(corpus), wanted, loaded, on_tick)


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
    overwrite: bool = False,
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
    report = run_training(Path(dataset), config, Path(out), overwrite=overwrite)
    return {**asdict(report), "model": str(Path(out) / report.model)}


def evaluate(
    model: str | Path,
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
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
    return asdict(run_evaluation(model, problems, loaded.evaluate, Path(out), overwrite=overwrite))


def run(recipe: str | Path | Recipe, out: str | Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Sample, curate, evaluate, train and evaluate again; stages that are done are skipped.

    Returns:
        What `out/summary.json` holds; see `cotmill.running.run`.
    """
    from cotmill.running import run as run_all

    return run_all(_recipe(recipe, overrides), Path(out))


def _recipe(recipe: str | Path | Recipe, overrides: Sequence[str]) -> Recipe:
    from cotmill.recipe import Recipe, load_recipe

    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
