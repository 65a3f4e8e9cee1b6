"""Recipes as the functions take them: a path, a published dataset, or the thing itself."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotmill.recipe import Recipe


def read_recipe(recipe: str | Path | Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe; read, checked and overridden where it is a path.

    `hf://datasets/USER/NAME[@REVISION]` is the recipe that was published beside that dataset.

    Raises:
        RecipeError: see `cotmill.recipe.load_recipe`.
        CotmillError: the Hub cannot be asked, or there is no recipe beside the dataset.
    """
    from cotmill.recipe import Recipe, load_recipe

    if isinstance(recipe, Recipe):
        return recipe
    if str(recipe).startswith("hf://"):
        return _published(str(recipe), overrides)
    return load_recipe(recipe, overrides)


def _published(said: str, overrides: Sequence[str]) -> Recipe:
    from builders.errors import CotmillError
    from cotmill.recipe import load_recipe
    from curation.asking.places import locate

    place = locate(said)
    if "recipe.yaml" not in place.files:
        raise CotmillError(f"{said} has no recipe.yaml, so it cannot be run again.\nRead its card: {said} README.md")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_bytes(place.read("recipe.yaml"))
        return load_recipe(file, overrides)
