"""kill -9 at any moment: the corpus in the end is the one of an undisturbed run."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from builders.corpus import Corpus
from tests.make import scripted_recipe


def start(recipe: Path, corpus: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cotmill", "sample", str(recipe), "--out", str(corpus), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    try:
        _, stderr = process.communicate(timeout=100)
    finally:
        process.kill()  # on a timeout; otherwise it is gone
    assert process.returncode == 0, stderr.decode()


def content(corpus: Path) -> set[tuple[str, str]]:
    """(trace_id, response) of every row; every shard must open, and no id may come twice."""
    shards = [pl.read_parquet(shard) for shard in Corpus(corpus).shards()]
    frame = pl.concat(shards)
    assert frame["trace_id"].is_unique().all()
    return set(frame.select("trace_id", "response").rows())


@pytest.mark.slow
def test_fifty_kills_at_random_moments_change_nothing(tmp_path):
    recipe, dice = scripted_recipe(tmp_path, count=2000), random.Random(20)
    finish(start(recipe, tmp_path / "calm"))
    kills, held = 0, 0
    # 8,000 traces at about 1,000/s: some kills hit the start, some the sampling, some the shard.
    slow = ("--set", "teacher.delay=0.25", "--set", "sample.flush_seconds=0.2")
    for _ in range(50):
        process = start(recipe, tmp_path / "killed", *slow)
        time.sleep(dice.uniform(0.3, 1.3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if (tmp_path / "killed" / "corpus.json").exists():
            now = len(content(tmp_path / "killed")) if Corpus(tmp_path / "killed").shards() else 0
            assert now >= held  # nothing that was there is ever lost
            held = now
    finish(start(recipe, tmp_path / "killed"))
    assert kills >= 40
    assert content(tmp_path / "killed") == content(tmp_path / "calm")


# Once with a real engine ----------------------------------------------------------------------------------

# What makes it deterministic: the ids and so the seeds of all requests are fixed beforehand; float32 and one
# request at a time without a prefix cache, so that no sum is taken in another order because of the company.
ALONE = {
    "dtype": "float32",
    "max_num_seqs": 1,
    "enable_prefix_caching": False,
    "max_model_len": 256,
    "kv_cache_memory_bytes": 64 << 20,
}


def engine_recipe(folder: Path, model: Path) -> Path:
    """60 traces of a tiny model, written four by four."""
    recipe = {
        "name": "killed",
        "problems": {"source": "words", "count": 30},
        "teacher": {"kind": "vllm", "model": str(model), "temperature": 1, "max_tokens": 32, "engine": ALONE},
        "sample": {"n": 2, "flush_rows": 4},
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))  # JSON is YAML
    return path


def journal_rows(corpus: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (corpus / "journal").glob("*.jsonl"))


def wait_for(condition, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.vllm
def test_a_kill_of_a_real_engines_run_changes_nothing_and_leaves_no_process(tmp_path, tiny_llama):
    import psutil

    pytest.importorskip("vllm")
    recipe = engine_recipe(tmp_path, tiny_llama)
    finish(start(recipe, tmp_path / "calm"))
    whole = content(tmp_path / "calm")
    assert len(whole) == 60

    process = start(recipe, tmp_path / "killed")
    wait_for(lambda: journal_rows(tmp_path / "killed") >= 20, process)
    engine = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, left = psutil.wait_procs(engine, timeout=20)
    for orphan in left:
        orphan.kill()
    assert engine
    assert not left

    held = content(tmp_path / "killed")
    assert 20 <= len(held) < 60
    finish(start(recipe, tmp_path / "killed"))
    assert content(tmp_path / "killed") == whole
