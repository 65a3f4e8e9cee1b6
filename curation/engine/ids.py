"""Ids as numbers: 16 bytes instead of the 32 digits and more that a text takes, and sorted alike."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from builders.corpus import Corpus
from builders.errors import CorpusError

Array = NDArray[Any]


def halves(ids: pl.Series) -> tuple[Array, Array]:
    """uint64 [ids] twice: an id of 32 hex digits as the number it writes, so that both sort alike.

    Of another id the first 8 bytes and a hash; null is the largest.
    """
    frame = ids.alias("id").to_frame()
    raw = pl.col("id").str.decode("hex", strict=False)
    hexed = (pl.col("id").str.len_bytes() == 32) & raw.is_not_null()
    if frame.select(hexed.fill_null(False).all()).item():
        parts = [
            raw.bin.slice(at, 8).bin.reinterpret(dtype=pl.UInt64, endianness="big").alias(str(at)) for at in (0, 8)
        ]
        both = frame.select(parts)
        return both["0"].to_numpy(), both["8"].to_numpy()
    pairs = np.array([_other(text) for text in ids.to_list()], np.uint64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def corpus_fingerprint(corpus: Corpus) -> str:
    """128-bit hash over the sorted trace ids: how they are spread over shards does not matter.

    Raises:
        CorpusError: a shard cannot be read.
    """
    parts = []
    for shard in corpus.shards():
        try:
            parts.append(halves(pl.read_parquet(shard, columns=["trace_id"], glob=False)["trace_id"]))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise CorpusError(
                f"{shard} is not a readable trace shard: {str(error).splitlines()[0]}.\n"
                f"Move it out of {shard.parent} to go on without its rows."
            ) from None
    both = np.empty((sum(len(hi) for hi, _ in parts), 2), np.uint64)
    at = 0
    for hi, lo in parts:
        both[at : at + len(hi), 0], both[at : at + len(hi), 1] = hi, lo
        at += len(hi)
    del parts
    order = np.argsort(both[:, 0], kind="stable")
    if np.any(both[order, 0][1:] == both[order, 0][:-1]):
        order = np.lexsort((both[:, 1], both[:, 0]))
    return blake2b(both[order].astype(">u8").tobytes(), digest_size=16).hexdigest()


def _other(text: str | None) -> tuple[int, int]:
    if text is None:
        return 2**64 - 1, 2**64 - 1
    if re.fullmatch("[0-9a-fA-F]{32}", text):
        return int(text[:16], 16), int(text[16:], 16)
    data = text.encode()
    return int.from_bytes(data[:8].ljust(8, b"\0"), "big"), int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
