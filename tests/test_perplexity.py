"""Perplexity: the tokens that count, and what two engines say of them."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import polars as pl
import pytest

from builders.errors import TeacherError
from builders.teachers.templates import template_of
from curation.value import perplexity
from curation.value.perplexity import Perplexity, TransformersScorer, tokenise
from tests.corpora import messy_traces, trace
from tests.models import make_tiny_llama

if not (find_spec("torch") and find_spec("transformers")):
    pytest.skip("torch and transformers are not installed", allow_module_level=True)

TEXTS = ["12 - 5 = 7. The answer is 7.", "Yes or no?", "6 * 8 = 48", "🙂 \x00 <|im_end|> after the end"]


@pytest.fixture(scope="module", params=["tiny_llama", "tiny_base"])
def model(request) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def by_transformers(monkeypatch):
    """As if vLLM were not installed."""
    monkeypatch.setattr(perplexity, "find_spec", lambda name: None if name == "vllm" else find_spec(name))
    yield
    perplexity.unload()


def tokenizer_of(model: str):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = template_of(tokenizer)
    return tokenizer


def frame(*texts: str | None, **columns) -> pl.DataFrame:
    from builders.schema import TRACES

    return pl.DataFrame([trace(f"p{i}", text, **columns) for i, text in enumerate(texts)], schema=TRACES)


def marks(made: Perplexity, traces: pl.DataFrame) -> pl.DataFrame:
    return made.mark(traces.lazy()).collect().select(f"perplexity.{name}" for name in made.marks)


@pytest.mark.parametrize("text", TEXTS[:3])
def test_scored_are_the_tokens_that_training_counts(model, text):
    from training.rows import tokenise as trained

    tokenizer = tokenizer_of(model)
    said = [{"role": "user", "content": "Which?\nA. a\nB. b"}], [{"role": "assistant", "content": text}]
    row, made = trained(*said, tokenizer), tokenise(tokenizer, "Which?", ["a", "b"], text)
    assert row.input_ids == [*made.prompt, *made.completion]
    assert row.completion_mask == [0] * len(made.prompt) + [1] * len(made.completion)


def naive(model: str, prompt: list[int], completion: list[int]) -> float:
    """Log-probabilities by transformers, one token at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    llama = AutoModelForCausalLM.from_pretrained(model)
    total, said = 0.0, list(prompt)
    for token in completion:
        with torch.no_grad():
            total -= torch.log_softmax(llama(torch.tensor([said])).logits[0, -1], -1)[token].item()
        said.append(token)
    return total


def test_batches_say_what_one_token_at_a_time_says(model):
    scorer = TransformersScorer(model, None)
    rows = [tokenise(scorer.tokenizer, "How many?", None, text) for text in TEXTS]
    assert scorer.nll(rows) == pytest.approx([naive(model, *row) for row in rows], abs=1e-3)


def test_the_marks_of_a_trace(by_transformers, tiny_llama):
    found = marks(Perplexity(str(tiny_llama)), frame(*TEXTS[:2])).row(0)
    tokens = tokenise(tokenizer_of(str(tiny_llama)), "What is p0?", None, TEXTS[0])
    mean = naive(str(tiny_llama), *tokens) / len(tokens.completion)
    assert found == pytest.approx((mean, math.exp(mean), len(tokens.completion)), rel=1e-4)


def test_nothing_said_is_unknown(by_transformers, tiny_llama):
    assert marks(Perplexity(str(tiny_llama)), frame(None, " ")).rows() == [(None, None, None)] * 2


def test_too_long_for_the_model_is_unknown_and_still_counted(by_transformers, tiny_llama):
    nll, ppl, tokens = marks(Perplexity(str(tiny_llama)), frame("word " * 1000)).row(0)
    assert (nll, ppl) == (None, None)
    assert tokens > 512


def test_rows_and_neighbours_stay_as_they_are(by_transformers, tiny_llama):
    made, messy = Perplexity(str(tiny_llama)), messy_traces()
    messy = messy.filter(pl.col("response").str.len_bytes().fill_null(0) < 10_000)
    whole = made.mark(messy.lazy()).collect()
    assert whole.select(messy.columns).equals(messy)
    assert dict(whole.schema) == {**messy.schema, **{f"perplexity.{name}": kind for name, kind in made.marks.items()}}
    assert made.mark(messy.clear().lazy()).collect().height == 0
    alone = pl.concat(marks(made, part) for part in messy.iter_slices(5))
    assert alone.to_numpy() == pytest.approx(marks(made, messy).to_numpy(), rel=1e-4, nan_ok=True)


def test_the_fingerprint_follows_the_weights(tiny_llama, tmp_path):
    other = make_tiny_llama(tmp_path / "other", seed=1)
    assert Perplexity(str(tiny_llama)).content() != Perplexity(str(other)).content()


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(TeacherError, match="no model directory"):
        Perplexity(str(tmp_path / "none")).content()


def test_a_template_that_is_not_there():
    with pytest.raises(TeacherError, match="did you mean alpaca"):
        Perplexity(chat_template="alpacca")


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_says_what_transformers_says(tiny_llama):
    """Also from threads that share the engine, as marking does it."""
    scorer, made = TransformersScorer(str(tiny_llama), None), Perplexity(str(tiny_llama))
    shards = [frame(*TEXTS * 10), frame(*TEXTS[:2], "word " * 1000)]
    try:
        with ThreadPoolExecutor(2) as pool:
            found = pl.concat(pool.map(lambda shard: marks(made, shard), shards))
    finally:
        perplexity.unload()
    rows = [tokenise(scorer.tokenizer, *row) for row in pl.concat(shards).select(made.reads).rows()]
    assert found["perplexity.tokens"].to_list() == [len(row.completion) for row in rows]
    expected = [total / len(row.completion) for total, row in zip(scorer.nll(rows[:-1]), rows, strict=False)]
    means = found["perplexity.mean_nll"].to_list()
    assert means[:-1] == pytest.approx(expected, abs=1e-3)
    assert means[-1] is None
