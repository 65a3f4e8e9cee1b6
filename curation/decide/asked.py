"""Which expressions a recipe's `curate` section asks of every trace, as one SELECT list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from curation.config import CurateConfig
from curation.decide.expressions import Kind

MISSING: Final = "null"
"""How a cell spells a value that is not there."""
BETWEEN: Final = "\x1f"
"""Between the values of a cell."""
COMPLETIONS: Final = {
    "response": "response",
    "answer": "coalesce(answer, case when reasoning is null then response end)",
}
"""What a student learns to say, in SQL. A response that is all reasoning answers nothing."""
FINE, FAILED, UNKNOWN = ".", "f", "u"
"""States of a condition for one trace; a trace's `states` has one for its completion, then one per condition."""


class Expression(NamedTuple):
    """An expression of the user, and where the recipe says it."""

    where: str
    sql: str
    kind: Kind


@dataclass(frozen=True)
class Asked:
    """What is asked of every trace."""

    expressions: list[Expression]
    """To be checked before anything runs."""
    select: str
    """The SELECT list."""
    coded: tuple[str, ...]
    """Columns of few different texts."""
    typed: dict[str, Any]
    """Columns of numbers -> numpy's type."""


def asked(config: CurateConfig) -> Asked:
    """All that `config` wants to know about a trace."""
    parts = _Parts()
    parts.scalars(config)
    conditions = [Expression("curate.keep", said, "boolean") for said in config.conditions()]
    parts.expressions += conditions
    states = [f"case when coalesce(trim({COMPLETIONS[config.completion]}), '') = '' then '{FAILED}' else '{FINE}' end"]
    states += [f"case when {_in(one)} then '{FINE}' when not {_in(one)} then '{FAILED}' else '{UNKNOWN}' end"
               for one in conditions]  # fmt: skip
    parts.code("states", " || ".join(states))
    gold = "coalesce(gold_value, gold, '')"
    if config.dedup is True:
        text = "md5(coalesce(reasoning, '')) || coalesce(answer, response, '')"
        parts.hash("text", f"md5(coalesce(problem_id, '')) || {text}")
    for name in config.groups():
        # With the gold answer, so that whatever a pass says, unlike problems are never one group.
        parts.hash(f"group:{name}", f'md5({_quoted(name)}."group") || {gold}')
    if config.split_by != "problem":
        parts.hash("split_group", f'{_quoted(config.split_by)}."group"')
    parts.number("prefer", "curate.prefer", config.prefer if config.prefer not in _ORDERS else None)
    if limit := config.per_problem:
        parts.number("best", "curate.per_problem.by", limit.by)
        if limit.one_per:
            parts.cell("one_per", "curate.per_problem.one_per", limit.one_per)
    if config.common:
        parts.cell("common", "curate.common", list(config.common))
    if config.mix:
        parts.cell("mix", "curate.mix.by", config.mix.by)
    if config.configs:
        parts.cell("config", "curate.configs", list(dict.fromkeys(sql for item in config.parts() for _, sql in item)))
    parts.number("weight", "curate.weights", config.weights)
    for number, pair in enumerate(config.pair_rules()):
        if isinstance(pair.rule, list):
            for side, said in zip(("chosen", "rejected"), pair.rule, strict=True):
                parts.flag(f"{side}:{number}", "curate.pairs.rule", said)
        elif pair.rule == "correct_incorrect":
            parts.flag(f"chosen:{number}", "curate.pairs.rule", "verify.verdict = 'correct'")
            parts.flag(f"rejected:{number}", "curate.pairs.rule", "verify.verdict = 'incorrect'")
    return Asked(parts.expressions, ", ".join(parts.columns), tuple(parts.coded), parts.typed)


_ORDERS: Final = ("first", "shortest", "longest")


class _Parts:
    """The SELECT list as it grows."""

    def __init__(self) -> None:
        self.expressions: list[Expression] = []
        self.columns: list[str] = []
        self.coded: list[str] = []
        self.typed: dict[str, Any] = {}

    def scalars(self, config: CurateConfig) -> None:
        self.columns += [
            *("_aligned", "trace_id", "problem_id", "teacher", "format"),
            "coalesce(granularity, 127)::smallint as granularity",
            "coalesce(sample_index::bigint, 9223372036854775807) as sample_index",
            "coalesce(completion_tokens, -1)::integer as tokens",
        ]
        # Hex digits of a hash: a problem's place between 0 and 1, wherever shares end.
        self._add("bits", f"('0x' || left(md5('{config.split_seed}/' || problem_id), 8))::uinteger", np.uint32, "0")

    def code(self, name: str, sql: str) -> None:
        self.columns.append(f"{sql} as {_quoted(name)}")
        self.coded.append(name)

    def cell(self, name: str, where: str, said: list[str]) -> None:
        own = [Expression(where, one, "any") for one in said]
        self.expressions += own
        values = f" || '{BETWEEN}' || ".join(f"coalesce({_in(one)}::varchar, '{MISSING}')" for one in own)
        self.code(name, values)

    def hash(self, name: str, sql: str) -> None:
        self._add(name, f"md5_number_lower({sql})", np.uint64, "0")

    def number(self, name: str, where: str, said: str | None) -> None:
        if said is not None:
            self.expressions.append(one := Expression(where, said, "number"))
            self._add(name, f"{_in(one)}::double", np.float64, "'nan'::double")

    def flag(self, name: str, where: str, said: str) -> None:
        self.expressions.append(one := Expression(where, said, "boolean"))
        self._add(name, _in(one), np.bool_, "false")

    def _add(self, name: str, sql: str, kind: Any, missing: str) -> None:
        self.columns.append(f"coalesce({sql}, {missing}) as {_quoted(name)}")
        self.typed[name] = kind


def cell_text(values: list[Any]) -> str:
    """A cell as `Asked.select` spells it, of values that a recipe lists."""
    spelt = {None: MISSING, True: "true", False: "false"}
    return BETWEEN.join(spelt[v] if v is None or isinstance(v, bool) else str(v) for v in values)


def _in(one: Expression) -> str:
    """The expression in parentheses; a comment at its end ends with the line."""
    return f"({one.sql}\n)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
