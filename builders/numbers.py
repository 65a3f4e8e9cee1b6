"""Numbers in one canonical spelling, digit for digit: nothing goes through floating point.

Reads decimals, scientific notation, fractions and mixed numbers with signs, currency, thousands
separators and a unit around them. What means another number than its digits say is unreadable
(`2 dozen`, `12 and a half`, `3x`, `12k`, `2π`, `5!`), and so is more than one number.
"""

from __future__ import annotations

import unicodedata
from typing import Final

import polars as pl

PLACES: Final = 18
"""Fractions that end within so many decimal places are spelt as decimals; longer terms are unreadable."""

SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}

NUMBER: Final = (
    r"^(?P<sign>[-+]?)\s*"
    r"(?:(?:(?P<mixed>[0-9]{1,9})\s+)?(?P<over>[0-9]{1,18})\s*/\s*(?P<under>[0-9]{1,18})"
    r"|(?P<whole>[0-9]+)\.?(?P<part>[0-9]*)|\.(?P<only>[0-9]+))"
    r"(?:\s*(?:[eE]|[x×*]\s*10\s*(?:\^|\*\*))\s*[{(]?(?P<power>[-+]?[0-9]{1,3})[})]?)?"
    r"(?:\s*(?P<scale>(?i:hundred|thousand|million|billion|trillion))\b)?"
    r"(?P<unit>.*)$"
)
UNIT: Final = r"^\s*[%°$€£¥₹¢]?(?:[\s-]*[\p{L}(](?:\p{L}\^?\{?-?[0-9]\}?|[^0-9=+*<>|√π\\])*)?$"
"""A digit only as a power glued to a letter (`cm^2`, `m2`): `5 apples and 3 pears` is no number."""

OTHER_NUMBER: Final = (
    r"(?i)^\s*[abeiknoqruxyz]\s*$|^\s*(?-i:[MGT]|MM)\b|(?-i:[α-λν-ωΑ-Ψ])"
    r"|\b(?:and (?:a|an|one|two|three|half)|half|halves|dozens?|plus|minus|pi|sqrt|squared|cubed|factorial"
    r"|k|mil|mill|[bm]n|lakhs?|crores?|(?:thi|fou|fif|six|seven|eigh|nin|ten|hundred|thousand|million)r?(?:d|th)s"
    r"|not|wrong|incorrect|or|maybe)\b|n['’]t\b"
)
"""Behind a number, these make it another one or none."""
GLUED: Final = r"^([a-zA-Z]{1,2})(?:[^a-zA-Z0-9]|$)"
GLUED_UNITS: Final = (
    *("m", "km", "cm", "mm", "mi", "yd", "ft", "in", "g", "kg", "mg", "lb", "oz", "l", "ml", "cl", "dl", "s", "ms"),
    *("h", "hr", "am", "pm", "st", "nd", "rd", "th", "c", "f", "w", "kw", "v", "j", "n", "mb", "gb", "tb"),
)
"""What may stick to a number and leave it a number; `12k` and `3a` are others."""
CURRENCY: Final = (
    r"(?i)^\s*([-+]?)\s*(?:(?:us|a|c|nz|hk)\s*\$|usd|eur|gbp|inr|cad|aud|chf|jpy|rs\.?)?\s*[$€£¥₹₩₽]?\s*"
    r"([-+]?)\s*(\.?[0-9])"
)
SPELT: Final = r"^(?:0|-?[1-9][0-9]*)$"
"""Whole numbers in their canonical spelling, most of all answers: nothing left to do."""

GROUPED: Final = (
    r"^(?P<sign>[-+]?)(?P<number>[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}|[0-9]{1,3}(?:[ '_][0-9]{3})+)"
    r"(?P<rest>(?:[^0-9,/].*)?)$"
)
FRACTIONS: Final = {sign: " " + unicodedata.normalize("NFKC", sign).replace("⁄", "/") for sign in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"}
WIDE: Final = {chr(ord(sign) + 0xFEE0): sign for sign in "0123456789.,%+-/"}
"""Full-width forms."""
RAISED: Final = {**{sign: str(i) for i, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}, "⁻": "-", "⁺": ""}
POWER_OF_TEN: Final = r"([x×*·⋅]\s*10)([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
FRAC: Final = r"\\[dtc]?frac\s*(?:\{\s*([0-9]+)\s*\}|([0-9]))\s*(?:\{\s*([0-9]+)\s*\}|([0-9]))"


def number(text: pl.Series) -> pl.Series:
    """Canonical decimal, or reduced `p/q` where no decimal ends; null where `text` is not one number.

    Args:
        text: String, without surrounding white space, maths delimiters or a final full stop.

    Returns:
        String. `-0` is `0`; a percent sign is a unit (`50%` is `50`).
    """
    plain = text.str.contains(SPELT).fill_null(True)
    if plain.all():
        return text
    read = _read(text.filter(~plain))
    rank = (~plain).cum_sum().cast(pl.Int64) - 1
    return text.to_frame("text").select(pl.when(plain).then("text").otherwise(read.gather(rank.clip(0)))).to_series()


def _read(text: pl.Series) -> pl.Series:
    # Stage by stage on a frame: as one expression, every use of a group would match the pattern again.
    groups = pl.DataFrame({"text": _ungrouped(_ascii(text))}).select(
        pl.col("text").str.extract_groups(NUMBER).struct.unnest()
    )
    parts = groups.select(
        "sign",
        "mixed",
        "over",
        "under",
        readable=pl.col("unit").str.contains(UNIT)
        & ~pl.col("unit").str.contains(OTHER_NUMBER)
        & pl.col("unit").str.extract(GLUED, 1).str.to_lowercase().is_in(GLUED_UNITS).fill_null(True),
        whole=pl.col("whole").fill_null(""),
        part=pl.coalesce("part", "only", pl.lit("")),
        power=pl.col("power").cast(pl.Int64).fill_null(0)
        + pl.col("scale").str.to_lowercase().replace_strict(SCALES, default=0, return_dtype=pl.Int64),
    )
    is_ratio = pl.col("over").is_not_null()
    ratios = _fraction(
        parts.select(pl.when(is_ratio & (pl.col("power") == 0)).then(pl.col("sign", "mixed", "over", "under")))
    )
    spelt = parts.select(pl.when(is_ratio).then(ratios).otherwise(_decimal(parts)).alias(text.name))
    return spelt.select(pl.when(parts["readable"]).then(pl.col(text.name))).to_series()


def _ascii(text: pl.Series) -> pl.Series:
    """One kind of minus sign, plain fractions for LaTeX ones, no currency, nothing before an equals sign."""
    if text.str.contains(r"[^\x00-\x7f]").any():
        text = text.str.replace_many({**WIDE, **FRACTIONS, "⁄": "/"}).str.replace_all(r"[−‒–—﹣]", "-")
        raised = text.str.contains(POWER_OF_TEN).fill_null(False)
        if raised.any():
            text = text.zip_with(~raised, text.str.replace(POWER_OF_TEN, "$1^$2").str.replace_many(RAISED))
    return (
        text.str.replace(r"^\s*(\\[dtc]?frac)\s*\{\s*-", "-$1{")
        .str.replace_all(FRAC, " $1$2/$3$4")
        .str.replace_all(r"\\times|\\cdot|[·⋅]", "×")
        .str.replace_all(r"\{,\}", ",")
        .str.replace_all(r"\\!", "")
        .str.replace_all(r"\\[,;: ]|[\u00a0\u2009\u202f]", " ")
        .str.replace_all(r"\\([%$])", "$1")
        .str.replace(r"^.*[=≈]", "")  # `x = 5`, and the value of `12 - 5 = 7`
        .str.replace(r"(?i)^[\s~]*(?:about|approximately|exactly|only)\s", "")
        .str.strip_chars(" (){}[]~")
        .str.replace(CURRENCY, "$1$2$3")
    )


def _ungrouped(text: pl.Series) -> pl.Series:
    """Without thousands separators: comma (also 1,00,000), blank, apostrophe or underscore."""
    match = text.str.extract_groups(GROUPED).struct
    digits = match.field("number").str.replace_all(r"[^0-9]", "")
    return pl.select(pl.coalesce(match.field("sign") + digits + match.field("rest"), text)).to_series()


def _decimal(parts: pl.DataFrame) -> pl.Series:
    """Spell sign, whole.part x 10^power without needless zeros."""
    behind, before = pl.col("behind"), pl.col("before")
    return (
        parts.select("sign", "whole", "power", digits=pl.col("whole") + pl.col("part"))
        .with_columns(
            length=pl.col("digits").str.len_bytes().cast(pl.Int64),
            # Where the point falls among the digits; may lie outside.
            point=pl.col("whole").str.len_bytes().cast(pl.Int64) + pl.col("power"),
        )
        .with_columns(inside=pl.col("point").clip(0, pl.col("length")))
        .select(
            "sign",
            before=pl.col("digits")
            .str.slice(0, pl.col("inside"))
            .str.pad_end(pl.col("point").clip(0), "0")
            .str.strip_chars_start("0"),
            behind=pl.col("digits")
            .str.slice(pl.col("inside"))
            .str.pad_start((pl.col("length") - pl.col("point")).clip(0), "0")
            .str.strip_chars_end("0"),
        )
        .select(
            pl.when((pl.col("sign") == "-") & ((before != "") | (behind != ""))).then(pl.lit("-")).otherwise(pl.lit(""))
            + pl.when(before == "").then(pl.lit("0")).otherwise(before)
            + pl.when(behind == "").then(pl.lit("")).otherwise("." + behind)
        )
        .to_series()
    )


def _fraction(parts: pl.DataFrame) -> pl.Series:
    """A decimal where one ends within `PLACES`, else reduced `p/q`; null for a zero below the line."""
    one = pl.lit(10**PLACES, pl.Int64)
    terms = parts.select(
        "sign",
        q=pl.col("under").cast(pl.Int64),
        p=pl.col("mixed").cast(pl.Int128).fill_null(0) * pl.col("under").cast(pl.Int64) + pl.col("over").cast(pl.Int64),
    ).with_columns(pl.col("p").cast(pl.Int64, strict=False))
    shared = _gcd(terms["p"], terms["q"])
    terms = terms.with_columns(pl.col("p", "q") // shared)
    ends = _decimal(
        terms.select(
            "sign",
            whole=(pl.col("p").cast(pl.Int128) * (one // pl.col("q"))).cast(pl.String),
            part=pl.lit(""),
            power=pl.lit(-PLACES, pl.Int64),
        )
    )
    ratio = pl.col("sign").replace("+", "") + pl.col("p").cast(pl.String) + "/" + pl.col("q").cast(pl.String)
    spelt = pl.when(one % pl.col("q") == 0).then(ends).otherwise(ratio)
    return terms.select(pl.when(pl.col("q") != 0).then(spelt)).to_series()


def _gcd(a: pl.Series, b: pl.Series) -> pl.Series:
    """Greatest common divisor, whole columns at a time; Polars has none of its own. At least 1."""
    if a.null_count() == len(a):  # no fraction at all, as nearly always: spares the import
        return pl.repeat(1, len(a), dtype=pl.Int64, eager=True)
    import numpy as np

    return pl.Series(np.maximum(np.gcd(a.fill_null(0).to_numpy(), b.fill_null(0).to_numpy()), 1))
