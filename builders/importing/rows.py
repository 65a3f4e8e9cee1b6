"""From drafts to rows of a corpus: typed answers, ids, reasoning apart, one table per batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from builders.answers import guess_type
from builders.identity import arm_id, problem_id
from builders.importing.recognise import Draft
from builders.problems.choices import letter_of, read_choices
from builders.problems.table import gold_value, tidied
from builders.schema import PROBLEMS, TRACES, AnswerType
from builders.teachers import Completion
from builders.traces import split_reasoning, status_of

if TYPE_CHECKING:
    from polars._typing import SchemaDict

ENGINE = "import"

_COLUMNS: SchemaDict = {
    "question": pl.String,
    "choices": pl.List(pl.Struct({"label": pl.String, "text": pl.String})),
    "letter": pl.String,
    "gold": pl.String,
    "gold_value": pl.String,
    "answer_type": pl.String,
    "response": pl.String,
    "reasoning": pl.String,
    "teacher": pl.String,
    "granularity": TRACES["granularity"],
    "format": pl.String,
    "sample_index": TRACES["sample_index"],
    "split": pl.String,
    "source": pl.String,
    "messages": TRACES["messages"],
    "finish_reason": pl.String,
    "status": pl.String,
    "meta": pl.String,
}
_DRAFT = pl.Schema(_COLUMNS)


def arm_of(teacher: str, granularity: int | None, form: str) -> tuple[str, dict[str, Any]]:
    """Id of the arm of imported traces, and what `corpus.json` keeps about it.

    Teacher, level and format are all: where the rows lay does not matter, so a file that was renamed, split or
    exported again gives the same ids.
    """
    identity, prompt = {"kind": "import", "teacher": teacher}, {"level": granularity, "format": form}
    key = arm_id(identity, prompt, {}, 0)
    return key, {"teacher": teacher, "identity": identity, "prompt": prompt, "sampling": {}, "seed": 0}


class Tables:
    """Makes tables of the drafts of one source; its answer types are settled by the first batch that has gold."""

    def __init__(self) -> None:
        self._types: dict[bool, AnswerType] = {}
        self.arms: dict[str, dict[str, Any]] = {}

    def make(self, drafts: Sequence[Draft]) -> pl.DataFrame:
        """Rows with all columns of PROBLEMS and TRACES except `trace_id`.

        `response` is null where the row is a problem only or was rejected; `sample_index` where the row does not
        say it. Teacher, format, split and source must be there.
        """
        columns = dict(zip(Draft._fields, zip(*drafts, strict=True), strict=True))
        frame = pl.DataFrame({name: columns[name] for name in _DRAFT}, schema=_DRAFT)
        refused = (pl.col("status") == "rejected") & (pl.col("response") == "")
        frame = frame.with_columns(pl.when(~refused.fill_null(False)).then("response").alias("response"))
        frame = self._problems(frame.with_row_index("row"))
        frame = frame.with_columns(*_said(frame), self._arms(frame))
        now = time.time_ns() // 1000
        return frame.with_columns(
            pl.lit(ENGINE).alias("engine"), pl.lit(now).cast(TRACES["created_at"]).alias("created_at")
        )

    def _problems(self, frame: pl.DataFrame) -> pl.DataFrame:
        choices = read_choices(frame["choices"], "import")
        letters = (
            letter_of(frame["gold"], choices, by_position=False)
            if frame["choices"].null_count() < frame.height
            else pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
        )
        tidy = tidied(frame.with_columns(choices.texts.alias("choices")))
        tidy = tidy.with_columns(said=pl.coalesce("letter", letters, "gold"), multiple=pl.col("choices").is_not_null())
        typed = tidy.with_columns(pl.coalesce("answer_type", self._guess(tidy)).alias("answer_type"))
        parts = [
            part.with_columns(pl.coalesce("gold_value", gold_value(kind, pl.col("said"))).alias("gold_value"))
            for (kind,), part in typed.group_by("answer_type")
        ]
        done = pl.concat(parts).sort("row")
        ids = map(problem_id, done["question"], done["choices"].to_list(), done["gold"])
        return done.with_columns(pl.Series("problem_id", list(ids), pl.String))

    def _guess(self, tidy: pl.DataFrame) -> pl.Expr:
        """Answer type of rows with choices, and of those without."""
        for multiple in (True, False):
            rows = tidy.filter(pl.col("answer_type").is_null(), multiple=multiple)
            if multiple not in self._types and rows["said"].null_count() < rows.height:
                self._types[multiple] = guess_type(rows["said"], rows["choices"])
        choice, other = self._types.get(True, "choice"), self._types.get(False, "text")
        return pl.when("multiple").then(pl.lit(choice)).otherwise(pl.lit(other))

    def _arms(self, frame: pl.DataFrame) -> pl.Series:
        keys = ["teacher", "granularity", "format"]
        kinds = frame.select(keys).unique()
        found = [arm_of(*kind) for kind in kinds.rows()]
        self.arms.update(found)
        ids = pl.Series("arm_id", [key for key, _ in found], pl.String)
        joined = frame.select(keys).join(
            kinds.with_columns(ids), on=keys, how="left", nulls_equal=True, maintain_order="left"
        )
        return joined["arm_id"]


def _said(frame: pl.DataFrame) -> list[pl.Series]:
    """Reasoning, answer and status, as a sampled response would have them."""
    rows = [_split(*row) for row in frame.select("response", "reasoning", "finish_reason", "status").rows()]
    names = ("reasoning", "answer", "status")
    return [pl.Series(name, values, pl.String) for name, values in zip(names, zip(*rows, strict=True), strict=True)]


def _split(
    response: str | None, reasoning: str | None, finish_reason: str | None, status: str | None
) -> tuple[str | None, str | None, str]:
    if status == "rejected" and not response:
        return None, None, status
    answer: str | None = response
    if reasoning is None and response is not None:
        reasoning, answer = _split_thought(response)
    ending = "length" if status == "truncated" else finish_reason
    return reasoning, answer, status_of(Completion(response, finish_reason=ending), max_tokens=1 << 62)


_MARKS = {"<|begin_of_thought|>": "<think>", "<|end_of_thought|>": "</think>"}
_SOLUTION = ("<|begin_of_solution|>", "<|end_of_solution|>")


def _split_thought(text: str) -> tuple[str | None, str | None]:
    """As `split_reasoning`, with OpenThoughts' own marks for `<think>`."""
    if "<|begin_of_thought|>" not in text:
        return split_reasoning(text)
    for mark, known in _MARKS.items():
        text = text.replace(mark, known)
    reasoning, answer = split_reasoning(text)
    for mark in _SOLUTION:
        answer = answer.replace(mark, "").strip() if answer else answer
    return reasoning, answer


def problems_of(rows: pl.DataFrame) -> pl.DataFrame:
    """The problems that rows are about, each once, as PROBLEMS."""
    return rows.unique("problem_id", keep="first", maintain_order=True).select(PROBLEMS.names()).cast(PROBLEMS)


def traces_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with a `trace_id`, as TRACES; columns that an import cannot know are null."""
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in TRACES.items() if name not in rows.columns]
    return rows.with_columns(missing).select(TRACES.names()).cast(TRACES)
