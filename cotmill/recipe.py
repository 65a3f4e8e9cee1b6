"""A recipe: one YAML file that says where problems come from and what becomes of them.

The models here and in the packages below are the documentation: YAML keys, `--set` paths,
`cotmill schema` and docs/recipes.md all derive from them.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails

from builders.config import AnyTeacher, Config, ProblemSource, SampleConfig
from builders.errors import RecipeError
from builders.yaml import read_yaml
from curation.config import CurateConfig
from curation.convert.config import Conversion
from training.config import EvaluateConfig, TrainConfig


class HeldOut(EvaluateConfig):
    """How the student is tested, and on what."""

    problems: list[ProblemSource]
    """Problems that no training row may hold; one source or a list."""


class Recipe(Config):
    """Problems, teachers, sampling, curation, training, evaluation: each stage one section."""

    name: str
    """Short name; used in cards and reports."""
    description: str = ""
    """What it is for, in a sentence."""
    seed: int = 0
    """Base seed of sampling; part of every trace's identity."""
    problems: list[ProblemSource] = []
    """Where problems come from; one source or a list. Sampling needs it, curating a corpus does not."""
    teacher: list[AnyTeacher] = []
    """Who answers; one teacher or a list. Sampling needs it, curating a corpus does not."""
    sample: SampleConfig = SampleConfig()
    """How much to ask, and in which forms."""
    convert: list[Conversion] = []
    """Conversions of what was sampled, in order; children stand beside their sources."""
    curate: CurateConfig = CurateConfig()
    """What is marked, and which marks decide."""
    train: TrainConfig | None = None
    """The student; without it `cotmill run` ends with the dataset."""
    evaluate: HeldOut | None = None
    """Held-out problems; the student is tested before and after training."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = {k: [v] if k in ("problems", "teacher") and isinstance(v, dict) else v for k, v in data.items()}
        if isinstance(data.get("evaluate"), dict) and isinstance(data["evaluate"].get("problems"), dict):
            data["evaluate"] = {**data["evaluate"], "problems": [data["evaluate"]["problems"]]}
        return data


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key.path=value` overrides (values are YAML).

    File paths inside a recipe are taken from the recipe's own directory where they exist there.

    Raises:
        RecipeError: with every problem found: no such file, not YAML, unknown keys (with the nearest
            known one), values out of range, overrides that lead nowhere.
    """
    return load_file(Recipe, path, overrides)


M = TypeVar("M", bound=Config)


def load_file(model: type[M], path: str | Path, overrides: Sequence[str] = ()) -> M:
    """Read a YAML file of any kind; see `load_recipe`.

    Raises:
        RecipeError: see `load_recipe`.
    """
    path = Path(path)
    try:
        data = read_yaml(path.read_text())
    except FileNotFoundError:
        near = ", ".join(sorted(str(p) for p in path.parent.glob("*.yaml"))[:5]) if path.parent.is_dir() else ""
        hint = f"in that directory: {near}" if near else f"and no recipe in {path.parent}"
        raise RecipeError(str(path), [f"no such file; {hint}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise RecipeError(str(path), [f"not a YAML file: {error}"]) from None
    if not isinstance(data, dict):
        raise RecipeError(str(path), [f"holds a {type(data).__name__}, not a mapping of sections"])
    return _validate(model, _absolute(data, path.parent), overrides, str(path))


def load_training(overrides: Sequence[str] = ()) -> TrainConfig:
    """The `train` section made of defaults and `train.key=value` overrides alone, without a recipe.

    Raises:
        RecipeError: see `load_recipe`.
    """
    return _validate(_TrainingAlone, {"train": {}}, overrides, "train").train


class _TrainingAlone(Config):
    train: TrainConfig


def load_evaluation(problems: Sequence[Mapping[str, Any]], overrides: Sequence[str] = ()) -> HeldOut:
    """The `evaluate` section made of problem sources and `evaluate.key=value` overrides alone, without a recipe.

    Raises:
        RecipeError: see `load_recipe`.
    """
    data = {"evaluate": {"problems": [dict(source) for source in problems]}}
    return _validate(_EvaluationAlone, data, overrides, "evaluate").evaluate


class _EvaluationAlone(Config):
    evaluate: HeldOut


def _validate(model: type[M], data: dict[str, Any], overrides: Sequence[str], name: str) -> M:
    problems = [fault for text in overrides if (fault := _override(data, text))]
    try:
        made = model.model_validate(data)
    except ValidationError as error:
        problems += [_explain(e, model) for e in error.errors()]
    if problems:
        raise RecipeError(name, problems)
    return made


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors; descriptions are the strings below the fields."""
    schema = Recipe.model_json_schema()
    models = {model.__name__: model for model in _all_models(Recipe)}
    for name, part in {**schema.get("$defs", {}), "Recipe": schema}.items():
        for key, text in _field_docs(models[name]).items() if name in models else ():
            if key in part.get("properties", {}):
                part["properties"][key].setdefault("description", text)
        for key in _ONE_IS_A_LIST & part.get("properties", {}).keys():
            field = part["properties"][key]
            array = {"type": field.pop("type"), "items": field.pop("items")}
            field["anyOf"] = [array, array["items"]]
    return schema


_ONE_IS_A_LIST = {"problems", "teacher", "path"}
"""Keys that take one thing for a list of one; validators say so, which a JSON Schema cannot see."""


def _field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the string below it, of a model and its bases."""
    docs: dict[str, str] = {}
    for base in reversed([c for c in model.__mro__ if issubclass(c, Config) and c is not Config]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in itertools.pairwise(body.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = inspect.cleandoc(text)
    return docs


def _all_models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and all it holds, at any depth."""
    inner = {m for field in model.model_fields.values() for m in _models(field.annotation)}
    return {model}.union(*map(_all_models, inner))


def _override(data: dict[str, Any], text: str) -> str | None:
    """Apply one `a.b.0.c=value` in place; returns what is wrong with it."""
    key, equals, value = text.partition("=")
    if not equals:
        return f"--set {text}: write it as key=value"
    *parents, last = key.split(".")
    target: Any = data
    try:
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target.setdefault(step, {})
        if isinstance(target, list):
            target[int(last)] = read_yaml(value)
        elif isinstance(target, dict):
            target[last] = read_yaml(value)
        else:
            return f"--set {text}: `{'.'.join(parents)}` is the value {target!r} and has no keys"
    except (ValueError, IndexError):
        return f"--set {text}: there is a list of {len(target)} on the way; say which, as in `{parents[0]}.0.…`"
    except (AttributeError, TypeError):
        return f"--set {text}: `{'.'.join(parents)}` is not a mapping"
    except yaml.YAMLError:
        return f"--set {text}: {value!r} is not a YAML value"
    return None


_PATH_KEYS = {"path", "specs", "select", "dataset", "corpus", "recipe"}


def _absolute(node: Any, base: Path) -> Any:
    """Let file paths that exist beside the recipe mean those."""
    if isinstance(node, list):
        return [_absolute(item, base) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _beside(value, base) if key in _PATH_KEYS else _absolute(value, base) for key, value in node.items()}


def _beside(value: Any, base: Path) -> Any:
    if isinstance(value, list):
        return [_beside(item, base) for item in value]
    if isinstance(value, str) and not Path(value).is_absolute() and any(base.glob(value)):
        return str(base / value)
    return value


def _explain(error: ErrorDetails, model: type[BaseModel]) -> str:
    """One line for one pydantic error: where, what, and the nearest known key."""
    location = [part for part in error["loc"] if part not in _TAGS]
    where = ".".join(map(str, location)) or "the recipe"
    match error["type"]:
        case "extra_forbidden":
            known = sorted(_keys_at(error["loc"][:-1], model))
            near = difflib.get_close_matches(str(location[-1]), known, n=1)
            guess = f" (did you mean `{near[0]}`?)" if near else ""
            return f"{where}: no such key{guess}; known: {', '.join(known)}"
        case "missing":
            return f"{where}: missing, and there is no default"
        case "union_tag_invalid" | "union_tag_not_found":
            context = error.get("ctx", {})
            key = context.get("discriminator", "kind").strip("'")
            said = f"{context['tag']!r} is none of" if "tag" in context else "missing; one of"
            return f"{where}.{key}: {said} {context.get('expected_tags', ', '.join(sorted(_TAGS)))}"
    return f"{where}: {error['msg'].removeprefix('Value error, ')} (it is {_short(error['input'])})"


_TAGS = {"words", "arithmetic", "gym", "file", "hub", "preset", "vllm", "server", "scripted", "reference"}
"""Discriminators, which pydantic puts into error locations and a recipe does not write there."""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(location: Iterable[int | str], model: type[BaseModel]) -> set[str]:
    """The keys a file may have at a location of a validation error."""
    models: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        if part in _TAGS:
            models = [m for m in models if part in _literals(m)] or models
        else:
            found = [
                m
                for model in models
                if part in model.model_fields
                for m in _models(model.model_fields[part].annotation)
            ]
            models = found or models  # a name in a mapping of models is no field
    return {name for model in models for name in model.model_fields}


def _literals(model: type[BaseModel]) -> set[str]:
    return {
        str(value)
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is Literal
        for value in typing.get_args(field.annotation)
    }


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models named anywhere inside an annotation."""
    if parts := typing.get_args(annotation):
        return [model for part in parts for model in _models(part)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def as_mapping(recipe: Recipe) -> Mapping[str, Any]:
    """The resolved recipe as plain data: what `recipe.yaml` beside a run holds."""
    return recipe.model_dump(mode="json", exclude_defaults=True)
