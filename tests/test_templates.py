"""A student is asked as it was taught: the same token ids in training and in evaluation, whatever the template.

Training tokens come from `curation.packaging.dataset` and `training.rows`, evaluation tokens from `training.evaluate`
and the vLLM teacher, each by its own way from the same problem.
"""

import shutil

import polars as pl
import pytest

from builders import config
from builders.problems.table import RAW, finish
from builders.prompts import make_prompt, render_question, shipped_specs
from builders.teachers.templates import TEMPLATES
from builders.teachers.vllm import VllmTeacher
from curation.config import CurateConfig
from curation.packaging.dataset import prompt_text, turn
from training import evaluate
from training.config import EvaluateConfig, TrainConfig
from training.rows import tokenise
from training.student import load_tokenizer

PROBLEMS = {
    "arithmetic": {"question": "Mia has 3 apples and buys 4 more. How many apples does Mia have now?", "gold": "7"},
    "choice": {"question": "Which is red?", "choices": ["blood", "snow", "coal"], "gold": "A"},
    "boolean": {"question": "Is snow white?", "gold": "Yes"},
    "several lines": {"question": "  Read this:\n\n12 - 5\n\nWhat is it?\n", "gold": "7"},
}
COMPLETION = [{"role": "assistant", "content": "3 + 4 = 7. The answer is 7."}]


def problem(name) -> dict:
    """The problem as a source would give it."""
    raw = pl.DataFrame([PROBLEMS[name]], schema={k: v for k, v in RAW.items() if k in PROBLEMS[name]})
    whole = pl.concat([raw, pl.DataFrame(schema=RAW)], how="diagonal").with_columns(
        source=pl.lit("t"), meta=pl.lit("{}")
    )
    return finish(whole.select(RAW.names()), split="test").problems.row(0, named=True)


def training_prompt(row) -> list[dict]:
    """The `prompt` column that curation writes for a trace of this problem."""
    frame = pl.DataFrame(
        {"question": [row["question"]], "choices": [row["choices"]]},
        schema={"question": pl.String, "choices": pl.List(pl.String)},
    )
    asked = turn("user", prompt_text(CurateConfig().prompt))
    return frame.select(asked.alias("prompt"))["prompt"].to_list()[0]


def training_ids(model, template, row) -> tuple[list[int], object]:
    """Ids of the prompt as it stands in a training row, and the tokenizer that the student is saved with."""
    tokenizer = load_tokenizer(TrainConfig(student=str(model), chat_template=template))
    made = tokenise(training_prompt(row), COMPLETION, tokenizer)
    return [
        token for token, trained in zip(made.input_ids, made.completion_mask, strict=True) if not trained
    ], tokenizer


def evaluation_ids(model, template, row) -> list[int]:
    """Ids that the vLLM teacher sends for the same problem."""
    teacher = VllmTeacher(config.VllmTeacher(kind="vllm", model=str(model), chat_template=template))
    teacher._load_tokenizer(str(model), {})
    return teacher._tokens(evaluate.messages(EvaluateConfig(), row["question"], row["choices"]))


@pytest.fixture(params=["auto", *TEMPLATES])
def template(request) -> str:
    return request.param


def test_there_are_five_templates():
    assert ["auto", *TEMPLATES] == ["auto", "plain", "alpaca", "gemma", "llama3"]


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("kind", ["tiny_llama", "tiny_base"])
def test_training_and_evaluation_send_the_same_token_ids(request, kind, template, name):
    model, row = request.getfixturevalue(kind), problem(name)
    ids, _ = training_ids(model, template, row)
    assert ids == evaluation_ids(model, template, row)
    assert len(ids) > 5


def test_a_saved_student_is_asked_by_the_template_it_was_taught_with(tiny_base, template, tmp_path):
    row = problem("choice")
    student = shutil.copytree(tiny_base, tmp_path / "student")
    ids, tokenizer = training_ids(tiny_base, template, row)
    tokenizer.save_pretrained(student)
    assert evaluation_ids(student, None, row) == ids


def test_templates_differ(tiny_llama):
    row = problem("arithmetic")
    assert len({tuple(training_ids(tiny_llama, name, row)[0]) for name in ["auto", *TEMPLATES]}) == 5


def test_a_teacher_is_asked_the_question_that_a_student_is_taught():
    """Generation without a level, training and evaluation: one question text."""
    row = problem("choice")
    prompt = make_prompt(shipped_specs(), level=None, format="original", answer_type=row["answer_type"])
    asked = prompt.messages(row["question"], row["choices"])
    assert asked == training_prompt(row) == evaluate.messages(EvaluateConfig(), row["question"], row["choices"])
    assert (
        asked[-1]["content"]
        == render_question(row["question"], row["choices"])
        == "Which is red?\nA. blood\nB. snow\nC. coal"
    )
