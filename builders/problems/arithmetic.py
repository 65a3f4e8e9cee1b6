"""Chains of operations on whole numbers, each with exact solutions at six levels of granularity.

The solver follows rules, so every line it writes is true. A level says how finely an operation is split:

1  all operations in one line
2  two operations a line
3  an operation a line
4  products split into tens and ones
5  sums and differences split, too
6  and every part is named before it is used, with a stop at the next ten

Levels stand in `meta` as `level_1` ... `level_6`, where teachers of the kind `reference` find them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import orjson
import polars as pl

from builders.config import ArithmeticSource
from builders.problems.dice import Dice
from builders.problems.table import RAW, Loaded, finish

LEVELS: Final = (1, 2, 3, 4, 5, 6)
ATTEMPTS: Final = 200
"""Draws in search of a new problem before a repeated one is let through, to be counted as a duplicate."""
VERBS: Final = {"+": "add", "-": "subtract", "*": "multiply by"}

Step = tuple[str, int]
"""An operation (`+`, `-`, `*`) and its number; the other operand is what came out so far."""


def load_arithmetic(source: ArithmeticSource) -> Loaded:
    """Problems made from (seed, index) alone: a larger count keeps the first ones."""
    chains = list(itertools.islice(_chains(source), source.skip, None))
    raw = pl.DataFrame(
        {
            "question": [question(start, steps) for start, steps in chains],
            "gold": [str(value(start, steps)) for start, steps in chains],
            "source": "arithmetic",
            "meta": [orjson.dumps(_meta(start, steps)).decode() for start, steps in chains],
        }
    )
    missing = [pl.lit(None, RAW[name]).alias(name) for name in ("choices", "letter")]
    return finish(raw.with_columns(missing).select(RAW.names()), split=source.split, answer_type="number")


def question(start: int, steps: list[Step]) -> str:
    """The problem in words.

    >>> question(34, [("*", 6), ("-", 77)])
    'Take 34, multiply by 6, subtract 77.'
    """
    return f"Take {start}, " + ", ".join(f"{VERBS[sign]} {number}" for sign, number in steps) + "."


def value(start: int, steps: list[Step]) -> int:
    """What comes out."""
    for sign, number in steps:
        start = _apply(start, sign, number)
    return start


def trace(start: int, steps: list[Step], level: int) -> str:
    """The solution at one level, 1 coarsest to 6 finest; without the closing line.

    >>> for level in (1, 2, 3, 4, 6):
    ...     print(trace(34, [("*", 6), ("+", 58)], level))
    34 * 6 + 58 = 262.
    34 * 6 + 58 = 262.
    34 * 6 = 204. 204 + 58 = 262.
    30 * 6 = 180. 4 * 6 = 24. 180 + 24 = 204. 204 + 58 = 262.
    34 is 30 and 4. 30 * 6 = 180. 4 * 6 = 24. 24 is 20 and 4. 180 + 20 = 200. 200 + 4 = 204. \
58 is 50 and 8. 204 + 50 = 254. 8 is 6 and 2. 254 + 6 = 260. 260 + 2 = 262.
    """
    width = {1: len(steps), 2: 2}.get(level, 1)
    lines = []
    for first in range(0, len(steps), width):
        together = steps[first : first + width]
        if level <= 3:
            lines.append(f"{_expression(start, together)} = {value(start, together)}.")
        else:
            lines += _split(start, *together[0], level)
        start = value(start, together)
    return " ".join(lines)


def _expression(start: int, steps: list[Step]) -> str:
    """Read from left to right; a product behind a sum needs brackets."""
    text = str(start)
    for i, (sign, number) in enumerate(steps):
        if sign == "*" and i and steps[i - 1][0] != "*":
            text = f"({text})"
        text += f" {sign} {number}"
    return text


def _split(left: int, sign: str, right: int, level: int) -> list[str]:
    if sign == "*":
        return _product(left, right, level)
    if level == 4:
        return [_equation(left, sign, right)]
    return _by_places(left, sign, right, level)


def _product(left: int, right: int, level: int) -> list[str]:
    """`left` by places times `right`, then the sum of the parts."""
    parts = _places(left)
    if len(parts) == 1:
        return [_equation(left, "*", right)]
    named = [f"{left} is {_listed(parts)}."] if level == 6 else []
    lines = named + [_equation(part, "*", right) for part in parts]
    total = parts[0] * right
    for part in parts[1:]:
        lines += [_equation(total, "+", part * right)] if level == 4 else _by_places(total, "+", part * right, level)
        total += part * right
    return lines


def _by_places(left: int, sign: str, right: int, level: int) -> list[str]:
    """`right` added or subtracted place by place, at level 6 with a stop at the next ten."""
    parts = _places(right)
    named = level == 6
    lines = [f"{right} is {_listed(parts)}."] if named and len(parts) > 1 else []
    for part in parts:
        pieces = _around_ten(left, sign, part) if named else [part]
        lines += [f"{part} is {_listed(pieces)}."] if len(pieces) > 1 else []
        for piece in pieces:
            lines.append(_equation(left, sign, piece))
            left = _apply(left, sign, piece)
    return lines


def _around_ten(left: int, sign: str, digit: int) -> list[int]:
    """Ones that cross a ten, in two: up (or down) to the ten, and the rest."""
    ones = left % 10
    to_ten = 10 - ones if sign == "+" else ones
    return [to_ten, digit - to_ten] if digit < 10 and 0 < to_ten < digit else [digit]


def _places(number: int) -> list[int]:
    """The hundreds, tens and ones that are not 0; of 0 itself, 0."""
    text = str(number)
    return [int(digit) * 10 ** (len(text) - 1 - i) for i, digit in enumerate(text) if digit != "0"] or [0]


def _listed(numbers: list[int]) -> str:
    *head, last = map(str, numbers)
    return f"{', '.join(head)} and {last}"


def _equation(left: int, sign: str, right: int) -> str:
    return f"{left} {sign} {right} = {_apply(left, sign, right)}."


def _apply(left: int, sign: str, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


def _meta(start: int, steps: list[Step]) -> dict[str, Any]:
    signs = "".join(sign for sign, _ in steps)
    return {"operations": signs, **{f"level_{level}": trace(start, steps, level) for level in LEVELS}}


def _chains(source: ArithmeticSource) -> Iterator[tuple[int, list[Step]]]:
    seen: set[str] = set()
    for index in range(source.skip + source.count):
        for attempt in range(ATTEMPTS):
            chain = _chain(Dice(source.seed, index, attempt), source)
            if (asked := question(*chain)) not in seen:
                break
        seen.add(asked)
        yield chain


def _chain(dice: Dice, source: ArithmeticSource) -> tuple[int, list[Step]]:
    """A start and `steps` operations, exactly one of them a product; nothing on the way is below 0."""
    start = total = dice.between(2, source.largest)
    steps: list[Step] = []
    product = dice.between(0, source.steps - 1)
    for i in range(source.steps):
        # Before the product a sum stays small enough for it to be one of two digits by one.
        ceiling = source.largest if i < product else 10 * source.largest
        possible = [sign for sign, fits in (("+", ceiling - total >= 2), ("-", total >= 4)) if fits]
        sign = "*" if i == product else dice.pick(possible)
        most = {"*": 9, "+": min(source.largest, ceiling - total), "-": min(source.largest, total - 2)}[sign]
        number = dice.between(2, most)
        steps.append((sign, number))
        total = _apply(total, sign, number)
    return start, steps
