"""Commands that train students and test them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cotmill.commands.base import Json, Overwrite, Set, command, print_result


@command
def train(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="What `curate` wrote, a Parquet file, USER/NAME on the Hub, or a recipe with `train.dataset`.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Directory for checkpoints and the model.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="RECIPE", help="Its `train` section; default: settings that suit the machine."
        ),
    ] = None,
    student: Annotated[
        str | None, typer.Option("--student", help="Model to fine-tune: name, Hub id or directory.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Train nothing: show rows with what carries loss, and check all of them.")
    ] = False,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows that --preview shows.")] = 3,
    push: Annotated[
        str | None, typer.Option("--push", metavar="USER/NAME", help="Upload the student to this model repository.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    set_: Set = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Teach a student a dataset with TRL."""
    from builders.errors import CotmillError
    from cotmill import api, output, render
    from cotmill.api.students import preview_training
    from training.processes import is_first

    chosen: dict[str, Any] = {"recipe": recipe, "student": student, "overrides": set_ or ()}
    if preview:
        shown = preview_training(dataset, rows=rows, **chosen)
        summary = asdict(shown)
        print_result(summary, lambda _: render.of_training_preview(shown, colour=output.in_colour()), json)
        if shown.fault:
            raise CotmillError(shown.fault)
        return
    if out is None:
        raise CotmillError("train: where to? Name a directory: --out DIR; or look first: --preview")
    summary = api.train(dataset, out, overwrite=overwrite, push=push, private=private, **chosen)
    if is_first():
        print_result(summary, render.of_training, json)


@command
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name, Hub id or directory.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Directory for results.parquet and evaluation.json.")
    ],
    problems: Annotated[
        list[str] | None,
        typer.Option(
            "--problems",
            metavar="SRC",
            help="A file, a preset, OWNER/NAME of the Hub (with :SPLIT if not test). May be repeated.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="RECIPE", help="Its `evaluate` section: problems and settings.")
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            "--probe", metavar="NAMES", help="Faithfulness probes: truncated, corrupted, filler, joined by commas."
        ),
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            "--trained-on", metavar="DATASET", help="Refuse problems that stand in this dataset. May be repeated."
        ),
    ] = None,
    allow_overlap: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-overlap",
            metavar="SOURCE",
            help="Problems of this source may have been trained on. May be repeated.",
        ),
    ] = None,
    set_: Set = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Test a model on held-out problems: accuracy with its interval."""
    from cotmill import api, render_evaluation

    summary = api.evaluate(
        model,
        out,
        problems=problems or (),
        recipe=recipe,
        probes=[name.strip() for name in (probe or "").split(",") if name.strip()],
        trained_on=trained_on or (),
        allow_overlap=allow_overlap or (),
        overrides=set_ or (),
        overwrite=overwrite,
    )
    print_result(summary, render_evaluation.of_evaluation, json)


@command
def compare(
    a: Annotated[Path, typer.Argument(metavar="RUN_A", help="An evaluation, to start from.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another one.", show_default=False)],
    common: Annotated[
        bool, typer.Option("--common", help="Compare on the problems that both have, where one has more.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare two evaluations problem by problem: difference with its interval, exact McNemar test."""
    from cotmill import api, render_evaluation

    print_result(api.compare(a, b, common=common), render_evaluation.of_paired, json)
