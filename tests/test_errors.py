"""Our exceptions on their way from a worker to whoever waits for it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from builders.errors import CotmillError, MissingDependency, Occupied, RecipeError


@pytest.mark.parametrize(
    "error",
    [
        CotmillError("what\nwhy"),
        RecipeError("r.yaml", ["one", "two"]),
        Occupied(Path("out"), "another dataset"),
        MissingDependency("trl", "training", "pip install trl"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_in_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
