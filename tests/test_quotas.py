"""Which duplicates, how many of a problem and of a kind: rules beyond a row's own conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from builders.errors import CotmillError
from curation import passes as registry
from curation.config import CurateConfig, Mix
from curation.decide.mix import quotas
from curation.decide.select import decide, decision
from curation.engine.marks import mark
from tests.corpora import corpus_of, trace


@dataclass(frozen=True, slots=True)
class ByResponse:
    """Groups traces by the part of their response before a colon."""

    name: ClassVar[str] = "by_response"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response",)
    marks: ClassVar[dict] = {"group": pl.String, "size": pl.Int32}
    source: ClassVar[str] = "made for these tests"
    cost: ClassVar[str] = "nothing"
    unit: ClassVar[str] = "trace"

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        group = pl.col("response").str.extract("^(.*?):").alias(f"{self.name}.group")
        return traces.with_columns(group, pl.lit(2, pl.Int32).alias(f"{self.name}.size"))


@dataclass(frozen=True, slots=True)
class ByQuestion(ByResponse):
    """The same, of a group of questions."""

    name: ClassVar[str] = "by_question"
    unit: ClassVar[str] = "problem"


@pytest.fixture(autouse=True)
def _grouping(monkeypatch):
    monkeypatch.setitem(registry.PASSES, "by_response", ByResponse)
    monkeypatch.setitem(registry.PASSES, "by_question", ByQuestion)


def kept(corpus, **said) -> list[str]:
    """Responses of kept rows, sorted. Conditions are off unless said."""
    config = CurateConfig(**{"passes": [], "keep": "true", **said})
    mark(corpus, config.made_passes())
    stay = decide(corpus, config, config.made_passes()).filter(pl.col("reason").is_null())
    return sorted(stay.join(corpus.traces().collect(), on="trace_id")["response"])


def made(folder, *rows, **columns):
    """A corpus of these responses, of problem p unless they are pairs of problem and response."""
    pairs = [row if isinstance(row, tuple) else ("p", row) for row in rows]
    return corpus_of(folder / "c", [trace(p, text, sample_index=i, **columns) for i, (p, text) in enumerate(pairs)])


# Duplicates ---------------------------------------------------------------------------------------------


def test_one_of_a_group_stays_across_problems(tmp_path):
    corpus = made(tmp_path, ("p", "a: 1"), ("q", "a: 2"), ("q", "b: 1"), ("q", "no group"))
    assert kept(corpus, passes=["by_response"], dedup=["by_response"]) == ["a: 1", "b: 1", "no group"]


def test_of_a_group_of_questions_all_traces_of_one_problem_stay(tmp_path):
    corpus = made(tmp_path, ("p", "a: 1"), ("p", "a: 2"), ("q", "a: 3"), ("q", "a: 4"), ("r", "b: 5"))
    assert kept(corpus, passes=["by_question"], dedup=["by_question"]) == ["a: 1", "a: 2", "b: 5"]


def test_different_gold_answers_are_never_duplicates(tmp_path):
    rows = [trace("p", "a: 1", "12"), trace("q", "a: 2", "13"), trace("r", "a: 3", "12")]
    for name in ("by_response", "by_question"):
        corpus = corpus_of(tmp_path / name, rows)
        assert kept(corpus, passes=[name], dedup=[name]) == ["a: 1", "a: 2"]


@pytest.mark.parametrize(
    ("prefer", "stays"),
    [
        ("first", "a: long"),
        ("shortest", "a: x"),
        ("longest", "a: longer"),
        ("abs(completion_tokens - 7)", "a: long"),  # 7 characters
        ("case when response = 'a: x' then null else 1 end", "a: long"),  # unknown comes last
    ],
)
def test_which_duplicate_stays(tmp_path, prefer, stays):
    corpus = made(tmp_path, "a: long", "a: x", "a: longer")
    assert kept(corpus, passes=["by_response"], dedup=["by_response"], prefer=prefer) == [stays]


def test_a_wrong_duplicate_never_evicts_a_right_one(tmp_path):
    corpus = made(tmp_path, "a: x #### 13", "a: longer #### 12")
    said = {"passes": ["verify", "by_response"], "keep": "verify.verdict = 'correct'"}
    assert kept(corpus, **said, dedup=["by_response"], prefer="shortest") == ["a: longer #### 12"]


def test_a_reason_names_the_pass(tmp_path):
    config = CurateConfig(passes=["by_response"], keep="true", dedup=["by_response"])
    corpus = made(tmp_path, "a: 1", "a: 2")
    mark(corpus, config.made_passes())
    assert decision(corpus, config, config.made_passes()).counts()["removed"] == {"duplicate: by_response": 1}


def test_dedup_takes_passes_that_mark_groups():
    with pytest.raises(ValidationError, match="dedup names `verify`; it takes a pass of `passes` that marks groups"):
        CurateConfig(dedup=["verify"])


# Per problem --------------------------------------------------------------------------------------------


def test_best_goes_by_an_expression(tmp_path):
    corpus = made(tmp_path, "one", "three", "fifteen")
    assert kept(corpus, per_problem={"max": 1, "rule": "best", "by": "-len(response)"}) == ["fifteen"]


def test_one_per_teacher(tmp_path):
    rows = [trace("p", f"{teacher}{i}", teacher=teacher, sample_index=i) for i in range(3) for teacher in "ab"]
    corpus = corpus_of(tmp_path / "c", rows)
    assert kept(corpus, per_problem={"max": 1, "one_per": ["teacher"]}) == ["a0", "b0"]
    assert kept(corpus, per_problem={"max": 1, "one_per": ["teacher", "sample_index % 2"]}) == ["a0", "a1", "b0", "b1"]


def test_diverse_leaves_out_what_is_nearly_said(tmp_path):
    near = [
        "the cat has three red hats and one more hat makes four",
        "the cat has three red hats and one more hat is four",
    ]
    far = "add 3 and 1 to obtain 4 which answers what was asked of us"
    corpus = made(tmp_path, ("p", near[0]), ("p", near[1]), ("p", far), ("q", near[0]))
    assert kept(corpus, per_problem={"max": 2, "rule": "diverse"}) == sorted([near[0], far, near[0]])


@settings(max_examples=10, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from("pqr"), st.text("ab ", max_size=30)), min_size=1, max_size=14), st.integers(1, 3)
)
def test_diverse_keeps_as_many_as_any_rule(tmp_path_factory, rows, most):
    corpus = made(tmp_path_factory.mktemp("c"), *((p, f"{text}.") for p, text in rows))
    wanted = sum(min(most, sum(q == p for q, _ in rows)) for p in {p for p, _ in rows})
    assert len(kept(corpus, dedup=False, per_problem={"max": most, "rule": "diverse"})) == wanted


def test_best_needs_an_expression():
    with pytest.raises(ValidationError, match="belong together"):
        CurateConfig(per_problem={"max": 1, "rule": "best"})


# Mixtures -----------------------------------------------------------------------------------------------


def cells(corpus, **mix) -> dict[str, int]:
    """First letter of the response -> kept rows."""
    found = [text[0] for text in kept(corpus, mix={"by": ["response[1]"], **mix})]
    return {letter: found.count(letter) for letter in sorted(set(found))}


@pytest.fixture
def letters(tmp_path):
    """6 traces of a, 3 of b, 1 of c."""
    return made(tmp_path, *(f"{letter}{i}" for letter, n in (("a", 6), ("b", 3), ("c", 1)) for i in range(n)))


@pytest.mark.parametrize(
    ("mix", "counts"),
    [
        ({"limit": 2}, {"a": 2, "b": 2, "c": 1}),
        ({"shares": "equal"}, {"a": 1, "b": 1, "c": 1}),
        ({"shares": {"a": 2, "b": 1}}, {"a": 6, "b": 3}),  # 3 of b allow 9 in all
        ({"shares": {"a": 1, "b": 3}}, {"a": 1, "b": 3}),
        ({"shares": {"a": 0.5, "b": 0.5}, "total": 4}, {"a": 2, "b": 2}),
        ({"shares": {"a": 0.5, "c": 0.5}, "total": 4}, {"a": 2, "c": 1}),  # c falls short, a does not make up for it
        ({"shares": {"a": 1, "b": 1}, "limit": 1}, {"a": 1, "b": 1}),
    ],
)
def test_cells_get_their_shares(letters, mix, counts):
    assert cells(letters, **mix) == counts


def test_too_small_cells_are_reported(letters):
    config = CurateConfig(
        passes=[], keep="true", mix={"by": ["response[1]"], "shares": {"b": 1, "c": 1, "d": 1}, "total": 9}
    )
    found = decision(letters, config, []).counts()
    assert (found["kept"], found["shortfall"]) == (4, {"c": 2, "d": 3})


def test_too_small_cells_are_an_error_when_asked(letters):
    with pytest.raises(CotmillError, match=r"`strict` is set:\n  c: 2 too few\n  d: 3 too few"):
        cells(letters, shares={"b": 1, "c": 1, "d": 1}, total=9, strict=True)


def test_a_mixture_of_two_columns(tmp_path):
    rows = [trace("p", f"{t}{g}{i}", teacher=t, granularity=g) for t in "ab" for g in (1, None) for i in range(3)]
    mix = {"by": ["teacher", "granularity"], "shares": {"a": {1: 2, None: 1}, "b": {1: 1}}, "total": 4}
    assert sorted(text[:-1] for text in kept(corpus_of(tmp_path / "c", rows), mix=mix)) == ["a1", "a1", "aNone", "b1"]


def test_another_seed_keeps_other_traces_of_a_cell(letters):
    chosen = {tuple(kept(letters, mix={"by": ["response[1]"], "limit": 1, "seed": seed})) for seed in range(8)}
    assert len(chosen) > 1


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 50), min_size=1), st.integers(1, 200))
def test_quotas_of_a_total_are_all_of_it(held, total):
    found = quotas(held, Mix(by=["x"], shares={cell: i + 1 for i, cell in enumerate(held)}, total=total))
    assert sum(found.values()) == total


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 50), min_size=1), st.data())
def test_as_many_as_shares_allow_is_never_too_many(held, data):
    shares = {cell: data.draw(st.integers(1, 9)) for cell in held}
    found = quotas(held, Mix(by=["x"], shares=shares))
    assert all(found[cell] <= count for cell, count in held.items())
    assert any(found[cell] + 1 > count - shares[cell] for cell, count in held.items())  # some cell is nearly used up


@pytest.mark.parametrize(
    ("mix", "complaint"),
    [
        ({"by": ["teacher"]}, "changes nothing"),
        ({"by": [], "limit": 1}, "at least 1 item"),
        ({"by": ["teacher"], "shares": {"a": {"b": 1}}}, "deeper"),
        ({"by": ["teacher", "format"], "shares": {"a": 1}}, "takes 2 values"),
        ({"by": ["teacher"], "shares": {"a": -1}}, "is -1"),
        ({"by": ["teacher"], "shares": {"a": 0}}, "above 0"),
        ({"by": ["teacher"], "limit": 3, "total": 5}, "dealt by `shares`"),
    ],
)
def test_wrong_mixtures_are_explained(mix, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Mix(**mix)


# Common, splits, selections -----------------------------------------------------------------------------


def test_the_common_set_over_an_expression(tmp_path):
    corpus = made(tmp_path, ("p", "short"), ("p", "a longer one"), ("q", "short"), ("r", "a longer one"))
    assert kept(corpus, common=["len(response) > 6"]) == ["a longer one", "short"]
    assert kept(corpus, common={"len(response) > 6": [True]}) == ["a longer one", "a longer one", "short"]


def test_problems_of_one_group_are_in_one_split(tmp_path):
    rows = [(f"p{i}", f"g{i % 10}: {i}") for i in range(60)]
    corpus = made(tmp_path, *rows)
    config = CurateConfig(
        passes=["by_question"], keep="true", splits={"train": 0.5, "test": 0.5}, split_by="by_question"
    )
    mark(corpus, config.made_passes())
    found = decide(corpus, config, config.made_passes()).join(corpus.traces().collect(), on="trace_id")
    per_group = found.group_by(pl.col("response").str.extract("^(.*):")).agg(
        pl.col("split_right").n_unique(), pl.col("split").n_unique()
    )
    assert per_group["split"].to_list() == [1] * 10
    assert found["split"].n_unique() == 2


def test_only_selected_traces_can_be_kept(tmp_path):
    corpus = made(tmp_path, "one", "two", "three")
    chosen = corpus.traces().filter(pl.col("response") != "two").select("trace_id").collect()
    chosen.write_parquet(tmp_path / "chosen.parquet")
    assert kept(corpus, select=tmp_path / "chosen.parquet") == ["one", "three"]


def test_a_selection_that_is_none_says_how_to_make_one(tmp_path):
    corpus = made(tmp_path, "one")
    with pytest.raises(CotmillError, match=r"(?s)curate.select: .*cotmill sql CORPUS"):
        kept(corpus, select=tmp_path / "nothing.parquet")


# Expressions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"prefer": "completion_token"}, r"curate.prefer: .*Did you mean `completion_tokens`"),
        ({"weights": "response"}, r"curate.weights: `response` is VARCHAR, not a number"),
        ({"mix": {"by": ["techer"], "limit": 1}}, r"curate.mix.by: .*Did you mean `teacher`"),
        ({"common": ["granularity +"]}, r"curate.common: "),
        ({"per_problem": {"max": 1, "one_per": ["random()"]}}, r"curate.per_problem.one_per: .*calls random"),
        ({"prefer": "len((select content from read_text('/etc/hostname')))"}, "disabled by"),
        ({"pairs": {"rule": ["response", "true"]}}, r"curate.pairs.rule: `response` is VARCHAR, not true or false"),
        ({"weights": "max(granularity)"}, r"curate.weights: .*GROUP BY"),
        ({"weights": "-1"}, r"negative or infinite for 2 kept"),
        ({"weights": "null::int"}, r"is unknown"),
    ],
)  # fmt: skip
def test_a_wrong_expression_is_explained(tmp_path, said, complaint):
    with pytest.raises(CotmillError, match=f"(?s){complaint}"):
        kept(made(tmp_path, "one", "two"), **said)


def test_a_mark_with_a_misspelt_pass_is_found(tmp_path):
    with pytest.raises(CotmillError, match=r"Did you mean `verify.verdict`"):
        kept(made(tmp_path, "one"), passes=["verify"], keep="verfy.verdict = 'correct'")


def test_an_expression_may_look_at_all_traces(tmp_path):
    rows = [trace("p", text, sample_index=i) for i, text in enumerate(["one", "three", "fifteen", "a"])]
    corpus = corpus_of(tmp_path / "c", rows[:1], rows[1:3], rows[3:])
    above = "completion_tokens > avg(completion_tokens) over (partition by problem_id)"  # (3 + 5 + 7 + 1) / 4 = 4
    assert kept(corpus, keep=above) == ["fifteen", "three"]
    assert kept(corpus, keep="completion_tokens = (select max(completion_tokens) from traces)") == ["fifteen"]


@pytest.mark.parametrize(("keep", "count"), [(True, 2), (False, 0), ([True, "completion_tokens > 3"], 1)])
def test_true_is_a_condition(tmp_path, keep, count):
    assert len(kept(made(tmp_path, "one", "three"), keep=keep)) == count


@pytest.mark.parametrize("keep", [None, 1, "", ["x", None], {"a": 1}])
def test_what_is_no_condition_is_explained(keep):
    with pytest.raises(ValidationError, match="write a condition in SQL"):
        CurateConfig(keep=keep)
