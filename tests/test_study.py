"""A study on tiny models: arms and their identity, a kill, the table, the report."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from builders.errors import CotmillError, RecipeError
from cotmill.studying import load_study, plan_study, run_study
from tests.corpora import corpus_of, trace
from tests.models import make_tiny_llama
from tests.test_workers import ended
from training.study.config import StudyConfig, merged

ROOT = Path(__file__).parent.parent


def traces(teachers=("a", "b"), levels=(1, 2, 3), problems=8, **columns) -> list[dict]:
    return [
        trace(f"p{i}", f"Step {level} by {teacher}. The answer is {i}.", str(i), teacher=teacher, granularity=level)
        | columns
        for i in range(problems)
        for teacher in teachers
        for level in levels
    ]


def held_out(folder: Path, count: int = 6) -> dict:
    path = folder / "held-out.jsonl"
    rows = [{"question": f"What is 10{i}?", "answer": str(i)} for i in range(count)]
    path.write_text("\n".join(map(__import__("json").dumps, rows)))
    return {"source": "file", "path": str(path), "split": "test"}


def said(folder: Path, students: dict, **more) -> dict:
    """A study over the corpus in `folder`."""
    return {
        "name": "tiny",
        "datasets": {"sums": {"corpus": str(folder / "corpus"), "problems": held_out(folder)}},
        "students": students,
        "train": {"sft": {"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-3}},
        "evaluate": {"backend": "transformers", "max_tokens": 8, "batch": 8},
        **more,
    }


SCRATCH = {"scratch": {"layers": 1, "width": 16, "heads": 2, "vocabulary": 300}}


@pytest.fixture
def plan(tmp_path):
    """Plan a study over some traces with a student made on the spot."""

    def make(rows: list[dict], **more) -> dict:
        corpus_of(tmp_path / "corpus", rows)
        return plan_study(StudyConfig.model_validate(said(tmp_path, {"new": SCRATCH}, **more)), tmp_path / "out")

    return make


# Arms --------------------------------------------------------------------------------------------------


def test_factors_are_crossed_and_each_group_has_its_control(plan):
    made = plan(traces(), factors={"seed": [0, 1]})
    # 2 teachers x 3 levels x 2 seeds, and one control for each seed
    assert len(made["arms"]) == 12 + 2
    assert [arm["control"] for arm in made["arms"]].count("answer_only") == 2


def test_a_study_that_is_stopped_has_whole_grids_of_fewer_seeds(plan):
    seeds = [arm["seed"] for arm in plan(traces(), factors={"seed": [5, 3]})["arms"]]
    assert seeds == [5] * 7 + [3] * 7


def test_arms_are_cut_to_the_problems_that_all_have(plan):
    rows = [row for row in traces() if not (row["teacher"] == "b" and row["problem_id"] in ("p0", "p1"))]
    assert {arm["rows"] for arm in plan(rows)["arms"]} == {6}


def test_arms_of_unequal_size_are_refused_where_they_may_not_be_cut(plan):
    rows = [row for row in traces() if not (row["teacher"] == "b" and row["problem_id"] in ("p0", "p1"))]
    with pytest.raises(CotmillError, match=r"not the same problems.*\n +8  sums: a, level 1, original"):
        plan(rows, unequal="refuse")


def test_a_size_that_not_all_arms_have_is_refused(plan):
    rows = [row for row in traces() if not (row["teacher"] == "b" and row["problem_id"] == "p0")]
    with pytest.raises(CotmillError, match=r"8 problems are wanted, and all arms of sums have 7 in common"):
        plan(rows, factors={"size": [4, 8]})


def test_a_combination_that_was_asked_for_and_is_not_there_is_told(plan):
    made = plan(traces(levels=(1, 2)), factors={"teacher": ["a"], "granularity": [1, 6], "format": ["original"]})
    assert [one["what"] for one in made["not_run"]] == ["sums: a, level 6, original"]


def test_arms_may_be_listed_in_place_of_the_cross(plan):
    made = plan(
        traces(), arms=[{"teacher": "a", "granularity": 1}, {"teacher": "b", "granularity": [2, 3]}], controls=[]
    )
    assert [(arm["teacher"], arm["granularity"]) for arm in made["arms"]] == [("a", 1), ("b", 2), ("b", 3)]


def test_a_held_out_problem_that_is_also_taught_stops_the_study(plan):
    rows = [row | {"question": "what is 100?"} for row in traces()]
    with pytest.raises(CotmillError, match=r"1 of 6 held-out problems of sums are also in its corpus"):
        plan(rows)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"train": {"sft": {"max_steps": 3}}}, False),
        ({"evaluate": {"backend": "transformers", "max_tokens": 9}}, False),
        ({"evaluate": {"backend": "transformers", "max_tokens": 8, "batch": 2}}, True),  # how, not what
        ({"name": "another"}, True),
        ({"factors": {"seed": [1]}}, False),
        ({"students": {"renamed": SCRATCH}}, True),
        ({"students": {"new": {"scratch": SCRATCH["scratch"] | {"width": 32}}}}, False),
    ],
)
def test_an_arm_is_what_can_change_its_result(tmp_path, change, same):
    corpus_of(tmp_path / "corpus", traces())
    base = said(tmp_path, {"new": SCRATCH})
    base["train"]["sft"] = {"max_steps": 2}
    first, second = (
        {arm["id"] for arm in plan_study(StudyConfig.model_validate(study), tmp_path / "out")["arms"]}
        for study in (base, base | change)
    )
    assert (first == second) is same
    assert same or not first & second


def test_a_wider_study_keeps_the_arms_it_had(plan):
    few = {arm["id"] for arm in plan(traces(), factors={"granularity": [1, 2]})["arms"]}
    assert few < {arm["id"] for arm in plan(traces())["arms"]}


# Settings ----------------------------------------------------------------------------------------------


def test_settings_of_student_and_objective_go_over_those_of_the_study(tmp_path):
    study = StudyConfig.model_validate(
        said(
            tmp_path,
            {"new": SCRATCH | {"train": {"sft": {"learning_rate": 0.5}}}},
            objectives={"sft": {}, "masked": {"objective": "masked_thought"}},
        )
    )
    made = study.training("new", "masked", 7, "model")
    assert (made.objective, made.seed, made.student) == ("masked_thought", 7, "model")
    assert made.sft == {"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 0.5}


def test_the_control_is_the_objective_of_bare_answers(tmp_path):
    study = StudyConfig.model_validate(said(tmp_path, {"new": SCRATCH}))
    assert study.training("new", None, 0, "model").objective == "answer_only"


def test_merging_leaves_both_sides_as_they_were():
    base = {"sft": {"a": 1}}
    assert merged(base, {"sft": {"b": 2}}) == {"sft": {"a": 1, "b": 2}}
    assert base == {"sft": {"a": 1}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": {"granularity": [0]}}, "factors.granularity.0: .* greater than or equal to 1"),
        ({"factors": {"student": ["nobody"]}}, "factors.student: no 'nobody' in `students`; it has new"),
        ({"factors": {"sed": [1]}}, r"factors.sed: no such key \(did you mean `seed`\?\)"),
        ({"train": {"seed": 3}}, "seed belongs to the arms: say factors.seed"),
        ({"curate": {"common": ["teacher"]}}, "the study decides common itself"),
        ({"students": {"x": {}}}, "students.x: say either `model` or `scratch`"),
        ({"students": {"x": {"scratch": SCRATCH["scratch"] | {"widht": 3}}}}, r"did you mean `width`\?"),
        ({"objectives": {"odd": {"objective": "no_such"}}}, "objective odd"),
    ],
)
def test_a_study_that_cannot_run_says_why(tmp_path, change, message):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(said(tmp_path, {"new": SCRATCH}) | change))
    with pytest.raises(RecipeError, match=message) as caught:
        load_study(path)
    assert "cotmill study" in str(caught.value)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes/studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_study_parses(path):
    study = load_study(path)
    assert all(data.recipe is None or data.recipe.is_file() for data in study.datasets.values())


# The whole way -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    """A study of 2 teachers x 3 levels x 2 students x 2 seeds in a file, beside its corpus."""
    folder = tmp_path_factory.mktemp("study")
    corpus_of(folder / "corpus", traces())
    make_tiny_llama(folder / "one")
    study = said(folder, {"one": {"model": str(folder / "one")}, "new": SCRATCH}, factors={"seed": [0, 1]})
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder


FIGURES = ["student", "teacher", "granularity", "control", "seed", "n", "correct", "rows", "train_tokens", "last_loss"]


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_study_goes_on_and_gives_the_same_table(grid):
    whole = run_study(load_study(grid / "study.yaml"), grid / "whole")
    assert (whole["arms"], whole["ran"], whole["failed"]) == (28, 28, 0)  # 24, and 2 students x 2 seeds of controls
    children = _stopped(grid, grid / "killed", signal.SIGKILL)[1]
    assert len(children) >= 2
    _are_gone(children)
    again = run_study(load_study(grid / "study.yaml"), grid / "killed", jobs=2)
    assert 3 <= 28 - again["ran"] < 28
    tables = [pl.read_parquet(grid / name / "results.parquet").select("arm", *FIGURES) for name in ("whole", "killed")]
    assert tables[0].drop("last_loss").equals(tables[1].drop("last_loss"))
    assert tables[0]["last_loss"].to_list() == pytest.approx(tables[1]["last_loss"].to_list(), rel=1e-3)
    third = run_study(load_study(grid / "study.yaml"), grid / "killed")
    assert third["ran"] == 0
    _report_is_whole(grid / "whole")


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are read from /proc")
def test_an_interrupted_study_stops_its_processes_and_says_how_to_go_on(grid):
    process, children = _stopped(grid, grid / "interrupted", signal.SIGINT)
    assert process.returncode == 130
    _are_gone(children)
    done = {path.parent.name: path.read_bytes() for path in (grid / "interrupted").glob("arms/*/arm.json")}
    assert 3 <= len(done) < 28
    assert all((grid / "interrupted/arms" / arm / "log.txt").stat().st_size for arm in done)


def _stopped(grid: Path, out: Path, how: signal.Signals) -> tuple[subprocess.Popen[bytes], list[int]]:
    """The study of `grid`, two arms at a time, ended after three of them; and the processes it had started."""
    run = [sys.executable, "-m", "cotmill", "study", str(grid / "study.yaml"), "--out", str(out), "--jobs", "2"]
    process = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children: list[int] = []
    try:
        deadline = time.monotonic() + 300
        while len(list(out.glob("arms/*/arm.json"))) < 3:
            assert process.poll() is None, "ended before it could be stopped"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        os.kill(process.pid, how)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    return process, children


def _are_gone(pids: list[int]) -> None:
    assert [pid for pid in pids if not ended(pid)] == []


def _report_is_whole(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert re.findall(r"https?://|src=|@import|<link|<script", page) == []
    assert page.count("<svg") == 2
    text = (out / "report.md").read_text()
    for part in (
        "| student | L1 | L2 | L3 | answer only |",
        "## Not run",
        "## Accuracy by teacher",
    ):
        assert part in text
    from curation.asking.sql import query

    assert query(out, "select count(*) as n from results where control is null", format="csv").split() == ["n", "24"]
    assert query(out, "select count(distinct arm) as n from answers", format="csv").split() == ["n", "28"]


@pytest.mark.train
def test_an_arm_that_fails_is_told_and_the_others_run(tmp_path):
    corpus_of(tmp_path / "corpus", traces(teachers=("a",), levels=(1,)))
    students = {"new": SCRATCH, "wild": SCRATCH | {"train": {"sft": {"learning_rate": 1e30, "max_steps": 9}}}}
    out = run_study(StudyConfig.model_validate(said(tmp_path, students, controls=[])), tmp_path / "out")
    assert (out["ran"], out["failed"]) == (1, 1)
    assert "wild" in out["not_run"][0]["what"]
    assert "the loss is" in out["not_run"][0]["why"]
