"""Writes docs/reference/: every key of a recipe and every option of a command, from the code itself.

    python -m docs.reference

What is written depends on the code alone, so a test can say whether it is up to date. Explanations
and examples are not here but in the pages written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- Written by `make docs`. Change the code, not this page. -->"
Schema = Mapping[str, Any]


def recipe_page(schema: Schema) -> str:
    """Every key of a recipe, section by section.

    Args:
        schema: the JSON Schema of `cotmill.recipe.recipe_schema()`.
    """
    parts = [
        f"# Recipe keys\n\n{MADE}\n",
        "Any key can be given on the command line: `--set sample.n=4`. In a list, the place is a number from 0:\n"
        "`--set teacher.0.temperature=0.2`. Examples: [recipes](../recipes.md). `cotmill schema` prints the same as\n"
        "JSON Schema, for editors.\n",
        *_sections("recipe", schema, schema["$defs"], {}, 2),
        _passes(),
    ]
    return "\n".join(parts)


def cli_page(commands: Mapping[str, Any]) -> str:
    """Every command with its arguments and options.

    Args:
        commands: name -> Click command.
    """
    parts = [f"# Commands and options\n\n{MADE}\n", "What they are for: [command line](../cli.md).\n"]
    for name, made in commands.items():
        given = [p for p in made.params if not p.opts[0].startswith("-")]
        options = [p for p in made.params if p.opts[0].startswith("-")]
        usage = " ".join([f"cotmill {name}", *(p.metavar for p in given), *(_usage(p) for p in options)])
        rows = [(f"`{p.metavar}`", "required" if p.required else "", _prose(p.help or "")) for p in given]
        rows += [(f"`{_spelt(p)}`", _default(p), _prose(p.help or "")) for p in options]
        parts += [
            f"## cotmill {name}\n\n{_prose(made.help)}\n\n```text\n{usage}\n```\n",
            _table(("argument or option", "default", "meaning"), rows),
        ]
    return "\n".join(parts)


Places = dict[str, str]
"""Name of a model -> heading of its section."""


def _sections(path: str, model: Schema, models: Mapping[str, Schema], seen: Places, depth: int) -> Iterator[str]:
    """The section of one model, then those of the models in it; a model met again is only linked to."""
    yield f"{'#' * depth} {path}\n\n{_prose(model.get('description', ''))}\n"
    required, below, rows = model.get("required", ()), [], []
    for key, said in sorted(model["properties"].items(), key=lambda item: _rank(item, required)):
        field = _as_list(said)
        at = key if path == "recipe" else f"{path.partition(' (')[0]}.{key}"
        for name, heading in _models(field, at, models):
            if name not in seen:
                seen[name] = heading
                below.append(name)
        default = "required" if key in required else _value(field)
        rows.append((f"`{key}`", _type(field, seen), default, _prose(field.get("description", ""))))
    yield _table(("key", "type", "default", "meaning"), rows)
    for name in below:
        yield from _sections(seen[name], models[name], models, seen, min(depth + (path != "recipe"), 4))


def _as_list(field: Schema) -> Schema:
    """A field that takes one thing or a list of them, as the list; its description says the rest."""
    match field.get("anyOf"):
        case [{"items": inner} as array, one] if inner == one:
            return {**field, **array, "anyOf": ()}
    return field


def _rank(item: tuple[str, Schema], required: Collection[str]) -> int:
    """What says which model it is stands first, then what is required, then the rest as in the code."""
    return 0 if "const" in item[1] else 1 if item[0] in required else 2


def _models(field: Schema, at: str, models: Mapping[str, Schema]) -> Iterator[tuple[str, str]]:
    """Names of the models that a field may hold, each with the heading of its section."""
    for part in (field, field.get("items", {})):
        tag = part.get("discriminator", {}).get("propertyName")
        for option in [part, *part.get("anyOf", ()), *part.get("oneOf", ())]:
            if "$ref" in option:
                name = option["$ref"].rpartition("/")[2]
                yield name, f"{at} ({tag}: {models[name]['properties'][tag]['const']})" if tag else at


def _type(field: Schema, seen: Places) -> str:
    """A field's type in words."""
    if "$ref" in field:
        heading = seen[field["$ref"].rpartition("/")[2]]
        return f"[{heading.rpartition(': ')[2].rstrip(')')}](#{slug(heading)})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(_type(option, seen) for option in options)
    if "prefixItems" in field:
        return f"list: {', '.join(_type(item, seen) for item in field['prefixItems'])}"
    match field.get("type"):
        case "array":
            inner = _type(field["items"], seen)
            return f"list of ({inner})" if " or " in inner else f"list of {inner}"
        case "object":
            keys, values = field.get("propertyNames"), field.get("additionalProperties")
            said = f"mapping from ({_type(keys, seen)})" if keys else "mapping"
            return f"{said} to {_type(values, seen)}" if isinstance(values, dict) and values else said
        case "integer" | "number" as kind:
            return f"{kind}{_range(field)}"
        case "string":
            return "path" if field.get("format") == "path" else "text"
        case "boolean":
            return "true or false"
        case "null":
            return "null"
    return "anything"


def _range(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f" {low:g} to {high:g}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {field[bound]:g}" for bound, sign in signs.items() if bound in field]
    return f" {', '.join(bounds)}" if bounds else ""


def _value(field: Schema) -> str:
    """A default as one would write it in YAML; that of a section is in the section's own table."""
    if "default" not in field:
        return ""
    return "see there" if "$ref" in field else f"`{json.dumps(field['default'], ensure_ascii=False)}`"


def _passes() -> str:
    """The passes that `curate.passes` may name, with their parameters."""
    from curation.passes import PASSES, defaults

    rows = []
    for name, kind in sorted(PASSES.items()):
        said = ", ".join(f"`{key}` (`{json.dumps(value)}`)" for key, value in defaults(kind).items())
        summary = _prose((kind.__doc__ or "").partition("\n\n")[0])
        rows.append((f"`{name}`", ", ".join(f"`{name}.{mark}`" for mark in kind.marks), said or "none", summary))
    return "## Passes\n\nWhat `curate.passes` can name.\n\n" + _table(
        ("pass", "marks, as `keep` names them", "parameters (default)", "meaning"), rows
    )


def _usage(option: Any) -> str:
    said = _spelt(option)
    return said if option.required else f"[{said}]"


def _spelt(option: Any) -> str:
    name = ", ".join(option.opts)
    return name if option.is_flag else f"{name} {option.metavar or option.name.upper()}"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    return f"`{option.default}`" if option.default else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows] if rows else []
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _prose(text: str) -> str:
    """On one line; outside of code, `<` is no HTML."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def pages() -> dict[str, str]:
    """File name -> text."""
    import typer

    from cotmill.cli import app
    from cotmill.recipe import recipe_schema

    commands: Any = typer.main.get_command(app)
    return {"recipe.md": recipe_page(recipe_schema()), "cli.md": cli_page(commands.commands)}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
