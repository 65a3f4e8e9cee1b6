"""The command that writes and checks cards of datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotmill.commands.base import Json, command, print_result


@command
def card(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset, or a run.", show_default=False)],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: hold the card against the data. Exits 1 when they disagree.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the card of a dataset anew: README.md, croissant.json and pictures."""
    from cotmill import api, render_carding

    summary = api.card(dataset, check=check)
    print_result(summary, render_carding.of_card, json)
    if summary["findings"]:
        raise typer.Exit(1)
