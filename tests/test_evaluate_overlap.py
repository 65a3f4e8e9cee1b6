"""An evaluation on what was trained on is refused, unless one says by name that it is meant so."""

from __future__ import annotations

import orjson
import polars as pl
import pytest

from builders.errors import CotmillError
from tests.students import adder
from tests.test_evaluate import problems, quietly, sums
from tests.training import sum_rows, write
from training.config import EvaluateConfig, TrainConfig
from training.evaluate import evaluate
from training.evaluation.overlap import datasets_of, training_questions
from training.sft import train


def dataset(folder, questions, *, config="default", column="question"):
    """A dataset as curation lays it out; of these questions."""
    place = folder / "data" / config
    place.mkdir(parents=True)
    rows = {"question": questions}
    if column == "prompt":
        rows = {"prompt": [[{"role": "system", "content": "Hi."}, {"role": "user", "content": q}] for q in questions]}
    pl.DataFrame(rows).write_parquet(place / "train-00000-of-00001.parquet")
    return folder


@pytest.fixture
def trained(tmp_path):
    return dataset(tmp_path / "dataset", ["What is 2 + 2?", "What is 99 + 99?"])


def test_problems_that_were_trained_on_are_refused(tmp_path, trained):
    student = adder()
    with pytest.raises(CotmillError, match=r"1 of 3 problems were trained on") as refused:
        evaluate(student, sums(3), EvaluateConfig(), tmp_path / "out", trained_on=[trained], log=quietly)
    assert "What is 2 + 2?" in str(refused.value)
    assert str(refused.value).endswith("--allow-overlap sums")
    assert student.asked == []


def test_a_waiver_names_the_source_and_is_recorded(tmp_path, trained):
    report = evaluate(
        adder(),
        sums(3),
        EvaluateConfig(),
        tmp_path / "out",
        trained_on=[trained],
        allow_overlap=["sums"],
        log=quietly,
    )
    assert (report.trained_on, report.overlap) == ([str(trained)], {"sums": 1})


def test_a_waiver_for_one_source_does_not_cover_another(tmp_path, trained):
    asked = pl.concat([sums(1), problems(("What is 2 + 2?", "4"), source="quiz")])
    with pytest.raises(CotmillError, match=r"--allow-overlap quiz$"):
        evaluate(
            adder(),
            asked,
            EvaluateConfig(),
            tmp_path / "out",
            trained_on=[trained],
            allow_overlap=["sums"],
            log=quietly,
        )


def test_letter_case_and_punctuation_hide_nothing(tmp_path, trained):
    with pytest.raises(CotmillError, match="1 of 1 problems were trained on"):
        evaluate(
            adder(),
            problems(("what is 2 + 2", "4")),
            EvaluateConfig(),
            tmp_path / "out",
            trained_on=[trained],
            log=quietly,
        )


def test_other_problems_pass(tmp_path, trained):
    report = evaluate(adder(), sums(3, start=5), EvaluateConfig(), tmp_path / "out", trained_on=[trained], log=quietly)
    assert (report.trained_on, report.overlap) == ([str(trained)], {})


def test_a_dataset_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(CotmillError, match="there is no dataset"):
        evaluate(
            adder(), sums(1), EvaluateConfig(), tmp_path / "out", trained_on=[tmp_path / "no.parquet"], log=quietly
        )


@pytest.mark.parametrize("column", ["question", "prompt"])
def test_questions_are_found_in_either_column(tmp_path, column):
    folder = dataset(tmp_path / "d", ["What is 2 + 2?"], column=column)
    assert training_questions(folder)["question"].to_list() == ["What is 2 + 2?"]


def test_preference_pairs_are_training_data_too(tmp_path):
    folder = dataset(dataset(tmp_path / "d", ["One?"]), ["Two?"], config="pairs")
    assert training_questions(folder)["question"].to_list() == ["One?", "Two?"]


def test_a_directory_without_data_is_no_dataset(tmp_path):
    with pytest.raises(CotmillError, match="is no dataset"):
        training_questions(tmp_path)


def test_a_student_names_its_dataset_by_its_card(tmp_path):
    (tmp_path / "README.md").write_text("---\nlibrary_name: transformers\ndatasets:\n- owner/sums\n---\n# Student\n")
    assert datasets_of(str(tmp_path)) == ["owner/sums"]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"source": {"path": "runs/a/dataset", "repo": None}}, ["runs/a/dataset"]),
        ({"source": {"repo": "owner/sums"}, "config": {"dataset": None}}, ["owner/sums"]),
        ({"config": {"dataset": "sums.parquet"}}, ["sums.parquet"]),
        ({"source": {"name": "sums"}}, []),
    ],
)
def test_a_student_names_its_dataset_by_the_report_beside_it(tmp_path, said, named):
    (tmp_path / "model").mkdir()
    (tmp_path / "train.json").write_bytes(orjson.dumps(said))
    assert datasets_of(str(tmp_path / "model")) == named


def test_a_student_without_card_or_report_names_nothing(tmp_path):
    (tmp_path / "README.md").write_text("# A model")
    assert datasets_of(str(tmp_path)) == []
    assert datasets_of("owner/model") == []


@pytest.mark.train
def test_a_student_is_not_tested_on_what_it_was_taught(tmp_path, tiny_llama):
    """Taught and tested with no word about the overlap: the student names its dataset itself."""
    taught = write(tmp_path / "sums", sum_rows())  # asks `What is 0 + 0?` and so on
    train(taught, TrainConfig(student=str(tiny_llama), sft={"max_steps": 1}), tmp_path / "student", log=quietly)
    model = tmp_path / "student" / "model"
    with pytest.raises(CotmillError, match="2 of 2 problems were trained on"):
        evaluate(model, sums(2), EvaluateConfig(), tmp_path / "out", log=quietly)
    held_out = problems(("What do 40 and 2 make?", "42"))
    slow = EvaluateConfig(backend="transformers", max_tokens=4)
    report = evaluate(model, held_out, slow, tmp_path / "out", log=quietly)
    assert report.trained_on == [str(taught)]
