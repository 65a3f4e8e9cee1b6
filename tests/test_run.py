"""`cotmill run`: the stages of one recipe, each done once, on a tiny model under real TRL and vLLM."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.make import scripted_recipe

STAGES = ("corpus", "dataset", "before", "student", "after")
NOTES = ("recipe.yaml", "sampling.json", "summary.json")

RECIPE = """
name: tiny
problems: {{source: words, count: 8, seed: 1}}
teacher: {{kind: scripted, accuracy: 0.5}}
sample: {{levels: [1, 2], n: 2}}
curate: {{keep: verify.verdict = 'correct'}}
train:
  student: {student}
  sft: {{max_steps: 2, per_device_train_batch_size: 4, learning_rate: 0.01}}
evaluate:
  max_tokens: 8
  engine: {{max_model_len: 256, kv_cache_memory_bytes: 67108864}}
  problems: {{source: words, count: 6, seed: 2, split: test}}
"""


@dataclass(frozen=True)
class Run:
    """What one `cotmill run` left and said."""

    out: Path
    summary: dict[str, Any]
    said: str
    seconds: float
    files: dict[str, int]
    """Files of the stages -> when they were last written, in nanoseconds."""


def command(recipe: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "cotmill", "run", str(recipe), "--out", str(out), *options]
    return subprocess.run(words, capture_output=True, text=True, timeout=250)


def run(recipe: Path, out: Path, *options: str) -> Run:
    start = time.monotonic()
    done = command(recipe, out, "--json", *options)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - start
    return Run(out, json.loads(done.stdout), done.stderr, seconds, stage_files(out))


def stage_files(out: Path) -> dict[str, int]:
    """Every file of the stages; a lock is not content."""
    files = (file for stage in STAGES for file in (out / stage).rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(out)): file.stat().st_mtime_ns for file in files}


@pytest.fixture(scope="module")
def recipe(tiny_llama, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(RECIPE.format(student=tiny_llama))
    return path


@pytest.fixture(scope="module")
def first(recipe, tmp_path_factory) -> Run:
    """The whole recipe once: two engines and a training."""
    pytest.importorskip("vllm")
    pytest.importorskip("trl")
    return run(recipe, tmp_path_factory.mktemp("run") / "first")


@pytest.fixture(scope="module")
def again(first, recipe) -> Run:
    """The same command once more."""
    return run(recipe, first.out)


@pytest.fixture(scope="module")
def changed(again, recipe, tmp_path_factory) -> Run:
    """Another condition, in a copy of the finished run."""
    copy = tmp_path_factory.mktemp("run") / "changed"
    shutil.copytree(again.out, copy)
    return run(recipe, copy, "--set", "curate.keep=verify.verdict = 'correct' and granularity = 2")


# Once -----------------------------------------------------------------------------------------------------


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_every_stage_is_there(first):
    assert sorted(path.name for path in first.out.iterdir()) == sorted([*STAGES, *NOTES])
    for part in ("corpus/corpus.json", "dataset/README.md", "before/evaluation.json", "student/train.json"):
        assert part in first.files
    assert "after/results.parquet" in first.files


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_the_summary_holds_the_figures_of_every_stage(first):
    summary = first.summary
    assert list(summary) == [
        *("directory", "recipe", "traces", "by_level", "kept", "engine", "sampling_tokens_per_s"),
        *("train", "eval_before", "eval_after", "change", "seconds"),
    ]
    assert summary == json.loads((first.out / "summary.json").read_text())
    assert (summary["recipe"], summary["traces"], summary["engine"]) == ("tiny", 32, "scripted")
    assert summary["kept"] == summary["train"]["rows"]
    assert summary["train"]["steps"] == 2
    assert summary["eval_before"]["n"] == summary["eval_after"]["n"] == summary["change"]["n"] == 6
    assert summary["sampling_tokens_per_s"] > 0


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_the_rows_by_level_add_up(first):
    levels = first.summary["by_level"]
    assert [(row["granularity"], row["sampled"]) for row in levels] == [(1, 16), (2, 16)]
    assert all(row["kept"] <= row["correct"] <= row["sampled"] < row["tokens"] for row in levels)
    assert sum(row["kept"] for row in levels) == first.summary["kept"]


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_what_is_tested_afterwards_is_the_student(first):
    before, after = first.summary["eval_before"], first.summary["eval_after"]
    assert before["model"] != after["model"]  # fingerprints of the weights
    assert before["engine"] == after["engine"]


# Again ----------------------------------------------------------------------------------------------------


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_a_second_run_does_nothing(first, again):
    assert again.files == first.files
    assert not (again.out / "superseded").exists()
    assert again.seconds < first.seconds / 2


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_a_second_run_says_the_same(first, again):
    assert {**again.summary, "seconds": 0} == {**first.summary, "seconds": 0}


# Changed --------------------------------------------------------------------------------------------------


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_another_condition_puts_the_old_dataset_aside(first, changed):
    (aside,) = (changed.out / "superseded").glob("dataset-*")
    old = pl.read_parquet(aside / "data" / "default" / "*.parquet")
    assert old.height == first.summary["kept"]
    assert str(aside) in changed.said
    kept = pl.read_parquet(changed.out / "dataset" / "data" / "default" / "*.parquet")
    assert set(kept["granularity"]) == {2}


@pytest.mark.vllm
@pytest.mark.train
@pytest.mark.slow
def test_another_condition_runs_again_what_depends_on_it_and_nothing_else(first, changed):
    same = {stage: files_of(stage, changed) == files_of(stage, first) for stage in STAGES}
    assert same == {"corpus": True, "dataset": False, "before": True, "student": False, "after": False}
    assert changed.summary["train"]["rows"] == changed.summary["kept"] < first.summary["kept"]
    assert changed.summary["eval_after"]["model"] != first.summary["eval_after"]["model"]


def files_of(stage: str, one: Run) -> dict[str, int]:
    return {name: when for name, when in one.files.items() if name.startswith(f"{stage}/")}


# Without a student: no model at all -----------------------------------------------------------------------


def test_a_recipe_without_a_student_ends_with_the_dataset(tmp_path):
    done = command(scripted_recipe(tmp_path), tmp_path / "run", "--json")
    summary = json.loads(done.stdout)
    assert (summary["train"], summary["eval_before"], summary["eval_after"], summary["change"]) == (None,) * 4
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["corpus", "dataset", *NOTES]


def test_a_run_killed_after_sampling_goes_on_and_ends_with_its_tables(tmp_path):
    recipe = scripted_recipe(tmp_path)
    command(recipe, tmp_path / "run")
    for note in ("sampling.json", "summary.json"):  # as if the kill had come before either was written
        (tmp_path / "run" / note).unlink()
    done = command(recipe, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "Traces by level" in done.stdout


def test_marks_of_other_settings_do_not_count_in_the_table(tmp_path):
    """The corpus keeps the marks of every setting it was ever curated with; a run shows its own."""
    # No answer line: only `last_number` reads an answer.
    fixed = ("--set", "teacher.responses=['I think {gold}']", "--set", "curate.keep='1 = 1'", "--json")
    counted = []
    for passes in ("[verify]", "['verify:fallback=last_number']", "[verify]"):
        done = command(scripted_recipe(tmp_path), tmp_path / "run", "--set", f"curate.passes={passes}", *fixed)
        assert done.returncode == 0, done.stderr
        counted.append(sum(row["correct"] for row in json.loads(done.stdout)["by_level"]))
    assert counted == [0, 80, 0]


def test_without_the_verify_pass_nothing_is_said_about_what_is_correct(tmp_path):
    passes = ("--set", "curate.passes=[]", "--set", "curate.keep=sample_index = 0", "--set", "curate.dedup=false")
    done = command(scripted_recipe(tmp_path), tmp_path / "run", *passes)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [row["correct"] for row in summary["by_level"]] == [None, None]
    assert summary["kept"] == 40


def test_a_directory_may_have_brackets_in_its_name(tmp_path):
    done = command(scripted_recipe(tmp_path), tmp_path / "run[1]", "--json")
    assert done.returncode == 0, done.stderr
    assert sum(row["kept"] for row in json.loads(done.stdout)["by_level"]) == json.loads(done.stdout)["kept"] > 0


def test_held_out_problems_that_are_also_learnt_from_are_refused(tmp_path):
    extra = "train: {student: none}\nevaluate: {problems: {source: words, count: 5}}\n"
    done = command(scripted_recipe(tmp_path, extra=extra), tmp_path / "run")
    assert done.returncode == 2
    assert "5 of 5 held-out problems are also in `problems`" in done.stderr
    assert not (tmp_path / "run").exists()
