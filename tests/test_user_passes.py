"""Passes that users bring: SQL in a recipe, a class in a file; what raises or hangs costs only its rows."""

from __future__ import annotations

import polars as pl
import pytest

from builders.errors import CotmillError
from curation.engine import foreign
from curation.engine.marking import mark_frame
from curation.engine.marks import mark, marks_file
from curation.passes import fingerprint, make_pass, parse_pass
from tests.corpora import corpus_of, messy_traces, trace

CODE = '''
from dataclasses import dataclass
import time
import polars as pl

@dataclass(frozen=True)
class Shouting:
    """Marks traces by their share of capitals."""
    name, version, reads = "shouting", 1, ("response",)
    marks = {"share": pl.Float64(), "loud": pl.Boolean()}
    least: float = 0.5

    def mark(self, traces):
        if traces.select((pl.col("response") == "raise").any()).collect().item():
            raise ValueError("cannot bear this")
        if traces.select((pl.col("response") == "hang").any()).collect().item():
            time.sleep(600)
        text = pl.col("response")
        share = text.str.count_matches("[A-Z]") / text.str.len_chars()
        return traces.with_columns(share.alias("shouting.share"), (share >= self.least).alias("shouting.loud"))

@dataclass(frozen=True)
class Broken(Shouting):
    name = "broken"

    def mark(self, traces):
        raise RuntimeError("never works")

@dataclass(frozen=True)
class Greedy(Shouting):
    name = "greedy"

    def mark(self, traces):
        own = {"shouting.share": "greedy.share", "shouting.loud": "greedy.loud"}
        return Shouting.mark(self, traces).rename(own).head(1)
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_passes.py"
    path.write_text(CODE)
    foreign.load.cache_clear()
    return path


def corpus(tmp_path, *says):
    return corpus_of(tmp_path / "c", [trace(f"p{i}", said) for i, said in enumerate(says)])


def marks(corpus, made):
    return pl.read_parquet([marks_file(corpus, made, shard) for shard in corpus.shards()])


def test_a_class_in_a_file_is_a_pass(file, tmp_path):
    held = corpus(tmp_path, "LOUD", "quiet", None)
    made = parse_pass(f"{file}/Shouting:least=0.9")
    assert mark(held, [made]).computed == {"shouting": 1}
    assert marks(held, made)["shouting.loud"].to_list() == [True, False, None]


def test_it_obeys_the_laws_of_passes(file):
    made, messy = make_pass(f"{file}/Shouting"), messy_traces()
    marked = made.mark(messy.lazy()).collect()
    assert marked.select(messy.columns).equals(messy)
    assert marked.columns[-2:] == ["shouting.share", "shouting.loud"]


def test_a_row_it_raises_on_costs_only_itself(file, tmp_path):
    held = corpus(tmp_path, "LOUD", "raise", "quiet")
    made = make_pass(f"{file}/Shouting")
    report = mark(held, [made])
    assert report.failed == {"shouting": 1}
    assert report.failures["shouting"][0]["error"] == "ValueError: cannot bear this"
    assert marks(held, made)["shouting.loud"].to_list() == [True, None, False]
    assert mark(held, [made]).failed == {"shouting": 1}  # not forgotten when nothing is left to do


def test_a_row_it_hangs_on_is_killed(file, tmp_path, monkeypatch):
    monkeypatch.setattr(foreign, "SECONDS", 3.0)
    held = corpus(tmp_path, "LOUD", "hang", "quiet")
    made = make_pass(f"{file}/Shouting")
    assert mark(held, [made]).failures["shouting"][0]["error"] == "took longer than 3 s"
    assert marks(held, made)["shouting.loud"].to_list() == [True, None, False]


def test_a_pass_that_never_works_is_given_up(file, tmp_path):
    held = corpus(tmp_path, *(f"text {i}" for i in range(100)))
    with pytest.raises(CotmillError, match=r"broken fails on each of the 64 traces .* RuntimeError: never works"):
        mark(held, [make_pass(f"{file}/Broken")])
    assert not list((held.path / "marks").glob("*/*.parquet"))


def test_a_pass_that_drops_rows_is_stopped(file, tmp_path):
    held = corpus(tmp_path, "a", "b")
    with pytest.raises(CotmillError, match="greedy"):
        mark(held, [make_pass(f"{file}/Greedy")])


def test_other_code_other_marks(file):
    before = fingerprint(make_pass(f"{file}/Shouting"))
    file.write_text(CODE + "\n# mended\n")
    foreign.load.cache_clear()
    assert fingerprint(make_pass(f"{file}/Shouting")) != before


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("nothing.py/Shouting", "there is no file nothing.py"),
        ("{file}/Nobody", "Nobody"),
        ("{file}/Shouting:most=1", "has no parameter `most`"),
        ("{file}/Shouting:least=loud", "valid number"),
    ],
)
def test_mistakes_are_told(file, said, message):
    with pytest.raises(CotmillError, match=message):
        parse_pass(said.replace("{file}", str(file)))


def test_what_is_missing_is_told_at_once(tmp_path):
    path = tmp_path / "half.py"
    path.write_text("class Half:\n    name = 'half'\n    reads = ()\n")
    with pytest.raises(CotmillError, match="lacks version, marks, mark"):
        make_pass(f"{path}/Half")


# Plain SQL.


def sql(select, name="mine"):
    return parse_pass({"sql": {"name": name, "select": select}})


def test_sql_is_a_pass(tmp_path):
    held = corpus(tmp_path, "a b", None, "it's")
    made = sql("length(response) as chars, response like '%''%' as quoted")
    mark(held, [made])
    assert marks(held, made)["mine.chars"].to_list() == [3, None, 4]
    assert marks(held, made)["mine.quoted"].to_list() == [False, None, True]


def test_sql_reads_only_the_columns_it_names():
    assert sql("length(response) + granularity as a, t.teacher as b".replace("t.teacher", "teacher")).reads == (
        "teacher",
        "granularity",
        "response",
    )


def test_sql_obeys_the_laws_of_passes():
    made, messy = sql("upper(response) as loud, choices[1] as first, seconds * 2 as twice"), messy_traces()
    marked = made.mark(messy.lazy()).collect()
    assert marked.select(messy.columns).equals(messy)
    whole = mark_frame(messy, made)
    assert pl.concat(mark_frame(part, made) for part in messy.iter_slices(7)).equals(whole)


def test_a_value_that_sql_cannot_read_costs_one_row(tmp_path):
    held = corpus(tmp_path, "12", "twelve", "13")
    made = sql("cast(response as integer) as n")
    report = mark(held, [made])
    assert report.failed == {"mine": 1}
    assert "twelve" in report.failures["mine"][0]["error"]
    assert marks(held, made)["mine.n"].to_list() == [12, None, 13]


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("lenth(response) as n", "did you mean|Did you mean|does not exist"),
        ("respons as n", "cannot be evaluated.*\n?.*response"),
        ("count(*) as n", "more than one trace"),
        ("row_number() over () as n", "more than one trace"),
        ("(select max(seconds) from traces) as n", "more than one trace"),
        ("unnest(choices) as n", "more than one trace|cannot be evaluated"),
        ("random() as n", "other marks next time"),
        ("length(response)", "name each mark"),
        ("*", "name"),
        ("1 as a; drop table traces", "statements|cannot be evaluated"),
        ("(select content from read_text('/etc/passwd')) as n", "cannot be evaluated|more than one"),
    ],
)
def test_sql_that_is_no_mark_is_refused(select, message):
    with pytest.raises(CotmillError, match=message):
        sql(select)


@pytest.mark.parametrize("name", ["verify", "response", "My Marks", ""])
def test_a_name_that_is_taken_or_no_name_is_refused(name):
    with pytest.raises(CotmillError, match="call it something else"):
        sql("1 as one", name)


def test_sql_says_what_it_takes():
    with pytest.raises(CotmillError, match="`name` and `select`"):
        parse_pass({"sql": {"selekt": "1"}})
