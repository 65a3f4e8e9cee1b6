"""Reading a dataset back, on the Hub or on disk: does it hold what its card and its manifest say?

Footers of Parquet files answer nearly everything, so that a check of a large dataset on the Hub reads kilobytes.
Whether the bytes themselves are whole takes reading them (`full`). Numbers in the card's text are not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from builders.machine import cores
from curation.asking.places import SHARD, Configs, Place, locate, patterns
from curation.publishing.hub import is_network

if TYPE_CHECKING:
    from pyarrow import Schema

AT_ONCE: Final = 8
"""Footers read side by side from far away."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold."""

    where: str
    """A path, or `config/split`."""
    problem: str


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what was found."""

    dataset: str
    commit: str | None
    """None: not on the Hub."""
    rows: dict[str, dict[str, int]]
    """Config -> split -> rows."""
    files: int
    """Parquet files whose footer was read."""
    size: int
    """Bytes of all files."""
    hashed: int
    """Files whose sha256 was compared: what croissant.json says, what the Hub says, what was read."""
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class _Footer:
    rows: int
    schema: Schema


def verify_published(said: str, *, full: bool = False) -> Verification:
    """Check a published dataset.

    Args:
        said: `USER/NAME`, `USER/NAME@REVISION` or `hf://datasets/...`.
        full: read every file and compare its sha256, too.

    Raises:
        CotmillError: there is no such dataset, or the Hub cannot be reached.
    """
    from curation.publishing.hub import parse_repo

    return verify(locate(f"hf://datasets/{parse_repo(said)}"), full=full)


def verify(place: Place, *, full: bool = False) -> Verification:
    """Check a dataset wherever it lies; see `verify_published`."""
    footers = _footers(place)
    torn = [Finding(path, f"no readable Parquet file: {f}") for path, f in footers.items() if isinstance(f, str)]
    read = {path: footer for path, footer in footers.items() if not isinstance(footer, str)}
    configs = place.configs()
    rows = {
        config: {split: sum(read[path].rows for path in paths if path in read) for split, paths in splits.items()}
        for config, splits in configs.items()
    }
    manifest, metadata = _json(place, "dataset.json"), place.metadata
    checksums = _checksums(place)
    hashes = _hashes(place, place.files if full else checksums if place.filesystem is None else ())
    findings = [
        *torn,
        *_about_files(place, configs, manifest, metadata, {path for path, footer in read.items() if footer.rows}),
        *_about_shards(place),
        *_about_schemas(configs, read, metadata),
        *_about_infos(place, configs, rows, metadata),
        *(_about_counts(place, rows, manifest) if manifest else ()),
        *_about_bytes(place, checksums, hashes),
    ]
    known = (set(hashes) & ({*checksums, *place.digests})) | (set(place.digests) & set(checksums))
    return Verification(place.name, place.commit, rows, len(read), sum(place.files.values()), len(known), findings)


def _footers(place: Place) -> dict[str, _Footer | str]:
    """Path -> footer, or what is wrong with the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def look(path: str) -> _Footer | str:
        try:
            with place.open(path, block=1 << 16) as handle, pq.ParquetFile(handle) as file:
                return _Footer(file.metadata.num_rows, file.schema_arrow.remove_metadata())
        except (pa.ArrowException, OSError) as error:
            if place.commit and is_network(error):
                raise
            return str(error).splitlines()[0][:200]

    paths = [path for path in place.files if path.endswith(".parquet")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(paths, pool.map(lambda path: place.patiently(lambda: look(path), path), paths), strict=True))


def _json(place: Place, path: str) -> dict[str, Any] | None:
    if path not in place.files:
        return None
    try:
        found = orjson.loads(place.read(path))
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _hashes(place: Place, paths: Iterable[str]) -> dict[str, str]:
    """Path -> sha256 of what is read; far away that is asked for, here it costs little."""
    with ThreadPoolExecutor(len(cores())) as pool:
        wanted = [path for path in paths if path in place.files]
        return dict(zip(wanted, pool.map(place.digest, wanted), strict=True))


def _about_files(
    place: Place,
    configs: Configs,
    manifest: Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
    filled: set[str],
) -> Iterator[Finding]:
    """What must be there, and that every row can be loaded; `filled` are the files with rows."""
    if manifest is None:
        missing = "dataset.json" not in place.files
        yield Finding("dataset.json", "missing" if missing else "no JSON object")
    if not metadata:
        yield Finding("README.md", "missing" if "README.md" not in place.files else "without a readable YAML block")
    for entry in metadata.get("configs") or []:
        for split, pattern in patterns(entry) if isinstance(entry, dict) else ():
            if pattern.startswith("/") or ".." in pattern.split("/") or "://" in pattern:
                yield Finding(f"{entry.get('config_name')}/{split}", f"`{pattern}` leads out of the dataset")
            elif not configs.get(str(entry.get("config_name")), {}).get(split):
                yield Finding(f"{entry.get('config_name')}/{split}", f"`{pattern}` names no file")
    loaded = {path for splits in configs.values() for paths in splits.values() for path in paths}
    for path in place.files:
        if path in filled and path.startswith(("data/", "removed/")) and path not in loaded:
            yield Finding(path, "in no config of README.md, so that nobody loads it")


def _about_shards(place: Place) -> Iterator[Finding]:
    """`train-00000-of-00003` has two sisters."""
    sets: dict[tuple[str, int], set[int]] = {}
    for path in place.files:
        if match := SHARD.match(path.removesuffix(".parquet")) if path.endswith(".parquet") else None:
            sets.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    for (stem, count), numbers in sets.items():
        if numbers != set(range(count)):
            yield Finding(f"{stem}-*-of-{count:05d}.parquet", f"{len(numbers)} of {count} files are there")


def _about_schemas(configs: Configs, read: Mapping[str, _Footer], metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Files of a config are alike, and as README.md's features say."""
    infos = _infos(metadata)
    for config, splits in configs.items():
        paths = [path for group in splits.values() for path in group if path in read]
        for path in paths[1:]:
            if not read[path].schema.equals(read[paths[0]].schema):
                yield Finding(
                    path, f"other columns than {paths[0]}: {_difference(read[paths[0]].schema, read[path].schema)}"
                )
        if paths and (said := infos.get(config, {}).get("features")):
            yield from _about_features(config, said, read[paths[0]].schema)


def _about_features(config: str, said: Any, schema: Schema) -> Iterator[Finding]:
    from datasets import Features

    try:
        features = Features._from_yaml_list(said)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        yield Finding(f"README.md: {config}", f"its features cannot be read ({error})")
        return
    found = Features.from_arrow_schema(schema)
    wrong = [
        f"`{name}` is {found.get(name, 'missing')}, not {features.get(name, 'mentioned')}"
        for name in dict.fromkeys([*features, *found])
        if features.get(name) != found.get(name)
    ]
    if wrong:
        yield Finding(f"README.md: {config}", "features differ from the files: " + "; ".join(wrong[:5]))


def _difference(one: Schema, other: Schema) -> str:
    first, second = ({field.name: str(field.type) for field in schema} for schema in (one, other))
    wrong = [name for name in dict.fromkeys([*first, *second]) if first.get(name) != second.get(name)]
    return ", ".join(wrong[:5]) or "in another order"


def _infos(metadata: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Config -> its entry of README.md's `dataset_info`, which is one mapping or a list of them."""
    said = metadata.get("dataset_info") or []
    entries = said if isinstance(said, list) else [said]
    return {str(entry.get("config_name", "default")): entry for entry in entries if isinstance(entry, dict)}


def _about_infos(
    place: Place, configs: Configs, rows: Mapping[str, Mapping[str, int]], metadata: Mapping[str, Any]
) -> Iterator[Finding]:
    for config, info in _infos(metadata).items():
        where = f"README.md: {config}"
        if config not in configs:
            yield Finding(where, "dataset_info of a config that is not there")
            continue
        splits = [split for split in info.get("splits") or [] if isinstance(split, dict)]
        said = {str(split.get("name")): split.get("num_examples") for split in splits}
        if splits and said != rows[config]:
            yield Finding(where, f"says rows {said}, the files hold {rows[config]}")
        size = sum(place.files[path] for paths in configs[config].values() for path in paths)
        if info.get("download_size") not in (None, size):
            yield Finding(where, f"says download_size {info['download_size']}, the files have {size}")


def _about_counts(
    place: Place, rows: Mapping[str, Mapping[str, int]], manifest: Mapping[str, Any]
) -> Iterator[Finding]:
    """What dataset.json counts, against the files. A key that is not there says nothing."""
    default = place.default()
    kept, removed = rows.get(default or "", {}), sum(rows.get("removed", {}).values())
    said_removed = manifest.get("removed")
    facts = [
        ("kept", manifest.get("kept"), sum(kept.values())),
        ("splits", _some(manifest.get("splits")), _some(kept)),
        ("pairs", _some(manifest.get("pairs")), _some(rows.get("pairs", {})) or {}),
        ("removed", sum(said_removed.values()) if isinstance(said_removed, dict) else said_removed, removed),
        ("rows", manifest.get("rows"), sum(kept.values()) + removed),
    ]
    for key, said, found in facts:
        if said is not None and said != found:
            yield Finding("dataset.json", f"says {key} {said}, the files hold {found}")
    yield from _about_manifest_configs(place, rows, manifest.get("configs"))


def _about_manifest_configs(place: Place, rows: Mapping[str, Mapping[str, int]], said: Any) -> Iterator[Finding]:
    """dataset.json's `configs`: config -> `splits`: split -> rows, files."""
    for config, entry in said.items() if isinstance(said, dict) else ():
        splits = entry.get("splits", {}) if isinstance(entry, dict) else {}
        counts = {split: held.get("rows", 0) for split, held in splits.items() if isinstance(held, dict)}
        if _some(counts) != _some(rows.get(config, {})):
            yield Finding("dataset.json", f"says {config} has rows {counts}, the files hold {rows.get(config, {})}")
        for path in dict.fromkeys(path for held in splits.values() for path in held.get("files", ())):
            if path not in place.files:
                yield Finding(path, "dataset.json lists it, and it is not there")


def _some(counts: Any) -> Any:
    return {name: count for name, count in counts.items() if count} if isinstance(counts, Mapping) else counts


def _checksums(place: Place) -> dict[str, str]:
    """Path -> sha256, as croissant.json lists them."""
    found = _json(place, "croissant.json") or {}
    listed = found.get("distribution")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return {str(e["contentUrl"]): str(e["sha256"]) for e in entries if "contentUrl" in e and "sha256" in e}


def _about_bytes(place: Place, said: Mapping[str, str], hashes: Mapping[str, str]) -> Iterator[Finding]:
    """Checksums: what was read, what the Hub knows, what croissant.json says."""
    for path, sha in said.items():
        found = hashes.get(path) or place.digests.get(path)
        if path not in place.files:
            yield Finding(path, "croissant.json lists it, and it is not there")
        elif found not in (None, sha):
            yield Finding(path, f"croissant.json says sha256 {sha[:12]}…, it is {str(found)[:12]}…")
    for path, sha in hashes.items():
        if place.digests.get(path, sha) != sha:
            yield Finding(path, f"its bytes have sha256 {sha[:12]}…, the Hub says {place.digests[path][:12]}…")
