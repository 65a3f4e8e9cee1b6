"""Marks on disk: made once, per shard, whole or not at all; and how passes are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pytest

from builders.errors import CorpusError, CotmillError
from curation.engine.marking import mark_frame
from curation.engine.marks import mark, marks_file
from curation.passes import fingerprint, label, make_pass, parse_pass
from tests.corpora import corpus_of, trace

VERIFY = make_pass("verify")
LOOSE = make_pass("verify", {"fallback": "last_number"})


@pytest.fixture
def corpus(tmp_path):
    return corpus_of(tmp_path / "c", [trace("a", "#### 12"), trace("b", "#### 13")], [trace("c", "He has 12.")])


def verdicts(corpus, made) -> list[str]:
    files = [marks_file(corpus, made, shard) for shard in corpus.shards()]
    return pl.read_parquet(files)["verify.verdict"].to_list()


def test_one_file_per_shard_and_pass(corpus):
    report = mark(corpus, [VERIFY])
    assert (report.rows, report.shards, report.computed, report.reused) == (3, 2, {"verify": 2}, {"verify": 0})
    assert verdicts(corpus, VERIFY) == ["correct", "incorrect", "unparseable"]


def test_marks_stand_in_the_order_of_their_shard(corpus):
    mark(corpus, [VERIFY])
    shard = corpus.shards()[0]
    assert pl.read_parquet(marks_file(corpus, VERIFY, shard))["trace_id"].to_list() == (
        pl.read_parquet(shard)["trace_id"].to_list()
    )


def test_a_second_run_does_nothing(corpus):
    mark(corpus, [VERIFY])
    before = [marks_file(corpus, VERIFY, shard).stat().st_mtime_ns for shard in corpus.shards()]
    report = mark(corpus, [VERIFY])
    assert (report.rows, report.reused) == (0, {"verify": 2})
    assert before == [marks_file(corpus, VERIFY, shard).stat().st_mtime_ns for shard in corpus.shards()]


def test_a_new_shard_costs_only_itself(corpus):
    mark(corpus, [VERIFY])
    pl.read_parquet(corpus.shards()[0]).head(1).write_parquet(corpus.path / "traces" / "part-000002.parquet")
    assert mark(corpus, [VERIFY]).rows == 1


def test_other_parameters_are_other_marks(corpus):
    mark(corpus, [VERIFY])
    assert mark(corpus, [LOOSE]).computed == {"verify": 2}
    assert verdicts(corpus, LOOSE)[2] == "correct"
    assert verdicts(corpus, VERIFY)[2] == "unparseable"


def test_a_torn_shard_is_named(corpus):
    torn = corpus.shards()[1]
    torn.write_bytes(torn.read_bytes()[:100])
    with pytest.raises(CorpusError, match=r"part-000001\.parquet is not a readable trace shard"):
        mark(corpus, [VERIFY])
    assert marks_file(corpus, VERIFY, corpus.shards()[0]).exists()  # what was done stays


@dataclass(frozen=True)
class Dropper:
    name: ClassVar[str] = "dropper"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("answer",)
    marks: ClassVar[dict] = {"seen": pl.Boolean()}

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        return traces.head(1).with_columns(pl.lit(True).alias("dropper.seen"))


def test_a_pass_that_drops_rows_is_caught():
    traces = pl.DataFrame({"trace_id": ["a", "b"], "answer": ["x", "y"]})
    with pytest.raises(CotmillError, match="of 2 rows it made 1"):
        mark_frame(traces, Dropper())


def test_fingerprint_is_of_name_version_and_parameters():
    assert fingerprint(VERIFY) == fingerprint(parse_pass("verify:fallback=none"))
    assert fingerprint(VERIFY) != fingerprint(LOOSE)
    assert label(VERIFY) == f"verify-{fingerprint(VERIFY)[:8]}"


@pytest.mark.parametrize("said", ["verify:fallback=last_number", {"verify": {"fallback": "last_number"}}])
def test_a_pass_is_written_in_two_ways(said):
    assert parse_pass(said) == LOOSE


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("verfy", r"no pass is called `verfy` \(did you mean `verify`\?\)"),
        ("verify:fall_back=none", r"no parameter `fall_back` \(did you mean `fallback`\?\)"),
        ("verify:fallback=maybe", "'none' or 'last_number'"),
        ("verify:fallback", "`fallback` has no value"),
        ({"verify": {}, "other": {}}, "write one pass"),
    ],
)
def test_a_wrong_pass_is_explained(said, complaint):
    with pytest.raises(CotmillError, match=complaint):
        parse_pass(said)
