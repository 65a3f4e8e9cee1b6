"""The decision: which traces are kept, in which split, and why each other one is not.

DuckDB evaluates the recipe's conditions over traces and marks; a pass stands in SQL as a struct
named after it, so that `verify.verdict = 'correct' and granularity <= 2` means what it says and
its `answer` is never confused with the trace's. Everything is decided here, once, and no row is
lost: the decision names every trace of the corpus exactly once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from builders.corpus import Corpus
from builders.errors import CorpusError, CotmillError
from curation.config import CurateConfig
from curation.marks import marks_file
from curation.passes import Pass

if TYPE_CHECKING:
    import duckdb

ORDER: Final = "problem_id, teacher, granularity, format, sample_index, trace_id"
"""Order of rows in a dataset: the same whenever and by whichever shards the traces came."""
NO_COMPLETION: Final = "no completion"
DUPLICATE: Final = "duplicate"
PER_PROBLEM: Final = "per_problem"
COMMON: Final = "common"
COMPLETIONS: Final = {
    "response": "response",
    "answer": "coalesce(answer, case when reasoning is null then response end)",
}
"""What a student learns to say, in SQL. A response that is all reasoning answers nothing."""
UNSTEADY: Final = (
    r"(?i)\b(random|setseed|uuid\w*|gen_random_uuid|now|today|nextval|get_current_\w+|current_setting)\s*\("
)
"""Functions that give another answer next time; then the same recipe would give another dataset."""


def decide(corpus: Corpus, config: CurateConfig, passes: Sequence[Pass]) -> pl.DataFrame:
    """Keep or remove each trace; marks must be there (`curation.marks.mark`).

    Rules, in this order, the first that applies giving the reason: `no completion` (nothing to learn),
    `failed: <condition>` and `unknown: <condition>` (false, null) for each condition of `keep`,
    `duplicate`, `per_problem`, `common`.

    Returns:
        trace_id, split, reason: String [traces], in the order of a dataset. `reason` is null for kept
        rows. `split` goes by a hash of the problem's id, for removed rows too.

    Raises:
        CotmillError: a condition is no SQL, names what is not there (the message names what is), or is
            not true or false; also when it would read files.
        CorpusError: there are no traces, or two with one id.
    """
    import duckdb

    shards = corpus.shards()
    if not shards:
        raise CorpusError(f"{corpus.path} holds no traces yet.\nSample some: cotmill sample RECIPE --out {corpus.path}")
    marks = {made.name: [marks_file(corpus, made, shard) for shard in shards] for made in passes}
    with duckdb.connect(":memory:") as connection:
        wall_in(connection, [*shards, *(file for files in marks.values() for file in files)])
        connection.execute(f"create view traces as {marked(shards, passes, marks)}")
        for condition in config.conditions():
            check_condition(connection, condition, passes)
        try:
            decided: pl.DataFrame = connection.sql(_decision(config)).pl()
        except duckdb.Error as error:  # of the values, not the words: a cast that fails, for example
            raise CotmillError(f"curate.keep: {brief(error)}\nNothing was written.") from None
        (total,) = connection.execute("select count(*) from traces").fetchone() or (0,)
    if decided.height != total:
        raise CotmillError(f"curate.keep made {decided.height:,} rows of {total:,} traces; nothing was written.")
    if doubled := total - decided["trace_id"].n_unique():
        raise CorpusError(
            f"{corpus.path} holds {doubled:,} trace ids more than once; nothing was written. See them:\n"
            f"cotmill sql {corpus.path} 'select trace_id from traces group by 1 having count(*) > 1'"
        )
    return decided


def wall_in(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """From here on the connection reads these files and no others, and nothing can change that."""
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"set allowed_paths = [{', '.join(map(_literal, files))}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def marked(shards: Sequence[Path], passes: Sequence[Pass], marks: dict[str, list[Path]]) -> str:
    """SELECT of all traces with one struct column per pass."""
    joins, columns = "", ""
    for made in passes:
        fields = ", ".join(f"'{name}': \"{made.name}.{name}\"" for name in made.marks)
        joins += (
            f' left join (select trace_id, {{{fields}}} as marks from {_read(marks[made.name])}) as "{made.name}"'
            " using (trace_id)"
        )
        columns += f', "{made.name}".marks as "{made.name}"'
    return f"select traces.*{columns} from {_read(shards)} as traces{joins}"


def check_condition(
    connection: duckdb.DuckDBPyConnection, condition: str, passes: Sequence[Pass], where: str = "curate.keep"
) -> None:
    """Raise CotmillError unless `condition` is one expression that is true or false for a trace."""
    import duckdb

    if unsteady := re.search(UNSTEADY, condition):
        raise CotmillError(
            f"{where}: `{condition}` calls {unsteady[1]}(): the same recipe would give another dataset next "
            "time.\nFor a random choice per problem say `per_problem: {max: 1, rule: random, seed: 0}`."
        )
    try:
        duckdb.SQLExpression(condition)  # exactly one expression, no statement
        [(_, kind, *_)] = connection.execute(f"describe select ({condition}\n) from traces").fetchall()
    except duckdb.Error as error:
        rows = connection.execute("select column_name from (describe traces)").fetchall()
        own = ", ".join(f"{made.name}.{name}" for made in passes for name in made.marks)
        columns = ", ".join(name for (name,) in rows if name not in {made.name for made in passes})
        raise CotmillError(
            f"{where}: `{condition}` cannot be evaluated: {brief(error)}\n"
            f"Marks: {own or 'none, as no passes are named'}\nTrace columns: {columns}\nNothing was written."
        ) from None
    if kind != "BOOLEAN":
        raise CotmillError(f"{where}: `{condition}` is {kind}, not true or false; compare it with something.")


def _decision(config: CurateConfig) -> str:
    """The query whose rows are the decision."""
    cases = [f"when coalesce(trim({COMPLETIONS[config.completion]}), '') = '' then '{NO_COMPLETION}'"]
    for condition in config.conditions():
        cases.append(f"when ({condition}\n) is null then {_literal(f'unknown: {condition}')}")
        cases.append(f"when not ({condition}\n) then {_literal(f'failed: {condition}')}")
    survivors = "partition by reason is null, problem_id"
    duplicate = f"row_number() over ({survivors}, text order by {ORDER}) > 1" if config.dedup else "false"
    limit, over = config.per_problem, "false"
    if limit:
        by = {
            "first": "sample_index",
            "shortest": "completion_tokens asc nulls last",
            "longest": "completion_tokens desc nulls last",
            "random": f"md5('{limit.seed}/' || trace_id)",
        }[limit.rule]
        over = f"row_number() over ({survivors} order by {by}, {ORDER}) > {limit.max}"
    return f"""
        with ruled as (
            select *, case {" ".join(cases)} end as reason,
                md5(coalesce(reasoning, '')) || md5(coalesce(answer, response, '')) as text
            from traces),
        unlike as (select * replace (case when reason is null and {duplicate} then '{DUPLICATE}' else reason end
                as reason) from ruled),
        few as (select * replace (case when reason is null and {over} then '{PER_PROBLEM}' else reason end
                as reason) from unlike),
        shared as ({_shared(config, "few")})
        select trace_id, {_split(config)} as split, reason from shared order by {ORDER}"""


def _shared(config: CurateConfig, table: str) -> str:
    """SELECT that gives the reason `common` to traces whose problem lacks a combination."""
    if not config.common:
        return f"from {table}"
    columns = list(config.common)
    key = f"struct_pack({', '.join(columns)})"
    if isinstance(config.common, dict):
        combinations = list(itertools.product(*config.common.values()))
        rows = [", ".join(map(_value, combination)) for combination in combinations]
        listed = ", ".join(f"row({row})" for row in rows)
        wanted, counted = str(len(set(rows))), f"filter (where row({', '.join(columns)}) in ({listed}))"
    else:
        wanted, counted = f"(select count(distinct {key}) from {table} where reason is null)", ""
    held = f"count(distinct {key}) {counted} over (partition by reason is null, problem_id)"
    lacking = f"reason is null and {held} < {wanted}"
    return f"select * replace (case when {lacking} then '{COMMON}' else reason end as reason) from {table}"


def _value(value: int | str | None) -> str:
    return "null" if value is None else str(value) if isinstance(value, int) else _literal(value)


def _split(config: CurateConfig) -> str:
    """The first 32 bits of a hash, cut where the shares end; hex digits sort like the numbers they write."""
    shares = [(name, share) for name, share in config.splits.items() if share > 0]
    bits, reached, cases = f"left(md5('{config.split_seed}/' || problem_id), 8)", 0.0, ""
    for name, share in shares[:-1]:
        reached += share
        cases += f" when {bits} < '{min(round(reached * 2**32), 2**32 - 1):08x}' then '{name}'"
    last = f"'{shares[-1][0]}'"
    return f"case{cases} else {last} end" if cases else last


def brief(error: Exception) -> str:
    """DuckDB's message without the query around it, which is not the user's."""
    return str(error).split("\n\nLINE ")[0].strip()


def _read(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(map(_literal, files))}], union_by_name = true, hive_partitioning = false)"


def _literal(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"
