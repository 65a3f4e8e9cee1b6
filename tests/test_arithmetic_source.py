"""Arithmetic problems: every line of every level is true, and the levels are what they say."""

from __future__ import annotations

import re

import orjson
import pytest

from builders.config import ArithmeticSource
from builders.problems import load_problems
from builders.problems.arithmetic import LEVELS, question, trace, value

STEPS = [("*", 6), ("-", 77)]


def solutions(count: int = 300, **settings) -> list[tuple[str, dict]]:
    rows = load_problems(ArithmeticSource(source="arithmetic", count=count, **settings)).problems
    return [(gold, orjson.loads(meta)) for gold, meta in rows.select("gold", "meta").rows()]


def test_a_chain_in_words():
    assert question(34, STEPS) == "Take 34, multiply by 6, subtract 77."
    assert value(34, STEPS) == 127


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (1, "34 * 6 - 77 = 127."),
        (2, "34 * 6 - 77 = 127."),
        (3, "34 * 6 = 204. 204 - 77 = 127."),
        (4, "30 * 6 = 180. 4 * 6 = 24. 180 + 24 = 204. 204 - 77 = 127."),
        (5, "30 * 6 = 180. 4 * 6 = 24. 180 + 20 = 200. 200 + 4 = 204. 204 - 70 = 134. 134 - 7 = 127."),
        (
            6,
            "34 is 30 and 4. 30 * 6 = 180. 4 * 6 = 24. 24 is 20 and 4. 180 + 20 = 200. 200 + 4 = 204. "
            "77 is 70 and 7. 204 - 70 = 134. 7 is 4 and 3. 134 - 4 = 130. 130 - 3 = 127.",
        ),
    ],
)
def test_levels_worked_by_hand(level, text):
    assert trace(34, STEPS, level) == text


def test_a_sum_before_a_product_has_brackets():
    assert trace(3, [("+", 4), ("*", 5)], 1) == "(3 + 4) * 5 = 35."


@pytest.mark.parametrize("level", LEVELS)
def test_every_equation_is_true_and_the_last_one_gives_the_answer(level):
    for gold, meta in solutions(steps=3, largest=60):
        lines = re.findall(r"([^.=]+) = (\d+)\.", meta[f"level_{level}"])
        # Digits, signs and brackets alone: nothing else can be evaluated.
        assert all(re.fullmatch(r"[\d+*() -]+", left) and eval(left) == int(right) for left, right in lines)
        assert lines[-1][1] == gold


@pytest.mark.parametrize("level", LEVELS)
def test_parts_add_up_to_what_they_are_parts_of(level):
    for _, meta in solutions():
        for whole, parts in re.findall(r"(\d+) is ([\d, and]+)\.", meta[f"level_{level}"]):
            assert sum(map(int, re.findall(r"\d+", parts))) == int(whole)


def test_finer_levels_are_longer():
    means = [sum(len(meta[f"level_{level}"]) for _, meta in solutions()) for level in LEVELS]
    assert means == sorted(set(means))


def test_problems_that_are_skipped_are_those_of_a_smaller_count():
    first, rest, whole = (
        load_problems(ArithmeticSource(source="arithmetic", **said)).problems["question"].to_list()
        for said in ({"count": 50}, {"count": 30, "skip": 50}, {"count": 80})
    )
    assert first + rest == whole
    assert len(set(whole)) == 80


def test_another_seed_gives_other_problems():
    assert solutions(20, seed=1) != solutions(20, seed=2)
