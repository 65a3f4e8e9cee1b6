"""The guard between splits: no question of one may stand in another, and no test row of a source in train.

Looks at questions alone, word for word as `curation.contamination.decontaminate` does, whatever ids and golds say. It
finds the same question, and the same stem with other choices; questions that share a part are for `decontaminate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from builders.errors import CotmillError
from curation.contamination.overlap import SHORTEST, TEXTS, choice_hashes, whole_hashes, words_of

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

HELD_OUT: Final = r"(?i)^(?:test|val|valid|validation|dev|development|eval|evaluation|held[ _-]?out)(?:$|[^a-z])"
"""Names of splits that are not for training: `test`, `test-hard`, `dev_1`, `validation`; not `testing` or `devices`."""
FINDINGS: Final = pl.Schema(
    {
        "finding": pl.String(),  # one of MEANINGS
        "split": pl.String(),  # that the question would be trained on; of two that are not train, the first by name
        "problem_id": pl.String(),
        "question": pl.String(),
        "other_split": pl.String(),  # null: the source says it
        "other_problem_id": pl.String(),
        "source_split": pl.String(),
    }
)
MEANINGS: Final = {
    "same question": "the same question in two splits, word for word",
    "same stem": "the same question with other choices in two splits",
    "source split": "in train, though the source says it is held out",
}
SHOWN: Final = 3
"""Findings of each kind that a message shows."""


def overlaps(rows: pl.DataFrame) -> pl.DataFrame:
    """Problems that splits share, and held-out problems in train.

    Args:
        rows: problem_id, question, choices, split (of the output) and source_split (as the source says, or null); a
            row per problem or per trace. A missing `choices` or `source_split` is all null.

    Returns:
        A row of `FINDINGS` per problem of `split` and other split, with one problem of the latter as evidence. A stem
        of fewer than 8 words (`What is cold?`) is no finding when the choices differ.
    """
    missing: dict[str, PolarsDataType] = {"choices": pl.List(pl.String()), "source_split": pl.String()}
    rows = rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in missing.items() if name not in rows)
    once = rows.unique(["problem_id", "split"], keep="first", maintain_order=True)
    told = pl.col("source_split").str.strip_chars().str.contains(HELD_OUT) & (pl.col("split") == "train")
    parts = [once.filter(told).with_columns(finding=pl.lit("source split"))]
    if once["split"].n_unique() > 1:
        parts += _shared(once)
    found = pl.concat([FINDINGS.to_frame(), *parts], how="diagonal").select(FINDINGS.names())
    return found.sort("finding", "split", "problem_id", "other_split")


def check(rows: pl.DataFrame, *, waived: bool, where: str = "the dataset") -> pl.DataFrame:
    """Let a dataset pass, or say all that is wrong with its splits at once.

    Args:
        rows: see `overlaps`.
        waived: the user said that it is known; findings are returned and nothing is raised.
        where: what the message is about.

    Raises:
        CotmillError: there are findings; counts, examples and what to do.
    """
    found = overlaps(rows)
    if found.is_empty() or waived:
        return found
    raise CotmillError(f"{where}: training and held-out problems overlap.\n{describe(found)}\n{_REMEDY}")


_REMEDY: Final = (
    "Nothing was written. Leave out what the source holds out: keep: \"split = 'train'\". Copies of a question can be\n"
    "removed: decontaminate:against=FILE, of the held-out questions. If it is meant so: --set curate.allow_overlap=true"
)


def against_evaluation(train: pl.DataFrame, held_out: pl.DataFrame) -> pl.DataFrame:
    """Questions of an evaluation that were trained on: `overlaps` between the two.

    Args:
        train: question; problem_id and choices where there are any.
        held_out: likewise.

    Returns:
        FINDINGS, with the splits `train` and `evaluation`.
    """
    parts = []
    for name, rows in (("train", train), ("evaluation", held_out)):
        ids = pl.col("problem_id") if "problem_id" in rows else pl.int_range(pl.len()).cast(pl.String)
        choices = pl.col("choices") if "choices" in rows else pl.lit(None)
        parts.append(
            rows.select(
                ids.alias("problem_id"),
                "question",
                choices.cast(pl.List(pl.String)).alias("choices"),
                pl.lit(name).alias("split"),
            )
        )
    return overlaps(pl.concat(parts))


def describe(found: pl.DataFrame) -> str:
    """Counts by finding, each with the first examples; for messages and reports."""
    lines = []
    for finding, meaning in MEANINGS.items():
        own = found.filter(pl.col("finding") == finding)
        if own.is_empty():
            continue
        count = own["problem_id"].n_unique()
        lines.append(f"  {count:,} problem{'s' * (count != 1)}: {meaning}")
        for row in own.head(SHOWN).iter_rows(named=True):
            other = (
                f"source split `{row['source_split']}`"
                if row["other_split"] is None
                else f"{row['other_split']} {row['other_problem_id'][:8]}"
            )
            question = " ".join((row["question"] or "").split())
            cut = question[:100] + "…" * (len(question) > 100)
            lines.append(f"    {row['split']} {row['problem_id'][:8]} / {other}: {cut}")
    return "\n".join(lines)


def _shared(once: pl.DataFrame) -> list[pl.DataFrame]:
    """Findings `same question` and `same stem`."""
    stem, chosen, long = _keys(once)
    keyed = once.select("problem_id", "question", "source_split", "split").with_columns(
        stem=stem,
        chosen=chosen,
        long=long,
        order=pl.when(pl.col("split") != "train").then("split").otherwise(pl.lit("")),
    )
    asked = keyed.filter(pl.col("stem") != 0)
    # Only questions that two splits share go on: few, however many rows there are.
    several = asked.group_by("stem").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    asked = asked.join(several.select("stem"), on="stem", how="semi").sort("order", "problem_id")
    parts: list[pl.DataFrame] = []
    for finding, on in (("same question", ["stem", "chosen"]), ("same stem", ["stem"])):
        others = asked.unique([*on, "split"], keep="first", maintain_order=True).select(
            *on, other_split="split", other_problem_id="problem_id", other_order="order"
        )
        pairs = asked.join(others, on=on, how="inner")
        pairs = pairs.filter(pl.col("order") < pl.col("other_order"))
        if finding == "same stem":
            pairs = pairs.filter(pl.col("long")).join(parts[0], on=["problem_id", "split", "other_split"], how="anti")
        parts.append(pairs.with_columns(finding=pl.lit(finding)))
    return [part.select(FINDINGS.names()) for part in parts]


def _keys(rows: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Hashes of the words of questions (0: none) and of choices, and whether a question is long enough for a stem."""
    stems, chosen, long = [], [], []
    for start in range(0, rows.height, TEXTS):
        said = words_of(rows["question"][start : start + TEXTS])
        stems.append(whole_hashes(said))
        long.append(np.diff(said.offsets) >= SHORTEST)
        chosen.append(choice_hashes(rows["choices"][start : start + TEXTS])[1])
    return tuple(pl.Series(np.concatenate(parts)) for parts in (stems, chosen, long))  # type: ignore[return-value]
