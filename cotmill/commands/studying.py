"""Commands that compare data by the students it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotmill.commands.base import CorpusPath, Json, Set, command, print_result


@command
def study(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study (YAML).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for arms, results and report.")],
    plan: Annotated[bool, typer.Option("--plan", help="Print arms, tokens and seconds, and stop.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            min=1,
            help="Arms at a time, each with its share of the cores or its own GPU. Default: one for each GPU, or one.",
        ),
    ] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Train and test a student for every arm of a study; arms that are done are skipped."""
    from cotmill import api, render_study

    if plan:
        print_result(api.plan_study(study, out, overrides=set_ or ()), render_study.of_plan, json)
        return
    print_result(api.study(study, out, jobs=jobs, overrides=set_ or ()), render_study.of_study, json)


@command
def advise(
    corpus: CorpusPath,
    student: Annotated[str, typer.Option("--student", help="Model to fine-tune: name, Hub id or directory.")],
    problems: Annotated[
        list[str],
        typer.Option(
            "--problems",
            metavar="SRC",
            help="Held-out problems: a file, a preset, OWNER/NAME of the Hub. May be repeated.",
        ),
    ],
    budget: Annotated[
        int, typer.Option("--budget", metavar="TOKENS", help="Tokens that pilots may be trained on.", min=1)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the pilots.")],
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="RECIPE", help="Its `curate`, `train` and `evaluate` sections."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of training.")] = 0,
    perplexity: Annotated[
        bool, typer.Option(help="Measure the student's perplexity of some traces of each arm first.")
    ] = True,
    mixture: Annotated[bool, typer.Option(help="Also try the best arms mixed.")] = True,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Find the granularity, format and teacher that suit a student, with small pilots."""
    from cotmill import api, render_study

    summary = api.advise(
        corpus,
        student=student,
        problems=problems,
        budget=budget,
        out=out,
        recipe=recipe,
        seed=seed,
        perplexity=perplexity,
        mixture=mixture,
        overrides=set_ or (),
    )
    print_result(summary, render_study.of_advice, json)
