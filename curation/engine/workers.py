"""Python that may hang, crash or eat memory, run beside us with a hard wall for each item.

A worker is a plain `python -c` that imports one function by its name and talks pickle over a socket: no
`multiprocessing`, so no unguarded script is run twice, and no signals, so any thread may ask. It counts in
shared memory the items it has begun; whoever waits for it watches that count, and kills it when an item
takes too long. So items travel in batches and the wall still stands around each. What a killed worker had
finished but not sent, some hundredths of a second of work, is done again by another.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from builders.errors import CotmillError
from builders.machine import cores
from curation.engine.worker import LENGTH, Failure, failure_of, frame, frames

__all__ = ["Failure", "TimedOut", "Workers", "import_name"]

BATCH_SECONDS: Final = (0.02, 0.1)
"""A batch that took less is followed by one twice as long, one that took more by one half as long."""
BATCH_ITEMS: Final = 1024
BATCH_BYTES: Final = 4 << 20
TICK: Final = 0.05
"""Seconds between two looks at a count: how much later than its wall an item can end."""
PATIENCE: Final = 3
"""Workers in a row that may end before they begin anything."""
BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from curation.engine.worker import serve; serve(sys.argv[2])"
)
ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The item took longer than the wall, and its worker was killed."""

    seconds: float
    """The wall."""


class Workers:
    """Runs one function on many items in processes of their own; a context manager.

    Processes start when first needed, end on leaving or after two idle minutes, and never outlive this process
    (that on Linux; elsewhere a busy one ends with its batch). Threads may share a pool: one is served after the other.
    """

    def __init__(
        self,
        function: str | Callable[[Any], Any],
        *,
        seconds: float,
        processes: int | None = None,
        start: str | Callable[[], Any] | None = None,
        start_seconds: float = 120.0,
        memory: int | None = None,
    ) -> None:
        """Check, and start nothing.

        Args:
            function: `module:qualname`, or a function that has such a name; called with one item, which
                is pickled, as its result is. Asked again for the same item it must say the same.
            seconds: wall time for one item, above 0. Time in which this process itself stood still
                (Ctrl-Z) counts for half a wall at most.
            processes: how many at most; by default one per core.
            start: called once in each process before its first item, such as imports that take long.
            start_seconds: wall time for importing the function and for `start`.
            memory: bytes of address space a process may have (RLIMIT_AS); beyond it, MemoryError.

        Raises:
            CotmillError: the function has no name that another process could import it by.
            ValueError: `seconds` or `processes` is not above 0.
        """
        if not seconds > 0:
            raise ValueError(f"seconds={seconds}: the wall must be above 0")
        if processes is not None and processes < 1:
            raise ValueError(f"processes={processes}: at least one")
        self.function, self.start = import_name(function), start and import_name(start)
        self.processes, self.memory = processes or len(cores()), memory
        self.seconds, self.start_seconds = seconds, start_seconds
        self._workers: list[_Worker] = []
        self._turn = threading.Lock()
        # The kernel kills a worker when the *thread* that started it ends: this one lives as long as the pool.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="workers")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, whatever they are doing. The pool cannot be used afterwards."""
        for worker in self._workers:
            worker.close()
        self._workers = []
        self._starter.shutdown()

    def map(self, items: Iterable[Any]) -> list[Any]:
        """For each item, in order: what the function returned, a `TimedOut` or a `Failure`.

        Raises:
            CotmillError: no process gets ready: the function cannot be imported, or `start` raises or hangs.
        """
        work = _Work([_dump(item) for item in items])
        with self._turn:
            try:
                self._run(work)
            finally:
                for worker in self._workers:
                    if worker.batch:  # left in the middle, by an interrupt or an error
                        worker.close()
                self._workers = [worker for worker in self._workers if worker.alive]
        return work.outcomes

    def _run(self, work: _Work) -> None:
        stillborn, looked = 0, time.monotonic()
        while work.left:
            now = time.monotonic()
            passed, looked = min(now - looked, self.seconds / 2), now
            for worker in self._workers:
                worker.receive(work)
                if late := worker.late(passed):
                    worker.kill()
                    worker.receive(work)
                if worker.alive:
                    continue
                if not worker.ready and (worker.refusal or late or stillborn >= PATIENCE):
                    raise self._no_start(worker)
                began = worker.settle(work, TimedOut(self.seconds) if late else None, blame=stillborn >= PATIENCE)
                stillborn = 0 if began else stillborn + 1
            self._workers = [worker for worker in self._workers if worker.alive]
            while len(self._workers) < min(self.processes, work.left):
                self._workers.append(self._starter.submit(_Worker, self).result())
            for worker in self._workers:
                if worker.ready and not worker.batch and work.waiting:
                    worker.send(work.take(worker.size, self.processes), work.blobs)
            self._wait()

    def _wait(self) -> None:
        """Until a worker says something, or a tick is over."""
        with selectors.DefaultSelector() as ready:
            for worker in self._workers:
                ready.register(worker.socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.unsent else 0))
            ready.select(min(TICK, self.seconds / 4))

    def _no_start(self, worker: _Worker) -> CotmillError:
        end = f"it ends with {worker.end()}" if worker.spent <= self.start_seconds else "it takes too long"
        return CotmillError(
            f"no process for {self.function} gets ready: {worker.refusal or end} (wall {self.start_seconds:g} s)\n"
            f'Try it alone: {sys.executable} -c "import {self.function.partition(":")[0]}"'
        )


class _Work:
    """The items of one call: which wait, and what came of the others."""

    def __init__(self, blobs: list[bytes | Failure]) -> None:
        self.blobs = blobs
        self.outcomes: list[Any] = list(blobs)  # a failure to pickle is an outcome already
        self.waiting = deque(i for i, blob in enumerate(blobs) if isinstance(blob, bytes))
        self.left = len(self.waiting)

    def take(self, size: int, processes: int) -> list[int]:
        """The next items for one worker; fewer towards the end, so that all workers end together."""
        batch: list[int] = []
        room = BATCH_BYTES
        for _ in range(min(size, math.ceil(len(self.waiting) / processes))):
            batch.append(self.waiting.popleft())
            room -= len(self.blobs[batch[-1]])  # type: ignore[arg-type]  # failures never wait
            if room < 0:
                break
        return batch

    def done(self, item: int, outcome: Any) -> None:
        self.outcomes[item] = outcome
        self.left -= 1


class _Worker:
    """One process as seen from here."""

    def __init__(self, pool: Workers) -> None:
        self.seconds, self.start_seconds = pool.seconds, pool.start_seconds
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        with theirs, tempfile.TemporaryFile() as shared:
            shared.truncate(mmap.PAGESIZE)
            self.count = mmap.mmap(shared.fileno(), mmap.PAGESIZE)
            told = {"function": pool.function, "start": pool.start, "memory": pool.memory, "parent": os.getpid()}
            settings = json.dumps({**told, "socket": theirs.fileno(), "count": shared.fileno()})
            out = None if os.environ.get("COTMILL_DEBUG") else subprocess.DEVNULL
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, json.dumps([os.path.abspath(path) for path in sys.path]), settings],
                pass_fds=(theirs.fileno(), shared.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # With one seed, the order of a set of strings does not depend on who got the item.
                env={**ONE_THREAD, **os.environ, "PYTHONHASHSEED": "0"},
                start_new_session=True,  # Ctrl-C is for us, who end them; and what a worker starts ends with it
            )
        self.alive, self.ready, self.refusal = True, False, ""
        self.batch: list[int] = []
        self.told = 0  # items of the batch whose outcome has arrived
        self.before = 0  # the count when the batch was sent
        self.size, self.sent_at = 1, 0.0
        self.seen, self.spent = 0, 0.0
        self.unsent = memoryview(b"")
        self.heard = bytearray()

    def send(self, batch: list[int], blobs: Sequence[bytes | Failure]) -> None:
        """Give a batch to an idle worker."""
        self.batch, self.told, self.before = batch, 0, self._begun()
        self.seen, self.spent, self.sent_at = self.before, 0.0, time.monotonic()
        self.unsent = memoryview(frame([blobs[i] for i in batch]))  # type: ignore[misc]  # failures are not sent
        self._push()

    def receive(self, work: _Work) -> None:
        """Send what is left to send, take in what has arrived, and notice an end."""
        self._push()
        gone = self.process.poll() is not None  # asked first: what it said before is still to be read
        while self.alive:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                if gone:
                    self.close()
                break
            except OSError:
                data = b""
            self.heard += data
            if not data:  # it hung up; a moment to say how it ends
                self.close(1.0)
        for blobs in frames(self.heard):
            if not self.ready:
                self.ready, self.spent, self.refusal = not blobs, 0.0, b"".join(blobs).decode(errors="replace")
            for item, blob in zip(self.batch[self.told :], blobs, strict=False):
                work.done(item, _load(blob))
            self.told += len(blobs)
        if self.batch and self.told == len(self.batch):
            self.batch, self.size = [], _next_size(self.size, time.monotonic() - self.sent_at)

    def late(self, passed: float) -> bool:
        """Whether its item, or its start, has taken too long; `passed`: seconds since the last look."""
        if not self.alive or (self.ready and not self.batch):
            return False
        begun = self._begun()
        self.spent = self.spent + passed if begun == self.seen else 0.0
        self.seen = begun
        return self.spent > (self.seconds if self.ready else self.start_seconds)

    def settle(self, work: _Work, late: TimedOut | None, *, blame: bool) -> bool:
        """Say what became of a dead worker's batch: one item pays, the others wait again.

        Args:
            work: what its batch was taken from.
            late: the outcome of the item it was killed for; None: it died by itself.
            blame: whether an item pays that was sent but not even begun.

        Returns:
            Whether it had begun anything since it was last waited for, or nothing was asked of it.
        """
        if not self.batch:
            return self.ready
        at = self._begun() - self.before - 1
        left, self.batch = self.batch[self.told :], []
        # Killed just when it went on to the next item, it owes nothing for that one.
        guilty = self._begun() == self.seen if late else at >= self.told or blame
        if guilty:
            item = left.pop(max(at - self.told, 0))
            work.done(item, late or Failure("WorkerDied", f"the worker process ended with {self.end()}"))
        work.waiting.extendleft(reversed(left))
        return guilty

    def kill(self) -> None:
        """End the process and what it has started; what it has said can still be received."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.wait()

    def close(self, wait: float = 0.0) -> None:
        """End the process, after `wait` seconds in which it may end by itself, and forget its socket."""
        self.alive = False
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(wait)
        self.kill()
        self.socket.close()

    def end(self) -> str:
        """How the process ended."""
        status = self.process.returncode
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def _begun(self) -> int:
        return int(LENGTH.unpack_from(self.count)[0])

    def _push(self) -> None:
        try:
            while self.unsent and self.alive:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # it is dead; receiving will notice
            self.unsent = memoryview(b"")


def import_name(function: str | Callable[..., Any]) -> str:
    """`module:qualname` of a function.

    Raises:
        CotmillError: no other process can import it by that: a lambda, or defined in a function, script or notebook.
    """
    name = function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
    module, _, qualname = name.partition(":")
    if not (module and qualname) or "<" in qualname or module == "__main__":
        raise CotmillError(
            f"other processes cannot import the function `{name}`: put it at the top level of a module (a file "
            "of its own, not the script or notebook that runs) and name it as module:function"
        )
    return name


def _next_size(size: int, took: float) -> int:
    if took < BATCH_SECONDS[0]:
        return min(size * 2, BATCH_ITEMS)
    return max(size // 2, 1) if took > BATCH_SECONDS[1] else size


def _dump(value: Any) -> bytes | Failure:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # whatever a foreign type's own pickling raises
        return failure_of(error)


def _load(blob: bytes) -> Any:
    try:
        return pickle.loads(blob)
    except Exception as error:
        return failure_of(error)
