"""The command line. A command parses, calls one function of `cotmill`, prints what it returns."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="cotmill",
    help="Build, curate, publish and train on chain-of-thought datasets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich costs 0.1 s, and --help is asked for often
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe (YAML).", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a value: --set teacher.temperature=0.2. May be repeated."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another result that is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command: its mistakes exit 2 without a traceback, Ctrl-C exits 130."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        from builders.errors import CotmillError
        from cotmill.output import only_results, say

        try:
            with only_results():
                function(*args, **kwargs)
        except CotmillError as error:
            say(f"error: {error}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # `cotmill sql ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    return app.command(function.__name__.rstrip("_"))(guarded)  # `import` is no name for a function


def _print(summary: dict[str, Any], render: Callable[[dict[str, Any]], str], json: bool) -> None:
    """The one result of a command: a JSON object, or the report for people."""
    from cotmill.output import result, result_json

    result_json(summary) if json else result(render(summary))


@command
def run(
    recipe: RecipePath,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for everything the run makes.")],
    set_: Set = None,
    json: Json = False,
) -> None:
    """Sample, curate, train and evaluate; stages that are done are skipped."""
    from cotmill import api, render

    summary = api.run(recipe, out, overrides=set_ or ())
    _print(summary, render.of_run, json)


@command
def sample(
    recipe: RecipePath,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="CORPUS", help="Corpus to write to or to go on with.")
    ] = None,
    set_: Set = None,
    preview: Annotated[
        int, typer.Option("--preview", metavar="N", help="Sample N rows, print them, write nothing.")
    ] = 0,
    json: Json = False,
) -> None:
    """Sample the traces a recipe asks for and the corpus does not hold yet."""
    from cotmill import api, render

    if preview:
        rows = api.preview(recipe, preview, overrides=set_ or ())
        _print({"rows": rows}, render.of_preview, json)
        return
    if out is None:
        raise typer.BadParameter("say where the traces go: --out CORPUS (or --preview N to write nothing)")
    summary = api.sample(recipe, out, overrides=set_ or ())
    _print(summary, render.of_sampling, json)
    if summary["interrupted"]:
        raise KeyboardInterrupt


@command
def check(recipe: RecipePath, set_: Set = None, json: Json = False) -> None:
    """Check a recipe and print its plan; nothing is asked and nothing is written."""
    from cotmill import api, render

    plan = api.check(recipe, overrides=set_ or ())
    _print(plan, render.of_plan, json)


@command
def import_(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Files, globs or OWNER/NAME of the Hub.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="CORPUS", help="Corpus to write to or to add to.")],
    teacher: Annotated[str | None, typer.Option("--teacher", help="Who wrote the traces.")] = None,
    granularity: Annotated[int | None, typer.Option("--granularity", metavar="1..6", help="Their level.")] = None,
    format: Annotated[str | None, typer.Option("--format", help="Their CoT format.")] = None,
    map_: Annotated[
        str, typer.Option("--map", metavar="ROLE=COLUMN,...", help="Columns: --map question=q,response=cot,gold=ans")
    ] = "",
    answers: Annotated[
        Path | None, typer.Option("--answers", metavar="FILE", help="Gold answers, matched by question.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Split of the Hub to read, and their split.")] = None,
    config: Annotated[str | None, typer.Option("--config", help="Configuration of a Hub dataset.")] = None,
    json: Json = False,
) -> None:
    """Import traces that others wrote: JSON, JSONL, CSV, Parquet, a Hub dataset."""
    from builders.importing import read_map
    from cotmill import api, render

    summary = api.import_traces(
        sources,
        out,
        teacher=teacher,
        granularity=granularity,
        format=format,
        columns=read_map(map_),
        answers=answers,
        split=split,
        config=config,
    )
    _print(summary, render.of_import, json)


@command
def export(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="A corpus.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="FILE.jsonl, FILE.parquet or FILE.csv.")],
    layout: Annotated[str, typer.Option("--layout", help="rows, messages, sharegpt or alpaca.")] = "rows",
    json: Json = False,
) -> None:
    """Write a corpus's traces as one file that `import` and trainers read."""
    from cotmill import api, render

    _print(api.export_traces(corpus, out, layout=layout), render.of_export, json)


Corpus_ = Annotated[Path, typer.Argument(metavar="CORPUS", help="A corpus.", show_default=False)]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="SQL", help="Which traces: \"verify.verdict = 'correct' and granularity = 6\"."),
]
Tries = Annotated[
    int, typer.Option("--tries", metavar="K", help="With a teacher: ask up to K times until the guards are content.")
]
Teachers = Annotated[
    Path | None, typer.Option("--recipe", metavar="RECIPE", help="Its teachers rewrite; its specs say what levels are.")
]


@command
def regranularize(
    corpus: Corpus_,
    level: Annotated[list[int], typer.Option("--level", metavar="1..6", help="Target level. May be repeated.")],
    how: Annotated[
        str, typer.Option("--how", help="merge, split, free (whichever a trace needs) or teacher.")
    ] = "free",
    recipe: Teachers = None,
    where: Where = None,
    tries: Tries = 3,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Convert traces to other levels: join steps, split them, or have a teacher rewrite them."""
    from cotmill import api, render

    summary = api.regranularize(corpus, level, how=how, where=where, tries=tries, recipe=recipe, overrides=set_ or ())
    _print(summary, render.of_conversion, json)
    if summary["interrupted"]:
        raise KeyboardInterrupt


@command
def reformat(
    corpus: Corpus_,
    format: Annotated[
        list[str],
        typer.Option(
            "--format",
            help="numbered, prose, equations, think, boxed, answer_line, padded, or a teacher's. May be repeated.",
        ),
    ],
    how: Annotated[
        str | None, typer.Option("--how", help="free or teacher; default: free where there is such a way.")
    ] = None,
    to_level: Annotated[
        int, typer.Option("--to-level", metavar="1..6", help="For padded: the level whose length is aimed at.")
    ] = 5,
    recipe: Teachers = None,
    where: Where = None,
    tries: Tries = 3,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Convert traces to other layouts or formats, or pad them."""
    from cotmill import api, render

    summary = api.reformat(
        corpus, format, how=how, to_level=to_level, where=where, tries=tries, recipe=recipe, overrides=set_ or ()
    )
    _print(summary, render.of_conversion, json)
    if summary["interrupted"]:
        raise KeyboardInterrupt


@command
def curate(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="A corpus.", show_default=False)],
    recipe: Annotated[Path, typer.Option("--recipe", metavar="RECIPE", help="Its `curate` section decides.")],
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="Dataset to write.")],
    set_: Set = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Mark every trace, then write kept rows, removed rows and a card."""
    from cotmill import api, render

    summary = api.curate(corpus, recipe, out, overrides=set_ or (), overwrite=overwrite)
    _print(summary, render.of_curation, json)


@command
def train(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="A dataset that `curate` wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for checkpoints and the model.")],
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="RECIPE", help="Its `train` section; default: settings that suit the machine."
        ),
    ] = None,
    student: Annotated[
        str | None, typer.Option("--student", help="Model to fine-tune: name, Hub id or directory.")
    ] = None,
    set_: Set = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Fine-tune a student on a dataset with TRL."""
    from cotmill import api, render

    summary = api.train(dataset, out, recipe=recipe, student=student, overrides=set_ or (), overwrite=overwrite)
    _print(summary, render.of_training, json)


@command
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name, Hub id or directory.", show_default=False)],
    recipe: Annotated[
        Path, typer.Option("--recipe", metavar="RECIPE", help="Its `evaluate` section names the problems.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Directory for results.parquet and evaluation.json.")
    ],
    set_: Set = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Test a model on held-out problems: accuracy with its interval."""
    from cotmill import api, render

    summary = api.evaluate(model, recipe, out, overrides=set_ or (), overwrite=overwrite)
    _print(summary, render.of_evaluation, json)


@command
def report(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="A corpus.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for report.md, pictures and tables.")],
    where: Annotated[
        str | None, typer.Option("--where", metavar="SQL", help="Only these traces: --where \"format = 'original'\".")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", metavar="TEACHER=IN,OUT", help="Price of a million tokens. May be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare the teachers of a corpus, level by level: accuracy, length, detail, wording, defects, cost."""
    from cotmill import api, render

    summary = api.report(corpus, out, where=where, prices=price or ())
    _print(summary, render.of_report, json)


@command
def sql(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A corpus, a dataset or a run.", show_default=False)],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A DuckDB query.", show_default=False)],
    format: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there instead (also .parquet).")
    ] = None,
    allow_files: Annotated[bool, typer.Option("--allow-files", help="Let the query read other files.")] = False,
) -> None:
    """Ask a corpus, a dataset or a run: views problems, traces, marks_<pass>, kept, removed."""
    from cotmill import api
    from cotmill.output import result

    if text := api.sql(directory, query, format=format, out=out, allow_files=allow_files):
        result(text)


@command
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from cotmill.output import result_json
    from cotmill.recipe import recipe_schema

    result_json(recipe_schema())


@command
def doctor(json: Json = False) -> None:
    """Say what this machine can do, and what to install for the rest."""
    from cotmill import doctor as examination
    from cotmill.output import result, result_json

    findings = examination.examine()
    result_json(findings) if json else result(examination.render(findings))


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from cotmill import __version__

        typer.echo(f"cotmill {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    app()
