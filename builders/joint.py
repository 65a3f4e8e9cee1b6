r"""All levels in one call: the JSON object that is asked for, and what can be read of an answer.

The answer is read from the text as the teacher wrote it, not from decoded JSON, for two reasons. An
answer that breaks off still gives the levels that were finished. And `\times`, `\frac`, `\beta`,
`\right`, `\neq` or `\underline`, written with one backslash where JSON wants two, decode to a tab, a
form feed, a backspace, a carriage return, a line break, or to nothing: here they can still be told
from those. A command that was mended so is named; a control character that stays is named too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


def key_of(level: int) -> str:
    """The key of a level's text."""
    return f"level_{level}"


def schema(keys: Sequence[str]) -> dict[str, Any]:
    """JSON schema of an object that has a text for each of `keys`, in this order, and nothing else."""
    return {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": list(keys),
        "additionalProperties": False,
    }


def write_answer(texts: Mapping[str, str]) -> str:
    """The answer that holds `texts`, as an exemplar shows it."""
    return json.dumps(texts, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Part:
    """What an answer says for one key."""

    text: str | None = None  # None: nothing
    whole: bool = True  # False: the answer breaks off within it
    mended: tuple[str, ...] = ()  # LaTeX commands whose backslash JSON would have eaten
    damaged: bool = False  # a control character is left that no solution holds


def read_answer(answer: str, keys: Sequence[str]) -> list[Part]:
    """What `answer` says for each of `keys`.

    Text around the object, an end that is missing and line breaks within a string do no harm. The
    first string under a key counts; one that is no string counts as nothing.
    """
    found: dict[str, Part] = {}
    for key, raw, end in _STRING.findall(answer):
        if key not in found:
            text, mended = _unescape(raw)
            found[key] = Part(text, end == '"', mended, _CONTROL.search(text) is not None)
    return [found.get(key, Part()) for key in keys]


_STRING: Final = re.compile(r'"(level_\d)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)("|\\?\Z)', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\((?:u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})*)|[a-zA-Z]+|.)", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|\t(?=[a-z])")

_JSON: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

# LaTeX commands that begin like an escape of JSON. Of those with n only the ones that no line can begin with
# after a line break: `\nu` is one, as no line begins with "u", and `\ni` is not, as one may begin with "i".
_COMMANDS: Final = """
backslash bar beta because begin beth between bf big bigcap bigcup bigl bigr biggl biggr Big binom
blacksquare bmod boldsymbol bot bowtie boxed bullet
fbox flat forall frac frown
nabla natural ncong ne nearrow neg neq newline nexists ngeq ngtr nleq nless nmid nolimits nonumber not notin
nparallel nrightarrow nsubseteq nsupseteq nu nwarrow
rangle rbrace rbrack rceil rfloor rho right rightarrow rightharpoonup rightleftharpoons rightangle
rVert rvert rm root
tan tanh tau tbinom text textbf textit textrm textsf texttt textstyle tfrac therefore theta thickapprox
thinspace tilde times to top triangle triangleleft triangleq triangleright
underbrace underline underset unlhd unrhd uparrow updownarrow uplus upsilon
"""
COMMANDS: Final = frozenset(_COMMANDS.split())


def _unescape(raw: str) -> tuple[str, tuple[str, ...]]:
    """The string that `raw` stands for, and the LaTeX commands in it that were written with one backslash."""
    mended: dict[str, None] = {}

    def replace(match: re.Match[str]) -> str:
        said = match[1]
        if _HEX.match(said):
            return str(json.loads(f'"{match[0]}"'))
        if not said[0].isalpha():
            if said in '"\\/':
                return said
            mended[match[0]] = None  # `\(` or `\{`: not an escape of JSON, so a LaTeX one
            return match[0]
        if said not in COMMANDS and said[0] in _JSON:
            return _JSON[said[0]] + said[1:]
        mended[match[0]] = None
        return match[0]

    return (_ESCAPE.sub(replace, raw) if "\\" in raw else raw), tuple(mended)


_HEX: Final = re.compile(r"u[0-9a-fA-F]{4}")
