r"""Whether two answers are equal by algebra; runs in a worker, one pair at a time.

math-verify parses and compares; we ask it about one part at a time and believe its no. Its yes has to pass
checks of our own, as it also says yes to `1/2004!` and `1/2006!` (both round to 0), to one of two required values,
to `5` for `2x+1=5`, and to `1e-7` for `2e-7`. It is called without its timeouts, which are signals: the wall is
the worker's. Its patterns for plain text are not used: they end in `eval`.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal

from curation.verification.formulas import Formula, Part, read

Verdict = Literal["correct", "incorrect", "unparseable"]

NO_ALGEBRA: Final = ("choice", "boolean")
"""Answer types that are not compared by value here."""
ROUNDED: Final = Fraction(2, 1_000_000)
"""How far a decimal may lie from the value it rounds, relative to it: six digits, as math-verify has it."""
EXACT: Final = Fraction(1, 10**25)
"""How far two exact values may lie apart when both are worked out to 40 digits."""
NUMERAL: Final = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
POINTS: Final = ("17/13", "31/11", "5/7", "43/19")
"""Where formulas with unknowns are compared; one after the other for the unknowns in their order."""


class Unreadable(Exception):
    """Algebra cannot read an answer."""


def judge(pair: tuple[str, str, str]) -> Verdict:
    """Compare a gold answer with an answer.

    Args:
        pair: gold, answer and answer type. The order matters: `x = 5` is an answer to `5`, and what is
            gold decides what is asked for.

    Returns:
        `unparseable` where either is no formula, or one that is too long, deep or large to touch.
    """
    gold, answer, kind = pair
    if kind in NO_ALGEBRA:
        return "unparseable"
    wanted, given = read(gold), read(answer)
    if wanted is None or given is None:
        return "unparseable"
    try:
        return "correct" if _same_formula(wanted, given) else "incorrect"
    except Unreadable:
        return "unparseable"


def warm_up() -> None:
    """Import what takes long, and let the parser build its tables."""
    judge((r"\frac{x}{2}=1", r"2\cdot\frac{x}{4}=1", "latex"))


def _same_formula(gold: Formula, answer: Formula) -> bool:
    for part in (*gold.parts, *answer.parts):  # unreadable wins over different: nothing is known then
        _parse_part(part)
    if any(part.relation and not _says_something(part) for part in gold.parts):
        raise Unreadable("gold")
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    if gold.shape != answer.shape and not {gold.shape, answer.shape} <= {"", "{}"}:
        return _same_range(gold, answer)
    if len(gold.parts) != len(answer.parts) or not _same_names(gold, answer):
        return False
    if gold.shape not in ("", "{}") or len(gold.parts) == 1:
        return all(_same_part(a, b) for a, b in zip(gold.parts, answer.parts, strict=True))
    return _pair_up(list(gold.parts), list(answer.parts))


def _same_names(gold: Formula, answer: Formula) -> bool:
    """`x = 5` and `5` agree; `x = 5` and `y = 5` do not, nor `x = 1, y = 2` and `1, 2`."""
    if not answer.names:
        return len(set(gold.names)) <= 1
    if not gold.names:
        return len(set(answer.names)) <= 1
    return sorted(set(gold.names)) == sorted(set(answer.names))


def _pair_up(gold: list[Part], answer: list[Part]) -> bool:
    """Whether each gold part has an equal part of its own, in any order."""
    if not gold:
        return not answer
    first, *rest = gold
    named = [other for other in answer if not (first.name and other.name) or first.name == other.name]
    # Equality is transitive but for rounding, so the first that fits will do.
    for other in named:
        if _same_part(first, other):
            left = list(answer)
            left.remove(other)
            return _pair_up(rest, left)
    return False


def _same_part(gold: Part, answer: Part) -> bool:
    if gold.relation != answer.relation and "=" in (gold.relation, answer.relation):
        for named, other in ((gold, answer), (answer, gold)):
            if named.name and _parse(named.text).free_symbols:  # `y = 2x + 1`; `x = 5` is no answer to `2x = 10`
                return _same_equation(f"{named.name}={named.text}", other.text)
    if gold.relation != answer.relation:
        return _stated(gold, answer) or _same_range_part(gold, answer)
    if gold.relation == "=":
        return _same_equation(gold.text, answer.text)
    if gold.relation == "<":
        return _same_inequality(gold.text, answer.text)
    if gold.name and answer.name and gold.name != answer.name:
        return False
    return _same_value(gold.text, answer.text)


def _stated(gold: Part, answer: Part) -> bool:
    """`2 + 3 = 5` answers `5`: an equation without unknowns that holds."""
    if gold.relation or answer.relation != "=":
        return False
    left, right = answer.text.split("=")
    return not _parse(left).free_symbols and _same_value(left, right) and _same_value(gold.text, right)


def _same_value(gold: str, answer: str) -> bool:
    if NUMERAL.fullmatch(gold) and NUMERAL.fullmatch(answer):
        return Fraction(gold) == Fraction(answer)
    a, b = _parse(gold), _parse(answer)
    # Ours first: a few numbers tell most differences apart, where math-verify would simplify for long.
    return _same_case(gold, answer) and _confirmed(a, b) and _math_verify(a, b)


def _same_case(gold: str, answer: str) -> bool:
    """Whether no unknown is `x` here and `X` there; math-verify reads all as `x`."""
    ours, theirs = (set(re.sub(r"\\[A-Za-z]+", "", text)) for text in (gold, answer))
    return not any(sign.isalpha() and sign.swapcase() in theirs - ours for sign in ours - theirs)


def _confirmed(a: Any, b: Any) -> bool:
    """Our own look at two values: what it does not take to be equal is not, whatever math-verify says."""
    import sympy  # type: ignore[import-untyped]

    if a == b:
        return True
    finite = (sympy.FiniteSet, sympy.Tuple)
    if isinstance(a, sympy.MatrixBase) or isinstance(b, sympy.MatrixBase):
        return (
            isinstance(a, sympy.MatrixBase)
            and isinstance(b, sympy.MatrixBase)
            and a.shape == b.shape
            and all(_confirmed(x, y) for x, y in zip(a.flat(), b.flat(), strict=True))
        )
    if isinstance(a, sympy.Set) or isinstance(b, sympy.Set):
        return all(isinstance(side, sympy.Set) and not isinstance(side, finite) for side in (a, b))
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return False
    allowed = ROUNDED if a.has(sympy.Float) or b.has(sympy.Float) else EXACT
    unknowns = sorted(a.free_symbols | b.free_symbols, key=str)
    points = [sympy.Rational(point) for point in POINTS]
    for first in range(3 if unknowns else 1):
        at = {name: points[(first + i) % len(points)] + i // len(points) for i, name in enumerate(unknowns)}
        if not _near(a.subs(at), b.subs(at), allowed):
            return False
    return True


def _near(a: Any, b: Any, allowed: Fraction) -> bool:
    """Whether two expressions without unknowns are the same number, relative to its size."""
    import sympy

    x, y = sympy.N(a.doit(), 40, maxn=2000), sympy.N(b.doit(), 40, maxn=2000)
    if not (x.is_number and y.is_number) or not (x.is_finite and y.is_finite):
        return False
    size = max(abs(x), abs(y))
    return bool(abs(x - y) <= sympy.Rational(allowed.numerator, allowed.denominator) * size) if size else True


def _same_equation(gold: str, answer: str) -> bool:
    """Whether two equations say the same: one is the other times a number that is not 0."""
    import sympy

    (a, b), (c, d) = ((_parse(side) for side in text.split("=")) for text in (gold, answer))
    if not all(isinstance(side, sympy.Expr) for side in (a, b, c, d)):
        return False
    return _scale(a - b, c - d, "=")


def _scale(a: Any, b: Any, sign: str) -> bool:
    """Whether one difference is the other times a number, which must be above 0 for an order."""
    import sympy

    one, other = sympy.expand(a), sympy.expand(b)
    if one.free_symbols != other.free_symbols or not one.free_symbols:
        return False
    ratio = sympy.simplify(one / other)
    if ratio.free_symbols or not ratio.is_finite or ratio == 0:
        return False
    return bool(ratio > 0) if sign.startswith("<") else True


def _same_inequality(gold: str, answer: str) -> bool:
    """Whether two inequalities, or chains of them, say the same, link by link, forwards or backwards.

    A link is the other times a number above 0, both put as `difference < 0`; `x^2 < 4` and `-2 < x < 2` are not.
    """
    one, other = _links(_parse(gold)), _links(_parse(answer))
    return len(one) == len(other) > 0 and any(
        all(sign == sign_ and _scale(a, b, sign) for (sign, a), (sign_, b) in zip(one, way, strict=True))
        for way in (other, other[::-1])
    )


def _links(relation: Any) -> list[tuple[str, Any]]:
    """Sign and left side of each link as `side < 0`, `side <= 0` or `side != 0`; none where it is something else."""
    from sympy.core.relational import Relational  # type: ignore[import-untyped]

    # math-verify's `And` keeps the order in which the links were written.
    links = [relation] if isinstance(relation, Relational) else list(getattr(relation, "_unsorted_args", ()))
    if not all(isinstance(link, Relational) and link.rel_op in ("<", "<=", ">", ">=", "!=") for link in links):
        return []
    return [
        (link.rel_op.replace(">", "<"), link.rhs - link.lhs if link.rel_op.startswith(">") else link.lhs - link.rhs)
        for link in links
    ]


def _same_range(gold: Formula, answer: Formula) -> bool:
    """`1 < x < 2` and `(1, 2)`: an inequality on one side and an interval on the other."""
    return _same_range_part(_whole(gold), _whole(answer))


def _same_range_part(gold: Part, answer: Part) -> bool:
    import sympy

    if {gold.relation, answer.relation} != {"<", ""}:
        return False
    order, interval = (gold, answer) if gold.relation else (answer, gold)
    a, b = _parse(order.text), _parse(interval.text)
    if not isinstance(b, sympy.Set) or isinstance(b, sympy.FiniteSet) or len(a.free_symbols) != 1:
        return False
    return bool(a.as_set() == b)


def _whole(formula: Formula) -> Part:
    if len(formula.shape) != 2 or formula.shape == "{}":
        return formula.parts[0] if len(formula.parts) == 1 else Part("", "=", "")
    return Part("", "", formula.shape[0] + ",".join(part.text for part in formula.parts) + formula.shape[1])


def _parse_part(part: Part) -> None:
    if part.relation == "=":
        for side in part.text.split("="):
            _parse(side)
    else:
        _parse(part.text)


def _says_something(part: Part) -> bool:
    """Whether a relation is about something: `1 = 1` and `x < x` are about nothing."""
    import sympy

    if part.relation == "=":
        left, right = map(_parse, part.text.split("="))
        return not isinstance(left, sympy.Expr) or bool(sympy.expand(left - right).free_symbols)
    return all(sympy.expand(difference).free_symbols for _, difference in _links(_parse(part.text)))


@lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """The one expression that a text is.

    Raises:
        Unreadable: it is none, several, or has no value.
    """
    import sympy

    found = _math_verify_parse(text)
    one = found[0] if len(found) == 1 else None
    if not isinstance(one, (sympy.Basic, sympy.MatrixBase)) or one.has(sympy.nan, sympy.zoo):
        raise Unreadable(text)
    return one


def _math_verify_parse(text: str) -> list[Any]:
    from latex2sympy2_extended import NormalizationConfig  # type: ignore[import-untyped]
    from math_verify import LatexExtractionConfig, parse

    _silence()
    spelling = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
    latex = LatexExtractionConfig(boxed_match_priority=-1, normalization_config=spelling)
    # The first match is all of the text: no other may be tried, as it would be a piece of it.
    found: list[Any] = parse(
        f"${text}$",
        extraction_config=[latex],
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,  # off: it is a signal, and the wall is the worker's
    )
    return found


def _math_verify(gold: Any, answer: Any) -> bool:
    from math_verify import verify

    return bool(verify(gold, answer, timeout_seconds=None))


@lru_cache(maxsize=1)
def _silence() -> None:
    """math-verify warns that its timeouts are off."""
    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.ERROR)
