"""Units of measure: whether two answers with the same number mean different things.

Nothing is converted: `500 cm` is not taken for `5 m`. A unit that is missing or not in the list objects to nothing.
"""

from __future__ import annotations

from typing import Final

import polars as pl

_NAMES: Final = {
    "%": "% percent",
    "$": "$ dollar dollars usd",
    "¢": "¢ cent cents",
    "€": "€ euro euros eur",
    "£": "£ pounds_sterling gbp",
    "°": "° degree degrees",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "m": "m meter meters metre metres",
    "km": "km kilometer kilometers kilometre kilometres",
    "in": "in inch inches",
    "ft": "ft foot feet",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "mg": "mg milligram milligrams",
    "g": "g gram grams",
    "kg": "kg kilogram kilograms kilo kilos",
    "oz": "oz ounce ounces",
    "lb": "lb lbs pound pounds",
    "t": "tonne tonnes ton tons",
    "ml": "ml milliliter milliliters millilitre millilitres",
    "cl": "cl",
    "l": "l liter liters litre litres",
    "gal": "gallon gallons gal",
    "pt": "pint pints",
    "qt": "quart quarts",
    "ms": "ms millisecond milliseconds",
    "s": "s sec secs second seconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "d": "day days",
    "wk": "week weeks",
    "mo": "month months",
    "yr": "year years yr yrs",
    "km/h": "km/h kmh kph",
    "m/s": "m/s",
    "mph": "mph",
}
UNITS: Final = {name: unit for unit, names in _NAMES.items() for name in names.split()}
"""Spelling -> unit."""
BEFORE: Final = r"^[^\p{L}0-9]*([$€£])"
BEHIND: Final = (
    r"[0-9][)}\]$*]*[\s~]*(?:\\,)?\s*(?:\\(?:text|mathrm)\s*\{)?\s*\\?"
    r"([%°$€£¢]|[A-Za-z]+(?:/[A-Za-z]+)?|(?:square|sq\.?|cubic) [A-Za-z]+)"
    r"[}\s]*(\^?\{?[23]\}?|[²³])?[\s.}$*)]*$"
)


def unit(text: pl.Series) -> pl.Series:
    """String: the unit that an answer ends in, or its currency (`12 centimetres` -> `cm`); null: none, or none of ours.

    Args:
        text: String, one answer each.
    """
    groups = text.str.extract_groups(BEHIND).struct
    known = {f"{power}{name}": f"{unit}^{rank}" for name, unit in UNITS.items() for power, rank in _POWERS}
    name = groups.field("1").str.to_lowercase().replace_strict({**UNITS, **known}, default=None, return_dtype=pl.String)
    rank = groups.field("2").str.extract(r"([23²³])", 1).replace({"²": "2", "³": "3"})
    powered = pl.when(rank.is_null()).then(name).otherwise(name + "^" + rank)
    return pl.select(pl.coalesce(text.str.extract(BEFORE, 1), powered).alias("unit")).to_series()


_POWERS: Final = (("square ", 2), ("sq ", 2), ("sq. ", 2), ("cubic ", 3))


def other_unit(gold: pl.Series, answer: pl.Series) -> pl.Series:
    """Boolean: both name a unit, and not the same one."""
    return (unit(gold) != unit(answer)).fill_null(False)
