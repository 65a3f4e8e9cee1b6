r"""Equations between numbers as traces write them: where they are, and whether they hold.

`FOUND` takes them out of whole columns, loosely and in linear time; `judge` reads what it took out, exactly.
Units (`5 apples`, `(total)`, `\text{ cm}`), currency, per cent, thousands separators, small powers, `\frac`, chains and
GSM8K's `<<48/2=24>>24` are read. What is not clear is not judged: unknowns, remainders, sums of unlike measures.
Where several readings are possible, an equation counts as right if one of them holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from string import ascii_letters
from typing import Final, NamedTuple

from curation.convert.arithmetic import evaluate, spell

NUMBER: Final = r"(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)"
CURRENCY: Final = r"(?:\\?[$€£₹]\s?)?"
_WORD = r"[A-Za-z]{2,}(?:[/'’-][A-Za-z]+)*"
UNIT: Final = rf"(?:[ \t]?(?:\\text\{{[^{{}}]*\}}|\([A-Za-z][^()0-9=]*\)|{_WORD}(?: {_WORD}){{0,3}}))?"
_POWER = r"(?:\s?\\?%|\^\{?[0-9]{1,2}\}?|[²³])?"
_FRACTION = r"\\[dtc]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}"
_OPEN, _CLOSE = r"(?:(?:\\left)?\([ \t]*)*", r"(?:[ \t]*(?:\\right)?\))*"
ATOM: Final = rf"{_OPEN}[-−–]?(?:{CURRENCY}{NUMBER}{_POWER}{UNIT}|{_FRACTION}){_CLOSE}"
_SIGNS = "-+*/×÷·−–x∗⋅"
OPERATION: Final = rf"(?:\\times|\\cdot|\\div|[{_SIGNS}]|times|plus|minus|(?:multiplied|divided) by|of)"
_GAP = r"(?:[ \t]|\\[,;:! ])*"
EXPRESSION: Final = rf"{ATOM}(?:{_GAP}{OPERATION}{_GAP}{ATOM})*"
LEAD: Final = rf"(?:[A-Za-z0-9_)\]}}]?[ \t]*[{_SIGNS}^]+[ \t]*|[<>≤≥]+[ \t]*|[A-Za-z_\\.,)\]}}^0-9])?"
TRAIL: Final = rf"(?:>>{_GAP}{CURRENCY}{NUMBER}|[A-Za-z^!_(]|{_GAP}[{_SIGNS}%<>]|[.)])?"
FOUND: Final = rf"{LEAD}{EXPRESSION}(?:(?:{_GAP}|\s*&?)={_GAP}{EXPRESSION})+{TRAIL}"
"""An equation, with what sticks to it at either end. No anchors and no look-around: what it matches depends on nothing
before the match, so the places of matches are found again by searching for their texts in order."""

MINUS: Final = ("-", "−", "–")
LONGEST: Final = 400
"""Characters; what is longer is not judged."""
HIGHEST_ITEM: Final = 20
"""Highest list number that is taken off a number it may stick to: `145.5. To ensure` is 145 and item 5."""

CONVERTED: Final = re.compile(
    r"(?i)\b(?:cents?|dollars?|pennies|penny|nickels?|dimes?|quarters?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?"
    r"|months?|years?|decades?|inch(?:es)?|feet|foot|ft|yards?|miles?|mm|cm|km|(?:kilo|centi|milli)?(?:met(?:er|re)|gram|lit(?:er|re))s?"
    r"|kg|mg|ml|lbs?|pounds?|ounces?|oz|tons?|cups?|pints?|quarts?|gallons?|dozens?|pairs?|hundreds?|thousands?|millions?"
    r"|billions?|half|halves|thirds?|fourths?|fifths?|remainder|rem|left|leftover|full|whole|complete|about|approximately"
    r"|roughly|rounded|nearly|almost|or|and|per ?cent(?:age)?|degrees?|am|pm|gives?|is|are|would|will|because)\b"
)
"""Units that are turned into each other, and words that make a number another one: then only what holds counts."""
_PLAINER: Final = (
    (re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:left|right)(?=[()])|\\[,;:! ]|\\?[$€£₹]\s?|&"), ""),
    (re.compile(r"\\times|\\cdot|[×·∗⋅]|\b(?:times|multiplied by)\b|(?<=[0-9)%\s])x(?=[\s0-9($])"), "*"),
    (re.compile(r"\\div|÷|\bdivided by\b"), "/"),
    (re.compile(r"[−–]|\bminus\b"), "-"),
    (re.compile(r"\bplus\b"), "+"),
    (re.compile(r"\s?\\?%"), "%"),
    (re.compile(r"²"), "^2"),
    (re.compile(r"³"), "^3"),
    (re.compile(r"((?:%|[0-9]\s*/\s*[0-9]+\)*|\)\))\s*)of\b"), r"\1*"),  # `20% of 50`, `1/2 of 10`
)
_UNITS: Final = re.compile(r"\\text\{([^{}]*)\}|\(([A-Za-z][^()0-9=]*)\)|([A-Za-z]{2,}(?:[/'’-][A-Za-z]+)*)")
_SIMPLE: Final = re.compile(r"[-+*/0-9.,() ]*")
_RAISED: Final = re.compile(rf"({NUMBER})\^\{{?([0-9]{{1,2}})\}}?")
_NEGATIVE: Final = re.compile(rf"([-+*/]\s*)-\s*({NUMBER})")
_SINGLE: Final = re.compile(rf"\s*(-?\s*{NUMBER})\s*%?\s*")
_OPERATED: Final = re.compile(r"[0-9)%]\s*[-+*/^]")
_GLUED_FRONT: Final = re.compile(r"^\s*([0-9]{1,6})\.([1-9][0-9]*)")
_TWICE: Final = re.compile(r"([^.].{2,60})\.?\1")
"""`158 - 147.158 - 147`: an expression at the end of a sentence, and again at the start of the next."""
_OVER_FRACTION: Final = re.compile(r"/\s*([0-9]+)\s*/\s*([0-9]+)")
_GLUED_BACK: Final = re.compile(r"^(.*[0-9])\.([1-9][0-9]?)$")
_THIRD: Final = re.compile(r"\.[0-9]*(?:33|66|67)(?![0-9])")
_LEADING: Final = re.compile(rf"{LEAD}?(?={EXPRESSION}(?:{_GAP}|\s*&?)=)")
"""As little as possible: `25 + 3` begins with 25, not with a 2 in front of 5."""
_LAST_DIGIT: Final = re.compile(r"(?s).*[0-9](?:\\?%|[)}²³])*")
_SIDE: Final = re.compile(rf"{_GAP}{EXPRESSION}(?:{_GAP}|\s*&?)")
_CHANGES: Final = tuple("^_(") + tuple("0123456789") + tuple(ascii_letters)
"""What makes another number of the one it sticks to."""


OPERATIONS: Final = 4
_PLAIN = r"(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)"
_NAMED = rf"(?: ?(?:\([A-Za-z][^()0-9=]*\)|{_WORD}(?: {_WORD}){{0,3}}))?"
_MORE = ""
for _place in range(OPERATIONS, 0, -1):
    _NEXT = rf" ?(?P<sign{_place}>[-+*/×÷−x]) ?\$?(?P<number{_place}>{_PLAIN}){_NAMED}"
    _MORE = _NEXT + (rf"(?:{_MORE})?" if _MORE else "")
COMMON: Final = (
    rf"^[ <]*\$?(?P<number0>{_PLAIN}){_NAMED}{_MORE} ?= ?\$?(?P<result>-?{_PLAIN})"
    rf"(?:>>\$?(?P<copied>{_PLAIN}))?(?:[.)]|{_NAMED})[ .)]?$"
)
"""What nearly all of `FOUND` is: one equation, up to `OPERATIONS` operations, a number behind it."""
UNJUDGED: Final = r"^[A-Za-z_)\]}^/]|^[^-+*/×÷·−–x∗⋅^²³\\mtdf]*$"
"""What `judge` has nothing to say about: part of something with a name in it, or without any operation."""


class Fault(NamedTuple):
    """A wrong equation, by its place within the text that `FOUND` took out."""

    start: int
    end: int
    value: str
    """What its other side should be: a decimal, or `p/q` where none ends."""


class Judged(NamedTuple):
    """What became of the equations in one text that `FOUND` took out."""

    checked: int
    faults: tuple[Fault, ...] = ()


class _Side(NamedTuple):
    """One side of an equation, in plain ASCII; `value` is None where it is not arithmetic."""

    plain: str
    value: Fraction | None
    operated: bool
    units: str
    stuck: str
    """What follows it immediately."""
    start: int
    end: int
    follows: Fraction | None = None
    """The result that stuck to its front and was taken off."""


@lru_cache(maxsize=100_000)
def judge(found: str) -> Judged:
    """Check every equation of a text that `FOUND` took out; a chain holds several.

    >>> judge("5 apples + 3 apples = 8 apples"), judge("2 * 3 = 5")
    (Judged(checked=1, faults=()), Judged(checked=1, faults=(Fault(start=0, end=9, value='6'),)))
    """
    if len(found) > LONGEST:
        return Judged(0)
    leading = _LEADING.match(found)
    lead = leading[0] if leading else ""
    sign = lead.strip(" \t*<>≤≥+")
    if leading is None or sign not in ("", ".", ",", *MINUS):
        return Judged(0)  # part of something longer, with a name or another number in it
    body, _, copied = found[len(lead) :].partition(">>")  # of GSM8K's calculator
    pieces = body.split("=")
    place, sides = len(lead), []
    for i, piece in enumerate(pieces):
        sides.append(_side(piece, place, whole=i < len(pieces) - 1))
        place += len(piece) + 1
    if sign in MINUS:  # of a negative number; if that does not hold, a bullet
        negative = _side(f"-{pieces[0]}", len(lead) - 1)
        sides[0] = negative if _holds(negative, sides[1]) else sides[0]
    for i in range(1, len(sides)):
        sides[i] = _unglued(sides[i - 1], sides[i])
    verdicts = [(_holds(left, right), left, right) for left, right in pairwise(sides)]
    faults = [Fault(left.start, right.end, _spelt(left, right)) for holds, left, right in verdicts if holds is False]
    if copied and not faults and _differs(sides[-1], copied):
        faults = [Fault(sides[0].start, len(found), _spelt(*sides[-2:]))]
    return Judged(sum(holds is not None for holds, _, _ in verdicts), tuple(faults))


def leading_value(text: str) -> Fraction | None:
    """The value of the arithmetic that a text begins with; None where it begins with none, or goes on with a name.

    >>> leading_value(" 13 books + 8 books. The rest"), leading_value("16 - x")
    (Fraction(21, 1), None)
    """
    side = _side(text[:LONGEST], 0, whole=False)
    return None if side.stuck[:1] in tuple(_SIGNS) else side.value


def _side(piece: str, place: int, whole: bool = True) -> _Side:
    """Read one side, which begins at `place`, and what sticks to its end if that is not the `whole` of it."""
    said = (_SIDE.fullmatch if whole else _SIDE.match)(piece)
    end = said.end() if said else 0
    plain, units = piece[:end].strip(), ""
    if not _SIMPLE.fullmatch(plain):
        for pattern, replacement in _PLAINER:
            plain = pattern.sub(replacement, plain)
        units = " ".join(filter(None, (word for unit in _UNITS.findall(plain) for word in unit)))
        plain = _UNITS.sub(" ", plain).strip()
    # A bracket that opened before the equation, or closes behind it, belongs to the prose.
    while plain.startswith("(") and plain.count("(") > plain.count(")"):
        plain = plain[1:].lstrip()
    while plain.endswith(")") and plain.count(")") > plain.count("("):
        plain = plain[:-1].rstrip()
    start = place + len(piece) - len(piece.lstrip())
    stuck = piece[end:].strip()
    if piece[end : end + 1].isspace() and stuck[:1].isalnum():
        stuck = ""  # the next sentence
    value = None if not said or stuck[:1] in _CHANGES else _value(plain)
    last = _LAST_DIGIT.match(piece[:end])
    end = place + (last.end() if last else end)
    return _Side(plain, value, bool(_OPERATED.search(plain)), units, stuck, start, end)


def _differs(result: _Side, copied: str) -> bool:
    """Whether the number behind `>>` is another one than the calculator's."""
    said = re.search(NUMBER, copied)
    value = evaluate(said[0]) if said else None
    return value is not None and result.value is not None and value != abs(result.value)


def _value(plain: str) -> Fraction | None:
    spread = _RAISED.sub(_product, plain)
    spread = re.sub(rf"({NUMBER})\s*%", r"(\1/100)", spread)
    return evaluate(_NEGATIVE.sub(r"\1(-\2)", spread))


def _product(raised: re.Match[str]) -> str:
    power = int(raised[2])
    return f"({'*'.join([raised[1]] * power)})" if 1 <= power <= 12 else "?"


def _unglued(left: _Side, right: _Side) -> _Side:
    """Without the result of the left side where the next equation sticks to it: `28 + 82 = 110110 - 30 = 80`."""
    if left.value is None or not (left.operated and right.operated):
        return right
    result = spell(left.value)
    plain = right.plain.removeprefix(result) if result else right.plain
    if plain == right.plain or not plain[0].isdigit() or _agree(left, right):
        return right
    return right._replace(plain=plain, value=_value(plain), follows=left.value)


def _holds(left: _Side, right: _Side) -> bool | None:
    """Whether two sides of an equals sign agree; None where nothing is calculated, or it is not clear what."""
    if left.value is None or right.value is None or not (left.operated or right.operated):
        return None
    if right.follows == left.value:
        return True
    if _agree(left, right) or any(_agree(a, b) for a, b in _otherwise_read(left, right)):
        return True
    label = not left.operated  # `Week 4 = 48 + 48`, `5 friends = 250 / 5`
    percent_of_what = "%" in left.plain + right.plain and re.search(r"[-+]", left.plain + right.plain)
    goes_on = right.stuck[:1] and right.stuck[:1] not in ".)!=>"
    if label or percent_of_what or goes_on or CONVERTED.search(f"{left.units} {right.units}"):
        return None
    return False


def _otherwise_read(left: _Side, right: _Side) -> Iterator[tuple[_Side, _Side]]:
    """Without what may stick to the first number or to the last one; `2 / 1/5` as `2 / (1/5)`."""
    readings = []
    if (front := _GLUED_FRONT.match(left.plain)) and (int(front[1]) <= HIGHEST_ITEM or len(front[2]) > 1):
        readings.append(left.plain[front.start(2) :])
    if twice := _TWICE.fullmatch(left.plain):
        readings.append(twice[1])
    if _OVER_FRACTION.search(left.plain):
        readings.append(_OVER_FRACTION.sub(r"/(\1/\2)", left.plain))
    for plain in readings:
        yield left._replace(plain=plain, value=_value(plain), operated=bool(_OPERATED.search(plain))), right
    if right.stuck[:1] in (".", ")") and right.stuck and not right.operated:
        shorter = [right.plain[:-1], right.plain[:-2]] if right.plain.lstrip("-").isdigit() else []
        if (back := _GLUED_BACK.match(right.plain)) and int(back[2]) <= HIGHEST_ITEM:
            shorter.append(back[1])
        for plain in shorter:
            yield left, right._replace(plain=plain, value=_value(plain))


def _agree(left: _Side, right: _Side) -> bool:
    if left.value is None or right.value is None:
        return False
    if not left.operated:
        left, right = right, left
    assert left.value is not None
    said = _SINGLE.match(right.plain)
    if right.operated:
        # `5 + 3 = 8 - 2 = 6` says, of its first equals sign, no more than that 5 + 3 is 8.
        return left.value == right.value or (said is not None and _near(left.value, said[1], left.plain))
    if said is None:
        return False
    percent = "%" in left.plain or "%" in right.plain
    meant = (left.value, left.value * 100, left.value / 100) if percent else (left.value,)
    return any(_near(value, said[1], left.plain) for value in meant)


def _near(value: Fraction, said: str, operands: str) -> bool:
    """Whether a number says a value, to the precision with which it is written.

    A decimal may be rounded or cut off at its last place. A whole number may be rounded where the value does not end
    within two decimals (10 / 3 = 3, but not 7 / 2 = 4), or by one per cent where an operand is a rounded third
    (3.33 * 3 = 10).
    """
    written = Fraction(said.replace(",", "").replace(" ", ""))
    off, places = abs(value - written), len(said.partition(".")[2])
    if off == 0:
        return True
    if places:
        unit = Fraction(1, 10**places)
        return 2 * off <= unit or (off < unit and 0 <= written / value < 1)
    endless = (value * 100).denominator != 1
    return (endless and 2 * off <= 1) or (bool(_THIRD.search(operands)) and 100 * off <= abs(written))


def _spelt(left: _Side, right: _Side) -> str:
    value = left.value if left.operated else right.value
    assert value is not None
    return spell(value) or str(value)
