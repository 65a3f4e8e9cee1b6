"""Commands that mark traces, decide about them and ask about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotmill.commands.base import CorpusPath, Json, Overwrite, Set, command, print_result


@command
def mark(
    corpus: CorpusPath,
    pass_: Annotated[
        list[str] | None,
        typer.Option("--pass", metavar="NAME[:KEY=VALUE,...]", help="What to mark with. May be repeated."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", metavar="RECIPE", help="The passes of its `curate` section, too.")
    ] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Mark traces with passes; marks that are there are not made again."""
    from cotmill import api, render

    summary = api.mark(corpus, pass_ or (), recipe=recipe, overrides=set_ or ())
    print_result(summary, render.of_marking, json)


@command
def passes(json: Json = False) -> None:
    """List the passes: what each marks, its parameters, where it comes from, what it costs."""
    from cotmill import api, render

    print_result({"passes": api.passes()}, render.of_passes, json)


@command
def show(
    corpus: CorpusPath,
    pass_: Annotated[str, typer.Option("--pass", metavar="NAME[:KEY=VALUE,...]", help="Whose marks.")],
    where: Annotated[
        str | None,
        typer.Option(
            "--where", metavar="SQL", help="Which traces: \"verify.verdict = 'incorrect'\"; default: notable ones."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="At most so many traces.", min=1)] = 5,
    json: Json = False,
) -> None:
    """Show what a pass marked, with the words that made the marks."""
    from cotmill import api, render

    print_result(api.show(corpus, pass_, where=where, limit=limit), render.of_show, json)


@command
def verify(
    corpus: CorpusPath,
    audit: Annotated[
        bool, typer.Option("--audit", help="Check the checker: gold against itself, tier against tier.")
    ] = False,
    sample: Annotated[int, typer.Option("--sample", metavar="N", help="Traces that the audit compares.", min=1)] = 1000,
    json: Json = False,
) -> None:
    """Verify every trace against its gold answer; --audit checks the verifier itself."""
    from cotmill import api, render, render_audit

    summary = api.verify(corpus, audit=audit, sample=sample)
    print_result(summary, render_audit.of_audit if audit else render.of_verdicts, json)
    if audit and not summary["passed"]:
        raise typer.Exit(1)


@command
def curate(
    corpus: CorpusPath,
    recipe: Annotated[Path, typer.Option("--recipe", metavar="RECIPE", help="Its `curate` section decides.")],
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="Dataset to write.")],
    set_: Set = None,
    overwrite: Overwrite = False,
    after: Annotated[
        str | None,
        typer.Option(
            "--after", metavar="DATASET", help="The version before (hf://datasets/... too): its rows keep their places."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Mark every trace, then write kept rows, removed rows and a card."""
    from cotmill import api, render

    summary = api.curate(corpus, recipe, out, overrides=set_ or (), overwrite=overwrite, after=after)
    print_result(summary, render.of_curation, json)


@command
def report(
    corpus: CorpusPath,
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
    print_result(summary, render.of_report, json)


@command
def sql(
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="A corpus, a dataset or a run; or hf://datasets/USER/NAME[@REVISION], or the URL of a Parquet file.",
            show_default=False,
        ),
    ],
    query: Annotated[
        str | None, typer.Argument(metavar="[QUERY]", help="A DuckDB query; without one, a prompt.", show_default=False)
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there instead (also .parquet).")
    ] = None,
    allow_files: Annotated[bool, typer.Option("--allow-files", help="Let the query read other files.")] = False,
) -> None:
    """Ask a corpus, a dataset or a run: views problems, traces, marks_<pass>, kept, removed."""
    from cotmill import api
    from cotmill.output import result
    from cotmill.sqlprompt import converse

    if query is None:
        if out is not None:
            raise typer.BadParameter("--out needs a query: cotmill sql DIR QUERY --out FILE")
        converse(directory, format=format, allow_files=allow_files)
        return
    if text := api.sql(directory, query, format=format, out=out, allow_files=allow_files):
        result(text)
