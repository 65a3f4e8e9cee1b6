"""Results go to stdout, everything else to stderr; scripts depend on it.

vLLM, TRL and the programs they start print where they like. While a command runs, file descriptor
1 therefore is stderr, and the real stdout is kept aside for the one thing that belongs there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def only_results() -> Iterator[None]:
    """Send whatever writes to stdout to stderr, except `result`."""
    global _results
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    _results = kept
    try:
        yield
    finally:
        sys.stdout.flush()
        _results = None
        os.dup2(kept, 1)
        os.close(kept)


def result(text: str) -> None:
    """Write one result and a newline to the real stdout."""
    data = (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace")
    if _results is None:
        sys.stdout.write(data.decode())
        sys.stdout.flush()
        return
    while data:
        data = data[os.write(_results, data) :]


def result_json(value: Any) -> None:
    """Write the one JSON object that `--json` promises."""
    result(json.dumps(value, ensure_ascii=False, default=str))


def in_colour() -> bool:
    """Whether results go to a terminal that may be coloured (https://no-color.org)."""
    return os.isatty(1 if _results is None else _results) and not os.environ.get("NO_COLOR")


def say(text: str) -> None:
    """Write a line for people to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the one place that prints


_results: int | None = None
