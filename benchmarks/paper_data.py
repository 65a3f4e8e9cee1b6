"""The marks of this engine on the traces released with arXiv 2502.18001, beside a profile of the same files.

    python -m benchmarks.paper_data DATA_DIR [--tables TABLES.json]

DATA_DIR holds `svamp/`, the files as released, and may hold `gsm8k/train.jsonl`, whose human solutions nobody profiled.
TABLES is a list of one object per file, as `paper_profile.json` beside this module: rows, means and medians as they
are, `suffix`, `gold`, `mismatch_low`, `mismatch_high` and `value_absent` in per cent of their bases, all others as
counts of rows. It was made with other code, on the same files, before this engine was written.

Printed per file: our figure, and the profile's behind a slash; a star where they are more than one point apart (one per
cent of rows; for words and characters one per cent of the value). `docs/paper_data.md` says why.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.measure import finish
from builders.corpus import Corpus
from builders.importing import Options, import_traces
from curation.engine.marking import mark_frame
from curation.text.steps import Steps, trace_text
from curation.trust.arithmetic import Arithmetic
from curation.trust.consistency import Consistency
from curation.trust.defects import Defects
from curation.trust.talk import Talk
from curation.verification.verify import Verify

PASSES = (Verify(), Steps(), Defects(), Arithmetic(), Consistency(), Talk())
PROFILE = Path(__file__).with_name("paper_profile.json")

TRUE = {
    "bare": pl.col("defects.bare"),
    "multi": pl.col("defects.several_answer_lines"),
    "conflict": pl.col("defects.conflicting_answers"),
    "leak": pl.col("talk.residue"),
    "doubt": pl.col("talk.hedge") | pl.col("talk.retry"),
    "glue": pl.col("defects.glued"),
    "glue_list": pl.col("defects.glued_list"),
    "damage": pl.col("defects.latex_damage") | pl.col("defects.control"),
    "placeholder": pl.col("response").str.contains(r"=\s*(?:\?|_{2,})"),
}
"""Counts of rows."""
COLUMNS = {
    "words": ("words_mean", "words_median"),
    "chars": ("chars_mean", "chars_median"),
    "suffix %": ("suffix",),
    "= gold %": ("gold",),
    "think≠answer %": ("mismatch_low", "mismatch_high"),
    "value absent %": ("value_absent",),
    "bare": ("bare",),
    "multi (conflict)": ("multi", "conflict"),
    "leak": ("leak",),
    "doubt": ("doubt",),
    "glue (list)": ("glue", "glue_list"),
    "damage": ("damage",),
    "= ?": ("placeholder",),
}
"""Of the table: heading -> figures."""
OWN = ("equations", "wrong", "rows_wrong", "unfinished", "flaw_repetition", "takes_back")
"""Figures that the profile does not have."""


def marked(file: Path, golds: Path | None) -> pl.DataFrame:
    """The traces of one file with all marks."""
    with tempfile.TemporaryDirectory() as folder:
        import_traces([str(file)], Path(folder) / "corpus", Options(teacher="theirs", answers=golds))
        traces = Corpus(Path(folder) / "corpus").traces().collect()
    marks = [mark_frame(traces, made).drop("trace_id") for made in PASSES]
    return pl.concat([traces, *marks], how="horizontal").with_columns(trace_text().alias("text"))


def figures(rows: pl.DataFrame) -> dict[str, Any]:
    """What `paper_profile.json` says of a file, and `OWN`, in our marks."""
    announced, judged = ~pl.col("defects.no_answer_line"), pl.col("verify.verdict").is_in(["correct", "incorrect"])
    absent = pl.col("consistency.value_absent")
    numbers = absent.is_not_null().sum()
    base = pl.when(numbers > 0).then(numbers)
    per_cent = {
        "suffix": announced.mean(),
        "gold": (pl.col("verify.verdict") == "correct").filter(announced & judged).mean(),
        "mismatch_low": pl.col("consistency.mismatch_low").sum() / base,
        "mismatch_high": pl.col("consistency.mismatch_high").sum() / base,
        "value_absent": absent.mean(),
    }
    found = rows.select(
        pl.len().alias("rows"),
        pl.col("steps.words").mean().alias("words_mean"),
        pl.col("steps.words").median().alias("words_median"),
        pl.col("steps.chars").mean().alias("chars_mean"),
        pl.col("steps.chars").median().alias("chars_median"),
        *((100 * share).alias(name) for name, share in per_cent.items()),
        *(mark.sum().alias(name) for name, mark in TRUE.items()),
        pl.col("arithmetic.checked").sum().alias("equations"),
        pl.col("arithmetic.wrong").sum().alias("wrong"),
        (pl.col("arithmetic.wrong") > 0).sum().alias("rows_wrong"),
        pl.col("arithmetic.unfinished").sum().alias("unfinished"),
        pl.col("consistency.flaw_repetition").sum().alias("flaw_repetition"),
        pl.col("consistency.takes_back").sum().alias("takes_back"),
    )
    return found.row(0, named=True)


def files(data: Path) -> Iterator[tuple[str, Path, Path | None]]:
    golds = data / "svamp" / "SVAMP_only_ans.json"
    for file in sorted((data / "svamp").glob("*.json"), key=lambda file: file.name.lower()):
        yield file.name, file, golds
    human = data / "gsm8k" / "train.jsonl"
    if human.exists():  # each solution says its gold answer itself
        yield "gsm8k human", human, human


def apart(name: str, ours: float | None, theirs: float | None, rows: int) -> bool:
    """Whether two figures are more than one point apart."""
    if ours is None or theirs is None:
        return False
    if name.startswith(("words", "chars")):
        return abs(ours - theirs) > 0.01 * theirs
    if name in TRUE:
        return abs(ours - theirs) > 0.01 * rows
    return abs(ours - theirs) > 1


def cell(names: tuple[str, ...], ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    def said(source: dict[str, Any]) -> str:
        numbers = [source.get(name) for name in names]
        return " – ".join("–" if n is None else f"{n:.1f}".removesuffix(".0") for n in numbers)

    star = any(apart(name, ours[name], theirs.get(name), ours["rows"]) for name in names)
    return said(ours) + (f" / {said(theirs)}" if theirs else "") + (" *" if star else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--tables", type=Path, default=PROFILE, metavar="TABLES.json")
    given = parser.parse_args()
    profile = {row["file"]: row for row in json.loads(given.tables.read_text())}
    found = {}
    print(f"| file | rows | {' | '.join(COLUMNS)} |\n|---|--:|{'---|' * len(COLUMNS)}")
    for name, file, golds in files(given.data):
        found[name] = ours = figures(marked(file, golds))
        theirs = profile.get(name, {})
        cells = [cell(names, ours, theirs) for names in COLUMNS.values()]
        print(f"| {name.removesuffix('.json')} | {cell(('rows',), ours, theirs)} | {' | '.join(cells)} |", flush=True)
    print(f"\n| file | {' | '.join(OWN)} |\n|---|{'--:|' * len(OWN)}")
    for name, ours in found.items():
        print(f"| {name.removesuffix('.json')} | {' | '.join(str(ours[figure]) for figure in OWN)} |")
    wide = [
        f"{name}: {figure}"
        for name, ours in found.items()
        for figure in ours
        if apart(figure, ours[figure], profile.get(name, {}).get(figure), ours["rows"])
    ]
    finish("paper_data", {"files": len(found), "profiled": len(found.keys() & profile.keys()), "apart": wide})


if __name__ == "__main__":
    main()
