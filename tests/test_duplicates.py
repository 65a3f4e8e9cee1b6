"""Groups of exact, near and semantic duplicates, among traces and among problems."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from builders.schema import TRACES
from curation.duplicates import near
from curation.duplicates.components import Components
from curation.duplicates.exact import ExactQuestion, ExactTrace
from curation.duplicates.minhash import Sets, as_sets, band_keys, bands_for, chance, foreseen, jaccard
from curation.duplicates.near import NearQuestion, NearTrace
from curation.duplicates.semantic import SemanticQuestion, SemanticTrace
from curation.text.shingles import shingles, words
from tests.corpora import messy_traces, trace

TRACE_PASSES = (ExactTrace, NearTrace, SemanticTrace)
QUESTION_PASSES = (ExactQuestion, NearQuestion, SemanticQuestion)


def frame(*rows):
    return pl.DataFrame(list(rows), schema=TRACES)


def said(*texts, **columns):
    """One trace per text, with the ids 0, 1, 2, ..., all about one problem."""
    return frame(*({**trace("p", text, **columns), "trace_id": str(i)} for i, text in enumerate(texts)))


def asked(*questions, **columns):
    """One trace per question, with the problems 0, 1, 2, ..."""
    return frame(
        *({**trace(str(i), "12", **columns), "trace_id": str(i), "question": q} for i, q in enumerate(questions))
    )


def groups(made, traces):
    """The group of each trace, in order of trace_id."""
    return made.mark_corpus(traces.lazy()).sort("trace_id")[f"{made.name}.group"].to_list()


def sentence(*numbers):
    """Words that no other number gives."""
    return " ".join(f"word{number}" for number in numbers)


# What every pass over a whole corpus obeys.


@pytest.fixture(scope="module")
def messy():
    return messy_traces()


@pytest.fixture(params=[*TRACE_PASSES, *QUESTION_PASSES], ids=lambda kind: kind.name)
def made(request):
    settings = {"model": str(request.getfixturevalue("tiny_llama"))} if "semantic" in request.param.name else {}
    return request.param(**settings)


def test_every_trace_once_with_the_marks_that_are_promised(made, messy):
    marked = made.mark_corpus(messy.select("trace_id", *made.reads).lazy())
    assert marked["trace_id"].sort().to_list() == messy["trace_id"].sort().to_list()
    assert dict(marked.schema) == {
        "trace_id": pl.String,
        **{f"{made.name}.{name}": kind for name, kind in made.marks.items()},
    }


def test_order_and_shards_do_not_matter(made, messy):
    whole = made.mark_corpus(messy.lazy()).sort("trace_id")
    shuffled = messy.sample(fraction=1, shuffle=True, seed=1)
    shards = pl.concat([part.lazy() for part in shuffled.iter_slices(7)], rechunk=False)
    assert_frame_equal(made.mark_corpus(shards).sort("trace_id"), whole, abs_tol=1e-6)


def test_groups_are_named_and_counted(made, messy):
    """A group's name is the least id in it, and its size is how many there are."""
    units = messy.select("trace_id", "problem_id").lazy().collect()
    marked = made.mark_corpus(messy.lazy()).join(units, on="trace_id").rename(lambda name: name.rpartition(".")[2])
    ids = marked.select("group", "size", id=f"{made.unit}_id").unique().drop_nulls()
    checked = (
        ids.group_by("group").agg(pl.col("id").min().alias("least"), pl.len().alias("counted"), "size").explode("size")
    )
    assert checked.filter((pl.col("least") != pl.col("group")) | (pl.col("counted") != pl.col("size"))).is_empty()


def test_no_traces_no_marks(made, messy):
    assert made.mark_corpus(messy.clear().lazy()).shape == (0, 1 + len(made.marks))


def test_nothing_but_nulls_is_marked_with_nulls(made, messy):
    nothing = messy.head(3).select("trace_id", *(pl.lit(None, messy.schema[c]).alias(c) for c in made.reads))
    marked = made.mark_corpus(nothing.lazy())
    assert marked.height == 3
    assert marked.drop("trace_id").null_count().row(0) == (3,) * len(made.marks)


@pytest.mark.parametrize("kind", [NearTrace, NearQuestion, SemanticTrace, SemanticQuestion])
@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(kind, threshold):
    with pytest.raises(ValueError, match="threshold is a similarity above 0 and up to 1"):
        kind(threshold=threshold)


def test_an_ngram_has_a_word_at_least():
    with pytest.raises(ValueError, match="ngram is at least 1, not 0"):
        NearTrace(ngram=0)


# The gold guard.


@pytest.mark.parametrize("kind", [*TRACE_PASSES, *QUESTION_PASSES], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("golds", "grouped"),
    [
        (("12", "12"), True),
        (("12", "13"), False),
        (("12", None), False),
        ((None, None), True),
        (("12", "13", None), False),  # an unknown gold is no bridge
    ],
)
def test_different_golds_are_never_in_one_group(kind, golds, grouped, tiny_llama):
    made = kind(model=str(tiny_llama)) if "semantic" in kind.name else kind()
    rows = [
        {**trace(str(i), sentence(*range(20)), gold), "trace_id": str(i), "question": "How many?"}
        for i, gold in enumerate(golds)
    ]
    assert (len(set(groups(made, frame(*rows)))) == 1) == grouped


def test_a_gold_that_is_not_understood_guards_as_it_is_written():
    rows = [
        {**trace(str(i), "the same", gold), "gold_value": None, "trace_id": str(i)}
        for i, gold in enumerate(["see page 3", "see page 4", "see page 3 "])
    ]
    assert groups(ExactTrace(), frame(*rows)) == ["0", "1", "0"]


@pytest.mark.parametrize("kind", [ExactTrace, NearTrace])
def test_within_a_problem_or_the_corpus(kind):
    rows = [{**trace(problem, "all the same"), "trace_id": str(i)} for i, problem in enumerate("aab")]
    assert groups(kind(), frame(*rows)) == ["0", "0", "0"]
    assert groups(kind(within="problem"), frame(*rows)) == ["0", "0", "2"]


# Exact duplicates.


@pytest.mark.parametrize(
    ("one", "other", "equal", "equal_without_punctuation"),
    [
        ("The answer is 12.", "the  ANSWER\nis 12. ", True, True),
        ("１２ apples", "12 apples", True, True),
        ("The answer is 12.", "The answer is 12", False, True),
        ("**So**, 12", "So 12", False, True),
        ("“So”: (12)", "So 12", False, True),
        ("3.5", "35", False, False),
        ("1,000", "1000", False, False),
        ("12 - 5", "12 + 5", False, False),
        ("-5", "5", False, False),
    ],
)
def test_what_is_equal(one, other, equal, equal_without_punctuation):
    assert (len(set(groups(ExactTrace(), said(one, other)))) == 1) == equal
    assert (len(set(groups(ExactTrace(punctuation=False), said(one, other)))) == 1) == equal_without_punctuation


def test_group_and_size():
    marked = ExactTrace().mark_corpus(said("b", "a", "B", None, " ").lazy()).sort("trace_id")
    assert marked["exact_trace.group"].to_list() == ["0", "1", "0", None, None]
    assert marked["exact_trace.size"].to_list() == [2, 1, 2, None, None]


def test_problems_are_counted_once_however_many_traces_they_have():
    rows = [
        {**trace(problem, f"says {i}"), "trace_id": str(i), "question": "How many?"}
        for i, problem in enumerate(["b", "a", "b", "b"])
    ]
    marked = ExactQuestion().mark_corpus(frame(*rows).lazy()).sort("trace_id")
    assert marked["exact_question.group"].to_list() == ["a"] * 4
    assert marked["exact_question.size"].to_list() == [2] * 4


@pytest.mark.parametrize("kind", [ExactQuestion, NearQuestion])
def test_choices_are_part_of_the_question(kind):
    one, other = asked("Which is true?", choices=["red", "blue"]), asked("Which is true?", choices=["one", "two"])
    both = pl.concat([one, other.with_columns(trace_id=pl.lit("1"), problem_id=pl.lit("1"))])
    assert groups(kind(), both) == ["0", "1"]


# Near duplicates.


def test_just_above_and_just_below_the_threshold():
    # 40 words have 36 shingles of 5. Another last word changes 1: 35 / 37 = 0.95; one in the middle 5: 31 / 41 = 0.76.
    one, last, middle = range(40), (*range(39), 99), (*range(20), 99, *range(21, 40))
    made = said(sentence(*one), sentence(*last), sentence(*middle))
    marked = NearTrace().mark_corpus(made.lazy()).sort("trace_id")
    assert marked["near_trace.group"].to_list() == ["0", "0", "2"]
    assert marked["near_trace.similarity"].to_list() == [1, pytest.approx(35 / 37), None]
    assert groups(NearTrace(threshold=31 / 41), made) == ["0", "0", "0"]
    assert groups(NearTrace(threshold=0.96), made) == ["0", "1", "2"]


def test_a_threshold_is_reached_by_its_own_value():
    # 4 of 5 words, each a shingle: 0.8
    assert groups(NearTrace(ngram=1, threshold=0.8), said(sentence(1, 2, 3, 4), sentence(1, 2, 3, 4, 5))) == ["0", "0"]


@pytest.mark.filterwarnings("error")
def test_at_a_threshold_of_one_only_equal_sets_go_together():
    made = said(sentence(*range(40)), sentence(*range(40)).upper(), sentence(*range(39)))
    assert groups(NearTrace(threshold=1), made) == ["0", "0", "2"]


def test_a_chain_is_one_group_and_says_how_far_its_ends_are_apart():
    # 0 and 1 share 9 of 11 words, 1 and 2 too; 0 and 2 share 8 of 12.
    chain = said(sentence(*range(10)), sentence(*range(1, 11)), sentence(*range(2, 12)))
    marked = NearTrace(ngram=1).mark_corpus(chain.lazy()).sort("trace_id")
    assert marked["near_trace.group"].to_list() == ["0", "0", "0"]
    assert marked["near_trace.similarity"].to_list() == [1, pytest.approx(9 / 11), pytest.approx(8 / 12)]


def test_comparedwithout_a_word_are_like_no_other():
    marked = NearTrace().mark_corpus(said("...", "...", "🙂").lazy()).sort("trace_id")
    assert marked["near_trace.group"].to_list() == ["0", "1", "2"]
    assert marked["near_trace.size"].to_list() == [1, 1, 1]


def test_a_bucket_of_many_is_searched_representative_by_representative():
    # 25 families of 5 in one bucket: more than are compared pair by pair, more than one representative serves.
    rng = np.random.default_rng(0)
    texts = [sentence(*rng.integers(1_000, size=20)) for _ in range(25)]
    family = [f"{text} {sentence(9_000 + i)}" for text in texts for i in range(5)]
    sets = as_sets(shingles(words(pl.Series(family)), 1))
    parts = Components(len(family))
    low = np.zeros((len(family), 60), np.uint8)  # all alike: nothing is turned away unseen
    compared = near._Texts(sets, low, np.arange(len(family)), 0.8)
    near._join_bucketmates(parts, np.zeros(len(family), np.uint32), compared)
    assert parts.roots.tolist() == [i - i % 5 for i in range(len(family))]


def test_many_copies_of_one_text_cost_one(monkeypatch):
    compared = []
    monkeypatch.setattr(near, "jaccard", lambda sets, a, b: compared.append(len(a)) or jaccard(sets, a, b))
    assert set(groups(NearTrace(), said(*[sentence(*range(20))] * 1_000))) == {"0"}
    assert sum(compared) == 0


def perturbed(count, seed=0, copies=4):
    """`count` texts of 20 to 60 words, some of them copies of others with 0 to 6 words changed."""
    rng = np.random.default_rng(seed)
    texts = []
    while len(texts) < count:
        base = rng.integers(5_000, size=rng.integers(20, 60))
        for _ in range(rng.integers(1, copies + 1)):
            changed = base.copy()
            changed[rng.integers(len(base), size=rng.integers(7))] = rng.integers(5_000)
            texts.append(sentence(*changed))
    return texts[:count]


def brute_force(texts, threshold, n):
    """The least member of each text's component, every pair compared by Python's own sets."""

    def split(text):
        said = text.split()
        return {tuple(said[i : i + n]) for i in range(max(len(said) - n + 1, 1))}

    sets = [split(text) for text in texts]
    parts = list(range(len(texts)))
    for a, b in combinations(range(len(texts)), 2):
        if len(sets[a] & sets[b]) >= threshold * len(sets[a] | sets[b]):
            low, high = sorted((parts[a], parts[b]))
            parts = [low if part == high else part for part in parts]
    return parts


@pytest.fixture(scope="module")
def truth():
    texts = perturbed(400)
    return texts, brute_force(texts, 0.8, 5)


def numbered(texts):
    return said(*texts).with_columns(trace_id=pl.int_range(pl.len()).cast(pl.String).str.zfill(6))


def test_near_duplicates_are_those_that_brute_force_finds(truth):
    texts, parts = truth
    found = [int(group) for group in groups(NearTrace(), numbered(texts))]
    # Each pair is missed with a chance below 1 %, the same ones each time: with these texts, none is.
    assert found == parts


def test_the_rate_of_removal_is_that_of_brute_force(truth):
    """Huggingface/datatrove #107: another implementation removed another share."""
    texts, parts = truth
    assert len(set(groups(NearTrace(), numbered(texts)))) / len(texts) == len(set(parts)) / len(texts)


def test_duplicates_in_different_shards_are_found():
    """Datajuicer/data-juicer #971: a set of hashes per worker let duplicates across workers survive."""
    texts = perturbed(300, copies=1)
    copies = numbered(texts * 2)
    shards = pl.concat([part.lazy() for part in copies.iter_slices(50)], rechunk=False)
    for made in (ExactTrace(), NearTrace()):
        marked = made.mark_corpus(shards).sort("trace_id")[f"{made.name}.group"].cast(pl.Int32).to_list()
        assert marked[300:] == marked[:300]


@pytest.mark.parametrize("batch", [1, 7, 4_097])
def test_any_batch_size_will_do(batch, monkeypatch, truth):
    """Huggingface/datatrove #301: a buffer of an odd size crashed."""
    texts, _ = truth
    whole = groups(NearTrace(), numbered(texts))
    monkeypatch.setattr("curation.duplicates.threads.BATCH", batch)
    monkeypatch.setattr(near, "SLICE", 3)
    monkeypatch.setattr(near, "PAIRS", 5)
    monkeypatch.setattr("curation.duplicates.minhash.CHUNK", 11)
    assert groups(NearTrace(), numbered(texts)) == whole


def test_exact_groups_lie_within_near_groups():
    texts = perturbed(300)
    traces = numbered(texts + [text.upper() for text in texts[:100]])
    exact, nearly = groups(ExactTrace(), traces), groups(NearTrace(), traces)
    assert len(set(zip(exact, nearly, strict=True))) == len(set(exact)) > len(set(nearly))


# What they are made of.


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_give_the_recall_that_is_asked_for(threshold):
    bands, rows = bands_for(threshold)
    assert bands * rows <= 64
    assert chance(threshold, bands, rows) >= 0.99


def test_pairs_share_a_band_as_often_as_the_formula_says():
    # 2,000 pairs of 30 shingles with 24 in common: 24 / 36 = 0.67; 1 - (1 - 0.67 ** 5) ** 12 = 0.82
    rng = np.random.default_rng(0)
    common, one, other = (rng.integers(1 << 32, size=(2_000, n), dtype=np.uint32) for n in (24, 6, 6))

    def keys(own):
        values = np.sort(np.concatenate([common, own], axis=1), axis=1)
        return band_keys(Sets(values.ravel(), np.arange(2_000) * 30, np.full(2_000, 30)), 12, 5)[0]

    share = (keys(one) == keys(other)).any(axis=0).mean()
    assert share == pytest.approx(chance(24 / 36, 12, 5), abs=0.026)  # 3 standard deviations


def test_pairs_far_below_the_threshold_are_turned_away_by_their_minhashes():
    # 60 MinHashes, 48 expected to agree at 0.8, with a standard deviation of 3.1: 39 and more are looked at.
    one = np.zeros((2, 60), np.uint8)
    other = np.array([[0] * 39 + [1] * 21, [0] * 38 + [1] * 22], np.uint8)
    assert foreseen(one, other, 0.8).tolist() == [True, False]


def test_jaccard_of_sets():
    sets = as_sets(shingles(words(pl.Series(["a b c d", "b c d e a a", "x", "a b c d"])), 1))
    pairs = np.array([0, 0, 0]), np.array([1, 2, 3])
    assert jaccard(sets, *pairs).tolist() == [4 / 5, 0, 1]


def test_components_do_not_depend_on_the_order_of_edges():
    rng = np.random.default_rng(0)
    edges = rng.integers(1_000, size=(2, 900))
    whole = Components(1_000)
    whole.join(*edges)
    portions = Components(1_000)
    for start in range(0, 900, 7):
        portions.join(*edges[::-1, ::-1][:, start : start + 7])
    assert whole.roots.tolist() == portions.roots.tolist()


def test_a_long_chain_is_one_component():
    order = np.random.default_rng(0).permutation(100_000)
    parts = Components(len(order))
    parts.join(order[:-1], order[1:])
    assert not parts.roots.any()


# Semantic duplicates.


def test_the_same_meaning_to_the_model(tiny_llama):
    # A random model: what is equal but for case is not embedded twice, what shares all tokens but one is near it.
    texts = "Mia has 3 apples and buys 4 more.", "MIA has 3 apples and  buys 4 more.", "zzz {} 0x7f"
    marked = SemanticTrace(model=str(tiny_llama), threshold=0.999).mark_corpus(said(*texts).lazy()).sort("trace_id")
    assert marked["semantic_trace.group"].to_list() == ["0", "0", "2"]
    assert marked["semantic_trace.similarity"].to_list() == [1, 1, None]


def test_a_lower_threshold_groups_more(tiny_llama):
    texts = "Tom had 12 coins and gave away 5.", "Tom had 12 coins and gave away 6.", "\\frac{x}{y} <<>>"
    strict = SemanticTrace(model=str(tiny_llama), threshold=1)
    loose = SemanticTrace(model=str(tiny_llama), threshold=0.9)
    assert groups(strict, said(*texts)) == ["0", "1", "2"]
    assert groups(loose, said(*texts)) == ["0", "0", "2"]


def test_other_weights_are_another_content(tiny_llama, tiny_base):
    one, other = SemanticTrace(model=str(tiny_llama)), SemanticTrace(model=str(tiny_base))
    assert one.content() == SemanticQuestion(model=str(tiny_llama)).content() != other.content()


def test_a_model_that_is_not_there_is_an_error_of_the_user(tmp_path):
    from builders.errors import CotmillError

    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CotmillError, match=r"cannot be loaded.*\n.*semantic_trace:model=DIRECTORY"):
        SemanticTrace(model=str(tmp_path)).mark_corpus(said("a").lazy())
