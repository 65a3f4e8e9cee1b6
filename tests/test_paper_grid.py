"""The recipes of the paper describe its 156 arms, and planning them needs no network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from builders.config import PresetSource
from builders.errors import SourceError
from builders.problems import load_all, presets
from cotmill import api

FOLDER = Path(__file__).parent.parent / "recipes" / "paper"
LLM = ("gpt-4o", "gemini-1.5-flash", "llama-3-70b")
FORMATS = ("least_to_most", "rephrase_and_respond", "symbolic")
ALL = set(range(1, 7))

# As released with arXiv 2502.18001: levels of LLaMA-3-70B, levels of each format of GPT-4o, human rationales.
RELEASED = {
    "svamp": ({1, 2, 3, 4}, {3: FORMATS, 5: FORMATS}, True),
    "gsm8k": ({1, 2, 3, 4, 5}, {3: FORMATS, 5: FORMATS}, True),
    "aqua_rat": (ALL, {5: FORMATS, 6: FORMATS[:2]}, True),
    "math": (ALL, {}, True),
    "commonsense_qa": (ALL, {}, True),
    "openbook_qa": (ALL, {3: FORMATS}, False),
    "strategy_qa": (ALL, {}, True),
}
# Rows that the paper trains on, where the Hub's split is the paper's; CommonsenseQA has one row more there.
TRAIN_ROWS = {"svamp": 700, "gsm8k": 7_473, "aqua_rat": 6_100, "commonsense_qa": 9_741, "openbook_qa": 4_957}


@pytest.fixture(scope="module")
def plans():
    return {name: api.check(FOLDER / f"{name}.yaml") for name in RELEASED}


def arms(plan) -> set[tuple[str, int | None, str]]:
    return {(arm["teacher"], arm["granularity"], arm["format"]) for arm in plan["arms"]}


def test_there_are_no_other_recipes_of_the_paper():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*RELEASED, "train"}


def test_there_are_156_arms(plans):
    assert sum(len(plan["arms"]) for plan in plans.values()) == 156


def test_twenty_of_them_are_of_another_format(plans):
    formats = Counter(arm["format"] for plan in plans.values() for arm in plan["arms"])
    assert (formats["original"], 156 - formats["original"]) == (136, 20)


@pytest.mark.parametrize("name", RELEASED)
def test_the_arms_of_a_dataset_are_those_released(plans, name):
    llama, formats, human = RELEASED[name]
    levels = {"gpt-4o": ALL, "gemini-1.5-flash": ALL, "llama-3-70b": llama}
    expected = {(teacher, level, "original") for teacher in LLM for level in levels[teacher]}
    expected |= {("gpt-4o", level, form) for level, forms in formats.items() for form in forms}
    expected |= {(name, None, "original") for name in (("human", "answer_only") if human else ("answer_only",))}
    assert arms(plans[name]) == expected


@pytest.mark.parametrize(("name", "rows"), TRAIN_ROWS.items())
def test_every_arm_has_the_rows_of_the_paper(plans, name, rows):
    assert {arm["requests"] for arm in plans[name]["arms"]} == {rows}


def test_every_arm_of_a_model_has_token_estimates_and_the_others_cost_nothing(plans):
    for plan in plans.values():
        for arm in plan["arms"]:
            costs = arm["teacher"] in LLM
            assert (arm["prompt_tokens"] > 0, arm["most_completion_tokens"] > 0) == (costs, costs)


def test_the_plan_says_what_it_took_for_granted(plans):
    assert plans["svamp"]["assumed"] == ["svamp"]


def test_a_limit_is_a_limit_of_what_is_assumed():
    source = PresetSource(source="preset", name="openbook_qa", split="test", limit=7)
    assert load_all([source], assume_presets=True).problems["answer_type"].to_list() == ["choice"] * 7


def test_an_unknown_preset_cannot_be_assumed():
    with pytest.raises(SourceError, match="no preset 'svanp'"):
        load_all([PresetSource(source="preset", name="svanp")], assume_presets=True)


@pytest.mark.parametrize(("name", "preset"), presets().items())
def test_every_preset_counts_the_rows_of_its_splits(name, preset):
    assert set(preset.rows) == set(preset.splits) == {"train", "test"}
