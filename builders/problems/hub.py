"""Problems out of a dataset of the Hugging Face Hub, or a local directory laid out like one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from builders.config import HubSource
from builders.errors import SourceError
from builders.problems.columns import read_columns
from builders.problems.table import Loaded, finish

if TYPE_CHECKING:
    from datasets import Dataset


def load_hub(source: HubSource, base: Path | None) -> Loaded:
    """Problems of one split.

    Raises:
        SourceError: the dataset, configuration, split or a column is missing, or the Hub is out of reach.
    """
    name = f"{source.repo}/{source.config}" if source.config else source.repo
    table = read_hub(source.repo, source.config, source.split, source.revision, base)
    raw, skipped = read_columns(table, source.columns, source=name, where=name)
    return finish(raw, split=source.split, answer_type=source.answer_type, limit=source.limit, skipped=skipped)


def read_hub(
    repo: str, config: str | None, split: str, revision: str | None = None, base: Path | None = None
) -> pl.DataFrame:
    """One split as a table. A directory of that name, beside the recipe or where you are, comes before the Hub."""
    return pl.DataFrame(open_hub(repo, config, split, revision, base).to_polars())


def open_hub(
    repo: str, config: str | None, split: str, revision: str | None = None, base: Path | None = None
) -> Dataset:
    """One split, memory-mapped.

    Raises:
        SourceError: the dataset, configuration or split is missing, or the Hub is out of reach.
    """
    import datasets

    place = next((p for p in ([base / repo] if base else []) + [Path(repo)] if p.is_dir()), None)
    try:
        return datasets.load_dataset(str(place or repo), config, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise SourceError(_explain(error, repo, config, split, local=place is not None)) from error


def _explain(error: Exception, repo: str, config: str | None, split: str, *, local: bool) -> str:
    what = f"{repo}{f' (config {config})' if config else ''}, split {split}"
    said = (str(error).splitlines() or [type(error).__name__])[0]
    message = f"cannot load the dataset {what}: {said}\n"
    if local:
        return message + "It is a directory on this machine: check its files, config and split."
    return message + (
        "If the name, config and split are right: behind a mirror, set HF_ENDPOINT; for a private or gated one, run\n"
        "`hf auth login` or set HF_TOKEN; without a network, download it elsewhere and give the directory as `repo`.\n"
        "Check the connection: cotmill doctor"
    )
