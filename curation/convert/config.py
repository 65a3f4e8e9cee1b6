"""What a recipe can say about conversions. Attribute docstrings are the manual."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from builders.config import Config


class Choice(Config):
    """Which traces are converted, and how often a teacher is asked."""

    where: str | None = None
    """SQL condition over trace columns and marks; null: all. Converted traces are left out unless it names
    `parent_id`."""
    tries: int = Field(3, ge=1)
    """With a teacher: a rewrite whose guards fail is asked for again, up to so many times in all."""


class Regranularize(Choice):
    """Finer or coarser."""

    levels: list[Annotated[int, Field(ge=1, le=6)]] = Field(min_length=1)
    """Target levels, 1 coarsest to 6 finest."""
    how: Literal["merge", "split", "free", "teacher"] = "free"
    """`merge` and `split` without a model, `free` whichever of the two a trace needs, or the recipe's teachers."""


class Reformat(Choice):
    """Another layout or format."""

    formats: list[str] = Field(min_length=1)
    """Layouts (numbered, prose, equations, think, boxed, answer_line), `padded`, or formats that a teacher writes."""
    how: Literal["free", "teacher"] | None = None
    """Without a model or by the recipe's teachers; null: without wherever there is such a way."""
    to_level: Annotated[int, Field(ge=1, le=6)] = 5
    """For `padded`: the level whose length is aimed at."""


class Conversion(Config):
    """One conversion of what was sampled: either key, not both."""

    regranularize: Regranularize | None = None
    """To other levels."""
    reformat: Reformat | None = None
    """To other layouts or formats."""

    @model_validator(mode="after")
    def _is_one(self) -> Conversion:
        if (self.regranularize is None) == (self.reformat is None):
            raise ValueError("say one of regranularize and reformat")
        return self
