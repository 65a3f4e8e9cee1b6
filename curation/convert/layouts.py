r"""Layouts: the same steps, laid out in another way, without a model.

numbered      every step on a line of its own, with its number
prose         all steps in one paragraph, without list numbers and bullets
equations     the equations alone, one a line
think         everything before the answer line inside `<think>`
boxed         the last line is `The answer is $\boxed{X}$.`
answer_line   the last line is `The answer is X.`

Each is idempotent: a trace that is laid out so already has no child.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from curation.convert.anatomy import ANSWER, Anatomy, NoChild, unlabelled
from curation.convert.arithmetic import MONEY, OPERATION

VERSION: Final = 1

Layout = Callable[[Anatomy, str | None], Anatomy]
"""Lays out a trace, given its answer in canonical spelling (None: none was found)."""

SENTENCE: Final = re.compile(r"[.!?…:;]['\")*\]}$]*$|\\\]$|\$\$$|```$")


def numbered(trace: Anatomy, _answer: str | None) -> Anatomy:
    """Every step on a line of its own, with its number."""
    blocks = [[text for step in block if (text := unlabelled(step))] for block in trace.blocks()]
    if not any(blocks):
        raise NoChild("no steps before the answer")
    lines = [tuple(f"{number}. {text}\n" for number, text in enumerate(block, 1)) for block in blocks]
    return trace.having(lines[0], lines[1])


def prose(trace: Anatomy, _answer: str | None) -> Anatomy:
    """All steps in one paragraph, each a sentence."""
    blocks = [[text for step in block if (text := unlabelled(step))] for block in trace.blocks()]
    if not any(blocks):
        raise NoChild("no steps before the answer")
    lines = [tuple(f"{text if SENTENCE.search(text) else f'{text}.'} " for text in block) for block in blocks]
    return trace.having(lines[0], lines[1])


_VARIABLE: Final = r"(?<![\w'’])(?:[A-Za-z]|[A-Za-z]_\w{1,3})(?!\w)"
_GAP: Final = r"\s{0,3}"
_TERM: Final = rf"{MONEY}(?: [A-Za-z][A-Za-z/'’-]{{0,20}}){{0,4}}?"
_SUM: Final = (
    rf"[-−]?(?:\({_GAP}){{0,4}}{_TERM}(?:(?:{_GAP}\)){{0,4}}{_GAP}{OPERATION}{_GAP}(?:\({_GAP}){{0,4}}{_TERM}){{0,12}}"
    rf"(?:{_GAP}\)){{0,4}}"
)
_SIDE: Final = rf"(?:{_SUM}|{_VARIABLE}(?:{_GAP}{OPERATION}{_GAP}(?:{_VARIABLE}|{MONEY})){{0,6}})"
"""Numbers with units between them (`15 eggs / 5 eggs per group`), or letters."""
EQUATIONS: Final = re.compile(
    rf"(?<![\w.,^%)\\])(?<![-+*/×÷·=]\s)(?<![-+*/×÷·=]){_SIDE}(?:{_GAP}[=≈]{_GAP}{_SIDE}){{1,6}}%?(?![\w^])"
)
DISPLAYED: Final = re.compile(r"\$\$?([^$\n]{1,300}[^\\])\$\$?|\\\[([^\n]{1,300}?)\\\]|\\\(([^\n]{1,300}?)\\\)")


def equations(trace: Anatomy, _answer: str | None) -> Anatomy:
    """The equations alone, one a line, each once."""
    blocks = [tuple(dict.fromkeys(line for step in block for line in _equations(step))) for block in trace.blocks()]
    if not any(blocks):
        raise NoChild("no equation")
    lines = [tuple(f"{line}\n" for line in block) for block in blocks]
    return trace.having(lines[0], lines[1])


def _equations(step: str) -> list[str]:
    """In LaTeX a whole span is the equation, and keeps its delimiters."""
    if len(step) > 5_000:
        return []
    if "\\" in step or re.search(r"\$[^$\d\s][^$\n]*=[^$\n]*\$", step):
        spans = [m[0] for m in DISPLAYED.finditer(step) if "=" in m[0]]
        if spans:
            return spans
    return [m[0].strip() for m in EQUATIONS.finditer(step)]


def think(trace: Anatomy, _answer: str | None) -> Anatomy:
    """Everything before the answer line inside `<think>`."""
    if trace.thought is not None:
        raise NoChild("laid out so already")
    if not trace.answered:
        raise NoChild("no answer line")
    if not trace.said:
        raise NoChild("no steps before the answer")
    return Anatomy(trace.said, (), trace.ending, trace.answered)


def boxed(trace: Anatomy, answer: str | None) -> Anatomy:
    r"""The last line is `The answer is $\boxed{X}$.`"""
    return _closing(trace, answer, r"The answer is $\boxed{X}$.")


def answer_line(trace: Anatomy, answer: str | None) -> Anatomy:
    """The last line is `The answer is X.`"""
    latex = answer is not None and "\\" in answer
    return _closing(trace, answer, "The answer is $X$." if latex else "The answer is X.")


ANNOUNCED: Final = re.compile(
    r"(?is)[\s,;*_]*(?:\b(?:so|thus|hence|therefore|and|then|finally|in conclusion)\b[\s,:]*)*"
    r"(?:\bthe\s+)?(?:\b(?:final|correct|right|best)\s+)*(?:\banswers?\b[^\n.]{0,40}?(?:is|be|:|=))?[\s:$*_#({\[\\]*$"
)
"""The words that lead up to an answer and go with it."""
BOX: Final = re.compile(r"\\f?box(?:ed)?\s*\{((?:[^{}]|\{[^{}]*\})*)\}")


def _closing(trace: Anatomy, answer: str | None, line: str) -> Anatomy:
    """The answer line written anew; what the step says before it stays, and so does what stands behind it."""
    if answer is None or not trace.answered:
        raise NoChild("no answer found")
    last = trace.ending[0]
    if last.strip() == (line := line.replace("X", _shown(answer))):
        raise NoChild("laid out so already")
    match = ANSWER.match(last)
    assert match is not None
    before = last[: match.start(1)]
    said = ANNOUNCED.sub("", before).strip()
    if match[1].lower().startswith(("\\box", "\\fbox")) and said and not re.search(r"(?i)answer\W*$", said):
        said = BOX.sub(r"\1", last).strip()  # `So the total is $\boxed{19}$.`: the sentence stays
    if said and not SENTENCE.search(said):
        said += "."
    behind = [step for step in trace.ending[1:] if not BOX.fullmatch(step.strip().strip("$. "))]
    ending = (f"{line}\n" if behind else line, *behind)
    return Anatomy(trace.thought, (*trace.said, *((f"{said} ",) if said else ())), ending, answered=True)


def _shown(answer: str) -> str:
    return {"true": "True", "false": "False"}.get(answer, answer)


LAYOUTS: Final[Mapping[str, Layout]] = {
    "numbered": numbered,
    "prose": prose,
    "equations": equations,
    "think": think,
    "boxed": boxed,
    "answer_line": answer_line,
}
"""Every layout by its name."""
