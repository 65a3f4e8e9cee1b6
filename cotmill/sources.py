"""Problems as a command line names them, made the entry that a recipe would have."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import yaml

from builders.errors import SourceError
from builders.yaml import read_yaml

SPLIT = "test"
"""What is read where a name says no split: this is for tests."""


def source_of(said: str) -> dict[str, Any]:
    """One problem source.

    Args:
        said: a file or a glob; a preset (`gsm8k`); `OWNER/NAME` of the Hub; the last two with `:SPLIT` behind them if
            not `test`; or an entry of a recipe (`{source: words, count: 100}`).

    Raises:
        SourceError: none of these.
    """
    from builders.problems import presets

    if said.lstrip().startswith("{"):
        try:
            entry = read_yaml(said)
        except yaml.YAMLError as error:
            raise SourceError(f"--problems {said}: {str(error).splitlines()[0]}") from None
        return dict(entry)
    if glob.glob(said, recursive=True):
        return {"source": "file", "path": [said], "split": SPLIT}
    name, _, split = said.partition(":")
    if name in presets():
        return {"source": "preset", "name": name, "split": split or SPLIT}
    if name.count("/") == 1 and not Path(name).suffix and all(name.split("/")):
        return {"source": "hub", "repo": name, "split": split or SPLIT}
    raise SourceError(
        f"--problems {said}: no such file, and no preset ({', '.join(presets())}).\nName a file, a preset, OWNER/NAME"
        " of the Hub, or an entry as in a recipe: '{source: words, count: 100}'"
    )
