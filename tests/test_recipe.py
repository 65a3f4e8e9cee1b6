from pathlib import Path

import pytest

from builders.errors import RecipeError
from cotmill.recipe import Recipe, as_mapping, load_recipe, recipe_schema
from cotmill.sampling import make_plan

OTHERS = {"accelerate", "studies"}
"""Folders of files that are no recipes."""
SHIPPED = sorted(
    path for path in (Path(__file__).parent.parent / "recipes").rglob("*.yaml") if path.parent.name not in OTHERS
)
SMALL = """
name: small
problems: {source: words, count: 10}
teacher: {kind: scripted}
"""


@pytest.fixture
def recipe(tmp_path):
    def write(text: str = SMALL) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def faults(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_recipe_parses(path):
    assert load_recipe(path).name


def test_there_are_shipped_recipes():
    assert SHIPPED


def test_one_source_and_one_teacher_need_no_list(recipe):
    loaded = load_recipe(recipe())
    assert (len(loaded.problems), len(loaded.teacher)) == (1, 1)


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("teacher.temperature=0.2", lambda r: r.teacher[0].temperature == 0.2),
        ("sample.levels=[1, 6]", lambda r: r.sample.levels == [1, 6]),
        ("sample.until.verified=2", lambda r: r.sample.until.verified == 2),
        ("problems.count=7", lambda r: r.problems[0].count == 7),
        ("teacher.temperature=5e-1", lambda r: r.teacher[0].temperature == 0.5),
        ("train.sft.learning_rate=5e-5", lambda r: r.train.sft["learning_rate"] == 5e-5),
        ("name=other=name", lambda r: r.name == "other=name"),
    ],
)
def test_any_value_can_be_overridden(recipe, override, read):
    assert read(load_recipe(recipe(), [override]))


def test_a_list_is_reached_by_its_index(recipe):
    path = recipe("name: x\nproblems: {source: words}\nteacher: [{kind: scripted}, {kind: scripted, name: b}]\n")
    assert load_recipe(path, ["teacher.1.accuracy=0.5"]).teacher[1].accuracy == 0.5


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("teacher.temprature=1", "teacher.0.temprature: no such key (did you mean `temperature`?)"),
        ("teacher.temperature=3.5", "teacher.0.temperature: Input should be less than or equal to 2 (it is 3.5)"),
        ("sample.level=[1]", "sample.level: no such key (did you mean `levels`?); known: ask, flush_rows"),
        ("sample.levels=[7]", "sample.levels.0"),
        ("problems.cuont=3", "problems.0.cuont: no such key (did you mean `count`?)"),
        ("teacher.kind=vlm", "teacher.0.kind: 'vlm' is none of 'vllm', 'server'"),
        ("teecher.kind=vllm", "teecher: no such key (did you mean `teacher`?)"),
        ("nonsense", "--set nonsense: write it as key=value"),
        ("name.x=1", "--set name.x=1"),
        ("teacher=[", "is not a YAML value"),
    ],
)
def test_a_wrong_key_or_value_is_named(recipe, override, complaint):
    assert complaint in faults(recipe(), override)


def test_all_problems_are_reported_at_once_with_the_next_command(recipe):
    path = recipe()
    text = faults(path, "teacher.temperature=9", "sample.n=0", "smaple.n=1")
    assert [word in text for word in ("teacher.0.temperature", "sample.n", "smaple")] == [True] * 3
    assert text.endswith(f"Nothing was written. Check again: cotmill check {path}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "not a YAML file"),
        ("[1, 2]", "holds a list"),
        ("", "holds a NoneType"),
        ("train: {student: x}", "name: missing"),
    ],
)
def test_a_malformed_recipe_is_one_clear_message(recipe, text, complaint):
    assert complaint in faults(recipe(text))


def test_a_recipe_that_only_curates_needs_no_teacher(recipe):
    assert load_recipe(recipe("name: x\ncurate: {keep: granularity = 1}")).curate.keep == "granularity = 1"


def test_sampling_with_it_says_all_that_is_missing(recipe):
    with pytest.raises(RecipeError) as told:
        make_plan(load_recipe(recipe("name: x")))
    assert [key in str(told.value) for key in ("problems: missing", "teacher: missing")] == [True, True]


def test_a_missing_recipe_lists_those_beside_it(recipe):
    path = recipe()
    assert "in that directory" in faults(path.with_name("recpie.yaml"))
    assert "recipe.yaml" in faults(path.with_name("recpie.yaml"))


def test_files_beside_the_recipe_are_found_from_anywhere(recipe, tmp_path, monkeypatch):
    (tmp_path / "problems.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    path = recipe("name: x\nproblems: {source: file, path: problems.jsonl}\nteacher: {kind: scripted}\n")
    monkeypatch.chdir("/")
    assert load_recipe(path).problems[0].path == [tmp_path / "problems.jsonl"]


def test_a_resolved_recipe_reads_back_as_itself(recipe):
    loaded = load_recipe(recipe(), ["sample.n=3"])
    assert Recipe.model_validate(as_mapping(loaded)) == loaded


def test_the_schema_documents_every_key():
    def undocumented(schema: dict) -> list[str]:
        return [
            f"{name}.{key}"
            for name, model in schema["$defs"].items()
            for key, value in model.get("properties", {}).items()
            if "description" not in value and key not in ("source", "kind")
        ]

    assert undocumented(recipe_schema()) == []
