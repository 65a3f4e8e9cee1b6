"""What a report says, from arms whose answers are written by hand; nothing is trained."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cotmill.study_report import write_report
from curation.asking.sql import query
from training.study import results
from training.study.arms import NotRun
from training.study.config import StudyConfig

SCRATCH = {"scratch": {"layers": 1, "width": 16, "heads": 2}}
RIGHT = {
    # student -> right answers of 100 at levels 1 to 4, and of the answer-only control
    "small": ([20, 50, 30, 10], 15),
    "large": ([30, 50, 70, 90], 20),
}


def arm(out: Path, student: str, level: int | None, seed: int, right: int, control: str | None = None) -> dict:
    """A finished arm that answers `right` of 100 problems, give or take its seed."""
    key = f"{student}-{level or control}-{seed}"
    order = np.random.default_rng(seed).permutation(100)
    correct = (order < right).astype(int)
    folder = out / "arms" / key / "evaluation"
    folder.mkdir(parents=True)
    ids = [f"p{i:03}" for i in range(100)]
    frame = pl.DataFrame({"problem_id": ids, "correct": correct, "samples": [1] * 100})
    frame.write_parquet(folder / "results.parquet")
    return {
        "id": key,
        "dataset": "sums",
        "teacher": None if control else "solver",
        "granularity": level,
        "format": None if control else "original",
        "student": student,
        "size": None,
        "objective": None if control else "sft",
        "seed": seed,
        "control": control,
        "rows": 500,
        "training": {"steps": 10, "tokens": 9000, "seconds": 3.0, "first_loss": 2.0, "last_loss": 1.0},
        "evaluation": {
            "n": 100, "correct": right, "unparseable": 3, "truncated_share": 0.0, "mean_tokens": 20.0, "seconds": 1.0,
        },
        "seconds": 5.0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    study = StudyConfig.model_validate(
        {
            "name": "A <b>bold</b> study",
            "datasets": {"sums": {"corpus": "nowhere", "problems": {"source": "words"}}},
            "students": dict.fromkeys(RIGHT, SCRATCH),
        }
    )
    done = [
        arm(folder, student, level, seed, right + seed)
        for student, (curve, _) in RIGHT.items()
        for level, right in enumerate(curve, 1)
        for seed in (0, 1)
    ]
    done += [arm(folder, student, None, 0, right, "answer_only") for student, (_, right) in RIGHT.items()]
    frame = results.table(done, study)
    results.write(frame, folder)
    not_run = [NotRun("sums: solver, level 6, original", "the corpus | holds no such trace")]
    figures = write_report(study, frame, results.over_seeds(frame, folder), not_run, {"sums": 500}, folder)
    (folder / "study.json").write_text("{}")
    assert figures["problems"] == {"sums": 500}
    return folder


@pytest.fixture(scope="module")
def text(out) -> str:
    return (out / "report.md").read_text()


def lines(text: str, title: str) -> list[list[str]]:
    """Rows of the table under a heading."""
    part = text.split(f"## {title}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]


def test_accuracies_stand_as_in_the_paper(text):
    head, _, small, large = lines(text, "Accuracy by level")
    assert head == ["student", "L1", "L2", "L3", "L4", "answer only"]
    # Mean of two seeds, 50 and 51 of 100; the best level is stressed.
    assert small[2].startswith("**50.5 [")
    assert large[4].startswith("**90.5 [")
    assert [cell.split(" ")[0] for cell in small[1:2] + small[5:]] == ["20.5", "15.0"]


def test_the_best_level_comes_with_how_sure_it_is(text):
    *_, small, large = lines(text, "Which level, for which student")
    assert (small[0], small[1], small[2]) == ("small", "L2", "L2 100%")
    assert large[1] == "L4"
    assert large[5] == "+0.98 (p = 0.083)"  # of 4! orders, this one and its reverse


def test_the_gain_over_bare_answers(text):
    *_, small, large = lines(text, "Gain over bare answers")
    # Seed 0 alone has a control: 50 - 15 and 90 - 20.
    assert (small[4].split(" ")[0], large[4].split(" ")[0]) == ("+35.0", "+70.0")


def test_variance_is_shared_out(text):
    shares = {row[0]: float(row[1].rstrip("%")) for row in lines(text, "Share of variance")[2:]}
    assert set(shares) == {"student", "level", "level x student", "rest"}
    assert sum(shares.values()) == pytest.approx(100, abs=0.3)
    assert shares["rest"] < 1


def test_what_was_not_run_is_told(text):
    assert lines(text, "Not run")[2] == ["sums: solver, level 6, original", "the corpus \\", "holds no such trace"]


def test_the_page_stands_alone_and_escapes_names(out):
    page = (out / "report.html").read_text()
    assert re.findall(r"https?:|//|src=|@import|<link|<script|url\((?!#)", page.split("</style>")[1]) == []
    assert "<b>bold" not in page
    assert page.count("<svg") == 2
    unclosed: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br"):
                unclosed.append(tag)

        def handle_endtag(self, tag):
            assert unclosed.pop() == tag

        def handle_startendtag(self, tag, attrs):
            pass

    Checker().feed(page)
    assert unclosed == []


def test_sql_sees_results_and_answers(out):
    asked = "select student, max(accuracy) as best from results where control is null group by all order by all"
    assert query(out, asked, format="csv").split() == ["student,best", "large,0.91", "small,0.51"]
    assert query(out, "select sum(correct) as n from answers where arm = 'small-1-0'", format="csv").split() == [
        "n",
        "20",
    ]
