"""Everything that a card counts, from the files of a dataset: `facts` is where every number in a card comes from.

What cannot be known from rows (who was asked and how, which rules decided) is read from dataset.json, and
counted against the rows where both say something. Not here: what is said about it (`render`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl

from curation.cards.funnel import contamination, funnel, stages
from curation.cards.measured import arms_measured, measure
from curation.cards.samples import samples
from curation.cards.tables import content, digests, files_of, schema_of, sizes, tables
from curation.packaging.layout import DEFAULT, REMOVED

JUDGED: Final = ("correct", "incorrect", "unparseable")
ARM: Final = ("teacher", "granularity", "format")


def facts(directory: Path) -> dict[str, Any]:
    """Count what a dataset holds.

    Returns:
        rows, kept, problems, tokens (completion tokens of kept rows; null when one has no count);
        splits: list of split, rows, problems, tokens;
        removed: list of reason, verdict, rows, the most frequent first;
        by_arm and by_level: list of (teacher,) granularity (, format), sampled, judged, correct, accuracy
            (correct / judged, unparseable counted as judged; null when nothing was), kept, tokens
            (completion tokens of the kept rows), mean_tokens;
        funnel, reasons: see `curation.cards.funnel`; contamination: see there, null when nothing was looked for;
        measured: rows (looked at), arms, defects; see `curation.cards.measured`;
        sizes: list of config, split, rows, files, bytes, loaded; columns: config -> names;
        sources: list of source, kept, removed (rows), problems (of kept rows);
        samples: up to three kept rows; files: path -> sha256; content: one sha256 of all files.

    Raises:
        CotmillError: there is no dataset at `directory`.
    """
    from curation.packaging.dataset import read_manifest  # which writes cards

    manifest = read_manifest(directory)
    configs = tables(directory, manifest)
    parts = [_counted(file, split) for split, files in configs[DEFAULT].items() for file in files]
    parts += [_counted(file, None) for file in files_of(configs, REMOVED)]
    rows = pl.concat(parts)
    mine = rows.filter(pl.col("reason").is_null())
    kept = files_of(configs, DEFAULT)
    problems = {split: _problems(files) for split, files in configs[DEFAULT].items()}
    splits = [
        {"split": name, "rows": part["rows"].sum(), "problems": problems[name], "tokens": _sum(part)}
        for (name,), part in mine.group_by("split", maintain_order=True)
    ]
    removed = files_of(configs, REMOVED)
    digest_of = digests(directory, configs)
    looked, measured, defects = measure(kept, int(mine["rows"].sum()))
    conditions = _conditions(manifest)
    return {
        "rows": int(rows["rows"].sum()),
        "kept": int(mine["rows"].sum()),
        "problems": sum(problems.values()),
        "tokens": _sum(mine),
        "splits": splits,
        "removed": rows.filter(pl.col("reason").is_not_null())
        .group_by("reason", "verdict")
        .agg(pl.col("rows").sum())
        .select("reason", "verdict", "rows")
        .sort("rows", "reason", "verdict", descending=[True, False, False])
        .to_dicts(),
        "by_arm": _by(rows, list(ARM)),
        "by_level": _by(rows, ["granularity"]),
        "funnel": stages(rows, conditions),
        "reasons": funnel(rows, removed, conditions),
        "contamination": contamination(manifest, removed, int(rows["rows"].sum())),
        "measured": {"rows": looked, "arms": arms_measured(measured), "defects": defects},
        "sizes": sizes(configs),
        "columns": {config: schema_of(configs, config).names for config in configs},
        "sources": _sources(kept, removed),
        "samples": samples(kept),
        "files": digest_of,
        "content": content(digest_of),
    }


def _conditions(manifest: dict[str, Any]) -> list[str]:
    keep = manifest.get("curate", {}).get("keep", [])
    return [keep] if isinstance(keep, str) else list(keep)


def _counted(file: Path, split: str | None) -> pl.DataFrame:
    """Rows of one file by all that the card tells apart: a card of any dataset holds one file's columns at a time.

    `unknown` counts the rows without a number of tokens.
    """
    scan = pl.scan_parquet(file, glob=False)
    if split is not None:
        why, verdict = pl.lit(None, pl.String).alias("reason"), pl.col("verdict")
    else:
        verified = "verify" in scan.collect_schema().names()
        verdict = pl.col("verify").struct.field("verdict") if verified else pl.lit(None, pl.String).alias("verdict")
        why = pl.col("reason")
    tokens = pl.col("completion_tokens")
    return (
        scan.select(*ARM, tokens, verdict, why)
        .group_by(*ARM, "verdict", "reason")
        .agg(pl.len().alias("rows"), tokens.cast(pl.Int64).sum().alias("tokens"), tokens.null_count().alias("unknown"))
        .with_columns(pl.lit(split, pl.String).alias("split"))
        .collect(engine="streaming")
    )


def _problems(files: list[Path]) -> int:
    """Problems of a split."""
    scan = pl.scan_parquet(files, glob=False)
    return int(scan.select(pl.col("problem_id").n_unique()).collect(engine="streaming").item())


def _sources(kept: list[Path], removed: list[Path]) -> list[dict[str, Any]]:
    """Where the problems come from, the largest first."""
    both = [(file, file in set(kept)) for file in (*kept, *removed)]
    rows = pl.concat(
        [pl.scan_parquet(file, glob=False).select("source", "problem_id", own=pl.lit(own)) for file, own in both]
    )
    mine = pl.col("own")
    counted = rows.group_by("source").agg(
        kept=mine.sum(), removed=(~mine).sum(), problems=pl.col("problem_id").filter(mine).n_unique()
    )
    found = counted.collect(engine="streaming")
    return found.sort("kept", "removed", "source", descending=[True, True, False], nulls_last=True).to_dicts()


def _by(rows: pl.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    stay, judged = pl.col("reason").is_null(), pl.col("verdict").is_in(JUDGED).fill_null(False)
    counted = rows.group_by(keys).agg(
        pl.col("rows").sum().alias("sampled"),
        pl.col("rows").filter(judged).sum().alias("judged"),
        pl.col("rows").filter((pl.col("verdict") == "correct").fill_null(False)).sum().alias("correct"),
        pl.col("rows").filter(stay).sum().alias("kept"),
        # Unknown is not 0: one row without a count, and there is no sum.
        pl.when(pl.col("unknown").filter(stay).sum() == 0).then(pl.col("tokens").filter(stay).sum()).alias("tokens"),
    )
    return (
        counted.with_columns(
            pl.when(pl.col("judged") > 0).then(pl.col("correct") / pl.col("judged")).alias("accuracy"),
            pl.when(pl.col("kept") > 0).then(pl.col("tokens") / pl.col("kept")).alias("mean_tokens"),
        )
        .sort(keys, nulls_last=True)
        .to_dicts()
    )


def _sum(rows: pl.DataFrame) -> int | None:
    """Tokens of these rows; null when one of them has no count."""
    return None if rows["unknown"].sum() else int(rows["tokens"].sum())
