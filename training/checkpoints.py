"""Which checkpoints can be gone on from. A kill may come in the middle of writing one.

The Trainer writes a checkpoint file by file into its final place. When all are there, a list of them
with their sizes is put beside them; a checkpoint without the list, or that does not match it, is torn.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from builders.disk import write_json

WHOLE: Final = "whole.json"


def mark_whole(checkpoint: Path) -> None:
    """Say that all of `checkpoint` is written."""
    write_json(checkpoint / WHOLE, _sizes(checkpoint))


def last_whole(folder: Path, log: Callable[[str], None], *, delete: bool = True) -> Path | None:
    """The latest whole checkpoint in `folder`; torn ones are skipped with a message, and deleted."""
    whole = []
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_step):
        if is_whole(checkpoint):
            whole.append(checkpoint)
        else:
            log(f"checkpoint {checkpoint.name} was cut off while being written: skipped")
            if delete:
                shutil.rmtree(checkpoint, ignore_errors=True)
    return whole[-1] if whole else None


def is_whole(checkpoint: Path) -> bool:
    """Whether `checkpoint` holds every byte it was marked whole with."""
    try:
        listed = orjson.loads((checkpoint / WHOLE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return bool(listed == _sizes(checkpoint))


def _sizes(checkpoint: Path) -> dict[str, int]:
    files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != WHOLE)
    return {p.relative_to(checkpoint).as_posix(): p.stat().st_size for p in files}


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
