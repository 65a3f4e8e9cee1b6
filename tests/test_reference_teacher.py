"""What a source says itself, as a trace."""

from __future__ import annotations

import asyncio
import json

import polars as pl
import pytest

from builders import config
from builders.corpus import Corpus
from builders.errors import RejectedRequest, SourceError
from builders.plan import make_arms
from builders.teachers import Request, make_teacher
from cotmill import api

PROBLEM = {"question": "How many?", "gold": "12 apples", "gold_value": "12", "meta": json.dumps({"why": "5 + 7 = 12"})}


def says(settings: dict, **problem) -> str:
    teacher = make_teacher(config.ReferenceTeacher(kind="reference", **settings))

    async def ask() -> str:
        async with teacher:
            request = Request("t", "p", [{"role": "user", "content": "?"}], 1, problem={**PROBLEM, **problem})
            return (await teacher.sample(request)).text

    return asyncio.run(ask())


def test_without_a_rationale_the_answer_is_all():
    assert says({}) == "The answer is 12."


def test_a_rationale_comes_before_the_answer():
    assert says({"rationale": "why"}) == "5 + 7 = 12\nThe answer is 12."


def test_a_list_of_facts_is_one_text():
    assert says({"rationale": "facts"}, meta='{"facts": ["A.", "B."]}') == "A. B.\nThe answer is 12."


def test_a_worked_solution_in_the_gold_column_loses_its_notes_and_its_last_line():
    gold = "He has 5 + 7 = <<5+7=12>>12.\n#### 12"
    assert says({"rationale": "gold"}, gold=gold) == "He has 5 + 7 = 12.\nThe answer is 12."


@pytest.mark.parametrize("problem", [{"meta": None}, {"meta": '{"why": " "}'}, {"gold": None, "gold_value": None}])
def test_what_the_source_does_not_say_is_rejected(problem):
    with pytest.raises(RejectedRequest, match="the source gives no"):
        says({"rationale": "why"}, **problem)


def test_rationales_of_another_dataset_are_found_by_question(tmp_path):
    pl.DataFrame({"q": ["How  many?"], "e": ["Because."]}).write_parquet(tmp_path / "train.parquet")
    elsewhere = {"repo": str(tmp_path), "question": "q", "rationale": "e"}
    assert says(elsewhere) == "Because.\nThe answer is 12."
    with pytest.raises(SourceError, match="has no column why; it has q, e"):
        says({**elsewhere, "rationale": "why"})


def test_it_is_asked_once_whatever_the_levels():
    settings = config.ReferenceTeacher(kind="reference")
    sample = config.SampleConfig(levels=[1, 2], formats=["original", "symbolic"], gold="shown")
    [arm] = make_arms([(settings, make_teacher(settings))], sample, ["number"], 0)
    assert (arm.prompt.level, arm.prompt.format, arm.columns["gold_shown"]) == (None, "original", False)


def test_a_teacher_may_have_levels_and_formats_of_its_own():
    settings = config.ScriptedTeacher(kind="scripted", levels=[3, 5], formats=["symbolic"])
    made = make_arms([(settings, make_teacher(settings))], config.SampleConfig(levels=[1]), ["number"], 0)
    assert [(arm.prompt.level, arm.prompt.format) for arm in made] == [(3, "symbolic"), (5, "symbolic")]


def test_own_levels_do_not_change_what_a_trace_is():
    def arm_ids(**own):
        settings = config.ScriptedTeacher(kind="scripted", **own)
        return [a.arm_id for a in make_arms([(settings, make_teacher(settings))], levels, ["number"], 0)]

    levels = config.SampleConfig(levels=[1])
    assert arm_ids(levels=[1]) == arm_ids()


def test_a_recipe_asks_models_and_the_source_side_by_side(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"question": "5 + 7?", "answer": "12", "why": "5 + 7 = 12"}\n')
    (tmp_path / "r.yaml").write_text(
        "name: r\nproblems: {source: file, path: p.jsonl}\nteacher:\n- {kind: scripted}\n"
        "- {kind: scripted, formats: [symbolic]}\n- {kind: reference, rationale: why}\n- {kind: reference}\n"
        "sample: {levels: [1, 2]}\n"
    )
    api.sample(tmp_path / "r.yaml", tmp_path / "c")
    traces = Corpus(tmp_path / "c").traces().select("teacher", "granularity", "format", "response").collect()
    assert traces.height == 2 + 2 + 1 + 1
    said = dict(traces.filter(pl.col("granularity").is_null()).select("teacher", "response").iter_rows())
    assert said == {"human": "5 + 7 = 12\nThe answer is 12.", "answer_only": "The answer is 12."}
