"""What the names of well-known released files say: the study's own, arXiv:2502.18001."""

from __future__ import annotations

import re

FORMATS = {"bsm": "least_to_most", "rar": "rephrase_and_respond", "sym": "symbolic"}

_NAME = re.compile(
    r"(?:0_)?[a-z0-9]+_(?:chatgpt|gemini|llama|mix)_level_?([1-6])_?(bsm|rar|sym)?(?:_ranked)?", re.IGNORECASE
)


def said_by_name(stem: str) -> tuple[int | None, str | None]:
    """Granularity and format that the name of a released file says; nulls for any other name.

    >>> said_by_name("0_SVAMP_chatgpt_level5RaR"), said_by_name("SVAMP_gemini_level2_ranked"), said_by_name("level_3")
    ((5, 'rephrase_and_respond'), (2, 'original'), (None, None))
    """
    found = _NAME.fullmatch(stem)
    if found is None:
        return None, None
    return int(found[1]), FORMATS[found[2].lower()] if found[2] else "original"
