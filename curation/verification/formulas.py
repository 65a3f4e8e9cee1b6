r"""What kind of formula an answer is, before algebra sees it: its shape, its parts, their names and units.

Reads one answer at a time and refuses early what algebra would choke on or guess at: prose, code, SQL, long
or deep texts, towers of powers. What is refused is None. Nothing is evaluated, and only commands and words of
mathematics pass. Not here: whether two formulas are equal (`curation.verification.equality`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

LONGEST: Final = 500
"""Characters; the golds of competition problems stay under 200."""
DEEPEST: Final = 12
"""Brackets within brackets."""
DIGITS: Final = 200
"""Digits of one number."""

HUGE: Final = re.compile(
    r"\^\s*[{(]*\s*-?\s*\d{5}"  # a power of 10,000 and more
    r"|\^\s*[{(]*[^{}()^]*\d[^{}()^]*\^"  # a number raised to a power within a power
    r"|\^\{[^{}]*\^\{[^{}]*\^|\^\s*\{[^{}]*\}\s*\^"  # three powers deep; two powers of one base
    r"|\d{5,}\s*[})]*\s*!|!\s*[})]*\s*[!^]|\^[^^]{0,20}!"  # factorials of 10,000 and more, of factorials, as powers
)

UNICODE: Final = str.maketrans(
    {
        **dict.fromkeys("−‒–—﹣－", "-"),
        **dict.fromkeys("×·⋅∗", "*"),
        **dict.fromkeys("\u00a0\u2009\u202f", " "),
        "÷": "/",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "±": r"\pm ",
        "√": r"\sqrt",
        "²": "^{2}",
        "³": "^{3}",
        "°": "",
        "∞": r"\infty ",
        "π": r"\pi ",
        "θ": r"\theta ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∈": r"\in ",
        "∅": r"\emptyset ",
    }
)

_FUNCTIONS = "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp pi infty"
FUNCTIONS: Final = tuple(_FUNCTIONS.split())
"""Words that may stand without a backslash."""
_COMMANDS = (
    f"{_FUNCTIONS} frac sqrt cdot times div pm le ge ne cup cap in emptyset lg binom lfloor rfloor lceil rceil lvert"
    " rvert vert alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta kappa lambda mu nu xi rho sigma tau"
    " phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega mathbb max min gcd"
)
COMMANDS: Final = frozenset(_COMMANDS.split())
"""LaTeX that may reach algebra; what is not here makes a formula unreadable."""
_WORDS = "no on is or of if it in an as at by to up we he me my so go do am be us id ok"
WORDS: Final = frozenset(_WORDS.split())
"""Of two letters; other two stand for a product, but `no` is not n times o."""
PARTS: Final = 20
"""Values in one list."""
MATRIX: Final = re.compile(r"\\(?:begin|end)\{[pbvBV]?matrix\}")
UNIT: Final = re.compile(
    r"(?<=[\d})])\s*(?:(?P<text>(?:\\(?:text|mathrm|mbox|textrm)\s*\{[^{}]*\}\s*(?:/\s*)?)+(?:\^\s*\{?-?\d\}?)?)"
    r"|(?P<word>(?:(?:cm|mm|km|kg|mg|ml|ft|mph|hr|min|sec|lb|oz|meters?|metres?|feet|inch(?:es)?|units?|degrees?"
    r"|dollars?|cents?|hours?|minutes?|seconds?|days?|years?|square|cubic|per)\b\s*)+(?:\^\s*\{?\d\}?)?))\s*\.?$"
)
TEXT: Final = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf|mathbf|mathit)\s*\{([^{}]*)\}")
NAME: Final = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?'?(?:\([A-Za-z](?:,[A-Za-z])*\))?|\([a-z](?:,[a-z])+\)")

_OPERATORS = "cdot|times|div|pm|le|ge|ne|leq|geq|neq|lt|gt|cup|cap|in|frac|end|rfloor|rceil|rvert|vert"
TIDY: Final = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\\m?(?:left|right)\s*\.?(?![A-Za-z])|\\(?:[Bb]ig+|display|text)(?:[lr]|style)?(?![A-Za-z{])", ""),
        (r"\\displaystyle\b|\\\$|\$|[€£¥₹]|\\?%|\^\s*\{?\s*\\circ\s*\}?|\\degree\b", ""),
        (r"\\[!,;: ]|\\q?quad\b|~|\s", " "),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\*\*", "^"),
        (r"(\d)\s*[x*]\s*10\s*\^", r"\1\\times 10^"),
        (r"(?<![A-Za-z\d.])(\d+(?:\.\d+)?)[eE]([-+]?\d{1,4})(?![A-Za-z\d.])", r"\1\\times 10^{\2}"),
        (r"\^\s*(-?\d+)", r"^{\1}"),
        (r"\^\s*\(([^()^]*)\)", r"^{\1}"),
        (rf"(?<![A-Za-z\\])({'|'.join(FUNCTIONS)}|sqrt)(?![A-Za-z])", r"\\\1"),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s*(\d+|[A-Za-z])", r"\\sqrt{\1}"),
        (r"\\log\s*_\s*(\d+|[a-z])", r"\\log_{\1} "),
        (r"\\varnothing\b", r"\\emptyset "),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"(?<![\d.])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\d.])", r"\1\\frac{\2}{\3}"),
        (r"\\(?:leq|leqslant)(?![A-Za-z])|<=", r"\\le "),
        (r"\\(?:geq|geqslant)(?![A-Za-z])|>=", r"\\ge "),
        (r"\\neq(?![A-Za-z])|!=", r"\\ne "),
        (r"\\lt\b", "<"),
        (r"\\gt\b", ">"),
        (r"\*", r"\\cdot "),
        (r"(?<=\d)\{,\}(?=\d)", ","),
        # Else math-verify reads 2(3) and 2\binom{3}{2} as mixed numbers.
        (rf"(?<=[\d)])\s*(?=\()|(?<=\))\s*(?=\d)|(?<=\d)\s*(?=\\(?!(?:{_OPERATORS})(?![a-z]))[A-Za-z])", r"\\cdot "),
        (r"\s+", " "),
    )
)
UNCLEAR: Final = re.compile(r"/\s*\d+\s*(?:[A-Za-z(]|\\(?!cdot|times|div|le|ge|ne|cup|cap|in(?!f)|\}))|\d\s*[_{]")
"""`1/2x`: what is below the line?"""
MIXED: Final = re.compile(r"\d\s*\\frac\{(\d{1,18})\}\{(\d{1,18})\}")
"""A mixed number where the fraction is a proper one; else nobody knows."""
GROUPED: Final = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])")

Relation = Literal["", "=", "<"]
"""A value, an equation, or anything with another sign between its sides."""


@dataclass(frozen=True, slots=True)
class Part:
    """One value, equation or inequality."""

    name: str
    """What is said to have the value: the `x` of `x = 5`; empty: nothing is."""
    relation: Relation
    text: str
    """The value without its name, or the whole relation."""


@dataclass(frozen=True, slots=True)
class Formula:
    """An answer taken apart."""

    shape: str
    """Its outer brackets: `()`, `[)`, `{}` (a set) ...; empty: a value, or several that are only listed."""
    parts: tuple[Part, ...]
    unit: str
    """As given, in lower case without blanks; empty: none is."""

    @property
    def names(self) -> list[str]:
        """The names of the parts that have one."""
        return [part.name for part in self.parts if part.name]


def read(answer: str) -> Formula | None:
    """An answer as a formula; None: it is none, or one that is better not touched."""
    if not answer or len(answer) > LONGEST:
        return None
    text = answer.translate(UNICODE).strip().strip("$").strip()
    text = re.sub(r"^\\\[|\\\]$|^\\\(|\\\)$", "", text).strip().rstrip(".").strip()
    text, unit = _without_unit(text)
    text = TEXT.sub(lambda held: "," if held[1].strip().lower() in ("and", "or") else f" {held[1]} ", text)
    text = re.sub(r",?\s*(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])", ",", text)
    for pattern, put in TIDY:
        text = pattern.sub(put, text)
    text = text.strip()
    if not text or not _is_mathematics(text):
        return None
    named = re.fullmatch(rf"({NAME.pattern})\s*(?:=|\\in(?![A-Za-z]))\s*([(\[\\].*)", text)
    shape, inner = _shape(named[2] if named else text)
    if not shape:
        inner = GROUPED.sub(lambda number: number[1].replace(",", ""), text)
    pieces = _split(inner)
    if not shape and len(pieces) == 1:
        pieces = _both_signs(pieces[0])
    parts = [part for piece in pieces if (part := _part(piece))]
    if len(parts) != len(pieces) or not 1 <= len(parts) <= PARTS:
        return None
    if shape and named:
        parts = [Part(_without_blanks(named[1]), part.relation, part.text) for part in parts]
    return Formula(shape, tuple(parts), unit)


def _without_blanks(text: str) -> str:
    return text.replace(" ", "")


def _without_unit(text: str) -> tuple[str, str]:
    found = UNIT.search(text)
    if found is None or re.search(r"\\(?:text|mathrm|mbox)\s*\{\s*(?:and|or)\b", found[0]):
        return text, ""
    said = re.sub(r"\\(?:text|mathrm|mbox|textrm)|[\s{}.]", "", found[0]).lower()
    return text[: found.start()].strip(), re.sub(r"(?<=[a-z]{3})s$", "", said)


def _is_mathematics(text: str) -> bool:
    if HUGE.search(text) or re.search(rf"\d{{{DIGITS}}}|\d \d|\.\d+\.", text) or _depth(text) > DEEPEST:
        return False
    plain = MATRIX.sub(" ", text)
    if re.search(r"[^\x20-\x7e]|[\"'#@`?:~]", plain) or ("&" in plain and plain == text):
        return False
    if any(command not in COMMANDS for command in re.findall(r"\\([A-Za-z]+)", plain)):
        return False
    if UNCLEAR.search(plain) or any(int(over) >= int(under) for over, under in MIXED.findall(plain)):
        return False
    plain = re.sub(r"\\[A-Za-z]+", " ", plain)
    if re.search(r"(?<![A-Za-z])[A-Za-z]\d", plain):  # x1: a name, or x times 1
        return False
    words = re.findall(r"[A-Za-z]{2,}", plain)
    return all(len(word) == 2 and word.lower() not in WORDS for word in words)


def _depth(text: str) -> int:
    """How deep brackets of any kind stand within each other; beyond all bounds where they do not pair."""
    deep = deepest = braces = 0
    for sign in text:
        if sign in "([{":
            deep += 1
            braces += sign == "{"
            deepest = max(deepest, deep)
        elif sign in ")]}":
            deep -= 1
            braces -= sign == "}"
            if deep < 0 or braces < 0:
                return DEEPEST + 1
    return deepest if deep == braces == 0 else DEEPEST + 1


def _shape(text: str) -> tuple[str, str]:
    """The outer brackets where they hold all of the text, and what is within."""
    for opens, closes in ((r"\{", r"\}"), ("(", ")"), ("(", "]"), ("[", ")"), ("[", "]")):
        if not (text.startswith(opens) and text.endswith(closes)):
            continue
        inner = text[len(opens) : -len(closes)]
        if _closed(inner) and (opens == r"\{" or len(_split(inner)) > 1):
            return opens[-1] + closes[-1], inner.strip()
    return "", text


def _closed(text: str) -> bool:
    """Whether every bracket that closes in it was opened in it."""
    deep = 0
    for sign in text:
        deep += (sign in "([{") - (sign in ")]}")
        if deep < 0:
            return False
    return deep == 0


def _split(text: str) -> list[str]:
    """Parts between commas and semicolons that stand in no bracket."""
    parts, deep, start = [], 0, 0
    for at, sign in enumerate(text):
        deep += (sign in "([{") - (sign in ")]}")
        if sign in ",;" and deep == 0:
            parts.append(text[start:at])
            start = at + 1
    return [part for piece in [*parts, text[start:]] if (part := piece.strip())]


def _both_signs(text: str) -> list[str]:
    r"""`a \pm b` is two values."""
    if text.count(r"\pm") != 1:
        return [text]
    before, after = text.split(r"\pm")
    bare = not before.strip() or before.rstrip()[-1] in "=("
    return [f"{before}{'' if bare else '+'}{after}", f"{before}-{after}"]


def _part(text: str) -> Part | None:
    if r"\pm" in text:
        return None
    if re.search(r"[<>]|\\[lgn]e(?![A-Za-z])", text):
        return None if "=" in text else Part("", "<", text)
    sides = [side.strip() for side in re.split(r"=|\\in(?![A-Za-z])", text)]
    if not all(sides):
        return None
    if len(sides) == 1:
        return Part("", "", sides[0])
    if NAME.fullmatch(_without_blanks(sides[0])):
        return Part(_without_blanks(sides[0]), "", sides[-1])
    return Part("", "=", text) if len(sides) == 2 and "=" in text else None
