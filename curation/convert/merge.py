"""Coarser without a model: adjacent steps are joined until a level's number of steps is met.

The words stay, in their order; what changes is what stands between two steps (a full stop becomes a semicolon or a
comma, a list number goes, a sentence's first word loses its capital). So the steps of another level are met, and its
number of words only where the source was short enough.
"""

from __future__ import annotations

import re
from typing import Final

from curation.convert.anatomy import LABEL, Anatomy, NoChild, unlabelled

VERSION: Final = 1

CONNECTIVE: Final = re.compile(r"(So|Then|Therefore|Thus|Hence|But|And|Which means|This means|Consequently)\b,?\s+")
LOWERED: Final = re.compile(
    r"(The|This|That|These|Those|It|Its|He|She|They|We|You|His|Her|Their|Our|There|Here|If|When|Since|Because|As|After"
    r"|Before|Now|Next|First|Second|Third|Finally|Also|In|On|At|To|For|From|By|With|Each|Every|Both|All|Adding"
    r"|Subtracting|Multiplying|Dividing|Given|Let|Initially|Originally|Afterwards|Later|Altogether|Identify|Perform|Note|Start|Begin|Calculate|Compute"
    r"|Add|Subtract|Multiply|Divide|Determine|Find|Use|Write|Solve|Count|Compare|Combine|Initial|Number|Total|Division"
    r"|Addition|Subtraction|Multiplication|Using|Substituting|Remaining)\b"
)
"""Words that are written small inside a sentence; a name is not among them."""
UNFINISHED: Final = re.compile(r"(?:[:,;=+*/×÷]|\\\]|\$\$|-)$")
ENDED: Final = re.compile(r"(?<![.!])[.!]$")


def merge(trace: Anatomy, low: int, high: int) -> Anatomy:
    """A trace with at most `high` steps.

    Raises:
        NoChild: it has no more than that already, or steps that must stay apart are too many.
    """
    count = trace.count()
    if count <= high:
        raise NoChild("in the band already" if count >= low else "fewer steps than the band")
    fixed = len(trace.ending) - trace.answered
    runs = [run for block in trace.blocks() for run in _runs(block)]
    free = high - fixed
    if free < len(runs) or not runs:
        raise NoChild("too few steps can be joined")
    groups = _shares([len(run) for run in runs], free)
    joined = iter([_grouped(run, number) for run, number in zip(runs, groups, strict=True)])
    blocks = [tuple(step for _ in _runs(block) for step in next(joined)) for block in trace.blocks()]
    changed = [
        after if after == before else _relabelled(after) for before, after in zip(trace.blocks(), blocks, strict=True)
    ]
    return trace.having(changed[0], changed[1])


def _runs(block: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The steps of a block, cut where two neighbours cannot be joined."""
    runs: list[list[str]] = []
    for step in block:
        if runs and _joinable(runs[-1][-1], step):
            runs[-1].append(step)
        else:
            runs.append([step])
    return [tuple(run) for run in runs]


def _joinable(left: str, right: str) -> bool:
    """Whether a question or an ellipsis between them does not force a new sentence."""
    end, begin = left.rstrip(), unlabelled(right)
    if not begin or begin.startswith(("```", "\\begin", "|")) or "```" in end:
        return False
    return bool(ENDED.search(end)) or (end[-1:] not in ("?", "…", ".", "!") and not re.search(r"[?.!…][\"'”)*]+$", end))


def _shares(sizes: list[int], total: int) -> list[int]:
    """How many groups each run is cut into: one at least, and the others where the groups would be largest."""
    groups = [1] * len(sizes)
    for _ in range(min(total, sum(sizes)) - len(sizes)):
        open_runs = [i for i, size in enumerate(sizes) if groups[i] < size]
        largest = max(open_runs, key=lambda i: (sizes[i] / groups[i], -i))
        groups[largest] += 1
    return groups


def _grouped(run: tuple[str, ...], groups: int) -> list[str]:
    """A run of steps as so many groups of about equal size, each joined into one step."""
    out: list[list[str]] = []
    for place, step in enumerate(run):
        if place and place * groups // len(run) == (place - 1) * groups // len(run):
            out[-1][-1:] = _joint(out[-1][-1], step)
        else:
            out.append([step])
    return ["".join(pieces) for pieces in out]


def join(left: str, right: str) -> str:
    """Two steps as one.

    >>> join("He has 4 boxes. ", "Then he gets 3 more. ")
    'He has 4 boxes, then he gets 3 more. '
    >>> join("1. Pam buys 24 eggs.", "2. She drops 5.")
    '1. Pam buys 24 eggs; she drops 5.'
    """
    return "".join(_joint(left, right))


def _joint(left: str, right: str) -> tuple[str, str]:
    """The end of one step and the beginning of the next, so that they read as one when put side by side."""
    end, begin = left.rstrip(), right[len(_label(right)) :].lstrip()
    if UNFINISHED.search(end):
        return f"{end} ", _small(begin)
    end = ENDED.sub("", end)
    if CONNECTIVE.match(begin):
        begin = "So " + begin[4:] if begin.startswith("So, ") else begin
        return f"{end}, ", begin[0].lower() + begin[1:]
    return f"{end}; ", _small(begin)


def _label(step: str) -> str:
    match = LABEL.match(step)
    return match[0] if match else ""


def _small(text: str) -> str:
    return text[0].lower() + text[1:] if LOWERED.match(text) or CONNECTIVE.match(text) else text


_NUMBERED: Final = re.compile(r"(\s*\(?)([0-9]{1,3})([.)]\s)")


def _relabelled(steps: tuple[str, ...]) -> tuple[str, ...]:
    """List numbers in sequence again; none at all, nor bullets, where only some steps have one."""
    if not all(LABEL.match(step) for step in steps):
        return tuple(step[len(_label(step)) :] for step in steps)
    if not all(_NUMBERED.match(step) for step in steps):
        return steps
    return tuple(_NUMBERED.sub(rf"\g<1>{n}\g<3>", step, count=1) for n, step in enumerate(steps, 1))
