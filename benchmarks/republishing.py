"""What a new version of a dataset sends again: bytes of chunks that the version before does not hold.

    python -m benchmarks.republishing CORPUS [--rows 100000]

Versions are made by cotmill's own writer from a corpus and changed copies of it: 1 % more rows (further samples, a
further teacher, new problems), 1 % of the rows gone or edited (all over, or side by side), the same
rows in shards of another order. Of each: written anew, and written after the version before (`curate --after`); and the
same files by a writer without content-defined chunking.

Files are cut into chunks as Xet cuts them: a gear hash rolls over the bytes and a chunk ends where its upper 16 bits
are zero, from 8 to 128 KiB, 64 KiB on average. The table of random numbers is not Xet's: single cuts differ, averages
do not. Chunks count by their length before compression, footers of the files included; requests are not counted.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks.measure import finish
from builders.corpus import Corpus
from curation.config import CurateConfig
from curation.packaging import parquet
from curation.packaging.dataset import write_dataset

SMALLEST, LARGEST, BITS = 8 * 1024, 128 * 1024, 16
GEAR = np.frombuffer(b"".join(blake2b(bytes([b]), digest_size=8).digest() for b in range(256)), np.uint64)
SHARE = 0.01
Change = Callable[[pl.DataFrame], pl.DataFrame]


def cuts(data: bytes) -> Iterator[bytes]:
    """The chunks of a file. The hash is `h = (h << 1) + gear[byte]`: of its 64 bits only the last 64 bytes matter."""
    said = GEAR[np.frombuffer(data, np.uint8)]
    ends = []
    for start in range(0, len(said), 1 << 22):
        part = said[max(0, start - 63) : start + (1 << 22)]
        state = part.copy()
        for width in (1, 2, 4, 8, 16, 32):  # sums over windows of 2, 4 ... 64 bytes
            state[width:] += state[:-width].copy() << np.uint64(width)
        hits = np.flatnonzero(state >> np.uint64(64 - BITS) == 0) + max(0, start - 63)
        ends.append(hits[hits >= start] + 1)
    at = 0
    for end in [*np.concatenate(ends).tolist(), len(data)] if ends else []:
        if end - at < SMALLEST and end != len(data):
            continue
        while end - at > LARGEST:
            yield data[at : at + LARGEST]
            at += LARGEST
        if end > at:
            yield data[at:end]
            at = end


def chunks(folder: Path) -> dict[bytes, int]:
    """Digest -> bytes of all chunks of a dataset's Parquet files."""
    found = {}
    for file in sorted(folder.rglob("*.parquet")):
        for chunk in cuts(file.read_bytes()):
            found[blake2b(chunk, digest_size=16).digest()] = len(chunk)
    return found


def sent(before: dict[bytes, int], after: dict[bytes, int]) -> dict[str, Any]:
    new = sum(size for key, size in after.items() if key not in before)
    return {"bytes": sum(after.values()), "new": new, "share": round(new / sum(after.values()), 4)}


def without_chunking(folder: Path, out: Path) -> Path:
    """The same files by the same writer, pages cut by size."""
    for file in folder.rglob("*.parquet"):
        table, copy = pq.read_table(file), out / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        groups = pq.ParquetFile(file).metadata
        rows = groups.row_group(0).num_rows if groups.num_row_groups else 1
        coded = parquet._coded(table.schema)
        pq.write_table(
            table, copy, rows, compression="zstd", compression_level=parquet.LEVEL, use_dictionary=coded,
            write_page_index=True,
        )  # fmt: skip
    return out


def changes() -> dict[str, Change]:
    """What a second version may be."""

    def spread(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("trace_id").hash(1) % 1_000_000 < SHARE * 1_000_000)

    def again(rows: pl.DataFrame) -> pl.DataFrame:
        new = spread(rows).with_columns(
            pl.col("trace_id").str.reverse(),
            pl.col("response").str.replace(r"^", "Well. "),
            pl.col("answer").str.replace(r"^", "Well. "),
            sample_index=pl.col("sample_index") + 1000,
        )
        return pl.concat([rows, new])

    def teacher(rows: pl.DataFrame) -> pl.DataFrame:
        new = spread(rows).with_columns(pl.col("trace_id").str.reverse(), teacher=pl.lit("another"))
        return pl.concat([rows, new])

    def problems(rows: pl.DataFrame) -> pl.DataFrame:
        new = spread(rows).with_columns(
            pl.col("trace_id").str.reverse(),
            pl.col("problem_id").str.reverse(),
            question=pl.lit("Tell me: ") + pl.col("question"),
        )
        return pl.concat([rows, new])

    def edited(rows: pl.DataFrame, which: pl.Expr) -> pl.DataFrame:
        return rows.with_columns(
            pl.when(which).then(pl.lit("Well. ") + pl.col(name)).otherwise(name).alias(name)
            for name in ("response", "answer")
        )

    rank = pl.col("problem_id").rank("dense") / pl.col("problem_id").n_unique()
    beside = rank.is_between(0.5, 0.5 + SHARE)  # rows of a dataset are in the order of problem ids
    return {
        "append: further samples": again,
        "append: another teacher": teacher,
        "append: new problems": problems,
        "remove: side by side": lambda rows: rows.filter(~beside),
        "edit: all over": lambda rows: edited(rows, pl.col("trace_id").hash(1) % 1_000_000 < SHARE * 1_000_000),
        "edit: side by side": lambda rows: edited(
            rows, pl.col("problem_id").rank("dense") < pl.col("problem_id").n_unique() * SHARE
        ),
        "other order of shards": lambda rows: rows.reverse(),
    }


def corpus_of(folder: Path, rows: pl.DataFrame) -> Corpus:
    corpus = Corpus.create(folder)
    (folder / "traces").mkdir()
    for number, start in enumerate(range(0, rows.height, 16_384)):
        rows.slice(start, 16_384).write_parquet(folder / "traces" / f"part-{number:06d}.parquet")
    return corpus


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.republishing", description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--configs", action="store_true", help="with a config per teacher")
    said = parser.parse_args()
    config = CurateConfig(
        passes=[], keep="true", dedup=False, allow_overlap=True, configs=["teacher"] if said.configs else []
    )
    rows = Corpus(said.corpus).traces().head(said.rows).collect()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        write_dataset(corpus_of(base / "corpus", rows), config, base / "first", name="n")
        old = chunks(base / "first")
        plain = chunks(without_chunking(base / "first", base / "first-plain"))
        print(f"{rows.height:,} rows, {sum(old.values()) / 1e6:.1f} MB; without CDC {sum(plain.values()) / 1e6:.1f} MB")
        for name, change in changes().items():
            corpus = corpus_of(base / "changed", change(rows))
            found = {}
            for how, after in (("anew", None), ("after", base / "first")):
                write_dataset(corpus, config, base / how, name="n", after=after)
                found[how] = sent(old, chunks(base / how))
                found[f"{how}, no CDC"] = sent(plain, chunks(without_chunking(base / how, base / "plain")))
                for used in (how, "plain"):
                    shutil.rmtree(base / used)
            shutil.rmtree(base / "changed")
            print(f"{name:26}", "  ".join(f"{how} {one['share']:7.2%}" for how, one in found.items()), flush=True)
            result[name] = found
    finish("republishing", result)


if __name__ == "__main__":
    main()
