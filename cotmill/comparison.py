"""`cotmill report`: the comparison of teachers as report.md, pictures and a table, in one directory.

report.md                          what there is to say, with the tables
levels.png lengths.png heatmap.png
arms.parquet  arms.csv             every figure, one row per teacher, level and format
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from builders.corpus import Corpus
from builders.disk import replacing
from builders.errors import CotmillError
from curation.comparing.compare import DEFECTS, Comparison, compare
from curation.comparing.figures import draw
from curation.comparing.wording import GRAM, PAIRS_OF, SAMPLE
from curation.trust.defects import MEANINGS

Row = Mapping[str, Any]

ARM: Final = {"teacher": "teacher", "granularity": "level", "format": "format"}
AMOUNTS: Final = {
    "rows": "rows",
    "verified": "verified",
    "interval": "95 % interval",
    "agreement": "agreement",
    "words": "words",
    "words_median": "median",
    "tokens": "tokens",
    "tokens_median": "median ",
    "steps": "steps",
    "detail": "detail",
}
WORDING: Final = {
    "distinct_2": "distinct-2",
    "vocabulary": "vocabulary",
    "opening": "commonest opening",
    "opening_share": "its share",
    "repeats_within": "repeats within",
    "repeats_between": "repeats between",
}
COSTS: Final = {
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "completion tokens",
    "cost": "cost",
    "cost_per_correct": "per correct trace",
}
SHARES: Final = ("verified", "agreement", "opening_share", "repeats_within", "repeats_between")
DECIMALS: Final = {"words": 1, "tokens": 1, "steps": 1, "words_median": 0, "tokens_median": 0, "cost_per_correct": 5}


def write_report(
    corpus: Path, out: Path, *, where: str | None, prices: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Compare the teachers of a corpus and write it down.

    Returns:
        corpus, where, rows, problems, report and figures (paths), and arms (see `curation.comparing.compare.compare`).

    Raises:
        CotmillError: see `compare`; or `out` is a file or a corpus.
    """
    if out.is_file() or (out / "corpus.json").exists():
        raise CotmillError(f"{out} is {'a file' if out.is_file() else 'a corpus'}; choose another directory: --out")
    found = compare(Corpus(corpus), where=where, prices=prices)
    figures = draw(found.arms, out)
    with replacing(out / "arms.parquet") as temporary:
        found.arms.write_parquet(temporary)
    with replacing(out / "arms.csv") as temporary:
        found.arms.write_csv(temporary)
    with replacing(out / "report.md") as temporary:
        temporary.write_text(markdown(found, corpus.name, where, figures), encoding="utf-8")
    return {
        "corpus": str(corpus),
        "where": where,
        "rows": found.rows,
        "problems": found.problems,
        "report": str(out / "report.md"),
        "figures": [str(figure) for figure in figures],
        "arms": found.arms.to_dicts(),
    }


def read_prices(said: Sequence[str]) -> dict[str, tuple[float, float]]:
    """`TEACHER=IN,OUT` as prices of a million prompt and completion tokens.

    Raises:
        CotmillError: one has another form; the message quotes it.
    """
    prices = {}
    for text in said:
        teacher, _, numbers = text.rpartition("=")
        try:
            prompt, completion = (float(number) for number in numbers.split(","))
        except ValueError:
            prompt = -1.0
        if not teacher or not 0 <= prompt < float("inf") or not 0 <= completion < float("inf"):
            raise CotmillError(f"--price {text}: write it as TEACHER=IN,OUT, for example --price gpt-4o=2.5,10")
        prices[teacher] = (prompt, completion)
    return prices


def markdown(found: Comparison, name: str, where: str | None, figures: Sequence[Path]) -> str:
    """The report as Markdown; pictures stand beside it."""
    rows = [_spelt(row) for row in found.arms.to_dicts()]
    seen = f" that meet `{where}`" if where else ""
    parts = [
        f"# Teachers in {name}\n\n{found.rows:,} traces of {found.problems:,} problems{seen}.",
        _section("Amounts", ARM | _used(AMOUNTS, rows), rows, _AMOUNTS_NOTE),
        "\n\n".join(f"![{_ALT[figure.name]}]({figure.name})" for figure in figures),
        _section("Requested against measured level", *_granularity(found.granularity.teachers), _LEVELS_NOTE),
        _section("Wording", ARM | _used(WORDING, rows), rows, _WORDING_NOTE),
        _section("Defects", ARM | {d: d.replace("_", " ") for d in DEFECTS}, rows, _DEFECTS_NOTE),
    ]
    if costs := _used(COSTS, rows):
        parts.append(_section("Cost", ARM | costs, rows, _COST_NOTE))
    return "\n\n".join(parts) + "\n"


_ALT: Final = {
    "levels.png": "Verified share and detail over the requested level, by teacher",
    "lengths.png": "Words per trace by level and teacher",
    "heatmap.png": "Teacher by level: verified share and median words",
}
_AMOUNTS_NOTE: Final = (
    "*Verified*: traces whose answer is the gold answer, of those with a gold answer, with Wilson's interval. "
    "*Agreement*: how often a teacher's answer is another teacher's, for the same problem, level and format; traces "
    "without an answer have no part. *Words* and *tokens* are means, each with its median. *Detail* is the mean of "
    "`detail.score`: one more is about twice as much for the same question."
)
_LEVELS_NOTE: Final = (
    "A level is a request. *Never falls*: share of the problems with all levels whose detail (or words) does not fall "
    "from any level to the next. *Rank correlation* of requested level and detail (Spearman), within problems and over "
    "all traces."
)
_WORDING_NOTE: Final = (
    f"Measured before the answer line on up to {SAMPLE} traces of each arm, of the same problems where all have them. "
    f"*Distinct-2*: different pairs of neighbouring words / pairs, over the first {PAIRS_OF:,} words. *Opening*: the "
    f"first three words. *Repeats*: share of runs of {GRAM} words that the same trace said before (within) or that "
    "another trace of the arm has too (between)."
)
_DEFECTS_NOTE: Final = "Traces with each defect, and their share. " + "; ".join(
    f"*{name.replace('_', ' ')}*: {meaning}" for name, meaning in MEANINGS.items()
)
_COST_NOTE: Final = "Tokens are sums over all traces, rejected ones included; prices are those given with `--price`."


def _granularity(teachers: pl.DataFrame) -> tuple[dict[str, str], list[dict[str, str]]]:
    columns = {
        "teacher": "teacher",
        "format": "format",
        "levels": "levels",
        "problems": "problems with all",
        "detail_never_falls": "detail never falls",
        "words_never_fall": "words never fall",
        "rank_within": "rank correlation, within",
        "rank_pooled": "over all",
    }
    shares = ("detail_never_falls", "words_never_fall")
    return columns, [
        {key: _percent(value) if key in shares else _number(value, 2) for key, value in row.items()}
        for row in teachers.filter(pl.col("levels") > 1).to_dicts()
    ]


def _spelt(row: Row) -> dict[str, str]:
    """An arm with every figure as it is to be read."""
    spelt = {key: _number(value, DECIMALS.get(key, 2)) for key, value in row.items()}
    spelt |= {key: _percent(row[key]) for key in SHARES}
    spelt |= {name: f"{row[name]:,} ({row[name] / row['rows']:.1%})" if row[name] else "0" for name in DEFECTS}
    low, high = row["verified_low"], row["verified_high"]
    return spelt | {"interval": "-" if low is None else f"{low:.1%} to {high:.1%}"}


def _used(columns: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str]:
    """The columns that say something somewhere."""
    return {key: heading for key, heading in columns.items() if any(row[key] != "-" for row in rows)}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: object, digits: int) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:,.{digits}f}"
        case int():
            return f"{value:,}"
    return str(value)


def _section(title: str, columns: Mapping[str, str], rows: Sequence[Row], note: str) -> str:
    if not rows:
        return f"## {title}\n\nThere is nothing to compare.\n\n{note}"
    words = {"teacher", "format", "opening"}
    rule = "|".join("---" if key in words else "--:" for key in columns)
    lines = ["| " + " | ".join(_cell(row[key]) for key in columns) + " |" for row in rows]
    return f"## {title}\n\n| {' | '.join(columns.values())} |\n|{rule}|\n" + "\n".join(lines) + f"\n\n{note}"


def _cell(text: str) -> str:
    """Text that cannot break out of its cell: names and words of traces are anybody's."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
