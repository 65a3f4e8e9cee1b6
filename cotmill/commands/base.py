"""What all commands share: how one is registered, how it ends, and the options that several have."""

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

RecipePath = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="A recipe (YAML), or hf://datasets/USER/NAME.", show_default=False),
]
CorpusPath = Annotated[Path, typer.Argument(metavar="CORPUS", help="A corpus.", show_default=False)]
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

    name = function.__name__.rstrip("_").replace("_", "-")  # neither `import` nor `verify-published` names a function
    return app.command(name)(guarded)


def print_result(summary: dict[str, Any], render: Callable[[dict[str, Any]], str], json: bool) -> None:
    """The one result of a command: a JSON object, or the report for people."""
    from cotmill.output import result, result_json

    result_json(summary) if json else result(render(summary))


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from cotmill import __version__

        typer.echo(f"cotmill {__version__}")
        raise typer.Exit
