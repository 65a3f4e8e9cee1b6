"""No accuracy on questions that the student was trained on, unless one says by name that it is meant so.

What a student was trained on is named by `--trained-on`, or by the student itself: the card or the training report
beside its weights.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from builders.errors import CotmillError
from builders.yaml import read_yaml
from curation.contamination.splits import against_evaluation, describe
from training.source import find
from training.watch import Log

REPORT: Final = "train.json"
"""What training writes beside the model's directory."""


def datasets_of(model: str) -> list[str]:
    """Datasets that a model directory says it was trained on, by its card's `datasets` and its training report."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return []
    named = [*_of_card(folder / "README.md"), *_of_report(folder / REPORT), *_of_report(folder.parent / REPORT)]
    return list(dict.fromkeys(named))


def check(
    problems: pl.DataFrame, model: str, trained_on: Sequence[str | Path], waived: Collection[str], log: Log
) -> tuple[list[str], dict[str, int]]:
    """Refuse to evaluate on what was trained on.

    Args:
        problems: columns of builders.schema.PROBLEMS.
        model: its card is asked too.
        trained_on: datasets, as directories that `curate` wrote or Parquet files.
        waived: sources of problems (`gsm8k`) that may overlap.
        log: told of datasets that a card names and that are not here.

    Returns:
        Datasets that were looked at, and source -> problems that were trained on, all of them waived.

    Raises:
        CotmillError: problems of a source that is not waived were trained on; or `trained_on` names no dataset.
    """
    looked, counts = [], dict[str, int]()
    for where in dict.fromkeys([*map(str, trained_on), *datasets_of(model)]):
        path = Path(where).expanduser()
        if not path.exists():
            if where not in map(str, trained_on):
                log(f"{model} was trained on {where}, which is not here; to check it for overlap: --trained-on {where}")
                continue
            path = find(where).path
        found = against_evaluation(training_questions(path), problems)
        looked.append(where)
        hit = problems.filter(pl.col("problem_id").is_in(found["other_problem_id"].implode()))
        for source, count in hit.group_by("source").len().sort("source").iter_rows():
            counts[source] = max(count, counts.get(source, 0))
        if refused := [source for source in hit["source"].unique().sort() if source not in waived]:
            options = " ".join(f"--allow-overlap {source}" for source in refused)
            raise CotmillError(
                f"{hit.height:,} of {problems.height:,} problems were trained on ({where}), so accuracy on them says"
                f" nothing about new ones.\n{describe(found)}\nNothing was asked. Test on other problems; if it is"
                f" meant so: {options}"
            )
    return looked, counts


def training_questions(path: Path) -> pl.DataFrame:
    """Question, and problem_id and choices where there are any, of all rows to learn from, pairs included.

    Args:
        path: a dataset directory (its split `train`, or all it has), or a Parquet file. Without a column `question`,
            the last user turn of `prompt` is the question.

    Raises:
        CotmillError: there are no such files, or neither column.
    """
    files = [path] if path.is_file() else sorted(path.glob("data/*/*.parquet"))
    train = [file for file in files if file.name.startswith("train-")] or files
    if not train:
        raise CotmillError(f"{path} is no dataset: it has no data/*/*.parquet. Make one with `cotmill curate`")
    return pl.concat([_questions(file) for file in train], how="diagonal").unique("question", maintain_order=True)


def _questions(file: Path) -> pl.DataFrame:
    rows = pl.scan_parquet(file, glob=False)
    schema = rows.collect_schema()
    if "question" in schema:
        return rows.select([name for name in ("question", "problem_id", "choices") if name in schema]).collect()
    if "prompt" not in schema:
        raise CotmillError(f"{file} has no column question or prompt, so it cannot be compared with an evaluation")
    asked = pl.col("prompt")
    if isinstance(schema["prompt"], pl.List):
        user = pl.element().struct.field("role") == "user"
        asked = asked.list.eval(pl.element().filter(user).struct.field("content")).list.last()
    return rows.select(asked.alias("question")).collect()


def _of_card(card: Path) -> list[str]:
    """`datasets` of the YAML head of a model card."""
    try:
        _, head, _ = card.read_text().split("---\n", 2)
        said = (read_yaml(head) or {}).get("datasets")
    except (OSError, ValueError, AttributeError):
        return []
    return [said] if isinstance(said, str) else [str(one) for one in said or []]


def _of_report(report: Path) -> list[str]:
    """Where the rows of a training run were, as its train.json says."""
    try:
        held: dict[str, Any] = orjson.loads(report.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    source = held.get("source") or {}
    named = source.get("path") or held.get("config", {}).get("dataset") or source.get("repo")
    return [str(named)] if named else []
