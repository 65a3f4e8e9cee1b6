"""Which items hang together: connected components of a graph whose edges arrive in portions.

A portion is joined at once, in numpy: a root is the least item of its component, every item knows its root, and a few
rounds hook roots to lesser roots (Shiloach and Vishkin 1982).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Components:
    """Components of the items 0 .. n - 1, at first each its own.

    >>> parts = Components(5)
    >>> parts.join(np.array([3, 1]), np.array([4, 3]))
    >>> parts.roots
    array([0, 1, 2, 1, 1])
    """

    def __init__(self, items: int) -> None:
        self.roots = np.arange(items)
        """int64 [items]: the least item of the component that each item is in."""

    def join(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Add the edges `left[i]` - `right[i]`. Their order does not matter, nor that of portions."""
        a, b = self.roots[left], self.roots[right]
        while len(a):
            lower, higher = np.minimum(a, b), np.maximum(a, b)
            parted = lower != higher
            lower, higher = lower[parted], higher[parted]
            if not len(lower):
                return
            np.minimum.at(self.roots, higher, lower)  # only roots change, and only downwards: no cycle
            self._flatten()
            a, b = self.roots[lower], self.roots[higher]

    def apart(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Bool [pairs]: not (yet) in one component."""
        different: NDArray[np.bool_] = self.roots[left] != self.roots[right]
        return different

    def _flatten(self) -> None:
        while not np.array_equal(flatter := self.roots[self.roots], self.roots):
            self.roots = flatter
