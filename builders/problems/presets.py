"""The seven datasets of the paper by short name; what and where they are is in `presets.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import polars as pl

from builders.answers import boxed
from builders.config import ColumnMap, Config, PresetSource
from builders.errors import SourceError
from builders.problems.columns import read_columns
from builders.problems.hub import read_hub
from builders.problems.table import Loaded, concat_raw, finish
from builders.schema import PROBLEMS, AnswerType
from builders.yaml import read_yaml


class Preset(Config):
    """One entry of `presets.yaml`."""

    repo: str
    """Hub id."""
    configs: list[str | None] = [None]
    """Dataset configurations, read one after the other."""
    splits: dict[str, str]
    """Our `train` and `test`: the split of that name on the Hub."""
    columns: ColumnMap
    """Which column holds what."""
    boxed: str | None = None
    r"""A column whose last `\boxed{}` makes the column `boxed`."""
    answer_type: AnswerType
    """How answers are compared."""
    rows: dict[str, int]
    """Rows of our `train` and `test`: a plan needs no download."""
    characters: int
    """About how long a question with its choices is, for estimates before it is read."""
    license: str
    """SPDX identifier in lower case, as the Hub writes it."""
    citation: str
    """BibTeX key."""
    note: str
    """Sizes, and where the paper's rows differ."""


@cache
def presets() -> dict[str, Preset]:
    """All presets by short name."""
    text = files("builders.problems").joinpath("presets.yaml").read_text("utf-8")
    return {name: Preset.model_validate(entry) for name, entry in read_yaml(text).items()}


def assumed_preset(source: PresetSource) -> Loaded:
    """As many stand-ins as the preset has rows, each as long as its questions are: for plans, never for asking.

    Raises:
        SourceError: no such preset.
    """
    preset = _preset(source)
    count = min(preset.rows[source.split], source.limit or preset.rows[source.split])
    filler = {"question": "?" * preset.characters, "gold": "?", "gold_value": "?", "answer_type": preset.answer_type}
    ids = [f"{source.name}/{source.split}/{row}" for row in range(count)]
    made = pl.DataFrame({"problem_id": ids}).with_columns(pl.lit(value).alias(name) for name, value in filler.items())
    labels = {"source": pl.lit(source.name), "split": pl.lit(source.split)}
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in PROBLEMS.items() if name in ("choices", "meta")]
    return Loaded(made.with_columns(*missing, **labels).select(PROBLEMS.names()).cast(PROBLEMS))


def load_preset(source: PresetSource, base: Path | None = None, root: Path | None = None) -> Loaded:
    """Problems of one preset.

    Args:
        source: which preset and split.
        base: the recipe's directory.
        root: read `root/<preset>` instead of the Hub: the same files, downloaded before.

    Raises:
        SourceError: no such preset, or its dataset cannot be had.
    """
    preset = _preset(source)
    repo = str(root / source.name) if root else preset.repo
    parts = []
    for config in preset.configs:
        table = read_hub(repo, config, preset.splits[source.split], base=base)
        if preset.boxed and preset.boxed in table.columns:
            table = table.with_columns(boxed(pl.col(preset.boxed)).alias("boxed"))
        name = f"{source.name}/{config}" if len(preset.configs) > 1 else source.name
        parts.append(read_columns(table, preset.columns, source=name, where=f"{preset.repo} ({source.name})"))
    raw, skipped = concat_raw(parts)
    return finish(raw, split=source.split, answer_type=preset.answer_type, limit=source.limit, skipped=skipped)


def _preset(source: PresetSource) -> Preset:
    known = presets()
    if source.name not in known:
        raise SourceError(f"there is no preset {source.name!r}.\nKnown: {', '.join(known)}.")
    return known[source.name]
