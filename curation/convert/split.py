"""Finer without a model: what one step does at once is done in several, as far as that can be proven.

Two things are split. An operation on more than two numbers, `4 * 6 - 5 = 19`, where it holds exactly: the inner
operations come first, each an equation of its own, and their results take their place. A sentence of several clauses,
at a semicolon, before `so`, between two equations. No word is added but `First` and `Next`, and no number but results
that their own equation proves.
"""

from __future__ import annotations

import re
from typing import Final

from curation.convert.anatomy import LABEL, Anatomy, NoChild
from curation.convert.arithmetic import single_operations, true_equations

VERSION: Final = 1
LONGEST: Final = 2_000
"""Characters of a step that is looked into; longer ones are no sentences."""

CUTS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r";\s+(?=\S)",
        r",?\s+(?:and\s+)?(?=(?:so|therefore|thus|hence)\b,?\s+(?!that\b|many\b|much\b|far\b|long\b|as\b|on\b))(?<=,\s)",
        r",\s+(?:and\s+)?(?=then\b)",
        r"(?<=[0-9]),?\s+and\s+(?=[$€£(]?[0-9][0-9.,]*\s*[-+*/×÷])",
        r",\s+and\s+(?=(?:he|she|it|they|we|there|this|that|these|those|you|I)\s)",
        r"(?<=[0-9]),\s+(?=[A-Za-z](?:_\w{1,3})?\s*=\s)",
    )
)
"""Where a sentence may be cut; what is matched goes, a full stop comes."""
CONDITION: Final = re.compile(
    r"(?i)\s*(?:if|when|once|since|because|as|after|before|while|given|suppose|let|for|in|to|by|although|though|until)\b"
)
"""A sentence that begins so has a first half that is none by itself."""
ATTACHED: Final = re.compile(
    r"(?i)\b(?:if|when|because|since|that|which|who|where|while|although|than|as|of|and|or)\s*$"
)
MONEY: Final = re.compile(r"\$[0-9][0-9.,]*(?=[\s.,;:)?!]|$)")


def split(trace: Anatomy, low: int, high: int) -> Anatomy:
    """A trace with at least `low` steps: operations are taken apart first, then sentences.

    Raises:
        NoChild: it has so many already, or nothing that is provably the same has.
    """
    count = trace.count()
    if count >= low:
        raise NoChild("in the band already" if count <= high else "more steps than the band")
    blocks = [list(block) for block in trace.blocks()]
    for finer in (_operations, _clauses):
        for block in blocks:
            place = 0
            while place < len(block) and count < low:
                pieces = finer(block[place])
                if pieces is None or count + len(pieces) - 1 > high:
                    place += 1
                    continue
                block[place : place + 1] = pieces
                count += len(pieces) - 1
                # Clauses come off one at a time: the rest is looked at again.
                place += len(pieces) if finer is _operations else 0
    if count < low:
        raise NoChild("too little to split")
    return trace.having(tuple(blocks[0]), tuple(blocks[1]))


def _operations(step: str) -> list[str] | None:
    """The inner operations of the first equation that has some, then the step with what is left of it."""
    if len(step) > LONGEST or "<<" in step:
        return None
    for equation in true_equations(step):
        if found := single_operations(equation.left):
            done, left = found
            latex = "\\" in equation.left
            firsts = [_sentence(number, text, latex) for number, text in enumerate(done)]
            label = match[0] if (match := LABEL.match(step)) else ""
            rest = step[len(label) : equation.start] + left + step[equation.start + len(equation.left) :]
            firsts[0] = label + firsts[0]
            return [*firsts, rest]
    return None


def _sentence(number: int, equation: str, latex: bool) -> str:
    written = f"${equation}$" if latex else equation
    return f"{'First' if number == 0 else 'Next'}, {written}. "


def _clauses(step: str) -> list[str] | None:
    """The step as two, at the first place where both halves are sentences; None where there is none."""
    if len(step) > LONGEST:
        return None
    label = match[0] if (match := LABEL.match(step)) else ""
    places = sorted((m.span() for cut in CUTS for m in cut.finditer(step, len(label))), key=lambda span: span[0])
    for start, end in places:
        left, right = step[:start], step[end:]
        if _whole(left[len(label) :], right):
            return [f"{left.rstrip()}. ", right[:1].upper() + right[1:] if _is_word(right) else right]
    return None


def _whole(left: str, right: str) -> bool:
    """Whether both halves can stand alone: nothing left open, no half condition, an equation or three words each."""
    if left.count("(") != left.count(")") or left.count("[") != left.count("]") or left.count('"') % 2:
        return False
    if MONEY.sub("", left).count("$") % 2 or CONDITION.match(left) or ATTACHED.search(left):
        return False
    return all("=" in half or len(half.split()) >= 3 for half in (left, right)) and left[-1:] not in ":,;="


def _is_word(text: str) -> bool:
    """Not a variable: `x = 3` keeps its small letter."""
    return not re.match(r"[a-z](?:_\w+)?\s*=", text)
