"""SQL over corpora, datasets and runs; every query of docs/sql.md is run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from builders.errors import CotmillError
from curation.asking.sql import connect, query
from curation.config import CurateConfig
from curation.packaging.dataset import write_dataset
from tests.corpora import corpus_of, trace

DOCS = Path(__file__).parent.parent / "docs" / "sql.md"
QUESTIONS = re.findall(r"^```sql\n(.*?)^```", DOCS.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run: 16 traces of 4 problems, `big` always right and `small` on odd samples; and 4 of 2 more problems."""
    folder = tmp_path_factory.mktemp("run's")
    rows = [
        trace(
            f"p{i % 4}",
            f"{i}. #### {12 if teacher == 'big' or i // 4 % 2 else 13}\n",
            teacher=teacher,
            granularity=i % 2 + 1,
            sample_index=i // 4,
            status="truncated" if i == 0 else "ok",
        )
        for i in range(8)
        for teacher in ("big", "small")
    ]
    rows += [trace("unsolved", "#### 7", teacher=teacher) for teacher in ("big", "small")]
    rows += [trace("hard", f"#### {says}", teacher=who, granularity=3) for who, says in (("big", 12), ("small", 13))]
    corpus = corpus_of(folder / "corpus", rows[:7], rows[7:])
    write_dataset(corpus, CurateConfig(splits={"train": 0.5, "test": 0.5}), folder / "dataset", name="n")
    return folder


def ask(run: Path, sql: str) -> list[dict]:
    return json.loads(query(run, sql, format="json"))


def test_ten_questions_and_one_more():
    assert len(QUESTIONS) == 11


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_each_question_of_the_docs_has_an_answer(run, question):
    assert len(ask(run, question)) > 0


def test_pass_rate_per_level_by_hand(run):
    # Level 1: 8 traces, big 4 of 4, small 2 of 4, and both of `unsolved` wrong: 6 of 10. Level 2: 6 of 8.
    rates = {row["granularity"]: row["pass_rate"] for row in ask(run, QUESTIONS[0])}
    assert rates == {1: 0.6, 2: 0.75, 3: 0.5}


def test_pass_at_k_by_hand(run):
    sql = QUESTIONS[6].replace("group by all\n)", "group by all having problem_id = 'p0'\n)")
    # p0 has 4 traces at level 1, 3 correct: 1 - 1/4, then 1 - 1/4 * 0/3.
    assert [(row["k"], row["pass_at_k"]) for row in ask(run, sql)] == [(1, 0.75), (2, 1.0), (4, 1.0)]


def test_problems_nobody_solves(run):
    [row] = ask(run, QUESTIONS[3])
    assert (row["question"], row["tries"], row["mostly_answered"]) == ("What is unsolved?", 2, "7")


def test_views_of_a_run(run):
    views = [row["name"] for row in ask(run, "select table_name as name from information_schema.tables order by 1")]
    assert views == ["kept", "marks_verify", "problems", "removed", "traces"]


@pytest.mark.parametrize(
    ("part", "views"), [("corpus", {"marks_verify", "problems", "traces"}), ("dataset", {"kept", "removed"})]
)
def test_views_of_a_part(run, part, views):
    names = ask(run / part, "select table_name as name from information_schema.tables")
    assert {row["name"] for row in names} == views


def test_kept_and_removed_are_the_traces(run):
    [row] = ask(run, "select (select count(*) from kept) as k, (select count(*) from removed) as r")
    assert row["k"] + row["r"] == 20


def test_splits_have_names(run):
    assert {row["split_name"] for row in ask(run, "select distinct split_name from kept")} <= {"train", "test"}


def test_marks_are_those_the_dataset_was_made_with(tmp_path):
    corpus = corpus_of(tmp_path / "corpus", [trace("p", "He has 12."), trace("q", "#### 12")])
    write_dataset(corpus, CurateConfig(), tmp_path / "dataset", name="n")
    write_dataset(corpus, CurateConfig(passes=["verify:fallback=last_number"]), tmp_path / "other", name="n")
    count = "select count(*) as n from marks_verify where verdict = 'correct'"
    assert ask(tmp_path, count) == [{"n": 1}]  # of the run's own dataset
    assert ask(tmp_path / "corpus", count) == [{"n": 2}]  # no dataset says: the newest


# What a query cannot do ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "copy traces to '{run}/x.csv'",
        "copy traces to '{run}/corpus/traces/part-000000.parquet' (use_tmp_file false)",
        "explain analyze copy traces to '{run}/x.csv'",
        "create table x as select 1",
        "drop view traces",
        "attach '{run}/x.db'",
        "set memory_limit = '1GB'",
        "select 1; select 2",
        "select * from '/etc/hostname'",
        "select * from read_text('/etc/hostname')",
        "select * from glob('/etc/*')",
        "",
    ],
)
def test_a_query_reads_and_reads_only_its_directory(run, sql):
    before = sorted(run.rglob("*"))
    with pytest.raises(CotmillError):
        query(run, sql.format(run=str(run).replace("'", "''")))
    assert sorted(run.rglob("*")) == before


def test_other_files_when_allowed(run, tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(CotmillError, match=r"disabled by configuration[^§]*--allow-files"):
        query(run, f"select * from read_csv('{tmp_path}/x.csv')")
    assert query(run, f"select * from read_csv('{tmp_path}/x.csv')", format="csv", allow_files=True) == "a\n1"


def test_a_typo_lists_views_and_columns(run):
    with pytest.raises(CotmillError, match=r"granularty(.|\n)*marks_verify: trace_id, verdict, answer"):
        query(run, "select granularty from traces")


def test_a_directory_of_nothing_says_so(tmp_path):
    with pytest.raises(CotmillError, match="neither a corpus, a dataset nor a run"):
        query(tmp_path, "select 1")


def test_explain_and_pivot_are_queries(run):
    assert "PROJECTION" in query(run, "explain select * from traces").upper()
    assert len(ask(run, "pivot traces on teacher using count(*) group by granularity")) == 3


def test_connect_gives_a_connection_with_the_views(run):
    with connect(run) as connection:
        assert connection.execute("select count(*) from traces").fetchone() == (20,)


# How results look ---------------------------------------------------------------------------------------


def test_a_table(run):
    sql = (
        "select granularity as level, count(*) as n, 1234567 as big, 'x' as t "
        "from traces where granularity < 3 group by 1 order by 1"
    )
    assert query(run, sql).splitlines() == [
        "level   n      big  t",
        "─────  ──  ───────  ─",
        "    1  10  1234567  x",
        "    2   8  1234567  x",
        "(2 rows)",
    ]


def test_long_text_is_cut_and_numbers_are_not(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = query(run, "select repeat('ab ', 99) as t, 123456789012345678901234567890 as n").splitlines()
    assert lines[2].endswith("…  123456789012345678901234567890")
    assert lines[3] == "(1 row)"


def test_a_table_shows_a_thousand_rows_and_counts_all(run):
    lines = query(run, "from range(5000)").splitlines()
    assert (len(lines), lines[-1]) == (1003, "(5,000 rows, the first 1,000 shown)")


def test_a_models_text_cannot_drive_the_terminal(run):
    assert "\x1b" not in query(run, "select 'a' || chr(27) || '[2J' || chr(10) || 'b' as t")


def test_wide_characters_keep_columns_straight(run):
    lines = query(run, "select * from (values ('日本', 1), ('ab', 2)) t(a, n)").splitlines()
    assert lines[2:4] == ["日本  1", "ab    2"]


def test_json_has_nested_values_and_null_for_what_json_lacks(run):
    [row] = ask(run, "select [1, 2] as l, {'a': null} as s, 'nan'::double as x, date '2026-01-02' as d, 1.50 as c")
    assert row == {"l": [1, 2], "s": {"a": None}, "x": None, "d": "2026-01-02", "c": 1.5}


def test_no_rows_are_still_valid(run):
    assert ask(run, "select 1 as a where false") == []
    assert query(run, "select 1 as a where false", format="csv") == "a"


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_results_go_to_a_file(run, tmp_path, ending):
    out = tmp_path / f"x.{ending}"
    assert query(run, "select trace_id, completion_tokens from traces", out=out) == ""
    read = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[ending]
    assert read(out).shape == (20, 2)


def test_an_unknown_format_is_refused(run):
    with pytest.raises(CotmillError, match="table, csv or json"):
        query(run, "select 1", format="xml")


def test_a_question_loads_no_more_than_duckdb(run):
    code = (
        "import sys; from pathlib import Path; from curation.asking.sql import query; "
        f"query(Path({str(run)!r}), 'select count(*) from traces'); "
        "print(sorted({'polars', 'pyarrow', 'pydantic', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
