import json
import re

import pytest
import yaml

from builders.errors import SourceError
from builders.prompts import load_specs, make_prompt, render_question, shipped_specs

SPECS = shipped_specs()


def test_choices_are_lettered_lines():
    assert render_question("Which?", ["red", "blue"]) == "Which?\nA. red\nB. blue"


def test_there_are_six_levels_and_four_formats():
    assert [spec.level for spec in SPECS.levels] == [1, 2, 3, 4, 5, 6]
    assert [spec.format for spec in SPECS.formats] == [
        "original",
        "least_to_most",
        "rephrase_and_respond",
        "symbolic",
    ]


@pytest.mark.parametrize("family", SPECS.families)
def test_finer_levels_show_longer_exemplars(family):
    words = [sum(len(trace.split()) for trace in spec.traces[family]) for spec in SPECS.levels]
    assert words == sorted(words)
    assert len(set(words)) == 6


@pytest.mark.parametrize(
    "spec", [*SPECS.levels, *SPECS.formats], ids=lambda s: str(getattr(s, "level", None) or s.format)
)
def test_every_exemplar_ends_in_an_answer_line(spec):
    assert all("The answer is " in trace.splitlines()[-1] for traces in spec.traces.values() for trace in traces)


def test_the_head_is_the_same_for_all_problems():
    prompt = make_prompt(SPECS, level=2, format="original", answer_type="number")
    first, second = prompt.messages("1 + 1?"), prompt.messages("2 + 2?")
    assert first[:-1] == second[:-1]
    assert first[-1] == {"role": "user", "content": "1 + 1?"}
    assert [m["role"] for m in first] == ["system", *["user", "assistant"] * 4, "user"]


def test_without_a_level_only_the_question_is_sent():
    prompt = make_prompt(SPECS, level=None, format="original", answer_type="number")
    assert prompt.messages("1 + 1?") == [{"role": "user", "content": "1 + 1?"}]


def test_the_teachers_system_prompt_comes_first():
    prompt = make_prompt(SPECS, level=1, format="original", answer_type="number", system="Be kind.")
    assert prompt.head[0][1].startswith("Be kind.\n\nGive only")


def test_a_format_replaces_the_exemplars():
    symbolic = make_prompt(SPECS, level=1, format="symbolic", answer_type="number")
    assert ("assistant", "a = 3, b = 4, x = a + b = 3 + 4 = 7. The answer is 7.") in symbolic.head


def test_an_unknown_level_lists_those_known():
    with pytest.raises(SourceError, match=r"level 7 .* known: levels \[1, 2, 3, 4, 5, 6\]"):
        make_prompt(SPECS, level=7, format="original", answer_type="number")


def own_file(folder, text):
    path = folder / "specs.yaml"
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return path


def test_a_level_of_your_own_takes_the_place_of_the_shipped_one(tmp_path):
    specs = load_specs(own_file(tmp_path, {"levels": [{"level": 1, "instruction": "Just say it."}]}))
    assert [spec.level for spec in specs.levels] == [1, 2, 3, 4, 5, 6]
    assert make_prompt(specs, level=1, format="original", answer_type="number").head == (("system", "Just say it."),)
    assert specs.levels[1] == SPECS.levels[1]


def test_a_format_of_your_own_stands_beside_the_shipped_ones(tmp_path):
    specs = load_specs(own_file(tmp_path, {"formats": [{"format": "table", "instruction": "Make a table."}]}))
    assert [spec.format for spec in specs.formats] == [*(spec.format for spec in SPECS.formats), "table"]
    assert "Make a table." in make_prompt(specs, level=2, format="table", answer_type="number").head[0][1]


def test_a_family_of_your_own_takes_its_answer_types_from_the_shipped_one(tmp_path):
    poems = {"answer_types": ["text"], "questions": ["A line about rain?"]}
    specs = load_specs(own_file(tmp_path, {"families": {"poetry": poems}}))
    assert make_prompt(specs, level=1, format="original", answer_type="text").family == "poetry"
    assert make_prompt(specs, level=1, format="original", answer_type="number").family == "arithmetic"


def test_one_text_of_the_asking_section_can_be_replaced(tmp_path):
    specs = load_specs(own_file(tmp_path, {"asking": {"gold_shown": "It is {gold}."}}))
    prompt = make_prompt(specs, level=None, format="original", answer_type="number", gold_shown=True)
    assert prompt.messages("1 + 1?", None, "2")[-1]["content"] == "1 + 1?\n\nIt is 2."
    assert specs.asking.joint == SPECS.asking.joint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("levels: [{level: 9, instruction: x}]", "levels.0.level"),
        ("levels: [{level: 0, instruction: x}]", "levels.0.level"),
        ("levels: [{level: 1}]", "levels.0.instruction: Field required"),
        ("levels: [{level: 1, instruction: ' '}]", "levels.0.instruction"),
        ("levels: [{level: 1, instruction: x, traces: {arithmetic: [one]}}]", "1 traces for the 4 questions"),
        ("levels: [{level: 1, instruction: x, traces: {poetry: [one]}}]", "no family `poetry`"),
        ("levels: [{level: 1, instruction: x, band: {steps: [3, 1], words: [1, 2]}}]", "steps: the lowest count is"),
        ("levels: [{level: 6, instruction: x, band: {steps: [1, 2], words: [1, 2]}}]", r"level 6.* lies below level 5"),
        ("formats: [{instruction: x}]", "formats.0.format: Field required"),
        ("families: {poetry: {questions: [x]}}", "families.poetry.answer_types: Field required"),
        ("asking: {gold_shown: You know it.}", "gold_shown lacks {gold}"),
        ("level: [{level: 1, instruction: x}]", r"level: Extra inputs[\s\S]*Known sections: families, levels"),
        ("[1, 2]", "not a YAML mapping"),
        ("a: [", "not a YAML mapping"),
    ],
)
def test_a_faulty_spec_file_says_what_is_wrong(tmp_path, text, complaint):
    with pytest.raises(SourceError, match=complaint):
        load_specs(own_file(tmp_path, text))


def test_all_faults_of_a_spec_file_are_said_at_once(tmp_path):
    own = {
        "levels": [
            {"level": 7, "instruction": "x"},
            {"level": 2},
            {"level": 1, "instruction": "x", "traces": {"choice": []}},
        ],
        "formats": [{"format": "table", "instruction": "x", "traces": {"poetry": ["x"]}}],
    }
    with pytest.raises(SourceError) as caught:
        load_specs(own_file(tmp_path, own))
    for fault in ("levels.0.level", "levels.1.instruction", "0 traces for the 1 questions of choice", "`poetry`"):
        assert fault in str(caught.value)


# --- what ships


@pytest.mark.parametrize("spec", SPECS.levels, ids=lambda spec: spec.level)
def test_exemplars_lie_in_the_band_of_their_level(spec):
    low, high = spec.band.words
    assert all(low <= len(trace.split()) <= high for traces in spec.traces.values() for trace in traces)


@pytest.mark.parametrize("spec", SPECS.formats[1:], ids=lambda spec: spec.format)
def test_exemplars_lie_in_the_band_of_their_format(spec):
    low, high = spec.band.words
    assert all(low <= len(trace.split()) <= high for traces in spec.traces.values() for trace in traces)


@pytest.mark.parametrize("spec", [*SPECS.levels, *SPECS.formats[1:], SPECS.controls["padding"]])
def test_every_family_has_exemplars(spec):
    assert set(spec.traces) == {"arithmetic", "competition", "choice", "boolean"}


@pytest.mark.parametrize("family", SPECS.families)
def test_all_exemplars_of_a_question_close_with_the_same_line(family):
    specs = [*SPECS.levels, *SPECS.formats[1:], SPECS.controls["padding"]]
    for number in range(len(SPECS.families[family].questions)):
        assert len({spec.traces[family][number].rpartition("The answer is ")[2] for spec in specs}) == 1


@pytest.mark.parametrize("family", SPECS.families)
def test_padding_is_as_long_as_level_five_and_has_the_numbers_of_level_one(family):
    coarse, fine = SPECS.levels[0].traces[family], SPECS.levels[4].traces[family]
    for padded, short, long in zip(SPECS.controls["padding"].traces[family], coarse, fine, strict=True):
        assert 0.9 <= len(padded.split()) / len(long.split()) <= 1.25
        assert re.findall(r"\d+", padded) == re.findall(r"\d+", short)


def test_a_band_is_no_part_of_identity(tmp_path):
    level = SPECS.levels[0].model_dump() | {"band": {"steps": [1, 1], "words": [1, 9]}}
    other = load_specs(own_file(tmp_path, json.dumps({"levels": [level]})))
    prompts = [make_prompt(s, level=1, format="original", answer_type="number") for s in (SPECS, other)]
    assert prompts[0].identity() == prompts[1].identity()
