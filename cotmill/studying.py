"""`cotmill study`: corpora made where recipes make them, arms planned and run, results written.

    DIR/corpora/<dataset>/      of datasets that a recipe makes
    DIR/cut/<dataset>-<id>/     the traces that may be trained on, cut to common problems, and what was removed
    DIR/students/               students made on the spot
    DIR/arms/<id>/              one student each; see training.study.run
    DIR/results.parquet         a row for each arm and seed
    DIR/report.md, report.html  what came out
    DIR/study.yaml, study.json  what was asked, and the figures of the report

Everything knows by itself whether it is done, so a study that was stopped goes on, and one that is widened runs its new
arms alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from builders.corpus import Corpus
from builders.disk import replacing, write_json
from builders.errors import CotmillError, RecipeError
from builders.problems import load_all
from cotmill.output import say
from cotmill.recipe import load_file, load_recipe
from training.study.arms import Arms, make_arms
from training.study.config import StudyConfig
from training.study.costs import estimate
from training.study.run import Watch, run_arms
from training.study.students import Students


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study's YAML file.

    Raises:
        RecipeError: with every problem found; see `cotmill.recipe.load_recipe`.
    """
    try:
        return load_file(StudyConfig, path, overrides)
    except RecipeError as error:
        raise RecipeError(error.recipe, error.problems, check="cotmill study {} --out DIR --plan") from None


def plan_study(study: StudyConfig, out: Path) -> dict[str, Any]:
    """What a study would run, and what that takes. Makes no corpus and trains nothing.

    Returns:
        name, arms (factors, rows, tokens, seconds, done), left (not done), tokens and seconds (of those; null:
        unknown), not_run (what, why).

    Raises:
        CotmillError: a corpus is not there yet; the message says how to make it.
    """
    made, _ = _arms(study, out, sample=False)
    lines = estimate(study, made, out)
    left = [line for line in lines if not line["done"]]
    seconds = [line["seconds"] for line in left]
    return {
        "name": study.name,
        "arms": lines,
        "left": len(left),
        "tokens": sum(line["tokens"] for line in left),
        "seconds": None if None in seconds else round(sum(seconds), 1),
        "not_run": [{"what": one.what, "why": one.why} for one in made.not_run],
    }


def run_study(study: StudyConfig, out: Path, *, jobs: int | None = None, watch: Watch | None = None) -> dict[str, Any]:
    """Run what is not done yet, and write table and report.

    Args:
        study: what is asked for.
        out: directory of the study.
        jobs: arms at a time; null: one for each GPU, or one.
        watch: told which arm comes next.

    Returns:
        name, directory, arms (in all), ran (in this call), failed, results, report, rows (of `over_seeds`), not_run.

    Raises:
        CotmillError: see `training.study.arms.make_arms` and `training.study.run.run_arms`; or every arm failed.
        KeyboardInterrupt: interrupted; the same command goes on.
    """
    from cotmill.study_report import write_report
    from training.study import results

    made, students = _arms(study, out, sample=True)
    _keep_study(study, out)
    before = estimate(study, made, out)
    held = sum(line["done"] for line in before)
    say(f"{study.name}: {len(made.arms)} arms, {held} of them done")
    done, failed = run_arms(study, made, students, out, jobs=jobs, log=say, watch=watch)
    if not done:
        raise CotmillError(f"study {study.name}: every arm failed, the first so: {failed[0].why}")
    frame = results.table(done, study)
    results.write(frame, out)
    arms = results.over_seeds(frame, out)
    not_run = [*made.not_run, *failed]
    figures = write_report(study, frame, arms, not_run, {n: cut.problems for n, cut in made.cuts.items()}, out)
    write_json(out / "study.json", figures)
    return {
        "name": study.name,
        "directory": str(out),
        "arms": len(made.arms),
        "ran": len(done) - held,
        "failed": len(failed),
        "results": str(out / results.FILE),
        "report": str(out / "report.html"),
        "rows": arms.to_dicts(),
        "not_run": [{"what": one.what, "why": one.why} for one in not_run],
    }


def _arms(study: StudyConfig, out: Path, *, sample: bool) -> tuple[Arms, Students]:
    named = study.factors.dataset or list(study.datasets)
    named = list(dict.fromkeys([*named, *(name for arm in study.arms for name in arm.dataset or ())]))
    corpora = {name: _corpus(study, name, out, sample=sample) for name in named}
    problems = {name: load_all(study.datasets[name].problems).problems for name in named}
    refuse_overlap(study.name, corpora, problems)
    students = Students(study, corpora, out / "students")
    return make_arms(study, corpora, problems, students.identities, out / "cut"), students


def _corpus(study: StudyConfig, name: str, out: Path, *, sample: bool) -> Path:
    """The corpus of a dataset; sampled where a recipe makes it."""
    said = study.datasets[name]
    if said.corpus:
        Corpus(said.corpus)
        return said.corpus
    assert said.recipe is not None
    folder = out / "corpora" / name
    if not sample and not (folder / "corpus.json").exists():
        raise CotmillError(
            f"the corpus of {name} is not there yet, so its rows cannot be counted.\n"
            f"What it takes: cotmill check {said.recipe}\nMake it: cotmill sample {said.recipe} --out {folder}"
        )
    if sample:
        from cotmill import api
        from cotmill.converting import convert

        recipe = load_recipe(said.recipe)
        say(f"sampling {name} ...")
        if api.sample(recipe, folder)["interrupted"]:
            raise KeyboardInterrupt
        for conversion in recipe.convert:
            wanted = conversion.regranularize or conversion.reformat
            if wanted is not None and convert(folder, wanted, recipe)["interrupted"]:
                raise KeyboardInterrupt
    return folder


def refuse_overlap(name: str, corpora: Mapping[str, Path], problems: Mapping[str, pl.DataFrame]) -> None:
    """Raise when a student would be tested on what it was taught: here, before anything is trained."""
    key = pl.col("question").str.to_lowercase().str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    for dataset, path in corpora.items():
        taught = Corpus(path).problems().select(key.list.join(" ").alias("key")).collect()["key"]
        both = problems[dataset].filter(key.list.join(" ").is_in(taught.implode()))
        if both.height:
            raise CotmillError(
                f"study {name}: {both.height:,} of {problems[dataset].height:,} held-out problems of {dataset} are"
                f" also in its corpus, for example: {both['question'][0][:100]!r}.\nNothing was trained. Choose another"
                f" seed or split: datasets.{dataset}.problems"
            )


def _keep_study(study: StudyConfig, out: Path) -> None:
    with replacing(out / "study.yaml") as temporary:
        said = study.model_dump(mode="json", exclude_defaults=True)
        temporary.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
