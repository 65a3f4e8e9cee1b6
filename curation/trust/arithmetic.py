"""Does a trace calculate correctly? Every equation between numbers that it writes, evaluated.

The common forms are proven right over whole columns; `curation.trust.equations` reads the others one by one, exactly.
Not here: whether the right things were calculated, and equations with unknowns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import polars as pl

from curation.engine.gates import judged, places
from curation.text.steps import trace_text
from curation.trust.defects import before_answer
from curation.trust.equations import COMMON, FOUND, OPERATIONS, UNJUDGED, judge

if TYPE_CHECKING:
    import numpy as np
    from polars._typing import PolarsDataType

    from curation.passes import Span

BEFORE: Final = re.compile(
    r"(?i)(?:[0-9](?:[,.:/]|\s)?|[{(\[]?\b(?:of|twice|thrice|double|triple|half|times|plus|minus|over|by|and|than|root|step"
    r"|part|weeks?|days?|question|problem|equation|numbers?|no\.?|#)\s{1,2})$"
)
"""Before an equation, these make its first number another one: `1 1/2 = 1.5`, `twice 5 + 3 = 13`, `Step 1 - 3`."""
AFTER: Final = re.compile(r"^(?:\s?[0-9:?]|[,/][0-9]|\s*[?≈≠])")
"""Behind it, these do so with the last one, or ask: `= 1 1/2`, `= 80 000`, `= 12?`."""

OPEN: Final = r"=\s*(?:\?|_{2,}|…|\.\.\.|\[\s*\]|□|\\(?:square|Box)\b)"
"""A placeholder where a value should be."""
VALUE: Final = r"=\s*[$€£₹]?\s*[-−]?[0-9]|[0-9]\s*=\s*[\p{L}(]"

SIGNS: Final = {"plus": "+", "minus": "-−", "times": "*×x", "over": "/÷"}
LARGEST: Final = 1e12
"""Beyond, float64 proves nothing."""

ERROR_FIELDS: Final[dict[str, PolarsDataType]] = {
    "start": pl.Int32(),
    "end": pl.Int32(),
    "text": pl.String(),
    "value": pl.String(),
}


class Error(NamedTuple):
    """A wrong equation: its place in the text, its text, and what the other side should be."""

    start: int
    end: int
    text: str
    value: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Marks traces with how many of their equations hold.

    checked      Int32    equations between numbers that were evaluated; each equals sign of a chain counts
    wrong        Int32    those of them that do not hold
    ok           Boolean  none is wrong; null: there was nothing to check
    errors       List     each wrong one: start and end in characters of `curation.text.steps.trace_text()`, text, and
    value:
                          what the other side should be, a decimal, or `p/q` where none ends
    unfinished   Boolean  a result was left open (`8 - 3 = ?`) and no value follows before the answer line

    All null where there is no text. A result may be rounded to the places it is written with; for whole numbers see
    `curation.trust.equations`. What can be read in several ways is wrong only if it is wrong in each.
    """

    name: ClassVar[str] = "arithmetic"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "checked": pl.Int32(),
        "wrong": pl.Int32(),
        "ok": pl.Boolean(),
        "errors": pl.List(pl.Struct(ERROR_FIELDS)),
        "unfinished": pl.Boolean(),
    }

    source: ClassVar[str] = "our own; read on the SVAMP and GSM8K traces released with arXiv 2502.18001"
    cost: ClassVar[str] = "180,000 rows/s on 2 cores; Polars, and Python for one equation in 25"

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `arithmetic.checked`, `arithmetic.wrong` and the rest."""
        return judged(traces, self, lambda rows: check(rows.select(trace_text()).to_series()))

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """The wrong equations of a few traces, with the right values, and what was left open."""
        from curation.passes import Span  # which imports the passes

        found = []
        marked = traces.select(trace_text().alias("text"), "arithmetic.errors", "arithmetic.unfinished")
        for text, errors, unfinished in marked.iter_rows():
            wrong = [Span("wrong", "text", e["start"], e["end"], f"should be {e['value']}") for e in errors or ()]
            left = [Span("unfinished", "text", *place) for place in places(text, OPEN)] if unfinished else []
            found.append(wrong + left)
        return found


def check(texts: pl.Series) -> pl.DataFrame:
    """The marks of `Arithmetic`, without prefix, for texts: String [traces]."""
    import numpy as np

    found = texts.str.extract_all(FOUND)
    each = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.Int64, eager=True), "found": found}).explode("found")
    each = each.drop_nulls("found").filter(~pl.col("found").str.contains(UNJUDGED))
    row_of = each["row"].to_numpy()
    right = proven(each["found"])
    checked = np.bincount(row_of[right], minlength=len(texts))
    doubted = set()
    for row, said in zip(row_of[~right].tolist(), each["found"].filter(~right).to_list(), strict=True):
        result = judge(said)
        checked[row] += result.checked
        if result.faults:
            doubted.add(row)
    errors: list[tuple[int, *Error]] = []
    for row in sorted(doubted):
        wrong, spared = wrong_equations(texts[row], found[row].to_list())
        errors += [(row, *error) for error in wrong]
        checked[row] -= spared
    schema = {"row": pl.Int64, **ERROR_FIELDS}
    listed = pl.DataFrame(errors, schema=schema, orient="row").group_by("row", maintain_order=True)
    rows = pl.DataFrame({"text": texts, "checked": pl.Series(checked, dtype=pl.Int32), "unfinished": left_open(texts)})
    rows = rows.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    joined = rows.join(listed.agg(errors=pl.struct(*ERROR_FIELDS)), on="row", how="left", maintain_order="left")
    none = pl.lit([], pl.List(pl.Struct(ERROR_FIELDS)))
    wrong_ones = pl.col("errors").list.len().cast(pl.Int32)
    marks = joined.with_columns(pl.col("errors").fill_null(none)).select(
        "text",
        "checked",
        wrong_ones.alias("wrong"),
        pl.when(pl.col("checked") > 0).then(wrong_ones == 0).alias("ok"),
        "errors",
        "unfinished",
    )
    return marks.select(pl.when(pl.col("text").is_not_null()).then(pl.exclude("text")))


def proven(found: pl.Series) -> np.ndarray:
    """Bool [equations]: of the common form, and right; False is no verdict.

    In float64, to within a few units of its last place, which is far below the last place of what such equations write.
    """
    import numpy as np

    groups = found.str.extract_groups(COMMON).struct.unnest()
    spelt = [name for name in groups.columns if not name.startswith("sign")]
    groups = groups.with_columns(pl.col(spelt).str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False))
    total, term = np.zeros(len(found)), groups["number0"].fill_null(np.nan).to_numpy()
    largest = np.abs(term)
    with np.errstate(all="ignore"):
        for place in range(1, OPERATIONS + 1):
            sign, number = groups[f"sign{place}"], groups[f"number{place}"].fill_null(0.0).to_numpy()
            does = {kind: sign.is_in(list(signs)).fill_null(False).to_numpy() for kind, signs in SIGNS.items()}
            adds = does["plus"] | does["minus"]
            total = np.where(adds, total + term, total)
            signed = np.where(does["minus"], -number, number)
            term = np.select([adds, does["times"], does["over"]], [signed, term * number, term / number], term)
            largest = np.maximum(largest, np.abs(term))
        result = groups["result"].fill_null(np.nan).to_numpy()
        copied = groups["copied"].fill_null(pl.Series(result)).to_numpy()
        near = np.abs(total + term - result) <= 4e-15 * np.maximum(largest, np.abs(result))
    right: np.ndarray = near & (largest < LARGEST) & (copied == result)
    return right


def wrong_equations(text: str, found: list[str]) -> tuple[list[Error], int]:
    """The wrong equations of one text, and how many of those that `judge` holds for wrong are not clear after all.

    Args:
        text: the trace.
        found: all that `FOUND` takes out of it, in order.
    """
    errors, spared, place = [], 0, 0
    for said in found:
        place = text.index(said, place)
        for fault in judge(said).faults:
            start, end = place + fault.start, place + fault.end
            if BEFORE.search(text[max(0, start - 16) : start]) or AFTER.search(text[end : end + 8]):
                spared += 1
            else:
                errors.append(Error(start, end, text[start:end], fault.value))
        place += len(said)
    return errors, spared


def left_open(texts: pl.Series) -> pl.Series:
    """Boolean [traces]: a placeholder stands where a value should be, and none follows before the answer line."""
    rows = texts.to_frame("text").select("text", open=pl.col("text").str.contains(OPEN))
    few = rows.filter("open").select(rest=before_answer(pl.col("text")).str.extract(rf"(?s)^.*{OPEN}(.*)$", 1))
    still = few.select(~pl.col("rest").str.contains(VALUE)).to_series()
    rank = rows["open"].fill_null(False).cum_sum().cast(pl.Int64) - 1
    if still.is_empty():
        return rows["open"]
    return rows.select(pl.col("open") & still.gather(rank.clip(0)).fill_null(False)).to_series()
