"""Where a dataset to train on is: a directory, a Parquet file, or a repository of the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import orjson

from builders.errors import CotmillError
from curation.publishing.hub import REPO, connect, parse_repo, patiently


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset that is at hand, and how to name it."""

    path: Path
    """Directory or file."""
    name: str
    """Of the dataset; for one of the Hub USER/NAME."""
    repo: str | None
    """USER/NAME on the Hub."""
    revision: str | None
    """Commit on the Hub."""
    fingerprint: str | None
    """Of corpus, recipe and passes, as its dataset.json says."""


def find(said: str | Path) -> Source:
    """The dataset that a path or `USER/NAME[@REVISION]` means; one of the Hub is downloaded, or taken from the cache.

    Raises:
        CotmillError: there is no such path, or the Hub refuses.
    """
    path = Path(said).expanduser()
    if path.exists():
        return _named(path, None, None)
    name = str(said)
    if not name.startswith("hf://") and (Path(name).suffix == ".parquet" or not re.fullmatch(rf"{REPO}(@.+)?", name)):
        raise CotmillError(f"there is no dataset {name}: no such directory or Parquet file, nor a repository USER/NAME")
    repo = parse_repo(name)
    api = connect()
    info = patiently(lambda: api.dataset_info(repo.name, revision=repo.revision), f"looking up {repo}")
    folder = patiently(
        lambda: api.snapshot_download(
            repo.name, repo_type="dataset", revision=info.sha, allow_patterns=["data/**", "dataset.json"]
        ),
        f"downloading {repo}",
    )
    return _named(Path(folder), repo.name, info.sha)


def _named(path: Path, repo: str | None, revision: str | None) -> Source:
    try:
        manifest = orjson.loads((path / "dataset.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        manifest = {}
    name = repo or manifest.get("name") or path.resolve().name
    return Source(path, str(name), repo, revision, manifest.get("fingerprint"))
