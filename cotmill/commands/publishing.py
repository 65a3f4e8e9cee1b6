"""Commands that publish datasets, read them back and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotmill.commands.base import Json, Overwrite, command, print_result


@command
def publish(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset, or a run.", show_default=False)],
    repo: Annotated[
        str | None, typer.Option("--repo", metavar="USER/NAME", help="Dataset repository; made when it is missing.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository so that only you see it.")] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="BRANCH", help="Branch to push to; default: main.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="NAME", help="Name for the commit, as `v1`.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", metavar="TEXT", help="Title of the commit.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the directory alone; nothing is pushed.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="WHAT", help="`personal` or `secret`: push it to a public repository. May be repeated."
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Push a dataset to the Hugging Face Hub in one commit; only what changed is sent."""
    from cotmill import api, render_publishing

    summary = api.publish(
        dataset,
        repo,
        private=private,
        revision=revision,
        tag=tag,
        message=message,
        dry_run=dry_run,
        out=out,
        allow=allow or (),
        overwrite=overwrite,
    )
    print_result(summary, render_publishing.of_publishing, json)


@command
def verify_published(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="USER/NAME or USER/NAME@REVISION.", show_default=False)],
    full: Annotated[bool, typer.Option("--full", help="Read every file and compare its sha256, too.")] = False,
    json: Json = False,
) -> None:
    """Check a dataset on the Hub: rows, features, configs, counts and checksums. Exits 1 when something is wrong."""
    from cotmill import api, render_publishing

    found = api.verify_published(repo, full=full)
    print_result(found, render_publishing.of_verification, json)
    if found["findings"]:
        raise typer.Exit(1)


@command
def diff(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A dataset: a directory, or hf://datasets/USER/NAME[@REV].", show_default=False
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    json: Json = False,
) -> None:
    """Compare two datasets: rows added, removed and changed, and the factor table side by side."""
    from cotmill import api, render_publishing

    print_result(api.diff(a, b), render_publishing.of_diff, json)
