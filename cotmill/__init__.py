"""cotmill: build, curate, publish and train on chain-of-thought datasets.

    >>> import cotmill
    >>> cotmill.run("recipes/demo.yaml", "runs/demo")                # doctest: +SKIP
    >>> cotmill.sql("runs/demo", "select verdict, count(*) from marks_verify group by 1")  # doctest: +SKIP

Everything a user needs is here; each name is imported when it is first used, so that `import
cotmill` costs nothing and works without vLLM, torch and TRL. The packages `builders`, `curation`
and `training` are the implementation.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builders.corpus import Corpus as Corpus
    from builders.errors import CotmillError as CotmillError
    from builders.errors import RecipeError as RecipeError
    from cotmill.api import advise as advise
    from cotmill.api import card as card
    from cotmill.api import check as check
    from cotmill.api import compare as compare
    from cotmill.api import curate as curate
    from cotmill.api import diff as diff
    from cotmill.api import evaluate as evaluate
    from cotmill.api import export_dataset as export_dataset
    from cotmill.api import export_traces as export_traces
    from cotmill.api import import_traces as import_traces
    from cotmill.api import preview as preview
    from cotmill.api import publish as publish
    from cotmill.api import reformat as reformat
    from cotmill.api import regranularize as regranularize
    from cotmill.api import report as report
    from cotmill.api import run as run
    from cotmill.api import sample as sample
    from cotmill.api import sql as sql
    from cotmill.api import study as study
    from cotmill.api import train as train
    from cotmill.api import verify_published as verify_published
    from cotmill.recipe import Recipe as Recipe
    from cotmill.recipe import load_recipe as load_recipe

__version__ = "0.1.0"

_HOME = {
    "Corpus": "builders.corpus",
    "CotmillError": "builders.errors",
    "Recipe": "cotmill.recipe",
    "RecipeError": "builders.errors",
    "advise": "cotmill.api",
    "card": "cotmill.api",
    "check": "cotmill.api",
    "compare": "cotmill.api",
    "curate": "cotmill.api",
    "diff": "cotmill.api",
    "evaluate": "cotmill.api",
    "export_dataset": "cotmill.api",
    "export_traces": "cotmill.api",
    "import_traces": "cotmill.api",
    "load_recipe": "cotmill.recipe",
    "preview": "cotmill.api",
    "publish": "cotmill.api",
    "reformat": "cotmill.api",
    "regranularize": "cotmill.api",
    "report": "cotmill.api",
    "run": "cotmill.api",
    "sample": "cotmill.api",
    "sql": "cotmill.api",
    "study": "cotmill.api",
    "train": "cotmill.api",
    "verify_published": "cotmill.api",
}
__all__ = [
    "Corpus",
    "CotmillError",
    "Recipe",
    "RecipeError",
    "advise",
    "card",
    "check",
    "compare",
    "curate",
    "diff",
    "evaluate",
    "export_dataset",
    "export_traces",
    "import_traces",
    "load_recipe",
    "preview",
    "publish",
    "reformat",
    "regranularize",
    "report",
    "run",
    "sample",
    "sql",
    "study",
    "train",
    "verify_published",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cotmill' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
