"""Arithmetic as traces write it, evaluated exactly: `4 * 6 - 5 = 19`, and the single operations that it is made of.

Fractions throughout, nothing through floating point. Only what can be proven is given back: an expression with an
unknown in it, a rounded value, an inner result without an end are none. Not here: algebra, percentages, powers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

NUMBER: Final = r"(?:[0-9]{1,15}(?:,[0-9]{3}){0,4}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})"
"""Here and below every repetition is bounded, so that a megabyte of digits or brackets costs linear time."""
MONEY: Final = rf"[$€£₹]?{NUMBER}"
OPERATION: Final = r"(?:\\times|\\cdot|\\div|[-+*/×÷·−–]|(?<=\s)x(?=\s))"
_GAP: Final = r"\s{0,3}"
EXPRESSION: Final = (
    rf"(?:\({_GAP}){{0,4}}{MONEY}(?:(?:{_GAP}\)){{0,4}}{_GAP}{OPERATION}{_GAP}(?:\({_GAP}){{0,4}}{MONEY}){{1,12}}"
    rf"(?:{_GAP}\)){{0,4}}"
)
EQUATION: Final = re.compile(
    rf"(?<![\w.,)\]}}^%$€£₹\\])(?P<left>{EXPRESSION})(?P<equals>{_GAP}={_GAP})(?P<right>[-−]?{MONEY})"
    rf"(?![0-9]|[.,][0-9]|{_GAP}[-+*/×÷·−–^%=(<>]|{_GAP}\\(?:times|cdot|div|%)|{_GAP}\bx\s|[\w])"
)
"""Behind the value no operation goes on and no unit sticks: `= 19%` and `= 19x` mean other numbers."""
BEFORE: Final = re.compile(r"[-+*/×÷·−–<>^]\s*$")
"""What stands before an expression that is only part of a longer one."""

_TOKEN: Final = re.compile(rf"\s*(?:(?P<number>{MONEY})|(?P<operation>{OPERATION})|(?P<bracket>[()]))")
_SIGNS: Final = {
    "\\times": "*",
    "×": "*",
    "·": "*",
    "\\cdot": "*",
    "x": "*",
    "\\div": "/",
    "÷": "/",
    "−": "-",
    "–": "-",
}


class Equation(NamedTuple):
    """An equation found in a text: numbers and operations to the left, one number to the right, and it holds."""

    start: int
    left: str
    right: str
    end: int


@dataclass(slots=True)
class _Node:
    """A number, or an operation on two. Spans are places in the expression; the outer one includes brackets."""

    start: int
    end: int
    outer: tuple[int, int]
    value: Fraction
    currency: str
    parts: tuple[_Node, _Node] | None = None


def true_equations(text: str) -> Iterator[Equation]:
    """Every equation of `text` that holds exactly, in order."""
    for match in EQUATION.finditer(text):
        left, right, start, end = match["left"], match["right"], match.start(), match.end()
        if BEFORE.search(text[max(0, start - 4) : start]):
            continue
        if left.startswith("$") and text[end : end + 1] == "$":  # `$4 * 6 = 24$` is LaTeX, not money
            left, start = left[1:], start + 1
        tree = _parse(left)
        if tree is not None and tree.value == value_of(right):
            yield Equation(start, left, right, end)


def evaluate(expression: str) -> Fraction | None:
    """The exact value of numbers, operations and brackets; None where it is anything else, or divides by zero.

    >>> evaluate("(1 + 2) / 4"), evaluate("2 * x"), evaluate("1 / 0")
    (Fraction(3, 4), None, None)
    """
    tree = _parse(expression)
    return None if tree is None else tree.value


def value_of(number: str) -> Fraction:
    """The value of what `NUMBER` matches, with sign and currency."""
    plain = number.replace(",", "").replace("−", "-")
    return Fraction(re.sub("[$€£₹]", "", plain))


def operands(expression: str) -> list[str]:
    """The numbers of an expression, as it writes them."""
    return re.findall(MONEY, expression)


def single_operations(expression: str) -> tuple[list[str], str] | None:
    """An expression taken apart: equations of one operation each, and the expression that is left for the last one.

    None where it has one operation only, or where an inner result cannot be written as a decimal or has no clear
    currency.

    >>> single_operations("4 * 6 - 5"), single_operations("(1 + 2) / 3 * 2"), single_operations("1 / 3 * 3")
    ((['4 * 6 = 24'], '24 - 5'), (['1 + 2 = 3', '3 / 3 = 1'], '1 * 2'), None)
    """
    done: list[str] = []
    while (tree := _parse(expression)) is not None and tree.parts is not None:
        inner = _first(tree)
        if inner is tree:
            break
        written = spell(inner.value)
        if written is None or inner.currency == "?":
            return None
        written = f"-{inner.currency}{written[1:]}" if written.startswith("-") else inner.currency + written
        done.append(f"{expression[inner.start : inner.end]} = {written}")
        start, end = inner.outer
        shown = f"({written})" if written.startswith("-") and start > 0 else written
        expression = expression[:start] + shown + expression[end:]
    return (done, expression.strip()) if done else None


def spell(value: Fraction) -> str | None:
    """A decimal, digit for digit; None where none ends within nine places.

    >>> spell(Fraction(5, 2)), spell(Fraction(-24)), spell(Fraction(1, 3))
    ('2.5', '-24', None)
    """
    scaled = value * 10**9
    if scaled.denominator != 1:
        return None
    sign, digits = "-" if scaled < 0 else "", f"{abs(scaled.numerator):010d}"
    return f"{sign}{digits[:-9]}.{digits[-9:]}".rstrip("0").rstrip(".")


def _first(node: _Node) -> _Node:
    """The operation that is done first: the leftmost one whose operands are numbers."""
    assert node.parts is not None
    for part in node.parts:
        if part.parts is not None:
            return _first(part)
    return node


def _parse(expression: str) -> _Node | None:
    """The tree of an expression; None where it is none, or divides by zero."""
    tokens, place = [], 0
    while place < len(expression.rstrip()):
        match = _TOKEN.match(expression, place)
        if match is None:
            return None
        tokens.append(
            (str(match.lastgroup), match[str(match.lastgroup)], match.start(str(match.lastgroup)), match.end())
        )
        place = match.end()
    try:
        return _Parser(tokens).all()
    except (_NotArithmetic, ZeroDivisionError, RecursionError):
        return None


class _NotArithmetic(Exception):
    pass


class _Parser:
    """Sums of products of atoms, each level left to right."""

    def __init__(self, tokens: list[tuple[str, str, int, int]]) -> None:
        self._tokens, self._at = tokens, 0

    def all(self) -> _Node:
        node = self._sum()
        if self._at != len(self._tokens):
            raise _NotArithmetic
        return node

    def _sum(self) -> _Node:
        return self._chain("+-", self._product)

    def _product(self) -> _Node:
        return self._chain("*/", self._atom)

    def _chain(self, signs: str, operand: object) -> _Node:
        assert callable(operand)
        node: _Node = operand()
        while (sign := self._sign()) and sign in signs:
            self._at += 1
            node = _apply(sign, node, operand())
        return node

    def _sign(self) -> str:
        if self._at == len(self._tokens) or self._tokens[self._at][0] != "operation":
            return ""
        said = self._tokens[self._at][1]
        return _SIGNS.get(said, said)

    def _atom(self) -> _Node:
        if self._at == len(self._tokens):
            raise _NotArithmetic
        kind, said, start, end = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return _Node(start, end, (start, end), value_of(said), said[0] if said[0] in "$€£₹" else "")
        if kind == "operation" and _SIGNS.get(said, said) == "-" and self._at == 1:  # a minus sign in front of it all
            node = self._atom()
            if node.parts is None and not node.currency:
                return _Node(start, node.end, (start, node.outer[1]), -node.value, "")
            raise _NotArithmetic
        if said != "(":
            raise _NotArithmetic
        negative = self._sign() == "-"
        self._at += negative
        node = self._sum()
        if negative:
            if node.parts is not None:
                raise _NotArithmetic
            node.value, node.start = -node.value, start + 1
        if self._at == len(self._tokens) or self._tokens[self._at][1] != ")":
            raise _NotArithmetic
        close = self._tokens[self._at][3]
        self._at += 1
        node.outer = (start, close)
        return node


def _apply(sign: str, left: _Node, right: _Node) -> _Node:
    match sign:
        case "+":
            value = left.value + right.value
        case "-":
            value = left.value - right.value
        case "*":
            value = left.value * right.value
        case _:
            value = left.value / right.value
    start, end = left.outer[0], right.outer[1]
    return _Node(start, end, (start, end), value, _currency(sign, left.currency, right.currency), (left, right))


def _currency(sign: str, left: str, right: str) -> str:
    """Of a result; `?` where the operands leave it open, as in `$5 + 3`."""
    if "?" in (left, right) or (sign in "+-" and left != right):
        return "?"
    if sign == "*":
        return "?" if left and right else left or right
    if sign == "/":
        if left == right:
            return ""
        return "?" if right else left
    return left
