"""The process behind `curation.engine.workers`: answers batches of pickled items until whoever asks is gone.

Imports little, as every worker pays for it. The count of items begun lies in shared memory, where the asker
reads it even while this process does not get to say anything.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import pickle
import resource
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from builders import machine

FRAME: Final = struct.Struct("<QQ")
"""Before each message: how many blobs it has, and how many bytes follow."""
LENGTH: Final = struct.Struct("<Q")
"""Before each blob: its bytes; and the count in shared memory."""
FLUSH: Final = 0.02
"""Seconds of work that may be lost, and done again, when a worker is killed."""
IDLE: Final = 120.0
"""Seconds after which a worker without work ends by itself."""
TEXT: Final = 300
"""Characters of an exception that are kept."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An item raised, or took its worker with it (kind `WorkerDied`)."""

    kind: str
    """Name of the exception's type."""
    text: str
    """Its first line, at most 300 characters."""


def serve(said: str) -> None:
    """Run as a worker; `said`: JSON object, see `curation.engine.workers`."""
    settings = json.loads(said)
    if not machine.die_with(settings["parent"]):
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if settings["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (settings["memory"], settings["memory"]))
    line = socket.socket(fileno=settings["socket"])
    count = mmap.mmap(settings["count"], mmap.PAGESIZE)
    line.set_inheritable(False)
    os.close(settings["count"])
    try:
        function = _import(settings["function"])
        if settings["start"]:
            _import(settings["start"])()
    except BaseException as error:  # also SystemExit: a module may end its process
        failure = failure_of(error)
        line.sendall(frame([f"{failure.kind}: {failure.text}".encode()]))
        return
    line.sendall(frame([]))
    begun, heard = 0, bytearray()
    while select.select([line], [], [], IDLE)[0] and (data := line.recv(1 << 20)):
        heard += data
        for blobs in frames(heard):
            begun = _answer(function, blobs, line, count, begun)


def _answer(
    function: Callable[[Any], Any], blobs: Sequence[bytes], line: socket.socket, count: mmap.mmap, begun: int
) -> int:
    """Answer one batch, and say how many items were begun since the start of the process."""
    done: list[bytes] = []
    sent = time.monotonic()
    for blob in blobs:
        if done and time.monotonic() - sent > FLUSH:  # the next item may be our last
            line.sendall(frame(done))
            done, sent = [], time.monotonic()
        begun += 1
        LENGTH.pack_into(count, 0, begun)
        try:
            answer = pickle.dumps(function(pickle.loads(blob)), pickle.HIGHEST_PROTOCOL)
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: they are the item's
            answer = pickle.dumps(failure_of(error))
        done.append(answer)
    line.sendall(frame(done))
    return begun


def failure_of(error: BaseException) -> Failure:
    """An exception as data."""
    try:
        text = str(error).strip()
    except Exception:  # a foreign __str__
        text = ""
    return Failure(type(error).__name__, text.partition("\n")[0][:TEXT])


def frame(blobs: Sequence[bytes]) -> bytes:
    """One message."""
    body = b"".join(part for blob in blobs for part in (LENGTH.pack(len(blob)), blob))
    return FRAME.pack(len(blobs), len(body)) + body


def frames(heard: bytearray) -> Iterator[list[bytes]]:
    """The blobs of each whole message in `heard`, which loses them."""
    while len(heard) >= FRAME.size:
        number, size = FRAME.unpack_from(heard)
        if len(heard) < FRAME.size + size:
            return
        blobs, at = [], FRAME.size
        for _ in range(number):
            (length,) = LENGTH.unpack_from(heard, at)
            at += LENGTH.size
            blobs.append(bytes(heard[at : at + length]))
            at += length
        del heard[:at]
        yield blobs


def _import(name: str) -> Callable[..., Any]:
    module, _, qualname = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
