"""Text of strangers within Markdown: names, conditions and model output cannot break out of where they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final


def number(value: float | None, places: int = 0) -> str:
    """`1,234`; `-` for what is not known."""
    return "-" if value is None else f"{value:,.{places}f}"


def share(value: float | None) -> str:
    """`12.3%`; a little is not nothing."""
    return "-" if value is None else "under 0.1%" if 0 < value < 0.0005 else f"{value:.1%}"


def size(value: int) -> str:
    """Bytes as people say them, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000  # type: ignore[assignment]
    return f"{value:,.1f} GB"


def inline(value: object) -> str:
    r"""A value within a line or a cell of a table: one line, nothing of it is markup.

    >>> inline("a|b\n<script>")
    'a\\|b &lt;script&gt;'
    """
    if value is None:
        return "-"
    text = _visible(" ".join(str(value).split()))
    text = re.sub(r"([\\`*_\[\]|#~!$])", r"\\\1", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: object) -> str:
    r"""A value as code within a line or a cell of a table.

    >>> code("a | `b`")
    '`` a \\| `b` ``'
    """
    if value is None:
        return "-"
    text = _visible(" ".join(str(value).split())).replace("|", "\\|")
    if not text:
        return "-"
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def fenced(text: str, language: str = "text") -> str:
    """A block of code that the text cannot break out of."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{_visible(text)}\n{fence}"


def _visible(text: str) -> str:
    """Characters that show nothing, or turn the text around, as their names; line ends and tabs stay."""
    shown = text.replace("\r\n", "\n").replace("\r", "\n")
    hidden = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
    return re.sub(hidden, lambda found: f"\\u{ord(found[0]):04x}", shown)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "number": number,
    "share": share,
    "size": size,
    "inline": inline,
    "code": code,
    "fenced": fenced,
}
"""For templates."""
