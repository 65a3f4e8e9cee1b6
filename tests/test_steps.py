"""Where steps end, that nothing is lost in cutting, and what is counted."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import CotmillError, TeacherError
from curation.passes import make_pass
from curation.text.segment import GLUED, HARD, ITEM, SOFT
from curation.text.steps import cut, segment

FRAGMENTS = (
    *("1. ", "2) ", "Step 3: ", "- ", "\n", "\n\n", " ", "  ", "\t", ". ", ".", "? ", "!", "... ", "…", "145.5. To "),
    *(
        "groups.3. When",
        "apples.Then",
        "3.14",
        "1,000.50",
        "e.g. ",
        "Dr. ",
        "vs. ",
        "No. ",
        "No. 5 ",
        "Fig. 2",
        "a.m. ",
    ),
    *(
        "J. K. Rowling ",
        "John F. Kennedy",
        "Option B. The ",
        "$x. Y$",
        "$5. ",
        "$",
        "$$",
        r"\[ a. B\nc \]",
        r"\(",
        r"\)",
    ),
    *(
        r"\begin{align}",
        r"\end{align}",
        r"\begin{array}{c}",
        r"\end{array}",
        "<think>",
        "</think>",
        "```",
        "`a. B`",
        "= 5",
        "=<<",
        " equals ",
    ),
    *(
        "∴ x ≤ 3",
        "½",
        "我有三个。",
        "然后！",
        "هل هذا صحيح؟ ",
        "שלום. ",
        "🙂",
        "👩‍👩‍👧. ",
        "\x00",
        HARD,
        SOFT,
        ITEM,
        GLUED,
        "%",
        "x",
        "A",
        "\r\n",
    ),
)
tricky = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)
anything = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
texts = tricky | anything


def marks(text: str | None, **columns: str | None) -> dict[str, object]:
    """The marks of one trace, without the prefix."""
    row = {"response": text, "reasoning": None, "answer": text, **columns}
    traces = pl.LazyFrame([row], schema=dict.fromkeys(row, pl.String))
    marked = make_pass("steps").mark(traces).collect().drop(row)
    return {name.removeprefix("steps."): value for name, value in marked.row(0, named=True).items()}


@settings(max_examples=60)
@given(texts)
def test_joined_the_steps_are_the_text(text):
    assert "".join(segment(text)) == text


@settings(max_examples=50)
@given(texts)
def test_no_step_is_empty_or_white_space_beside_others(text):
    steps = segment(text)
    assert len(steps) <= 1 or all(pl.Series(steps).str.contains(r"\S"))


@settings(max_examples=20)
@given(st.lists(st.none() | texts, max_size=8))
def test_a_column_is_cut_as_its_texts_are(column):
    assert cut(pl.Series(column, dtype=pl.String)).to_list() == [t if t is None else segment(t) for t in column]


@settings(max_examples=25)
@given(texts)
def test_ends_are_where_the_text_is_cut(text):
    found = marks(text)
    steps = segment(text) if found["count"] else []
    assert found["ends"] == [len("".join(steps[: i + 1])) for i in range(len(steps))]
    assert found["count"] == len(steps)


@settings(max_examples=25)
@given(texts)
def test_no_count_is_below_zero(text):
    assert all(value >= 0 for name, value in marks(text).items() if name not in ("ends", "compression"))


@pytest.mark.parametrize(
    "steps",
    [
        # Lists.
        ["1. Add.\n", "2) Halve\n", "3. Done"],
        ["Add:\n\n", "- two\n", "* three\n", "• four"],
        ["Step 1: Add. ", "Step 2: Halve it ", "Step 3: Done"],
        ["**Step 1.** Add\n", "### Step 2: Halve"],
        ["In detail: ", "1. Add. ", "2. Halve."],
        # Glued: list numbers and sentences.
        ["In detail:", "1. Add the groups.", "2. Halve them."],
        ["1. Add. ", "2. So 290 / 2 = 145.", "3. To ensure"],
        ["1. Of 290.", "2. We take 145.", "3. And go."],
        ["He has apples.", "Then he eats"],
        ["It is 19.", "The answer is 19"],
        ["Why?", "Because"],
        ["As follows:", "- Add"],
        # Not a glued list number: no item 4 before it.
        ["It is 3.5. ", "Then we go."],
        # Numbers.
        ["Pi is 3.14 and a house 1,000.50. ", "Then go."],
        ["x = 5. ", "y = 3."],
        ["Then 5! = 120. ", "Good."],
        ["The total is: 7. ", "So go."],
        # Abbreviations and initials.
        ["Dr. Who met Mr. X vs. Y, e.g. Al, i.e. Bo. ", "See Fig. 3, Eq. (2) and No. 5, approx. 6."],
        ["No. ", "The answer is 5."],
        ["At 9 a.m. he ran. ", "At 10 a.m. ", "Then he ate etc. and slept."],
        ["J. K. Rowling and J. R. R. Tolkien met John F. Kennedy."],
        ["It is option B. ", "The end."],
        ["So Option B. ", "The end."],
        # Ellipses and quotes.
        ["Wait... ", "Then 1, 2, ..., 10 and so on."],
        ["Hm… ", "Yes."],
        ['He said "Stop." ', "(I did.) ", "Then **now.** ", "End"],
        # LaTeX, equations, code.
        ["So $x. Y = 3$. ", "Then\n", "\\[ a. B\n c = 2. D \\]\n", "Done"],
        ["Put \\(a. B\\) in. ", "Go"],
        ["$$a. B\nc$$\n", "So"],
        [r"\begin{equation}\begin{aligned}a&=1.\\ B\end{aligned}. C\end{equation}" + "\n", "So"],
        ["It costs $5. ", "He has $6. ", "So $11."],
        ["290 / 2\n= 145\n", "145 + 1 = 146"],
        ["Run:\n", "```\na. B\nc. D\n```\n", "Done. ", "Yes"],
        ["Use `a. B` here. ", "Yes"],
        ["It is ½. ", "∴ x ≤ 3"],
        # Thought and answer.
        ["<think>\nLet me see. ", "It is 7.\n</think>\n", "The answer is 7."],
        ["Well <b>7</b> ", "<think>no</think>", "7"],
        # Other scripts.
        ["我有三个。", "然后！", "好？", "是"],
        ["هل هذا صحيح؟ ", "نعم."],
        ["שלום. ", "עולם."],
        ["Good 🙂. ", "👩‍👩‍👧 go."],
        # White space.
        ["  \n He adds. ", "He halves \n "],
        [" \n\t"],
        ["a\x00b. ", f"C{HARD}d"],
        [],
    ],
)
def test_steps_of(steps):
    assert segment("".join(steps)) == steps


def test_an_unclosed_fence_protects_the_rest():
    assert segment("Run.\n```\na. B\nc") == ["Run.\n", "```\na. B\nc"]


def test_unclosed_latex_protects_nothing():
    assert segment(r"So \[ x. Then") == [r"So \[ x. ", "Then"]


def test_null_stays_null():
    assert set(marks(None).values()) == {None}


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_has_no_steps(text):
    assert (marks(text)["count"], marks(text)["ends"], marks(text)["words"]) == (0, [], 0)


def test_an_empty_text_has_no_compression():
    assert marks("")["compression"] is None


def test_a_text_that_repeats_itself_compresses():
    assert marks("wait, " * 200)["compression"] < 0.05 < marks("He has 3 apples and eats 2.")["compression"]


def test_a_megabyte_goes_through():
    assert marks("He adds 1. Then 2.\n" * 50_000)["count"] == 100_000


def test_a_megabyte_without_a_gap_goes_through():
    assert marks("x" * 1_000_000)["ends"] == [1_000_000]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,000.50 apples and 3 pears", 2),
        ("1. Of 290.2. We take 145", 2),  # list numbers are not said
        ("Step 1: 3 + 4 = 7", 3),
        ("half of ½ or 3/4", 3),
        ("none", 0),
    ],
)
def test_numbers(text, numbers):
    assert marks(text)["numbers"] == numbers


@pytest.mark.parametrize(
    ("text", "equations"),
    [
        ("3 + 4 = 7", 1),
        ("a = b = c", 2),
        ("48/2 = <<48/2=24>>24", 1),
        ("12/60 = $<<12/60=0.2>>0.2", 1),
        ("it costs 3 * 2 = $6", 1),
        ("π ≈ 3.14", 1),
        ("2 plus 2 equals 4", 1),
        ("x <= 3, y != 4, z >= 5, a => b", 0),
        ("= 5", 0),  # nothing on its left
    ],
)
def test_equations(text, equations):
    assert marks(text)["equations"] == equations


def test_connectives():
    assert marks("Because he has so many, Therefore ∴ also soap, which means")["connectives"] == 6


def test_words_and_characters():
    assert (marks("He has 3.5 🙂")["words"], marks("He has 3.5 🙂")["chars"]) == (4, 12)


def test_thought_that_the_engine_set_apart_counts():
    assert marks("It is 7.", reasoning="3 + 4.")["ends"] == [7, 15]  # "3 + 4." and a line end, then 8 more


def test_thought_inside_the_response_counts_once():
    assert marks("<think>3 + 4</think>7", reasoning="3 + 4", answer="7")["count"] == 2


def tokens(texts: list[str | None], tokenizer: object) -> list[int | None]:
    traces = pl.LazyFrame({"response": texts, "answer": texts}, schema={"response": pl.String, "answer": pl.String})
    made = make_pass("tokens", {"tokenizer": str(tokenizer)})
    return made.mark(traces.with_columns(reasoning=pl.lit(None, pl.String))).collect()["tokens.count"].to_list()


def test_tokens_are_the_students(tiny_llama):
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(tiny_llama)
    said = ["He has 3 apples.", "هل 🙂 \x00"]
    assert tokens(said, tiny_llama) == [len(plain(text, add_special_tokens=False)["input_ids"]) for text in said]


def test_tokens_of_nothing(tiny_llama):
    assert tokens([None, "", None], tiny_llama) == [None, 0, None]


def test_a_batch_of_tokens_ends_anywhere(tiny_llama):
    assert set(tokens(["a b"] * 1025, tiny_llama)) == set(tokens(["a b"], tiny_llama))


def test_a_model_without_a_tokenizer_says_how_to_make_one(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CotmillError, match=r"no tokenizer\.json[\s\S]*save_pretrained"):
        tokens(["a"], tmp_path)


def test_an_unknown_tokenizer_is_named():
    with pytest.raises(TeacherError, match=r"no model directory \./smollm2-135n"):
        tokens(["a"], "./smollm2-135n")
