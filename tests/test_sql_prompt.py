"""The prompt of `cotmill sql DIR`: on a terminal, and from a pipe."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from tests.corpora import corpus_of, trace


@pytest.fixture
def corpus(tmp_path):
    return corpus_of(tmp_path / "c", [trace("a", "x; y"), trace("b", "#### 13")]).path


def piped(corpus, text: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cotmill", "sql", str(corpus)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_pipe_is_answered_query_by_query(corpus):
    done = piped(corpus, "select count(*) as n from traces where response like '%; %';\nselect 40 + 2 as answer")
    assert done.returncode == 0
    assert [line.strip() for line in done.stdout.splitlines()][2::4] == ["1", "42"]


def test_a_pipe_that_writes_is_refused(corpus):
    done = piped(corpus, "create table t as select 1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "never write" in done.stderr


def test_a_terminal_gets_a_prompt(corpus, tmp_path):
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "cotmill", "sql", str(corpus)]
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb", "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    typed = "select count(*)\nas n from traces;\nselect nothing from traces;\n.views\n.quit\n"
    seen = _until(master, b"cotmill> ", b"")
    os.write(master, typed.encode())
    seen = _until(master, None, seen)
    assert process.wait(timeout=20) == 0
    text = seen.decode()
    assert "read-only" in text
    assert "(1 row)" in text
    assert 'error: Binder Error: Referenced column "nothing"' in text
    assert "traces: trace_id, problem_id" in text
    assert "select count(*)" in (tmp_path / ".cotmill_sql_history").read_text()


def _until(master: int, end: bytes | None, seen: bytes) -> bytes:
    """What the terminal shows until `end` comes, or until the program closes it."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit and (end is None or end not in seen):
        if not select.select([master], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(master, 65_536)
        except OSError:  # closed
            break
        if not part:
            break
        seen += part
    return seen
