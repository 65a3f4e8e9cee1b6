"""A dataset in the layouts that trainers and other datasets have: no lock-in, nothing that is not in the dataset.

    trl               prompt, completion: conversations (SFTTrainer)
    trl-messages      messages (SFTTrainer)
    trl-preference    prompt, chosen, rejected: conversations (DPOTrainer); of the config `pairs`
    llama-factory     dataset_info.json, alpaca and sharegpt, pairs where there are any: a `dataset_dir` as it stands
    ms-swift          messages, and messages with rejected_response where there are pairs
    open-r1           a row per problem: problem, answer, generations, correctness_math_verify, messages, ...
    openthoughts      system, conversations; problem, reasoning, source, id beside them

Sources of the keys: TRL's page "Dataset formats and types"; LLaMA-Factory's data/README.md; ms-swift's page "Custom
dataset"; the cards of open-r1/OpenR1-Math-220k and open-thoughts/OpenThoughts2-1M.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from builders.disk import write_json
from builders.errors import CotmillError, Occupied
from curation.packaging.dataset import in_its_place, read_manifest
from curation.packaging.layout import DEFAULT, PAIRS, files_of, slug


def _said(column: str) -> pl.Expr:
    """The last turn's text of a conversation."""
    return pl.col(column).list.last().struct.field("content")


def _turns(role: str, content: str, user: str, assistant: str) -> pl.Expr:
    return pl.concat_list(
        pl.struct(pl.lit(user).alias(role), _said("prompt").alias(content)),
        pl.struct(pl.lit(assistant).alias(role), _said("completion").alias(content)),
    )


def _turn(role: str, column: str) -> pl.Expr:
    """One turn as ShareGPT writes it."""
    return pl.struct(pl.lit(role).alias("from"), _said(column).alias("value"))


_MESSAGES: Final = pl.concat_list("prompt", "completion")
_KNOWN: Final = ("trace_id", "problem_id", "teacher", "granularity", "format")
_ABOUT: Final = {name: pl.col(name) for name in _KNOWN}
_PAIR: Final = {name: pl.col(name) for name in ("chosen_id", "rejected_id", "problem_id")}


@dataclass(frozen=True)
class Table:
    """One table of an export."""

    columns: Mapping[str, pl.Expr]
    of: str = DEFAULT
    """The config that its rows are of; None of `pairs` is no fault unless nothing else is exported."""
    kind: str = "jsonl"
    prefix: str = ""
    """Of the names of its files, before the split."""
    info: Mapping[str, Any] | None = None
    """LLaMA-Factory's description, without the file's name."""
    by_problem: bool = False
    """Whether rows of a problem become one."""


_COLUMNS: Final = {"prompt": "instruction", "query": "input", "response": "output"}
_PAIRED: Final = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
_SHARED: Final = {"messages": "conversations"}
_CORRECT: Final = pl.col("verdict") == "correct"

FORMATS: Final[Mapping[str, tuple[Table, ...]]] = {
    "trl": (Table({"prompt": pl.col("prompt"), "completion": pl.col("completion"), **_ABOUT}, kind="parquet"),),
    "trl-messages": (Table({"messages": _MESSAGES, **_ABOUT}, kind="parquet"),),
    "trl-preference": (Table({**{n: pl.col(n) for n in ("prompt", "chosen", "rejected")}, **_PAIR}, PAIRS, "parquet"),),
    "llama-factory": (
        Table(
            {"instruction": _said("prompt"), "input": pl.lit(""), "output": _said("completion")},
            prefix="alpaca_",
            info={"columns": _COLUMNS},
        ),
        Table(
            {"conversations": _turns("from", "value", "human", "gpt")},
            prefix="sharegpt_",
            info={"formatting": "sharegpt", "columns": _SHARED},
        ),
        Table(
            {
                "instruction": _said("prompt"),
                "input": pl.lit(""),
                "chosen": _said("chosen"),
                "rejected": _said("rejected"),
            },
            PAIRS,
            prefix="alpaca_pairs_",
            info={"ranking": True, "columns": _PAIRED},
        ),
        Table(
            {
                "conversations": pl.concat_list(_turn("human", "prompt")),
                "chosen": _turn("gpt", "chosen"),
                "rejected": _turn("gpt", "rejected"),
            },
            PAIRS,
            prefix="sharegpt_pairs_",
            info={
                "formatting": "sharegpt",
                "ranking": True,
                "columns": {**_SHARED, "chosen": "chosen", "rejected": "rejected"},
            },
        ),
    ),
    "ms-swift": (
        Table({"messages": _MESSAGES}),
        Table(
            {"messages": pl.concat_list("prompt", "chosen"), "rejected_response": _said("rejected")},
            PAIRS,
            prefix="pairs_",
        ),
    ),
    "open-r1": (
        Table(
            {
                "problem": pl.col("question").first(),
                "answer": pl.col("gold").first(),
                "source": pl.col("source").first(),
                "uuid": pl.col("problem_id").first(),
                "generations": _said("completion"),
                "correctness_math_verify": _CORRECT,
                "correctness_count": _CORRECT.sum().cast(pl.Int64),
                "messages": _MESSAGES.first(),
            },
            kind="parquet",
            by_problem=True,
        ),
    ),
    "openthoughts": (
        Table(
            {
                "system": pl.lit(None, pl.String),
                "conversations": _turns("from", "value", "user", "assistant"),
                "problem": pl.col("question"),
                "reasoning": pl.col("reasoning"),
                "source": pl.col("source"),
                "id": pl.col("trace_id"),
            },
            kind="parquet",
        ),
    ),
}


def export_dataset(
    dataset: str | Path, out: str | Path, to: str, *, config: str = DEFAULT, overwrite: bool = False
) -> dict[str, Any]:
    """Write a dataset in the layout of another tool: a directory with a file per split, whole or not at all.

    Args:
        dataset: a directory that `cotmill curate` made, or a run.
        out: a new directory.
        to: one of `FORMATS`.
        config: which of the dataset's configs; pairs are always those of the whole dataset.
        overwrite: replace what is at `out`.

    Returns:
        dataset, to, out, files (name -> rows).

    Raises:
        CotmillError: no such dataset, format or config, or the dataset has no pairs to export.
        Occupied: there is something at `out`.
    """
    folder, out = Path(dataset), Path(out)
    folder = folder / "dataset" if (folder / "dataset" / "dataset.json").is_file() else folder
    if to not in FORMATS:
        raise CotmillError(f"--to {to}: there is no such format of datasets; known: {', '.join(FORMATS)}")
    manifest = read_manifest(folder)
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise Occupied(out, "files")
    tables = [table for table in FORMATS[to] if table.of == DEFAULT or manifest.get("pairs")]
    if not tables:
        raise CotmillError(
            f"{folder} has no preference pairs.\n"
            "Ask for them in the recipe (curate.pairs) and make it again: cotmill curate"
        )
    files: dict[str, int] = {}
    described: dict[str, Any] = {}
    with in_its_place(out) as made:
        for table in tables:
            of = config if table.of == DEFAULT else PAIRS
            for split, rows in _splits(folder, manifest, of):
                name = f"{table.prefix}{split}.{table.kind}"
                files[name] = _write(rows, table, made / name)
                if table.info:
                    described[_entry(manifest["name"], table.prefix, split)] = {"file_name": name, **table.info}
        if described:
            write_json(made / "dataset_info.json", described)
    return {"dataset": str(folder), "to": to, "out": str(out), "files": files}


def _splits(folder: Path, manifest: Mapping[str, Any], config: str) -> list[tuple[str, pl.LazyFrame]]:
    files_of(folder, config)  # says what there is when there is no such config
    held = manifest["configs"][config]["splits"]
    return [(split, pl.scan_parquet(files_of(folder, config, split), glob=False)) for split in held]


def _write(rows: pl.LazyFrame, table: Table, path: Path) -> int:
    columns = [expression.alias(name) for name, expression in table.columns.items()]
    if table.by_problem:
        rows = rows.group_by("problem_id", maintain_order=True).agg(columns)
        rows = rows.drop("problem_id")
    else:
        rows = rows.select(columns)
    _SINKS[table.kind](rows, path)
    if table.kind == "parquet":
        return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    with path.open("rb") as handle:
        return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b""))


def _entry(name: str, prefix: str, split: str) -> str:
    """What LLaMA-Factory calls it: `name_alpaca`, and the split where it is not train."""
    parts = [slug(name), *prefix.strip("_").split("_"), *([] if split == "train" else [split])]
    return "_".join(parts)


_SINKS: Final[Mapping[str, Callable[[pl.LazyFrame, Path], None]]] = {
    "jsonl": lambda rows, path: rows.sink_ndjson(path, check_extension=False),
    "parquet": lambda rows, path: rows.sink_parquet(path),
}
