"""How marking treats passes that look at the whole corpus, and the commands around it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pytest
from typer.testing import CliRunner

from builders.errors import CotmillError
from cotmill.cli import app
from cotmill.showing import show
from curation.engine.ids import corpus_fingerprint
from curation.engine.marks import beside, mark, marks_file, marks_folder
from curation.passes import PASSES, make_pass, with_needs
from tests.corpora import corpus_of, trace


@dataclass(frozen=True)
class Rate:
    """How many traces of the problem are correct."""

    name: ClassVar[str] = "rate"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("problem_id", "verify.verdict")
    marks: ClassVar = {"correct": pl.UInt32()}

    least: int = 0

    def mark_corpus(self, traces):
        correct = (pl.col("verify.verdict") == "correct").sum().over("problem_id").cast(pl.UInt32)
        return traces.select("trace_id", correct.alias("rate.correct")).sort("trace_id").collect()


@dataclass(frozen=True)
class Lossy(Rate):
    """Forgets a row."""

    name: ClassVar[str] = "lossy"

    def mark_corpus(self, traces):
        return Rate().mark_corpus(traces).rename({"rate.correct": "lossy.correct"}).head(1)


@dataclass(frozen=True)
class Bursting(Rate):
    """Raises."""

    name: ClassVar[str] = "bursting"

    def mark_corpus(self, traces):
        raise ZeroDivisionError("by nothing")


ROWS = [trace("a", "#### 12"), trace("a", "#### 13"), trace("a", "The answer is 12"), trace("b", "#### 12")]


def correct(corpus, made=Rate()) -> dict[str, int]:
    files = [marks_file(corpus, made, shard) for shard in corpus.shards()]
    return dict(pl.read_parquet(files).iter_rows())


@pytest.fixture
def corpus(tmp_path):
    return corpus_of(tmp_path / "c", ROWS[:3], ROWS[3:])


def test_what_a_pass_reads_is_made_first(corpus):
    report = mark(corpus, [Rate()])
    assert report.computed == {"verify": 2, "rate": 2}
    assert list(correct(corpus).values()) == [2, 2, 2, 1]


def test_the_parameters_of_the_recipe_are_those_it_reads(corpus):
    loose = make_pass("verify", {"fallback": "last_number"})
    assert [made for made in with_needs([Rate(), loose]) if made.name == "verify"] == [loose]


def test_marks_stand_in_the_order_of_their_shard(corpus):
    mark(corpus, [Rate()])
    for shard in corpus.shards():
        marks = pl.read_parquet(marks_file(corpus, Rate(), shard))
        assert marks["trace_id"].to_list() == pl.read_parquet(shard)["trace_id"].to_list()


def test_a_second_run_does_nothing_and_new_traces_make_them_anew(corpus):
    mark(corpus, [Rate()])
    assert mark(corpus, [Rate()]).computed == {"verify": 0, "rate": 0}
    new = trace("b", "It is #### 12")
    pl.DataFrame([new], schema=corpus.traces().collect_schema()).write_parquet(
        corpus.path / "traces" / "part-000002.parquet"
    )
    assert mark(corpus, [Rate()]).computed == {"verify": 1, "rate": 3}
    assert correct(corpus)[ROWS[3]["trace_id"]] == 2


def test_other_marks_to_read_make_them_anew(corpus):
    mark(corpus, [Rate()])
    loose = make_pass("verify", {"fallback": "last_number"})
    assert mark(corpus, [Rate(), loose]).computed == {"verify": 2, "rate": 2}


def test_a_kill_while_its_marks_are_written_leaves_none_that_count(corpus):
    mark(corpus, [Rate()])
    (marks_folder(corpus, Rate()) / "state.json").unlink()  # as between the first and the last file
    assert mark(corpus, [Rate()]).computed["rate"] == 2


def test_shards_do_not_matter(corpus, tmp_path):
    other = corpus_of(tmp_path / "other", ROWS[3:], ROWS[:1], ROWS[1:3])
    mark(corpus, [Rate()])
    mark(other, [Rate()])
    assert correct(corpus) == correct(other)
    assert corpus_fingerprint(corpus) == corpus_fingerprint(other)


@pytest.mark.parametrize(
    ("made", "message"), [(Lossy(), "it gave 1 rows"), (Bursting(), "bursting failed: ZeroDivisionError: by nothing")]
)
def test_a_pass_that_loses_rows_or_raises_writes_nothing(corpus, made, message):
    with pytest.raises(CotmillError, match=message):
        mark(corpus, [made])
    assert not list(marks_folder(corpus, made).glob("*.parquet"))


def test_marks_stand_beside_traces(corpus):
    passes = with_needs([Rate()])
    mark(corpus, passes)
    frame = beside(corpus, corpus.shards(), ["problem_id", "verify.verdict", "rate.correct"], passes).collect()
    assert frame.columns == ["trace_id", "problem_id", "verify.verdict", "rate.correct"]
    assert frame.rows()[0] == (ROWS[0]["trace_id"], "a", "correct", 2)


def test_progress_is_told(corpus):
    told = []
    mark(corpus, [Rate()], watch=lambda *said: told.append(said))
    assert told[-1] == ("rate", 2, 2)
    assert ("local", 2, 2) in told


# The commands.


@pytest.fixture
def cli(capfd):
    def run(*arguments) -> str:
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capfd.readouterr().out

    return run


def test_mark_says_what_it_did(cli, corpus):
    summary = json.loads(cli("mark", corpus.path, "--pass", "verify", "--pass", "steps", "--json"))
    assert (summary["rows"], summary["computed"]) == (4, {"verify": 2, "steps": 2})
    assert "4 traces marked" not in cli("mark", corpus.path, "--pass", "verify")


def test_mark_without_a_pass_says_how_to_name_one(corpus):
    done = CliRunner().invoke(app, ["mark", str(corpus.path)])
    assert (done.exit_code, "cotmill passes" in done.output) == (2, True)


def test_every_pass_is_listed_with_its_source_and_cost(cli):
    listed = {said["pass"]: said for said in json.loads(cli("passes", "--json"))["passes"]}
    assert list(listed) == list(PASSES)
    assert [name for name, said in listed.items() if not (said["does"] and said["source"] and said["cost"])] == []


def test_show_has_the_marks_and_the_text(cli, corpus):
    shown = json.loads(
        cli("show", corpus.path, "--pass", "verify", "--where", "verify.verdict = 'incorrect'", "--json")
    )
    assert [row["text"] for row in shown["rows"]] == ["#### 13"]
    assert shown["rows"][0]["marks"]["answer"] == "13"


def test_show_puts_a_conversion_beside_its_source(cli, tmp_path):
    before = trace("a", "One. Two. #### 12")
    after = trace("a", "Both. #### 12", parent_id=before["trace_id"])
    held = corpus_of(tmp_path / "c", [before, after])
    text = cli("show", held.path, "--pass", "steps", "--where", "parent_id is not null")
    assert "before    One. Two. #### 12" in text
    assert "after     Both. #### 12" in text


def test_a_wrong_condition_names_the_marks(corpus):
    done = CliRunner().invoke(app, ["show", str(corpus.path), "--pass", "verify", "--where", "verdikt = 1"])
    assert (done.exit_code, "verify.verdict" in done.output) == (2, True)


BROKEN = (
    "Sure, here is the solution: 3 + 4 = 8 apples.Then she has 8 - 2 = 6. Mail ann.lee@gmail.com. "
    "again and again and again and again and again and again. The answer is 5. I made a mistake. The answer is 7"
)


@pytest.mark.parametrize("name", [name for name, kind in PASSES.items() if hasattr(kind, "spans")])
def test_show_points_at_words_that_are_there(name, tmp_path):
    rows = [
        trace("a", BROKEN),
        trace("b", "What is b?"),
        trace("c", "Так 3 + 4 = 7. #### 7"),
        trace("d", "It goes on and on and then. " * 40),
    ]
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": "What is a?"}))
    settings = {"against": str(tmp_path / "bench.jsonl")} if name == "decontaminate" else {}
    shown = show(corpus_of(tmp_path / "c", rows), make_pass(name, settings), where="true")
    assert len(shown["rows"]) == 4
    for row in shown["rows"]:
        for span in row["spans"]:
            assert span["mark"] in PASSES[name].marks
            assert 0 <= span["start"] < span["end"] <= len(row[span["column"]])
    if name != "language":
        assert any(row["spans"] for row in shown["rows"])
