"""From a corpus and a recipe's `curate` section to a dataset on disk.

    data/default/<split>-00000-of-00001.parquet    kept rows: prompt, completion and where they come from; with
                                                   `curate.configs` in folders of their own, see
                                                   curation.packaging.layout
    data/pairs/<split>-*.parquet                   preference pairs, when the recipe asks for them
    removed/*.parquet                              every other row, all its columns and marks, and the reasons
    dataset.json                                   lineage: recipe, corpus, passes, versions, counts, files
    recipe.yaml                                    the recipe, for others to run
    README.md                                      the card

The directory is built beside its place and renamed, so it is there whole or not at all. The same
corpus and the same settings give the same files, byte for byte; with an earlier version to go on from (`after`) the
same rows in another order.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.disk import TEMPORARY, sync_directory, write_json
from builders.errors import CotmillError, Occupied
from builders.identity import digest
from curation.asking.places import locate
from curation.cards import write_card
from curation.cards.asked import prompts_of
from curation.config import CurateConfig
from curation.decide.select import Decision, decision, selection
from curation.engine.ids import corpus_fingerprint
from curation.engine.marks import MarkReport, mark
from curation.packaging.before import Before
from curation.packaging.lineage import engines, public, recipe_yaml, teachers
from curation.packaging.write import KEPT, prompt_text, turn, write_rows
from curation.passes import Pass, fingerprint

__all__ = ["KEPT", "DatasetReport", "corpus_fingerprint", "prompt_text", "read_manifest", "turn", "write_dataset"]

SCHEMA_VERSION: Final = 3
"""2: removed rows have `reasons`. 3: dataset.json names `configs` and their files, `parents` and `engines`."""
COUNTS: Final = (
    "rows",
    "kept",
    "removed",
    "failing",
    "splits",
    "problems",
    "pairs",
    "shortfall",
    "overlaps",
    "renamed",
)
"""What a report and dataset.json both say."""


@dataclass(frozen=True)
class DatasetReport:
    """What became of the traces."""

    dataset: str
    """The directory."""
    name: str
    fingerprint: str
    """Of the corpus, the passes and the settings."""
    rows: int
    """Traces in the corpus; kept plus removed."""
    kept: int
    removed: dict[str, int]
    """First reason -> rows, the most frequent first."""
    failing: dict[str, int]
    """Reason -> rows that it applies to, whether first or not."""
    splits: dict[str, int]
    """Split -> kept rows."""
    problems: int
    """Problems with a kept row."""
    pairs: dict[str, int] = field(default_factory=dict)
    """Split -> preference pairs."""
    shortfall: dict[str, int] = field(default_factory=dict)
    """Cell of the mixture -> traces that it lacks."""
    overlaps: int = 0
    """Questions that splits share, when the recipe allows that."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Config -> the values it stands for, where another one had a claim to the name."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Phase (mark, decide, write, card) -> wall seconds; empty when the dataset was there."""
    reused: bool = False
    """The dataset was there already, with the same fingerprint."""
    marks: MarkReport = field(default_factory=MarkReport)


def write_dataset(
    corpus: Corpus,
    config: CurateConfig,
    out: str | Path,
    *,
    name: str,
    lineage: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    after: str | Path | None = None,
    pictures: bool = False,
) -> DatasetReport:
    """Mark what is unmarked, decide, and write the dataset with its card.

    Args:
        corpus: where traces come from; gets marks, nothing else.
        config: what marks, and which marks decide.
        out: directory of the dataset.
        name: for the card.
        lineage: plain data about what made the corpus (recipe, commands); kept as it is. No part of the
            fingerprint: a recipe whose `train` section changed has the same dataset.
        overwrite: replace another dataset at `out`. When it has the same name, it is the version before.
        after: the version before, a directory or `hf://datasets/USER/NAME[@REVISION]`: its rows keep their places and
            new ones follow, so that publishing sends little more than what is new. No part of the fingerprint, as
            the rows are the same.
        pictures: whether the card gets its pictures, which takes a second or two; `write_card` draws them later, too.

    Raises:
        CotmillError: a condition is wrong (see `decide`), `out` holds something else, or no row is kept.
            Then nothing is written but marks: every trace is still in the corpus, and the message
            counts the reasons.
    """
    out, passes = Path(out), config.made_passes()
    clock = _Clock()
    marked = mark(corpus, passes)
    clock.lap("mark")
    selected = selection(config)
    identity = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "corpus": corpus_fingerprint(corpus),
        "passes": {made.name: fingerprint(made) for made in passes},
        "curate": public(config.model_dump(mode="json") | ({"select": _digest(selected)} if selected else {})),
    }
    key = digest(identity)
    if held := _held(out, key, overwrite):
        return DatasetReport(dataset=str(out), reused=True, marks=marked, **held)
    made = decision(corpus, config, passes)
    counts = _count(made, config)
    if not counts["kept"]:
        raise CotmillError(_nothing_kept(corpus, passes, counts))
    before = Before(after, corpus) if (after := after or _version_before(out, name)) else None
    clock.lap("decide")
    with in_its_place(out) as folder:
        written = write_rows(folder, corpus, config, passes, made, before)
        counts |= {"overlaps": written.overlaps, "renamed": written.renamed}
        clock.lap("write")
        manifest = {"fingerprint": key, **identity, **counts, "configs": written.configs}
        write_json(folder / "dataset.json", manifest | _lineage(corpus, identity["corpus"], before, lineage or {}))
        if isinstance(recipe := (lineage or {}).get("recipe"), Mapping):
            (folder / "recipe.yaml").write_text(recipe_yaml(recipe), encoding="utf-8")
        write_card(folder, former=_here(after), pictures=pictures)
    clock.lap("card")
    return DatasetReport(dataset=str(out), name=name, fingerprint=key, marks=marked, seconds=clock.seconds, **counts)


def read_manifest(directory: Path) -> dict[str, Any]:
    """`dataset.json` of a dataset.

    Raises:
        CotmillError: there is none, or it is not readable.
    """
    try:
        manifest: dict[str, Any] = orjson.loads((directory / "dataset.json").read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise CotmillError(
            f"{directory} is not a dataset of cotmill: its dataset.json cannot be read ({error}).\n"
            f"Make one: cotmill curate CORPUS --recipe RECIPE --out {directory}"
        ) from None
    return manifest


class _Clock:
    """Wall seconds of one phase after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase], self._last = round(now - self._last, 3), now


def _digest(selected: Sequence[NDArray[Any]]) -> str:
    """Of the ids that may be kept: the same for the same ids in another file."""
    return blake2b(b"".join(half.tobytes() for half in selected), digest_size=16).hexdigest()


def _held(out: Path, key: str, overwrite: bool) -> dict[str, Any] | None:
    """The counts of an equal dataset at `out`; None when it is to be written."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / "dataset.json").is_file():
        raise CotmillError(f"{out} exists and is not a dataset; nothing was written.\nChoose another directory: --out")
    manifest = read_manifest(out)
    if manifest.get("fingerprint") == key:
        return {k: manifest[k] for k in ("name", "fingerprint", *COUNTS)}
    if overwrite:
        return None
    raise Occupied(out, f"another dataset ({manifest.get('name')}, {manifest.get('kept', 0):,} rows)")


def _count(made: Decision, config: CurateConfig) -> dict[str, Any]:
    """The decision's counts; checks that nothing was lost."""
    counts = made.counts()
    if counts["kept"] + sum(counts["removed"].values()) != counts["rows"]:
        raise AssertionError(f"kept and removed rows do not add up: {counts}")
    return {**counts, "splits": {name: counts["splits"].get(name, 0) for name in config.splits}}


def _nothing_kept(corpus: Corpus, passes: list[Pass], counts: Mapping[str, Any]) -> str:
    reasons = "\n".join(f"  {count:>9,}  {reason}" for reason, count in counts["removed"].items())
    ask = "select * from traces"
    if any(made.name == "verify" for made in passes):
        ask = "select verdict, count(*) from marks_verify group by 1"
    return (
        f"None of {counts['rows']:,} traces is kept, so there is no dataset to write:\n{reasons}\n"
        f'All of them are still in the corpus, with their marks. See why: cotmill sql {corpus.path} "{ask}"'
    )


@contextmanager
def in_its_place(out: Path) -> Iterator[Path]:
    """Yield an empty directory beside `out`; on success it takes the place of `out`."""
    out = out.absolute()
    folder = out.with_name(f"{TEMPORARY}{os.getpid()}-{out.name}")
    old = out.with_name(f"{TEMPORARY}{os.getpid()}-old-{out.name}")
    folder.mkdir(parents=True)
    try:
        yield folder
        if out.exists():
            out.rename(old)
        folder.rename(out)
        sync_directory(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _version_before(out: Path, name: str) -> Path | None:
    """What is about to be overwritten, when it is an earlier version of the same dataset."""
    if not (out / "dataset.json").is_file() or read_manifest(out).get("name") != name:
        return None
    return out if locate(out).default() else None


def _here(after: str | Path | None) -> Path | None:
    """The version before, where it lies on this machine: its card's list of changes goes on."""
    return Path(after) if after is not None and Path(after).is_dir() else None


def _lineage(corpus: Corpus, fingerprint: str, before: Before | None, lineage: Mapping[str, Any]) -> dict[str, Any]:
    """What made the dataset, for strangers to read."""
    return {
        "teachers": teachers(corpus),
        "engines": engines(corpus),
        "prompts": public(prompts_of(corpus.manifest.get("arms", {}))),
        "parents": {
            "corpus": {"fingerprint": fingerprint, "imports": public(corpus.manifest.get("imports", {}))},
            "datasets": [before.version()] if before else [],
        },
        "lineage": public(dict(lineage)),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Versions of what decided and wrote."""
    found = {}
    for package in ("cotmill", "duckdb", "polars", "pyarrow", "math-verify"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout
            continue
    return found
