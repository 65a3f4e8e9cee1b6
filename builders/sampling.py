"""The sampling loop: keeps teachers busy, judges what comes back, writes it durably.

Each teacher is fed through a bounded window of open requests; an answer frees its slot at once.
Rows go to the journal as they finish, judged or not; judging happens in small batches beside the
loop and serves the display and the stop rule. Nothing is ordered by arrival, so nothing depends
on timing: the ids and the seeds of a run are fixed before the first request.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

import orjson
import polars as pl

from builders.config import SampleConfig
from builders.corpus import Corpus
from builders.errors import RejectedRequest, UnansweredRequest
from builders.feed import Feed, Item
from builders.identity import row_seed
from builders.joint import key_of
from builders.journal import TraceWriter
from builders.schema import TRACES
from builders.teachers import Request, Teacher
from builders.traces import joint_rows, trace_row

Judge = Callable[[pl.DataFrame], pl.Series]
"""Verdicts (String) for rows with the columns JUDGED; `correct` is the one that counts."""

JUDGED = ("response", "answer", "reasoning", "status", "gold", "gold_value", "answer_type", "choices")

TICK = 0.05
"""Seconds between two looks at what waits: rows to judge, rows to flush, figures to show."""

BATCH = 1024
"""Rows judged at once when only the display waits for verdicts; a stop rule waits for a tick at most."""


@dataclass
class Progress:
    """Figures of a run, as they stand. `planned` is None while a stop rule decides."""

    planned: int | None
    held: int = 0
    done: int = 0
    judged: int = 0
    correct: int = 0
    rejected: int = 0
    unanswered: int = 0
    tokens: int = 0
    flushed: int = 0
    interrupted: bool = False
    first_unanswered: str | None = None
    _spent: float = 0.0
    _since: float | None = None

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """While inside, the clock runs."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._spent += time.monotonic() - self._since
            self._since = None

    @property
    def seconds(self) -> float:
        """Spent on sampling so far: neither starting nor stopping an engine counts."""
        return self._spent + (time.monotonic() - self._since if self._since is not None else 0.0)


async def ask(teacher: Teacher, item: Item) -> list[dict[str, Any]]:
    """The rows for `item.each()`, in order; a request that the teacher rejects gives rows too.

    Raises:
        UnansweredRequest: there is no answer this time.
        TeacherError: the teacher is gone.
    """
    problem, prompt, seed = item.problem, item.arm.prompt, row_seed(item.trace_id)
    gold = problem["gold_value"] or problem["gold"]
    messages = list(item.messages) or prompt.messages(problem["question"], problem["choices"], gold)
    request = Request(
        item.trace_id, problem["problem_id"], messages, seed, item.sample_index, problem["gold"], problem, prompt.keys
    )
    asked, completion, error = time.perf_counter(), None, None
    try:
        completion = await teacher.sample(request)
    except RejectedRequest as rejected:
        error = str(rejected)
    said = {
        **{name: problem[name] for name in _FROM_PROBLEM},
        "sample_index": item.sample_index,
        "parent_id": item.parent_id,
        "messages": messages,
        "seed": seed,
        "engine": teacher.engine,
    }
    seconds, cap = time.perf_counter() - asked, item.arm.config.max_tokens
    if not item.traces:
        fixed = {**said, **item.arm.columns, "trace_id": item.trace_id}
        return [trace_row(fixed, completion, max_tokens=cap, seconds=seconds, error=error)]
    several = [{**said, **t.arm.columns, "trace_id": t.trace_id, "call_id": item.trace_id} for t in item.traces]
    keys = [key_of(trace.arm.prompt.level or 0) for trace in item.traces]
    cap *= len(prompt.keys)
    return joint_rows(several, keys, completion, max_tokens=cap, seconds=seconds, error=error)


class Sampler:
    """One run of one or more teachers into one corpus."""

    _writer: TraceWriter
    _unanswered: IO[bytes]
    _wake: asyncio.Event

    def __init__(
        self,
        corpus: Corpus,
        sample: SampleConfig,
        progress: Progress,
        judge: Judge | None = None,
        on_tick: Callable[[Progress], None] | None = None,
        reads: Sequence[str] = JUDGED,
    ) -> None:
        """Make a run; `reads` are the columns that `judge` is given."""
        self._corpus, self._sample, self.progress = corpus, sample, progress
        self._judge, self._on_tick, self._reads = judge, on_tick, reads
        self._unjudged: list[tuple[Feed, Item, Mapping[str, Any]]] = []

    def run(self, feeds: Sequence[tuple[Teacher, Feed]]) -> Progress:
        """Ask everything the feeds hold, then flush.

        Ctrl-C and SIGTERM stop cleanly: requests in flight are dropped, finished ones are saved and
        `progress.interrupted` is set.

        Raises:
            TeacherError: a teacher is gone; what it answered is saved.
            CorpusError: the disk refuses.
        """
        with (
            self._corpus.writing(),
            TraceWriter(
                self._corpus, flush_rows=self._sample.flush_rows, flush_seconds=self._sample.flush_seconds
            ) as self._writer,
            (self._corpus.path / "unanswered.jsonl").open("ab") as self._unanswered,
            asyncio.Runner(loop_factory=_loop_factory()) as runner,
        ):
            runner.run(self._main(feeds))
        self.progress.flushed = self._writer.flushed
        return self.progress

    async def _main(self, feeds: Sequence[tuple[Teacher, Feed]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        with _stopping(task, self.progress):
            try:
                for teacher, feed in feeds:
                    async with teacher:
                        with self.progress.sampling():
                            await self._sample_all(teacher, feed)
            except asyncio.CancelledError:
                if not self.progress.interrupted:
                    raise
            except ExceptionGroup as failures:  # the first one stopped all the others
                raise failures.exceptions[0] from None

    async def _sample_all(self, teacher: Teacher, feed: Feed) -> None:
        """Keep `teacher.window` requests open until the feed is finished."""
        self._wake = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work(teacher, feed)) for _ in range(teacher.window)]
            ticker = group.create_task(self._tick_forever())
            await asyncio.wait(workers)
            ticker.cancel()
        self._tick()
        self._judge_waiting()

    async def _work(self, teacher: Teacher, feed: Feed) -> None:
        while True:
            item = feed.next()
            if item is not None:
                await self._ask(teacher, feed, item)
            elif feed.finished():
                self._wake.set()
                return
            else:  # others are open, and what becomes of them may ask for more
                self._judge_waiting()
                self._wake.clear()
                await self._wake.wait()

    async def _ask(self, teacher: Teacher, feed: Feed, item: Item) -> None:
        try:
            rows = await ask(teacher, item)
        except UnansweredRequest as lost:
            self._note_unanswered(item, teacher, lost)
            for trace in item.each():
                feed.settle(trace, verified=True)  # not asked again in this run
            self._wake.set()
            return
        for trace, row in zip(item.each(), rows, strict=True):
            self._writer.add(row)
            self.progress.done += 1
            self.progress.rejected += row["status"] == "rejected"
            self.progress.tokens += row.get("completion_tokens") or 0
            self._unjudged.append((feed, trace, row))
        if len(self._unjudged) >= BATCH:
            self._judge_waiting()

    def _judge_waiting(self) -> None:
        """Judge the rows that wait and tell their feeds."""
        if not self._unjudged:
            return
        batch, self._unjudged = self._unjudged, []
        if self._judge is None:
            verdicts: Sequence[str] = ["unknown"] * len(batch)
        else:
            columns = {name: [row.get(name) for _, _, row in batch] for name in self._reads}
            schema = {name: TRACES[name] for name in self._reads}
            verdicts = self._judge(pl.DataFrame(columns, schema=schema)).to_list()
            self.progress.judged += len(batch)
        for (feed, item, _), verdict in zip(batch, verdicts, strict=True):
            self.progress.correct += verdict == "correct"
            feed.settle(item, verdict == "correct")
        self._wake.set()

    def _note_unanswered(self, item: Item, teacher: Teacher, error: UnansweredRequest) -> None:
        self.progress.unanswered += 1
        self.progress.first_unanswered = self.progress.first_unanswered or str(error)
        note = {
            "trace_id": item.trace_id,
            "problem_id": item.problem["problem_id"],
            "teacher": teacher.name,
            "error": str(error),
            "attempts": error.attempts,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._unanswered.write(orjson.dumps(note, option=orjson.OPT_APPEND_NEWLINE))
        self._unanswered.flush()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if self._on_tick or self._sample.until or self._sample.gold == "retry":
                self._judge_waiting()
            self._tick()

    def _tick(self) -> None:
        self._writer.poll()
        self.progress.flushed = self._writer.flushed
        if self._on_tick:
            self._on_tick(self.progress)


_FROM_PROBLEM = (
    "problem_id", "question", "choices", "gold", "gold_value", "answer_type", "source", "split",
)  # fmt: skip


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


@contextmanager
def _stopping(task: asyncio.Task[Any], progress: Progress) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM cancel `task` once; a second Ctrl-C kills as usual."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        progress.interrupted = True
        for number in signals:
            loop.remove_signal_handler(number)
        task.cancel()

    try:
        for number in signals:
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
