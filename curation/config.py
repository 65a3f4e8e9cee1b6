"""What a recipe can say about curation. Attribute docstrings are the manual."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from builders.config import Config
from builders.errors import CotmillError
from builders.schema import TRACES
from curation.passes import Pass, did_you_mean, parse_pass

Split = Literal["train", "validation", "test"]
Factor = Literal["teacher", "granularity", "format"]
Value = int | float | bool | str | None
LARGEST_FILE = 50_000_000_000
"""Bytes; the Hub takes no larger file."""


class PerProblem(Config):
    """How many traces of one problem are kept, and which."""

    max: int = Field(ge=1)
    """At most so many per problem."""
    rule: Literal["first", "shortest", "longest", "random", "best", "diverse"] = "first"
    """`first` by sample index; `shortest` and `longest` by completion tokens; `random` by a hash of the trace's id;
    `best` by the expression `by`; `diverse`: one, then each time the trace whose words are least like those chosen."""
    by: str | None = None
    """For `rule: best`: SQL that gives a number, least first (`abs(steps.count - 5)`); unknown comes last."""
    one_per: list[str] = []
    """Columns, marks or SQL: `max` then counts for each of their values (`[teacher]`: `max` of each teacher)."""
    seed: int = 0
    """Another seed, another random choice."""

    @model_validator(mode="after")
    def _best_says_how(self) -> Self:
        if (self.rule == "best") != (self.by is not None):
            raise ValueError("`rule: best` and `by: SQL` belong together; say both or neither")
        return self


class Mix(Config):
    """How many traces of which kind are kept: quotas over cells."""

    by: list[str] = Field(min_length=1)
    """Columns, marks or SQL whose values together make a cell: `[teacher, granularity]`."""
    shares: Literal["equal"] | dict[str, Any] | None = None
    """Weight of each cell; together they count as the whole. `equal`: all cells that occur alike. A mapping by the
    values of the first of `by`, in it by those of the second, and so on: `{a: {1: 2, 2: 1}, b: {1: 1}}`; a missing
    value is written `null`. What is not listed is not kept. Null: no shares, only `limit`."""
    total: int | Literal["max"] = "max"
    """So many traces in all. `max`: as many as the scarcest listed cell with any trace allows without changing
    the shares. A cell with too few traces gives all it has; what it lacks is in the report (`shortfall`), and no other
    cell makes up for it."""
    limit: int | None = Field(None, ge=1)
    """At most so many traces of any cell."""
    seed: int = 0
    """Which traces of a cell stay goes by a hash of their ids; another seed, other traces."""
    strict: bool = False
    """Whether a cell with too few traces is an error instead of a note in the report."""

    @field_validator("shares", mode="before")
    @classmethod
    def _values_are_texts(cls, value: Any) -> Any:
        return _texts(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.shares is None and self.limit is None:
            raise ValueError("mix without `shares` and without `limit` changes nothing; say one of them")
        if isinstance(self.total, int) and (self.total < 1 or self.shares is None):
            raise ValueError("total is at least 1, and is dealt by `shares`")
        if isinstance(self.shares, dict):
            self.weights()
        return self

    def weights(self) -> dict[tuple[str, ...], float]:
        """Cell (one text per item of `by`) -> share; empty for `equal` and null."""
        found: dict[tuple[str, ...], float] = {}
        todo: list[tuple[tuple[str, ...], Any]] = [((), self.shares if isinstance(self.shares, dict) else {})]
        while todo:
            path, node = todo.pop()
            if isinstance(node, dict):
                if len(path) == len(self.by):
                    raise ValueError(f"shares goes deeper than the {len(self.by)} of `by`, at {' > '.join(path)}")
                todo += [((*path, key), inner) for key, inner in node.items()]
            elif len(path) != len(self.by) or not isinstance(node, int | float) or not 0 <= node < float("inf"):
                raise ValueError(
                    f"shares: {' > '.join(path)} is {node!r}; it takes {len(self.by)} values, then a number"
                )
            else:
                found[path] = float(node)
        if isinstance(self.shares, dict) and not sum(found.values()) > 0:
            raise ValueError("shares: at least one must be above 0")
        return {path: share / sum(found.values()) for path, share in sorted(found.items())}


class Pairs(Config):
    """Preference pairs: two traces of one problem, the one to prefer first."""

    rule: Literal["correct_incorrect", "short_long", "levels"] | list[str]
    """`correct_incorrect`: a correct trace before an incorrect one (needs the pass `verify`); `short_long`: the
    shortest before the longest, by completion tokens; `levels`: one of two granularity levels before the other; or two
    SQL conditions, `[of the chosen, of the rejected]`. Chosen traces, and rejected ones by `short_long` and `levels`,
    meet `keep` and are no duplicates; `per_problem`, `common` and `mix` do not touch pairs. What SQL conditions choose
    or reject may be any trace with a completion."""
    levels: tuple[int, int] | None = None
    """For `rule: levels`: the chosen level and the rejected one."""
    per_problem: int = Field(1, ge=1)
    """At most so many pairs of a problem. The first of the one kind goes with the first of the other, the second with
    the second; a trace is in one pair of a rule at most."""

    @model_validator(mode="after")
    def _rule_is_whole(self) -> Self:
        if (self.rule == "levels") != (self.levels is not None):
            raise ValueError("`rule: levels` and `levels: [chosen, rejected]` belong together; say both or neither")
        if isinstance(self.rule, list) and len(self.rule) != 2:
            raise ValueError(f"a rule in SQL is two conditions, [of the chosen, of the rejected], not {len(self.rule)}")
        if self.levels and self.levels[0] == self.levels[1]:
            raise ValueError("levels: the chosen and the rejected level are the same")
        return self

    def label(self) -> str:
        """What the column `pair_rule` says."""
        if isinstance(self.rule, list):
            return f"{self.rule[0]} > {self.rule[1]}"
        return f"levels {self.levels[0]} > {self.levels[1]}" if self.levels else self.rule


class CurateConfig(Config):
    """What is marked, and which marks decide."""

    passes: list[str | dict[str, dict[str, Any]]] = ["verify"]
    """Passes to run: a name, `name:parameter=value`, or `{name: {parameter: value}}`."""
    select: Path | None = None
    """A Parquet file with a column `trace_id`, as `cotmill sql ... --out FILE.parquet` writes it: only these traces can
    be kept."""
    keep: str | list[str] | dict[str, str] = "verify.verdict = 'correct'"
    """SQL conditions over trace columns and marks (`verify.verdict = 'correct' and granularity <= 2`). A row stays when
    all of them are true; a removed row names the first that is not, and lists all that are not. A mapping
    (`{correct: verify.verdict = 'correct', ...}`) gives them names, which reasons then say. `true` keeps all."""
    dedup: bool | list[str] = True
    """Of traces of one problem with the very same text, keep one; or names of passes that mark groups (`[exact_trace,
    near_trace, near_question]`): of a group keep one, or all traces of one problem where the pass groups questions.
    Traces with different gold answers are never duplicates. Rows that are removed for another reason make none."""
    prefer: str = "first"
    """Which duplicate stays: `first` by problem, teacher, level, format and sample index; `shortest` or `longest` by
    completion tokens; or SQL that gives a number, least first."""
    per_problem: PerProblem | None = None
    """Keep no more than so many traces of a problem; null: all of them."""
    common: list[str] | dict[str, list[Value]] = []
    """Keep only problems with a kept trace in every combination of these columns, marks or SQL expressions, so that all
    of them have the same problems. The combinations are those that occur among kept traces; or, of a mapping such as
    `{teacher: [a, b], granularity: [1, 6]}`, those of the values it lists. Levels of one teacher may share texts: set
    `dedup: false` beside it, or a problem is lost with its duplicate."""
    mix: Mix | None = None
    """Quotas over teachers, levels, or whatever else makes a kind; the last to remove rows."""
    weights: str | None = None
    """SQL that gives a number of at least 0 for each kept row, written as its column `weight` for weighted losses."""
    pairs: Pairs | list[Pairs] = []
    """Preference pairs, written as the configuration `pairs` beside the kept rows: one rule or a list."""
    prompt: str = "{question}"
    """The user turn a student is trained with. `{question}` is the question with its choices."""
    completion: Literal["response", "answer"] = "response"
    """What a student learns to say: the whole response, or the part behind the reasoning."""
    splits: dict[Split, float] = {"train": 1.0}
    """Shares of the problems, together 1. A problem is in one split with all its traces and pairs."""
    split_by: str = "problem"
    """`problem`, or a pass that marks groups (`near_question`): then problems of one group are in one split, too."""
    split_seed: int = 0
    """Another seed assigns problems to splits anew."""
    allow_overlap: bool = False
    """Whether a dataset is written although a problem of one split nearly repeats one of another; otherwise that is an
    error."""
    configs: list[str | dict[str, str] | list[str | dict[str, str]]] = []
    """What the dataset can be loaded by besides the config `default`, which has all kept rows: columns, marks or SQL,
    and a config for each value (`teacher`: `gpt-4o`; `granularity`: `level-3`). A list makes one config for each
    combination of values: `[teacher, granularity]`. `{short: completion_tokens < 100}` gives SQL a name."""
    file_size: int | str = "500MB"
    """A Parquet file is closed before it grows beyond this: bytes, or with a unit (`500MB`, `2GB`)."""
    license: str | None = None
    """Of the dataset, as an SPDX id, for its card; null: the card names none."""
    language: list[str] = ["en"]
    """ISO 639 codes, for the card."""

    @field_validator("passes")
    @classmethod
    def _passes_exist(cls, value: list[str | dict[str, dict[str, Any]]]) -> list[str | dict[str, dict[str, Any]]]:
        try:
            names = [parse_pass(said).name for said in value]
        except CotmillError as error:
            raise ValueError(str(error)) from None
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"pass `{twice.pop()}` is named twice; marks are told apart by the name of their pass")
        return value

    @field_validator("keep", mode="before")
    @classmethod
    def _conditions_are_texts(cls, value: Any) -> Any:
        listed = list(value.values()) if isinstance(value, dict) else _listed(value)
        said = [str(one).lower() if isinstance(one, bool) else one for one in listed]
        if not all(isinstance(one, str) and one.strip() for one in said):
            told = "write a condition in SQL, such as `verify.verdict = 'correct'`, a list of them, or names for them"
            raise ValueError(told)
        if isinstance(value, dict):
            return dict(zip(map(str, value), said, strict=True))
        return said if isinstance(value, list) else said[0]

    @field_validator("file_size")
    @classmethod
    def _size_is_a_size(cls, value: int | str) -> int | str:
        if not 0 < _bytes(value) <= LARGEST_FILE:
            raise ValueError(f"file_size: from 1 to {LARGEST_FILE:,} bytes, written as a number or like 500MB")
        return value

    @field_validator("configs")
    @classmethod
    def _columns_exist(cls, value: list[Any]) -> list[Any]:
        for item in value:
            for said in _listed(item):
                if isinstance(said, dict) and len(said) != 1:
                    raise ValueError("configs: a name and its SQL: {short: completion_tokens < 100}")
                if isinstance(said, str) and re.fullmatch(r"\w+", said) and said not in TRACES:
                    raise ValueError(f"`{said}` is no column of a trace{did_you_mean(said, list(TRACES))}")
            if not item:
                raise ValueError("configs: an empty list names nothing")
        return value

    @field_validator("prompt")
    @classmethod
    def _prompt_asks(cls, value: str) -> str:
        if "{question}" not in value:
            raise ValueError("a prompt without `{question}` asks nothing")
        return value

    @field_validator("common")
    @classmethod
    def _levels_are_numbers(cls, value: list[str] | dict[str, list[Value]]) -> list[str] | dict[str, list[Value]]:
        for name in value:
            if re.fullmatch(r"\w+", name) and name not in TRACES:
                known = [*get_args(Factor), *(c for c in TRACES if c not in get_args(Factor))]
                raise ValueError(f"`{name}` is no column of a trace{did_you_mean(name, known)}")
        for name, listed in value.items() if isinstance(value, dict) else ():
            kind = int if name == "granularity" else str if name in get_args(Factor) else Value
            if wrong := [v for v in listed if not isinstance(v, kind | None)]:
                raise ValueError(f"{name} is {'a level from 1 to 6' if kind is int else 'a name'}, not {wrong[0]!r}")
            if not listed:
                raise ValueError(f"{name} lists no value; name some, or leave it out")
        return value

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Self:
        total = sum(self.splits.values())
        if any(share < 0 for share in self.splits.values()) or abs(total - 1) > 1e-6:
            raise ValueError(f"splits: shares must be at least 0 and add up to 1; they add up to {total:g}")
        return self

    @model_validator(mode="after")
    def _groups_are_marked(self) -> Self:
        named = [("dedup", name) for name in self.groups()]
        named += [("split_by", self.split_by)] if self.split_by != "problem" else []
        judged = any(pair.rule == "correct_incorrect" for pair in self.pair_rules())
        passes = {made.name: made for made in (self.made_passes() if named or judged else ())}
        grouping = [name for name, made in passes.items() if "group" in made.marks]
        for where, name in named:
            if name not in grouping:
                hint = ", ".join(grouping) or "none of those in `passes`"
                raise ValueError(f"{where} names `{name}`; it takes a pass of `passes` that marks groups: {hint}")
        if judged and "verify" not in passes:
            raise ValueError("pairs: correct_incorrect needs the pass verify")
        return self

    def made_passes(self) -> list[Pass]:
        """The passes, ready to run."""
        return [parse_pass(said) for said in self.passes]

    def conditions(self) -> list[str]:
        """The conditions of `keep`, in order."""
        if isinstance(self.keep, str):
            return [self.keep]
        return list(self.keep.values() if isinstance(self.keep, dict) else self.keep)

    def condition_names(self) -> list[str]:
        """What reasons call the conditions: their names, or else their words."""
        return list(self.keep) if isinstance(self.keep, dict) else self.conditions()

    def groups(self) -> list[str]:
        """The passes whose groups are duplicates."""
        return [] if isinstance(self.dedup, bool) else list(self.dedup)

    def parts(self) -> list[list[tuple[str, str]]]:
        """For each item of `configs` its labels and SQL."""
        return [
            [(said, said) if isinstance(said, str) else next(iter(said.items())) for said in _listed(item)]
            for item in self.configs
        ]

    def file_bytes(self) -> int:
        """`file_size` as a number."""
        return _bytes(self.file_size)

    def pair_rules(self) -> list[Pairs]:
        """The rules of preference pairs, in order."""
        return list(_listed(self.pairs))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _bytes(said: int | str) -> int:
    """`500MB` as a number; 0 for what is none."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([kMGT])(i?))?B?\s*", str(said), re.IGNORECASE)
    if not found:
        return 0
    power = " kmgt".index((found[2] or " ").lower())
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def _texts(node: Any) -> Any:
    """A nested mapping with its keys as SQL would write them."""
    if not isinstance(node, dict):
        return node
    spelt = {None: "null", True: "true", False: "false"}
    return {
        spelt[key] if key is None or isinstance(key, bool) else str(key): _texts(inner) for key, inner in node.items()
    }
