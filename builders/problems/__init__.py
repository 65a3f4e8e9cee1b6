"""Problem sources: built-in word problems and arithmetic, reasoning-gym, files, Hub datasets and the paper's presets.

Each kind is a module that reads its source into the same raw rows; `table` turns those into the
`problems` table. Nothing is left out without being counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from builders.config import (
    ArithmeticSource,
    FileSource,
    GymSource,
    HubSource,
    PresetSource,
    ProblemSource,
    WordsSource,
)
from builders.problems.arithmetic import load_arithmetic
from builders.problems.files import load_files
from builders.problems.gym import load_gym
from builders.problems.hub import load_hub
from builders.problems.presets import Preset, assumed_preset, load_preset, presets
from builders.problems.table import Loaded, concat
from builders.problems.words import load_words

__all__ = ["Loaded", "Preset", "load_all", "load_preset", "load_problems", "presets"]


def load_problems(source: ProblemSource, *, base: Path | None = None) -> Loaded:
    """Problems of one source, as `builders.schema.PROBLEMS`.

    Args:
        source: the recipe's entry.
        base: directory that relative paths are tried in first, the recipe's own; then the working directory.

    Returns:
        Problems in the source's order, and how many rows were left out for which reason: `empty question`,
        `duplicate`, `malformed line`, `malformed entry`, `unreadable choices`. Problems without gold stay.

    Raises:
        SourceError: the source cannot be read.
        MissingDependency: its package is not installed.
    """
    match source:
        case WordsSource():
            return load_words(source)
        case ArithmeticSource():
            return load_arithmetic(source)
        case GymSource():
            return load_gym(source)
        case FileSource():
            return load_files(source, base)
        case HubSource():
            return load_hub(source, base)
        case PresetSource():
            return load_preset(source, base)


def load_all(sources: Iterable[ProblemSource], *, base: Path | None = None, assume_presets: bool = False) -> Loaded:
    """Problems of several sources as one table, first come first; what two share is kept once and counted.

    Args:
        sources: the recipe's entries.
        base: see `load_problems`.
        assume_presets: put stand-ins in the place of presets, as many as they are known to hold: no download.
    """
    parts = [
        assumed_preset(source)
        if assume_presets and isinstance(source, PresetSource)
        else load_problems(source, base=base)
        for source in sources
    ]
    return concat(parts)
