"""Which rows stay, and the reason each other one has."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from builders.errors import CorpusError, CotmillError
from curation.config import CurateConfig
from curation.decide.select import decide
from curation.engine.marks import mark
from tests.corpora import corpus_of, trace

RIGHT, WRONG = "#### 12", "#### 13"


def decided(corpus, **settings) -> pl.DataFrame:
    config = CurateConfig(**settings)
    mark(corpus, config.made_passes())
    return decide(corpus, config, config.made_passes())


def reasons(corpus, **settings) -> dict[str, str | None]:
    """Response -> reason."""
    frame = decided(corpus, **settings).join(corpus.traces().collect(), on="trace_id", maintain_order="left")
    return dict(frame.select("response", "reason").iter_rows())


@pytest.fixture
def four(tmp_path):
    rows = [
        trace("p", "short #### 12", granularity=1, completion_tokens=5, sample_index=2),
        trace("p", "a longer one #### 12", granularity=2, completion_tokens=9, sample_index=0),
        trace("p", "#### 13", granularity=3, completion_tokens=3, sample_index=1),
        trace("q", "unlimited #### 12", granularity=None, completion_tokens=None, sample_index=0),
    ]
    return corpus_of(tmp_path / "c", rows[:2], rows[2:])


def test_what_is_not_true_is_removed_with_the_condition(four):
    assert reasons(four) == {
        "short #### 12": None,
        "a longer one #### 12": None,
        "#### 13": "failed: verify.verdict = 'correct'",
        "unlimited #### 12": None,
    }


def test_null_is_not_true(four):
    found = reasons(four, keep="granularity <= 2")
    assert found["#### 13"] == "failed: granularity <= 2"
    assert found["unlimited #### 12"] == "unknown: granularity <= 2"


def test_of_several_conditions_the_first_gives_the_reason(four):
    found = reasons(four, keep=["granularity <= 1", "verify.verdict = 'correct'"])
    assert found["a longer one #### 12"] == "failed: granularity <= 1"
    assert found["#### 13"] == "failed: granularity <= 1"


def test_marks_and_columns_of_one_name_are_not_confused(four):
    assert reasons(four, keep="verify.answer = '12' and answer like 'short%'")["short #### 12"] is None


def test_a_comment_at_the_end_of_a_condition_does_no_harm(four):
    assert reasons(four, keep="granularity = 1 -- the coarsest")["short #### 12"] is None


def test_without_passes_conditions_see_trace_columns(four):
    assert reasons(four, passes=[], keep="completion_tokens < 4")["#### 13"] is None


@pytest.mark.parametrize("says", [None, "", " "])
def test_a_row_without_completion_is_never_kept(tmp_path, says):
    corpus = corpus_of(tmp_path / "c", [trace("p", says)])
    assert reasons(corpus, keep="true") == {says: "no completion"}


def test_a_response_that_is_all_reasoning_answers_nothing(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", "<think>hm", reasoning="hm", answer=None)])
    assert reasons(corpus, keep="true", completion="answer") == {"<think>hm": "no completion"}
    assert reasons(corpus, keep="true") == {"<think>hm": None}


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("first", "a longer one #### 12"),  # sample 0 before sample 2
        ("shortest", "short #### 12"),  # 5 tokens before 9
        ("longest", "a longer one #### 12"),
    ],
)
def test_per_problem_keeps_by_its_rule(four, rule, kept):
    found = reasons(four, per_problem={"max": 1, "rule": rule})
    assert [text for text, reason in found.items() if reason is None] == [kept, "unlimited #### 12"]
    assert list(found.values()).count("per_problem") == 1


def test_random_choice_depends_on_the_seed_alone(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", f"{i} #### 12", sample_index=i) for i in range(8)])

    def kept(seed):
        found = reasons(corpus, per_problem={"max": 1, "rule": "random", "seed": seed})
        return next(text for text, reason in found.items() if reason is None)

    assert kept(0) == kept(0)
    assert len({kept(seed) for seed in range(8)}) > 1


def test_the_very_same_text_is_kept_once_per_problem(tmp_path):
    rows = [trace("p", RIGHT, sample_index=1), trace("p", RIGHT, sample_index=0), trace("q", RIGHT)]
    corpus = corpus_of(tmp_path / "c", rows)
    frame = decided(corpus).join(corpus.traces().collect(), on="trace_id", maintain_order="left")
    assert frame.select("problem_id", "sample_index", "reason").rows() == [
        ("p", 0, None),
        ("p", 1, "duplicate"),
        ("q", 0, None),
    ]
    assert decided(corpus, dedup=False)["reason"].null_count() == 3


def test_another_reasoning_is_not_a_duplicate(tmp_path):
    rows = [trace("p", RIGHT, reasoning="so"), trace("p", RIGHT, reasoning="thus")]
    assert decided(corpus_of(tmp_path / "c", rows))["reason"].null_count() == 2


def test_a_removed_row_does_not_make_a_kept_one_a_duplicate(tmp_path):
    rows = [trace("p", RIGHT, granularity=3), trace("p", RIGHT, granularity=1, sample_index=1)]
    found = decided(corpus_of(tmp_path / "c", rows), keep="granularity = 1")
    assert sorted(found["reason"].to_list(), key=str) == [None, "failed: granularity = 1"]


def test_a_problem_is_in_one_split(tmp_path):
    rows = [trace(f"p{i % 100}", f"{i} #### 12") for i in range(300)]
    corpus = corpus_of(tmp_path / "c", rows)
    frame = decided(corpus, splits={"train": 0.5, "validation": 0.2, "test": 0.3})
    with_problem = frame.join(corpus.traces().collect(), on="trace_id").unique(["problem_id", "split_right", "split"])
    assert with_problem.height == 100
    counts = dict(with_problem["split"].value_counts().iter_rows())
    assert abs(counts["train"] - 50) < 20
    assert set(counts) == {"train", "validation", "test"}


def test_another_split_seed_deals_anew(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace(f"p{i}", RIGHT) for i in range(50)])
    deals = [decided(corpus, splits={"train": 0.5, "test": 0.5}, split_seed=seed)["split"].to_list() for seed in (0, 1)]
    assert deals[0] != deals[1]


@pytest.mark.parametrize(
    ("keep", "complaint"),
    [
        ("verify.verdct = 'correct'", "verdct.*\n*.*verdict"),
        ("vrify.verdict = 'correct'", "vrify"),
        ("granularty <= 2", "granularity"),
        ("granularity", "TINYINT, not true or false"),
        ("granularity <=", "cannot be evaluated"),
        ("true; drop view traces", "more than one statement"),
        ("true) from traces --", "cannot be evaluated"),
        ("exists (from read_text('/etc/hostname'))", "disabled by configuration"),
        ("exists (from '/etc/hostname')", "does not exist"),
        ("random() < 0.5", "calls random"),
        ("unnest([true, false])", "8 rows of 4 traces"),
        ("response::int > 1", "Could not convert"),
    ],
)
def test_a_wrong_condition_is_explained(four, keep, complaint):
    with pytest.raises(CotmillError, match=complaint):
        decided(four, keep=keep)


def test_a_typo_lists_what_there_is(four):
    marks, columns = r"Marks: verify\.verdict, verify\.answer.*", "Trace columns: trace_id, problem_id"
    with pytest.raises(CotmillError, match=rf"Did you mean `verify.verdict`\?\n{marks}\n{columns}"):
        decided(four, keep="verdict = 'correct'")


def test_a_condition_cannot_write(four):
    before = sorted(p.name for p in four.path.rglob("*"))
    with pytest.raises(CotmillError):
        decided(four, passes=[], keep=f"true) from traces; copy (select 1) to '{four.path}/x.csv'; --")
    assert sorted(p.name for p in four.path.rglob("*")) == before


def test_a_corpus_without_traces_says_so(tmp_path):
    with pytest.raises(CorpusError, match="holds no traces yet"):
        decided(corpus_of(tmp_path / "c"))


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", RIGHT)], [trace("p", RIGHT)])
    with pytest.raises(CotmillError, match=r"rows of 2 traces|more than once"):
        decided(corpus)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"splits": {"train": 0.5}}, "add up to 1"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "at least 0"),
        ({"prompt": "Solve it."}, "without `{question}`"),
        ({"passes": ["verfy"]}, "did you mean `verify`"),
        ({"passes": ["verify", "verify:fallback=last_number"]}, "named twice"),
        ({"per_problem": {"max": 0}}, "greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_explained(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        CurateConfig(**settings)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    says=st.lists(st.sampled_from([RIGHT, WRONG, "12", "", None, "a\x00 #### 12"]), min_size=1, max_size=12),
    keep=st.sampled_from(["verify.verdict = 'correct'", "true", "null::boolean", "granularity < sample_index"]),
    dedup=st.booleans(),
    limit=st.sampled_from([None, {"max": 1}, {"max": 2, "rule": "shortest"}]),
)
def test_kept_and_removed_are_all(tmp_path_factory, says, keep, dedup, limit):
    rows = [trace(f"p{i % 3}", text, sample_index=i) for i, text in enumerate(says)]
    corpus = corpus_of(tmp_path_factory.mktemp("c") / "c", rows[::2], rows[1::2])
    frame = decided(corpus, keep=keep, dedup=dedup, per_problem=limit)
    assert sorted(frame["trace_id"]) == sorted(row["trace_id"] for row in rows)


@pytest.fixture
def unequal(tmp_path):
    """Arms (a, 1), (a, 2), (b, 1), and a human without a level. All have p; (b, 1) lacks q; r is wrong at (a, 2)."""
    rows = [
        *(trace("p", RIGHT, teacher=t, granularity=g) for t, g in (("a", 1), ("a", 2), ("b", 1), ("human", None))),
        *(trace("q", RIGHT, teacher=t, granularity=g) for t, g in (("a", 1), ("a", 2), ("human", None))),
        trace("r", RIGHT, teacher="a", granularity=1),
        trace("r", WRONG, teacher="a", granularity=2),
        trace("r", RIGHT, teacher="b", granularity=1),
        trace("r", RIGHT, teacher="human", granularity=None),
    ]
    return corpus_of(tmp_path / "c", rows[:5], rows[5:])


def kept_problems(corpus, **settings) -> dict[str, int]:
    """Problem -> kept traces."""
    kept = decided(corpus, dedup=False, **settings).filter(pl.col("reason").is_null())
    rows = kept.join(corpus.traces().collect(), on="trace_id")
    return dict(rows.group_by("problem_id").len().sort("problem_id").iter_rows())


def test_common_keeps_the_problems_that_every_combination_has(unequal):
    assert kept_problems(unequal, common=["teacher", "granularity", "format"]) == {"p": 4}


def test_common_columns_say_what_is_compared(unequal):
    assert kept_problems(unequal, common=["teacher"]) == {"p": 4, "r": 3}  # q has nothing by b


def test_listed_combinations_are_all_that_counts(unequal):
    assert kept_problems(unequal, common={"teacher": ["a"], "granularity": [1, 2]}) == {"p": 4, "q": 3}


def test_a_missing_level_can_be_listed(unequal):
    assert kept_problems(unequal, common={"teacher": ["human"], "granularity": [None]}) == {"p": 4, "q": 3, "r": 3}


def test_a_combination_that_nobody_has_removes_everything(unequal):
    assert kept_problems(unequal, common={"teacher": ["c"]}) == {}


def test_rows_removed_for_the_common_set_say_so(unequal):
    found = decided(unequal, dedup=False, common=["teacher", "granularity"])["reason"].value_counts()
    assert dict(found.iter_rows()) == {None: 4, "common": 6, "failed: verify.verdict = 'correct'": 1}


@pytest.mark.parametrize("common", [["level"], {"granularity": ["1"]}, {"teacher": [1]}, {"teacher": []}])
def test_common_names_columns_and_fitting_values(common):
    with pytest.raises(ValidationError):
        CurateConfig(common=common)


def test_conditions_may_have_names_which_reasons_say(tmp_path):
    rows = [trace("a", "#### 12"), trace("b", "#### 13"), trace("c", "#### 13", granularity=2)]
    keep = {"correct": "verify.verdict = 'correct'", "coarse": "granularity = 1"}
    config = CurateConfig(keep=keep)
    corpus = corpus_of(tmp_path / "c", rows)
    mark(corpus, config.made_passes())
    assert set(decide(corpus, config, config.made_passes())["reason"]) == {None, "failed: correct"}
