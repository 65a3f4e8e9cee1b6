r"""Tier two: what algebra says yes to, what it must not, and what it does not touch."""

from __future__ import annotations

import threading
import time

import math_verify
import polars as pl
import pytest
from polars.testing import assert_series_equal

from curation.verification.algebra import same
from curation.verification.formulas import read

CORRECT = [
    # values
    (r"\frac{1}{2}", "0.5"),
    (r"1\frac{1}{2}", r"\frac32"),
    (r"-\frac{1}{2}", r"\frac{-1}{2}"),
    (r"\sqrt{8}", r"2\sqrt2"),
    (r"2\sqrt{2}", "2√2"),
    (r"\frac{\sqrt3}{3}", r"\frac{1}{\sqrt3}"),
    ("sqrt(3)/2", r"\frac{\sqrt{3}}{2}"),
    ("pi/2", r"\frac{\pi}{2}"),
    (r"\log_2 8", "3"),
    (r"\binom{5}{2}", "10"),
    ("5!", "120"),
    ("2^{10}", "1024"),
    ("3e5", "300000"),
    (r"3 \times 10^5", "300000"),
    ("1,234", "1234"),
    (r"30^\circ", "30"),
    (r"9\%", "9"),
    (r"\infty", r"\infty"),
    (r"\emptyset", r"\varnothing"),
    # a decimal that rounds to six digits
    ("1/3", "0.333333"),
    (r"\sqrt{2}", "1.414214"),
    # with unknowns
    ("x^2+2x+1", "(x+1)^2"),
    ("2n+1", "1 + 2n"),
    ("xy", "yx"),
    ("0.5x", "x/2"),
    ("x^10", "x^{10}"),
    ("n!", "n!"),
    (r"\sin^2 x+\cos^2 x", "1"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    ("a^{b+c}", "a^b a^c"),
    # named values
    ("x=5", "5"),
    ("5", "x = 5."),
    ("5", "2+3=5"),
    ("y=mx+b", "mx+b"),
    ("f(x)=x^2", "x^2"),
    ("(x,y)=(1,2)", "(1,2)"),
    (r"x\in[1,2]", "[1,2]"),
    # equations and inequalities
    ("x+y=1", "2x+2y=2"),
    ("y=2x+1", "2x-y+1=0"),
    ("x>1", "1<x"),
    ("2>x>1", "1<x<2"),
    ("2x<4", "x<2"),
    ("1<x<2", "(1,2)"),
    ("[1,2)", r"1\le x<2"),
    (r"x\ne 1", r"1\ne x"),
    # products, which math-verify reads as mixed numbers
    ("2(3)", "6"),
    ("(2)(3)", "6"),
    (r"2\binom{3}{2}", "6"),
    (r"3\frac{1}{2}", "3.5"),
    # several
    (r"\pm 2", "2,-2"),
    (r"x=\pm 2", "x=2 or x=-2"),
    (r"1\text{ and }2", "1, 2"),
    ("1,2,3", "3,2,1"),
    (r"\{1,2\}", "2, 1"),
    ("x=1,y=2", "y=2,x=1"),
    (r"\left(\frac12, 3\right)", "(0.5, 3)"),
    (r"[1,2]\cup[3,4]", r"[3,4]\cup[1,2]"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&\frac{8}{2}\end{pmatrix}"),
    # units
    (r"5\text{ cm}", "5 cm"),
    ("5", r"5\text{ cm}"),
]

INCORRECT = [
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),  # both round to 0
    ("x/2004!", "x/2006!"),
    ("0.0000001", "0.0000002"),
    ("5", "2x+1=5"),  # takes the right side
    ("5", "2+4=5"),
    ("(1,2)", "1,2"),
    ("(1,2)", r"\{1,2\}"),
    (r"5\text{ cm}", r"5\text{ m}"),  # drops units
    ("x", "X"),  # reads both as x
    ("x=1,y=2", "1,2"),  # which is which is not said
    ("f(x)", "f(2)"),
    ("2,3", "2"),
    ("2", "2,3"),
    (r"\pm 2", "2"),
    ("2,3", "2,2"),
    ("1,2,2", "1,1,2"),
    ("1,2", "1"),
    ("x=1,y=2", "x=2,y=1"),
    ("2x+3y-6=0", "3x-2y+1=0"),
    ("x+y-1=0", "x-y-3=0"),
    ("x=x", "y=y"),
    ("x-2=0", "2x-3=0"),
    ("x^2+y^2=1", "x^2+y^2=2"),
    ("x=5", "y=5"),
    ("x=5", "2x=10"),  # says the same and is not solved
    ("(1,2)", "(2,1)"),
    ("(1,2)", "[1,2]"),
    ("[1,2)", "(1,2]"),
    ("x>1", r"x\ge 1"),
    ("x<1", "x>1"),
    ("x<1", "-x<-1"),
    ("x<1/2004!", "x<1/2006!"),
    ("1<x<2", "1<x<3"),
    ("1<x<2", "[1,2]"),
    ("0<x<1", "(0.0000001,1)"),
    ("2(3)", "5"),
    (r"2\binom{3}{2}", "5"),
    ("1/3", "0.33"),
    (r"\pi", "3.14"),
    (r"\pi", "22/7"),
    ("1.414214", "1.414213"),
    ("10^{100}", "10^{100}+1"),
    ("0", "10^{-20}"),
    ("1", "-1"),
    (r"\infty", r"-\infty"),
    ("3", "3x"),
    ("5m", "5"),
    ("x", "y"),
    (r"\sqrt{x^2}", "x"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
    (r"9\%", "0.09"),  # a percent sign is a unit here, as for numbers: a right answer that is missed
    ("x^2<4", "-2<x<2"),  # likewise
]

UNTOUCHED = [
    ("no", "on"),  # math-verify: n times o
    ("the answer is five", "5"),
    ("3 apples", "3"),
    (r"\text{yes}", "yes"),
    ("SELECT * FROM t", "1"),
    ("x'; DROP TABLE t; --", "1"),
    ("def f(x): return x", "1"),
    ("__import__('os').system('x')", "1"),
    (r"\input{x}", "1"),
    (r"\write18{ls}", "1"),
    ("10**10**10", "1"),
    ("10^{10^{10}}", "1"),
    ("2^{2^{2^{2^{2}}}}", "1"),
    ("9^{9^{9^{9}}}", "9"),
    ("(((9)!)!)!", "1"),
    ("100000!", "1"),
    ("2^{99999}", "1"),
    ("{" * 5_000 + "x" + "}" * 5_000, "x"),
    (r"\frac{" * 40 + "1" + "}{2}" * 40, "x"),
    ("(" * 40, "x"),
    ("x" * 1_000_000, "x"),
    ("9" * 500, "9"),
    (r"\frac{1}{0}", "5"),
    ("NaN", "NaN"),
    ("Infinity", "Infinity"),
    ("nan", "1"),
    (r"3\frac{3}{2}", "4.5"),
    ("0=0", "1=1"),  # math-verify: both parse to 0
    ("1<2", "3<4"),
    ("4{3}", "7"),  # math-verify: a mixed number
    ("1/2x", "x/2"),  # x above or below the line?
    ("x1", "x"),
    ("5_2", "5"),
    ("12:30", "2:5"),  # a time, not a ratio
    ("1 2", "3"),  # math-verify: a mixed number
    ("f'(x)", "f(x)"),  # math-verify drops the prime
    ("\x00", "1"),
    ("\ud7ff", "1"),
    ("", "1"),
    ("$$", "1"),
    ("=", "="),
    (",", ","),
]

FOOLED = [
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
    ("0.0000001", "0.0000002"),
    ("5", "2x+1=5"),
    ("5", "2+4=5"),
    ("(1,2)", "1,2"),
    ("(1,2)", r"\{1,2\}"),
    (r"5\text{ cm}", r"5\text{ m}"),
    ("x", "X"),
    ("x=1,y=2", "1,2"),
    ("1,2,2", "1,1,2"),
    ("0=0", "1=1"),
    ("5m", "5"),
    ("no", "on"),
    ("3 apples", "3"),
    ("12:30", "2:5"),
    ("1 2", "3"),
    ("2(3)", "5"),
    (r"2\binom{3}{2}", "5"),
    ("x<1/2004!", "x<1/2006!"),
    ("f'(x)", "f(x)"),
]
"""What math-verify alone takes to be equal: where it no longer does, a guard may go."""

HANGS = (r"\binom{999999999}{499999999}", "1")


@pytest.fixture(scope="module")
def said() -> dict[tuple[str, str], str]:
    """All verdicts, both orders of UNTOUCHED, from one call."""
    pairs = [*CORRECT, *INCORRECT, *UNTOUCHED, *((b, a) for a, b in UNTOUCHED)]
    golds, answers = zip(*pairs, strict=True)
    return dict(zip(pairs, same(pl.Series(golds), pl.Series(answers), "latex", seconds=20.0), strict=True))


@pytest.mark.parametrize("pair", CORRECT, ids=" | ".join)
def test_equal(said, pair):
    assert said[pair] == "correct"


@pytest.mark.parametrize("pair", INCORRECT, ids=" | ".join)
def test_different(said, pair):
    assert said[pair] == "incorrect"


@pytest.mark.parametrize("pair", FOOLED, ids=" | ".join)
def test_math_verify_alone_says_yes_and_we_do_not(said, pair):
    gold, answer = (math_verify.parse(f"${side}$") for side in pair)
    assert (math_verify.verify(gold, answer), said[pair] == "correct") == (True, False)


@pytest.mark.parametrize("pair", UNTOUCHED, ids=lambda pair: f"{pair[0][:20]!a} | {pair[1][:20]!a}")
def test_not_touched(said, pair):
    assert (said[pair], said[pair[::-1]]) == ("unparseable", "unparseable")


def test_what_is_not_touched_costs_no_time():
    start = time.perf_counter()
    for gold, answer in UNTOUCHED:
        read(gold)
        read(answer)
    assert time.perf_counter() - start < 0.1


def test_gold_comes_first():
    # A sum with its value answers the value; as gold, it does not say what is asked for.
    assert same(pl.Series(["5", "2+3=5"]), pl.Series(["2+3=5", "5"]), "latex").to_list() == ["correct", "unparseable"]


def test_nulls_stay_null_and_rows_stay_in_order():
    golds = pl.Series("gold", ["1/2", None, "1/2", None, "x", "1/2"])
    verdicts = same(golds, pl.Series(["0.5", "1", None, None, "y", "0.5"]), "latex")
    assert_series_equal(verdicts, pl.Series("verdict", ["correct", None, None, None, "incorrect", "correct"]))


def test_no_rows_no_verdicts():
    none = pl.Series([], dtype=pl.String)
    assert_series_equal(same(none, none, none), pl.Series("verdict", [], pl.String))
    assert_series_equal(same(none, none, "latex"), pl.Series("verdict", [], pl.String))


@pytest.mark.parametrize("kind", ["choice", "boolean"])
def test_letters_and_booleans_are_not_for_algebra(kind):
    assert same(pl.Series(["A"]), pl.Series(["A"]), kind).to_list() == ["unparseable"]


def test_a_pair_that_hangs_is_a_timeout_and_the_others_get_their_verdicts():
    golds = ["1/2", HANGS[0], "3"] * 2  # the same pair is asked once: two walls would be 1.4 s
    start = time.perf_counter()
    verdicts = same(pl.Series(golds), pl.Series(["0.5", HANGS[1], "4"] * 2), "latex", seconds=0.7)
    assert verdicts.to_list() == ["correct", "timeout", "incorrect"] * 2
    assert time.perf_counter() - start < 6  # two starts of a worker with it


def test_other_threads_get_the_same_verdicts():
    golds, answers = (pl.Series(side) for side in zip(*CORRECT[:12], *INCORRECT[:12], strict=True))
    found: list[pl.Series] = []
    threads = [
        threading.Thread(target=lambda: found.append(same(golds, answers, "latex", seconds=19.0))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here = same(golds, answers, "latex", seconds=18.0)
    assert [one.to_list() for one in found] == [here.to_list()] * 3
    assert here.to_list() == ["correct"] * 12 + ["incorrect"] * 12
