"""Which files of a dataset make which config: names, folders, and what README.md and readers need to know of them.

Kept rows lie in cells: one folder for each combination of values of all that `curate.configs` names. A config is a set
of cells, so no row is stored twice, and the config `default` is all of them. Without `configs` there is one cell,
`default`.

    data/<cell>/<split>-00000-of-000NN.parquet    kept rows
    data/pairs/<split>-*.parquet                  preference pairs
    removed/removed-*.parquet                     every other row
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from builders.errors import CotmillError
from curation.decide.asked import BETWEEN, MISSING

DEFAULT: Final = "default"
PAIRS: Final = "pairs"
REMOVED: Final = "removed"
RESERVED: Final = (DEFAULT, PAIRS, REMOVED)
MOST: Final = 500
"""Configs and cells of a dataset; the Hub shows thousands, people and file systems fewer."""
LONGEST: Final = 60
"""Characters of the name of a value."""
BARE: Final = ("teacher", "format", "source", "split", "answer_type", "status")
"""Columns whose values say by themselves what they are."""


@dataclass(frozen=True)
class Config:
    """A part of the kept rows under a name of its own."""

    name: str
    of: dict[str, str | None]
    """What all its rows share: column or SQL -> value, null where it is missing."""
    cells: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Cells and configs of a dataset's kept rows."""

    cells: tuple[str, ...]
    """Folder of each cell."""
    configs: tuple[Config, ...]
    """`default` first."""
    renamed: dict[str, str]
    """Config -> the values it stands for, where another config had a claim to the same name."""


def lay_out(said: Sequence[Sequence[tuple[str, str]]], words: Sequence[str | None]) -> Layout:
    """Name cells and configs.

    Args:
        said: for each item of `curate.configs` the (label, SQL) whose values together make a config.
        words: the cells that kept rows are in: values of all different SQL in the order they are first named, as
            `curation.decide.asked.Asked` spells a cell.

    Raises:
        CotmillError: there would be more than `MOST` configs or cells.
    """
    everything = Config(DEFAULT, {}, tuple(range(len(words))))
    if not said:
        return Layout((DEFAULT,), (everything,), {})
    labels = columns_of(said)
    values = [dict(zip(labels, _values(word, len(labels)), strict=True)) for word in words]
    found: dict[tuple[tuple[str, str | None], ...], list[int]] = {}
    for item in said:
        for cell in sorted(range(len(words)), key=lambda n: [_rank(values[n][sql]) for _, sql in item]):
            found.setdefault(tuple((sql, values[cell][sql]) for _, sql in item), []).append(cell)
    if max(len(found), len(words)) > MOST:
        raise CotmillError(
            f"curate.configs: {len(found):,} configs in {len(words):,} folders, more than {MOST}; "
            "nothing was written.\n"
            "Name columns with fewer different values, or group them in SQL: completion_tokens // 500"
        )
    names, renamed = _names([_spelt(labels, dict(key)) for key in found], [dict(key) for key in found])
    configs = [
        Config(name, dict(key), tuple(sorted(own))) for name, (key, own) in zip(names, found.items(), strict=True)
    ]
    folders, _ = _names([_spelt(labels, own) for own in values], values)
    return Layout(tuple(folders), (everything, *configs), renamed)


def columns_of(said: Sequence[Sequence[tuple[str, str]]]) -> dict[str, str]:
    """SQL -> label, in the order they are first named."""
    return {sql: label for item in said for label, sql in item}


def card_configs(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`configs` of README.md's metadata, of dataset.json: files by pattern, the default config marked.

    A split without rows is left out, and so is a config without any: `datasets` 5.2 fails on both.
    """
    entries = []
    for name, config in manifest["configs"].items():
        data_files = []
        for split, held in config["splits"].items():
            folders = list(dict.fromkeys(_pattern(file) for file in held["files"])) if held["rows"] else []
            if folders:
                data_files.append({"split": split, "path": folders[0] if len(folders) == 1 else folders})
        if data_files:
            flag = {"default": True} if name == DEFAULT else {}
            entries.append({"config_name": name, **flag, "data_files": data_files})
    return entries


def files_of(directory: Path, config: str = DEFAULT, split: str | None = None) -> list[Path]:
    """The files of a config, or of one split of it, in the order of their rows.

    Raises:
        CotmillError: the dataset has no such config or split, or its dataset.json cannot be read.
    """
    from curation.packaging.dataset import read_manifest

    manifest = read_manifest(directory)
    if "configs" not in manifest:  # schema version 2 and before
        below = directory / REMOVED if config == REMOVED else directory / "data" / config
        return sorted(below.glob(f"{split or '*'}-*.parquet"))
    configs = manifest["configs"]
    if config not in configs:
        raise CotmillError(f"{directory} has no config `{config}`; it has: {', '.join(configs)}")
    splits = configs[config]["splits"]
    if split is not None and split not in splits:
        raise CotmillError(f"{directory} has no split `{split}` in config `{config}`; it has: {', '.join(splits)}")
    wanted = splits.values() if split is None else [splits[split]]
    return [directory / file for held in wanted for file in held["files"]]


def slug(text: str) -> str:
    """A name that is safe in paths, URLs and YAML: letters, digits and `. _ -`, at most `LONGEST` characters.

    Accents are dropped; letters of other scripts become their code points; the rest becomes `-`.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    spelt = "".join(c if c.isascii() else f"-u{ord(c):x}-" if c.isalnum() else "-" for c in plain)
    safe = re.sub(r"\.{2,}", ".", re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", spelt))).strip("-._")
    if len(safe) > LONGEST:
        safe = f"{safe[: LONGEST - 7].rstrip('-._')}-{_short(text)}"
    return safe or f"x{_short(text)}"


def _values(word: str | None, count: int) -> list[str | None]:
    return [None if value == MISSING else value for value in (word or "").split(BETWEEN, count - 1)]


def _rank(value: str | None) -> tuple[bool, float, str]:
    """Numbers by size, then texts, then what is missing."""
    try:
        return value is None, float(value or ""), ""
    except ValueError:
        return value is None, float("inf"), value or ""


def _spelt(labels: Mapping[str, str], values: Mapping[str, str | None]) -> str:
    parts = []
    for sql, value in values.items():
        label = labels[sql]
        if value is None:
            parts.append(f"no-{slug('level' if label == 'granularity' else label)}")
        elif label in BARE:
            parts.append(slug(value))
        else:
            parts.append(f"{slug('level' if label == 'granularity' else label)}-{slug(value)}")
    return "-".join(parts)


def _names(wanted: Sequence[str], values: Sequence[Mapping[str, str | None]]) -> tuple[list[str], dict[str, str]]:
    """Names that differ, whatever the case of letters; and which had to be changed for that."""
    folded = [name.casefold() for name in wanted]
    names, renamed = [], {}
    for name, low, own in zip(wanted, folded, values, strict=True):
        said = ", ".join(f"{sql} = {value}" for sql, value in own.items())
        if low in RESERVED or folded.count(low) > 1:
            name = f"{name}-{_short(said)}"
            renamed[name] = said
        names.append(name)
    return names, renamed


def _short(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=3).hexdigest()


def _pattern(file: str) -> str:
    return re.sub(r"-[0-9]{5}-of-[0-9]{5}\.parquet$", "-*.parquet", file)
