"""Where a dataset lies: a directory, a repository of the Hub at one commit, a bucket, or one file at a URL.

A place knows its files, their sizes and, from README.md, which of them make which config and split. What is far away
is read through fsspec in ranges, by whoever asks: nothing is downloaded first. Reading only; publishing is in
`curation.publishing`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from builders.errors import CotmillError, MissingDependency

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from fsspec import AbstractFileSystem

URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
SHARD: Final = re.compile(r"^(.+)-([0-9]+)-of-([0-9]+)$")
"""`<split>-00000-of-00003`, the name of a file without its ending."""
T = TypeVar("T")
PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""Scheme -> what reads it."""
Configs = dict[str, dict[str, list[str]]]
"""Config -> split -> paths."""


@dataclass(frozen=True)
class Place:
    """Files below one root."""

    name: str
    """As it was asked for."""
    root: str
    """What comes before `/path`: a directory, or a URL that names a commit where it can."""
    files: dict[str, int]
    """Path -> bytes; nothing hidden."""
    digests: dict[str, str] = field(default_factory=dict)
    """Path -> sha256, as far as it is known without reading."""
    commit: str | None = None
    filesystem: AbstractFileSystem | None = None
    """None: the files are on this machine."""

    def url(self, path: str) -> str:
        """What DuckDB and fsspec call a file."""
        return f"{self.root}/{path}"

    def open(self, path: str, *, block: int = 1 << 20, cache: str = "readahead") -> IO[bytes]:
        """A file for reading; `cache="none"` fetches exactly the ranges that are read."""
        if self.filesystem is None:
            return Path(self.url(path)).open("rb")
        opened: IO[bytes] = self.filesystem.open(self.url(path), "rb", block_size=block, cache_type=cache)
        return opened

    def read(self, path: str) -> bytes:
        """A whole file.

        Raises:
            CotmillError: it cannot be read.
        """

        def read() -> bytes:
            with self.open(path) as handle:
                return handle.read()

        return self.patiently(read, path)

    def digest(self, path: str) -> str:
        """The sha256 of a file, which is read whole.

        Raises:
            CotmillError: it cannot be read.
        """

        def read() -> str:
            state = hashlib.sha256()
            with self.open(path, block=8 << 20) as handle:
                while block := handle.read(8 << 20):
                    state.update(block)
            return state.hexdigest()

        return self.patiently(read, path)

    def patiently(self, call: Callable[[], T], path: str) -> T:
        """Read from a file, several times if the Hub is busy.

        Raises:
            CotmillError: the Hub refuses or does not recover, or the file cannot be read.
        """
        try:
            if self.commit is None:
                return call()
            from curation.publishing.hub import patiently

            return patiently(call, f"reading {path} of {self.name}")
        except OSError as error:
            raise CotmillError(f"{self.name}: {path} cannot be read ({error})") from None

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The YAML block of README.md; empty when there is none or it is not readable."""
        if "README.md" not in self.files:
            return {}
        import yaml

        block = re.match(r"---\r?\n(.*?)\r?\n---\s", self.read("README.md").decode("utf-8", "replace"), re.DOTALL)
        try:
            found = yaml.load(block[1], getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if block else {}
        except yaml.YAMLError:
            return {}
        return found if isinstance(found, dict) else {}

    def configs(self) -> Configs:
        """The Parquet files of each config and split: as README.md says, else by their folders.

        The default config comes first. A folder `removed/` that README.md does not name is a config all the same.
        """
        named = _named(self.metadata, self.files) or _by_folder(self.files)
        if "removed" not in named and (removed := _by_folder(self.files).get("removed")):
            named["removed"] = removed
        return named

    def default(self) -> str | None:
        """The config that `load_dataset` gives unasked; None: it wants a name, or there is no dataset."""
        listed = [entry for entry in self.metadata.get("configs") or [] if isinstance(entry, dict)]
        flagged = [str(entry.get("config_name")) for entry in listed if entry.get("default")]
        return next((name for name in [*flagged, "default"] if name in self.configs()), None)


def locate(said: str | Path) -> Place:
    """The place that a path or a URL names.

    Args:
        said: a directory; `hf://datasets/USER/NAME[@REVISION]`; `https://.../file.parquet`; or any URL that an
            installed fsspec file system reads: one Parquet file, or a folder laid out like a dataset.

    Raises:
        CotmillError: there is nothing there, or it cannot be reached.
        MissingDependency: the file system's package is not installed.
    """
    if not is_url(said):
        return _local(Path(said))
    if str(said).startswith("hf://"):
        return _on_the_hub(str(said))
    return _by_fsspec(str(said))


def is_url(said: str | Path) -> bool:
    """Whether a place is named by URL."""
    return isinstance(said, str) and URL.match(said) is not None


def register(connection: DuckDBPyConnection, *places: Place) -> None:
    """Let DuckDB read the files of these places, and no others of theirs.

    DuckDB's own httpfs would have to be downloaded, and knows nothing of `HF_ENDPOINT` or logins.
    """
    from curation.asking.faraway import Faraway

    schemes: dict[str, list[Place]] = {}
    for place in places:
        if place.filesystem is not None:
            schemes.setdefault(place.root.partition("://")[0], []).append(place)
    for scheme, group in schemes.items():
        connection.register_filesystem(Faraway(scheme, group))


def _local(folder: Path) -> Place:
    if not folder.is_dir():
        raise CotmillError(f"{folder}: no such directory")
    root = folder.resolve()
    paths = {file.relative_to(root).as_posix(): file for file in sorted(root.rglob("*")) if file.is_file()}
    return Place(str(folder), str(root), {p: f.stat().st_size for p, f in paths.items() if not _hidden(p)})


def _on_the_hub(said: str) -> Place:
    from huggingface_hub import HfFileSystem
    from huggingface_hub.hf_api import RepoFile

    from curation.publishing.hub import connect, parse_repo, patiently

    user, _, rest = said.removeprefix("hf://datasets/").partition("/")
    name, _, inside = rest.partition("/")
    repo, api = parse_repo(f"hf://datasets/{user}/{name}" if said.startswith("hf://datasets/") else said), connect()
    what = f"looking at {repo}"
    commit = patiently(lambda: api.dataset_info(repo.name, revision=repo.revision).sha, what)
    listing = patiently(
        lambda: list(api.list_repo_tree(repo.name, recursive=True, revision=commit, repo_type="dataset")), what
    )
    found = {e.path: e for e in listing if isinstance(e, RepoFile) and not _hidden(e.path)}
    inside = inside.strip("/")
    if inside in found:  # one file
        found, inside = {inside: found[inside]}, inside.rpartition("/")[0]
    below = f"{inside}/" if inside else ""
    files = {path.removeprefix(below): entry for path, entry in found.items() if path.startswith(below)}
    if not files:
        raise CotmillError(f"{said}: there are no files")
    root = f"hf://datasets/{repo.name}@{commit}/{inside}".rstrip("/")
    digests = {path: entry.lfs.sha256 for path, entry in files.items() if entry.lfs}
    system = HfFileSystem(skip_instance_cache=True)
    return Place(said, root, {path: entry.size for path, entry in files.items()}, digests, commit, system)


def _by_fsspec(said: str) -> Place:
    import fsspec

    scheme = said.partition("://")[0]
    try:
        system, path = fsspec.url_to_fs(said)
    except ImportError:
        package = PACKAGES.get(scheme, f"the fsspec file system of {scheme}")
        raise MissingDependency(package, f"reading {scheme}://", f"pip install {package}") from None
    except ValueError as error:
        raise CotmillError(f"{said}: {error}") from None
    try:
        if said.endswith(".parquet"):
            root, _, file = said.rpartition("/")
            return Place(said, root, {file: system.info(path)["size"]}, filesystem=system)
        found = system.find(path, detail=True) if scheme not in ("http", "https") else {}
    except (OSError, ValueError) as error:
        raise CotmillError(f"{said} cannot be read: {type(error).__name__}: {error}") from None
    plain = system._strip_protocol(path).rstrip("/") + "/"
    files = {name.removeprefix(plain): entry["size"] for name, entry in found.items() if entry["type"] == "file"}
    if not files:
        web = " The web has no folders: name a file that ends with .parquet." if scheme in ("http", "https") else ""
        raise CotmillError(f"{said}: there are no files.{web}")
    return Place(said, said.rstrip("/"), {p: size for p, size in files.items() if not _hidden(p)}, filesystem=system)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _named(metadata: Mapping[str, Any], files: Mapping[str, int]) -> Configs:
    """What README.md's `configs` name, the default first; a pattern without files gives an empty list."""
    found: Configs = {}
    listed = [entry for entry in metadata.get("configs") or [] if isinstance(entry, dict) and "config_name" in entry]
    for entry in sorted(listed, key=lambda entry: not entry.get("default")):
        splits = found.setdefault(str(entry["config_name"]), {})
        for split, pattern in patterns(entry):
            matches = _glob(pattern)
            splits.setdefault(split, []).extend(path for path in sorted(files) if matches.fullmatch(path))
    return found


def patterns(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(split, pattern) of one entry of `configs`, however `data_files` is written."""
    said = entry.get("data_files") or []
    found: list[tuple[str, str]] = []
    for part in said if isinstance(said, list) else [said]:
        split, paths = (part.get("split", "train"), part.get("path")) if isinstance(part, dict) else ("train", part)
        found += [(str(split), str(path)) for path in (paths if isinstance(paths, list) else [paths]) if path]
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within a folder, `**` does not."""
    parts = re.split(r"(\*\*/?|\*|\?)", pattern.removeprefix("./"))
    meaning = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts))


def _by_folder(files: Mapping[str, int]) -> Configs:
    """data/<config>/<split>-*.parquet; removed/*.parquet; files that lie elsewhere are the config `data`."""
    found: Configs = {}
    for path in sorted(path for path in files if path.endswith(".parquet")):
        folders, stem = path.split("/")[:-1], path.rpartition("/")[2].removesuffix(".parquet")
        config = folders[1] if folders[:1] == ["data"] and len(folders) > 1 else "data"
        config = "removed" if folders == ["removed"] else config
        shard = SHARD.match(stem)
        found.setdefault(config, {}).setdefault(shard[1] if shard else stem, []).append(path)
    return dict(sorted(found.items(), key=lambda item: (item[0] != "default", item[0])))
