"""Workers: a wall around each item, whatever it does; and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from builders.errors import CotmillError
from curation.engine.workers import Failure, TimedOut, Workers
from tests import jobs

ROOT = Path(__file__).parent.parent


def ended(pid: int, within: float = 5.0) -> bool:
    """Whether a process is gone, or will be soon."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_outcomes_come_in_the_order_of_the_items():
    with Workers(jobs.double, seconds=5) as workers:
        assert workers.map(range(3_000)) == [2 * i for i in range(3_000)]


def test_no_items_start_no_process():
    with Workers("no.such.module:at_all", seconds=5) as workers:
        assert workers.map([]) == []


def test_an_exception_is_the_items_own_and_one_line_long():
    with Workers("math:sqrt", seconds=5) as workers:
        assert workers.map([4, -1]) == [2.0, Failure("ValueError", "math domain error")]


def test_an_item_that_hangs_costs_only_itself():
    items = [0.0] * 300
    items[100] = 60.0
    with Workers(jobs.nap, seconds=0.4, processes=2) as workers:
        outcomes = workers.map(items)
    assert outcomes[100] == TimedOut(0.4)
    assert outcomes[:100] + outcomes[101:] == [0.0] * 299


def test_the_wall_stands_around_an_item_and_not_a_batch():
    with Workers(jobs.nap, seconds=0.25, processes=1) as workers:
        assert workers.map([0.0] * 200 + [0.02] * 30) == [0.0] * 200 + [0.02] * 30  # 0.6 s together


def test_the_wall_is_hard_where_the_interpreter_never_gets_its_turn():
    start = time.monotonic()
    with Workers(jobs.power, seconds=0.5, processes=1) as workers:
        assert workers.map([1, 10, 2]) == [11, TimedOut(0.5), 101]
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("segfault", Failure("WorkerDied", "the worker process ended with signal SIGSEGV")),
        ("exit", Failure("WorkerDied", "the worker process ended with exit status 7")),
        ("leave", Failure("SystemExit", "bye")),
    ],
)
def test_an_item_that_ends_its_process_costs_only_itself(how, outcome):
    with Workers(jobs.end, seconds=5, processes=1) as workers:
        assert workers.map(["a", "b", how, "c"]) == ["a", "b", outcome, "c"]


def test_a_worker_that_hangs_up_is_replaced():
    with Workers(jobs.end, seconds=5, processes=1) as workers:
        outcomes = workers.map(["hang up", "a"])
    assert (outcomes[0].kind, outcomes[1]) == ("WorkerDied", "a")


def test_a_worker_that_is_stopped_from_outside_runs_into_the_wall():
    with Workers(jobs.pid, seconds=0.4, processes=1) as workers:
        (first,) = workers.map([0])
        os.kill(first, signal.SIGSTOP)
        assert workers.map([0]) == [TimedOut(0.4)]


def test_a_worker_that_died_idle_costs_nothing():
    with Workers(jobs.pid, seconds=5, processes=1) as workers:
        (first,) = workers.map([0])
        os.kill(first, signal.SIGKILL)
        assert ended(first)
        assert workers.map([0]) != [first]


def test_memory_beyond_the_limit_is_a_failure():
    with Workers(jobs.fill, seconds=5, processes=1, memory=1 << 30) as workers:
        assert workers.map([1, 4_000, 1]) == [1 << 20, Failure("MemoryError", ""), 1 << 20]


def test_what_cannot_be_pickled_is_a_failure():
    with Workers(jobs.local, seconds=5, processes=1) as workers:
        item, result = workers.map([lambda: None, 1])
    assert (type(item), type(result)) == (Failure, Failure)


def test_large_items_and_results_pass():
    text = "x" * 5_000_000
    with Workers(jobs.double, seconds=20, processes=2) as workers:
        assert [len(done) for done in workers.map([text, "", text])] == [10_000_000, 0, 10_000_000]


def test_what_a_function_prints_goes_nowhere_and_there_is_nothing_to_read(capfd):
    with Workers(jobs.talk, seconds=5) as workers:
        assert workers.map(["a"]) == ["a''"]
    assert capfd.readouterr() == ("", "")


def test_start_runs_once_in_a_process():
    with Workers(jobs.starts, seconds=5, processes=1, start=jobs.start) as workers:
        assert workers.map([0, 0]) + workers.map([0]) == [1, 1, 1]


def test_any_thread_may_ask_and_its_end_ends_no_worker():
    said: list[int] = []
    with Workers(jobs.pid, seconds=5, processes=1) as workers:
        for _ in range(2):
            thread = threading.Thread(target=lambda: said.extend(workers.map([0])))
            thread.start()
            thread.join()
            time.sleep(0.1)
    assert said[0] == said[1]


def test_threads_may_share_a_pool():
    said: dict[int, list[int]] = {}
    with Workers(jobs.double, seconds=5, processes=2) as workers:
        threads = [
            threading.Thread(target=lambda i=i: said.update({i: workers.map(range(i, i + 500))})) for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert said == {i: [2 * k for k in range(i, i + 500)] for i in range(4)}


def test_twenty_thousand_trivial_items_a_second():
    with Workers(jobs.double, seconds=5) as workers:
        workers.map(range(100))
        start = time.monotonic()
        workers.map(range(50_000))
        assert time.monotonic() - start < 2.5


@pytest.mark.parametrize("function", [lambda item: item, "__main__:job", "no_colon"])
def test_a_function_that_cannot_be_imported_is_refused_at_once(function):
    with pytest.raises(CotmillError, match="top level of a module"):
        Workers(function, seconds=1)


@pytest.mark.parametrize(
    ("function", "start", "why"),
    [
        ("no_such_module:job", None, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("math:no_such_job", None, "no attribute 'no_such_job'"),
        ("math:sqrt", jobs.refuse, "RuntimeError: no table"),
        ("math:sqrt", "os:abort", "signal SIGABRT"),
    ],
)
def test_workers_that_do_not_start_say_why(function, start, why):
    with Workers(function, seconds=1, start=start) as workers, pytest.raises(CotmillError, match=why):
        workers.map([1])


def test_a_start_that_hangs_has_a_wall_too():
    hanging = Workers("math:sqrt", seconds=1, start="signal:pause", start_seconds=0.5)
    with hanging as workers, pytest.raises(CotmillError, match="it takes too long"):
        workers.map([1])


def test_leaving_ends_the_processes():
    with Workers(jobs.pid, seconds=5, processes=1) as workers:
        (pid,) = workers.map([0])
    assert ended(pid, within=0.5)


def test_what_a_worker_started_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CHILD_PID", str(tmp_path / "pid"))
    with Workers(jobs.child, seconds=0.5, processes=1) as workers:
        assert workers.map([0]) == [TimedOut(0.5)]
    assert ended(int((tmp_path / "pid").read_text()))


UNGUARDED = """
import sys
from curation.engine.workers import Workers
print("once", flush=True)
workers = Workers("tests.jobs:pid", seconds=30, processes=1)
print(*workers.map([0]), flush=True)
"""


def run(script: str, *, as_file: Path | None = None) -> subprocess.Popen[str]:
    if as_file:
        as_file.write_text(script)
    where = [str(as_file)] if as_file else ["-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *where], stdout=subprocess.PIPE, text=True, cwd="/", env=environment)


@pytest.mark.parametrize("name", [None, "script.py"])
def test_a_script_needs_no_guard(tmp_path, name):
    done = run(UNGUARDED, as_file=name and tmp_path / name)
    out = done.communicate(timeout=30)[0].split()
    assert (out[0], len(out), done.returncode, ended(int(out[1]))) == ("once", 2, 0, True)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
@pytest.mark.parametrize("job", ["tests.jobs:nap", "tests.jobs:power"])
def test_kill_9_takes_the_workers_along(job):
    busy = "import threading; threading.Thread(target=lambda: print(*hang.map([30]), flush=True)).start()"
    script = f"{UNGUARDED}\nhang = Workers('{job}', seconds=60, processes=1)\n{busy}\nimport time\n"
    script += "while not (hang._workers and hang._workers[0].ready): time.sleep(0.01)\n"
    script += "print(hang._workers[0].process.pid, flush=True); time.sleep(60)"
    parent = run(script)
    assert parent.stdout
    assert parent.stdout.readline() == "once\n"
    idle, at_work = (int(parent.stdout.readline()) for _ in range(2))
    parent.kill()
    assert ended(idle)
    assert ended(at_work)
    parent.communicate()


def test_ctrl_c_ends_the_work_and_the_pool_goes_on():
    script = """
import os
from curation.engine.workers import Workers
with Workers("tests.jobs:pid", seconds=60, processes=1) as workers:
    print(*workers.map([0]), flush=True)
    try:
        workers.map([0, 50, 50])
    except KeyboardInterrupt:
        print(*workers.map([0]), flush=True)
"""
    parent = run(script)
    assert parent.stdout
    first = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.send_signal(signal.SIGINT)
    second = int(parent.communicate(timeout=20)[0])
    assert first != second
    assert ended(first)
    assert ended(second)
