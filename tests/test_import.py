"""Traces that others wrote: every layout, what bad input gets, and that the way out and in again changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.corpus import Corpus
from builders.errors import SourceError
from builders.importing import Options, export_traces, import_traces, read_map
from builders.importing.lettered import split_choices
from builders.importing.released import said_by_name
from builders.schema import PROBLEMS, TRACES

ASKED, SAID = "Mia has 3 apples and buys 4 more. How many?", "3 + 4 = 7. The answer is 7"


def write(path: Path, *rows: Any) -> Path:
    """A JSON array or JSON lines, by suffix; a string is a line as it stands."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text(f"[{','.join(lines)}]" if path.suffix == ".json" else "\n".join(lines) + "\n")
    return path


def bring(folder: Path, *rows: Any, name: str = "t.jsonl", **options: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Traces of a corpus that holds these rows, in their order, and the account."""
    source = write(folder / name, *rows)
    summary = import_traces([str(source)], folder / "corpus", Options(**{"teacher": "ann", **options}))
    return Corpus(folder / "corpus").traces().collect(), summary


def only(folder: Path, row: Any, *columns: str, **options: Any) -> tuple[Any, ...]:
    """These columns of the one trace of a row."""
    traces, _ = bring(folder, row, **options)
    return traces.select(columns).row(0) if traces.height == 1 else (traces.height, "traces")


# What is recognised.

MATH = {"problem": ASKED, "level": "Level 3", "type": "Algebra", "solution": "by hand", "output": "7"}

LAYOUTS = {
    "A": ({"instruction": ASKED, "output": SAID}, None),
    "B": ({"instruction": ASKED, "output": SAID, "source": "aqua"}, None),
    "C": ({**MATH, "chatgpt_output": SAID}, "7"),
    "D": ({**MATH, "gemini_output": SAID}, "7"),
    "E": ({**MATH, "llama_output": SAID, "granularity_level": 4}, "7"),
    "alpaca": ({"instruction": ASKED, "input": "", "output": SAID}, None),
    "question, answer": ({"question": ASKED, "answer": SAID}, None),
    "question, rationale, answer": ({"question": ASKED, "rationale": SAID, "answer": "7"}, "7"),
    "problem, solution": ({"problem": ASKED, "solution": SAID}, None),
    "problem, solution, answer": ({"problem": ASKED, "solution": SAID, "answer": "7"}, "7"),
    "prompt, completion": ({"prompt": ASKED, "completion": SAID}, None),
    "prompt, response": ({"Prompt": ASKED, "Response": SAID}, None),
    "Body, Question": ({"Body": ASKED[:33], "Question": ASKED[34:], "Response": SAID, "Answer": 7.0}, "7.0"),
    "turns as a prompt": (
        {"prompt": [{"role": "user", "content": ASKED}], "completion": [{"role": "assistant", "content": SAID}]},
        None,
    ),
    "ShareGPT": ({"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": SAID}]}, None),
    "OpenAI": ({"messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]}, None),
    "parts": (
        {"messages": [{"role": "user", "content": [{"text": ASKED}]}, {"role": "assistant", "content": SAID}]},
        None,
    ),
    "Open-R1": (
        {
            "problem": ASKED,
            "solution": "s",
            "answer": "7",
            "generations": [SAID],
            "correctness_count": 1,
            "messages": [],
        },
        "7",
    ),
    "OpenMath": ({"problem": ASKED, "generated_solution": SAID, "expected_answer": "7"}, "7"),
}


@pytest.mark.parametrize(("row", "gold"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_recognised(tmp_path, row, gold):
    assert only(tmp_path, row, "question", "response", "gold") == (ASKED, SAID, gold)


def test_schema_e_names_the_granularity_and_its_level_is_a_difficulty(tmp_path):
    assert only(tmp_path, LAYOUTS["E"][0], "granularity") == (4,)
    meta = Corpus(tmp_path / "corpus").problems().collect()["meta"][0]
    assert json.loads(meta) == {"level": "Level 3", "type": "Algebra", "solution": "by hand"}


def test_schema_f_holds_traces_under_the_key_of_another_teacher(tmp_path):
    usual = [{**MATH, "problem": f"{i}?", "gemini_output": SAID} for i in range(3)]
    strays = [{**MATH, "gemini_output": "", "chatgpt_output": SAID}, {**MATH, "problem": "b", "chatgpt_output": SAID}]
    traces, summary = bring(tmp_path, *usual, *strays)
    assert traces["response"].to_list() == [SAID] * 5
    assert summary["misplaced"] == {"chatgpt_output": 2}


def test_gold_is_no_trace_where_the_teachers_own_key_is_missing(tmp_path):
    traces, summary = bring(tmp_path, {**MATH, "gemini_output": SAID}, {**MATH, "problem": "other"})
    assert traces.select("response", "gold", "status").rows() == [(SAID, "7", "ok"), ("", "7", "empty")]
    assert summary["without_response"] == 1


@pytest.mark.parametrize(
    "row", [{"instruction": ASKED, "label": "7"}, {"instruction": ASKED, "label": "7", "output": ""}]
)
def test_schema_g_is_a_problem_without_a_trace(tmp_path, row):
    traces, summary = bring(tmp_path, row)
    assert (traces.height, summary["problems_only"], summary["without_response"]) == (0, 1, 0)
    assert Corpus(tmp_path / "corpus").problems().collect()["gold"].to_list() == ["7"]


def test_keys_may_change_from_row_to_row(tmp_path):
    rows = [{"question": "a", "response": "1"}, {"instruction": "b", "output": "2"}, {"problem": "c", "solution": "3"}]
    traces, _ = bring(tmp_path, *rows)
    assert traces.select("question", "response").rows() == [("a", "1"), ("b", "2"), ("c", "3")]


def test_an_input_belongs_to_the_question(tmp_path):
    row = {"instruction": "Add these.", "input": "3 and 4", "output": "7"}
    assert only(tmp_path, row, "question", "response") == ("Add these.\n3 and 4", "7")


def test_a_trace_under_input_is_found_and_counted(tmp_path):
    rows = [{"instruction": f"{i}?", "input": "", "output": "1"} for i in range(2)]
    traces, summary = bring(tmp_path, *rows, {"instruction": ASKED, "input": SAID, "output": ""})
    assert traces.select("question", "response").row(2) == (ASKED, SAID)
    assert summary["misplaced"] == {"input": 1}


def test_generations_are_samples_of_one_problem(tmp_path):
    row = {"problem": ASKED, "answer": "7", "generations": ["a", "a", None], "finish_reasons": ["stop", "length", None]}
    traces, _ = bring(tmp_path, row)
    columns = traces.select("sample_index", "response", "status", "finish_reason")
    assert columns.rows() == [(0, "a", "ok", "stop"), (1, "a", "truncated", "length"), (2, "", "empty", None)]


def test_a_system_prompt_stays_with_the_trace(tmp_path):
    turns = [{"from": "user", "value": ASKED}, {"from": "assistant", "value": SAID}]
    (messages,) = only(tmp_path, {"system": "Think.", "conversations": turns}, "messages")
    assert messages == [{"role": "system", "content": "Think."}, {"role": "user", "content": ASKED}]


THOUGHT = {
    "think": {"response": "<think>3 + 4</think>\nIt is 7."},
    "OpenThoughts": {
        "response": "<|begin_of_thought|>\n3 + 4\n<|end_of_thought|>\n<|begin_of_solution|>It is 7.<|end_of_solution|>"
    },
    "key of its own": {"thinking": "3 + 4", "response": "It is 7."},
    "question, reasoning, answer": {"reasoning": "3 + 4", "answer": "It is 7."},
}


@pytest.mark.parametrize("row", THOUGHT.values(), ids=THOUGHT)
def test_reasoning_is_set_apart(tmp_path, row):
    assert only(tmp_path, {"question": ASKED, **row}, "reasoning", "answer") == ("3 + 4", "It is 7.")


def test_a_map_goes_before_what_is_recognised_and_reaches_into_objects(tmp_path):
    row = {"question": {"stem": ASKED}, "response": "no", "cot": SAID, "key": "7"}
    columns = read_map("question=question.stem, response=cot,gold=key")
    assert only(tmp_path, row, "question", "response", "gold", columns=columns) == (ASKED, SAID, "7")


@pytest.mark.parametrize(
    "row",
    [
        {"choices": ["fire", "ice"], "answer": 1},
        {"options": ["A) fire", "B) ice"], "correct": "B"},
        {"choices": {"label": ["A", "B"], "text": ["fire", "ice"]}, "answerKey": "B"},
        {"A": "fire", "B": "ice", "gold": "ice"},
        {"choices": '["fire", "ice"]', "gold": "B"},
    ],
)
def test_choices_of_every_layout_are_kept(tmp_path, row):
    row = {"question": "Which is cold?", "rationale": "Ice is.", **row}
    found = only(tmp_path, row, "choices", "gold_value", "answer_type")
    assert found == (["fire", "ice"], "B", "choice")


@pytest.mark.parametrize(
    "question",
    [
        "Which is cold? (A) fire (B) ice",
        "Which is cold? A: fire, B: ice",
        "Which is cold?\nA. fire\nB. ice",
        "Which is cold?\nAnswer Choices: A) fire B) ice",
    ],
)
def test_lettered_choices_are_taken_out_of_the_question(tmp_path, question):
    row = {"instruction": question, "output": "Ice is.", "label": "Option B"}
    assert only(tmp_path, row, "question", "choices", "gold_value") == ("Which is cold?", ["fire", "ice"], "B")


@pytest.mark.parametrize(
    "question", ["Is (A) or (B) right?", "(A) one (B) two", "Vitamin A: what is it?", "Pick. (A) x (C) y", "Let A) be."]
)
def test_a_question_that_does_not_end_in_choices_stays_whole(question):
    assert split_choices(question) is None


# Gold.


def test_an_answers_file_gives_gold_by_question_white_space_aside(tmp_path):
    answers = write(tmp_path / "a.json", {"instruction": f"  {ASKED} ".replace(" How", "\n How"), "output": "7"})
    row = {"instruction": ASKED, "output": SAID}
    assert only(tmp_path, row, "gold", "gold_value", "answer_type", answers=answers) == ("7", "7", "number")


def test_a_question_answered_in_two_ways_has_no_gold(tmp_path):
    rows = [{"instruction": q, "output": a} for q, a in [(ASKED, "7"), (ASKED, "8"), ("b", "1")]]
    answers = write(tmp_path / "a.json", *rows)
    _, summary = bring(tmp_path, {"instruction": ASKED, "output": SAID}, answers=answers)
    assert summary["without_gold"] == 1


def test_truth_values_beside_a_trace_judge_it(tmp_path):
    assert only(tmp_path, {"prompt": ASKED, "completion": SAID, "label": True}, "gold") == (None,)


# What a file is, and how often it is imported.


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
def test_every_kind_of_file_gives_the_same_traces(tmp_path, suffix):
    rows = [{"question": ASKED, "response": SAID}, {"question": 'b,\n"c"', "response": 'x\r\ny, "z"'}]
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    elif suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        write(path, *rows)
    import_traces([str(path)], tmp_path / "corpus", Options(teacher="ann"))
    traces = Corpus(tmp_path / "corpus").traces().select("question", "response").collect()
    assert traces.rows() == [tuple(row.values()) for row in rows]


def test_a_directory_like_a_dataset_of_the_hub_is_read(tmp_path, monkeypatch):
    (tmp_path / "own" / "set").mkdir(parents=True)
    write(tmp_path / "own" / "set" / "test.jsonl", {"problem": ASKED, "generations": [SAID, "7"]})
    monkeypatch.chdir(tmp_path)
    summary = import_traces(["hf://datasets/own/set"], tmp_path / "corpus", Options(teacher="r1", split="test"))
    traces = Corpus(tmp_path / "corpus").traces().collect()
    assert summary["imported"] == 2
    assert traces.select("sample_index", "split", "source").rows() == [(0, "test", "own/set"), (1, "test", "own/set")]


def test_rows_are_read_in_the_layout_of_the_corpus(tmp_path):
    traces, _ = bring(tmp_path, {"question": ASKED, "response": SAID})
    assert traces.schema == TRACES
    assert Corpus(tmp_path / "corpus").problems().collect_schema() == PROBLEMS


def test_importing_again_adds_nothing(tmp_path):
    rows = [{"question": "a", "response": text} for text in ("1", "2", "1", "")]
    first, one = bring(tmp_path, *rows)
    again, two = bring(tmp_path, *reversed(rows), name="renamed.jsonl")
    assert (one["imported"], one["duplicated"], one["traces"]) == (3, 1, 4)
    assert (two["imported"], two["held"], two["new_problems"]) == (0, 4, 0)
    assert again.equals(first)


def test_another_teacher_level_or_format_is_another_arm(tmp_path):
    for options in ({}, {"teacher": "bob"}, {"granularity": 2}, {"format": "symbolic"}, {}):
        traces, _ = bring(tmp_path, {"question": ASKED, "response": SAID}, **options)
    assert traces.select("teacher", "granularity", "format").rows() == [
        ("ann", None, "original"), ("bob", None, "original"), ("ann", 2, "original"), ("ann", None, "symbolic"),
    ]  # fmt: skip
    assert set(Corpus(tmp_path / "corpus").manifest["arms"]) == set(traces["arm_id"])


def test_a_sample_index_that_is_taken_gives_way(tmp_path):
    bring(tmp_path, {"question": "a", "response": "mine", "sample_index": 0})
    for _ in range(2):
        traces, summary = bring(tmp_path, {"question": "a", "response": "other", "sample_index": 0}, name="u.jsonl")
    assert traces.select("sample_index", "response").rows() == [(0, "mine"), (1, "other")]
    assert summary["held"] == 1


def test_samples_with_an_index_may_say_the_same(tmp_path):
    rows = [{"question": "a", "response": "7", "sample_index": i} for i in (0, 1)]
    assert bring(tmp_path, *rows)[0]["sample_index"].to_list() == [0, 1]


def test_the_names_of_released_files_say_level_and_format(tmp_path):
    row = {"instruction": ASKED, "output": SAID}
    traces, _ = bring(tmp_path, row, name="0_SVAMP_chatgpt_level5RaR.json")
    assert traces.select("granularity", "format").row(0) == (5, "rephrase_and_respond")
    traces, _ = bring(tmp_path, row, name="0_SVAMP_chatgpt_level5RaR.json", granularity=1, format="x")
    assert traces.select("granularity", "format").row(1) == (1, "x")
    assert said_by_name("my_level3") == (None, None)


# What bad input gets.

ODD: dict[str, tuple[Any, str, str, str]] = {
    "null": (None, "", "empty", ""),
    "empty": ("", "", "empty", ""),
    "blank": (" \n", " \n", "empty", ""),
    "number": (7, "7", "ok", "responses that are no text, written as text"),
    "truth": (True, "true", "ok", "responses that are no text, written as text"),
    "NUL": ("a\x00b", "a\x00b", "ok", "responses with NUL"),
    "long": ("x" * 1_000_001, "x" * 1_000_001, "ok", "responses above 1,000,000 characters"),
    "surrogate": ("a\ud800b", "a?b", "ok", "texts with lone surrogates, replaced by ?"),
    "right to left": ("الجواب 7 🙂", "الجواب 7 🙂", "ok", ""),
}


@pytest.mark.parametrize(("response", "kept", "status", "note"), ODD.values(), ids=ODD)
def test_an_odd_response_is_kept_and_counted(tmp_path, response, kept, status, note):
    traces, summary = bring(tmp_path, {"question": ASKED, "response": response})
    assert traces.select("response", "status").row(0) == (kept, status)
    assert summary["without_response"] == (status == "empty")
    assert summary["notes"] == ({note: 1} if note else {})


LEFT_OUT: dict[str, tuple[Any, str]] = {
    "no question": ({"question": None, "response": "7"}, "no question"),
    "blank question": ({"question": " ", "response": "7"}, "no question"),
    "object": ({"question": ASKED, "response": {"text": "7"}}, "the response is an object, not text"),
    "torn": ('{"question": "a", "respo', "not JSON"),
    "array": ("[1, 2]", "a JSON array, not an object"),
    "two questions": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        "several user turns",
    ),
    "choices": ({"question": "a", "choices": "[1 2]", "response": "7"}, "unreadable choices"),
}


@pytest.mark.parametrize(("row", "reason"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_row_that_cannot_be_a_trace_costs_itself_only(tmp_path, row, reason):
    good = {"question": ASKED, "response": SAID}
    for _ in range(2):  # listed once, however often it is met
        traces, summary = bring(tmp_path, good, row)
    (left,) = [json.loads(line) for line in (tmp_path / "corpus" / "unimported.jsonl").read_text().splitlines()]
    assert traces.height == 1
    assert summary["unimported"] == {reason: 1}
    assert (left["source"], left["line"], left["reason"][: len(reason)]) == (str(tmp_path / "t.jsonl"), 2, reason)


def test_rows_of_another_source_stay_listed(tmp_path):
    bring(tmp_path, {"question": "a", "response": "1"}, "{", name="one.jsonl")
    bring(tmp_path, {"question": "a", "response": "1"}, "{", name="two.jsonl")
    listed = (tmp_path / "corpus" / "unimported.jsonl").read_text().splitlines()
    assert [Path(json.loads(line)["source"]).name for line in listed] == ["one.jsonl", "two.jsonl"]


def test_a_ragged_line_of_csv_costs_itself_only(tmp_path):
    (tmp_path / "t.csv").write_text("question,response\na,1\nb,2,3\nc,4\n")
    summary = import_traces([str(tmp_path / "t.csv")], tmp_path / "corpus", Options(teacher="ann"))
    assert (summary["imported"], summary["unimported"]) == (2, {"3 fields where the header has 2": 1})


def test_every_row_is_accounted_for(tmp_path):
    rows = [row for row, _ in LEFT_OUT.values()] + [row for row, _ in LAYOUTS.values()]
    _, summary = bring(tmp_path, *rows, *rows)
    assert summary["rows"] == 2 * len(rows) == summary["traces"] + sum(summary["unimported"].values())
    assert summary["traces"] == summary["imported"] + summary["held"] + summary["duplicated"]


def refused(folder: Path, *sources: Path | str, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        import_traces([str(source) for source in sources], folder / "corpus", Options(**options))
    assert not (folder / "corpus").exists()
    return str(caught.value)


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_written(tmp_path):
    good, odd = write(tmp_path / "t.jsonl", {"question": "a", "answer": "b"}), write(tmp_path / "o.jsonl", {"x": 1})
    message = refused(
        tmp_path, good, odd, tmp_path / "gone.json", teacher="ann", granularity=7, columns={"colour": "q"}
    )
    assert "granularity 7 is outside 1 (coarsest) to 6 (finest)" in message
    assert "there is no 'colour'" in message
    assert "gone.json: no such file" in message
    assert "o.jsonl" in message


def test_columns_that_fit_nothing_are_listed_with_what_is_known(tmp_path):
    message = refused(tmp_path, write(tmp_path / "t.jsonl", {"colour": "red", "size": 3}), teacher="ann")
    assert "Columns found: colour, size." in message
    assert "problem, question_stem" in message
    assert "--map question=COLUMN,response=COLUMN" in message


def test_a_mapped_column_that_is_not_there_is_named(tmp_path):
    path = write(tmp_path / "t.jsonl", {"question": "a", "response": "b"})
    assert "has no column cot; it has question, response." in refused(
        tmp_path, path, teacher="ann", columns={"response": "cot"}
    ).replace("\n  ", "\n")


def test_somebody_must_have_written_the_traces(tmp_path):
    path = write(tmp_path / "t.jsonl", {"question": "a", "response": "b"})
    assert "Say it: --teacher NAME" in refused(tmp_path, path)


def test_rows_that_do_not_say_who_wrote_them_are_left_out_where_others_do(tmp_path):
    rows = [{"question": "a", "response": "1"}, {"question": "b", "response": "2", "teacher": "bob"}]
    traces, summary = bring(tmp_path, *rows, teacher=None)
    assert traces["teacher"].to_list() == ["bob"]
    assert summary["unimported"] == {"no teacher": 1}


def test_a_map_that_is_no_map_is_refused():
    with pytest.raises(SourceError, match="question is not role=column"):
        read_map("question,response=r")


# Out, and in again.

HELD = [
    "trace_id", "problem_id", "question", "choices", "gold", "gold_value", "answer_type", "teacher", "granularity",
    "format", "sample_index", "split", "source", "response", "reasoning", "answer", "status", "finish_reason",
]  # fmt: skip


def held(corpus: Path) -> list[tuple[Any, ...]]:
    return Corpus(corpus).traces().select(HELD).sort("trace_id").collect().rows()


TEXT = st.text(st.characters(), max_size=30)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"question": TEXT.filter(str.strip)},
        optional={
            "response": TEXT | st.none() | st.builds("<think>{}</think>{}".format, TEXT, TEXT),
            "thinking": TEXT,
            "gold": TEXT,
            "choices": st.lists(TEXT, max_size=3),
            "sample_index": st.integers(0, 3),
            "granularity": st.integers(1, 6),
            "format": st.sampled_from(["original", "symbolic"]),
            "split": TEXT,
            "teacher": st.sampled_from(["ann", "bob"]),
            "finish_reason": st.sampled_from(["stop", "length"]),
        },
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_import_export_import_is_the_identity(tmp_path_factory, suffix, rows):
    folder = tmp_path_factory.mktemp("trip")
    # Every row has a key for a trace; the first says who wrote it, the others may leave it to be filled in.
    rows = [{"response": None, "teacher": "cy", **row} for row in rows]
    import_traces([str(write(folder / "t.jsonl", *rows))], folder / "one", Options())
    out = folder / f"out.{suffix}"
    assert export_traces(folder / "one", out)["rows"] == len(held(folder / "one"))
    import_traces([str(out)], folder / "two", Options())
    assert held(folder / "two") == held(folder / "one")


@pytest.mark.parametrize("layout", ["messages", "sharegpt", "alpaca"])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_a_layout_for_training_holds_question_choices_gold_and_trace(tmp_path, layout, suffix):
    rows = [
        {"question": ASKED, "response": SAID, "gold": "7"},
        {"question": "Which is cold?", "choices": ["fire", "ice"], "response": "<think>ice</think>B", "gold": "B"},
        {"question": "Nothing?", "response": ""},
    ]
    bring(tmp_path, *rows, granularity=3)
    out = tmp_path / f"out.{suffix}"
    export_traces(tmp_path / "corpus", out, layout)
    import_traces([str(out)], tmp_path / "two", Options())
    assert held(tmp_path / "two") == held(tmp_path / "corpus")


def test_reasoning_apart_goes_into_the_turn(tmp_path):
    bring(tmp_path, {"question": ASKED, "thinking": "3 + 4", "response": "7"})
    export_traces(tmp_path / "corpus", tmp_path / "out.jsonl", "messages")
    (row,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert row["messages"][1] == {"role": "assistant", "content": "<think>\n3 + 4\n</think>\n\n7"}


def test_an_export_that_cannot_be_says_all_that_is_wrong(tmp_path):
    bring(tmp_path, {"question": ASKED, "response": SAID})
    with pytest.raises(SourceError, match=r"(?s)cannot write `\.txt` files.*no layout 'yaml'; known: rows, messages"):
        export_traces(tmp_path / "corpus", tmp_path / "out.txt", "yaml")


# The commands.


def cotmill(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cotmill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands_print_one_json_object(tmp_path):
    path, corpus = write(tmp_path / "t.jsonl", {"q": ASKED, "cot": SAID}), tmp_path / "corpus"
    done = cotmill("import", path, "--teacher", "ann", "--map", "question=q", "--out", corpus, "--json")
    assert json.loads(done.stdout)["imported"] == 1, done.stderr
    done = cotmill("export", corpus, "--out", tmp_path / "o.csv", "--json")
    assert json.loads(done.stdout) == {"file": str(tmp_path / "o.csv"), "layout": "rows", "rows": 1}
    done = cotmill("import", path, "--out", corpus)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: cannot import:")
