"""What workers are asked to do in tests; imported in their processes, so it imports little."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from typing import Any

started = 0


def start() -> None:
    """Counts how often it ran in this process."""
    global started
    started += 1


def starts(_: Any) -> int:
    return started


def refuse() -> None:
    raise RuntimeError("no table\nwas found")


def double(item: Any) -> Any:
    return item * 2


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def pid(seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return os.getpid()


def power(exponent: int) -> int:
    """Holds the interpreter's lock for as long as it takes."""
    return len(str(10**10**exponent))


def end(how: str) -> str:
    """Ends this process in the way said, or returns."""
    if how == "segfault":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(7)
    if how == "leave":
        sys.exit("bye")
    if how == "hang up":
        os.closerange(3, 256)
    return how


def fill(mebibytes: int) -> int:
    return len(bytearray(mebibytes << 20))


def local(_: Any) -> Any:
    return lambda: None


def talk(item: str) -> str:
    print(item, flush=True)
    os.write(1, item.encode())
    return item + repr(sys.stdin.read())


def child(_: Any) -> int:
    """Starts a process of its own, and hangs."""
    process = subprocess.Popen(["sleep", "60"])
    with open(os.environ["CHILD_PID"], "w") as file:
        file.write(str(process.pid))
    time.sleep(60)
    return 0
