"""What a level, a format, a task family is: the models of the files in `builders/specs/`, and of your own.

A file of your own may hold any of the sections. An entry with a known key (a level's number, a
name) takes the place of the shipped one; any other is added. What is wrong with a file is said
all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from builders.config import Config
from builders.errors import SourceError
from builders.schema import AnswerType
from builders.yaml import read_yaml

Text = Annotated[str, Field(pattern=r"\S")]
"""A text that says something."""


class Family(Config):
    """A kind of task: the problems its exemplars solve, and the answer types that belong to it."""

    answer_types: list[AnswerType]
    """Problems of these answer types belong to the family; the first family that fits is taken."""
    questions: list[Text]
    """Exemplar questions, as a problem would be rendered."""


class Band(Config):
    """What is aimed at: lowest and highest count, both included. Never sent, so no part of identity."""

    steps: tuple[Annotated[int, Field(ge=1)], int]
    """Steps of a trace, the answer line not among them."""
    words: tuple[Annotated[int, Field(ge=1)], int]
    """Words of a trace, cut at white space, the answer line among them."""

    @model_validator(mode="after")
    def _low_comes_first(self) -> Band:
        if wrong := [name for name, (low, high) in self if low > high]:
            raise ValueError(f"{' and '.join(wrong)}: the lowest count is above the highest")
        return self


class LevelSpec(Config):
    """One granularity level."""

    level: Annotated[int, Field(ge=1, le=6)]
    """1 coarsest .. 6 finest."""
    name: str = ""
    """For people."""
    instruction: Text
    """Sent as (part of) the system message."""
    traces: dict[str, list[Text]] = {}
    """Exemplar traces per family, one for each of the family's questions."""
    band: Band | None = None
    """Target; null: none."""


class FormatSpec(Config):
    """One CoT format."""

    format: Text
    """Name, as written into the `format` column."""
    instruction: str
    """Added to the level's instruction; empty: nothing is added."""
    traces: dict[str, list[Text]] = {}
    """Exemplar traces per family; when present they replace the level's."""
    band: Band | None = None
    """Target at any level; null: none."""


class ControlSpec(Config):
    """A control arm: text that differs from a level in one respect only."""

    instruction: Text
    """What a teacher is asked to do with a trace."""
    traces: dict[str, list[Text]] = {}
    """Exemplar traces per family, one for each of the family's questions."""
    band: Band | None = None
    """Target; null: none."""


class Asking(Config):
    """Words that ask for something else than one level or format."""

    joint: Text
    """System message of a call for all levels; `{keys}` is filled in."""
    joint_level: Text
    """One line for each level of such a call; `{key}` and `{instruction}` are filled in."""
    joint_layout: Text
    """Shows a format in such a call; `{question}` and `{trace}` of its first exemplar are filled in."""
    gold_shown: Text
    """Follows the question when the teacher is told the answer; `{gold}` is filled in."""

    @model_validator(mode="after")
    def _has_places(self) -> Asking:
        places = {
            "joint": ["{keys}"],
            "joint_level": ["{key}", "{instruction}"],
            "joint_layout": ["{question}", "{trace}"],
            "gold_shown": ["{gold}"],
        }
        missing = [
            f"{name} lacks {p}" for name, needed in places.items() for p in needed if p not in getattr(self, name)
        ]
        if missing:
            raise ValueError(", ".join(missing))
        return self


class Rewriting(Config):
    """How a teacher is asked to write a trace again."""

    start: Annotated[int, Field(ge=1, le=6, alias="from")]
    """Level of the exemplar traces that are rewritten."""
    text: Text
    """What is asked for; `{instruction}` of the target is filled in."""

    @model_validator(mode="after")
    def _has_a_place(self) -> Rewriting:
        if "{instruction}" not in self.text:
            raise ValueError("text lacks {instruction}")
        return self


class Converting(Config):
    """Words for conversions of traces."""

    finer: Rewriting
    """To a finer level."""
    coarser: Rewriting
    """To a coarser level."""
    level: Rewriting
    """To a level, where that of the trace is not known."""
    format: Rewriting
    """To another format."""
    padding: Rewriting
    """To the control arm `padding`."""
    exemplars: Annotated[int, Field(ge=0)]
    """How many are shown at most."""
    plain: dict[str, Text]
    """What a conversion without a model is recorded as having been asked, by its name."""
    filler: Annotated[list[Text], Field(min_length=8)]
    """Sentences for padding."""


class Specs(Config):
    """Everything one can ask for. A file of your own may hold any of the sections."""

    families: dict[str, Family] = {}
    """Kinds of task."""
    levels: list[LevelSpec] = []
    """Granularity levels."""
    formats: list[FormatSpec] = []
    """CoT formats."""
    controls: dict[str, ControlSpec] = {}
    """Control arms, made by converting traces."""
    asking: Asking | None = None
    """Words that ask for something else than one level or format."""
    convert: Converting | None = None
    """Words for conversions of traces."""


@cache
def shipped_specs() -> Specs:
    """The specs that come with the package."""
    folder = files("builders") / "specs"
    names = ("granularity.yaml", "formats.yaml", "asking.yaml", "convert.yaml")
    sections: dict[str, Any] = {}
    for name in names:
        sections |= read_yaml((folder / name).read_text())
    return Specs(**sections)


def load_specs(path: Path | None) -> Specs:
    """The shipped specs, with the entries of the file at `path` in place of theirs or beside them.

    Raises:
        SourceError: the file is missing, not YAML, or says something that cannot be; all faults at once.
    """
    if path is None:
        return shipped_specs()
    try:
        own = read_yaml(path.read_text())
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file of level and format specs (sample.specs).") from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise SourceError(f"{path} is not a YAML mapping of specs: {error}") from None
    if not isinstance(own, dict):
        raise SourceError(f"{path} is not a YAML mapping of specs: it holds a {type(own).__name__}.")
    shipped = shipped_specs()
    if isinstance(own.get("asking"), dict) and shipped.asking:  # its texts stand each for itself
        own = {**own, "asking": {**shipped.asking.model_dump(), **own["asking"]}}
    if isinstance(own.get("convert"), dict) and shipped.convert:
        own = {**own, "convert": {**shipped.convert.model_dump(by_alias=True), **own["convert"]}}
    specs, faults = _read(own)
    merged = _merge(shipped, specs)
    faults += clashes(merged)
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise SourceError(f"{path} is not a file of specs:\n{lines}\nKnown sections: {', '.join(Specs.model_fields)}.")
    return merged


def _read(data: Mapping[str, Any]) -> tuple[Specs, list[str]]:
    """The entries that are well formed, and what is wrong with the others."""
    try:
        return Specs.model_validate(data), []
    except ValidationError as error:
        found = error.errors()
    faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in found]
    bad = {e["loc"][:2] for e in found}
    return Specs.model_validate(
        {name: _without(name, entries, bad) for name, entries in data.items() if _kept(name, bad)}
    ), faults


def _kept(section: str, bad: set[tuple[int | str, ...]]) -> bool:
    """Whether a section is well formed apart from single entries."""
    return section in ("families", "levels", "formats", "controls") and (section,) not in bad


def _without(section: str, entries: Any, bad: set[tuple[int | str, ...]]) -> Any:
    if isinstance(entries, list):
        return [entry for i, entry in enumerate(entries) if (section, i) not in bad]
    return {name: entry for name, entry in entries.items() if (section, name) not in bad}


def _merge(shipped: Specs, own: Specs) -> Specs:
    """Own families come first: a problem belongs to the first family that lists its answer type."""
    return Specs(
        families={**own.families, **{k: v for k, v in shipped.families.items() if k not in own.families}},
        levels=sorted({s.level: s for s in [*shipped.levels, *own.levels]}.values(), key=lambda s: s.level),
        formats=list({s.format: s for s in [*shipped.formats, *own.formats]}.values()),
        controls={**shipped.controls, **own.controls},
        asking=own.asking or shipped.asking,
        convert=own.convert or shipped.convert,
    )


def clashes(specs: Specs) -> list[str]:
    """What does not fit together, one line each: exemplars without a question, bands that fall."""
    named: list[tuple[str, LevelSpec | FormatSpec | ControlSpec]] = [
        *((f"level {s.level}", s) for s in specs.levels),
        *((f"format {s.format}", s) for s in specs.formats),
        *((f"control {name}", s) for name, s in specs.controls.items()),
    ]
    found = []
    for what, spec in named:
        for family, traces in spec.traces.items():
            if family not in specs.families:
                found.append(f"{what}: no family `{family}` (known: {', '.join(specs.families)})")
            elif len(traces) != (count := len(specs.families[family].questions)):
                found.append(f"{what}: {len(traces)} traces for the {count} questions of {family}")
    return found + _falling(specs.levels)


def _falling(levels: Sequence[LevelSpec]) -> list[str]:
    """Bands of a finer level that lie lower than those of the coarser level before."""
    found = []
    banded = [(s.level, s.band) for s in levels if s.band]
    for (below, coarse), (above, fine) in pairwise(banded):
        for what, low, high in (("steps", coarse.steps, fine.steps), ("words", coarse.words, fine.words)):
            if high[0] < low[0] or high[1] < low[1]:
                found.append(f"level {above}: its band of {what} {list(high)} lies below level {below}'s {list(low)}")
    return found
