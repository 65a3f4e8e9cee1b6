"""Commands about the installation."""

from __future__ import annotations

from cotmill.commands.base import Json, command


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
