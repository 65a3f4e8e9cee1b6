"""Real engines: vLLM and transformers answer alike, go on from given words, and one stands in for the other."""

from __future__ import annotations

import asyncio

import polars as pl
import pytest

from builders import config as builders_config
from builders.errors import CotmillError
from builders.teachers import Request
from builders.teachers.templates import template_of
from tests.test_evaluate import problems, quietly, sums
from training.config import EvaluateConfig
from training.evaluate import DONE, RESULTS, evaluate
from training.evaluation.asking import settings_of
from training.evaluation.backends import backends
from training.evaluation.student import VllmStudent
from training.evaluation.transformers import TransformersStudent

SLOW = EvaluateConfig(backend="transformers", max_tokens=12, engine={"max_model_len": 256})


def student(model, config=SLOW) -> TransformersStudent:
    return TransformersStudent(settings_of(str(model), config), batch=config.batch, beams=config.beams)


def answers(made, *turns, seeds=None) -> list:
    """What a student answers to these messages, asked all at once."""

    async def ask():
        async with made:
            requests = [Request(str(i), "p", list(said), (seeds or {}).get(i, i)) for i, said in enumerate(turns)]
            return await asyncio.gather(*map(made.sample, requests))

    return asyncio.run(ask())


def asked(text, begun=None) -> list[dict]:
    said = [{"role": "user", "content": text}]
    return [*said, {"role": "assistant", "content": begun}] if begun else said


def test_the_order_of_engines_is_vllm_first(tiny_llama):
    kinds = {
        backend: [type(made) for made in backends(str(tiny_llama), EvaluateConfig(backend=backend))]
        for backend in ("auto", "vllm", "transformers")
    }
    assert kinds == {
        "auto": [VllmStudent, TransformersStudent],
        "vllm": [VllmStudent],
        "transformers": [TransformersStudent],
    }


def test_beam_search_is_for_transformers(tiny_llama):
    assert [type(made) for made in backends(str(tiny_llama), EvaluateConfig(beams=5))] == [TransformersStudent]


def test_a_begun_answer_follows_the_generation_prompt_token_by_token(tiny_llama):
    """What is put into a student's mouth has the tokens that it would have had if it had said so."""
    made = VllmStudent(builders_config.VllmTeacher(kind="vllm", model=str(tiny_llama)))
    from transformers import AutoTokenizer

    made._tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    made._template = template_of(made._tokenizer)
    prompt = made._tokens(asked("2 + 2?"))
    begun = made._tokenizer.encode("2 + 2 = 4. The answer is", add_special_tokens=False)
    assert made._tokens(asked("2 + 2?", "2 + 2 = 4. The answer is")) == prompt + begun


@pytest.mark.slow
def test_an_answer_does_not_depend_on_its_batch(tiny_llama):
    turns = [asked("How many? " * n) for n in (1, 9, 3, 20, 5)]
    together = answers(student(tiny_llama), *turns)
    alone = answers(student(tiny_llama, SLOW.model_copy(update={"batch": 1})), *turns)
    assert [one.text for one in together] == [one.text for one in alone]
    assert {one.completion_tokens for one in together} == {12}


@pytest.mark.slow
def test_samples_depend_on_their_seeds_alone(tiny_llama):
    warm = SLOW.model_copy(update={"temperature": 1.0, "n": 2})
    first = answers(student(tiny_llama, warm), *[asked("How many?")] * 3, seeds={0: 5, 1: 6, 2: 5})
    again = answers(student(tiny_llama, warm), asked("How many?"), seeds={0: 6})
    assert first[0].text == first[2].text != first[1].text == again[0].text


@pytest.mark.slow
def test_going_on_from_its_own_words_gives_its_own_answer(tiny_llama):
    (whole,) = answers(student(tiny_llama), asked("How many?"))
    made = student(tiny_llama)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer.encode(whole.text, add_special_tokens=False)
    begun = next(text for n in range(4, 10) if "\ufffd" not in (text := tokenizer.decode(ids[:n])))
    (rest,) = answers(made, asked("How many?", begun))
    assert (begun + rest.text).startswith(whole.text)


@pytest.mark.slow
def test_a_beam_finds_an_answer_at_least_as_likely(tiny_llama):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_llama), AutoTokenizer.from_pretrained(tiny_llama)
    made = student(tiny_llama)
    made._load(str(tiny_llama))
    prompt = made._tokens(asked("How many?"))

    def likelihood(completion) -> float:
        ids = torch.tensor([prompt + tokenizer.encode(completion.text, add_special_tokens=False)])
        with torch.inference_mode():
            scores = torch.log_softmax(model(ids).logits[0, :-1], -1)
        return float(scores[range(len(prompt) - 1, ids.shape[1] - 1), ids[0, len(prompt) :]].sum())

    (greedy,) = answers(student(tiny_llama), asked("How many?"))
    (beam,) = answers(student(tiny_llama, SLOW.model_copy(update={"beams": 5})), asked("How many?"))
    assert beam.text != greedy.text
    assert likelihood(beam) > likelihood(greedy)


@pytest.mark.slow
def test_transformers_evaluates_a_model_and_counts_what_is_too_long(tmp_path, tiny_llama):
    questions = problems(("How many?", "7"), ("x " * 900, "1"), ("And now?", None))
    report = evaluate(tiny_llama, questions, SLOW, tmp_path, log=quietly)
    assert (report.n, report.no_gold, report.rejected, report.accuracy) == (2, 1, 1, 0.0)
    assert report.engine.startswith("transformers ")
    assert "leaves no room" in pl.read_parquet(tmp_path / RESULTS)["error"][1]


@pytest.mark.slow
def test_an_answer_near_the_end_of_the_context_is_truncated_not_lost(tmp_path, tiny_llama):
    made = student(tiny_llama, EvaluateConfig(backend="transformers", max_tokens=100, engine={"max_model_len": 60}))
    (short, long) = answers(made, asked("Hi"), asked("y" * 30))
    assert long.finish_reason == "length"
    assert long.prompt_tokens + long.completion_tokens == 60
    assert short.prompt_tokens + short.completion_tokens == 60  # it has room of its own


@pytest.mark.vllm
def test_both_engines_answer_alike(tmp_path, tiny_llama, capfd):
    questions = pl.concat([sums(6), problems(("How many?", None), ("x " * 900, "1"))])
    fast = EvaluateConfig(max_tokens=12, engine={"max_model_len": 256, "dtype": "float32"})
    first = evaluate(tiny_llama, questions, fast, tmp_path / "vllm", log=quietly)
    assert capfd.readouterr().out == ""  # stdout is for results
    assert (first.n, first.no_gold, first.rejected) == (7, 1, 1)
    assert first.engine.startswith("vllm ")
    assert first.tokens_per_s > 0
    slow = fast.model_copy(update={"backend": "transformers"})
    second = evaluate(tiny_llama, questions, slow, tmp_path / "transformers", log=quietly)
    assert second.engine.startswith("transformers ")
    texts = [pl.read_parquet(tmp_path / name / RESULTS)["response"].to_list() for name in ("vllm", "transformers")]
    assert texts[0] == texts[1]


@pytest.mark.vllm
def test_transformers_stands_in_for_a_model_that_vllm_cannot_load(tmp_path, tiny_llama):
    from transformers import AutoTokenizer, OpenAIGPTConfig, OpenAIGPTLMHeadModel

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_llama), tmp_path / "gpt1"
    tokenizer.save_pretrained(model)
    sizes = {"n_positions": 128, "n_embd": 16, "n_layer": 1, "n_head": 2}
    OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(model)
    lines: list[str] = []
    report = evaluate(model, sums(2), EvaluateConfig(max_tokens=5), tmp_path / "out", log=lines.append)
    assert report.engine.startswith("transformers ")
    assert (report.model["kind"], report.n) == ("transformers", 2)
    assert "vLLM could not start" in lines[1]
    assert "Going on with transformers" in lines[1]
    again = evaluate(model, sums(2), EvaluateConfig(max_tokens=5), tmp_path / "out", log=lines.append)
    assert lines[-1].startswith("already evaluated")  # by the engine that did it; none is started
    assert again.fingerprint == report.fingerprint
    with pytest.raises(CotmillError, match="vLLM could not start"):
        evaluate(model, sums(2), EvaluateConfig(max_tokens=5, backend="vllm"), tmp_path / "no", log=quietly)
    assert not (tmp_path / "no" / DONE).exists()
