"""Advice: the search on a grid whose truth is known, and the whole way with a tiny student."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cotmill
from builders.errors import CotmillError
from tests.corpora import corpus_of
from tests.test_study import traces
from training.study.belief import Option, Pilot, believe
from training.study.halving import LEAST, search

OPTIONS = [Option(teacher, level, "original") for teacher in ("a", "b") for level in (1, 2, 3, 4, 5, 6)]
TRUE = [0.60 - 0.04 * abs(o.level - 4) - 0.06 * (o.teacher == "b") for o in OPTIONS]
"""The best is teacher a, level 4; then its levels 3 and 5, four points below."""
SIZE, COST = 3000, [100.0] * 12


class Bench:
    """Answers for pilots, and remembers what was asked."""

    def __init__(self, seed: int = 0, tested: int = 1000) -> None:
        self.dice, self.tested, self.asked = np.random.default_rng(seed), tested, []

    def __call__(self, option: int, size: int, seed: int, parts=()) -> Pilot:
        self.asked.append((option, size, seed, tuple(parts)))
        true = np.mean([TRUE[part] for part in parts or [option]]) - 0.05 * np.log2(SIZE / size)
        return Pilot(option, size, int(self.dice.binomial(self.tested, max(true, 0.01))), self.tested)


def test_the_best_arm_is_found_at_a_quarter_of_the_cost():
    right = 0
    for seed in range(5):
        bench = Bench(seed)
        made = search(OPTIONS, COST, SIZE, 0.25 * sum(COST) * SIZE, bench)
        right += OPTIONS[made.choice] == Option("a", 4, "original")
        assert made.tokens <= 0.25 * made.grid_tokens
        assert made.tokens == sum(100 * size for _, size, _, _ in bench.asked)
    assert right >= 4


def test_every_arm_is_tried_and_few_at_length():
    bench = Bench()
    search(OPTIONS, COST, SIZE, 0.25 * sum(COST) * SIZE, bench)
    smallest = min(size for _, size, _, _ in bench.asked)
    assert {option for option, size, _, _ in bench.asked if size == smallest} == set(range(12))
    longest = max(size for _, size, _, _ in bench.asked)
    assert len({option for option, size, _, _ in bench.asked if size == longest}) <= 4


def test_what_is_left_goes_to_further_seeds():
    bench = Bench()
    search(OPTIONS, COST, 200, 12 * 200 * 100.0, bench)  # more than three rounds of 200 problems can take
    assert max(seed for _, _, seed, _ in bench.asked) > 0


def test_a_pilot_that_got_fewer_problems_leaves_the_rest_to_longer_ones():
    class Short(Bench):
        """Has pilots of 100, 500 and 2,500 problems only."""

        def __call__(self, option: int, size: int, seed: int, parts=()) -> Pilot:
            return super().__call__(option, max(there for there in (100, 500, 2500) if there <= size), seed, parts)

    bench = Short()
    budget = 0.3 * sum(COST) * SIZE
    made = search(OPTIONS, COST, SIZE, budget, bench)
    assert made.tokens == sum(100 * size for _, size, _, _ in bench.asked) <= budget
    paid_as_asked = Bench()
    search(OPTIONS, COST, SIZE, budget, paid_as_asked)
    assert max(size for _, size, _, _ in bench.asked) > max(size for _, size, _, _ in paid_as_asked.asked)


def test_a_budget_that_is_too_small_says_which_would_do():
    with pytest.raises(CotmillError, match=r"rounds of at least 16 problems.*\n.*--budget \d+"):
        search(OPTIONS, COST, SIZE, LEAST * sum(COST), Bench())


def test_the_finalists_are_tried_mixed():
    bench = Bench()
    made = search(OPTIONS, COST, SIZE, 0.25 * sum(COST) * SIZE, bench, mixture=True)
    assert bench.asked[-1][3] or any(parts for *_, parts in bench.asked)
    assert len(made.belief.mean) == 13
    assert set(made.mixture) <= set(range(12))


def test_one_option_needs_no_rival():
    made = search(OPTIONS[:1], COST[:1], SIZE, 1e5, Bench())
    assert made.choice == 0


def test_an_untried_neighbour_is_believed_to_do_alike():
    pilots = [
        Pilot(2, 1000, 700, 1000),
        Pilot(4, 1000, 700, 1000),
        Pilot(6, 1000, 300, 1000),
        Pilot(11, 1000, 300, 1000),
    ]
    made = believe(OPTIONS, pilots, 1000)
    assert made.mean[3] > 0.6 > 0.45 > made.mean[8]  # between two good ones; and of the other teacher
    low, high = made.interval(3)
    seen = made.interval(2)
    assert high - low > seen[1] - seen[0]  # and less is known of it


def test_a_predictor_helps_where_nothing_was_tried():
    surprise = np.array([[float(o.level)] for o in OPTIONS])
    pilots = [Pilot(i, 1000, int(1000 * (0.2 + 0.1 * OPTIONS[i].level)), 1000) for i in (0, 1, 2)]
    without = believe(OPTIONS, pilots, 1000)
    given = believe(OPTIONS, pilots, 1000, predictors=surprise)
    assert given.mean[5] > without.mean[5]


def test_chances_add_up():
    made = believe(OPTIONS, [Pilot(0, 100, 50, 100)], 1000)
    assert made.chances().sum() == pytest.approx(1)
    assert made.chance_within(int(made.mean.argmax()), 1.0) == 1.0


@pytest.mark.train
@pytest.mark.slow
def test_advice_for_a_tiny_student(tmp_path, tiny_llama):
    corpus_of(tmp_path / "corpus", traces(teachers=("a",), levels=(1, 2), problems=40))
    held = tmp_path / "held.jsonl"
    held.write_text("\n".join(json.dumps({"question": f"What is 10{i}?", "answer": str(i)}) for i in range(6)))
    settings = ["train.sft.num_train_epochs=1", "evaluate.backend=transformers", "evaluate.max_tokens=4"]
    made = cotmill.advise(
        tmp_path / "corpus",
        student=str(tiny_llama),
        problems=[str(held)],
        budget=4000,
        out=tmp_path / "out",
        overrides=settings,
    )
    assert made["teacher"] == "a" or made["mixture"]
    assert made["tokens"] <= 4000
    assert made["grid_tokens"] > 0
    assert len(made["predictors"]) == 2  # two arms, all traces of which verify: what differs is the perplexity
    assert all(0 < nll < 20 for (nll,) in made["predictors"])
    assert json.loads((tmp_path / "out/advice.json").read_bytes())["choice"] == made["choice"]
