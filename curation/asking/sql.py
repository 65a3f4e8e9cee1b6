"""SQL over a corpus, a dataset or a run, by DuckDB, read-only.

Views: `problems`, `traces`, `marks_<pass>` (the pass's columns without its prefix), `kept` (all splits of the
default config, with a column `split_name`), `removed`, every other config of a dataset by its name, of an evaluation
`eval` and `eval_probes`, for a run also `eval_before` and `eval_after`, of a study `results` and `answers`. A query
sees only the directory or the repository it is asked about; what is far away is read in ranges, the columns and row
groups that the query needs. Imports DuckDB alone, so that a question costs no more than its answer. docs/sql.md has
examples; how results are printed is in `curation.asking.show`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from builders.errors import CotmillError

if TYPE_CHECKING:
    import duckdb

    from curation.asking.places import Place

FORMATS = ("table", "csv", "json", "parquet")
LISTED = "There is:"
"""Between what is wrong with a query and the list of views."""
EXPLAINED = re.compile(r"\s*explain\s+(analyze\s+)?(select|from|with|values|pivot|describe|summarize)\b", re.IGNORECASE)
"""EXPLAIN ANALYZE runs what it explains, a COPY too."""


def connect(directory: str | Path, *, allow_files: bool = False) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with a view for everything in `directory`.

    Args:
        directory: a corpus, a dataset, or a run that holds `corpus/` and `dataset/`; or the URL of a dataset or of one
            Parquet file, see `curation.asking.places.locate`.
        allow_files: let queries read and write other files; otherwise DuckDB refuses.

    Returns:
        A connection to be closed.

    Raises:
        CotmillError: there is nothing to ask at `directory`.
    """
    import duckdb

    from curation.asking.places import is_url, locate, register

    if is_url(directory):
        place = locate(directory)
        connection = duckdb.connect(":memory:")
        register(connection, place)
        return _prepared(connection, _config_views(place), place.root, allow_files)
    directory = Path(directory)
    views = _views(directory)
    if not views:
        found = "no such directory" if not directory.is_dir() else "it holds no problems, traces or data"
        raise CotmillError(
            f"{directory} is neither a corpus, a dataset nor a run: {found}.\n"
            "Make a corpus: cotmill sample RECIPE --out CORPUS"
        )
    return _prepared(duckdb.connect(":memory:"), views, str(directory.resolve()), allow_files)


def _prepared(
    connection: duckdb.DuckDBPyConnection, views: dict[str, str], root: str, allow_files: bool
) -> duckdb.DuckDBPyConnection:
    """The connection with its views, and nothing but what lies below `root` to be read."""
    import duckdb

    try:
        connection.execute("set timezone = 'UTC'")
        for name, select in views.items():
            connection.execute(f"create view {_quoted(name)} as {select}")
        if not allow_files:
            connection.execute(f"set allowed_directories = [{_literal(root + '/')}]")
            connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        raise CotmillError(f"{root} cannot be read: {reason(error)}") from None
    return connection


def query(
    directory: str | Path, sql: str, *, format: str = "table", out: Path | None = None, allow_files: bool = False
) -> str:
    """Run one query.

    Args:
        directory: see `connect`.
        sql: one SELECT in DuckDB's dialect (`from traces` and `with ...` are such).
        format: table (for people), csv, json (an array of objects), or parquet (with `out`).
        out: file to write instead of returning text; its ending names the format.
        allow_files: see `connect`.

    Returns:
        The rows as text; empty when they went to `out`.

    Raises:
        CotmillError: the query is wrong (DuckDB says how; the views and their columns are listed), or
            the format is unknown.
    """
    import duckdb

    from curation.asking import show

    if out is not None:
        format = out.suffix.lstrip(".").lower() or format
    if format not in FORMATS or (format == "parquet" and out is None):
        raise CotmillError(f"--format {format}: say table, csv or json; parquet needs --out FILE.parquet")
    with connect(directory, allow_files=allow_files) as connection:
        if out is None:
            return ask(connection, sql, format)
        try:
            _check(connection, sql)
            show.write(connection, sql, format, out)
        except duckdb.Error as error:
            raise CotmillError(f"{reason(error)}\n{LISTED}\n{inventory(connection)}") from None
    return ""


def ask(connection: duckdb.DuckDBPyConnection, sql: str, format: str = "table") -> str:
    """The rows of one query as text; see `query`.

    Raises:
        CotmillError: the query is wrong, or does more than read.
    """
    import duckdb

    from curation.asking import show

    try:
        _check(connection, sql)
        return show.text(connection, sql, format)
    except duckdb.Error as error:
        raise CotmillError(f"{reason(error)}\n{LISTED}\n{inventory(connection)}") from None


def reason(error: duckdb.Error) -> str:
    """What DuckDB says; of what went wrong while it read from far away, the exception alone."""
    said = str(error).strip()
    raised = re.findall(r"^(?:\w+[.])*(\w+(?:Error|Exception|Timeout)): (.*)", said, flags=re.MULTILINE)
    if "Traceback" in said and raised:
        return ": ".join(raised[-1]).strip()
    hint = "\nA query reads other files with --allow-files." if "disabled by configuration" in said else ""
    return said + hint


def statements(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """The statements of a script, apart.

    Raises:
        CotmillError: it cannot be parsed.
    """
    import duckdb

    try:
        return [statement.query for statement in connection.extract_statements(sql)]
    except duckdb.Error as error:
        raise CotmillError(str(error)) from None


def _check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise CotmillError unless `sql` is one statement that only reads."""
    from duckdb import StatementType

    statements = connection.extract_statements(sql)
    reads = [
        statement.type in (StatementType.SELECT, StatementType.MULTI)  # PIVOT counts as several
        or (statement.type == StatementType.EXPLAIN and EXPLAINED.match(statement.query))
        for statement in statements
    ]
    if len(reads) != 1 or not reads[0]:
        raise CotmillError("Say one SELECT (or EXPLAIN of one): queries here read, and never write.")


def _views(directory: Path) -> dict[str, str]:
    """View name -> SELECT for what is there."""
    corpus = directory / "corpus" if (directory / "corpus").is_dir() else directory
    dataset = directory / "dataset" if (directory / "dataset").is_dir() else directory
    if any((corpus / "journal").glob("part-*.jsonl")):  # left by a killed writer; opening recovers it
        from builders.corpus import Corpus

        Corpus(corpus)
    from curation.asking.places import locate

    shown = (dataset / "data").is_dir() or (dataset / "removed").is_dir()
    views = (_config_views(locate(dataset)) if shown else {}) | {
        "problems": f"select * from {_read(corpus / 'problems')}",
        "traces": f"select * from {_read(corpus / 'traces')}",
        **_evaluations(directory),
        **_study(directory),
    }
    for name, folder in _marks(corpus / "marks", dataset / "dataset.json").items():
        views[f"marks_{name}"] = f"select columns('^(?:{name}[.])?(.*)$') as '\\1' from {_read(folder)}"
    return {name: select for name, select in views.items() if "read_parquet([]" not in select}


def _config_views(place: Place) -> dict[str, str]:
    """The configs of a dataset: the default one is `kept`, files without any are `data`."""
    views, default = {}, place.default()
    for config, splits in place.configs().items():
        parts = [
            f"select *{'' if config == 'removed' else f', {_literal(split)} as split_name'} from {_scan(place, paths)}"
            for split, paths in splits.items()
            if paths
        ]
        if parts:
            views["kept" if config == default else config] = " union all by name ".join(parts)
    return views


def _scan(place: Place, paths: list[str]) -> str:
    files = ", ".join(_literal(place.url(path)) for path in paths)
    by_name = "true" if place.filesystem is None else "false"  # far away, a look into every footer is dear
    return f"read_parquet([{files}], union_by_name = {by_name}, hive_partitioning = false)"


def _study(directory: Path) -> dict[str, str]:
    """`results` and `answers` of a study; see `training.study.run`."""
    if not (directory / "study.json").is_file():
        return {}
    arm = "regexp_extract(filename, '/arms/([^/]+)/', 1)"
    answers = _read(directory / "arms", "*/evaluation/results.parquet").replace(", union", ", filename = true, union")
    return {
        "results": f"select * from {_read(directory, 'results.parquet')}",
        "answers": f"select {arm} as arm, * exclude (filename) from {answers}",
    }


def _evaluations(directory: Path) -> dict[str, str]:
    """`eval` and `eval_probes` of an evaluation; of a directory that holds some, `eval_<name>` and so on."""
    found = {"eval": directory} if (directory / "evaluation.json").is_file() else {}
    found |= {f"eval_{file.parent.name}": file.parent for file in sorted(directory.glob("[!.]*/results.parquet"))}
    return {
        view + suffix: f"select * from {_read(folder, name)}"
        for view, folder in found.items()
        for suffix, name in (("", "results.parquet"), ("_probes", "probes.parquet"))
    }


def _marks(marks: Path, manifest: Path) -> dict[str, Path]:
    """Pass -> folder `<pass>-<fingerprint>`; of several the one the dataset was made with, else the newest."""
    folders = sorted((p for p in marks.glob("*-*") if _files(p)), key=lambda p: p.stat().st_mtime_ns)
    chosen = {folder.name.rpartition("-")[0]: folder for folder in folders}
    if manifest.is_file():
        for name, fingerprint in json.loads(manifest.read_bytes()).get("passes", {}).items():
            if (folder := marks / f"{name}-{fingerprint[:8]}") in folders:
                chosen[name] = folder
    return chosen


def _files(folder: Path, pattern: str = "*.parquet") -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if not file.name.startswith("."))


def _read(folder: Path, pattern: str = "*.parquet") -> str:
    files = ", ".join(_literal(str(file.resolve())) for file in _files(folder, pattern))
    return f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def inventory(connection: duckdb.DuckDBPyConnection) -> str:
    """The views and their columns, a line each."""
    rows = connection.execute(
        "select table_name, string_agg(column_name, ', ' order by ordinal_position) "
        "from information_schema.columns group by 1 order by 1"
    ).fetchall()
    return "\n".join(f"  {name}: {columns}" for name, columns in rows)
