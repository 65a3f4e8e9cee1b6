"""Starting an engine without a mess: a quiet terminal, an environment left as it was, one clear cause.

vLLM's processes talk on stdout and stderr, change the environment of the process that starts them
(LD_PRELOAD, LOCAL_WORLD_SIZE, TORCHINDUCTOR_COMPILE_THREADS ...), and on failure end in a traceback that
points to another one. `COTMILL_DEBUG=1` lets everything through.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from builders import machine

SPAWN_HINT = 'vLLM starts processes that import your script again: put what runs under\n    if __name__ == "__main__":'
LOG_BYTES = 256 << 10

# "(EngineCore pid=7) ERROR 01-31 12:00:00 [core.py:9] ValueError: too long" -> "ValueError: too long"
_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\) )?(?:(?:ERROR|WARNING|INFO) \S+ \S+ \[[^\]]*\] ?)?")
_CAUSE = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception)\b(?:: .*)?$|^Worker proc .* died unexpectedly")


class EngineLog:
    """What an engine's processes print, kept in an unnamed file for as long as they live."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`, after the engine

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Send file descriptors 1 and 2 into the log, and with them whatever is spawned meanwhile.

        Python's own `sys.stdout` and `sys.stderr` stay on the terminal, so a live display goes on.
        """
        if debugging():
            yield
            return
        # vLLM warns while it is imported, before it has set up logging: without this, on the terminal.
        logging.getLogger("vllm").addHandler(logging.NullHandler())
        sys.stdout.flush()
        sys.stderr.flush()
        with ExitStack() as stack:
            for number, name, redirect in ((1, "stdout", redirect_stdout), (2, "stderr", redirect_stderr)):
                saved = os.dup(number)
                stack.callback(os.close, saved)
                stack.callback(os.dup2, saved, number)
                usual = getattr(sys, name)
                if _descriptor(usual) == number:
                    terminal = stack.enter_context(open(saved, "w", buffering=1, closefd=False))
                    stack.callback(_rebind_logger, terminal, usual)
                    stack.enter_context(redirect(terminal))
                os.dup2(self._file.fileno(), number)
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            yield

    def text(self) -> str:
        """The last 256 KiB. Read without moving the offset, which the engine's processes share."""
        size = os.fstat(self._file.fileno()).st_size
        data = os.pread(self._file.fileno(), LOG_BYTES, max(0, size - LOG_BYTES))
        return data.decode("utf-8", "replace")

    def close(self) -> None:
        """Forget the log."""
        self._file.close()


@contextmanager
def dying_together() -> Iterator[None]:
    """Let an engine started meanwhile die with this process, however that dies.

    vLLM's workers see when the engine's process ends, but that one never sees that kill -9 took whoever asks:
    it would stay, with its cores and its GPU memory, and be in the way of the run that goes on. Linux only.
    """
    from vllm.v1.engine.core import EngineCoreProc

    global _usual
    _usual = EngineCoreProc.run_engine_core
    # vLLM has no setting for this, and what its engine's process runs is looked up under this name.
    EngineCoreProc.run_engine_core = functools.partial(_run_engine, os.getpid())
    try:
        yield
    finally:
        EngineCoreProc.run_engine_core, _usual = staticmethod(_usual), None


_usual: Callable[..., None] | None = None
"""In a process that is forked while an engine starts: what vLLM itself would run."""


def _run_engine(parent: int, *args: object, **kwargs: object) -> None:
    """What the engine's process runs, spawned or forked."""
    from vllm.v1.engine.core import EngineCoreProc

    if not machine.die_with(parent):
        return
    (_usual or EngineCoreProc.run_engine_core)(*args, **kwargs)


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Set what the user has not set, and undo on leaving everything that changed meanwhile."""
    before = dict(os.environ)
    for name, value in changes.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def first_cause(log: str, fallback: BaseException | None = None) -> str:
    """Why an engine failed, in one to four lines.

    `fallback` is what vLLM raised here. Where that only points to another process, the first error in
    the log is the cause; the later ones say that some process has failed.
    """
    if "current process has finished its bootstrapping phase" in log or SPAWN_HINT in log:
        return SPAWN_HINT
    if fallback is not None and "root cause above" not in str(fallback):
        return f"{type(fallback).__name__}: {fallback}"
    lines = [_PREFIX.sub("", line).rstrip() for line in log.splitlines()]
    for i, line in enumerate(lines):
        if _CAUSE.match(line):
            return "\n".join([line, *_continuation(lines[i + 1 :])])
    return "\n".join(lines[-15:]).strip() or "its processes ended without a word"


def debugging() -> bool:
    """Whether the user wants to see everything."""
    return bool(os.environ.get("COTMILL_DEBUG"))


def _continuation(lines: list[str]) -> list[str]:
    """The rest of a message of several lines, as far as it is indented; at most three."""
    taken: list[str] = []
    for line in lines[:3]:
        if not line.startswith(" "):
            break
        taken.append(line)
    return taken


def _rebind_logger(from_stream: object, to_stream: object) -> None:
    """VLLM's logger keeps the stderr it finds when first imported: give it one that stays open."""
    for handler in logging.getLogger("vllm").handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is from_stream:
            handler.setStream(to_stream)


def _descriptor(stream: object) -> int | None:
    """The file descriptor behind a stream; None for one that lives in memory."""
    try:
        return int(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, io.UnsupportedOperation, ValueError):
        return None
