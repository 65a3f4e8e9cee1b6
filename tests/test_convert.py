"""Conversions: joining, splitting, layouts, padding, and a teacher's rewrites."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from fractions import Fraction
from importlib.util import find_spec

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cotmill
from builders.errors import CotmillError
from builders.spec import shipped_specs
from curation.convert.anatomy import dissect, sizes
from curation.convert.arithmetic import single_operations, spell, true_equations
from curation.convert.free import Free, to_layout, to_length, to_level
from curation.convert.guards import Guards, answers
from curation.convert.layouts import LAYOUTS
from tests.corpora import corpus_of, messy_traces, trace

SPECS = shipped_specs()
FIVE = "He has 4 boxes. Each holds 6 eggs. So he has 4 * 6 = 24. He drops 5. Then 24 - 5 = 19. The answer is 19."


def rows(*texts: str | None, kind: str = "number") -> pl.DataFrame:
    """Sources as a conversion is given them."""
    return pl.DataFrame(
        {"text": list(texts), "choices": [None] * len(texts), "answer_type": [kind] * len(texts)},
        schema={"text": pl.String, "choices": pl.List(pl.String), "answer_type": pl.String},
    )


def convert(free: Free, text: str) -> str:
    made = free.texts(rows(text)).row(0, named=True)
    return made["text"] or f"no child: {made['reason']}"


# Arithmetic


@pytest.mark.parametrize(
    ("expression", "taken_apart"),
    [
        ("4 * 6 - 5", (["4 * 6 = 24"], "24 - 5")),
        ("2 + 3 * 4", (["3 * 4 = 12"], "2 + 12")),
        ("10 - 3 - 2", (["10 - 3 = 7"], "7 - 2")),
        ("(1 + 2) / 3 * 2", (["1 + 2 = 3", "3 / 3 = 1"], "1 * 2")),
        ("4 * (3 - 5)", (["3 - 5 = -2"], "4 * (-2)")),
        ("$5 * 3 + $2", (["$5 * 3 = $15"], "$15 + $2")),
        ("0.1 + 0.2 + 1", (["0.1 + 0.2 = 0.3"], "0.3 + 1")),  # exactly, not 0.30000000000000004
        ("4 * 6", None),  # one operation
        ("1 / 3 * 3", None),  # a third has no end
        ("$5 + 3 - $2", None),  # dollars and what?
        ("1 / 0 + 2", None),
    ],
)
def test_an_expression_taken_apart(expression, taken_apart):
    assert single_operations(expression) == taken_apart


def test_only_equations_that_hold_are_found():
    assert [e.left for e in true_equations("4 * 6 = 24, 4 * 6 = 25, 10 / 3 = 3.33, 2x + 1 = 3, 1 + 1 = 2%")] == [
        "4 * 6"
    ]


@given(st.integers(-(10**12), 10**12), st.integers(0, 9))
def test_spelling_is_exact(digits, places):
    assert Fraction(spell(Fraction(digits, 10**places))) == Fraction(digits, 10**places)


@pytest.mark.parametrize("piece", ["1", "(", "1,000", " ", "1 ", "$", "1)", "1+1=2 ", "((1+", "a ", "\\("])
def test_a_megabyte_of_anything_takes_no_more_than_seconds(piece):
    start = time.monotonic()
    list(true_equations(piece * (200_000 // len(piece))))
    assert time.monotonic() - start < 5


# Joining


def test_five_steps_become_two():
    assert convert(to_level(SPECS, "merge", 1), FIVE) == (
        "He has 4 boxes; each holds 6 eggs, so he has 4 * 6 = 24. He drops 5, then 24 - 5 = 19. The answer is 19."
    )


def test_list_numbers_stay_in_sequence():
    text = "1. Add 3.\n2. Add 4.\n3. Add 5.\n4. Count.\nThe answer is 12."
    assert convert(to_level(SPECS, "merge", 1), text) == "1. Add 3; add 4.\n2. Add 5; count.\nThe answer is 12."


def test_thought_and_answer_are_not_joined():
    text = "<think>3 + 4 = 7. 7 * 2 = 14. So 14.</think>It is 14. The answer is 14."
    assert convert(to_level(SPECS, "merge", 1), text) == (
        "<think>\n3 + 4 = 7; 7 * 2 = 14, so 14.\n</think>\n\nIt is 14. The answer is 14."
    )


@pytest.mark.parametrize(
    ("text", "level", "reason"),
    [
        ("3 + 4 = 7. The answer is 7.", 1, "in the band already"),
        ("The answer is 7.", 1, "fewer steps than the band"),
        ("Why? How? When? Where? The answer is 7.", 1, "too few steps can be joined"),
        ("  ", 1, "no text"),
    ],
)
def test_no_child_has_a_reason(text, level, reason):
    assert convert(to_level(SPECS, "merge", level), text) == f"no child: {reason}"


# Splitting


def test_a_compound_operation_is_split():
    assert convert(to_level(SPECS, "split", 3), "Pam has 4 * 6 - 5 = 19 eggs. The answer is 19.") == (
        "First, 4 * 6 = 24. Pam has 24 - 5 = 19 eggs. The answer is 19."
    )


def test_latex_stays_latex():
    assert convert(to_level(SPECS, "split", 3), r"$4 \times 6 - 5 = 19$. The answer is 19.") == (
        r"First, $4 \times 6 = 24$. $24 - 5 = 19$. The answer is 19."
    )


@pytest.mark.parametrize(
    "text",
    [
        "Pam has 4 * 6 - 5 = 20 eggs. The answer is 20.",  # does not hold
        "He gets 10 / 3 * 3 = 10 of them. The answer is 10.",  # 10 / 3 has no end
        "If he eats 3, so that 4 are left, he wins. The answer is 4.",
        "Adding the 7 apples she has (so many), we get 11. The answer is 11.",
        "x + 4 * 6 - 5 = 19 holds. The answer is 19.",
    ],
)
def test_what_cannot_be_proven_is_not_split(text):
    assert convert(to_level(SPECS, "split", 3), text) == "no child: too little to split"


def test_a_sentence_is_split_where_both_halves_stand():
    assert convert(to_level(SPECS, "split", 3), "Jake has 7 fewer than 15, so he has 15 - 7 = 8. The answer is 8.") == (
        "Jake has 7 fewer than 15. So he has 15 - 7 = 8. The answer is 8."
    )


# Layouts


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("numbered", "1. Pam buys 4 * 6 = 24 eggs.\n2. She drops 5, so 24 - 5 = 19 are left.\nSo the answer is 19."),
        ("equations", "4 * 6 = 24\n24 - 5 = 19\nSo the answer is 19."),
        (
            "think",
            "<think>\nPam buys 4 * 6 = 24 eggs. She drops 5, so 24 - 5 = 19 are left.\n</think>\n\n"
            "So the answer is 19.",
        ),
        ("boxed", r"Pam buys 4 * 6 = 24 eggs. She drops 5, so 24 - 5 = 19 are left. The answer is $\boxed{19}$."),
        ("answer_line", "Pam buys 4 * 6 = 24 eggs. She drops 5, so 24 - 5 = 19 are left. The answer is 19."),
    ],
)
def test_layout(name, text):
    source = "Pam buys 4 * 6 = 24 eggs. She drops 5, so 24 - 5 = 19 are left. So the answer is 19."
    assert convert(to_layout(SPECS, name), source) == text


def test_numbered_and_back_to_prose():
    text = "Pam buys 24 eggs. She drops 5. The answer is 19."
    assert convert(to_layout(SPECS, "prose"), convert(to_layout(SPECS, "numbered"), text)) == text


def test_boxed_and_back_to_a_line():
    text = "Pam buys 24 eggs. The answer is 19."
    assert convert(to_layout(SPECS, "answer_line"), convert(to_layout(SPECS, "boxed"), text)) == text


def test_a_box_inside_a_sentence_leaves_the_sentence():
    assert convert(to_layout(SPECS, "answer_line"), r"So the total is $\boxed{19}$.") == (
        "So the total is $19$. The answer is 19."
    )


def test_units_do_not_hide_an_equation():
    assert convert(
        to_layout(SPECS, "equations"), "That is 15 eggs / 5 eggs per group = 3 groups. The answer is 3."
    ) == ("15 eggs / 5 eggs per group = 3\nThe answer is 3.")


# Padding


def padded(text: str, words: int, seed: str = "s") -> str:
    frame = rows(text).with_columns(words=pl.lit(words), seed=pl.lit(seed))
    return to_length(SPECS, 5).texts(frame)["text"][0]


def test_padding_reaches_the_length_and_keeps_the_content():
    long = padded("4 * 6 - 5 = 19. The answer is 19.", 80)
    assert abs(len(long.split()) - 80) <= 6
    assert "4 * 6 - 5 = 19." in long
    assert long.endswith("The answer is 19.")


def test_filler_says_nothing_that_can_be_counted():
    from curation.convert.guards import SPOKEN, figures

    filler = pl.Series([" ".join(SPECS.convert.filler)])
    assert figures(filler).to_list() == [[]]
    assert filler.str.extract_all(SPOKEN).to_list() == [[]]


def test_another_trace_gets_other_filler():
    assert padded("1 + 1 = 2. The answer is 2.", 80, "a") != padded("1 + 1 = 2. The answer is 2.", 80, "b")


# Laws. Many texts at once: a conversion of one text costs as much as one of fifty.

PIECE = st.sampled_from(
    [
        *(
            "He has 4 boxes. ",
            "So 4 * 6 - 5 = 19. ",
            "1. Add 3, so it is 7.\n",
            "2. Then 7; now stop.\n",
            "Why? ",
            "= 5.3. ",
        ),
        *(
            "$x = 3$ and $y$. ",
            "\\[x = 2 \\times 3 + 1 = 7\\]\n",
            "- a = 3, b = 4\n",
            "مرحبا. ",
            "🙂 ",
            "The answer is 9. ",
        ),
        *(
            "\\boxed{3} ",
            "#### 4\n",
            "answer",
            " is ",
            "<think>",
            "</think>",
            "\x00",
            "\\frac{1",
            "$5 + $3 - $2 = $6. ",
            "\n",
        ),
    ]
)
TEXT = st.one_of(st.lists(PIECE, max_size=12).map("".join), st.text(max_size=60))
EVERY = [
    *(to_level(SPECS, how, level) for how in ("merge", "split") for level in (1, 3, 5)),
    *(to_layout(SPECS, name) for name in LAYOUTS),
]


def of_every(free: Free, frame: pl.DataFrame) -> pl.DataFrame:
    return free.texts(frame).with_columns(before=frame["text"]).filter(pl.col("text").is_not_null())


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(st.lists(TEXT, min_size=20, max_size=60))
def test_no_conversion_changes_the_answer(texts):
    for free in EVERY:
        made = of_every(free, rows(*texts))
        like = rows(*made["text"])
        assert answers(made["text"], like).equals(answers(made["before"], like))


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(st.lists(TEXT, min_size=20, max_size=60), st.integers(1, 6))
def test_joining_never_adds_a_step_and_splitting_never_takes_one(texts, level):
    for how, sign in (("merge", -1), ("split", 1)):
        made = of_every(to_level(SPECS, how, level), rows(*texts))
        change = sizes(made["text"])["steps"] - sizes(made["before"])["steps"]
        assert (change * sign >= 0).all()


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(st.lists(TEXT, min_size=20, max_size=60))
def test_a_layout_is_idempotent(texts):
    for name in LAYOUTS:
        once = of_every(to_layout(SPECS, name), rows(*texts))
        twice = of_every(to_layout(SPECS, name), rows(*once["text"]))
        assert twice.is_empty()


@settings(deadline=None, max_examples=40)
@given(TEXT)
def test_taking_apart_and_writing_keeps_every_word(text):
    (parts,) = dissect(pl.Series([text], dtype=pl.String))
    words = "".join(text.replace("<think>", "").replace("</think>", "").split())
    written = "" if parts is None else "".join(parts.write().replace("<think>", "").replace("</think>", "").split())
    assert written == words


# A corpus


def test_children_stand_beside_their_sources(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=6)])
    summary = cotmill.regranularize(tmp_path / "c", [1], how="merge")
    (source, child) = cotmill.Corpus(tmp_path / "c").traces().collect().to_dicts()
    assert summary["added"] == 1
    assert source["response"] == FIVE
    assert (child["parent_id"], child["granularity"], child["teacher"]) == (source["trace_id"], 1, "small")
    assert [turn["role"] for turn in child["messages"]] == ["user", "assistant", "user"]
    assert child["messages"][1]["content"] == FIVE


def test_every_source_is_accounted_for(tmp_path):
    texts = [FIVE, None, "", "The answer is 1.", "x" * 1_000_000, "\x00", "شكرا 🙂"]
    corpus_of(tmp_path / "c", [trace(f"p{i}", text) for i, text in enumerate(texts)])
    (report,) = cotmill.regranularize(tmp_path / "c", [1], how="merge")["conversions"]
    assert report["sources"] == len(texts) == report["made"] + report["held"] + sum(report["without"].values())


def test_a_second_run_adds_nothing(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19")])
    for again in (1, 0):
        added = cotmill.regranularize(tmp_path / "c", [1, 2])["added"] > 0
        added |= cotmill.reformat(tmp_path / "c", ["numbered", "boxed", "padded"])["added"] > 0
        assert added == bool(again)


def test_another_level_adds_only_its_own(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19")])
    assert [cotmill.regranularize(tmp_path / "c", levels)["added"] for levels in ([1], [1, 2])] == [1, 1]


def test_where_chooses_and_runs_the_pass_that_it_names(tmp_path):
    corpus_of(tmp_path / "c", [trace("right", FIVE, "19"), trace("wrong", FIVE, "20")])
    cotmill.regranularize(tmp_path / "c", [1], where="verify.verdict = 'correct'")
    children = cotmill.Corpus(tmp_path / "c").traces().filter(pl.col("parent_id").is_not_null()).collect()
    assert children["problem_id"].to_list() == ["right"]


def test_children_become_sources_when_asked_for(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19")])
    cotmill.regranularize(tmp_path / "c", [1])
    assert cotmill.reformat(tmp_path / "c", ["numbered"], where="parent_id is not null")["added"] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: cotmill.regranularize(c, [7]), r"levels\.0.*less than or equal to 6"),
        (lambda c: cotmill.reformat(c, ["numberd"]), "no format numberd.*without a model: numbered"),
        (lambda c: cotmill.reformat(c, ["symbolic"]), "only a teacher can write that.*--recipe"),
        (lambda c: cotmill.reformat(c, ["numbered"], how="teacher"), "is a layout"),
        (
            lambda c: cotmill.regranularize(c, [1], where="granularty = 1"),
            "where: `granularty = 1` cannot be evaluated",
        ),
        (lambda c: cotmill.regranularize(c.parent, [1]), "is not a corpus"),
    ],
)
def test_a_mistake_says_what_is_known(tmp_path, call, message):
    corpus = corpus_of(tmp_path / "c", [trace("p", FIVE, "19")])
    with pytest.raises(CotmillError, match=message):
        call(corpus.path)
    assert len(corpus.shards()) == 1


def test_padding_aims_at_the_finer_trace_of_the_same_problem(tmp_path):
    fine = "Let us see. " * 20 + "3 + 4 = 7. The answer is 7."  # 69 words
    short = trace("p", "3 + 4 = 7. The answer is 7.", "7", granularity=1)
    corpus_of(tmp_path / "c", [short, trace("p", fine, "7", granularity=5)])
    cotmill.reformat(tmp_path / "c", ["padded"], to_level=5, where="granularity = 1")
    child = cotmill.Corpus(tmp_path / "c").traces().filter(format="padded").collect().to_dicts()[0]
    assert json.loads(child["params"])["convert"]["band"] == {"words": [63, 75]}
    assert 63 <= len(child["response"].split()) <= 75
    assert child["granularity"] == 1


@pytest.mark.slow
def test_messy_traces_go_through_everything(tmp_path):
    messy = messy_traces().unique("response", maintain_order=True)
    corpus = corpus_of(tmp_path / "c", messy.to_dicts())
    ways = [cotmill.regranularize(corpus.path, [1, 3]), cotmill.reformat(corpus.path, [*LAYOUTS, "padded"])]
    for report in (one for way in ways for one in way["conversions"]):
        assert report["sources"] == messy.height == report["made"] + sum(report["without"].values())
    marks = Guards().judge(corpus.traces().collect())
    assert marks.height == messy.height + sum(way["added"] for way in ways)


# A teacher

RECIPE = """
name: rewriting
problems: {source: words, count: 1}
teacher: {kind: scripted, responses: ["%s"]}
"""
COARSE = "He has 24 - 5 = 19 eggs left in his boxes in the end. The answer is 19."


def recipe(folder, *responses: str, extra: str = ""):
    path = folder / "recipe.yaml"
    path.write_text(RECIPE % '", "'.join(responses) + extra)
    return path


def test_a_rewrite_that_passes_is_asked_for_once(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=5)])
    summary = cotmill.regranularize(tmp_path / "c", [2], how="teacher", recipe=recipe(tmp_path, COARSE), tries=3)
    (report,) = summary["conversions"]
    assert (report["made"], report["passed"], report["failed"]) == (1, 1, 0)


def test_a_failed_rewrite_is_asked_for_again_and_stays(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=5)])
    says = recipe(tmp_path, "The answer is 18.", "Sure, here it is: the answer is 19.", COARSE)
    (report,) = cotmill.regranularize(tmp_path / "c", [2], how="teacher", recipe=says, tries=5)["conversions"]
    assert (report["made"], report["passed"], report["reasons"]) == (3, 1, {"answer": 1, "residue": 1})
    children = cotmill.Corpus(tmp_path / "c").traces().filter(pl.col("parent_id").is_not_null()).collect()
    assert sorted(children["sample_index"]) == [0, 1, 2]


def test_it_gives_up_after_so_many_tries_and_says_so(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=5)])
    says = recipe(tmp_path, "The answer is 18.")
    for made in (2, 0):  # a second run has nothing to ask
        (report,) = cotmill.regranularize(tmp_path / "c", [2], how="teacher", recipe=says, tries=2)["conversions"]
        assert (report["made"], report["failed"]) == (made, 1)


def test_one_more_try_asks_only_for_that(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=5)])
    says = recipe(tmp_path, "The answer is 18.")
    made = [
        cotmill.regranularize(tmp_path / "c", [2], how="teacher", recipe=says, tries=tries)["added"] for tries in (2, 3)
    ]
    assert made == [2, 1]


def test_a_teacher_sees_question_source_and_what_is_asked(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=5)])
    cotmill.reformat(tmp_path / "c", ["symbolic"], recipe=recipe(tmp_path, COARSE), tries=1)
    child = cotmill.Corpus(tmp_path / "c").traces().filter(format="symbolic").collect().to_dicts()[0]
    *head, question, source, ask = child["messages"]
    assert (question["content"], source["content"]) == ("What is p?", FIVE)
    assert ask["content"].startswith("Write this solution again in another form. Give every quantity a letter")
    assert [turn["role"] for turn in head] == ["user", "assistant"] * 4  # two exemplars, each rewritten
    assert head[3]["content"] == "a = 4, b = 6, c = 5, x = a * b - c = 4 * 6 - 5 = 19. The answer is 19."
    assert child["granularity"] == 5


def test_the_level_that_it_is_of_already_is_not_asked_for(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=2)])
    (report,) = cotmill.regranularize(tmp_path / "c", [2], how="teacher", recipe=recipe(tmp_path, COARSE))[
        "conversions"
    ]
    assert (report["made"], report["without"]) == (0, {"of that level or format already": 1})


def test_the_arms_of_children_are_written_down(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19", granularity=5)])
    cotmill.regranularize(tmp_path / "c", [2])
    cotmill.regranularize(tmp_path / "c", [2], how="teacher", recipe=recipe(tmp_path, COARSE))
    corpus = cotmill.Corpus(tmp_path / "c")
    children = corpus.traces().filter(pl.col("parent_id").is_not_null()).collect()
    assert children.height == 2
    assert set(children["arm_id"]) == set(corpus.manifest["arms"])


def test_a_recipe_converts_after_sampling(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "name: r\nproblems: {source: words, count: 4}\nteacher: {kind: scripted, accuracy: 1}\n"
        "sample: {levels: [3]}\n"
        "convert:\n  - regranularize: {levels: [1], how: merge}\n  - reformat: {formats: [numbered, boxed]}\n"
    )
    cotmill.run(path, tmp_path / "out")
    formats = cotmill.Corpus(tmp_path / "out" / "corpus").traces().collect()["format"].value_counts()
    assert dict(formats.rows()) == {"original": 8, "numbered": 4, "boxed": 4}  # a merged trace keeps its format


def test_the_command_line(tmp_path):
    corpus_of(tmp_path / "c", [trace("p", FIVE, "19")])
    command = [sys.executable, "-m", "cotmill", "reformat", str(tmp_path / "c"), "--format", "numbered", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["added"] == 1


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_where_it_was(tmp_path):
    sources = [trace(f"p{i}", FIVE, "19", granularity=5) for i in range(150)]
    says = recipe(tmp_path, "The answer is 18.", COARSE, extra="sample: {flush_rows: 8, flush_seconds: 0.05}\n")
    says.write_text(says.read_text().replace("kind: scripted,", "kind: scripted, delay: 0.3,"))
    corpora = []
    for name, kills in (("whole", 0), ("killed", 2)):
        corpus = corpus_of(tmp_path / name, sources)
        command = [
            sys.executable,
            "-m",
            "cotmill",
            "regranularize",
            str(corpus.path),
            "--level",
            "2",
            "--how",
            "teacher",
        ]
        command += ["--recipe", str(says)]
        ended = []
        for _ in range(kills):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not any(f.stat().st_size for f in (corpus.path / "journal").glob("*")):
                time.sleep(0.002)
            process.kill()  # some tries are flushed, others are open
            ended.append(process.wait())
            cotmill.Corpus(corpus.path)  # the journal becomes a shard: the next kill waits for a new one
        assert not kills or -9 in ended
        subprocess.run(command, check=True, capture_output=True)
        held = cotmill.Corpus(corpus.path).traces().select("trace_id", "response").collect()
        assert held["trace_id"].n_unique() == held.height == 450  # the sources, and two tries for each
        corpora.append(set(held.rows()))
    assert corpora[0] == corpora[1]


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_smollm2_rewrites_through_vllm(tmp_path):
    corpus_of(tmp_path / "c", [trace(f"p{i}", FIVE, "19", granularity=5) for i in range(4)])
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: r\nproblems: {source: words, count: 1}\n"
        "teacher: {kind: vllm, model: smollm2-135m, max_tokens: 64, engine: {max_model_len: 2048}}\n"
    )
    script = tmp_path / "go.py"
    script.write_text(
        "import cotmill, json, sys\nif __name__ == '__main__':\n"
        f"    corpus, recipe = {str(tmp_path / 'c')!r}, {str(path)!r}\n"
        "    made = cotmill.regranularize(corpus, [2], how='teacher', recipe=recipe, tries=2)\n"
        "    json.dump(made, open(sys.argv[1], 'w'))\n"
    )
    subprocess.run([sys.executable, str(script), str(tmp_path / "made.json")], check=True, timeout=280)
    (report,) = json.loads((tmp_path / "made.json").read_text())["conversions"]
    assert report["passed"] + report["failed"] == 4
    assert 4 <= report["made"] <= 8
    marks = Guards().judge(cotmill.Corpus(tmp_path / "c").traces().filter(pl.col("parent_id").is_not_null()).collect())
    assert marks["ok"].null_count() == 0
