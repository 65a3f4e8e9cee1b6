"""Does the answer depend on the reasoning? The student goes on from reasoning that was altered.

    truncated   the first steps of its own reasoning, then its own words that announce the answer
    corrupted   its own reasoning up to a step in which a number was changed; then it goes on by itself
    filler      as many tokens of dots in place of the reasoning, then the announcing words

Where the answer stays the same, the student did not need what was altered. How reasoning is altered:
`training.evaluation.altering`. Altered requests are traces in a corpus of their own (`DIR/probes`), so they resume too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from builders.corpus import Corpus
from builders.disk import replacing
from builders.errors import CotmillError
from builders.feed import Item
from builders.identity import row_seed, trace_id
from builders.plan import Arm
from builders.prompts import Prompt
from builders.teachers import Teacher
from builders.traces import split_reasoning
from training.config import EvaluateConfig
from training.evaluation.altering import VERSION, Altered, Parts, corrupted, filler, take_apart, truncated
from training.evaluation.asking import EvaluationPrompt, arm_of, messages, prompt_of, run
from training.evaluation.figures import judge
from training.evaluation.place import PROBES, RESULTS
from training.stats import area_over_curve, bootstrap_mean, share_interval
from training.watch import Log

KINDS: Final = ("truncated", "corrupted", "filler")
CHARACTERS_PER_TOKEN: Final = 4
"""Where there is no tokenizer to count with."""


@dataclass(frozen=True, slots=True)
class ProbePrompt(EvaluationPrompt):
    """The prompt of the evaluation, before altered reasoning."""

    probe: str = ""

    def identity(self) -> Mapping[str, Any]:
        """The prompt without problem and reasoning: a trace's parent says which, its index where it was altered."""
        return {"head": [list(turn) for turn in self.head], "template": self.template, "probe": [VERSION, self.probe]}


class Planned(NamedTuple):
    """One altered reasoning."""

    trace_id: str
    probe: str
    row: Mapping[str, Any]
    """Of results.parquet."""
    parts: Parts
    altered: Altered


def probe(
    out: Path, student: Teacher, config: EvaluateConfig, *, held: dict[str, Any] | None = None, log: Log
) -> dict[str, Any]:
    """Probe the answers of the finished evaluation in `out`; rows in `out/probes.parquet`.

    A problem is probed if words announce an answer, behind reasoning; from the answer that results.parquet has. The
    settings are those of the evaluation: above temperature 0 some answers change by chance alone.

    Args:
        out: directory that `evaluate` wrote.
        student: who answered there.
        config: the `evaluate` section; `probes` and `cuts` say what to do.
        held: what an earlier call returned; probes that it has are kept.
        log: gets lines of progress.

    Returns:
        problems (probed), left_out (reason -> problems), cuts, and for each probe see `figures`.

    Raises:
        CotmillError: this student cannot be made to go on from given words, or no answer can be probed.
        KeyboardInterrupt, TeacherError: as `evaluate`; the same call goes on.
    """
    kinds: list[str] = [kind for kind in KINDS if kind in config.probes or (held and kind in held)]
    if held and held["cuts"] == config.cuts and all(kind in held for kind in kinds) and (out / PROBES).is_file():
        return held
    if not getattr(student, "continues", False):
        raise CotmillError(
            f"{student.name} cannot be probed: it does not go on from given words.\nProbe a model that vLLM or"
            " transformers loads"
        )
    arms = {kind: arm_of(student, config, _prompt(config, kind)) for kind in kinds}
    planned, left_out = plan(pl.read_parquet(out / RESULTS), config, arms, token_counter(student))
    if not planned:
        raise CotmillError(
            f"{out}: no answer can be probed: {left_out}. See how they look: cotmill sql {out} 'from eval'"
        )
    log(f"probing {len(planned):,} altered answers: {', '.join(kinds)}")

    def items(done: frozenset[str]) -> Iterator[Item]:
        for one in planned:
            if one.trace_id not in done:
                asked = messages(config, one.row["question"], one.row["choices"])
                turns = (*asked, {"role": "assistant", "content": one.altered.prefix})
                arm = arms[one.probe]
                yield Item(one.trace_id, one.row, arm, one.altered.kept, messages=turns, parent_id=one.row["trace_id"])

    corpus = Corpus.create(out / "probes")
    run(corpus, student, list(arms.values()), items)
    rows = judged(planned, corpus, config)
    with replacing(out / PROBES) as temporary:
        rows.write_parquet(temporary)
    problems = rows["problem_id"].n_unique()
    found = {kind: figures(rows.filter(probe=kind)) for kind in kinds}
    return {"problems": problems, "left_out": left_out, "cuts": config.cuts, **found}


def plan(
    results: pl.DataFrame, config: EvaluateConfig, arms: Mapping[str, Arm], tokens: Callable[[str], int]
) -> tuple[list[Planned], dict[str, int]]:
    """What to ask, and how many problems are left out for which reason."""
    read = results.filter(pl.col("value").is_not_null())
    rows = list(zip(read.iter_rows(named=True), take_apart(read["response"].to_list()), strict=True))
    planned = [
        Planned(trace_id(row["problem_id"], arm.arm_id, altered.kept, row["trace_id"]), kind, row, parts, altered)
        for row, parts in rows
        if parts
        for kind, arm in arms.items()
        for altered in _altered(kind, parts, row["trace_id"], config, tokens)
    ]
    left_out = {
        "no answer that can be read": results.height - read.height,
        "no reasoning, or no words that announce the answer": sum(parts is None for _, parts in rows),
    }
    return planned, {reason: count for reason, count in left_out.items() if count}


def judged(planned: list[Planned], corpus: Corpus, config: EvaluateConfig) -> pl.DataFrame:
    """A row per altered reasoning: what it was, what the student made of it, and whether the answer is the same.

    Returns:
        problem_id, trace_id (of the answer that was altered), probe, kept (steps before the alteration), steps, given
        (kept / steps), prefix, response (what followed), before (the answer there was), value (the answer now; null:
        none can be read), same (never null: no answer is another one), verdict.
    """
    frame = pl.DataFrame(
        [
            {
                "probe_id": one.trace_id,
                "probe": one.probe,
                "kept": one.altered.kept,
                "steps": len(one.parts.steps),
                "prefix": one.altered.prefix,
                "before": one.row["value"],
                **{
                    key: one.row[key]
                    for key in ("problem_id", "trace_id", "gold", "gold_value", "answer_type", "choices")
                },
            }
            for one in planned
        ],
        infer_schema_length=None,
    ).with_columns(
        pl.col("gold", "gold_value", "answer_type").cast(pl.String), pl.col("choices").cast(pl.List(pl.String))
    )
    said = corpus.traces().select(pl.col("trace_id").alias("probe_id"), "response", "status").collect()
    rows = frame.join(said, on="probe_id", how="left", maintain_order="left")
    whole = [
        split_reasoning(prefix + (response or "")) for prefix, response in rows.select("prefix", "response").iter_rows()
    ]
    text = pl.DataFrame(whole, schema={"reasoning": pl.String, "answer": pl.String}, orient="row")
    rows = judge(rows.hstack(text), config)
    alike = (pl.col("answer_type").fill_null("text") == "text") & (
        pl.col("value").str.to_lowercase() == pl.col("before").str.to_lowercase()
    )
    return rows.select(
        *("problem_id", "trace_id", "probe", "kept", "steps"),
        (pl.col("kept") / pl.col("steps")).alias("given"),
        *("prefix", "response", "before", "value"),
        ((pl.col("value") == pl.col("before")) | alike).fill_null(False).alias("same"),
        "verdict",
    )


def figures(rows: pl.DataFrame) -> dict[str, Any]:
    """What one probe found, over the problems it could be made for.

    Returns:
        problems; requests; same (share of answers that stayed the same, mean over problems) with its 95 % interval
        (`training.stats.share_interval`); accuracy (of the answers now, null without gold); unparseable (share of
        requests). Of `truncated` also area_over_curve with its interval, commits_at (mean share of the steps from which
        on the answer no longer changes), and curve (given to tenths, same, requests).
    """
    if rows.is_empty():
        return {"problems": 0, "requests": 0, "same": None, "interval": None, "accuracy": None, "unparseable": None}
    by_problem = (
        rows.sort("kept").group_by("trace_id", maintain_order=True).agg("given", pl.col("same").cast(pl.Float64))
    )
    same = by_problem["same"].list.mean().to_list()
    gold = rows.filter(pl.col("verdict") != "no_gold")
    found: dict[str, Any] = {
        "problems": len(same),
        "requests": rows.height,
        "same": sum(same) / len(same),
        "interval": share_interval(same),
        "accuracy": (gold["verdict"] == "correct").mean() if gold.height else None,
        "unparseable": rows["value"].null_count() / rows.height,
    }
    if rows["probe"][0] == "truncated":
        curves = list(by_problem.select("given", "same").iter_rows())
        areas = [area_over_curve([*given, 1.0], [*alike, 1.0]) for given, alike in curves]
        commits = [_commits_at(given, alike) for given, alike in curves]
        tenths = (
            rows.group_by(given=pl.col("given").round(1)).agg(pl.col("same").mean(), requests=pl.len()).sort("given")
        )
        found |= {
            "area_over_curve": sum(areas) / len(areas),
            "area_interval": bootstrap_mean(areas),
            "commits_at": sum(commits) / len(commits),
            "curve": tenths.to_dicts(),
        }
    return found


def token_counter(student: Teacher) -> Callable[[str], int]:
    """Counts the tokens of a text as the student does; by length where there is no tokenizer."""
    settings = getattr(student, "settings", None)
    if settings is None:
        return lambda text: -(-len(text) // CHARACTERS_PER_TOKEN)
    from transformers import AutoTokenizer

    from builders.teachers.smollm2 import resolve_model

    name = settings.engine.get("tokenizer") or resolve_model(settings.model)
    trust = bool(settings.engine.get("trust_remote_code", False))
    tokenizer = AutoTokenizer.from_pretrained(name, revision=settings.revision, trust_remote_code=trust)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _prompt(config: EvaluateConfig, kind: str) -> Prompt:
    return ProbePrompt(None, f"probe {kind}", "", prompt_of(config).head, template=config.template, probe=kind)


def _altered(
    kind: str, parts: Parts, trace: str, config: EvaluateConfig, tokens: Callable[[str], int]
) -> list[Altered]:
    match kind:
        case "truncated":
            return truncated(parts, config.cuts)
        case "corrupted":
            return corrupted(parts, row_seed(trace))
    return filler(parts, tokens)


def _commits_at(given: list[float], same: list[float]) -> float:
    """Share of the steps from which on the answer is the same at every cut; 1: at none."""
    first = 1.0
    for share, alike in zip(reversed(given), reversed(same), strict=True):
        if not alike:
            break
        first = share
    return first
