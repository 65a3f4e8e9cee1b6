"""Traces that someone else wrote, sampled like any other teacher's."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from builders import config
from builders.corpus import Corpus
from builders.errors import SourceError
from builders.teachers.file import FileTeacher
from cotmill import api
from cotmill.recipe import Recipe

ADD, TAKE = "Mia has 3 apples and buys 4 more. How many?", "Tom has 9 coins and loses 2. How many?"


def row(question: object, response: object) -> dict[str, object]:
    return {"question": question, "response": response}


def write(path: Path, *rows: dict[str, object]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def teacher(*paths: Path, **more: str) -> FileTeacher:
    return FileTeacher(config.FileTeacher(kind="file", path=list(paths), **more))


def sample(
    folder: Path,
    traces: Path,
    *problems: dict[str, object],
    n: int = 1,
    columns: dict[str, str] | None = None,
    **more: object,
) -> pl.DataFrame:
    """Traces of the corpus in `folder` after sampling, by problem as given and sample index."""
    asked = write(folder / "problems.jsonl", *problems)
    recipe = Recipe.model_validate(
        {
            "name": "written",
            "problems": {"source": "file", "path": str(asked), "columns": {"gold": None, **(columns or {})}},
            "teacher": {"kind": "file", "path": str(traces), **more},
            "sample": {"n": n},
        }
    )
    api.sample(recipe, folder / "corpus")
    order = {problem["question"]: i for i, problem in enumerate(problems)}
    place = pl.col("question").replace_strict(order, default=None, return_dtype=pl.Int64)
    return Corpus(folder / "corpus").traces().sort(place, "sample_index").collect()


def test_a_problem_gets_the_trace_of_its_question(tmp_path):
    traces = write(tmp_path / "t.jsonl", row(TAKE, "9 - 2 = 7."), row(ADD, "3 + 4 = 7."))
    rows = sample(tmp_path, traces, {"question": ADD}, {"question": TAKE})
    assert rows["response"].to_list() == ["3 + 4 = 7.", "9 - 2 = 7."]
    assert rows["teacher"].to_list() == ["t", "t"]
    assert rows["status"].to_list() == ["ok", "ok"]


def test_white_space_in_a_question_does_not_matter(tmp_path):
    traces = write(tmp_path / "t.jsonl", row("  " + ADD.replace(" How", "\n\tHow"), "3 + 4 = 7."))
    assert sample(tmp_path, traces, {"question": ADD})["response"].to_list() == ["3 + 4 = 7."]


def test_the_traces_of_a_question_are_its_samples_in_the_order_they_stand(tmp_path):
    traces = write(tmp_path / "t.jsonl", row(ADD, "first"), row(TAKE, "other"), row(ADD, "second"))
    rows = sample(tmp_path, traces, {"question": ADD}, n=2)
    assert rows.select("sample_index", "response").rows() == [(0, "first"), (1, "second")]


def test_a_problem_without_a_trace_is_a_row_that_says_so(tmp_path):
    traces = write(tmp_path / "t.jsonl", row(ADD, "only one"))
    rows = sample(tmp_path, traces, {"question": ADD}, {"question": TAKE}, n=2)
    assert rows.select("response", "status", "error").rows() == [
        ("only one", "ok", None),
        (None, "rejected", "the files hold 1 traces for this question"),
        (None, "rejected", "the files hold 0 traces for this question"),
        (None, "rejected", "the files hold 0 traces for this question"),
    ]


def test_what_the_files_do_not_say_is_null(tmp_path):
    rows = sample(tmp_path, write(tmp_path / "t.jsonl", row(ADD, "7")), {"question": ADD})
    unknown = ["finish_reason", "prompt_tokens", "completion_tokens", "mean_logprob"]
    assert rows.select(unknown).row(0) == (None,) * 4


def test_choices_are_part_of_the_question_as_it_would_be_asked(tmp_path):
    traces = write(tmp_path / "t.jsonl", row("Which is cold?\nA. fire\nB. ice", "Ice is. The answer is B."))
    problem = {"question": "Which is cold?", "choices": ["fire", "ice"]}
    rows = sample(tmp_path, traces, problem, columns={"choices": "choices"})
    assert rows["response"].to_list() == ["Ice is. The answer is B."]


def test_reasoning_is_set_apart_as_for_every_teacher(tmp_path):
    traces = write(tmp_path / "t.jsonl", row(ADD, "<think>3 + 4</think>The answer is 7."))
    rows = sample(tmp_path, traces, {"question": ADD})
    assert rows.select("reasoning", "answer").row(0) == ("3 + 4", "The answer is 7.")


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
def test_every_kind_of_file_is_the_same_teacher(tmp_path, suffix):
    rows = [row(ADD, "3 + 4 = 7."), row(TAKE, 'He says "7",\nso 7.')]
    frame, path = pl.DataFrame(rows), tmp_path / f"t{suffix}"
    if suffix == ".jsonl":
        write(path, *rows)
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    elif suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    assert teacher(path).identity == teacher(write(tmp_path / "same.jsonl", *rows)).identity


def test_a_trace_that_changed_is_another_teacher(tmp_path):
    one, other = write(tmp_path / "a.jsonl", row(ADD, "7")), write(tmp_path / "b.jsonl", row(ADD, "8"))
    assert teacher(one).identity != teacher(other).identity


def test_columns_have_the_names_the_recipe_says(tmp_path):
    path = write(tmp_path / "t.jsonl", {"prompt": ADD, "completion": "7"})
    rows = sample(tmp_path, path, {"question": ADD}, question="prompt", response="completion", name="gpt-4o")
    assert rows.select("response", "teacher").row(0) == ("7", "gpt-4o")


def test_a_row_without_question_or_trace_is_passed_over(tmp_path):
    path = write(tmp_path / "t.jsonl", row(ADD, None), row(None, "7"), row(ADD, "3 + 4 = 7."))
    assert sample(tmp_path, path, {"question": ADD})["response"].to_list() == ["3 + 4 = 7."]


def test_a_missing_column_lists_those_that_are_there(tmp_path):
    path = write(tmp_path / "t.jsonl", {"prompt": ADD, "completion": "7"})
    with pytest.raises(SourceError) as caught:
        teacher(path, response="completion")
    message = str(caught.value)
    assert f"{path} has no column question; it has prompt, completion." in message
    assert "teacher.question" in message


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(SourceError, match=r"nothing\.jsonl: no such file in"):
        teacher(tmp_path / "nothing.jsonl")


def test_an_empty_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"t\.jsonl is empty"):
        teacher(write(tmp_path / "t.jsonl"))
