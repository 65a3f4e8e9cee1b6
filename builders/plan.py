"""What to ask: problems x teachers x levels x formats x samples, less what the corpus holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from builders.config import FileTeacher, ReferenceTeacher, SampleConfig, Sampling, TeacherConfig
from builders.errors import SourceError
from builders.identity import arm_id, trace_id
from builders.prompts import Prompt, Specs, load_specs, make_prompt
from builders.teachers import Teacher


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of asking: a teacher, a prompt and sampling parameters."""

    arm_id: str
    teacher: Teacher
    config: TeacherConfig
    prompt: Prompt
    seed: int
    columns: Mapping[str, Any]
    """The trace columns that all its traces share."""
    call: str | None = None
    """Id of the way of asking for all levels in one call, the same for all of them; None: a call of its own."""
    second_try: Arm | None = None
    """The same with the gold answer shown, for problems whose trace is not correct."""

    def describe(self) -> Mapping[str, Any]:
        """What `corpus.json` keeps about it; with it the id can be computed again."""
        return {
            "teacher": self.teacher.name,
            "identity": dict(self.teacher.identity),
            "prompt": self.prompt.identity(),
            "sampling": sampling_of(self.config),
            "seed": self.seed,
        }


def sampling_of(config: TeacherConfig) -> dict[str, Any]:
    """The sampling parameters in a teacher's section of a recipe."""
    return {key: getattr(config, key) for key in Sampling.model_fields}


def make_arms(
    teachers: Sequence[tuple[TeacherConfig, Teacher]],
    sample: SampleConfig,
    answer_types: Sequence[str],
    seed: int,
    specs: Specs | None = None,
) -> list[Arm]:
    """One arm per teacher, level, format and task family; the levels of a joint call side by side.

    Raises:
        SourceError: an unknown level or format, two teachers that are the same one, or a teacher that
            only looks up what was written before and so cannot be asked in another way.
    """
    specs = specs or load_specs(sample.specs)
    arms: dict[str, Arm] = {}
    for config, teacher in teachers:
        if isinstance(config, FileTeacher) and (sample.ask == "joint" or sample.gold != "hidden"):
            raise SourceError(
                f"Teacher `{teacher.name}` looks up traces that others wrote: it cannot be asked jointly or with the "
                "gold answer.\nSet sample.ask: each and sample.gold: hidden, or ask a model."
            )
        own = _own_sample(config, sample)
        prompts = _prompts(specs, own, answer_types, config.system, gold_shown=own.gold == "shown")
        again = _prompts(specs, own, answer_types, config.system, gold_shown=True) if own.gold == "retry" else []
        for number, prompt in enumerate(prompts):
            second = _arm(config, teacher, again[number], seed) if again else None
            arm = _arm(config, teacher, prompt, seed, second)
            if arm.arm_id in arms and arms[arm.arm_id].teacher is not teacher:
                raise SourceError(
                    f"Teachers `{arms[arm.arm_id].teacher.name}` and `{teacher.name}` are the same model with the "
                    "same sampling: every trace would be asked twice. Remove one, or change its sampling."
                )
            arms[arm.arm_id] = arm
    return list(arms.values())


def _own_sample(config: TeacherConfig, sample: SampleConfig) -> SampleConfig:
    """`sample` with the teacher's own levels and formats; one that knows the answer needs no telling."""
    own: dict[str, Any] = {key: value for key in ("levels", "formats") if (value := getattr(config, key)) is not None}
    if isinstance(config, ReferenceTeacher):
        own["gold"] = "hidden"
    return sample.model_copy(update=own)


def _prompts(
    specs: Specs, sample: SampleConfig, answer_types: Sequence[str], system: str | None, *, gold_shown: bool
) -> list[Prompt]:
    """All prompts that `sample` names, in the order in which they are asked."""
    joint = sorted({level for level in sample.levels if level}) if sample.ask == "joint" else []
    made = {
        make_prompt(
            specs, level=level, format=form, answer_type=kind, system=system, joint=joint, gold_shown=gold_shown
        )
        for level in sample.levels
        for form in sample.formats
        for kind in answer_types
    }
    if joint:
        return sorted(made, key=lambda p: (p.format, p.family, p.level or 0))
    return sorted(made, key=lambda p: (p.level or 0, p.format, p.family))


def _arm(config: TeacherConfig, teacher: Teacher, prompt: Prompt, seed: int, second_try: Arm | None = None) -> Arm:
    identity, params = teacher.identity, sampling_of(config)
    key = arm_id(identity, prompt.identity(), params, seed)
    columns = {
        "arm_id": key,
        "teacher": teacher.name,
        "granularity": prompt.level,
        "format": prompt.format,
        "params": orjson.dumps(params).decode(),
        "gold_shown": prompt.gold_note is not None,
    }
    call = arm_id(identity, prompt.call_identity(), params, seed) if prompt.levels else None
    return Arm(key, teacher, config, prompt, seed, columns, call, second_try)


def calls(arms: Sequence[Arm]) -> list[list[int]]:
    """Indices into `arms`: those that one call answers, together."""
    found: dict[str, list[int]] = {}
    for number, arm in enumerate(arms):
        found.setdefault(arm.call or arm.arm_id, []).append(number)
    return list(found.values())


def plan(problems: pl.DataFrame, arms: Sequence[Arm], specs: Specs, n: int) -> pl.DataFrame:
    """All traces of the full grid, arm by arm, the samples of a problem side by side.

    That order keeps what shares a prompt prefix together, for engines that cache prefixes. The traces
    of one joint call are neighbours.

    Args:
        problems: [problems], columns as in PROBLEMS.
        arms: ways of asking.
        specs: says which answer types belong to which family.
        n: samples per problem and arm.

    Returns:
        [requests] with trace_id (String), problem (UInt32, row of `problems`), arm (UInt16, index
        into `arms`) and sample_index (Int32).
    """
    family_of = {kind: name for name, family in reversed(specs.families.items()) for kind in family.answer_types}
    families = problems["answer_type"].replace_strict(family_of, default="", return_dtype=pl.String)
    ids, rows = problems["problem_id"], pl.Series("problem", range(problems.height), dtype=pl.UInt32)
    parts = []
    for numbers in calls(arms):
        mine, together = families == arms[numbers[0]].prompt.family, [arms[number].arm_id for number in numbers]
        # One hash per request, in Python: 0.9 us each, 1 s for a million.
        keys = [
            trace_id(problem, arm, i) for problem in ids.filter(mine).to_list() for i in range(n) for arm in together
        ]
        place = pl.int_range(pl.len(), dtype=pl.Int32)
        parts.append(
            pl.DataFrame({"trace_id": keys}, schema={"trace_id": pl.String}).with_columns(
                rows.filter(mine).repeat_by(n * len(numbers)).explode().alias("problem"),
                _repeating(numbers, len(keys)).alias("arm"),
                (place // len(numbers) % n).alias("sample_index"),
            )
        )
    return pl.concat(parts) if parts else _EMPTY.clone()


def _repeating(numbers: Sequence[int], length: int) -> pl.Expr:
    """UInt16 [length]: `numbers` again and again."""
    if len(numbers) == 1:
        return pl.lit(numbers[0], pl.UInt16)
    return pl.lit(pl.Series(list(numbers) * (length // len(numbers)), dtype=pl.UInt16))


_EMPTY = pl.DataFrame(schema={"trace_id": pl.String, "problem": pl.UInt32, "arm": pl.UInt16, "sample_index": pl.Int32})


def without(requests: pl.DataFrame, held: pl.Series) -> pl.DataFrame:
    """The requests whose trace is not held yet, in order."""
    return requests.join(held.to_frame("trace_id"), on="trace_id", how="anti", maintain_order="left")


def second_tries(requests: pl.DataFrame, arms: Sequence[Arm], problems: pl.DataFrame) -> pl.DataFrame:
    """The same requests as second tries: columns as in `requests`, with the ids of the traces they will be."""
    of = [arm.second_try.arm_id if arm.second_try else arm.arm_id for arm in arms]
    ids = problems["problem_id"].gather(requests["problem"]).to_list()
    columns = (requests[name].to_list() for name in ("arm", "sample_index"))
    keys = [trace_id(problem, of[arm], index) for problem, arm, index in zip(ids, *columns, strict=True)]
    return requests.with_columns(pl.Series("trace_id", keys, dtype=pl.String))


def check_leaks(problems: pl.DataFrame, arms: Sequence[Arm]) -> None:
    """Raise SourceError when an exemplar asks what a problem asks, letter case and punctuation aside.

    Its answer would be given away, and the trace would be a copy of the exemplar.
    """
    shown = {question for arm in arms for question in arm.prompt.questions}
    stems = pl.Series(sorted(question.partition("\nA. ")[0] for question in shown), dtype=pl.String)
    leaked = problems.filter(_plain(problems["question"]).is_in(_plain(stems).to_list()))
    if leaked.is_empty():
        return
    first = leaked.head(5).select("problem_id", "question").rows()
    lines = "\n".join(f"  {problem}: {question[:100]!r}" for problem, question in first)
    raise SourceError(
        f"{leaked.height:,} of {problems.height:,} problems are exemplars of the prompt, answer included:\n{lines}\n"
        "Take them out of `problems`, or give other exemplars in a file of your own (sample.specs)."
    )


def _plain(text: pl.Series) -> pl.Series:
    return text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
