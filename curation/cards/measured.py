"""What the texts of kept rows show: length, detail and defects, measured again from the rows as they are published.

Kept rows carry no marks, so the passes look at them once more. Above `LOOKED` rows that is done on those with the
smallest ids, which are hashes: a fixed, fair sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from curation.comparing.intervals import mean_interval

LOOKED: Final = 50_000
"""Most rows whose texts are measured; what is counted (rows, tokens, verdicts) is counted in all."""
ARM: Final = ["teacher", "granularity", "format"]
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
BATCH: Final = 16_384

DEFECTS: Final = {
    "defects.no_answer_line": "nothing announces an answer",
    "defects.several_answer_lines": "more than one line announces an answer",
    "defects.conflicting_answers": "the answer lines say different values",
    "defects.bare": "fewer than 3 words before the answer line",
    "defects.glued": "a sentence, a list number or what follows a colon sticks to the text before it",
    "defects.glued_list": "a list number sticks to the text before it",
    "defects.latex_damage": "LaTeX commands that lost their backslash",
    "defects.literal_newlines": "line ends written out as a backslash and an n",
    "defects.mojibake": "characters that were decoded twice, or not at all",
    "defects.control": "other control characters, and ones that show nothing",
    "talk.residue": "words of a prompt, a chat template or a helpful assistant",
    "talk.refusal": "the model refuses, or speaks of itself",
    "talk.hedge": "talk of an answer that was given beforehand, or of a flaw in the task",
    "talk.retry": "something is taken back and tried again",
    "consistency.mismatch_low": "the reasoning ends at another value than the answer",
    "consistency.takes_back": "an apology or another answer behind the answer line",
    "arithmetic.wrong": "an equation that does not hold",
    "repetition.loop": "the same words again and again",
    "language.gibberish": "no language: lost spaces, words without vowels",
    "privacy.personal": "personal data",
    "privacy.secret": "a key or a password",
}
"""Mark -> what it says. All are Boolean but `arithmetic.wrong`, which counts."""


def measure(files: Sequence[Path], kept: int) -> tuple[int, pl.DataFrame, list[dict[str, Any]]]:
    """Look at the texts of kept rows.

    Args:
        files: of the kept rows.
        kept: how many rows they hold.

    Returns:
        Rows looked at; a table of teacher, granularity, format, tokens, words, steps, detail, a row each; and per
        defect: defect, meaning, rows (that show it), judged (that could be judged), share.
    """
    from curation.trust.arithmetic import Arithmetic
    from curation.trust.consistency import Consistency
    from curation.trust.defects import Defects
    from curation.trust.language import Language
    from curation.trust.privacy import Privacy
    from curation.trust.repetition import Repetition
    from curation.trust.talk import Talk

    passes = (Defects(), Talk(), Consistency(), Arithmetic(), Repetition(), Language(), Privacy())
    rows, seen = [], []
    for traces in _traces(files, kept):
        rows.append(_counts(traces.lazy()).collect())
        marked = [made.mark(traces.lazy()).select(f"^{made.name}\\..*$") for made in passes]
        seen.append(pl.concat([m.select(_asked(m)) for m in marked], how="horizontal").collect())
    table = pl.concat(rows)
    marks = pl.concat(seen).select(pl.col(name).cast(pl.Boolean) for name in DEFECTS)
    defects = [
        {
            "defect": name,
            "meaning": meaning,
            "rows": int(marks[name].sum()),
            "judged": int(marks[name].count()),
            "share": int(marks[name].sum()) / marks[name].count() if marks[name].count() else None,
        }
        for name, meaning in DEFECTS.items()
    ]
    return table.height, table, defects


def arms_measured(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Per teacher, granularity and format: rows, words, words_median, words_5 .. words_95, steps, tokens_median.

    And `detail`, a mean, with `detail_low` and `detail_high`, its 95 % interval. The columns are those of
    `curation.comparing.compare.compare`, so that `curation.comparing.figures` draws both.
    """
    words, detail = pl.col("words"), pl.col("detail").cast(pl.Float64)
    arms = (
        rows.group_by(ARM)
        .agg(
            pl.len().alias("rows"),
            words.mean().alias("words"),
            words.median().alias("words_median"),
            *(words.quantile(share, "linear").alias(f"words_{share * 100:.0f}") for share in QUANTILES),
            pl.col("steps").mean(),
            pl.col("tokens").median().alias("tokens_median"),
            detail.mean().alias("detail"),
            detail.std().alias("_std"),
            detail.count().alias("_n"),
        )
        .sort(ARM, nulls_last=True)
    )
    found = []
    for arm in arms.to_dicts():
        low, high = mean_interval(arm["detail"], arm.pop("_std"), arm.pop("_n"))
        found.append(arm | {"detail_low": low, "detail_high": high})
    return found


def _counts(traces: pl.LazyFrame) -> pl.LazyFrame:
    """ARM, tokens, words, steps and detail of every row."""
    from curation.text.detail import PARTS, detail_score
    from curation.text.steps import NUMBER, counted, trace_text

    given = pl.col("question").str.count_matches(NUMBER).clip(1)
    score = detail_score({part: pl.col(f"_{part}") for part in PARTS}, given)
    rows = counted(traces, trace_text(), "_", PARTS)
    return rows.select(
        *ARM,
        pl.col("completion_tokens").alias("tokens"),
        pl.col("_words").cast(pl.Int64).alias("words"),
        pl.col("_count").cast(pl.Int64).alias("steps"),
        score.alias("detail"),
    )


def _asked(marked: pl.LazyFrame) -> list[pl.Expr]:
    """The marks of `DEFECTS` among a pass's columns."""
    there = marked.collect_schema().names()
    return [pl.col(name) if name != "arithmetic.wrong" else pl.col(name) > 0 for name in DEFECTS if name in there]


def _traces(files: Sequence[Path], kept: int) -> list[pl.DataFrame]:
    """Kept rows as the passes want traces, some at a time."""
    wanted = None
    if kept > LOOKED:
        ids = pl.scan_parquet(list(files), glob=False).select("trace_id")
        wanted = ids.bottom_k(LOOKED, by="trace_id").collect(engine="streaming")
    found = []
    for file in files:
        scan = pl.scan_parquet(file, glob=False)
        if wanted is not None:
            scan = scan.join(wanted.lazy(), on="trace_id", how="semi")
        rows = _as_traces(scan).collect(engine="streaming")
        found += list(rows.iter_slices(BATCH))
    return found


def _as_traces(kept: pl.LazyFrame) -> pl.LazyFrame:
    """The columns of traces that passes read. `answer` of a kept row is a value; here it is what was said last.

    Of an engine's own separation of thought and answer a kept row has the thought alone: what its completion says
    behind it is the answer. Types of answers are told by their looks.
    """
    from builders.schema import TRACES

    said, gold = pl.col("completion").list.last().struct.field("content"), pl.col("gold")
    behind = said.str.replace(r"(?s)^.*</think>", "").str.strip_chars()
    kind = (
        pl.when(pl.col("choices").list.len() > 0).then(pl.lit("choice"))
        .when(gold.str.replace_all(",", "").str.contains(r"^-?[$€£]?[0-9.]+%?$")).then(pl.lit("number"))
        .when(gold.str.to_lowercase().is_in(["yes", "no", "true", "false"])).then(pl.lit("boolean"))
        .otherwise(pl.lit("latex"))
    )  # fmt: skip
    own = ["trace_id", "problem_id", "question", "choices", "gold", "response", "reasoning", *ARM, "completion_tokens"]
    given = kept.select(*own, answer=pl.when(pl.col("reasoning").is_not_null()).then(behind), answer_type=kind)
    missing = [pl.lit(None, TRACES[name]).alias(name) for name in TRACES if name not in (*own, "answer", "answer_type")]
    return given.with_columns(missing).cast({name: TRACES[name] for name in own})
