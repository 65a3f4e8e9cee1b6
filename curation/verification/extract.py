r"""Where a trace says its answer, and the words it says it in.

The last answer line counts: `The answer is X`, `answer: X`, `#### X`, `<answer>X`, `\boxed{X}`.
A response that is nothing but an answer counts as one too. Caution goes one way: an answer that
is hedged, negated, doubled or taken back becomes null. A wrong trace that passes as right teaches
a student; a right one that is missed costs a sample. Whole columns at a time. Not here: what of a
line is the answer (`curation.verification.reading`), spelling (`builders.answers`), comparing
(`curation.verification.verify`).
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

MARKERS: Final = (
    r"\\f?box(?:ed)?\s*\{|####|<answer>"
    r"|answers?(?:\s+to\s+(?:the|this|your)\s+(?:question|problem))?[\s*_`]*"
    r"(?:[:：=]|\s(?:is|was|(?:would|should|will|must)\s+be)\b)"
    r"|(?:correct|right|best)\s+(?:option|choice)\s+is\b"
)
"""What announces an answer."""
MARKER: Final = rf"(?is)^.*({MARKERS})(.*)$"
"""Greedy up to the last marker; group 1 is the marker, group 2 all that follows it."""
ONLY_MARKER: Final = rf"(?is)({MARKERS})(.*)$"
"""The same for a text that has one marker; three times as fast."""
TAIL: Final = 80
"""Characters at the end that are searched first; most answers are there."""

_HELD = r"(?:[^{}\\]|\\.)*"
for _ in range(4):
    _HELD = rf"(?:[^{{}}\\]|\\.|\{{{_HELD}\}})*"
BOXED: Final = rf"(?s)^({_HELD})\}}"
"""Content of a box whose opening brace is gone; braces balanced up to four deep."""

DENIED: Final = (
    r"(?i)(?:n['’]t(?: think| believe)?"
    r"|(?-u:\b)(?:wrong|incorrect|false|bad|mistaken|never|not(?: the case| true| clear| sure| certain)?"
    r"|doubt|if|suppose|supposing|assum(?:e|ing)|imagine|pretend|whether|unless"
    r"|previous|earlier|initial|intermediate|naive|common))"
    r"(?:\s+(?:if|that|whether))?(?:\s+(?:the|an?|this|my|your))?(?:\s+(?:final|correct|right))?"
    r"\s+answers?\s*(?:[:：=]|(?:is|was|were|(?:would|should|will|must)\s+be)(?-u:\b))"
)
"""These announce what is not the answer: `a common wrong answer is`, `if the answer is`, `doubt that the answer is`."""
RETRACTED: Final = (
    r"(?i)(?-u:\b)(?:wait|hold on|hmm|scratch that|on second thought|correction|actually|let me re|however|oops|sorry"
    r"|mistake|error|i mean|not (?:quite )?(?:right|correct|sure)|(?:can['’]?t|cannot) be|miscalc|misread"
    r"|recalc|reconsider|(?:is|was|['’]s) (?:wrong|incorrect)"
    r"|maybe|perhaps|alternatively|possibly|probably|i guess|unsure|(?:might|could|may) be"
    r")|[.!?…\n]\s*(?:oh,? |ah,? |but )?no(?:[,.!]|\s*$)|[.!?…]\s*(?:or(?-u:\b)|not\W*$)"
)
"""Behind an answer or before it, these take it back, or half back."""
RESIDUE: Final = r"(?s)<[/|\p{L}].*$|>\s*$"
"""A closing tag or chat token behind the answer (`</answer>`, `<|im_end|>`), and what follows it."""
OPENING: Final = r"^(?:[\s:：=*_}$]|\\\[|\\\()+"

BOLD: Final = r"(^|[\s(\[{$:\"“'])(?:\*\*|__)|(?:\*\*|__)($|[\s.,;:!?)\]}$\"”'])"
BOX_IN_MORE: Final = (
    r"((?:[-−^0-9]|[+/^] ?|\\cdot ?|\\times ?)|\}\s*\$?\s*(?:or|and|,|;|&)\s*\$?\s*)(\\f?box(?:ed)?\s*\{)"
)
"""`2\\boxed{12}` and `\\boxed{12} or \\boxed{13}` answer neither 12 nor 13."""
BOX_GOES_ON: Final = (
    r"[\^_+/!?0-9A-Za-z(\[{]|\s*[+/^]|\s*[*<>]\s*[0-9\\]|\s*-\s*[0-9a-z\\]"
    r"|\s*\\(?:times|cdot|pm|pi|sqrt|[dtc]?frac|l[et]|g[et]|ne)\b|\s*\$?\s*(?:or|and|,|&)\s+\$?(?:\\|[0-9])"
)
BOX_ENDS_NOT: Final = rf"{BOXED}(?:{BOX_GOES_ON})"
"""`\\boxed{12}x`, `\\boxed{12}^2`, `\\boxed{12}?`."""
MORE_LINES: Final = r"^[^\n]+\n\s*[-*(]{0,2}(?:-?[0-9][0-9,.]*|[A-Z])[).*]{0,2}\s*$"
"""`The answer is 12\\n13`: a second value on the next line."""
SPLIT: Final = "\x1e"
"""Put before every marker to cut a text at them."""
SHORT: Final = 120
"""Characters of a response that may be nothing but an answer."""
TORN: Final = r"[0-9\p{L}.,/^\\−-]+$"
"""The end of a response that was cut off: `The answer is 1` may have been going to be 12."""


def announced(text: pl.Series) -> pl.DataFrame:
    """Columns text and markers: how many announce an answer in it; null for null.

    The text is without what announces no answer (`DENIED`), and boxes that are only a part of one are unreadable.
    """
    text = _replaced(text, text.str.contains(DENIED), DENIED, " ")
    text = _replaced(text, text.str.contains("box", literal=True), BOX_IN_MORE, "${1}${2}? ")
    return pl.DataFrame({"text": text, "markers": text.str.count_matches(f"(?i){MARKERS}")})


def _replaced(text: pl.Series, rows: pl.Series, pattern: str, put: str) -> pl.Series:
    """`replace_all` for some rows; few, so that the others cost nothing."""
    places = rows.fill_null(False).arg_true()
    return text.scatter(places, text.gather(places).str.replace_all(pattern, put)) if len(places) else text


def answer_lines(texts: pl.DataFrame) -> pl.DataFrame:
    """The last answer line of each trace.

    Args:
        texts: what `announced` gives.

    Returns:
        marker, said: String [traces]. `marker` is what announced the answer, in lower case; null: nothing
        did. `said` is a box's content, else the line, without Markdown, chat tokens and leading
        delimiters; null also where the answer is taken back afterwards (`wait`, `actually`).
    """
    near = _last_markers(texts)
    marker, rest = pl.col("1"), pl.col("2")
    boxed = marker.str.ends_with("{")
    opened = pl.when(~boxed).then(rest).str.replace(RESIDUE, "").str.replace(OPENING, "")
    box = pl.when(boxed).then(rest)
    lines = near.with_columns(
        line=_unmarked(opened.str.extract(r"^([^\n]*)", 1)),
        held=box.str.extract(BOXED, 1),
        open=opened.str.contains(MORE_LINES) | box.str.contains(BOX_ENDS_NOT),
        box=box,
    )
    deep = lines["held"].is_null() & lines["box"].str.contains("}", literal=True).fill_null(False)
    if deep.any():  # braces deeper than the pattern sees; hardly ever
        held = [_balanced(box) for box in lines["box"].filter(deep)]
        lines = lines.with_columns(lines["held"].scatter(deep.arg_true(), pl.Series(held, dtype=pl.String)))
    said = pl.coalesce("line", "held").str.strip_chars()
    taken_back = rest.str.contains(RETRACTED) | pl.col("open").fill_null(False)
    return lines.select(
        marker.str.to_lowercase().alias("marker"), pl.when((said != "") & ~taken_back).then(said).alias("said")
    )


def only_answers(text: pl.Series) -> pl.Series:
    """Responses that are one short line and may be nothing but an answer, without Markdown and chat tokens.

    Args:
        text: String [traces], those with an answer line already null.
    """
    short = pl.when(pl.col("text").str.len_bytes() < 2 * SHORT).then(pl.col("text").str.replace(RESIDUE, ""))
    line = short.str.strip_chars().str.extract(rf"^([^\n]{{1,{SHORT}}})$", 1)
    return text.to_frame("text").select(_unmarked(line).str.strip_chars()).to_series()


def pieces(texts: pl.DataFrame) -> pl.DataFrame:
    """Texts that have several markers, cut before each of them.

    Args:
        texts: what `announced` gives.

    Returns:
        row: UInt32, index into `texts`; text: String, a piece that begins with its marker.
    """
    several = texts.with_row_index("row").filter(pl.col("markers") > 1)
    split = pl.col("text").str.replace_all(f"(?i)({MARKERS})", f"{SPLIT}$1").str.split(SPLIT).list.slice(1)
    return several.select("row", split).explode("text", empty_as_null=False)


def _last_markers(texts: pl.DataFrame) -> pl.DataFrame:
    """Columns 1 and 2: the last marker of each text, and all that follows it."""
    text, markers = texts["text"], texts["markers"]
    none = text.clear(len(text))
    found = text.zip_with(markers == 1, none).str.tail(TAIL).str.extract_groups(ONLY_MARKER).struct.unnest()
    far = (markers == 1) & found["1"].is_null()
    for rows, pattern in ((far, ONLY_MARKER), (markers > 1, MARKER)):
        if rows.any():
            places = rows.fill_null(False).arg_true()
            more = text.gather(places).str.extract_groups(pattern).struct.unnest()
            found = found.with_columns(found[name].scatter(places, more[name]) for name in ("1", "2"))
    return found


def _unmarked(line: pl.Expr) -> pl.Expr:
    """Without Markdown's bold, code and underlines; `10**3` is a power."""
    return line.str.replace_all(BOLD, "$1$2").str.replace_all("`", "", literal=True)


def _balanced(rest: str) -> str | None:
    """What stands before the brace that closes an open one; null: none does."""
    depth = 0
    for found in re.finditer(r"\\.|[{}]", rest):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth < 0:
            return rest[: found.start()].strip() or None
    return None
