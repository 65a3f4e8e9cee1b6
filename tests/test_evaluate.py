"""Evaluation: the figures from judged rows, and one real run of a tiny model under vLLM."""

from __future__ import annotations

from dataclasses import asdict

import orjson
import polars as pl
import pytest
from pydantic import ValidationError

from builders.errors import CotmillError, Occupied
from builders.schema import PROBLEMS, TRACES
from training.config import EvaluateConfig
from training.evaluate import ANSWERED, ASKED, DONE, RESULTS, compare_evaluations, evaluate, judge, messages, summarise


def problems(*questions: tuple[str, str | None]) -> pl.DataFrame:
    rows = [
        {"problem_id": f"p{i}", "question": q, "gold": g, "gold_value": g, "answer_type": "number", "split": "test"}
        for i, (q, g) in enumerate(questions)
    ]
    return pl.DataFrame(rows, schema=PROBLEMS)


def answered(*answers: tuple[str | None, str | None, str]) -> pl.DataFrame:
    """Rows of (gold, response, status) as evaluation collects them."""
    rows = [
        {"problem_id": f"p{i}", "gold": g, "gold_value": g, "answer_type": "number", "response": r, "answer": r}
        | {"status": s, "completion_tokens": None if r is None else 10}
        for i, (g, r, s) in enumerate(answers)
    ]
    return pl.DataFrame(rows, schema={name: TRACES[name] for name in (*ASKED, *ANSWERED)})


def test_every_kind_of_answer_is_counted_once():
    judged = judge(
        answered(
            ("7", "The answer is 7.", "ok"),
            ("7", "The answer is 8.", "ok"),
            ("7", "I like apples", "truncated"),
            (None, "The answer is 7.", "ok"),
            ("7", None, "rejected"),
        ),
        EvaluateConfig(),
    )
    assert judged["verdict"].to_list() == ["correct", "incorrect", "unparseable", "no_gold", "unparseable"]
    assert judged["value"].to_list() == ["7", "8", None, "7", None]
    figures = summarise(judged)
    # 4 with gold, 1 right, 2 without an answer; 1 of 5 asked was cut off
    assert {k: figures[k] for k in ("n", "correct", "unparseable", "no_gold", "rejected")} == {
        "n": 4,
        "correct": 1,
        "unparseable": 2,
        "no_gold": 1,
        "rejected": 1,
    }
    assert (figures["accuracy"], figures["unparseable_share"], figures["truncated_share"]) == (0.25, 0.5, 0.2)
    assert figures["mean_tokens"] == 10


def test_without_gold_there_is_no_accuracy():
    figures = summarise(judge(answered((None, "The answer is 7.", "ok")), EvaluateConfig()))
    assert (figures["n"], figures["accuracy"], figures["interval"]) == (0, None, (0.0, 1.0))


def test_the_prompt_is_the_question_alone_unless_the_recipe_says_more():
    assert messages(EvaluateConfig(), "2 + 2?") == [{"role": "user", "content": "2 + 2?"}]
    more = EvaluateConfig(system="Be brief.", template="{question}\nAnswer with a letter.")
    assert messages(more, "Cold?", ["fire", "ice"]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Cold?\nA. fire\nB. ice\nAnswer with a letter."},
    ]


def test_a_template_that_asks_nothing_is_refused():
    with pytest.raises(ValidationError, match=r"`\{question\}` is missing"):
        EvaluateConfig(template="Solve it.")


def test_no_problems_are_the_users_mistake(tmp_path, tiny_llama):
    with pytest.raises(CotmillError, match="no problem to evaluate on"):
        evaluate(tiny_llama, problems(), EvaluateConfig(), tmp_path)


def test_evaluations_are_compared_on_the_problems_that_both_have(tmp_path):
    verdicts = {
        "before": {"p0": "correct", "p1": "incorrect", "p2": "unparseable", "p3": "no_gold", "p4": "correct"},
        "after": {"p1": "correct", "p0": "correct", "p2": "correct", "p3": "no_gold"},
    }
    for name, said in verdicts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / DONE).write_text("{}")
        frame = pl.DataFrame({"problem_id": list(said), "verdict": list(said.values())})
        frame.write_parquet(tmp_path / name / RESULTS)
    paired = compare_evaluations(tmp_path / "before", tmp_path / "after")
    assert (paired.n, paired.only_before, paired.only_after) == (3, 0, 2)  # p0, p1, p2


def test_an_unfinished_evaluation_is_not_compared(tmp_path):
    with pytest.raises(CotmillError, match=r"no finished evaluation \(evaluation\.json\)"):
        compare_evaluations(tmp_path, tmp_path)


@pytest.mark.vllm
def test_a_random_model_under_vllm_answers_nothing_readable(tmp_path, tiny_llama, capfd):
    asked = problems(("Mia has 3 apples and buys 4 more. How many?", "7"), ("How many?", None), ("x " * 900, "1"))
    config = EvaluateConfig(max_tokens=12, engine={"max_model_len": 256})
    report = evaluate(tiny_llama, asked, config, tmp_path)
    assert capfd.readouterr().out == ""  # stdout is for results
    assert (report.n, report.no_gold, report.rejected) == (2, 1, 1)  # the third is too long for the context
    assert (report.accuracy, report.unparseable_share) == (0.0, 1.0)
    assert report.engine.startswith("vllm ")
    assert report.tokens_per_s > 0
    results = pl.read_parquet(tmp_path / RESULTS)
    assert results["problem_id"].to_list() == ["p0", "p1", "p2"]
    assert results["status"][2] == "rejected"
    assert "leaves no room" in results["error"][2]
    assert results.columns == [*ASKED, *ANSWERED, "verdict", "value"]
    held = orjson.loads((tmp_path / DONE).read_bytes())
    assert held.keys() == asdict(report).keys()
    lines: list[str] = []
    again = evaluate(tiny_llama, asked, config, tmp_path, log=lines.append)  # starts no engine
    assert again.fingerprint == report.fingerprint
    with pytest.raises(Occupied, match="--overwrite"):
        evaluate(tiny_llama, asked, config.model_copy(update={"max_tokens": 3}), tmp_path)
    assert lines == [f"already evaluated: {tmp_path / DONE}"]
