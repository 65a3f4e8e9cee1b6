"""Where rows stood in the version of a dataset before: who keeps his place makes no new bytes.

Rows in the order of problems would put the one new row in a hundred everywhere, and change every part of every file.
With the version before at hand its rows keep their order and their files, and new ones follow in files of their own, so
that whole files stay as they are. Files at the end that are small beside what is new are written together with it:
many small versions do not leave many small files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.errors import CotmillError
from curation.engine.ids import halves
from curation.packaging.layout import DEFAULT, PAIRS, REMOVED

Stood = tuple[pl.DataFrame, tuple[list[str], NDArray[Any]]]
"""Ids and places of rows; names of their files, and the place of each one's first row."""
Array = NDArray[Any]
TIMES: Final = 3
"""A file at the end stays when it has at least so many times the rows that follow it."""
NEW: Final = np.uint32(2**32 - 1)
"""The place of what was not there."""


class Before:
    """Places of the rows of an earlier version, for the rows of a corpus."""

    def __init__(self, dataset: str | Path, corpus: Corpus) -> None:
        """Read the ids of both.

        Args:
            dataset: a directory, or `hf://datasets/USER/NAME[@REVISION]`.
            corpus: whose rows are asked about.

        Raises:
            CotmillError: there is no dataset, or it has no ids.
        """
        from curation.asking.places import locate

        self._place = locate(dataset)
        self._configs = self._place.configs()
        default = self._place.default()
        if default is None:
            raise CotmillError(f"{dataset} is no dataset of cotmill: it has no config `{DEFAULT}`")
        self._mine = _ids(pl.concat([_column(shard) for shard in corpus.shards()]))
        self._stood: dict[str, Stood] = {
            kind: self._read(name) for kind, name in (("kept", default), ("removed", REMOVED))
        }

    def version(self) -> dict[str, Any]:
        """Name and fingerprint of the version before, and its commit on the Hub."""
        said = orjson.loads(self._place.read("dataset.json")) if "dataset.json" in self._place.files else {}
        found = {key: said.get(key) for key in ("name", "fingerprint", "kept")}
        return found | ({"repo": self._place.name, "commit": self._place.commit} if self._place.commit else {})

    def places(self, kind: str, rows: Array) -> Array:
        """uint32 [rows]: places of rows of the corpus among those of their kind (kept, removed)."""
        return _found(self._mine[rows], self._stood[kind][0], ["hi", "lo"])

    def cuts(self, kind: str, places: Array, stem: str) -> list[int]:
        """Where files end that stay as they were: rows from the start.

        Args:
            kind: kept, removed or pairs.
            places: of the rows of an output, in order.
            stem: path of the output's files, without number and ending.
        """
        names, starts = self._stood[kind][1]
        known = places[places != NEW]
        if not len(known):
            return []
        files, sizes = np.unique(np.searchsorted(starts, known, side="right") - 1, return_counts=True)
        if any(re.sub(r"-[0-9]+-of-[0-9]+\.parquet$", "", names[file]) != stem for file in files):
            return []
        kept, new = sizes.tolist(), len(places) - len(known)
        while new and kept and kept[-1] < TIMES * new:
            new += kept.pop()
        return [int(end) for end in np.cumsum(kept)]

    def pairs(self, chosen: Array, rejected: Array, rules: pl.Series) -> Array:
        """uint32 [pairs]: places of pairs, each side a row of the corpus."""
        own = pl.concat([_side(self._mine[chosen], "c"), _side(self._mine[rejected], "r")], how="horizontal")
        there, self._stood["pairs"] = self._all(PAIRS, ["chosen_id", "rejected_id", "pair_rule"])
        sides = [_side(_ids(there[column]), name) for column, name in (("chosen_id", "c"), ("rejected_id", "r"))]
        stood = pl.concat([*sides, there.select("pair_rule")], how="horizontal").with_row_index("at")
        return _found(own.with_columns(rules.alias("pair_rule")), stood, [n for n in stood.columns if n != "at"])

    def _read(self, config: str) -> Stood:
        rows, (_, files) = self._all(config, ["trace_id"])
        return _ids(rows["trace_id"]).with_row_index("at"), files

    def _all(self, config: str, columns: list[str]) -> tuple[pl.DataFrame, Stood]:
        """Columns of a config's rows, and its files with the place of the first row of each."""
        names = [path for paths in self._configs.get(config, {}).values() for path in paths]
        held = [self._table(path, columns) for path in names]
        starts = np.cumsum([0, *(rows.height for rows in held)])[: len(names)]
        rows = pl.concat([pl.DataFrame(schema=dict.fromkeys(columns, pl.String)), *held])
        return rows, (pl.DataFrame(), (names, starts))

    def _table(self, path: str, columns: list[str]) -> pl.DataFrame:
        try:
            with self._place.open(path) as handle:
                frame = pl.from_arrow(pq.read_table(handle, columns=columns))
        except (OSError, ValueError, KeyError) as error:
            raise CotmillError(f"{self._place.name}: the ids in {path} cannot be read ({error})") from None
        assert isinstance(frame, pl.DataFrame)
        if missing := set(columns) - set(frame.columns):
            raise CotmillError(f"{self._place.name}: {path} has no column {', '.join(sorted(missing))}")
        return frame.select(pl.col(columns).cast(pl.String))


def _column(shard: Path) -> pl.Series:
    return pl.read_parquet(shard, columns=["trace_id"], glob=False)["trace_id"]


def _ids(ids: pl.Series) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(("hi", "lo"), halves(ids), strict=True)))


def _side(ids: pl.DataFrame, name: str) -> pl.DataFrame:
    return ids.rename({"hi": f"{name}_hi", "lo": f"{name}_lo"})


def _found(rows: pl.DataFrame, stood: pl.DataFrame, on: list[str]) -> Array:
    joined = rows.join(stood.unique(on, keep="first"), on=on, how="left", maintain_order="left")
    return joined["at"].fill_null(int(NEW)).to_numpy()
