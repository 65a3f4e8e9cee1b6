"""`cotmill evaluate` as it is typed: where problems come from, what is printed, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from builders.errors import RecipeError, SourceError
from cotmill import api
from cotmill.render_evaluation import of_evaluation, of_paired
from cotmill.sources import source_of
from tests.test_evaluate import answered, said
from training.evaluation.figures import summarise


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("gsm8k", {"source": "preset", "name": "gsm8k", "split": "test"}),
        ("svamp:train", {"source": "preset", "name": "svamp", "split": "train"}),
        ("owner/sums", {"source": "hub", "repo": "owner/sums", "split": "test"}),
        ("owner/sums:validation", {"source": "hub", "repo": "owner/sums", "split": "validation"}),
        ("{source: words, count: 3}", {"source": "words", "count": 3}),
    ],
)
def test_problems_are_named_in_one_word(text, source):
    assert source_of(text) == source


def test_a_file_that_is_there_is_a_file_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gsm8k").write_text("{}")
    assert source_of("gsm8k") == {"source": "file", "path": ["gsm8k"], "split": "test"}


@pytest.mark.parametrize("text", ["gsm9k", "no/such.jsonl", "{source: [", "a/b/c"])
def test_what_names_no_problems_is_an_error(text):
    with pytest.raises(SourceError, match="--problems"):
        source_of(text)


def test_without_problems_there_is_nothing_to_evaluate(tmp_path):
    with pytest.raises(RecipeError, match="none are named; say --problems SRC, or --recipe RECIPE"):
        api.evaluate("smollm2-135m", tmp_path)


def test_an_unknown_probe_is_named(tmp_path):
    with pytest.raises(RecipeError, match="probes"):
        api.evaluate("smollm2-135m", tmp_path, problems=["{source: words}"], probes=["shuffled"])


def test_problems_on_the_command_line_go_before_those_of_the_recipe(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: r\nevaluate: {max_tokens: 7, problems: {source: words, count: 3}}\n")
    from cotmill.api.students import _held_out

    made = _held_out(["gsm8k"], recipe, ["evaluate.seed=4"])
    assert [source.source for source in made.problems] == ["preset"]
    assert (made.max_tokens, made.seed) == (7, 4)


def test_people_read_every_figure_that_is_there():
    rows = answered(*said("7", "7", "8"), *said("5", "5", "5"), (None, "7", "ok"), (None, "7", "ok"), samples=2)
    text = of_evaluation({**summarise(rows), "probes": None, "overlap": {"sums": 2}})
    assert text.splitlines()[0].startswith("75.0% correct")
    assert "pass@1 75.0%" in text
    assert "maj@2 100.0%" in text  # a tie goes to the first, which is right
    assert "1 problems have no gold answer" in text
    assert "2 of sums were trained on (waived)" in text


def test_people_are_told_of_different_engines():
    figures = {"n": 2, "left_out": (0, 0), "accuracy_a": 0.5, "accuracy_b": 0.5, "difference": 0.0, "p": 1.0}
    counts = {"interval": (0.0, 0.0), "only_a": 0, "only_b": 0, "tested": "answers", "engines": ("vllm 1", "vllm 2")}
    assert "different engines (vllm 1, vllm 2)" in of_paired({**figures, **counts})


@pytest.mark.slow
def test_the_command_evaluates_a_file_and_prints_one_object(tmp_path, tiny_llama):
    problems = tmp_path / "sums.jsonl"
    problems.write_text(
        '{"question": "1 + 1?", "answer": "2", "level": 1}\n' * 2 + '{"question": "2 + 2?", "answer": "4"}\n'
    )
    command = [sys.executable, "-m", "cotmill", "evaluate", str(tiny_llama), "--problems", str(problems), "--json"]
    settings = [
        "--set",
        "evaluate.backend=transformers",
        "--set",
        "evaluate.max_tokens=4",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run([*command, *settings], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert (report["n"], report["accuracy"], report["asked"]) == (2, 0.0, 2)
    assert [one["difficulty"] for one in report["by_difficulty"]] == ["1"]
    assert "problems left out: 1 duplicate" in done.stderr
