"""The dataset on disk: what is in it, who can read it, and what is never overwritten."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from builders.corpus import Corpus
from builders.errors import CotmillError
from builders.prompts import render_question
from curation.cards import facts
from curation.config import CurateConfig
from curation.packaging import dataset as module
from curation.packaging import parquet
from curation.packaging.dataset import write_dataset
from curation.packaging.write import KEPT
from tests.corpora import corpus_of, trace

TURN = {"role": "user", "content": "What is p0?"}


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    """12 traces of 6 problems by two teachers; 8 right, 4 wrong, one of the right ones said twice."""
    rows = [
        trace(
            f"p{i % 6}",
            f"{i}. #### {13 if i % 3 == 2 else 12}",
            teacher="ab"[i % 2],
            granularity=i % 2 + 1,
            sample_index=i,
        )
        for i in range(12)
    ]
    return corpus_of(tmp_path / "corpus", rows[:5], rows[5:])


@pytest.fixture
def made(corpus, tmp_path):
    """The dataset of that corpus."""
    config = CurateConfig(splits={"train": 0.5, "test": 0.5}, license="apache-2.0")
    write_dataset(corpus, config, tmp_path / "made", name="twelve", lineage={"recipe": "twelve.yaml"})
    return tmp_path / "made"


def kept(folder) -> pl.DataFrame:
    return pl.read_parquet(folder / "data/default/*.parquet")


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_report_counts_everything(corpus, tmp_path):
    report = write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    assert (report.rows, report.kept, report.removed) == (12, 8, {"failed: verify.verdict = 'correct'": 4})
    assert (report.splits, report.reused, report.marks.computed) == ({"train": 8}, False, {"verify": 2})


def test_a_kept_row(corpus, tmp_path):
    write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    rows = kept(tmp_path / "d")
    assert rows.columns == list(KEPT)
    row = rows.row(0, named=True)  # p0, teacher a, level 1, sample 0
    assert (row["prompt"], row["completion"]) == ([TURN], [{"role": "assistant", "content": "0. #### 12"}])
    assert (row["gold"], row["answer"], row["verdict"], row["reasoning"]) == ("12", "12", "correct", None)


def test_kept_and_removed_are_the_corpus(corpus, made):
    ids = [*kept(made)["trace_id"], *pl.read_parquet(made / "removed/*.parquet")["trace_id"]]
    assert sorted(ids) == sorted(corpus.held_ids())


def test_a_removed_row_has_all_its_columns_its_marks_and_the_reason(corpus, made):
    removed = pl.read_parquet(made / "removed/*.parquet")
    assert set(corpus.traces().collect_schema()) < set(removed.columns)
    assert removed.row(0, named=True)["verify"].items() >= {"verdict": "incorrect", "answer": "13"}.items()
    assert set(removed["reason"]) == {"failed: verify.verdict = 'correct'"}


@pytest.mark.parametrize(("which", "says"), [("response", "<think>7+5</think>#### 12"), ("answer", "#### 12")])
def test_what_a_student_learns_to_say(tmp_path, which, says):
    row = trace("p", "<think>7+5</think>#### 12", reasoning="7+5", answer="#### 12")
    write_dataset(corpus_of(tmp_path / "c", [row]), CurateConfig(completion=which), tmp_path / "d", name="n")
    assert kept(tmp_path / "d")["completion"].to_list() == [[{"role": "assistant", "content": says}]]


def test_a_prompt_shows_choices_as_teachers_saw_them(tmp_path):
    rows = [
        trace("p", "#### A", "A", choices=["red", "blue"], answer_type="choice"),
        trace("q", "#### 12"),
    ]
    config = CurateConfig(prompt="Q: {question}\nA:")
    write_dataset(corpus_of(tmp_path / "c", rows), config, tmp_path / "d", name="n")
    texts = [row[0]["content"] for row in kept(tmp_path / "d")["prompt"]]
    assert texts == ["Q: " + render_question("What is p?", ["red", "blue"]) + "\nA:", "Q: What is q?\nA:"]


def test_files_are_split_by_bytes_and_say_how_many_there_are(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 3)
    write_dataset(corpus, CurateConfig(file_size=1), tmp_path / "d", name="n")
    names = sorted(p.name for p in (tmp_path / "d/data/default").iterdir())
    assert names == [f"train-0000{i}-of-00003.parquet" for i in range(3)]  # 8 rows: 3 + 3 + 2
    assert kept(tmp_path / "d").height == 8


def test_how_traces_lie_in_shards_does_not_matter(corpus, tmp_path):
    rows = corpus.traces().collect().to_dicts()
    other = corpus_of(tmp_path / "other", rows[7:], [], rows[:7])
    for source, name in ((corpus, "a"), (other, "b")):
        write_dataset(source, CurateConfig(splits={"train": 0.5, "test": 0.5}), tmp_path / name, name="n")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_lineage_is_kept(made):
    manifest = json.loads((made / "dataset.json").read_text())
    assert manifest["lineage"] == {"recipe": "twelve.yaml"}
    assert (manifest["rows"], manifest["kept"], set(manifest["passes"])) == (12, 8, {"verify"})
    assert manifest["curate"]["keep"] == "verify.verdict = 'correct'"


def test_all_that_fails_is_listed_and_counted(tmp_path):
    rows = [trace("p", "#### 13", granularity=3), trace("p", "#### 12", granularity=3), trace("p", "so #### 12")]
    config = CurateConfig(keep=["verify.verdict = 'correct'", "granularity <= 2"])
    report = write_dataset(corpus_of(tmp_path / "c", rows), config, tmp_path / "d", name="n")
    wrong, coarse = "failed: verify.verdict = 'correct'", "failed: granularity <= 2"
    assert report.removed == {coarse: 1, wrong: 1}
    assert report.failing == {coarse: 2, wrong: 1}
    removed = pl.read_parquet(tmp_path / "d/removed/*.parquet").sort("response")
    assert removed.select("reason", "reasons").rows() == [(coarse, [coarse]), (wrong, [wrong, coarse])]


def test_a_rule_is_its_own_reason(tmp_path):
    rows = [trace("p", "#### 12", sample_index=i) for i in range(2)]
    write_dataset(corpus_of(tmp_path / "c", rows), CurateConfig(), tmp_path / "d", name="n")
    assert pl.read_parquet(tmp_path / "d/removed/*.parquet")["reasons"].to_list() == [["duplicate"]]


def test_weights_are_a_column_of_kept_rows(tmp_path):
    rows = [trace("p", f"{text} #### 12") for text in ("a", "bcd")]
    config = CurateConfig(weights="1 / completion_tokens")  # 9 characters, and 11
    write_dataset(corpus_of(tmp_path / "c", rows[:1], rows[1:]), config, tmp_path / "d", name="n")
    assert sorted(kept(tmp_path / "d")["weight"]) == [1 / 11, 1 / 9]


def test_phases_are_timed(corpus, tmp_path):
    report = write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    assert list(report.seconds) == ["mark", "decide", "write", "card"]


def test_a_question_in_two_splits_is_refused_unless_allowed(tmp_path):
    rows = [
        trace(f"p{i}", "#### 12", question="Tom has 3 hats and buys 9 more. How many are there?") for i in range(20)
    ]
    corpus, splits = corpus_of(tmp_path / "c", rows), {"train": 0.5, "test": 0.5}
    with pytest.raises(CotmillError, match="overlap"):
        write_dataset(corpus, CurateConfig(splits=splits), tmp_path / "d", name="n")
    assert not (tmp_path / "d").exists()
    config = CurateConfig(splits=splits, allow_overlap=True)
    assert write_dataset(corpus, config, tmp_path / "d", name="n").overlaps > 0


def test_another_selection_is_another_dataset(corpus, tmp_path):
    ids = corpus.traces().select("trace_id").collect()
    for name, rows in (("all", ids), ("again", ids.reverse()), ("some", ids.head(6))):
        rows.write_parquet(tmp_path / f"{name}.parquet")
    first, again, some = (CurateConfig(select=tmp_path / f"{name}.parquet") for name in ("all", "again", "some"))
    write_dataset(corpus, first, tmp_path / "d", name="n")
    assert write_dataset(corpus, again, tmp_path / "d", name="n").reused
    with pytest.raises(CotmillError, match="holds another dataset"):
        write_dataset(corpus, some, tmp_path / "d", name="n")


def test_marks_of_other_rows_are_not_put_beside_traces(corpus, tmp_path):
    write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    file = next((corpus.path / "marks").glob("verify-*/part-000001.parquet"))
    pl.read_parquet(file).reverse().write_parquet(file)
    with pytest.raises(CotmillError, match=r"does not hold the rows of .*\n.*rm .*part-000001.parquet"):
        write_dataset(corpus, CurateConfig(keep="true"), tmp_path / "e", name="n")


def test_shards_do_not_matter_to_any_rule(corpus, tmp_path):
    rows = corpus.traces().collect().to_dicts()
    config = CurateConfig(
        splits={"train": 0.5, "test": 0.5},
        dedup=False,
        per_problem={"max": 2, "rule": "diverse"},
        mix={"by": ["teacher", "granularity"], "limit": 3},
        pairs=[{"rule": "short_long"}, {"rule": "correct_incorrect"}],
        weights="completion_tokens",
    )
    for name, shards in (("a", [rows[:4], rows[4:]]), ("b", [rows[9:], rows[:3], rows[3:9]])):
        write_dataset(corpus_of(tmp_path / f"c{name}", *shards), config, tmp_path / name, name="n")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_an_older_shard_without_a_column_has_nulls_there(tmp_path):
    corpus = corpus_of(tmp_path / "c", [trace("p", "#### 12", call_id="x")], [trace("q", "#### 12")])
    file = corpus.shards()[1]
    pl.read_parquet(file).drop("call_id").write_parquet(file)
    report = write_dataset(corpus, CurateConfig(keep="call_id is null"), tmp_path / "d", name="n")
    assert report.removed == {"failed: call_id is null": 1}


# Readers ------------------------------------------------------------------------------------------------


def test_datasets_reads_splits_and_removed(made):
    from datasets import load_dataset

    splits = load_dataset(str(made))
    assert {name: rows.num_rows for name, rows in splits.items()} == json.loads((made / "dataset.json").read_text())[
        "splits"
    ]
    assert splits["train"][0]["prompt"][0]["role"] == "user"
    assert load_dataset(str(made), "removed")["removed"].num_rows == 4


def test_datasets_reads_it_when_nothing_was_removed(tmp_path):
    from datasets import load_dataset

    write_dataset(corpus_of(tmp_path / "c", [trace("p", "#### 12")]), CurateConfig(), tmp_path / "d", name="n")
    assert load_dataset(str(tmp_path / "d"))["train"].num_rows == 1
    assert pl.read_parquet(tmp_path / "d/removed/*.parquet").is_empty()


def test_duckdb_polars_and_pyarrow_read_it(made):
    import duckdb
    import pyarrow.dataset

    pattern = f"{made}/data/default/*.parquet"
    assert duckdb.sql(f"select count(*), count(prompt[1].content) from '{pattern}'").fetchall() == [(8, 8)]
    assert pl.scan_parquet(pattern).select(pl.len()).collect().item() == 8
    assert pyarrow.dataset.dataset(made / "data" / "default").count_rows() == 8


# Written once -------------------------------------------------------------------------------------------


def test_the_same_again_is_not_written_again(corpus, tmp_path):
    first = write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    before = contents(tmp_path / "d")
    again = write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    assert (again.reused, again.kept, again.fingerprint) == (True, first.kept, first.fingerprint)
    assert contents(tmp_path / "d") == before


def test_lineage_is_a_note_and_makes_no_other_dataset(corpus, made):
    config = CurateConfig(splits={"train": 0.5, "test": 0.5}, license="apache-2.0")
    assert write_dataset(corpus, config, made, name="twelve", lineage={"recipe": "other"}).reused


def test_another_dataset_is_replaced_only_when_asked(corpus, made):
    before = contents(made)
    with pytest.raises(CotmillError, match=r"holds another dataset \(twelve, 8 rows\)"):
        write_dataset(corpus, CurateConfig(keep="true"), made, name="twelve")
    assert contents(made) == before
    write_dataset(corpus, CurateConfig(keep="true"), made, name="twelve", overwrite=True)
    assert kept(made).height == 12


def test_what_is_no_dataset_is_never_replaced(corpus, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(CotmillError, match="is not a dataset"):
        write_dataset(corpus, CurateConfig(), tmp_path / "thesis", name="n", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "x"


def test_when_nothing_is_kept_the_reasons_are_counted_and_nothing_is_written(corpus, tmp_path):
    with pytest.raises(CotmillError, match=r"None of 12 traces is kept(.|\n)*12  failed: granularity > 6"):
        write_dataset(corpus, CurateConfig(keep="granularity > 6"), tmp_path / "d", name="n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus"]


def test_a_failure_half_way_leaves_nothing(corpus, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(module, "write_card", full)
    with pytest.raises(OSError, match="disk full"):
        write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus"]


# The card -----------------------------------------------------------------------------------------------


def test_the_hub_accepts_the_metadata(made):
    from huggingface_hub import DatasetCard

    data = DatasetCard.load(made / "README.md").data.to_dict()
    assert (data["license"], data["language"], data["size_categories"]) == ("apache-2.0", ["en"], ["n<1K"])
    assert [c["config_name"] for c in data["configs"]] == ["default", "removed"]


def test_without_a_license_the_card_claims_none(corpus, tmp_path):
    write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")
    assert "license" not in (tmp_path / "d" / "README.md").read_text().split("---")[1]


def test_facts_by_hand(corpus, made):
    found = facts(made)
    assert (found["rows"], found["kept"], found["problems"]) == (12, 8, 4)  # of p2 and p5 both traces are wrong
    assert found["removed"] == [{"reason": "failed: verify.verdict = 'correct'", "verdict": "incorrect", "rows": 4}]
    level = {row["granularity"]: row for row in found["by_level"]}
    # Level 1: samples 0 2 4 6 8 10, of which 2 and 8 are wrong; "0. #### 12" has 10 characters, "10. #### 12" 11.
    assert level[1] == {
        "granularity": 1,
        "sampled": 6,
        "judged": 6,
        "correct": 4,
        "accuracy": 4 / 6,
        "kept": 4,
        "tokens": 41,
        "mean_tokens": 41 / 4,
    }


def test_unknown_token_counts_stay_unknown(tmp_path):
    rows = [trace("p", "a #### 12", completion_tokens=None), trace("p", "b #### 12", completion_tokens=5)]
    write_dataset(corpus_of(tmp_path / "c", rows), CurateConfig(), tmp_path / "d", name="n")
    assert facts(tmp_path / "d")["tokens"] is None


def test_the_funnel_of_the_card_adds_up(made):
    card = (made / "README.md").read_text()
    sampled = int(re.search(r"\| sampled \| (\d+) \|", card)[1])
    removed = sum(map(int, re.findall(r"\| removed: .* \| -(\d+) \|", card)))
    assert sampled - removed == int(re.search(r"\*\*kept\*\* \| \*\*(\d+)\*\*", card)[1])


def test_a_trace_cannot_break_out_of_the_card(tmp_path):
    row = trace("p", "```\n# Buy now\n````\n#### 12")
    write_dataset(corpus_of(tmp_path / "c", [row]), CurateConfig(), tmp_path / "d", name="n")
    assert "`````text\n```\n# Buy now" in (tmp_path / "d" / "README.md").read_text()


def test_the_manifest_says_how_many_problems_are_left(corpus, tmp_path):
    report = write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n")  # p2 and p5 have wrong traces alone
    manifest = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert (report.problems, manifest["problems"]) == (4, 4)
