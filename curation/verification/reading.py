"""What of an answer line is the answer: a number, a formula, a letter, yes or no; null where that is doubtful.

Whole columns at a time. Each reader takes what `curation.verification.extract.answer_lines` gives, with a Boolean
column `bare`: the response is this one line and nothing announced it, so it has to read as an answer from end to end.
Not here: finding the line (`curation.verification.extract`), spelling it (`builders.answers`).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from builders.numbers import GLUED_UNITS
from curation.verification.units import UNITS

LONGEST: Final = 2_000
"""Bytes of a formula or text that is still taken for an answer."""
SENTENCE_END: Final = r"([0-9)%}$\]°]|\p{L}{3})[.!]+\s.*$"
EXPLANATION: Final = (
    r"(?i)[,;]?\s+(?:because|since|as (?:the|we|he|she|it|they|there)|so|which|where|not|rather|instead|when"
    r"|given|meaning|i\.e\.|that is)\b.*$"
)
REASON: Final = r"(?i)[,;]?\s+(?:because|since|as (?:the|we|he|she|it|they|there))\b.*$"
"""Fewer of them, for answers that may be words themselves."""
DOUBT: Final = r"(?i)\((?:or|not|and|maybe|perhaps|i think|assum|if|\?)|\bnot\W*$|^[0-9]+\.\s+[0-9.]+$"
"""Looked for before asides and explanations are cut away."""
ASIDE: Final = r"([\p{L}0-9%}])\s+\([^()]*\)[\s.]*$"
PLAIN: Final = r"^[$€£¥₹]?-?[0-9][0-9,]*(?:\.[0-9]+)?\.?$"
"""Most number answers: digits and nothing to doubt."""

_ONES = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty"
    r"|seventy|eighty|ninety)"
)
_WORD = rf"(?:{_ONES}|hundred|thousand|million|billion|trillion|dozen)"
LEAD: Final = r"^(?:[\p{L}'’,:]+\s+)+[(]?"
"""Words that lead up to a number: `that he has 12 apples`."""
LEAD_CHANGES: Final = (
    rf"(?i)\b(?:not?|never|cannot|neither|nor|either|or|between|than|least|most|over|under|above|below|almost"
    rf"|nearly|wrong|incorrect|half|twice|double|triple|thrice|quarter|third|root|square|cube|sum|product"
    rf"|difference|quotient|times|plus|minus|negative|add|subtract|multiply|divide|step|option|choice|question"
    rf"|problem|log|ln|sin|cos|tan|exp|sqrt|abs|floor|ceil|mod|gcd|lcm|max|min|percent|fraction|multiple|factor|divisor"
    rf"|power|logarithm|opposite|inverse|reciprocal|complement|and|from|without|except|excluding|before|after|until|up|beyond|unlike|unless|if|{_WORD})\b|n['’]t\b"
)
"""Before a number, these make it another one, or none: `twice 12`, `less than 12`, `not 12`."""
TRAIL_CHANGES: Final = (
    rf"(?i)[0-9].*\?|[0-9][\s{{]*[πΠ√∞²³¹⁴±^]|[<>≤≥≠±]|\\(?:pm|l[et]q?|g[et]q?|neq?|pi|sqrt)\b"
    rf"|[0-9]\s+(?:over|under|plus|minus|divided|choose|factorial|squared|cubed|to the|times (?:the|a|{_WORD}))\b"
    rf"|[0-9]\s+{_ONES}\b|(?:hundred|[a-z]+ion|thousand)\s+{_ONES}\b|\bremainder\b|^[0-9]+\.\s+[0-9.]+$"
    rf"|[0-9]\s+(?:to|through|until|per|of|out of|in|(?:more|less|fewer) than)\s+{_WORD}\b"
    rf"|[0-9][^0-9]*\b(?:or|if|unless|except|wrong|incorrect|not|and {_WORD})\b|n['’]t\b|\((?:or|not|and)\b|^[-−–—•]\s"
)
"""Behind a number (or a list dash before it), these make it another one, or none: `12 or 13`, `12?`, `12 to twenty`."""
SEVERAL_NAMED: Final = r"=[^=]*[0-9][^=]*(?:[,;]|\b(?:or|and)\b)[^=0-9]*\p{L}[^=0-9]*="
"""`x = 12 or x = 13`."""
SCIENTIFIC: Final = r"\s*(?:[x×*·⋅]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*"
LATEX_TEXT: Final = r"\\(?:text|mathrm|mathbf)(?:bf|it|rm)?\s*\{\s*([^{}]*)\}"
MATHS: Final = (
    r"^(?:[0-9+\-*/×÷·^!(){}\s√π²³]|[0-9]\.[0-9]|\\(?:[dtc]?frac|sqrt|cdot|times|div|pi|left|right|[dt]?binom|log|ln"
    r"|sin|cos|tan|[,;! ]))+$"
)
"""Nothing but arithmetic: no letter, no comma, no relation."""
NO_MATHS: Final = (
    r"^[^0-9]*$|^[0-9.]+\s*[-−–—]\s*[0-9.]+$|[0-9]\s+[0-9]|[0-9]\.[0-9]+\.|[0-9]\s*/\s*[0-9]+\s*/|!!"
    r"|^[-−–—•*]\s|^[0-9]+[.)]\s"
)
"""A range, two numbers, a date, a list item: each would have another value as arithmetic."""
SIGNS: Final = {"²": "^{2}", "³": "^{3}", "×": r"\times ", "÷": "/", "·": r"\cdot ", "π": r"\pi ", "−": "-", "**": "^"}
UNIT_POWER: Final = r"(\p{L}\}?)\s*\^\s*\{?[23]\}?"
HEADING: Final = r"^[0-9]+[.):]\s+\S"
"""`#### 2. Multiply` is a Markdown heading, not the answer 2."""

SEVERAL: Final = (
    r"^[^\p{L}]*(?:(?i:option|choice|answer)s?\s+)?\(?[A-Za-z]\b[\s).\]*]*(?:and|or|&|/|,|\+)[\s(*\[]*"
    r"(?:(?i:option|choice)\s+)?[A-Z](?:[\s).,;:\]*]|$)"
)
TURNED: Final = r"^\W*(?:no|false)\b.*\b(?:yes|true)\b|^\W*(?:yes|true)\b.*\b(?:no|not|false)\b"
YES_AND_NO: Final = r"^\W*(?:yes|no|true|false)\W+(?:(?:and|or|but)\W+)?(?:yes|no|not|true|false)\b"


def number_said(lines: pl.DataFrame) -> pl.DataFrame:
    r"""What of each answer line is a number.

    Returns:
        said, maths: String [traces]. `said` is the number with sign, currency and unit; null where doubtful.
        `maths` is arithmetic that is still to be worked out (`\sqrt{16}`, `3/7+1/7`), where the line is that.
    """
    none = pl.lit(None, pl.String).alias("maths")
    if lines["said"].str.contains(PLAIN).all():  # nulls aside; what most batches are made of
        return lines.select("said", none)
    careful = (~lines["said"].str.contains(PLAIN)).fill_null(False)
    few, rows = _careful_numbers(lines.filter(careful)), careful.arg_true()
    maths = pl.Series("maths", [None], pl.String).new_from_index(0, lines.height)
    return pl.DataFrame({"said": lines["said"].scatter(rows, few["said"]), "maths": maths.scatter(rows, few["maths"])})


def _careful_numbers(lines: pl.DataFrame) -> pl.DataFrame:
    """`number_said` for lines that are more than digits."""
    rest = pl.col("said")
    value = rest.str.replace(SENTENCE_END, "$1").str.replace(EXPLANATION, "").str.replace(ASIDE, "$1")
    several = value.str.contains(SEVERAL_NAMED)
    value = value.str.replace(r"^.*[=≈]", "").str.strip_chars().str.replace(SCIENTIFIC, "e")
    boxed = pl.col("marker").str.ends_with("{").fill_null(False)
    factorial = boxed.or_(pl.col("value").str.contains(r"!\s*\\?[$)\]]")) & pl.col("value").str.contains(
        r"(?:^|[^\\])!"
    )
    lines = lines.select(
        "marker",
        "bare",
        value=value,
        wrong=rest.str.contains(DOUBT)
        | several
        | ((pl.col("marker") == "####") & rest.str.contains(HEADING)).fill_null(False)
        | (pl.col("bare") & ~_bare_number(rest)),
    ).with_columns(
        number=pl.when(~factorial).then(pl.col("value").str.replace(UNIT_POWER, "$1").str.strip_chars_end("! ")),
        lead=pl.col("value").str.extract(f"({LEAD})", 1),
    )
    doubtful = (
        pl.col("lead").str.contains(LEAD_CHANGES).fill_null(False)
        | pl.col("wrong")
        | ((pl.col("marker") == "####") & pl.col("lead").is_not_null()).fill_null(False)
    )
    maths = pl.col("value").str.replace(LEAD, "").str.strip_chars(" .$").str.replace_all(r"\\[()\[\]]", "")
    return lines.select(
        pl.when(~doubtful & ~pl.col("number").str.contains(TRAIL_CHANGES))
        .then(pl.col("number").str.replace(LEAD, ""))
        .alias("said"),
        pl.when(
            ~doubtful
            & ~pl.col("bare")
            & maths.str.contains(MATHS)
            & ~maths.str.contains(NO_MATHS)
            & (maths.str.len_bytes() < LONGEST)
        )
        .then(maths.str.replace_many(SIGNS))
        .alias("maths"),
    )


def _bare_number(said: pl.Expr) -> pl.Expr:
    """A number and at most one unit that is known to be one; `8 apples` may be the end of anything."""
    words = said.str.replace_all(r"\\(?:[dtc]?frac|text|mathrm|times|cdot|left|right)|[0-9]\s*[eEx]\s*[-+]?[0-9]", "")
    word = words.str.extract_all(r"\p{L}+").list.join(" ").str.to_lowercase()
    return word.is_in(["", "million", "billion", *GLUED_UNITS, *UNITS]) & ~said.str.contains(r"[=<>≤≥≠?!|]")


def choice_said(lines: pl.DataFrame) -> pl.Series:
    """The part of each answer line that names one option; null where it names several or asks."""
    said = pl.col("said").str.replace(EXPLANATION, "").str.replace_all(LATEX_TEXT, "$1")
    letters = said.str.extract_all(r"\([A-Za-z]\)|(?-u:\b)[A-Z](?:[).:](?:\s|$)|(?-u:\b)\s*(?:and|or)(?-u:\b))")
    several = (
        pl.col("said").str.contains(r"^\W*[A-Za-z][)\]]?[:.]\s*(?i:not|no|wrong|incorrect|false)(?-u:\b)")
        | said.str.contains(SEVERAL)
        | said.str.contains(r"^\W*[A-Za-z]\W*\?|^\W*(?:(?i:option|choice)\s+)?\(?[A-Za-z](?-u:\b)\W*(?i:or|and|nor)\s")
        | (letters.list.eval(pl.element().str.extract(r"([A-Za-z])", 1).str.to_uppercase()).list.n_unique() > 1)
    )
    return lines.select(pl.when(~several).then(said)).to_series()


def boolean_said(lines: pl.DataFrame) -> pl.Series:
    """The part of each answer line that says yes or no; null where it says both, asks or has a condition."""
    said = pl.col("said").str.replace(
        r"(?i)^(?:that\s+)?(?:it|this|the (?:statement|claim|sentence))(?:\s+is|['’]s)\s+", ""
    )
    unsure = said.str.contains(r"(?i)\b(?:if|unless|partly|partially|sometimes|depend\w*|except|half)\b")
    said = said.str.replace(EXPLANATION, "")
    low = said.str.to_lowercase()
    unsure |= pl.col("said").str.contains(r"(?i)\bnot\W*$|^\W*no\.\s*[0-9]")
    both = low.str.contains(YES_AND_NO) | low.str.contains(TURNED) | low.str.contains(r"^\W*(?:yes|no|true|false)\W*\?")
    bare = pl.col("bare") & ~low.str.contains(r"^[^\p{L}?]*(?:yes|no|true|false)[^\p{L}?]*$")
    return lines.select(pl.when(~(both | unsure | bare)).then(said)).to_series()


def latex_said(lines: pl.DataFrame) -> pl.Series:
    """The part of each answer line that is a formula: a box as it is, else the line without its explanation."""
    boxed = pl.col("marker").str.ends_with("{").fill_null(False)
    line = pl.col("said").str.replace(SENTENCE_END, "$1").str.replace(REASON, "")
    line = line.str.replace_all(r"(^|[^\\])\$+", "$1").str.replace_all(r"\\[()\[\]]", "")
    words = line.str.replace_all(r"\\[A-Za-z]+", "")
    prose = words.str.contains(r"\p{L}{3}|\p{L}\s+\p{L}|\?|=.*=|\p{L}{2}.*=|[-+*/0-9].*=")
    said = pl.when(boxed).then("said").when(~(pl.col("bare") & prose)).then(line)
    return lines.select(pl.when(said.str.len_bytes() < LONGEST).then(said)).to_series()


def text_said(lines: pl.DataFrame) -> pl.Series:
    """Each answer line without its explanation; a bare one is a word, or up to four that are no sentence."""
    line = pl.col("said").str.replace(SENTENCE_END, "$1").str.replace(REASON, "")
    words = line.str.count_matches(r"\S+")
    prose = (words > 1) & (line.str.contains(r"[.!?:]$") | (words > 4))
    said = pl.when(~(pl.col("bare") & prose)).then(line)
    return lines.select(pl.when(said.str.len_bytes() < LONGEST).then(said)).to_series()


def last_number(text: pl.Series) -> pl.Series:
    """The last thing in each text that looks like a number: a guess, for who asks for one."""
    return text.str.extract(r"(?s)^.*?([-−]?[$€£]?[0-9][0-9,]*(?:\.[0-9]+)?)[^0-9]*$", 1).str.strip_chars_end(",")
