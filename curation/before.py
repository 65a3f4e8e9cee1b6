"""Where rows stood in the version of a dataset before: who keeps his place makes no new bytes.

Rows in the order of problems would put the one new row in a hundred everywhere, and change every part of every file.
With the version before at hand its rows keep their order, and new ones follow: what is sent anew is about what is new.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.errors import CotmillError
from curation.ids import halves
from curation.layout import DEFAULT, PAIRS, REMOVED

Array = NDArray[Any]
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
        from curation.places import locate

        self._place = locate(dataset)
        self._configs = self._place.configs()
        default = self._place.default()
        if default is None:
            raise CotmillError(f"{dataset} is no dataset of cotmill: it has no config `{DEFAULT}`")
        self._mine = _ids(pl.concat([_column(shard) for shard in corpus.shards()]))
        self._stood = {kind: self._read(name) for kind, name in (("kept", default), ("removed", REMOVED))}

    def version(self) -> dict[str, Any]:
        """Name and fingerprint of the version before, and its commit on the Hub."""
        said = orjson.loads(self._place.read("dataset.json")) if "dataset.json" in self._place.files else {}
        found = {key: said.get(key) for key in ("name", "fingerprint", "kept")}
        return found | ({"repo": self._place.name, "commit": self._place.commit} if self._place.commit else {})

    def places(self, kind: str, rows: Array) -> Array:
        """uint32 [rows]: places of rows of the corpus among those of their kind (kept, removed)."""
        return _found(self._mine[rows], self._stood[kind], ["hi", "lo"])

    def pairs(self, chosen: Array, rejected: Array, rules: pl.Series) -> Array:
        """uint32 [pairs]: places of pairs, each side a row of the corpus."""
        own = pl.concat([_side(self._mine[chosen], "c"), _side(self._mine[rejected], "r")], how="horizontal")
        files = [path for paths in self._configs.get(PAIRS, {}).values() for path in paths]
        held = [self._table(path, ["chosen_id", "rejected_id", "pair_rule"]) for path in files]
        if not held:
            return np.full(len(chosen), NEW, np.uint32)
        there = pl.concat(held)
        sides = [_side(_ids(there[column]), name) for column, name in (("chosen_id", "c"), ("rejected_id", "r"))]
        stood = pl.concat([*sides, there.select("pair_rule")], how="horizontal").with_row_index("at")
        return _found(own.with_columns(rules.alias("pair_rule")), stood, [n for n in stood.columns if n != "at"])

    def _read(self, config: str) -> pl.DataFrame:
        files = [path for paths in self._configs.get(config, {}).values() for path in paths]
        empty = pl.Series([], dtype=pl.String)
        ids = [self._table(path, ["trace_id"]).to_series() for path in files]
        return _ids(pl.concat([empty, *ids])).with_row_index("at")

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
