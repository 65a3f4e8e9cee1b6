"""Rules over all traces: which are duplicates, too many of a problem, or not common; and who is in which split.

Everything here works on rows in the order of a dataset, so that "first" means the same whenever and by
whichever shards the traces came. A rule looks at rows that no rule before it removed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from builders.errors import CotmillError
from curation.config import CurateConfig
from curation.decide.asked import cell_text
from curation.decide.keys import Keys
from curation.duplicates.components import Components

Array = NDArray[Any]
Rows = NDArray[Any]
"""int64: places of rows in the order of a dataset."""
PARTS: Final = 8


def in_dataset_order(keys: Keys) -> Array:
    """Sort all columns of `keys` in place; uint32 [traces]: where each stood before.

    By problem, teacher, level, format, sample index and id of the trace. Adds the column `problem`, uint32: the number
    of a row's problem; ids of problems and the first halves of those of traces go.

    Raises:
        CotmillError: two traces have one id.
    """
    columns = keys.columns
    problem, arm = _numbered(columns.pop("problem_hi"), columns.pop("problem_lo")), _arms(keys)
    place = (problem.astype(np.uint64) << np.uint64(32)) | arm
    order = np.argsort(place, kind="stable").astype(np.uint32)
    columns["problem"] = problem
    _untie(keys, place, order)
    _refuse_doubles(keys)
    del place, problem, arm, columns["trace_hi"]
    for name in list(columns):
        columns[name] = columns[name][order]
    return order


def _numbered(hi: Array, lo: Array) -> NDArray[np.uint32]:
    """uint32 [rows]: the rank of a 128-bit number among the different ones; mostly by one sort of half the bits."""
    order = np.argsort(hi, kind="stable")
    if np.any((hi[order][1:] == hi[order][:-1]) & (lo[order][1:] != lo[order][:-1])):
        order = np.lexsort((lo, hi))
    begins = np.zeros(len(hi), np.uint32)
    begins[1:] = hi[order][1:] != hi[order][:-1]
    begins[1:] |= lo[order][1:] != lo[order][:-1]
    numbers = np.empty(len(hi), np.uint32)
    numbers[order] = np.cumsum(begins, dtype=np.uint32)
    return numbers


def _arms(keys: Keys) -> NDArray[np.uint32]:
    """uint32 [rows]: the rank of (teacher, level, format, sample index) among those that occur."""
    columns = keys.columns
    packed = np.unique(columns["sample_index"], return_inverse=True)[1].astype(np.uint64)
    samples = np.uint64(int(packed.max()) + 1)
    level = (columns["granularity"] + np.int16(128)).astype(np.uint64)
    arm = columns["teacher"].astype(np.uint64) * np.uint64(256) + level
    arm = arm * np.uint64(max(len(keys.words["format"]), 1)) + columns["format"]
    packed += arm * samples
    return np.unique(packed, return_inverse=True)[1].astype(np.uint32)


def _untie(keys: Keys, place: Array, order: Array) -> None:
    """Put rows of one place into the order of their ids; there are few such."""
    same = place[order][1:] == place[order][:-1]
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    rows = order[tied]
    hi, lo = keys.columns["trace_hi"][rows], keys.columns["trace_lo"][rows]
    order[tied] = rows[np.lexsort((lo, hi, place[rows]))]


def _refuse_doubles(keys: Keys) -> None:
    hi, lo = keys.columns["trace_hi"], keys.columns["trace_lo"]
    order = np.argsort(hi, kind="stable")
    same = hi[order][1:] == hi[order][:-1]
    alike = order[np.append(same, False) | np.insert(same, 0, False)]
    frame = pl.DataFrame({"hi": hi[alike], "lo": lo[alike]})
    if doubled := frame.height - frame.unique().height:
        raise CotmillError(_doubled(keys, doubled))


def preferred(keys: Keys, rows: Rows, how: str, own: str) -> Rows:
    """`rows` with the most preferred first; `how` names an order, or else the column `own` gives it."""
    if how == "first":
        return rows
    if how in ("shortest", "longest"):
        tokens = keys.columns["tokens"][rows].astype(np.int64)
        by = np.where(tokens < 0, np.iinfo(np.int64).max, tokens if how == "shortest" else -tokens)
    else:
        by = keys.columns[own][rows]
    return rows[np.argsort(by, kind="stable")]


def duplicates(keys: Keys, rows: Rows, name: str, unit: str) -> Rows:
    """Of rows in the order of preference, those whose group has a better one.

    Args:
        keys: in the order of a dataset.
        rows: who is compared.
        name: column with a hash of the group; 0: in none.
        unit: of a group stays one trace ("trace"), or all traces of the problem of the best one ("problem").
    """
    group, gone = keys.columns[name][rows], []
    for part in range(PARTS):  # a hash table of all groups would be the largest thing in memory
        inside = np.flatnonzero((group != 0) & (group % np.uint64(PARTS) == part))
        frame = pl.DataFrame({"group": group[inside]})
        if unit == "trace":
            worse = ~frame["group"].is_first_distinct()
        else:
            frame = frame.with_columns(problem=pl.Series(keys.columns["problem"][rows[inside]]))
            worse = frame.select(pl.col("problem") != pl.col("problem").first().over("group")).to_series()
        gone.append(rows[inside[worse.to_numpy()]])
    return np.concatenate(gone)


def too_many(keys: Keys, rows: Rows, most: int, within: Sequence[str]) -> Rows:
    """Of rows in the order of preference, those behind the first `most` with the same values of `within`."""
    frame = pl.DataFrame({name: keys.columns[name][rows] for name in within})
    place = frame.select(pl.int_range(pl.len()).over(within)).to_series()
    return rows[place.to_numpy() >= most]


def not_common(keys: Keys, rows: Rows, common: Sequence[str] | Mapping[str, list[Any]]) -> Rows:
    """Those whose problem lacks a wanted cell."""
    cells = pl.DataFrame({"problem": keys.columns["problem"][rows], "cell": keys.columns["common"][rows]}).unique()
    if isinstance(common, Mapping):
        listed = {cell_text(list(values)) for values in itertools.product(*common.values())}
        known = {word: code for code, word in enumerate(keys.words["common"])}
        codes = [known[cell] for cell in listed if cell in known]
        cells, wanted = cells.filter(pl.col("cell").is_in(codes)), len(listed)
    else:
        wanted = cells["cell"].n_unique()
    held = np.zeros(int(keys.columns["problem"][-1]) + 1, np.uint32)
    counted = cells.group_by("problem").len()
    held[counted["problem"].to_numpy()] = counted["len"].to_numpy()
    return rows[held[keys.columns["problem"][rows]] < wanted]


def split_codes(keys: Keys, config: CurateConfig) -> tuple[Array, list[str]]:
    """uint8 [traces], and the splits that the codes are. A hash of the problem's id is cut where the shares end."""
    named = [(name, share) for name, share in config.splits.items() if share > 0]
    bits = keys.columns["bits"]
    if "split_group" in keys.columns:
        bits = bits[_first_of_component(keys)]
    ends = np.cumsum([share for _, share in named])[:-1]
    cuts = np.minimum(np.round(ends * 2**32), 2**32 - 1).astype(np.uint32)
    return np.searchsorted(cuts, bits, side="right").astype(np.uint8), [name for name, _ in named]


def _first_of_component(keys: Keys) -> Array:
    """For each row a row of the first problem that its problem is connected with, through groups they share."""
    problem = keys.columns["problem"]
    starts = np.flatnonzero(np.diff(problem, prepend=np.uint32(2**32 - 1)))
    grouped = np.flatnonzero(keys.columns["split_group"])
    links = pl.DataFrame({"problem": problem[grouped], "group": keys.columns["split_group"][grouped]})
    links = links.unique().select("problem", pl.col("problem").min().over("group").alias("first")).cast(pl.Int64)
    parts = Components(len(starts))
    parts.join(links["problem"].to_numpy(), links["first"].to_numpy())
    return np.asarray(starts[parts.roots[problem]])


def _doubled(keys: Keys, doubled: int) -> str:
    corpus = keys.shards[0].parent.parent
    return (
        f"{corpus} holds {doubled:,} trace ids more than once; nothing was written. See them:\n"
        f"cotmill sql {corpus} 'select trace_id from traces group by 1 having count(*) > 1'"
    )
