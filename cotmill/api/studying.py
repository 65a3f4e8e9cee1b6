"""Which data made the difference: studies, and advice for one student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.study.config import StudyConfig


def study(
    study: str | Path | StudyConfig, out: str | Path, *, jobs: int | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Run the arms of a study that are not done yet, and write `results.parquet`, `report.md` and `report.html`.

    Args:
        study: a YAML file, or the thing itself.
        out: directory of the study.
        jobs: arms at a time, each with its share of the cores or its own GPU; null: one for each GPU, or one.
        overrides: `key.path=value`, of a file.

    Returns:
        See `cotmill.studying.run_study`.
    """
    from cotmill.display import arms_bar
    from cotmill.studying import run_study

    with arms_bar() as watch:
        return run_study(_read(study, overrides), Path(out), jobs=jobs, watch=watch)


def plan_study(study: str | Path | StudyConfig, out: str | Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What a study would run, and what that takes; trains nothing. See `cotmill.studying.plan_study`."""
    from cotmill.studying import plan_study

    return plan_study(_read(study, overrides), Path(out))


def advise(
    corpus: str | Path,
    *,
    student: str,
    problems: Sequence[str],
    budget: int,
    out: str | Path,
    recipe: str | Path | None = None,
    seed: int = 0,
    perplexity: bool = True,
    mixture: bool = True,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Find the granularity, format and teacher that suit a student, with small pilots in place of the full grid.

    Args:
        corpus: where traces come from.
        student: name, Hub id or directory.
        problems: held-out problems: files, presets, Hub datasets; see `cotmill.sources.source_of`.
        budget: tokens that pilots may be trained on, all together.
        out: directory for the pilots; what is done there is not done again.
        recipe: its `curate`, `train` and `evaluate` sections; default: settings that suit the machine.
        seed: of training.
        perplexity: whether the student's perplexity of some traces of each arm is measured first.
        mixture: whether the finalists are also tried mixed.
        overrides: of the recipe.

    Returns:
        See `cotmill.advising.advise`.
    """
    from cotmill.advising import advise as run

    return run(
        Path(corpus),
        student=student,
        problems=problems,
        budget=budget,
        out=Path(out),
        recipe=recipe,
        seed=seed,
        perplexity=perplexity,
        mixture=mixture,
        overrides=overrides,
    )


def _read(study: str | Path | StudyConfig, overrides: Sequence[str]) -> StudyConfig:
    from cotmill.studying import load_study
    from training.study.config import StudyConfig

    return study if isinstance(study, StudyConfig) else load_study(study, overrides)
