"""Exports of a dataset, each read by the rules of who takes it."""

from __future__ import annotations

import json

import polars as pl
import pytest

from builders.errors import CotmillError, Occupied
from curation.config import CurateConfig
from curation.packaging.dataset import write_dataset
from curation.packaging.exports import FORMATS, export_dataset
from tests.corpora import corpus_of, trace

ASKED, SAID = "What is p0?", "<think>7 + 5</think>#### 12"


@pytest.fixture
def made(tmp_path):
    """p0 and p1: a right trace each, and a wrong one of p0."""
    rows = [
        trace("p0", SAID, reasoning="7 + 5", answer="#### 12"),
        trace("p0", "#### 12", teacher="other"),
        trace("p0", "#### 13"),
        trace("p1", "#### 12"),
    ]
    config = CurateConfig(pairs={"rule": "correct_incorrect"}, configs=["teacher"])
    write_dataset(corpus_of(tmp_path / "c", rows), config, tmp_path / "d", name="My Set")
    return tmp_path / "d"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_trl_takes_prompt_and_completion(made, tmp_path):
    from datasets import load_dataset
    from trl.data_utils import is_conversational

    assert export_dataset(made, tmp_path / "o", "trl")["files"] == {"train.parquet": 3}
    row = load_dataset(str(tmp_path / "o"), cache_dir=str(tmp_path / "cache"))["train"][0]
    assert is_conversational({"prompt": row["prompt"], "completion": row["completion"]})
    assert [turn["role"] for turn in row["prompt"] + row["completion"]] == ["user", "assistant"]


def test_trl_templates_its_messages(made, tmp_path, tiny_llama):
    from transformers import AutoTokenizer
    from trl.data_utils import maybe_apply_chat_template

    export_dataset(made, tmp_path / "o", "trl-messages")
    rows = pl.read_parquet(tmp_path / "o/train.parquet").select("messages").to_dicts()
    texts = [maybe_apply_chat_template(row, AutoTokenizer.from_pretrained(tiny_llama))["text"] for row in rows]
    assert any(SAID in text and ASKED in text for text in texts)


def test_trl_takes_pairs(made, tmp_path):
    from trl.data_utils import is_conversational, maybe_extract_prompt

    export_dataset(made, tmp_path / "o", "trl-preference")
    (row,) = pl.read_parquet(tmp_path / "o/train.parquet").select("prompt", "chosen", "rejected").to_dicts()
    assert is_conversational(row)
    assert maybe_extract_prompt(row) == row
    assert row["rejected"][0]["content"] == "#### 13"


def test_llama_factory_finds_what_dataset_info_names(made, tmp_path):
    export_dataset(made, tmp_path / "o", "llama-factory")
    info = json.loads((tmp_path / "o/dataset_info.json").read_text())
    assert [*info] == ["My-Set_alpaca", "My-Set_sharegpt", "My-Set_alpaca_pairs", "My-Set_sharegpt_pairs"]
    for entry in info.values():
        rows = lines(tmp_path / "o" / entry["file_name"])
        assert all(set(entry["columns"].values()) <= row.keys() for row in rows)
        assert {"columns", "file_name"} <= entry.keys() <= {"columns", "file_name", "formatting", "ranking"}
        if entry.get("formatting") == "sharegpt":
            roles = [turn["from"] for turn in rows[0]["conversations"]]
            assert roles == (["human"] if entry.get("ranking") else ["human", "gpt"])
        if entry.get("ranking") and entry.get("formatting"):
            assert rows[0]["rejected"] == {"from": "gpt", "value": "#### 13"}
    alpaca = lines(tmp_path / "o/alpaca_train.jsonl")
    assert {"instruction": ASKED, "input": "", "output": SAID} in alpaca


def test_ms_swift_takes_messages_and_a_rejected_response(made, tmp_path):
    assert export_dataset(made, tmp_path / "o", "ms-swift")["files"] == {"train.jsonl": 3, "pairs_train.jsonl": 1}
    (pair,) = lines(tmp_path / "o/pairs_train.jsonl")
    assert ([turn["role"] for turn in pair["messages"]], pair["rejected_response"]) == (
        ["user", "assistant"],
        "#### 13",
    )


def test_open_r1_has_a_row_per_problem(made, tmp_path):
    export_dataset(made, tmp_path / "o", "open-r1")
    rows = {row["problem"]: row for row in pl.read_parquet(tmp_path / "o/train.parquet").to_dicts()}
    assert len(rows) == 2
    row = rows[ASKED]
    assert sorted(row["generations"]) == ["#### 12", SAID]
    assert (row["correctness_math_verify"], row["correctness_count"], row["answer"]) == ([True, True], 2, "12")
    assert row["messages"][-1]["content"] in row["generations"]


def test_openthoughts_has_conversations(made, tmp_path):
    export_dataset(made, tmp_path / "o", "openthoughts")
    rows = pl.read_parquet(tmp_path / "o/train.parquet").to_dicts()
    found = next(row for row in rows if row["reasoning"])
    assert found["conversations"] == [{"from": "user", "value": ASKED}, {"from": "assistant", "value": SAID}]


def test_one_config_alone(made, tmp_path):
    assert export_dataset(made, tmp_path / "o", "trl", config="other")["files"] == {"train.parquet": 1}
    with pytest.raises(CotmillError, match="no config `no`; it has: default, other, small"):
        export_dataset(made, tmp_path / "p", "trl", config="no")


def test_what_cannot_be_exported_is_said(made, tmp_path):
    with pytest.raises(CotmillError, match="known: trl, "):
        export_dataset(made, tmp_path / "o", "csv")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(Occupied):
        export_dataset(made, tmp_path / "full", "trl")
    write_dataset(corpus_of(tmp_path / "c2", [trace("p", "#### 12")]), CurateConfig(), tmp_path / "d2", name="n")
    with pytest.raises(CotmillError, match="no preference pairs"):
        export_dataset(tmp_path / "d2", tmp_path / "o", "trl-preference")


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_export_again_is_the_same(made, tmp_path, to):
    for name in ("a", "b"):
        export_dataset(made, tmp_path / name, to)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_one_command_for_datasets_and_corpora(made, tmp_path):
    from typer.testing import CliRunner

    from cotmill.cli import app

    corpus = corpus_of(tmp_path / "e", [trace("p", "#### 12")])
    for arguments in (
        ["export", str(made), "--to", "trl", "--out", str(tmp_path / "o"), "--json"],
        ["export", str(corpus.path), "--layout", "alpaca", "--out", str(tmp_path / "o.jsonl"), "--json"],
        ["export", str(corpus.path), "--out", str(tmp_path / "p.jsonl"), "--json"],
    ):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert (tmp_path / "o/train.parquet").is_file()
    assert lines(tmp_path / "o.jsonl")[0]["output"] == "#### 12"
