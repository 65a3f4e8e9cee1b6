"""What changed between two datasets, wherever they lie: rows by id, columns, and the factor table side by side.

Rows are compared by hashes: of every row its id and 64 bits are held, and only of rows that differ their columns are
read again. Files that both have, byte for byte, are not read at all. DuckDB does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from builders.errors import CotmillError
from curation.asking.places import Place, locate, register
from curation.asking.sql import reason

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

IDS: Final = (("trace_id",), ("chosen_id", "rejected_id"))
"""Columns that name a row; a config with none of these is compared as a heap of rows."""
FACTORS: Final = ("teacher", "granularity", "format")
JUDGED: Final = ("correct", "incorrect", "unparseable")
SPLIT: Final = "split_name"
EXAMPLES: Final = 5

Columns = dict[str, str]
"""Name -> type, in DuckDB's words."""


@dataclass(frozen=True)
class ConfigDiff:
    """One config in A and in B."""

    config: str
    rows: tuple[int, int]
    added: int
    """Rows of B whose id A does not have."""
    removed: int
    changed: int
    """Rows of both that differ in a column that both have, or in their split."""
    columns: dict[str, int]
    """Column -> rows in which it changed, the most frequent first."""
    new_columns: list[str]
    lost_columns: list[str]
    retyped: dict[str, str]
    """Column -> `old -> new`; its values are then compared as text."""
    examples: dict[str, list[str]]
    """added, removed, changed -> some ids."""
    same_files: int
    """Files that are in both and were not read."""


@dataclass(frozen=True)
class Diff:
    """B as seen from A."""

    a: str
    b: str
    configs: list[ConfigDiff]
    factors: list[dict[str, Any]]
    """Per teacher, granularity and format: rows (kept), mean_tokens (of these), accuracy (of all that were judged,
    removed ones too); each as a pair, null where a side has none."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not any(
            c.added or c.removed or c.changed or c.new_columns or c.lost_columns or c.retyped for c in self.configs
        )


def diff(a: str | Path, b: str | Path) -> Diff:
    """Compare two datasets.

    Args:
        a: a directory or a URL, see `curation.asking.places.locate`.
        b: the other one.

    Raises:
        CotmillError: one of them is not there, holds no Parquet, or cannot be read.
    """
    import duckdb

    one, other = locate(a), locate(b)
    for place in (one, other):
        if not place.configs():
            raise CotmillError(f"{place.name} holds no data: there is no Parquet file in it.")
    names = dict.fromkeys([*one.configs(), *other.configs()])
    with duckdb.connect(":memory:") as connection:
        register(connection, one, other)
        try:
            found = [_Config(connection, one, other, name).compare() for name in names]
            factors = _factors(connection, one, other)
        except duckdb.Error as error:
            raise CotmillError(f"{a} and {b} cannot be compared: {reason(error)}") from None
    return Diff(one.name, other.name, found, factors)


class _Config:
    """The comparison of one config."""

    def __init__(self, connection: DuckDBPyConnection, one: Place, other: Place, name: str) -> None:
        self.connection, self.name = connection, name
        self.places = (one, other)
        splits = [place.configs().get(name, {}) for place in self.places]
        self.shared = _shared(one, other, splits[0], splits[1])
        self.all = splits
        self.sources = [
            _source(place, {split: [p for p in paths if (split, p) not in skip] for split, paths in group.items()})
            for place, group, skip in zip(self.places, splits, self.shared, strict=True)
        ]

    def compare(self) -> ConfigDiff:
        columns = [self._columns(source) for source in self.sources]
        both = [name for name in columns[0] if name in columns[1]]
        retyped = {
            name: f"{columns[0][name]} -> {columns[1][name]}" for name in both if columns[0][name] != columns[1][name]
        }
        values = {name: f"{_q(name)}::varchar" if name in retyped else _q(name) for name in both}
        ids = next((ids for ids in IDS if all(name in values for name in ids)), None)
        key = (
            " || ' ' || ".join(values[name] for name in ids) if ids else f"hash({', '.join(values.values())})::varchar"
        )
        for side, source in zip("ab", self.sources, strict=True):
            self._hash(side, source, key, list(values.values()))
        counts = self._counts()
        changed = self._changed_columns(key, values) if counts["changed"] else {}
        read = [bool(source) for source in self.sources]
        return ConfigDiff(
            config=self.name,
            rows=(self._rows(0), self._rows(1)),
            **counts,
            columns=changed,
            new_columns=[name for name in columns[1] if name not in columns[0]] if all(read) else [],
            lost_columns=[name for name in columns[0] if name not in columns[1]] if all(read) else [],
            retyped=retyped,
            examples={what: self._examples(what) for what in ("added", "removed", "changed") if counts[what]},
            same_files=len(self.shared[0]),
        )

    def _columns(self, source: str) -> Columns:
        if not source:
            return {}
        rows = self.connection.execute(f"describe {source}").fetchall()
        return {str(row[0]): str(row[1]) for row in rows}

    def _hash(self, side: str, source: str, key: str, values: Sequence[str]) -> None:
        """Table `a` or `b`: id, hash of its rows (a sum, so that their order is nothing), number of rows."""
        if not source:
            select = "select ''::varchar as id, 0::hugeint as h, 0 as n where false"
        elif not values:  # the other side has no such config
            ids = next((ids for ids in IDS if set(ids) <= set(self._columns(source))), None)
            alone = " || ' ' || ".join(map(_q, ids)) if ids else "hash(columns(*))::varchar"
            alone = alone if ids else f"hash({', '.join(map(_q, self._columns(source)))})::varchar"
            select = f"select {alone} as id, 0::hugeint as h, count(*) as n from ({source}) group by 1"
        else:
            row = f"sum(hash({', '.join(values)})::hugeint)::hugeint"
            select = f"select {key} as id, {row} as h, count(*) as n from ({source}) group by 1"
        self.connection.execute(f"create or replace temp table {side} as {select}")

    def _counts(self) -> dict[str, int]:
        ask = "select coalesce(sum(greatest(x.n - coalesce(y.n, 0), 0)), 0) from {} x left join {} y using (id)"
        differ = "select count(*) from a join b using (id) where a.n = b.n and a.h <> b.h"
        return {
            "added": self._one(ask.format("b", "a")),
            "removed": self._one(ask.format("a", "b")),
            "changed": self._one(differ),
        }

    def _changed_columns(self, key: str, values: Mapping[str, str]) -> dict[str, int]:
        """Only rows that differ are read again."""
        self.connection.execute(
            "create or replace temp table differ as select id from a join b using (id) where a.n = b.n and a.h <> b.h"
        )
        hashes = ", ".join(f"sum(hash({value})::hugeint) as {_q(name)}" for name, value in values.items())
        for side, source in zip(("old", "new"), self.sources, strict=True):
            self.connection.execute(
                f"create or replace temp table {side} as select {key} as id_, {hashes} from ({source}) "
                f"where {key} in (select id from differ) group by 1"
            )
        counts = ", ".join(f"count(*) filter (o.{_q(name)} <> n.{_q(name)})" for name in values)
        row = self.connection.execute(f"select {counts} from old o join new n using (id_)").fetchone() or ()
        found = {name: int(count) for name, count in zip(values, row, strict=True) if count}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def _examples(self, what: str) -> list[str]:
        ask = {
            "added": "from b anti join a using (id)",
            "removed": "from a anti join b using (id)",
            "changed": "from a join b using (id) where a.n = b.n and a.h <> b.h",
        }[what]
        rows = self.connection.execute(f"select id {ask} order by id limit {EXAMPLES}").fetchall()
        return [str(row[0]) for row in rows]

    def _rows(self, side: int) -> int:
        source = _source(self.places[side], self.all[side])
        return self._one(f"select count(*) from ({source})") if source else 0

    def _one(self, sql: str) -> int:
        row = self.connection.execute(sql).fetchone()
        return int(row[0]) if row else 0


def _shared(
    one: Place, other: Place, a: Mapping[str, list[str]], b: Mapping[str, list[str]]
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(split, path) of the files that both sides have in the same split, byte for byte; they cancel out."""
    left, right = _by_content(one, a, other, b), _by_content(other, b, one, a)
    both = left.keys() & right.keys()
    return {(key[0], left[key]) for key in both}, {(key[0], right[key]) for key in both}


def _by_content(
    place: Place, splits: Mapping[str, list[str]], other: Place, theirs: Mapping[str, list[str]]
) -> dict[tuple[str, str], str]:
    """(split, sha256) -> path. A file here is hashed only if the other side has one of its size."""
    sizes = {(split, other.files[path]) for split, paths in theirs.items() for path in paths}
    wanted = [(s, p) for s, paths in splits.items() for p in paths if (s, place.files[p]) in sizes]
    known = [(split, path) for split, path in wanted if path in place.digests or place.filesystem is None]
    with ThreadPoolExecutor(2) as pool:
        digests = pool.map(lambda item: place.digests.get(item[1]) or place.digest(item[1]), known)
        return {(split, sha): path for (split, path), sha in zip(known, digests, strict=True)}


def _source(place: Place, splits: Mapping[str, list[str]]) -> str:
    """A SELECT of a config with the split as a column; empty when there are no files."""
    parts = []
    for split, paths in splits.items():
        files = ", ".join(_text(place.url(path)) for path in paths)
        read = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
        parts += [f"select *, {_text(split)} as {SPLIT} from {read}"] if paths else []
    return " union all by name ".join(parts)


def _factors(connection: DuckDBPyConnection, one: Place, other: Place) -> list[dict[str, Any]]:
    """The factor table of both, joined."""
    tables = [_factor_table(connection, place) for place in (one, other)]
    keys = sorted(set(tables[0]) | set(tables[1]), key=lambda key: [(value is None, str(value)) for value in key])
    return [
        dict(zip(FACTORS, key, strict=True))
        | {
            what: tuple(table[key][what] if key in table else None for table in tables)
            for what in ("rows", "mean_tokens", "accuracy")
        }
        for key in keys
    ]


def _factor_table(connection: DuckDBPyConnection, place: Place) -> dict[tuple[Any, ...], dict[str, Any]]:
    configs = place.configs()
    kept = _source(place, configs.get(place.default() or next(iter(configs)), {}))
    columns = {str(row[0]) for row in connection.execute(f"describe {kept}").fetchall()} if kept else set()
    if not {*FACTORS, "completion_tokens", "verdict"} <= columns:
        return {}
    names = ", ".join(FACTORS)
    rows = f"select {names}, completion_tokens as tokens, verdict, true as kept from ({kept})"
    if removed := _source(place, configs.get("removed", {})):
        types = {str(row[0]): str(row[1]) for row in connection.execute(f"describe {removed}").fetchall()}
        verdict = "verify.verdict" if "verify" in types else "verdict" if "verdict" in types else "null"
        rows += (
            f" union all by name select {names}, null as tokens, {verdict} as verdict, false as kept from ({removed})"
        )
    judged = f"verdict in ({', '.join(map(_text, JUDGED))})"
    found = connection.execute(
        f"select {names}, count(*) filter (kept) as n, "
        f"case when count(*) filter (kept and tokens is null) = 0 then avg(tokens) filter (kept) end, "
        f"count(*) filter (verdict = 'correct') / nullif(count(*) filter ({judged}), 0) from ({rows}) group by all"
    ).fetchall()
    return {
        tuple(row[:3]): {"rows": int(row[3]), "mean_tokens": _rounded(row[4], 1), "accuracy": _rounded(row[5], 4)}
        for row in found
    }


def _rounded(value: Any, places: int) -> float | None:
    return None if value is None else round(float(value), places)


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
