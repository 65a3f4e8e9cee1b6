r"""Whatever a model writes and whatever gold says: a verdict, in time, and no crash.

The same examples in each run. Texts are put together from what has broken verifiers.
"""

from __future__ import annotations

import time

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.answers import normalise
from builders.schema import ANSWER_TYPES
from curation.verification.algebra import same
from curation.verification.formulas import LONGEST, read
from curation.verification.verify import Verify

WALL = 0.5
"""Seconds for one pair."""
ROWS = 12

_LINES = r"""
10**10**10
10^{10^{10}}
9^{9^{9^{9}}}
2^{2^{2^{2^{2^{2}}}}}
(((9!)!)!)!
99999999!
\binom{10^9}{5}
import os; os.system('true')
def f(x): return 1
while True: pass
__import__('os')
'; DROP TABLE traces; --
SELECT * FROM traces
NaN
nan
Infinity
-inf
1e999
1e-999
0/0
1/0
\infty - \infty
\frac{x}{x-x}
\lim_{x\to0}x
\int_0^1 x dx
\sum_{i=1}^{10^9} i
\prod_{i=1}^{n} i
"""
CRUEL = [
    *_LINES.split("\n"),
    *("{" * 3_000, r"\frac{" * 200, r"\sqrt{" * 50 + "2" + "}" * 50, "((" * 30 + "1" + "))" * 30, r"\left(" * 99),
    *("9" * 1_000_000, "x" * 1_000_000, r"\boxed{" * 9_000, "1+" * 200 + "1", "1," * 240 + "1", "-" * 400 + "1"),
    *("1/" * 99, "x^" * 99, "\x00", "12\x00", "\x1b[31m12", "\u202e21", "\ufeff12", "\ud7ff", "１２", "٣", "½", "∞"),
    *("\r\n", "\t", " ", "\\", "$", "$$", "print(\n1)"),
]
_PIECES = (
    r"1 2 0.5 10 99 x y n e i pi + - * / ^ = < , ; ! | ( ) [ ] { } \{ \} \frac{1}{2} \sqrt \pm \pi \cup \le \infty _"
    r" \text{cm} \text{and} \cdot \binom{9}{4} \sin \log_2 % $ & \\ ' : \begin{pmatrix} \end{pmatrix} or the"
    r" ^{9} ^{99} ^{9999} 9999 999!"
)
PIECES = [" ", "\n", *_PIECES.split(" ")]

values = st.recursive(
    st.sampled_from(["1", "2", "0.5", "10", "x", "y", "n", r"\pi", r"\frac{1}{2}", r"\sqrt{2}", "e", "i"]),
    lambda inner: st.one_of(
        st.builds(
            str.__mod__,
            st.sampled_from(
                ["%s+%s", "%s-%s", "%s%s", "(%s)(%s)", r"%s\cdot %s", r"\frac{%s}{%s}", "%s^{%s}", "%s/%s"]
            ),
            st.tuples(inner, inner),
        ),
        st.builds(
            str.__mod__, st.sampled_from([r"\sqrt{%s}", "(%s)", "|%s|", "%s!", "-%s", r"\sin %s"]), st.tuples(inner)
        ),
    ),
    max_leaves=4,
)
formulas = values | st.builds(
    str.__mod__,
    st.sampled_from(["x=%s,%s", "%s, %s", "(%s,%s)", "[%s,%s)", "%s=%s", "%s<%s", r"\{%s,%s\}", r"%s\pm %s"]),
    st.tuples(values, values),
)
answers = st.one_of(
    formulas,
    st.sampled_from(CRUEL),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.text(max_size=40),
)
said = st.one_of(
    answers,
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["The answer is ", "#### ", r"So \boxed{", "<answer>", "Answer: ", "", "Wait. "]),
        answers,
        st.sampled_from(["", "}", "</answer>", ".", " Wait, no.", "\n", "}}", " or 12"]),
    ),
)
pairs = st.lists(st.tuples(st.none() | answers, st.none() | answers), min_size=1, max_size=ROWS)


@settings(derandomize=True, max_examples=200)
@given(text=st.text(max_size=200) | answers)
def test_reading_a_formula_never_raises_and_never_grows_it(text):
    formula = read(text)
    assert formula is None or sum(len(part.text) for part in formula.parts) <= 4 * LONGEST


@settings(derandomize=True, max_examples=25)
@given(rows=pairs)
def test_algebra_gives_a_verdict_to_every_pair_within_its_wall(rows):
    golds, given_answers = zip(*rows, strict=True)
    columns = pl.Series(golds, dtype=pl.String), pl.Series(given_answers, dtype=pl.String)
    start = time.perf_counter()
    verdicts = same(*columns, "latex", seconds=WALL).to_list()
    assert time.perf_counter() - start < 5 + 4 * WALL * len(rows)  # a killed worker is replaced, which takes its time
    known = [None if None in row else "some" for row in rows]
    assert [verdict and "some" for verdict in verdicts] == known
    assert set(verdicts) <= {"correct", "incorrect", "unparseable", "timeout", None}


@settings(derandomize=True, max_examples=60)
@given(text=answers)
def test_what_algebra_can_read_equals_itself(text):
    (verdict,) = same(pl.Series([text]), pl.Series([text]), "latex", seconds=WALL)
    assert verdict != "incorrect"


traces = st.fixed_dictionaries(
    {
        "answer": st.none() | said,
        "response": st.none() | said,
        "reasoning": st.none() | said,
        "status": st.sampled_from(["ok", "truncated", "empty", "rejected", None]),
        "gold": st.none() | answers,
        "answer_type": st.sampled_from([*ANSWER_TYPES, None, "no such type"]),
        "choices": st.none() | st.lists(st.none() | answers, max_size=3),
    }
)
SCHEMA = {
    **dict.fromkeys(("answer", "response", "reasoning", "status", "gold", "answer_type"), pl.String),
    "choices": pl.List(pl.String),
}


@settings(derandomize=True, max_examples=25)
@given(rows=st.lists(traces, max_size=ROWS))
def test_verify_gives_a_verdict_to_every_trace_in_time(rows):
    frame = pl.DataFrame(rows, schema=SCHEMA).with_columns(
        gold_value=normalise(pl.col("gold"), pl.col("answer_type").fill_null("text"))
    )
    start = time.perf_counter()
    marked = Verify(seconds=WALL).mark(frame.lazy()).collect()
    assert time.perf_counter() - start < 5 + 4 * WALL * len(rows)
    verdicts = marked["verify.verdict"].to_list()
    assert set(verdicts) <= {"correct", "incorrect", "unparseable", "timeout", "no_gold"}
    assert all(
        (verdict == "no_gold") == (gold is None) for verdict, gold in zip(verdicts, marked["gold_value"], strict=True)
    )
