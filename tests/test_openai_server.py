"""A real OpenAI-compatible server, vLLM's own, on loopback with a tiny model: sampled through the command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from builders.corpus import Corpus
from builders.teachers.vllm import environment_defaults

CONTEXT = 256
START_SECONDS = 150

QUESTIONS = [{"question": f"Mia has {n} apples and buys 4 more. How many?", "answer": str(n + 4)} for n in range(3, 11)]


@pytest.fixture(scope="module")
def server(tiny_llama, tmp_path_factory) -> Iterator[str]:
    """Base URL of `vllm serve` with the tiny model, known there as `tiny`."""
    pytest.importorskip("vllm")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Chunked prefill off: vLLM 0.32 on a CPU dies of a seeded request whose prompt is split.
    flags = ["--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill"]
    flags += ["--max-model-len", str(CONTEXT), "--kv-cache-memory-bytes", str(64 << 20)]
    where = ["--host", "127.0.0.1", "--port", str(port), "--model", str(tiny_llama), "--served-model-name", "tiny"]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *where, *flags]
    log = tmp_path_factory.mktemp("server") / "log"
    environment = {**os.environ, **environment_defaults()}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
    try:
        wait_until_healthy(process, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        stop(process)


def wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(f"http://127.0.0.1:{port}/health", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the engine's process, which is in the same group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def sample(folder: Path, server: str, *questions: dict[str, str], max_tokens: int = 12) -> dict[str, object]:
    """`cotmill sample`, two samples for each question; the recipe and the corpus are in `folder`."""
    (folder / "problems.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
    recipe = {
        "name": "served",
        "problems": {"source": "file", "path": "problems.jsonl"},
        "teacher": {"kind": "server", "model": "tiny", "base_url": server, "temperature": 1, "max_tokens": max_tokens},
        "sample": {"n": 2},
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
    command = [sys.executable, "-m", "cotmill", "sample", str(folder / "recipe.yaml"), "--json"]
    done = subprocess.run([*command, "--out", str(folder / "corpus")], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def sampled(server, tmp_path_factory) -> tuple[Path, dict[str, object]]:
    """Where eight questions were sampled twice each, and what the command said."""
    folder = tmp_path_factory.mktemp("sampled")
    return folder, sample(folder, server, *QUESTIONS)


@pytest.mark.vllm
@pytest.mark.slow
def test_every_request_became_a_row_with_its_counts(sampled):
    folder, summary = sampled
    assert (summary["sampled"], summary["unanswered"], summary["rejected"]) == (16, 0, 0)
    rows = Corpus(folder / "corpus").traces().collect()
    assert rows.height == 16
    filled = ["response", "status", "finish_reason", "prompt_tokens", "completion_tokens", "seed", "engine", "seconds"]
    assert rows.select(filled).null_count().row(0) == (0,) * len(filled)
    assert rows["completion_tokens"].is_between(1, 12).all()
    assert summary["tokens"] == rows["completion_tokens"].sum()


@pytest.mark.vllm
@pytest.mark.slow
def test_a_row_is_truncated_when_the_server_says_length_or_the_cap_is_reached(sampled):
    rows = Corpus(sampled[0] / "corpus").traces().collect()
    cut = (rows["finish_reason"] == "length") | (rows["completion_tokens"] == 12)
    assert (rows["status"] == "truncated").equals(cut)
    assert cut.any()


@pytest.mark.vllm
@pytest.mark.slow
def test_prompt_tokens_are_those_of_the_models_template(sampled, tiny_llama):
    from transformers import AutoTokenizer

    row = Corpus(sampled[0] / "corpus").traces().collect().row(0, named=True)
    text = f"<|im_start|>user\n{row['question']}<|im_end|>\n<|im_start|>assistant\n"
    tokens = AutoTokenizer.from_pretrained(tiny_llama).encode(text, add_special_tokens=False)
    assert row["prompt_tokens"] == len(tokens)


@pytest.mark.vllm
@pytest.mark.slow
def test_the_server_says_which_vllm_it_is(sampled):
    engines = Corpus(sampled[0] / "corpus").traces().collect()["engine"].unique()
    assert engines.to_list()[0].startswith("openai-compatible")
    assert len(engines) == 1


@pytest.mark.vllm
@pytest.mark.slow
def test_a_second_run_samples_nothing(sampled, server):
    again = sample(sampled[0], server, *QUESTIONS)
    assert (again["held"], again["sampled"]) == (16, 0)


@pytest.mark.vllm
@pytest.mark.slow
def test_the_same_seeds_give_the_same_text_again(sampled, server, tmp_path):
    sample(tmp_path, server, *QUESTIONS)
    first, second = (
        Corpus(folder / "corpus").traces().select("trace_id", "response").sort("trace_id").collect()
        for folder in (sampled[0], tmp_path)
    )
    assert first.equals(second)
    assert first["response"].n_unique() > 8  # a random model at temperature 1 repeats itself hardly ever


@pytest.mark.vllm
@pytest.mark.slow
def test_a_prompt_too_long_for_the_model_costs_its_own_rows_only(server, tmp_path):
    summary = sample(tmp_path, server, *QUESTIONS[:3], {"question": "How many? " * 5_000, "answer": "1"})
    rows = Corpus(tmp_path / "corpus").traces().collect()
    assert (summary["sampled"], summary["rejected"]) == (8, 2)
    rejected = rows.filter(pl.col("status") == "rejected")
    assert rejected["question"].str.len_chars().min() > 40_000
    assert rejected["error"].str.contains(str(CONTEXT)).all()  # the server's own words
