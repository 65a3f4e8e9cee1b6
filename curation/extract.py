r"""Where a trace says its answer, and the words it says it in.

The last answer line counts: `The answer is X`, `answer: X`, `#### X`, `<answer>X`, `\boxed{X}`.
Caution goes one way: an answer that is hedged, negated, doubled or taken back becomes null. A
wrong trace that passes as right teaches a student; a right one that is missed costs a sample.
Whole columns at a time. Not here: spelling (`builders.answers`), comparing (`curation.verify`).
"""

from __future__ import annotations

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
TAIL: Final = 240
"""Characters at the end that are searched first: a marker there is the last one, and most are there."""

_HELD = r"(?:[^{}\\]|\\.)*"
for _ in range(4):
    _HELD = rf"(?:[^{{}}\\]|\\.|\{{{_HELD}\}})*"
BOXED: Final = rf"(?s)^({_HELD})\}}"
"""Content of a box whose opening brace is gone; braces balanced up to four deep."""

RETRACTED: Final = r"(?i)\b(?:wait|hold on|scratch that|on second thought|correction|actually|let me re)"
RESIDUE: Final = r"(?s)<[/|\p{L}].*$|>\s*$"
"""A closing tag or chat token behind the answer (`</answer>`, `<|im_end|>`), and what follows it."""
OPENING: Final = r"^(?:[\s:：=*_}$]|\\\[|\\\()+"

SENTENCE_END: Final = r"([0-9)%}$\]°]|\p{L}{3})[.!;]+\s.*$"
EXPLANATION: Final = (
    r"(?i)[,;]?\s+(?:because|since|as (?:the|we|he|she|it|they|there)|so|which|where|not|rather|instead|when"
    r"|given|meaning|i\.e\.|that is)\b.*$"
)
ASIDE: Final = r"([\p{L}0-9%}])\s+\([^()]*\)[\s.]*$"
PLAIN: Final = r"^[$€£¥₹]?-?[0-9][0-9,]*(?:\.[0-9]+)?\.?$"
"""Most number answers: digits and nothing to doubt."""

_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty"
    r"|seventy|eighty|ninety|hundred|thousand|million|billion|trillion|dozen)"
)
LEAD: Final = r"^(?:[\p{L}'’,:]+\s+)+[(]?"
"""Words that lead up to a number: `that he has 12 apples`."""
LEAD_CHANGES: Final = (
    rf"(?i)\b(?:not?|never|cannot|neither|nor|either|or|between|than|least|most|over|under|above|below|almost"
    rf"|nearly|wrong|incorrect|half|twice|double|triple|thrice|quarter|third|root|square|cube|sum|product"
    rf"|difference|quotient|times|plus|minus|negative|add|subtract|multiply|divide|step|option|choice|question"
    rf"|problem|and|{_WORD})\b|n['’]t\b"
)
"""Before a number, these make it another one, or none: `twice 12`, `less than 12`, `not 12`."""
TRAIL_CHANGES: Final = (
    rf"(?i)[0-9].*\?|[0-9][\s{{]*[πΠ√∞²³¹⁴±^]|[<>≤≥≠±]|\\(?:pm|l[et]q?|g[et]q?|neq?|pi|sqrt)\b"
    rf"|[0-9]\s+(?:over|under|plus|minus|divided|choose|factorial|squared|cubed|to the|times (?:the|a|{_WORD}))\b"
    rf"|[0-9][^0-9]*\b(?:or|and {_WORD})\b|\((?:or|not|and)\b|^[-−–—•]\s"
)
"""Behind a number (or a list dash before it), these make it another one, or none: `12k`, `12 or 13`, `12?`."""
GLUED: Final = r"[0-9]([a-zA-Z]{1,2})(?:[^a-zA-Z0-9]|$)"
UNIT_POWER: Final = r"(\p{L}\}?)\s*\^\s*\{?[23]\}?"
UNITS: Final = (
    *(
        "m",
        "km",
        "cm",
        "mm",
        "mi",
        "yd",
        "ft",
        "in",
        "g",
        "kg",
        "mg",
        "lb",
        "oz",
        "l",
        "ml",
        "cl",
        "dl",
        "s",
        "ms",
        "h",
    ),
    *("hr", "am", "pm", "st", "nd", "rd", "th", "c", "f", "w", "kw", "v", "j", "n", "mb", "gb", "tb"),
)
"""What may stick to a number and leave it a number; `12k` and `3a` are others."""
HEADING: Final = r"^[0-9]+[.):]\s+\S"
"""`#### 2. Multiply` is a Markdown heading, not the answer 2."""

SEVERAL: Final = (
    r"^[^\p{L}]*(?:(?i:option|choice|answer)s?\s+)?\(?[A-Za-z]\b[\s).\]*]*(?:and|or|&|/|,|\+)[\s(*\[]*"
    r"(?:(?i:option|choice)\s+)?[A-Z](?:[\s).,;:\]*]|$)"
)
YES_AND_NO: Final = r"^\W*(?:yes|no|true|false)\W+(?:(?:and|or|but)\W+)?(?:yes|no|not|true|false)\b"


def answer_lines(text: pl.Series) -> pl.DataFrame:
    """The last answer line of each trace.

    Args:
        text: String [traces].

    Returns:
        marker, said: String [traces]. `marker` is what announced the answer, in lower case; null: nothing
        did. `said` is a box's content, else the line, without Markdown, chat tokens and leading
        delimiters; null also where the answer is taken back afterwards (`wait`, `actually`).
    """
    near = text.str.tail(TAIL).str.extract_groups(MARKER).struct.unnest()
    # The few without a marker near the end are searched whole; the others are null by then.
    unseen = near["1"].is_null() & (text.str.len_bytes() > TAIL)
    if unseen.any():
        whole = text.zip_with(unseen, text.clear(len(text))).str.extract_groups(MARKER).struct.unnest()
        near = near.with_columns(pl.coalesce(pl.col(name), whole[name]) for name in ("1", "2"))
    marker, rest = pl.col("1"), pl.col("2")
    boxed = marker.str.ends_with("{")
    line = (
        pl.when(~boxed)
        .then(rest)
        .str.replace(RESIDUE, "")
        .str.replace(OPENING, "")
        .str.extract(r"^([^\n]*)", 1)
        .str.replace_all(r"\*\*|__|`", "")
    )
    said = pl.coalesce(line, pl.when(boxed).then(rest).str.extract(BOXED, 1)).str.strip_chars()
    return near.select(
        marker.str.to_lowercase().alias("marker"),
        pl.when((said != "") & ~rest.str.contains(RETRACTED)).then(said).alias("said"),
    )


def number_said(lines: pl.DataFrame) -> pl.Series:
    """The part of each answer line that is the number, with sign, currency and unit; null where doubtful."""
    if lines["said"].str.contains(PLAIN).all():  # nulls aside; what most batches are made of
        return lines["said"]
    said, plain = pl.col("said"), pl.col("said").str.contains(PLAIN)
    rest = pl.when(~plain).then(said)
    heading = (pl.col("marker") == "####") & rest.str.contains(HEADING)
    value = rest.str.replace(SENTENCE_END, "$1").str.replace(EXPLANATION, "").str.replace(ASIDE, "$1")
    value = value.str.replace(r"^.*[=≈]", "").str.replace(UNIT_POWER, "$1").str.strip_chars()
    lines = lines.with_columns(value.alias("value"), heading.alias("heading"))
    glued = pl.col("value").str.extract(GLUED, 1).str.to_lowercase()
    lead = pl.col("value").str.extract(f"({LEAD})", 1)
    doubtful = (
        lead.str.contains(LEAD_CHANGES).fill_null(False)
        | pl.col("value").str.contains(TRAIL_CHANGES)
        | glued.is_in(UNITS).not_().fill_null(False)
        | pl.col("heading")
        | ((pl.col("marker") == "####") & lead.is_not_null())
    )
    careful = pl.when(~doubtful).then(pl.col("value").str.replace(LEAD, ""))
    return lines.select(pl.when(plain).then(said).otherwise(careful).alias("said")).to_series()


def choice_said(lines: pl.DataFrame) -> pl.Series:
    """The part of each answer line that names one option; null where it names several or asks."""
    said = pl.col("said").str.replace(EXPLANATION, "")
    several = said.str.contains(SEVERAL) | said.str.contains(r"^\W*[A-Za-z]\W*\?")
    return lines.select(pl.when(~several).then(said)).to_series()


def boolean_said(lines: pl.DataFrame) -> pl.Series:
    """The part of each answer line that says yes or no; null where it says both or asks."""
    said = pl.col("said").str.replace(
        r"(?i)^(?:that\s+)?(?:it|this|the (?:statement|claim|sentence))(?:\s+is|['’]s)\s+", ""
    )
    said = said.str.replace(EXPLANATION, "")
    both = said.str.to_lowercase().str.contains(YES_AND_NO) | said.str.contains(r"(?i)^\W*(?:yes|no|true|false)\W*\?")
    return lines.select(pl.when(~both).then(said)).to_series()


def last_number(text: pl.Series) -> pl.Series:
    """The last thing in each text that looks like a number: a guess, for who asks for one."""
    return text.str.extract(r"(?s)^.*?([-−]?[$€£]?[0-9][0-9,]*(?:\.[0-9]+)?)[^0-9]*$", 1).str.strip_chars_end(",")
