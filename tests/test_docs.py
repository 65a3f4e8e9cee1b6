"""The documentation is true: links lead somewhere, commands parse, recipes validate, queries run."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import cotmill
from builders.corpus import Corpus
from builders.prompts import load_specs
from builders.teachers.vllm_args import check_engine
from cotmill.cli import app
from cotmill.recipe import Recipe, load_recipe
from curation.asking.sql import query
from curation.decide.select import decide
from curation.engine.marks import mark
from docs.reference import FOLDER, pages, slug
from tests.students import Stub
from tests.test_probes import reasons
from training.config import EvaluateConfig
from training.evaluate import evaluate

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app).commands
SECTIONS = set(Recipe.model_fields)

MINIMAL = {
    "name": "docs",
    "problems": [{"source": "words", "count": 20}],
    "teacher": [{"kind": "scripted"}, {"kind": "scripted", "accuracy": 0.2}],
    "train": {"student": "smollm2-135m"},
    "evaluate": {"problems": [{"source": "words", "seed": 1}]},
}
"""What a fragment of a recipe is completed with."""


def blocks(page: Path, *languages: str) -> list[str]:
    """Contents of the fenced blocks in these languages; "" for those that name none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def named(values, what):
    """pytest parameters with the page in their names."""
    return [
        pytest.param(text, id=f"{page.relative_to(ROOT)}-{i}")
        for page in PAGES
        for i, text in enumerate(values(page))
        if what in text
    ]


def command_lines(page: Path) -> list[str]:
    """Every line of a shell block that calls cotmill, comments and pipes cut off."""
    lines = "".join(blocks(page, "", "sh", "bash", "console")).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?cotmill ", line)]


def arguments(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>;")
    lexer.whitespace_split = True
    words = list(lexer)
    ends = [i for i, word in enumerate(words) if set(word) <= set("|>;") or word == "&&"]
    return words[1 : ends[0] if ends else None]


LINES = named(command_lines, "cotmill")
YAML = named(lambda page: blocks(page, "yaml"), "")
PYTHON = named(lambda page: blocks(page, "python"), "import cotmill")
QUERIES = named(lambda page: [line for line in command_lines(page) if arguments(line)[0] == "sql"], "")


def completed(fragment) -> dict:
    """A whole recipe around a fragment: a recipe, some of its sections, or a list of problem sources."""
    if isinstance(fragment, list):
        return {**MINIMAL, "problems": fragment}
    return fragment if "name" in fragment else {**MINIMAL, **fragment}


def recipe_of(text: str, folder: Path) -> Recipe | None:
    """The recipe that a YAML block is or belongs to; None when it is a file of level and format specs."""
    fragment = yaml.safe_load(text)
    path = folder / "block.yaml"
    if isinstance(fragment, dict) and not set(fragment) & SECTIONS:
        path.write_text(text)
        load_specs(path)
        return None
    path.write_text(yaml.safe_dump(completed(fragment)))
    return load_recipe(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of the scripted teacher, with the two evaluations that a run with a student has."""
    folder = tmp_path_factory.mktemp("docs") / "run"
    path = folder.parent / "recipe.yaml"
    settings = {"sample": {"levels": [1, 2], "n": 2}, "curate": {"splits": {"train": 0.8, "validation": 0.2}}}
    path.write_text(
        yaml.safe_dump({k: v for k, v in {**MINIMAL, **settings}.items() if k not in ("train", "evaluate")})
    )
    cotmill.run(path, folder)
    asked = Corpus(folder / "corpus").problems().collect()
    for name in ("before", "after"):
        config = EvaluateConfig(probes=["truncated", "filler"])
        evaluate(Stub(reasons), asked, config, folder / name, log=lambda line: None)
    cotmill.reformat(folder / "corpus", ["numbered"])
    return folder


def test_there_is_something_to_check():
    assert min(map(len, (LINES, YAML, PYTHON, QUERIES))) > 0


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_reference_is_what_the_code_says(name):
    assert (FOLDER / name).read_text() == pages()[name], "write it again: make docs"


def test_the_page_on_granularity_shows_the_shipped_exemplars():
    from builders.spec import shipped_specs

    page, specs = (ROOT / "docs" / "granularity.md").read_text(), shipped_specs()
    shown = [spec.traces["arithmetic"][0] for spec in (*specs.levels, *specs.formats) if spec.traces]
    assert [text for text in shown if " ".join(text.split()) not in page] == []


def test_every_page_of_the_reference_is_generated():
    assert {path.name for path in FOLDER.iterdir()} == set(pages())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"\w+:", link):
            continue
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if anchor and target.is_file() else []
        if not target.exists() or (anchor and anchor not in map(slug, headings)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("line", LINES)
def test_commands_and_their_options_exist(line):
    name, *rest = arguments(line)
    assert name in {*COMMANDS, "--help", "--version"}
    if name in COMMANDS:
        COMMANDS[name].make_context(name, rest)  # parses and runs nothing; raises on what it does not know


@pytest.mark.parametrize("line", [p for p in LINES if "--set" in p.values[0]])
def test_overrides_of_the_docs_lead_to_a_value(line, tmp_path):
    name, *rest = arguments(line)
    overrides = COMMANDS[name].make_context(name, rest).params["set_"]
    several = any(re.match(r"(teacher|problems)\.\d", said) for said in overrides)
    one = {**MINIMAL, "teacher": MINIMAL["teacher"] if several else MINIMAL["teacher"][0]}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(one))
    assert load_recipe(path, overrides) != load_recipe(path)


@pytest.mark.parametrize("text", YAML)
def test_recipes_of_the_docs_are_valid(text, tmp_path):
    recipe = recipe_of(text, tmp_path)
    for teacher in recipe.teacher if recipe else ():
        check_engine(getattr(teacher, "engine", {}))


@pytest.mark.parametrize("text", [p for p in YAML if "curate:" in p.values[0]])
def test_conditions_of_the_docs_can_be_decided(text, tmp_path, run):
    config, corpus = recipe_of(text, tmp_path).curate, Corpus(run / "corpus")
    mark(corpus, config.made_passes())
    assert decide(corpus, config, config.made_passes()).height == corpus.held_ids().len()


@pytest.mark.parametrize("line", QUERIES)
def test_queries_of_the_docs_have_an_answer(line, run):
    assert len(json.loads(query(run, arguments(line)[2], format="json"))) > 0


@pytest.mark.parametrize("text", PYTHON)
def test_python_of_the_docs_uses_what_exists(text):
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    assert {call.attr for call in calls if call.value.id == "cotmill"} <= set(cotmill.__all__)


def test_every_make_target_of_the_docs_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = {name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert said <= targets
