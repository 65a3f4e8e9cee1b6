"""Marks for value: difficulty, agreement, diversity, computed by hand for a few traces."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from builders.errors import CotmillError
from builders.schema import TRACES
from curation.asking.sql import query
from curation.value.agreement import Agreement
from curation.value.difficulty import Difficulty
from curation.value.diversity import Diversity
from tests.corpora import corpus_of, messy_traces, trace

VERDICTS = {"verify.verdict": pl.String(), "verify.answer": pl.String()}


def frame(*rows: dict) -> pl.DataFrame:
    """Traces with marks of `verify`, each a sample of its own."""
    numbered = [{**row, "trace_id": f"{number:032d}"} for number, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema={**TRACES, **VERDICTS})


def marked(made, traces: pl.DataFrame) -> pl.DataFrame:
    """The marks, without the pass's name, in the order of the traces."""
    found = made.mark_corpus(traces.select("trace_id", *made.reads).lazy())
    assert sorted(found["trace_id"]) == sorted(traces["trace_id"])  # each once
    assert dict(found.schema) == {
        "trace_id": pl.String,
        **{f"{made.name}.{name}": kind for name, kind in made.marks.items()},
    }
    ordered = traces.select("trace_id").join(found, on="trace_id", how="left", maintain_order="left")
    return ordered.rename({name: name.partition(".")[2] for name in ordered.columns[1:]})


def said(*answers: str | None, problem: str = "p", gold: str | None = "12", **columns) -> list[dict]:
    """Traces of one problem, with what `verify` says of them."""
    rows = []
    for answer in answers:
        verdict = "unparseable" if answer is None else "correct" if answer == gold else "incorrect"
        marks = {"verify.verdict": verdict if gold else "no_gold", "verify.answer": answer}
        rows.append({**trace(problem, f"#### {answer}", gold, **columns), **marks})
    return rows


PASSES = [Difficulty(), Agreement(), Diversity()]
PAGE = (Path(__file__).parents[1] / "docs" / "value.md").read_text()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Four traces of one problem, all of one answer that is not the gold one, with all marks."""
    folder = tmp_path_factory.mktemp("value") / "corpus"
    rows = said("13", "13", "13", "13", gold="12")
    corpus_of(folder, [{k: v for k, v in row.items() if "." not in k} for row in frame(*rows).to_dicts()])
    traces = frame(*rows)
    scored = {"perplexity.mean_nll": 1.5, "perplexity.perplexity": 4.5, "perplexity.tokens": 8}
    judged = {"judge.label": "sound", "judge.agrees": True, "judge.raw": ["sound", "Sound."]}
    made = {p.name: p.mark_corpus(traces.select("trace_id", *p.reads).lazy()) for p in PASSES}
    made |= {"verify": traces.select("trace_id", *VERDICTS)}
    made |= {"perplexity": traces.select("trace_id", **{k: pl.lit(v) for k, v in scored.items()})}
    made |= {"judge": traces.select("trace_id", **{k: pl.lit(v) for k, v in judged.items()})}
    for name, marks in made.items():
        (folder / "marks" / f"{name}-00000000").mkdir(parents=True)
        marks.write_parquet(folder / "marks" / f"{name}-00000000" / "part-000000.parquet")
    return folder


@pytest.mark.parametrize("text", re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL))
def test_the_queries_of_the_page_have_an_answer(text, corpus):
    assert len(json.loads(query(corpus, text, format="json"))) == 1


def test_the_page_has_a_query_for_each_pass():
    assert set(re.findall(r"marks_(\w+)", PAGE)) == {*(p.name for p in PASSES), "perplexity", "judge", "verify"}


# Laws


@pytest.fixture(scope="module")
def messy() -> pl.DataFrame:
    """Every oddity, in problems of several traces, some without a problem."""
    rows, number = messy_traces(), pl.int_range(pl.len())
    return rows.with_columns(
        problem_id=pl.when(number % 11 > 0).then(pl.format("p{}", number % 9)),
        teacher=pl.when(number % 7 > 0).then(pl.lit("t")),
        **{"verify.verdict": pl.when(number % 2 > 0).then("status"), "verify.answer": "answer"},
    )


@pytest.mark.parametrize("made", [*PASSES, Difficulty(per="teacher")], ids=repr)
def test_order_does_not_matter(made, messy):
    once, again = marked(made, messy), marked(made, messy.sample(fraction=1, shuffle=True, seed=1))
    assert once.equals(again.sort("trace_id"))


@pytest.mark.parametrize("made", [*PASSES, Difficulty(per="teacher")], ids=repr)
def test_no_traces_no_marks(made, messy):
    assert marked(made, messy.clear()).height == 0


@pytest.mark.parametrize("made", [*PASSES, Difficulty(per="teacher")], ids=repr)
def test_nothing_but_nulls_is_unknown(made, messy):
    nothing = messy.head(3).select("trace_id", *(pl.lit(None, messy.schema[c]).alias(c) for c in made.reads))
    assert all(column.is_null().all() for column in marked(made, nothing).drop("trace_id"))


# Difficulty


def difficulty(rows: list[dict], **settings) -> tuple:
    """The marks of the first trace."""
    return marked(Difficulty(**settings), frame(*rows)).row(0)[1:]


def test_three_of_four_tries_are_correct():
    # pass@2 = 1 - C(1, 2) / C(4, 2) = 1
    assert difficulty(said("12", "12", "12", "13"), k=2) == (0.75, 4, "easy", 1.0)


def test_pass_at_k_without_bias():
    # 1 of 4 correct, k = 2: 1 - C(3, 2) / C(4, 2) = 1 - 3/6
    assert difficulty(said("12", "13", "13", "13"), k=2)[3] == 0.5


def test_too_few_tries_have_a_rate_and_no_bin():
    assert difficulty(said("12", "12")) == (1.0, 2, None, None)


@pytest.mark.parametrize(("correct", "name"), [(0, "never"), (1, "hard"), (2, "medium"), (3, "easy"), (4, "always")])
def test_four_tries_reach_every_bin(correct, name):
    assert difficulty(said(*["12"] * correct, *["13"] * (4 - correct)))[2] == name


def test_an_answer_that_cannot_be_read_is_a_failed_try():
    assert difficulty(said("12", None))[:2] == (0.5, 2)


def test_without_gold_there_is_no_try():
    assert difficulty(said("12", "13", gold=None)) == (None, 0, None, None)


def test_who_was_told_the_answer_does_not_count():
    rows = said("13") + said("12", "12", gold_shown=True)
    assert difficulty(rows)[:2] == (0.0, 1)
    assert difficulty(rows, count_told=True)[:2] == (pytest.approx(2 / 3), 3)


def test_a_conversion_is_no_try_and_gets_the_marks_of_its_problem():
    assert marked(Difficulty(), frame(*said("12"), *said("13", parent_id="x")))["pass_rate"].to_list() == [1, 1]


def test_each_teacher_apart():
    rows = frame(*said("12"), *said("13", teacher="other"), *said("12", teacher=None))
    assert marked(Difficulty(per="teacher"), rows)["pass_rate"].to_list() == [1, 0, None]


def test_bounds_that_cross_are_refused():
    with pytest.raises(CotmillError, match="0 < hard <= easy <= 1"):
        Difficulty(hard=0.9)


# Agreement


def agreement(*rows: dict, **settings) -> dict[str, list]:
    return marked(Agreement(**settings), frame(*rows)).drop("trace_id").to_dict(as_series=False)


def test_two_of_three_agree():
    found = agreement(*said("7", "7", "8", gold=None))
    assert found["votes"] == [3, 3, 3]
    assert found["share"] == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert found["majority"] == [True, True, False]


def test_a_shared_first_place_is_no_majority_and_the_last_place_is_none():
    assert agreement(*said("7", "7", "8", "8", "9"))["majority"] == [None] * 4 + [False]


def test_without_an_answer_there_is_nothing_to_compare():
    found = agreement(*said("7", None))
    assert (found["votes"], found["share"], found["majority"]) == ([1, 1], [1, None], [True, None])


def test_problems_do_not_mix():
    assert agreement(*said("7"), *said("8", problem="q"))["share"] == [1, 1]


def test_text_is_compared_without_case():
    assert agreement(*said("Paris", "paris", answer_type="text"))["share"] == [1, 1]


def test_each_teacher_has_one_vote_however_much_it_says():
    rows = [*said("7", "7", "7"), *said("8", teacher="b"), *said("8", teacher="c")]
    assert agreement(*rows)["teachers"] == pytest.approx([1 / 3] * 3 + [2 / 3] * 2)


def test_a_teacher_that_cannot_decide_counts_for_none():
    assert agreement(*said("7", "8"), *said("8", teacher="b"))["teachers"] == [0, 1, 1]


def test_levels_vote_likewise_and_traces_without_a_level_do_not():
    rows = [*said("7"), *said("8", granularity=2), *said("8", granularity=None)]
    found = agreement(*rows)
    assert found["levels"] == [0.5, 0.5, 0.5]
    assert agreement(*said("7", granularity=None))["levels"] == [None]


def test_who_was_told_does_not_vote_and_is_told_who_agrees():
    found = agreement(*said("7"), *said("8", gold_shown=True))
    assert (found["votes"], found["share"], found["majority"]) == ([1, 1], [1, 0], [True, False])
    assert agreement(*said("7"), *said("8", gold_shown=True), count_told=True)["votes"] == [2, 2]


# Diversity


def diversity(*texts: str | None, problem: str = "p", **settings) -> dict[str, list]:
    rows = frame(*(trace(problem, text) for text in texts))
    return marked(Diversity(**settings), rows).drop("trace_id").to_dict(as_series=False)


def test_the_nearest_other_trace():
    # pairs of words: {a b, b c}, {a b, b d}, {x y}: 1 shared of 3 between the first two
    found = diversity("a b c", "a b d", "x y", words=2)
    assert found["nearest"] == pytest.approx([1 / 3, 1 / 3, 0])


def test_the_mean_over_the_others():
    assert diversity("a b c", "a b c", "x y", words=2)["mean"] == pytest.approx([0.5, 0.5, 0], abs=0.01)


def test_distinct_is_over_all_traces_of_the_problem():
    # a b, b c, a b, b d: three different ones of four
    assert diversity("a b c", "a b d", words=2)["distinct_n"] == [0.75, 0.75]


def test_a_trace_alone_has_no_nearest_one():
    assert diversity("a b c a b c", words=2) == {"nearest": [None], "mean": [None], "distinct_n": pytest.approx([0.6])}


def test_a_trace_without_words_is_compared_with_nothing():
    assert diversity("a b", None, "...", words=2) == {
        "nearest": [None] * 3, "mean": [None] * 3, "distinct_n": [1, None, None]
    }  # fmt: skip


def brute(texts: list[str], n: int = 3) -> list[list[float]]:
    """Jaccard similarity of each to each."""
    sets = []
    for text in texts:
        said = text.split()
        sets.append({tuple(said[i : i + n]) for i in range(max(1, len(said) - n + 1))})
    return [[len(a & b) / len(a | b) for b in sets] for a in sets]


def chatter(count: int, length: int, seed: int) -> list[str]:
    """Texts that copy runs of words from one another."""
    import random

    dice = random.Random(seed)
    source = [f"w{dice.randint(0, 300)}" for _ in range(3 * length)]
    return [
        " ".join(word if dice.random() > 0.05 else f"x{dice.randint(0, 99)}" for word in source[at : at + length])
        for at in (dice.randint(0, 2 * length) for _ in range(count))
    ]


@pytest.mark.parametrize("length", [8, 60, 2000])
def test_as_comparing_each_with_each_says(length):
    texts = chatter(12, length, seed=length)
    exact, found = brute(texts), diversity(*texts)
    for i, row in enumerate(exact):
        others = row[:i] + row[i + 1 :]
        assert max(others) - 0.06 < found["nearest"][i] <= max(others) + 1e-6
        assert found["mean"][i] == pytest.approx(sum(others) / 11, abs=0.03)


def test_of_many_traces_each_sees_its_neighbours_by_id():
    # the two copies are 40 ids apart: further than REACH
    texts = ["same words again", *(f"a{i} b{i} c{i}" for i in range(39)), "same words again"]
    assert diversity(*texts)["nearest"][0] == 0
    assert diversity(*texts[10:], "same words again")["nearest"][-1] == 1


def test_a_problem_of_thousands_does_not_explode():
    rows = frame(*said(*["12"] * 3000))
    assert marked(Diversity(), rows)["nearest"].to_list() == [1] * 3000


def test_parts_and_blocks_do_not_show(monkeypatch, messy):
    from curation.value import diversity

    once = marked(Diversity(), messy)
    monkeypatch.setattr(diversity, "PART_BYTES", 100_000)
    monkeypatch.setattr(diversity, "BLOCK_BYTES", 100)
    assert marked(Diversity(), messy).equals(once)
