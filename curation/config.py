"""What a recipe can say about curation. Attribute docstrings are the manual."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from builders.config import Config
from builders.errors import CotmillError
from curation.passes import Pass, parse_pass

Split = Literal["train", "validation", "test"]
Factor = Literal["teacher", "granularity", "format"]


class PerProblem(Config):
    """How many traces of one problem are kept, and which."""

    max: int = Field(ge=1)
    """At most so many per problem."""
    rule: Literal["first", "shortest", "longest", "random"] = "first"
    """`first` by sample index; `shortest` and `longest` by completion tokens; `random` by a hash of the trace's id."""
    seed: int = 0
    """Another seed, another random choice."""


class CurateConfig(Config):
    """What is marked, and which marks decide."""

    passes: list[str | dict[str, dict[str, Any]]] = ["verify"]
    """Passes to run: a name, `name:parameter=value`, or `{name: {parameter: value}}`."""
    keep: str | list[str] = "verify.verdict = 'correct'"
    """SQL conditions over trace columns and marks (`verify.verdict = 'correct' and granularity <= 2`). A row stays when
    all of them are true; a removed row names the first that is not."""
    dedup: bool = True
    """Of traces of one problem with the very same text, keep one."""
    per_problem: PerProblem | None = None
    """Keep no more than so many traces of a problem; null: all of them."""
    common: list[Factor] | dict[Factor, list[int | str | None]] = []
    """Keep only problems with a kept trace in every combination of these columns, so that all of them have the same
    problems. The combinations are those that occur among kept traces; or, of a mapping such as
    `{teacher: [a, b], granularity: [1, 6]}`, those of the values it lists. Levels of one teacher may share texts: set
    `dedup: false` beside it, or a problem is lost with its duplicate."""
    prompt: str = "{question}"
    """The user turn a student is trained with. `{question}` is the question with its choices."""
    completion: Literal["response", "answer"] = "response"
    """What a student learns to say: the whole response, or the part behind the reasoning."""
    splits: dict[Split, float] = {"train": 1.0}
    """Shares of the problems, together 1. A problem is in one split with all its traces."""
    split_seed: int = 0
    """Another seed assigns problems to splits anew."""
    license: str | None = None
    """Of the dataset, as an SPDX id, for its card; null: the card names none."""
    language: list[str] = ["en"]
    """ISO 639 codes, for the card."""

    @field_validator("passes")
    @classmethod
    def _passes_exist(cls, value: list[str | dict[str, dict[str, Any]]]) -> list[str | dict[str, dict[str, Any]]]:
        try:
            names = [parse_pass(said).name for said in value]
        except CotmillError as error:
            raise ValueError(str(error)) from None
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"pass `{twice.pop()}` is named twice; marks are told apart by the name of their pass")
        return value

    @field_validator("prompt")
    @classmethod
    def _prompt_asks(cls, value: str) -> str:
        if "{question}" not in value:
            raise ValueError("a prompt without `{question}` asks nothing")
        return value

    @field_validator("common")
    @classmethod
    def _levels_are_numbers(
        cls, value: list[Factor] | dict[Factor, list[int | str | None]]
    ) -> list[Factor] | dict[Factor, list[int | str | None]]:
        for name, listed in value.items() if isinstance(value, dict) else ():
            kind = int if name == "granularity" else str
            if wrong := [v for v in listed if not isinstance(v, kind | None)]:
                raise ValueError(f"{name} is {'a level from 1 to 6' if kind is int else 'a name'}, not {wrong[0]!r}")
            if not listed:
                raise ValueError(f"{name} lists no value; name some, or leave it out")
        return value

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Self:
        total = sum(self.splits.values())
        if any(share < 0 for share in self.splits.values()) or abs(total - 1) > 1e-6:
            raise ValueError(f"splits: shares must be at least 0 and add up to 1; they add up to {total:g}")
        return self

    def made_passes(self) -> list[Pass]:
        """The passes, ready to run."""
        return [parse_pass(said) for said in self.passes]

    def conditions(self) -> list[str]:
        """The conditions of `keep`, in order."""
        return [self.keep] if isinstance(self.keep, str) else list(self.keep)
