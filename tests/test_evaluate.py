"""Evaluation: figures from judged rows, and the way of an evaluation: resumed, refused, not repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import orjson
import polars as pl
import pytest
from pydantic import ValidationError

from builders.corpus import Corpus
from builders.errors import CotmillError, Occupied, TeacherError
from builders.identity import problem_id
from builders.schema import PROBLEMS, TRACES
from curation.asking.sql import query
from tests.students import Stub, adder
from training.config import EvaluateConfig
from training.evaluate import DONE, RESULTS, evaluate, finished, messages
from training.evaluation.figures import (
    ANSWERED,
    ANSWERS,
    ASKED,
    difficulty,
    judge,
    majorities,
    per_problem,
    summarise,
    winners,
)

WARM = EvaluateConfig(n=4, temperature=1.0)


def quietly(line: str) -> None:
    """No progress."""


def problems(*questions: tuple[str, str | None], meta: str | None = None, source: str = "sums") -> pl.DataFrame:
    rows = [
        {"problem_id": problem_id(q, None, g), "question": q, "gold": g, "gold_value": g, "answer_type": "number"}
        | {"source": source, "split": "test", "meta": meta}
        for q, g in questions
    ]
    return pl.DataFrame(rows, schema=PROBLEMS)


def sums(count: int, start: int = 1) -> pl.DataFrame:
    return problems(*((f"What is {i} + {i}?", str(2 * i)) for i in range(start, start + count)))


def answered(*answers: tuple[str | None, str | None, str], samples: int = 1) -> pl.DataFrame:
    """Rows of (gold, response, status) as evaluation collects them, `samples` in a row for each problem."""
    rows = [
        {"trace_id": str(i), "problem_id": f"p{i // samples}", "sample_index": i % samples, "gold": g, "gold_value": g}
        | {"answer_type": "number", "source": "t", "response": r, "answer": r, "status": s}
        | {"completion_tokens": None if r is None else 10 + i}
        for i, (g, r, s) in enumerate(answers)
    ]
    return judge(pl.DataFrame(rows, schema=ANSWERS), EvaluateConfig())


def said(gold: str, *values: str) -> list[tuple[str, str, str]]:
    return [(gold, f"The answer is {value}." if value else "Well.", "ok") for value in values]


# -- figures


def test_every_kind_of_answer_is_counted_once():
    rows = answered(
        ("7", "The answer is 7.", "ok"),
        ("7", "The answer is 8.", "ok"),
        ("7", "I like apples", "truncated"),
        (None, "The answer is 7.", "ok"),
        ("7", None, "rejected"),
    )
    assert rows["verdict"].to_list() == ["correct", "incorrect", "unparseable", "no_gold", "unparseable"]
    assert rows["value"].to_list() == ["7", "8", None, "7", None]
    figures = summarise(rows)
    # 4 with gold, 1 right, 2 without an answer; 1 of 5 asked was cut off
    counts = {"n": 4, "correct": 1, "unparseable": 2, "no_gold": 1, "rejected": 1, "truncated": 1, "timeout": 0}
    assert {key: figures[key] for key in counts} == counts
    assert (figures["accuracy"], figures["unparseable_share"], figures["truncated_share"]) == (0.25, 0.5, 0.2)
    assert (figures["mean_tokens"], figures["median_tokens"]) == (11.5, 11.5)  # 10, 11, 12, 13


def test_what_the_checker_had_no_time_for_counts_as_wrong_and_apart():
    rows = answered(*said("7", "7")).with_columns(verdict=pl.lit("timeout"))
    assert [summarise(rows)[key] for key in ("accuracy", "timeout", "unparseable")] == [0.0, 1, 0]


def test_without_gold_there_is_no_accuracy():
    figures = summarise(answered((None, "The answer is 7.", "ok")))
    assert (figures["n"], figures["accuracy"], figures["interval"]) == (0, None, (0.0, 1.0))


def test_one_answer_has_no_pass_at_k():
    figures = summarise(answered(*said("7", "7")))
    assert (figures["samples"], figures["pass_at_k"], figures["maj_at_k"]) == (1, [], [])


def test_pass_at_k_is_the_mean_over_problems():
    # 1 of 4 and 4 of 4 right: pass@1 = (1/4 + 1) / 2, pass@2 = (1/2 + 1) / 2, pass@4 = 1
    figures = summarise(answered(*said("7", "7", "8", "9", "8"), *said("5", "5", "5", "5", "5"), samples=4))
    assert [(one["k"], one["share"]) for one in figures["pass_at_k"]] == [(1, 0.625), (2, 0.75), (4, 1.0)]
    assert (figures["accuracy"], figures["correct"], figures["n"]) == (0.625, 5, 2)


def test_several_answers_get_the_interval_of_problems_not_of_answers():
    # 40 problems, all four answers of each alike: an interval of 40, not of 160, observations
    alike = [row for i in range(40) for row in said("7", *["7" if i % 2 else "8"] * 4)]
    low, high = summarise(answered(*alike, samples=4))["interval"]
    assert high - low == pytest.approx(0.297, abs=0.005)  # Wilson of 20 in 40; of 80 in 160 it is .152


@pytest.mark.parametrize(
    ("answers", "won"),
    [
        (["7", "8", "7", "9"], "7"),
        (["8", "7", "7", "8"], "8"),  # a tie goes to the answer that came first
        (["", "", "7", ""], "7"),  # what cannot be read does not vote
        (["", "", "", ""], None),
        (["7.0", "8", "07", "7"], "7"),  # one value, three spellings
    ],
)
def test_the_answer_with_most_votes_wins(answers, won):
    assert winners(answered(*said("7", *answers), samples=4), ["problem_id"])["value"].to_list() == [won]


def test_maj_at_k_takes_groups_of_k_in_order():
    rows = answered(*said("7", "7", "8", "8", "7", "7"), samples=5)
    # k = 2: (7, 8) and (8, 7), ties to the first: right, wrong; the fifth answer is left over
    assert majorities(rows, 2) == [0.5]
    assert majorities(rows, 5) == [1.0]


def test_results_have_a_row_per_problem_with_the_answer_that_won():
    rows = per_problem(answered(*said("7", "8", "7", "7", ""), *said("5", "", "", "", ""), samples=4))
    assert rows.select("problem_id", "samples", "correct", "value", "verdict", "trace_id").rows() == [
        ("p0", 4, 2, "7", "correct", "1"),
        ("p1", 4, 0, None, "unparseable", "4"),
    ]


def test_correct_is_unknown_without_gold():
    assert per_problem(answered((None, "The answer is 7.", "ok")))["correct"].to_list() == [None]


@pytest.mark.parametrize(
    ("meta", "levels"),
    [
        (['{"difficulty": 2}', '{"difficulty": "hard"}', "{}"], ["2", "hard", None]),
        (['{"level": "Level 3"}', None, '{"level": null}'], ["Level 3", None, None]),
        (['{"difficulty": {"terms": 3}, "level": 4}'], ["4"]),  # an object is no level
    ],
)
def test_difficulty_is_what_the_source_says(meta, levels):
    assert difficulty(pl.Series("meta", meta, pl.String)).to_list() == levels


def test_many_numbers_become_quarters():
    levels = difficulty(pl.Series([f'{{"difficulty": {i / 10}}}' for i in range(100)]))
    assert levels.value_counts().sort("difficulty").rows() == [
        ("1 lowest quarter", 25),
        ("2", 25),
        ("3", 25),
        ("4 highest quarter", 25),
    ]


def test_accuracy_by_difficulty_is_in_order_of_size():
    rows = answered(*said("7", "7"), *said("7", "8"), *said("7", "7")).with_columns(
        difficulty=pl.Series(["10", "2", "10"])
    )
    found = summarise(rows)["by_difficulty"]
    assert [(one["difficulty"], one["n"], one["accuracy"]) for one in found] == [("2", 1, 0.0), ("10", 2, 1.0)]


def test_accuracy_by_source_needs_several():
    rows = answered(*said("7", "7"), *said("7", "8"))
    assert summarise(rows)["by_source"] == []
    found = summarise(rows.with_columns(source=pl.Series(["a", "b"])))["by_source"]
    assert [(one["source"], one["accuracy"]) for one in found] == [("a", 1.0), ("b", 0.0)]


# -- settings


def test_the_prompt_is_the_question_alone_unless_the_recipe_says_more():
    assert messages(EvaluateConfig(), "2 + 2?") == [{"role": "user", "content": "2 + 2?"}]
    more = EvaluateConfig(system="Be brief.", template="{question}\nAnswer with a letter.")
    assert messages(more, "Cold?", ["fire", "ice"]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Cold?\nA. fire\nB. ice\nAnswer with a letter."},
    ]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"template": "Solve it."}, r"`\{question\}` is missing"),
        ({"n": 4}, "4 greedy answers would be the same"),
        ({"beams": 5, "temperature": 0.7}, "temperature 0"),
        ({"beams": 5, "backend": "vllm"}, "engine has none"),
        ({"probes": ["shuffled"]}, "'truncated', 'corrupted' or 'filler'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        EvaluateConfig(**settings)


# -- the way of an evaluation


def test_an_evaluation_leaves_figures_results_and_a_corpus(tmp_path):
    student = adder(right=lambda request: "3 + 3" not in request.messages[-1]["content"])
    report = evaluate(student, sums(4), EvaluateConfig(), tmp_path, log=quietly)
    assert (report.n, report.correct, report.accuracy, report.asked) == (4, 3, 0.75, 4)
    assert orjson.loads((tmp_path / DONE).read_bytes()) == orjson.loads(orjson.dumps(asdict(report)))
    results = pl.read_parquet(tmp_path / RESULTS)
    assert results.columns == [
        *(*ASKED, "difficulty", "samples", "correct"),
        *(*ANSWERED, "verdict", "value", "trace_id"),
    ]
    assert results.select("question", "value", "correct").rows()[2] == ("What is 3 + 3?", "7", 0)
    assert Corpus(tmp_path / "corpus").traces().collect().schema == TRACES


def test_results_are_in_the_order_of_the_problems(tmp_path):
    asked = sums(30).sample(fraction=1.0, shuffle=True, seed=1)
    evaluate(adder(), asked, EvaluateConfig(), tmp_path, log=quietly)
    assert pl.read_parquet(tmp_path / RESULTS)["problem_id"].equals(asked["problem_id"])


def test_sql_sees_an_evaluation_and_its_answers(tmp_path):
    evaluate(adder(), sums(3), WARM, tmp_path, log=quietly)
    asked = "select verdict, samples, correct, count(*) as n from eval group by all"
    assert orjson.loads(query(tmp_path, asked, format="json")) == [
        {"verdict": "correct", "samples": 4, "correct": 4, "n": 3}
    ]
    answers = "select count(*) as n from traces join marks_verify using (trace_id) where verdict = 'correct'"
    assert orjson.loads(query(tmp_path, answers, format="json")) == [{"n": 12}]
    assert orjson.loads(query(tmp_path.parent, f"select count(*) as n from eval_{tmp_path.name}", format="json")) == [
        {"n": 3}
    ]


def test_samples_have_seeds_of_their_own_and_stay_the_same(tmp_path):
    first, second = adder(), adder()
    evaluate(first, sums(3), WARM, tmp_path / "a", log=quietly)
    evaluate(second, sums(3), WARM, tmp_path / "b", log=quietly)
    seeds = [{request.seed for request in student.asked} for student in (first, second)]
    assert len(seeds[0]) == 12
    assert seeds[0] == seeds[1]


def test_a_finished_evaluation_is_not_repeated(tmp_path):
    evaluate(adder(), sums(3), EvaluateConfig(), tmp_path, log=quietly)
    again, lines = adder(), []
    report = evaluate(again, sums(3), EvaluateConfig(window=3), tmp_path, log=lines.append)
    assert again.asked == []
    assert lines == [f"already evaluated: {tmp_path / DONE}"]
    assert finished(tmp_path, report.fingerprint) == report


@pytest.mark.parametrize(
    "changed",
    [
        {"config": EvaluateConfig(max_tokens=3)},
        {"problems": sums(2)},
        {"model": adder(weights="others")},
        {"config": EvaluateConfig(fallback="last_number")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_evaluation_is_not_overwritten(tmp_path, changed):
    same = {"model": adder(), "problems": sums(3), "config": EvaluateConfig()}
    evaluate(**same, out=tmp_path, log=quietly)
    with pytest.raises(Occupied, match="--overwrite"):
        evaluate(**{**same, **changed}, out=tmp_path, log=quietly)
    assert evaluate(**{**same, **changed}, out=tmp_path, overwrite=True, log=quietly).n > 0


def test_more_problems_and_samples_pay_only_for_themselves(tmp_path):
    evaluate(adder(), sums(3), WARM, tmp_path, log=quietly)
    more, wider = adder(), WARM.model_copy(update={"n": 5})
    report = evaluate(more, sums(4), wider, tmp_path, overwrite=True, log=quietly)
    assert len(more.asked) == 4 * 5 - 3 * 4
    assert (report.n, report.samples, report.correct) == (4, 5, 20)


def test_an_evaluation_whose_model_dies_goes_on(tmp_path):
    whole = evaluate(adder(), sums(20), WARM, tmp_path / "whole", log=quietly)
    with pytest.raises(TeacherError, match="the stub is gone"):
        evaluate(adder(dies_after=30), sums(20), WARM, tmp_path / "cut", log=quietly)
    assert not (tmp_path / "cut" / DONE).exists()
    rest = adder()
    report = evaluate(rest, sums(20), WARM, tmp_path / "cut", log=quietly)
    assert len(rest.asked) == report.asked == 80 - 30
    varying = {"asked": 0, "seconds": 0, "tokens_per_s": 0, "start_seconds": 0}
    assert asdict(report) | varying == asdict(whole) | varying
    untimed = pl.exclude("seconds")
    assert (
        pl.read_parquet(tmp_path / "cut" / RESULTS)
        .select(untimed)
        .equals(pl.read_parquet(tmp_path / "whole" / RESULTS).select(untimed))
    )


KILLED = """
import sys
from pathlib import Path
from builders.config import ScriptedTeacher
from builders.teachers import make_teacher
from tests.test_evaluate import quietly, sums
from training.config import EvaluateConfig
from training.evaluate import evaluate

teacher = make_teacher(ScriptedTeacher(kind="scripted", delay=float(sys.argv[2])))
teacher.window = 64
print(evaluate(teacher, sums(640), EvaluateConfig(), Path(sys.argv[1]), log=quietly).asked)
"""


@pytest.mark.slow
def test_an_evaluation_goes_on_after_kill_9(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    run = subprocess.Popen([*command, "0.3"])
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size for file in tmp_path.glob("corpus/journal/*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    asked = int(subprocess.run([*command, "0"], check=True, capture_output=True, text=True).stdout)
    held = Corpus(tmp_path / "corpus").held_ids()
    assert 0 < asked < 640
    assert held.n_unique() == held.len() == 640


def test_requests_without_an_answer_leave_no_figures(tmp_path):
    student = Stub(lambda request: "LOST" if "2 + 2" in request.messages[-1]["content"] else "The answer is 2.")
    with pytest.raises(TeacherError, match=r"1 requests got no answer \(the stub was busy\)"):
        evaluate(student, sums(3), EvaluateConfig(), tmp_path, log=quietly)
    assert not (tmp_path / DONE).exists()


# -- what bad input gets


def test_no_problems_are_the_users_mistake(tmp_path):
    with pytest.raises(CotmillError, match="no problem to evaluate on"):
        evaluate(adder(), problems(), EvaluateConfig(), tmp_path)


def test_problems_without_any_gold_are_refused(tmp_path):
    student = adder()
    with pytest.raises(CotmillError, match="all 2 problems have no gold answer"):
        evaluate(student, problems(("1 + 1?", None), ("2 + 2?", None)), EvaluateConfig(), tmp_path)
    unread = problems(("1 + 1?", "two")).with_columns(gold_value=pl.lit(None, pl.String))
    with pytest.raises(CotmillError, match="cannot be read, first 'two'"):
        evaluate(student, unread, EvaluateConfig(), tmp_path)
    assert student.asked == []


def test_a_problem_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(CotmillError, match=r"1 problems are there more than once.*first 'What is 1 \+ 1\?'"):
        evaluate(adder(), pl.concat([sums(2), sums(1)]), EvaluateConfig(), tmp_path)


def test_prompts_longer_than_the_context_are_counted_and_wrong(tmp_path):
    student = Stub(lambda request: "TOO LONG" if "2 + 2" in request.messages[-1]["content"] else "The answer is 2.")
    report = evaluate(student, sums(2), EvaluateConfig(), tmp_path, log=quietly)
    assert (report.rejected, report.n, report.correct, report.accuracy) == (1, 2, 1, 0.5)
    assert pl.read_parquet(tmp_path / RESULTS)["error"].to_list() == [None, "the prompt leaves no room for an answer"]


def test_a_model_that_can_be_asked_nothing_has_no_accuracy(tmp_path):
    with pytest.raises(CotmillError, match="none of 2 problems: the prompt leaves no room"):
        evaluate(Stub(lambda request: "TOO LONG"), sums(2), EvaluateConfig(), tmp_path, log=quietly)
    assert not (tmp_path / DONE).exists()


def test_a_model_directory_without_a_tokenizer_is_refused_before_anything_starts(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    with pytest.raises(CotmillError, match="has no tokenizer"):
        evaluate(model, sums(2), EvaluateConfig(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
