"""From problems and teachers to traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotmill.api.recipes import read_recipe

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

    plan = make_plan(read_recipe(recipe, overrides), assume_presets=True)
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

    return preview(read_recipe(recipe, overrides), rows)


def sample(recipe: str | Path | Recipe, out: str | Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Sample what `recipe` asks for and the corpus at `out` does not hold yet.

    Returns:
        corpus, held (traces found there), sampled, correct, judged, rejected, unanswered, tokens,
        seconds (engine start excluded), tokens_per_s, interrupted.
    """
    from cotmill.display import live
    from cotmill.sampling import sample

    loaded = read_recipe(recipe, overrides)
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


def export_dataset(
    dataset: str | Path, out: str | Path, *, to: str, config: str = "default", overwrite: bool = False
) -> dict[str, Any]:
    """Write a dataset as another tool has it: trl, trl-messages, trl-preference, llama-factory, ms-swift, open-r1 ...

    Args:
        dataset: a dataset or a run.
        out: a new directory: a file per split.
        to: see `curation.packaging.exports.FORMATS`.
        config: which of the dataset's configs.
        overwrite: replace what is at `out`.

    Returns:
        dataset, to, out, files (name -> rows).
    """
    from curation.packaging.exports import export_dataset

    return export_dataset(dataset, out, to, config=config, overwrite=overwrite)


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

    loaded = read_recipe(recipe, overrides) if recipe is not None else None
    wanted = make_conversion(kind, settings)
    with live(kind) as on_tick:
        return convert(Path(corpus), wanted, loaded, on_tick)


def run(recipe: str | Path | Recipe, out: str | Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Sample, curate, evaluate, train and evaluate again; stages that are done are skipped.

    Returns:
        What `out/summary.json` holds; see `cotmill.running.run`.
    """
    from cotmill.running import run as run_all

    return run_all(read_recipe(recipe, overrides), Path(out))
