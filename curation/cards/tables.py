"""The Parquet files of a dataset on disk, by config and split, and what their footers say. No row is read here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from builders.errors import CotmillError
from curation.packaging.layout import DEFAULT, REMOVED

if TYPE_CHECKING:
    import pyarrow as pa

FIRST: Final = {"train": 0, "validation": 1, "test": 2}

Tables = dict[str, dict[str, list[Path]]]
"""Config -> split -> files; splits and configs without files are not there."""


def tables(directory: Path, manifest: Mapping[str, Any]) -> Tables:
    """The files of each config, as dataset.json lists them; by their folders where it is older than that.

    Raises:
        CotmillError: there are none, or one is missing.
    """
    said = manifest["configs"] if "configs" in manifest else _by_folder(directory)
    found: Tables = {}
    for config, held in said.items():
        splits = {split: [directory / file for file in one["files"]] for split, one in held["splits"].items()}
        if some := {split: files for split, files in splits.items() if files}:
            found[config] = some
    missing = [file for config in found for file in files_of(found, config) if not file.is_file()]
    if DEFAULT not in found or missing:
        what = f"{missing[0]} is missing" if missing else f"there is no Parquet file of the config `{DEFAULT}`"
        raise CotmillError(
            f"{directory} does not hold its rows: {what}.\n"
            f"Make the dataset again: cotmill curate CORPUS --recipe RECIPE --out {directory} --overwrite"
        )
    return found


def _by_folder(directory: Path) -> dict[str, Any]:
    """data/<config>/<split>-*.parquet and removed/*.parquet as dataset.json would list them."""
    found: dict[str, Any] = {}
    for file in sorted([*directory.glob("data/*/*.parquet"), *directory.glob(f"{REMOVED}/*.parquet")], key=_rank):
        splits = found.setdefault(file.parent.name, {"splits": {}})["splits"]
        splits.setdefault(split_of(file), {"files": []})["files"].append(file.relative_to(directory).as_posix())
    return found


def _rank(file: Path) -> tuple[Any, ...]:
    return file.parent.name != DEFAULT, file.parent.name, FIRST.get(split_of(file), 3), file.name


def files_of(configs: Tables, config: str) -> list[Path]:
    """All files of a config, split by split; none when there is no such config."""
    return [file for files in configs.get(config, {}).values() for file in files]


def split_of(path: Path) -> str:
    """`train` of train-00000-of-00003.parquet."""
    return re.sub(r"-[0-9]+-of-[0-9]+$", "", path.stem)


def sizes(configs: Tables) -> list[dict[str, Any]]:
    """Per config and split: config, split, rows, files, bytes (on disk) and loaded (bytes before compression)."""
    import pyarrow.parquet as pq

    found = []
    for config, splits in configs.items():
        for split, files in splits.items():
            footers = [pq.read_metadata(file) for file in files]
            groups = [footer.row_group(i) for footer in footers for i in range(footer.num_row_groups)]
            found.append(
                {
                    "config": config,
                    "split": split,
                    "rows": sum(footer.num_rows for footer in footers),
                    "files": len(files),
                    "bytes": sum(file.stat().st_size for file in files),
                    "loaded": sum(group.total_byte_size for group in groups),
                }
            )
    return found


def schema_of(configs: Tables, config: str) -> pa.Schema:
    """Columns of a config: those of its first file, which all others have, too."""
    import pyarrow.parquet as pq

    schema: pa.Schema = pq.read_schema(files_of(configs, config)[0])
    return schema.remove_metadata()


def digests(directory: Path, configs: Tables) -> dict[str, str]:
    """Path within the dataset -> sha256, for every Parquet file."""
    found = {}
    for config in configs:
        for file in files_of(configs, config):
            with file.open("rb") as handle:
                found[file.relative_to(directory).as_posix()] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def content(digest_of: Mapping[str, str]) -> str:
    """One sha256 for all files: of their paths and digests, sorted, a line each."""
    lines = "".join(f"{path} {digest}\n" for path, digest in sorted(digest_of.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
