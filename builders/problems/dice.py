"""Draws that depend on nothing but their name: what the built-in problems are made with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws from a hash of its parts: the same on every machine and Python, unrelated for neighbouring parts."""

    def __init__(self, *parts: int | str) -> None:
        self._state = int.from_bytes(blake2b(json.dumps(parts).encode(), digest_size=32).digest(), "big")

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        self._state, rest = divmod(self._state, high - low + 1)
        return low + rest

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.between(0, len(options) - 1)]
