"""Two evaluations against each other, problem by problem."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from builders.errors import CotmillError
from tests.students import Stub, adder
from tests.test_evaluate import WARM, problems, quietly, sums
from training.config import EvaluateConfig
from training.evaluate import compare_evaluations, evaluate


def run(folder, asked, student, config=None):
    evaluate(student, asked, config or EvaluateConfig(), folder, log=quietly)
    return folder


def knows(*numbers: int):
    """Adds right where both numbers are one of these."""
    return adder(right=lambda request: any(f"{n} + {n}" in request.messages[-1]["content"] for n in numbers))


@pytest.fixture
def pair(tmp_path):
    """A knows 1 and 2 of five sums, B 2 to 5."""
    return run(tmp_path / "a", sums(5), knows(1, 2)), run(tmp_path / "b", sums(5), knows(2, 3, 4, 5))


def test_a_comparison_counts_who_was_right(pair):
    found = compare_evaluations(*pair)
    assert (found.both, found.only_a, found.only_b, found.neither) == (1, 1, 3, 0)
    assert (found.accuracy_a, found.accuracy_b) == (0.4, 0.8)
    assert found.difference == pytest.approx(0.4)
    assert found.p == pytest.approx(10 / 16)  # 2 * (1 + 4) / 2**4
    low, high = found.interval
    assert -0.4 <= low < 0.4 < high <= 1.0
    assert (found.n, found.left_out, found.tested) == (5, (0, 0), "answers")


def test_the_other_way_round_the_sign_turns(pair):
    forth, back = compare_evaluations(*pair), compare_evaluations(*reversed(pair))
    assert back.difference == -forth.difference
    assert back.p == forth.p


def test_different_problems_are_refused_unless_told(tmp_path):
    a, b = run(tmp_path / "a", sums(5), adder()), run(tmp_path / "b", sums(5, start=3), adder())
    with pytest.raises(CotmillError, match=r"2 of 5 in .*a alone, such as 'What is 1 \+ 1\?'") as refused:
        compare_evaluations(a, b)
    assert "--common" in str(refused.value)
    found = compare_evaluations(a, b, common=True)
    assert (found.n, found.left_out) == (3, (2, 2))


def test_evaluations_without_a_common_problem_are_refused(tmp_path):
    a, b = run(tmp_path / "a", sums(2), adder()), run(tmp_path / "b", sums(2, start=7), adder())
    with pytest.raises(CotmillError, match="no problem with a gold answer in common"):
        compare_evaluations(a, b, common=True)


def test_problems_without_gold_are_no_difference(tmp_path):
    asked = problems(("What is 1 + 1?", "2"), ("What is 5 + 5?", None))
    found = compare_evaluations(run(tmp_path / "a", asked, adder()), run(tmp_path / "b", asked, adder(weights="b")))
    assert (found.n, found.left_out, found.p) == (1, (0, 0), 1.0)


def test_several_samples_differ_by_their_rates_and_are_tested_by_their_majorities(tmp_path):
    # B is right 3 times in 4, so on each problem the rates differ by 1/4 and the majorities not at all
    b = Stub(lambda request: f"The answer is {2 if request.sample_index else 3}.")
    a = Stub(lambda request: "The answer is 2.")
    asked = problems(("What is 1 + 1?", "2"), ("What is one plus one?", "2"))
    found = compare_evaluations(run(tmp_path / "a", asked, a, WARM), run(tmp_path / "b", asked, b, WARM))
    assert (found.difference, found.interval) == (-0.25, (-0.25, -0.25))
    assert (found.both, found.p, found.tested) == (2, 1.0, "majority answers")


def test_answers_judged_by_different_rules_are_not_compared(tmp_path):
    a = run(tmp_path / "a", sums(2), adder())
    b = run(tmp_path / "b", sums(2), adder(), EvaluateConfig(fallback="last_number"))
    with pytest.raises(CotmillError, match="judged by different rules"):
        compare_evaluations(a, b)
    again = adder()
    evaluate(again, sums(2), EvaluateConfig(), b, overwrite=True, log=quietly)
    assert again.asked == []  # the answers are there; they are judged anew
    assert compare_evaluations(a, b).n == 2


def test_an_unfinished_evaluation_is_not_compared(tmp_path):
    with pytest.raises(CotmillError, match=r"no finished evaluation \(evaluation\.json\)"):
        compare_evaluations(tmp_path, tmp_path)


def test_the_command_prints_one_object_or_a_sentence(pair):
    command = [sys.executable, "-m", "cotmill", "compare", *map(str, pair)]
    found = json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout)
    assert found["difference"] == pytest.approx(0.4)
    assert found["a"] == str(pair[0])
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "B - A +40.0%" in text
    assert "exact McNemar p = 0.625 (only A right: 1, only B: 3; answers)" in text
