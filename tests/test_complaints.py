"""What users of such tools complain about most, and what no other test shows about this one."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from importlib.metadata import requires
from pathlib import Path

import duckdb
import polars as pl
import pytest

from builders.corpus import Corpus
from builders.problems import load_all
from cotmill import api
from cotmill.recipe import Recipe
from tests.make import scripted_recipe
from tests.servers import StubServer, stub_server

COTMILL = [sys.executable, "-m", "cotmill"]


def served(folder: Path, server: StubServer, *, count: int, **teacher: object) -> list[str]:
    """The command that samples `count` answers of a stub server into `folder`/corpus."""
    recipe = {
        "name": "served",
        "problems": {"source": "words", "count": count, "largest": 60},
        "teacher": {"kind": "server", "model": "stub", "base_url": server.url, "timeout": 5, **teacher},
        "sample": {"flush_rows": 8},
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
    return [*COTMILL, "sample", str(folder / "recipe.yaml"), "--out", str(folder / "corpus"), "--json"]


def execute(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


# The teacher ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dead_server_costs_what_was_in_flight_and_the_next_one_goes_on(tmp_path):
    with stub_server(die_after=60) as server:
        done = execute(served(tmp_path, server, count=200, concurrency=8, retries=0))
    assert done.returncode == 2
    assert "the same command goes on" in done.stderr
    held = Corpus(tmp_path / "corpus").traces().collect()
    assert 60 - 8 <= held.height <= 60
    with stub_server() as another:  # at another address, which is no part of a trace's identity
        done = execute(served(tmp_path, another, count=200))
        summary = json.loads(done.stdout)
        assert (summary["held"], summary["sampled"]) == (held.height, 200 - held.height)
        assert another.stats()["requests"] == 200 - held.height


def test_a_server_that_never_answers_is_an_error_and_not_an_empty_success(tmp_path):
    with stub_server(faults={"hang": "1000"}) as server:
        done = execute(served(tmp_path, server, count=3, timeout=0.1, retries=0))
    assert done.returncode == 2
    assert "None of 3 requests was answered (no answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_whole_batch_is_in_flight_at_once(tmp_path):
    with stub_server(latency_ms=100) as server:
        execute(served(tmp_path, server, count=200, concurrency=32))
        assert server.stats()["peak_in_flight"] == 32


def test_any_newer_engine_will_do():
    engines = ("vllm", "torch", "transformers", "trl", "datasets")
    wanted = [line for line in requires("cotmill") or [] if re.split(r"[^\w-]", line)[0] in engines]
    assert wanted
    assert not [line for line in wanted if re.search(r"[=!~<]=?\s*\d", line.split(";")[0].replace(">=", ""))]


# Going on -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_half_way_all_of_it_costs_about_one_pass(tmp_path):
    with stub_server(latency_ms=20) as server:
        command = served(tmp_path, server, count=400, concurrency=16)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.stats()["answered"] < 200:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert execute(command).returncode == 0
        asked = Counter(server.stats()["keys"])
    assert len(asked) == Corpus(tmp_path / "corpus").traces().collect().height == 400
    # Twice: what was in flight, what waited for the batch of 8 to fill, and the batch being written.
    assert asked.total() <= 400 + 16 + 8 + 8


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_the_same_problems_saved_and_loaded_again_are_not_asked_again(tmp_path, suffix):
    rows = [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(5)]
    first, second = tmp_path / "first.jsonl", tmp_path / f"second{suffix}"
    first.write_text("".join(json.dumps(row) + "\n" for row in rows))
    turned = pl.DataFrame(rows[::-1]).select("answer", "question")  # in another order, too
    if suffix == ".json":
        second.write_text(json.dumps(turned.to_dicts()))
    else:
        (turned.write_csv if suffix == ".csv" else turned.write_parquet)(second)
    summaries = [api.sample(of_file(path), tmp_path / "corpus") for path in (first, second)]
    assert [(summary["held"], summary["sampled"]) for summary in summaries] == [(0, 5), (5, 0)]


def of_file(path: Path) -> Recipe:
    data = {"name": "f", "problems": {"source": "file", "path": str(path)}, "teacher": {"kind": "scripted"}}
    return Recipe.model_validate(data)


def test_no_column_with_ids_is_needed_and_one_that_is_there_does_not_matter(tmp_path):
    rows = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "What is 2 + 2?", "answer": "4"}]
    pl.DataFrame(rows).write_parquet(tmp_path / "bare.parquet")
    pl.DataFrame([{"id": 7, **row} for row in rows]).write_parquet(tmp_path / "ids.parquet")
    ids = [
        load_all(of_file(tmp_path / name).problems).problems["problem_id"].to_list()
        for name in ("bare.parquet", "ids.parquet")
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_running_again_writes_where_it_was_told_and_nowhere_else(tmp_path):
    recipe = scripted_recipe(tmp_path)
    api.sample(recipe, tmp_path / "corpus")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    api.sample(recipe, tmp_path / "corpus")
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


# While it runs --------------------------------------------------------------------------------------------


def test_finished_traces_can_be_read_while_the_run_goes_on(tmp_path):
    recipe = scripted_recipe(tmp_path, count=200)
    overrides = ("teacher.delay=0.25", "sample.flush_rows=8")  # 800 traces, 256 at once: one second
    run = threading.Thread(target=api.sample, args=(recipe, tmp_path / "corpus"), kwargs={"overrides": overrides})
    run.start()
    journal, seen = tmp_path / "corpus" / "journal" / "part-000000.jsonl", 0
    while run.is_alive() and not seen:
        if journal.exists() and journal.stat().st_size:
            ask = f"select count(*) from read_json('{journal}', ignore_errors=true) where response is not null"
            seen = duckdb.sql(ask).fetchall()[0][0]
        time.sleep(0.01)
    run.join()
    assert 0 < seen < 800
