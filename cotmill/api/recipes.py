"""Recipes as the functions take them: a path or the thing itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotmill.recipe import Recipe


def read_recipe(recipe: str | Path | Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe; read, checked and overridden where it is a path."""
    from cotmill.recipe import Recipe, load_recipe

    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
