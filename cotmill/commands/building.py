"""Commands that make traces: sample, import, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotmill.commands.base import CorpusPath, Json, Overwrite, RecipePath, Set, command, print_result


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
    print_result(summary, render.of_run, json)


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
        print_result({"rows": rows}, render.of_preview, json)
        return
    if out is None:
        raise typer.BadParameter("say where the traces go: --out CORPUS (or --preview N to write nothing)")
    summary = api.sample(recipe, out, overrides=set_ or ())
    print_result(summary, render.of_sampling, json)
    if summary["interrupted"]:
        raise KeyboardInterrupt


@command
def check(recipe: RecipePath, set_: Set = None, json: Json = False) -> None:
    """Check a recipe and print its plan; nothing is asked and nothing is written."""
    from cotmill import api, render

    plan = api.check(recipe, overrides=set_ or ())
    print_result(plan, render.of_plan, json)


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
    print_result(summary, render.of_import, json)


@command
def export(
    source: Annotated[
        Path, typer.Argument(metavar="CORPUS_OR_DATASET", help="A corpus, a dataset or a run.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="PATH", help="Of a corpus FILE.jsonl, FILE.parquet or FILE.csv; of a dataset a directory."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Of a dataset: trl, trl-messages, trl-preference, llama-factory, ms-swift, open-r1 or openthoughts.",
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", help="Of a corpus: rows (the default), messages, sharegpt or alpaca.")
    ] = None,
    config: Annotated[str, typer.Option("--config", help="Which of a dataset's configs.")] = "default",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a dataset as trainers have it, or a corpus's traces as one file that `import` reads."""
    from cotmill import api, render

    if (source / "corpus.json").is_file() or (to is None and layout is not None):
        print_result(api.export_traces(source, out, layout=layout or to or "rows"), render.of_export, json)
        return
    if to is None:
        raise typer.BadParameter("say what for: --to trl, llama-factory, ms-swift, open-r1 ...")
    summary = api.export_dataset(source, out, to=to, config=config, overwrite=overwrite)
    print_result(summary, render.of_dataset_export, json)


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
    corpus: CorpusPath,
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
    print_result(summary, render.of_conversion, json)
    if summary["interrupted"]:
        raise KeyboardInterrupt


@command
def reformat(
    corpus: CorpusPath,
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
    print_result(summary, render.of_conversion, json)
    if summary["interrupted"]:
        raise KeyboardInterrupt
