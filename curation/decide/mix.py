"""Quotas: how many traces of each cell stay when teachers, levels or other kinds are mixed by shares."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from builders.errors import CotmillError
from curation.config import Mix
from curation.decide.asked import BETWEEN
from curation.decide.keys import Keys
from curation.decide.rules import Rows
from curation.text.shingles import mixed


def over_quota(keys: Keys, rows: Rows, mix: Mix) -> tuple[Rows, dict[str, int]]:
    """Rows that the mix has no place for, and for each cell that has too few how many it lacks.

    Raises:
        CotmillError: a cell has too few and the mix is strict.
    """
    cells = keys.columns["mix"]
    words = ["" if word is None else word for word in keys.words["mix"]]
    counts = np.bincount(cells[rows], minlength=len(words))
    held = {word: int(count) for word, count in zip(words, counts, strict=True) if count}
    quota = quotas(held, mix)
    lacking = {cell: count - held.get(cell, 0) for cell, count in quota.items() if held.get(cell, 0) < count}
    shortfall = {named(cell): lack for cell, lack in sorted(lacking.items())}
    if shortfall and mix.strict:
        said = "\n".join(f"  {cell}: {lack:,} too few" for cell, lack in shortfall.items())
        raise CotmillError(f"curate.mix: not enough traces, and `strict` is set:\n{said}\nNothing was written.")
    most = np.array([quota.get(word, 0) for word in words], np.int64)
    shuffled = rows[np.argsort(shuffle(keys, rows, mix.seed), kind="stable")]
    frame = pl.DataFrame({"cell": cells[shuffled]})
    place = frame.select(pl.int_range(pl.len()).over("cell")).to_series().to_numpy()
    return shuffled[place >= most[cells[shuffled]]], shortfall


def quotas(held: Mapping[str, int], mix: Mix) -> dict[str, int]:
    """Cell -> how many of it are wanted; with `limit` alone, as many as there are up to it.

    Shares of a total are whole numbers by largest remainder, of equal ones the first cell's first. A listed
    cell without any trace is wanted too, and so falls short; with `total: max` at least one.
    """
    limit = mix.limit or 2**62
    if mix.shares is None:
        return {cell: min(count, limit) for cell, count in held.items()}
    if mix.shares == "equal":
        shares = {cell: 1 / len(held) for cell in sorted(held)}
    else:
        shares = {BETWEEN.join(path): share for path, share in mix.weights().items() if share > 0}
    if mix.total == "max":
        # Largest total that no cell with traces falls short of; an empty cell would make it 0.
        room = [min(held[cell], limit) / share for cell, share in shares.items() if cell in held]
        total = math.floor(min(room, default=0) + 1e-9)
    else:
        total = mix.total
    exact = {cell: share * total for cell, share in shares.items()}
    dealt = {cell: math.floor(value + 1e-9) for cell, value in exact.items()}
    rest = sorted(dealt, key=lambda cell: (dealt[cell] - exact[cell], cell))
    for cell in rest[: max(0, total - sum(dealt.values()))]:
        dealt[cell] += 1
    return {cell: min(count, limit) if cell in held else max(count, 1) for cell, count in dealt.items()}


def named(cell: str) -> str:
    """A cell as a report names it."""
    return ", ".join(cell.split(BETWEEN))


def shuffle(keys: Keys, rows: Rows, seed: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """uint64 [rows]: a hash of each trace's id and the seed."""
    salt = mixed(np.array([seed % 2**64], np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return mixed(keys.columns["trace_lo"][rows] ^ salt[0])
