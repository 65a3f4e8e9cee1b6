"""Which rows of a dataset are trained on: read, tokenised under an objective, and counted by reason where not.

A row that cannot be learnt from (no completion, too long) is left out and counted. A row that shows a fault
of template or tokenizer stops everything, as the other rows have it too: see `training.checks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from builders.errors import CotmillError
from training.objectives import Objective, Student, parse
from training.tokens import Tokens, tokenise

if TYPE_CHECKING:
    import polars as pl
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

__all__ = ["FAULTS", "LEFT_OUT", "Prepared", "Tokens", "explain", "prepare", "read_rows", "tokenise"]

LEFT_OUT: Final = {
    "empty": "without a completion",
    "too_long": "longer than max_length or the student's context, which would lose their answer and their end",
    "unanswered": "without an answer in the column `answer`",
    "unweighted": "without a number in the column `weight`",
}
"""Why a single row is not trained on."""
FAULTS: Final = {
    "refused": "the chat template refuses it",
    "reasoning": "the chat template drops its reasoning",
    "think": "its <think> tags do not come through the chat template and the tokenizer",
    "changed": "the chat template changes its prompt or completion",
    "tokenizer": "the tokenizer does not give its text back",
    "truncated": "its answer was cut off",
    "masked": "no token of it would count in the loss",
    "end": "no token that ends it would be trained, so the student would not learn to stop",
    "prompt": "the student would be trained on another prompt than it is evaluated with",
}
"""What stops a training unless `train.allow` names it."""
REASONS: Final = {**LEFT_OUT, **FAULTS}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows to train on, and how many were left out for which reason."""

    rows: list[Tokens]
    """With preference pairs: chosen, rejected, chosen, rejected ..."""
    left_out: dict[str, int]
    """Reason -> rows of the dataset."""
    fingerprint: str
    """Of all that was read, in order."""
    examples: dict[str, int] = field(default_factory=dict)
    """Reason -> number of the first such row, from 0."""
    sources: int = 0
    """Rows of the dataset that `rows` come from."""

    @property
    def tokens(self) -> int:
        """All tokens, prompts included."""
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def trained_tokens(self) -> int:
        """Those that count in the loss."""
        return sum(sum(row.completion_mask) for row in self.rows)


def read_rows(
    dataset: Path, split: str = "train", limit: int | None = None, objective: Objective | None = None
) -> Dataset:
    """Rows of a dataset directory (or of one Parquet file), with the columns that an objective reads.

    `messages` are prompt and completion too: the last turn is what is learnt. So are texts: a user's and
    an assistant's turn.

    Raises:
        CotmillError: no such directory, split or column, or not Parquet.
    """
    import polars as pl
    from datasets import Dataset

    objective = objective or parse("sft")
    files = _files(dataset, split, objective.config)
    try:
        frame = pl.scan_parquet(files)
        names = set(frame.collect_schema().names())
        if "messages" in names and not {"prompt", "completion"} <= names and "completion" in objective.reads:
            turns = pl.col("messages")
            frame = frame.with_columns(
                prompt=turns.list.head(turns.list.len() - 1), completion=turns.list.tail(1)
            ).filter(pl.col("completion").list.eval(pl.element().struct.field("role") == "assistant").list.all())
            names |= {"prompt", "completion"}
        if missing := set(objective.reads) - names:
            raise CotmillError(_lacks(files[0], missing, objective))
        wanted = [name for name in dict.fromkeys((*objective.reads, *ALSO)) if name in names]
        rows = (frame.head(limit) if limit else frame).select(wanted).collect()
        return Dataset.from_polars(rows.with_columns(_as_turns(rows)))
    except pl.exceptions.PolarsError as error:
        raise CotmillError(f"{files[0]} cannot be read as Parquet: {error}") from error


ALSO: Final = ("question", "choices", "finish_reason", "status")
"""Read where they are: what evaluation would ask, and whether the trace was cut off."""
TURNS: Final = {"prompt": "user", "completion": "assistant", "chosen": "assistant", "rejected": "assistant"}


def prepare(
    rows: Iterable[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    objective: Objective | None = None,
) -> Prepared:
    """Tokenise every row; leave out those that would teach something else than they should.

    Args:
        rows: as `read_rows` gives them.
        tokenizer: with the chat template to train under.
        max_length: longest row in tokens; None: no limit.
        objective: what is learnt of a row; default: its completion.
    """
    objective = objective or parse("sft")
    student = Student(tokenizer)
    kept: list[Tokens] = []
    left_out: Counter[str] = Counter()
    examples: dict[str, int] = {}
    state, sources = blake2b(digest_size=16), 0
    for number, row in enumerate(rows):
        state.update(orjson.dumps([row[name] for name in objective.reads]))
        made = _one(row, objective, student, max_length)
        if isinstance(made, str):
            left_out[made] += 1
            examples.setdefault(made, number)
        else:
            kept += made
            sources += 1
    return Prepared(objective.settle(kept), dict(left_out), state.hexdigest(), examples, sources)


def explain(prepared: Prepared) -> list[str]:
    """One line for each reason that rows were left out."""
    return [f"{count} rows {LEFT_OUT.get(why) or FAULTS[why]}" for why, count in sorted(prepared.left_out.items())]


def _one(row: Mapping[str, Any], objective: Objective, student: Student, most: int | None) -> list[Tokens] | str:
    if row.get("finish_reason") == "length" or row.get("status") == "truncated":
        return "truncated"
    made = objective.rows(row, student)
    if isinstance(made, str):
        return made
    if most and any(len(tokens.input_ids) > most for tokens in made):
        return "too_long"
    if not all(any(tokens.completion_mask) for tokens in made):
        return "masked"
    stops = {student.tokenizer.eos_token_id, *student.tokenizer.all_special_ids}
    ended = any(tokens.completion_mask[-1] and tokens.input_ids[-1] in stops for tokens in made)
    return made if ended else "end"


def _files(dataset: Path, split: str, config: str | None) -> list[Path]:
    """Data files of a split. Pairs are a configuration of their own, and no rows to learn from otherwise."""
    if dataset.is_file():
        return [dataset]

    def found(pattern: str) -> list[Path]:
        wanted = dataset.glob(f"data/{config or '*'}/{pattern}.parquet")
        return sorted(p for p in wanted if config or p.parent.name != "pairs")

    if files := found(f"{split}-*"):
        return files
    splits = sorted({p.name.rsplit("-", 1)[0] for p in found("*")})
    place = f"data/{config or '*'}/{split}-*.parquet"
    if splits:
        raise CotmillError(f"{dataset} has no split {split} ({place}); it has: {', '.join(splits)}")
    if config:
        raise CotmillError(
            f"{dataset} has no preference pairs ({place}).\nAsk for them in the recipe (curate.pairs) and make the"
            " dataset again: cotmill curate"
        )
    raise CotmillError(f"{dataset} has no split {split} ({place}); make one with `cotmill curate`")


def _lacks(file: Path, missing: set[str], objective: Objective) -> str:
    what = f"{file} has no column {' and '.join(sorted(missing))}: "
    if missing & set(TURNS):
        return what + (
            f"training needs {' and '.join(n for n in objective.reads if n in TURNS)}, each a list of messages"
            " (role, content), as `cotmill curate` writes them"
        )
    return what + f"the objective {objective.name} reads it. Write it into the dataset, or choose another objective"


def _as_turns(rows: pl.DataFrame) -> list[pl.Expr]:
    """A text that stands where messages belong, as one turn."""
    import polars as pl

    return [
        pl.when(pl.col(name).is_not_null())
        .then(pl.concat_list(pl.struct(role=pl.lit(role), content=pl.col(name))))
        .alias(name)
        for name, role in TURNS.items()
        if rows.schema.get(name) == pl.String
    ]
