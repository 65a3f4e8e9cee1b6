"""Benchmark questions among traces: found by content, each with its evidence; and nothing else found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import CotmillError, SourceError
from builders.schema import TRACES
from curation.contamination.benchmarks import SCHEMA, Benchmark, listed
from curation.contamination.decontaminate import Decontaminate
from curation.contamination.ngrams import COMMON
from curation.contamination.overlap import SHORTEST, Index, words_of
from curation.passes import build, fingerprint
from tests import test_laws as laws
from tests.corpora import messy_traces, trace

DUCKS = (
    "Janet's ducks lay 1,600 eggs per day. She eats three for breakfast and sells the rest for $2.50 each. How much?"
)
ROBE = "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"
COLD = "Which of these is usually the coldest thing in a kitchen?"
MARKS = ("hit", "kind", "benchmark", "row", "span", "overlap")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """`bench.jsonl` in the working directory: three questions, the third with choices."""
    monkeypatch.chdir(tmp_path)
    write("bench.jsonl", [{"question": DUCKS}, {"question": ROBE}, {"question": COLD, "choices": ["ice", "fire"]}])
    return "bench.jsonl"


def write(name, rows):
    with open(name, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return name


def marks(made, **columns) -> tuple:
    """The marks of one trace."""
    frame = pl.DataFrame([trace("p", None) | columns], schema=TRACES)
    marked = made.mark(frame.lazy().select(made.reads)).collect()
    return marked.select(f"decontaminate.{mark}" for mark in MARKS).row(0)


def found(made, question, **columns) -> tuple:
    """Kind, row and span."""
    _, kind, _, row, span, _ = marks(made, question=question, **columns)
    return kind, row, span


def words(count, start=0) -> str:
    return " ".join(f"w{i}" for i in range(start, start + count))


def test_the_same_question_is_exact(bench):
    assert marks(Decontaminate(bench), question=ROBE) == (True, "exact", "bench.jsonl", 1, ROBE, 1.0)


def test_another_question_is_no_hit(bench):
    assert marks(Decontaminate(bench), question="How many eggs are there?") == (False, None, None, None, None, 0.0)


@pytest.mark.parametrize("question", [None, "", " \n", "?!"])
def test_nothing_to_look_at_is_null(bench, question):
    assert marks(Decontaminate(bench), question=question) == (None,) * 6


@pytest.mark.parametrize(
    "question",
    [
        DUCKS.upper(),
        DUCKS.replace("'", "’"),
        DUCKS.replace(". ", ".\n\n"),
        DUCKS.replace("1,600", "1600"),
        DUCKS.replace("1,600", "1,600.00"),
        DUCKS.replace("1,600", "$1{,}600$"),
        DUCKS.replace("2.50", "2.5"),
        DUCKS.replace(",", "").replace(".", "").replace("250", "2.50"),
    ],
)
def test_case_signs_white_space_and_number_format_do_not_hide_it(bench, question):
    assert found(Decontaminate(bench), question) == ("normalised", 0, question.rstrip())


def test_numbers_that_differ_are_no_format(bench):
    assert found(Decontaminate(bench), DUCKS.replace("1,600", "1,601"))[0] == "ngram"


def test_millions_and_trailing_zeros_are_one_number(tmp_path):
    write(tmp_path / "b.jsonl", [{"question": "Is 1,000,000 more than 24.0?"}])
    assert found(Decontaminate(str(tmp_path / "b.jsonl")), "is 1000000 more than 24")[0] == "normalised"


@pytest.mark.parametrize(
    ("choices", "kind"),
    [
        (["ice", "fire"], "exact"),
        (["Ice.", "Fire."], "normalised"),
        (["fire", "ice"], "stem"),  # shuffled
        (["ice", "water"], "stem"),
        (None, "exact"),  # nothing to disagree on
    ],
)
def test_choices_decide_between_the_same_question_and_its_stem(bench, choices, kind):
    assert found(Decontaminate(bench), COLD, choices=choices) == (kind, 2, COLD)


def test_the_strongest_kind_wins_over_the_earlier_row(bench):
    write("bench.jsonl", [{"question": ROBE.lower()}, {"question": ROBE}])
    assert found(Decontaminate(bench), ROBE)[:2] == ("exact", 1)


def test_of_equal_kinds_the_earlier_benchmark_and_row_wins(bench):
    write("other.jsonl", [{"question": "Why?"}, {"question": ROBE}, {"question": ROBE}])
    assert marks(Decontaminate(("other.jsonl", bench)), question=ROBE)[1:4] == ("exact", "other.jsonl", 1)
    assert marks(Decontaminate(f"{bench}+other.jsonl"), question=ROBE)[1:4] == ("exact", "bench.jsonl", 1)


def test_one_ngram_is_enough_by_default(bench):
    write(bench, [{"question": words(20)}])  # 8 13-grams
    said = f"Before, {words(13, start=4)}; after"
    assert marks(Decontaminate(bench), question=said) == (
        *(True, "ngram", "bench.jsonl", 0),
        *(f"{words(13, start=4)};", 1 / 8),
    )


def test_one_word_less_is_not(bench):
    write(bench, [{"question": words(20)}])
    assert marks(Decontaminate(bench), question=words(12) + " and more")[0] is False


def test_overlap_is_the_share_that_must_be_there_and_is_told_either_way(bench):
    write(bench, [{"question": words(20)}])
    said = words(16)  # 4 of 8 13-grams
    assert marks(Decontaminate(bench, overlap=0.5), question=said)[::5] == (True, 0.5)
    assert marks(Decontaminate(bench, overlap=0.51), question=said)[::5] == (False, 0.5)


def test_the_question_of_which_most_is_said_is_the_evidence(bench):
    write(bench, [{"question": words(40)}, {"question": words(16) + " end"}])
    assert found(Decontaminate(bench), words(16))[1] == 1  # 4 of 5 rather than 4 of 28


def test_a_repeated_ngram_counts_once(bench):
    write(bench, [{"question": words(14)}])  # 2 13-grams
    assert marks(Decontaminate(bench), question=f"{words(13)}. {words(13)}")[5] == 0.5


def test_the_span_is_the_longest_run(bench):
    write(bench, [{"question": f"{words(13)} x {words(20, start=50)}"}])
    assert found(Decontaminate(bench), f"{words(13)} y {words(20, start=50)}")[2] == words(20, start=50)


def test_a_short_question_counts_as_one_ngram(bench):
    write(bench, [{"question": words(9)}])
    assert found(Decontaminate(bench), f"Now: {words(9)}, please") == ("ngram", 0, f"{words(9)},")


def test_a_very_short_one_only_as_a_whole(bench):
    write(bench, [{"question": "What is two plus two?"}])
    assert found(Decontaminate(bench), "What is two plus two")[0] == "normalised"
    assert found(Decontaminate(bench), "Tell me: what is two plus two?")[0] is None


def test_what_all_benchmark_questions_say_is_no_evidence(bench):
    asks = "Think step by step and put the letter of the right answer into a box at the end."
    write(bench, [{"question": f"{words(13, start=100 * i)} {asks}"} for i in range(COMMON + 1)])
    made = Decontaminate(bench)
    assert found(made, f"What is cold? {asks}")[0] is None
    assert found(made, words(13, start=100)) == ("ngram", 1, words(13, start=100))


def test_words_of_scripts_without_spaces(bench):
    said = "小明有十五个苹果他给了小红三个苹果请问小明还剩下几个苹果"
    write(bench, [{"question": said}])
    assert found(Decontaminate(bench), f"请听题{said[2:]}") == ("ngram", 0, said[2:])


def test_of_text_finds_a_quoted_question(bench):
    text = f"This reminds me of another one. {ROBE} There the answer is 3. #### 3"
    said = {"question": "What is 1 + 2?", "response": text, "answer": text}
    assert found(Decontaminate(bench), **said)[0] is None
    for of in ("text", "both"):
        assert found(Decontaminate(bench, of=of), **said) == ("ngram", 1, ROBE)


def test_of_text_looks_at_thought_set_apart(bench):
    assert found(Decontaminate(bench, of="text"), "?", reasoning=f"Hm. {ROBE}", answer="3", response="3")[1] == 1


def test_of_both_takes_the_stronger(bench):
    said = {"response": f"{ROBE} Three.", "answer": f"{ROBE} Three."}
    assert found(Decontaminate(bench, of="both"), DUCKS, **said)[:2] == ("exact", 0)
    assert found(Decontaminate(bench, of="both"), None, **said)[:2] == ("ngram", 1)
    assert marks(Decontaminate(bench, of="both"), question="Why?", response=None)[0] is False


def test_what_the_source_says_does_not_matter(bench):
    """A question that a source calls MATH train and that stands in the benchmark (a complaint at NeMo Skills)."""
    clean, leaked = "What is the sum of the first ten odd numbers?", ROBE
    made = Decontaminate(bench)
    assert [found(made, q, source="MATH", split="train")[:2] for q in (clean, leaked)] == [(None, None), ("exact", 1)]
    assert marks(made, question=clean, source="gsm8k", split="test")[0] is False


def test_an_arm_that_holds_the_whole_test_set(bench):
    """The shape of a released arm: 2,290 rows, 2,000 of train and all 290 of test, half of these touched up."""
    train = [f"Would person {i} fit into vehicle {i * 7 % 2003} if nobody else was in it?" for i in range(2000)]
    test = [f"Could animal {i} outrun machine {i * 11 % 293} on a flat road for an hour?" for i in range(290)]
    write(bench, [{"question": question, "answer": True} for question in test])
    leaked = [q if i % 2 else f" {q.upper()}" for i, q in enumerate(test)]
    rows = pl.DataFrame({"question": train + leaked, "place": [None] * 2000 + list(range(290))})
    rows = rows.sample(fraction=1, shuffle=True, seed=7).with_columns(
        pl.lit(None, TRACES[name]).alias(name) for name in Decontaminate.reads if name != "question"
    )
    marked = Decontaminate(bench).mark(rows.lazy()).collect()
    assert marked["decontaminate.hit"].sum() == 290
    assert marked["decontaminate.row"].cast(pl.Int64).equals(marked["place"])
    assert sorted(marked["decontaminate.kind"].drop_nulls()) == ["exact"] * 145 + ["normalised"] * 145


def test_spans_show_both_sides(bench):
    text = f"Like this: {ROBE} Yes."
    frame = pl.DataFrame([trace("p", text) | {"question": f"So. {DUCKS}"}], schema=TRACES)
    question, said = Decontaminate(bench, of="both").spans(frame)[0]
    assert frame["question"][0][question.start : question.end] == DUCKS
    assert text[said.start : said.end] == ROBE
    assert (question.column, said.column) == ("question", "text")
    assert said.note == f"ngram, 100% of bench.jsonl row 1: {ROBE}"


def test_a_note_on_a_long_benchmark_row_shows_the_part_that_matches(bench):
    write(bench, [{"question": words(300)}])
    frame = pl.DataFrame([trace("p", None) | {"question": words(13, start=200)}], schema=TRACES)
    [[span]] = Decontaminate(bench).spans(frame)
    assert span.note.startswith("ngram, under 1% of bench.jsonl row 0: …w")
    assert words(13, start=200) in span.note


SAID = st.lists(st.sampled_from("abc"), max_size=24).map(" ".join)


@given(st.lists(SAID.filter(bool), min_size=1, max_size=6), st.lists(SAID, min_size=1, max_size=6), st.integers(5, 14))
def test_the_index_finds_what_comparing_every_pair_finds(questions, texts, n):
    asked = (
        pl.DataFrame({"question": questions}).with_row_index("row").with_columns(choices=None).select(SCHEMA.names())
    )
    index = Index.of([Benchmark("b", asked.cast(SCHEMA))], n)
    said = words_of(pl.Series(texts, dtype=pl.String))
    parts = index.parts(said, 0.0)
    for i, text in enumerate(texts):
        shares = [share_of(question, text, n) for question in questions]
        assert parts.share[i] == pytest.approx(max(shares))
        assert parts.place[i] == (shares.index(max(shares)) if max(shares) else -1)
        if max(shares):
            run, question = text.split()[parts.begin[i] : parts.end[i]], questions[parts.place[i]].split()
            size = min(n, len(question))
            assert windows(run, size) <= windows(question, size)
    no_choices = pl.Series([None] * len(texts), dtype=pl.List(pl.String))
    whole = index.whole(said, pl.Series(texts, dtype=pl.String), no_choices)
    assert whole.exact.tolist() == [questions.index(text) if text in questions else -1 for text in texts]


def windows(said: list[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(said[at : at + size]) for at in range(len(said) - size + 1)}


def share_of(question: str, text: str, n: int) -> float:
    """Share of the question's n-grams that the text has, by the definition."""
    asked, said = question.split(), text.split()
    n = min(n, len(asked)) if len(asked) >= min(SHORTEST, n) else 1_000
    grams, held = ({tuple(w[i : i + n]) for i in range(len(w) - n + 1)} for w in (asked, said))
    return len(grams & held) / len(grams) if grams else 0.0


# Where benchmarks come from


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.json", json.dumps([{"Problem": "Why?"}, {"Problem": ROBE}])),
        ("b.csv", f'id,question\n1,Why?\n2,"{ROBE}"\n'),
        ("b.jsonl", '{"query": "Why?"}\n{"query": ' + json.dumps(ROBE) + "}\n"),
        (
            "b.ndjson",
            '{"Body": "A", "Question": "b?"}\n{"Body": ' + f'"{ROBE[:66]}", "Question": "{ROBE[67:]}"' + "}\n",
        ),
        ("b.jsonl", "not JSON\n" + json.dumps({"messages": [{"role": "user", "content": ROBE}]})),
    ],
)
def test_layouts_are_recognised_as_an_import_does(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert found(Decontaminate(str(tmp_path / name)), ROBE)[:2] == ("exact", 1)


def test_parquet(tmp_path):
    pl.DataFrame({"question": [None, "", ROBE]}).write_parquet(tmp_path / "b.parquet")
    assert found(Decontaminate(str(tmp_path / "b.parquet")), ROBE)[:2] == ("exact", 2)


def test_lettered_choices_are_taken_out_of_the_question(bench):
    write(bench, [{"question": f"{COLD} (A) ice (B) fire"}])
    assert found(Decontaminate(bench), COLD, choices=["ice", "fire"])[0] == "exact"


def test_question_names_the_column(bench):
    write(bench, [{"stem": "Why?", "text": ROBE}])
    assert found(Decontaminate(bench, question="text"), ROBE)[0] == "exact"


def test_a_directory_laid_out_like_a_dataset_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    write("owner/name/test.jsonl", [{"question": ROBE}])
    write("owner/name/train.jsonl", [{"question": DUCKS}])
    made = Decontaminate("owner/name:train")
    assert marks(made, question=DUCKS)[2] == "owner/name:train"
    assert found(Decontaminate("owner/name"), DUCKS)[0] is None  # test is meant


def test_benchmarks_of_one_name_are_told_apart(tmp_path):
    names = []
    for folder in ("x", "y"):
        (tmp_path / folder / "gsm8k").mkdir(parents=True)
        names.append(write(str(tmp_path / folder / "gsm8k" / "test.jsonl"), [{"question": ROBE}]))
    assert marks(Decontaminate(names[0]), question=ROBE)[2] == "gsm8k/test.jsonl"
    assert marks(Decontaminate(tuple(names)), question=ROBE)[2] == names[0]


@pytest.mark.parametrize(
    ("against", "says"),
    [
        ("", "no benchmark is named.*decontaminate:against="),
        ("gone.jsonl", "gone.jsonl: no such file.*OWNER/NAME"),
        ("bench", "no file, no dataset and no preset.*gsm8k"),
        ("gsm8k:dev", "train and test, not 'dev'"),
        ("empty.jsonl", "empty"),
        (
            "columns.jsonl",
            "it has text, label.\nSay which one it is: decontaminate:against=columns.jsonl,question=COLUMN",
        ),
        ("blank.jsonl", "none of its rows asks anything"),
        ("torn.parquet", "torn.parquet cannot be read"),
        ("nobody/nothing", "cannot load the dataset nobody/nothing, split test"),
        ("gsm8k", "cannot load the dataset openai/gsm8k"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_next_step(bench, against, says):
    write("columns.jsonl", [{"text": ROBE, "label": 1}])
    write("blank.jsonl", [{"question": " "}, {"question": None}])
    for name in ("empty.jsonl", "torn.parquet"):
        Path(name).write_text("x" * (name != "empty.jsonl"))
    with pytest.raises(CotmillError, match=f"(?s)^pass decontaminate: .*{says}"):
        Decontaminate(against).content()


def test_a_column_that_is_not_there(bench):
    with pytest.raises(SourceError, match="has no column 'stem'; it has question"):
        Decontaminate(bench, question="stem").content()


def test_a_benchmark_is_a_list_or_one_text():
    assert listed("a.jsonl + b/c@main:test+a.jsonl") == ("a.jsonl", "b/c@main:test")
    assert Decontaminate(["a", "b"]) == Decontaminate("a+b")


def test_parameters_are_checked(bench):
    made = build(Decontaminate, "decontaminate", {"against": ["a", "b"], "ngram": "8", "overlap": "0.5"})
    assert (made.against, made.ngram, made.overlap) == (("a", "b"), 8, 0.5)
    for wrong in ({"ngram": 2}, {"ngram": 100}, {"overlap": 1.5}, {"of": "answer"}):
        with pytest.raises(CotmillError, match=next(iter(wrong))):
            build(Decontaminate, "decontaminate", {"against": bench, **wrong})


def test_an_edited_benchmark_has_another_fingerprint(bench):
    before = fingerprint(Decontaminate(bench))
    assert fingerprint(Decontaminate(bench)) == before
    write(bench, [{"question": DUCKS}])
    os.utime(bench, ns=(1, 1))  # within the same tick of the clock
    assert fingerprint(Decontaminate(bench)) != before
    assert found(Decontaminate(bench), ROBE)[0] is None


# What every pass obeys

marked = laws.marked
LAWS = [value for name, value in vars(laws).items() if name.startswith("test_") and "name_is_the_key" not in name]


@pytest.mark.parametrize("of", ["question", "text", "both"])
@pytest.mark.parametrize(
    "law", [law for law in LAWS if law.__code__.co_varnames[: law.__code__.co_argcount] == ("marked", "made", "messy")]
)
def test_laws(law, of, bench, marked):
    messy = messy_traces()
    write(bench, [{"question": text} for text in [*messy["response"].drop_nulls().unique(), "What is p0?"]])
    law(marked, Decontaminate(bench, of=of), messy)
