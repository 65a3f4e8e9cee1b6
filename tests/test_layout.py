"""Files and configs of a dataset: names, sizes, types, places, and what strangers may read."""

from __future__ import annotations

import json

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from builders.errors import CotmillError
from curation.config import CurateConfig
from curation.packaging import parquet
from curation.packaging.dataset import write_dataset
from curation.packaging.features import KEY, arrow_schema, features
from curation.packaging.layout import files_of, lay_out, slug
from curation.packaging.lineage import is_private, public, recipe_yaml
from curation.packaging.write import KEPT
from tests.corpora import corpus_of, trace

SECRET = "hf_" + "a1B2" * 8


def eight(**columns):
    """8 right traces of 4 problems: teachers a and b, levels 1 and 3."""
    return [
        trace(f"p{i % 4}", f"{i}. #### 12", teacher="ab"[i % 2], granularity=1 + i // 4 * 2, sample_index=i, **columns)
        for i in range(8)
    ]


def made(tmp_path, rows, name="d", **settings):
    corpus = corpus_of(tmp_path / f"corpus-{name}", rows)
    write_dataset(corpus, CurateConfig(**settings), tmp_path / name, name="n")
    return tmp_path / name


def loaded(folder, monkeypatch, tmp_path, config="default"):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets.load_dataset(str(folder), config, cache_dir=str(tmp_path / "cache"))


def manifest(folder):
    return json.loads((folder / "dataset.json").read_text())


# Configs ------------------------------------------------------------------------------------------------


def test_every_config_and_split_loads_as_its_table(tmp_path, monkeypatch):
    rows = [*eight(), trace("q", "#### 13", sample_index=9)]
    settings = {"configs": ["teacher", ["teacher", "granularity"]], "splits": {"train": 0.5, "test": 0.5}}
    pairs = {"rule": ["granularity = 1", "granularity = 3"]}
    folder = made(tmp_path, rows, **settings, pairs=pairs)
    said = manifest(folder)["configs"]
    assert [*said] == ["default", "a", "b", "a-level-1", "a-level-3", "b-level-1", "b-level-3", "pairs", "removed"]
    for name, config in said.items():
        found = loaded(folder, monkeypatch, tmp_path, name)
        assert {split: part.num_rows for split, part in found.items()} == {
            split: held["rows"] for split, held in config["splits"].items()
        }
        for split, part in found.items():
            assert part.to_polars().to_dicts() == pl.read_parquet(files_of(folder, name, split)).to_dicts()


def test_no_row_is_stored_twice(tmp_path):
    folder = made(tmp_path, eight(), configs=["teacher", "granularity", "format"])
    assert pl.read_parquet(folder / "data/*/*.parquet").height == 8
    held = {
        name: config["splits"]["train"]["rows"]
        for name, config in manifest(folder)["configs"].items()
        if name != "removed"
    }
    assert held == {"default": 8, "a": 4, "b": 4, "level-1": 4, "level-3": 4, "original": 8}


def test_problems_of_a_config_are_counted_once(tmp_path):
    splits = {
        n: c["splits"]["train"]
        for n, c in manifest(made(tmp_path, eight(), configs=["granularity"]))["configs"].items()
        if n in ("default", "level-1")
    }
    assert {name: held["problems"] for name, held in splits.items()} == {"default": 4, "level-1": 4}


def test_sql_makes_configs_under_a_name(tmp_path):
    folder = made(tmp_path, eight(), configs=[{"late": "sample_index >= 6"}])
    assert manifest(folder)["configs"]["late-true"]["of"] == {"sample_index >= 6": "true"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gpt-4o", "gpt-4o"),
        ("../../etc/passwd", "etc-passwd"),
        ("org/Model v1.5", "org-Model-v1.5"),
        ("Müller", "Muller"),
        ("模型", "u6a21-u578b"),
        ("..", "x" + slug("..")[1:]),
        ("a*?[b]", "a-b"),
        ("C:\\x", "C-x"),
        ("-rf", "rf"),
    ],
)
def test_names_are_safe(text, name):
    assert slug(text) == name
    assert not set(name) & set("/\\*?[]:\0")
    assert ".." not in name


def test_a_long_name_is_cut_and_stays_its_own():
    assert len(slug("x" * 500)) <= 60
    assert slug("x" * 500) != slug("x" * 501)


def test_names_that_clash_are_told_apart_and_said(tmp_path):
    rows = [trace(f"p{i}", "#### 12", teacher=name) for i, name in enumerate(["a/b", "a b", "A-B", "default"])]
    folder = made(tmp_path, rows, configs=["teacher"])
    said = manifest(folder)
    names = [name for name in said["configs"] if name not in ("default", "removed")]
    assert len({name.casefold() for name in names}) == 4
    assert set(said["renamed"].values()) == {f"teacher = {name}" for name in ("a/b", "a b", "A-B", "default")}


def test_a_teacher_cannot_write_outside(tmp_path):
    folder = made(tmp_path, [trace("p", "#### 12", teacher="../../../evil")], configs=["teacher"])
    assert [p.name for p in (folder / "data").iterdir()] == ["evil"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus-d", "d"]


def test_a_split_is_one_of_three():
    with pytest.raises(ValidationError, match="train"):
        CurateConfig(splits={"../up": 1.0})


def test_missing_values_have_a_config(tmp_path):
    rows = [
        trace("p", "#### 12", granularity=None),
        trace("q", "#### 12", granularity=10),
        trace("r", "#### 12", granularity=2),
    ]
    assert [*manifest(made(tmp_path, rows, configs=["granularity"]))["configs"]][1:4] == [
        "level-2",
        "level-10",
        "no-level",
    ]


def test_too_many_configs_are_refused():
    with pytest.raises(CotmillError, match="501 configs"):
        lay_out([[("source", "source")]], [str(i) for i in range(501)])


def test_configs_name_columns():
    with pytest.raises(ValidationError, match="did you mean `teacher`"):
        CurateConfig(configs=["teachr"])


def test_an_empty_split_is_left_out(tmp_path, monkeypatch):
    folder = made(tmp_path, [trace("p", "#### 12")], splits={"train": 0.999999, "test": 0.000001})
    assert manifest(folder)["splits"] == {"train": 1, "test": 0}
    assert [*loaded(folder, monkeypatch, tmp_path)] == ["train"]


def test_without_gold_it_loads(tmp_path, monkeypatch):
    folder = made(tmp_path, [trace("p", "so 12", gold=None, gold_value=None)], keep="true", configs=["teacher"])
    row = loaded(folder, monkeypatch, tmp_path)["train"][0]
    assert (row["gold"], row["verdict"], row["choices"]) == (None, "no_gold", None)


# Parquet ------------------------------------------------------------------------------------------------


def test_types_are_those_of_datasets(tmp_path, monkeypatch):
    import datasets

    folder = made(tmp_path, [*eight(), trace("q", "#### 13")], passes=["verify", "steps", "defects"])
    for config in ("default", "removed"):
        (file,) = files_of(folder, config)
        schema = pq.read_schema(file)
        plain = schema.remove_metadata()
        assert (
            json.loads(schema.metadata[KEY])["info"]["features"] == datasets.Features.from_arrow_schema(plain).to_dict()
        )
    found = loaded(folder, monkeypatch, tmp_path)["train"].features
    assert found["prompt"] == datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
    assert found["steps"] == datasets.List(datasets.Value("string"))


def test_all_types_have_a_feature():
    import datasets

    plain = [pl.Int8, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean, pl.Binary, pl.Date, pl.Null]
    made = [pl.Datetime("us", "UTC"), pl.Duration("us"), pl.Categorical(), pl.Enum(["a"])]
    kinds = [*plain, *made, pl.List(pl.List(pl.String)), pl.Array(pl.Float32, 3)]
    schema = arrow_schema(pl.Schema({str(i): kind for i, kind in enumerate(kinds)}))
    assert features(schema) == datasets.Features.from_arrow_schema(schema.remove_metadata()).to_dict()


def test_steps_are_texts_that_join_to_the_trace(tmp_path):
    folder = made(tmp_path, [trace("p", "1. He has 3.\n2. So 4.\n#### 12")], passes=["verify", "steps"])
    row = pl.read_parquet(files_of(folder)).row(0, named=True)
    assert [*row] == [*KEPT, "steps"]
    assert (len(row["steps"]), "".join(row["steps"])) == (3, row["response"])


def test_files_are_as_the_hub_wants_them(tmp_path):
    (file,) = files_of(made(tmp_path, eight()))
    column = pq.read_metadata(file).row_group(0).column(0)
    assert (column.compression, column.has_offset_index, column.has_column_index) == ("ZSTD", True, True)


@pytest.mark.parametrize(("size", "count"), [(1, 3), ("2GB", 1)])
def test_a_file_ends_before_it_is_too_large(tmp_path, monkeypatch, size, count):
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 3)
    folder = made(tmp_path, eight(), file_size=size)
    assert [file.name for file in files_of(folder)] == [f"train-{i:05d}-of-{count:05d}.parquet" for i in range(count)]
    assert pl.read_parquet(files_of(folder))["problem_id"].is_sorted()


def test_a_row_group_of_long_rows_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BYTES_PER_GROUP", 1_000)
    (file,) = files_of(made(tmp_path, eight()))
    assert pq.read_metadata(file).num_row_groups == 2  # 8 rows are some 1.5 kB


@pytest.mark.parametrize("said", [0, "0MB", "much", "100TB", -1])
def test_a_file_size_is_a_size(said):
    with pytest.raises(ValidationError, match="file_size"):
        CurateConfig(file_size=said)


def test_300_columns(tmp_path, monkeypatch):
    frame = pl.DataFrame({f"c{i}": ["x", None] for i in range(300)})
    files = parquet.ParquetFiles(tmp_path / "data" / "default" / "train", frame.schema, 10**9)
    files.write(frame)
    (file,) = files.close()
    assert pq.read_schema(file).names == frame.columns
    assert loaded(tmp_path, monkeypatch, tmp_path)["train"].to_polars().equals(frame)


# The version before -------------------------------------------------------------------------------------


def test_rows_keep_their_places_and_new_ones_follow(tmp_path):
    rows = eight()
    first = made(tmp_path, rows[2:6], "first")
    corpus = corpus_of(tmp_path / "more", rows)
    write_dataset(corpus, CurateConfig(), tmp_path / "second", name="n", after=first)
    old, new = (pl.read_parquet(files_of(folder))["trace_id"].to_list() for folder in (first, tmp_path / "second"))
    assert (new[:4], set(new[4:])) == (old, {rows[i]["trace_id"] for i in (0, 1, 6, 7)})
    (parent,) = manifest(tmp_path / "second")["parents"]["datasets"]
    assert parent == {"name": "n", "fingerprint": manifest(first)["fingerprint"], "kept": 4}


def test_files_stay_as_they_are_and_new_rows_have_their_own(tmp_path):
    rows = [trace(f"p{i}", "#### 12") for i in range(14)]
    contents = []
    for number, count in enumerate([10, 11, 12, 14]):
        corpus = corpus_of(tmp_path / f"c{number}", rows[:count])
        after = tmp_path / str(number - 1) if number else None
        write_dataset(corpus, CurateConfig(), tmp_path / str(number), name="n", after=after)
        files = files_of(tmp_path / str(number))
        contents.append([(pq.read_metadata(file).num_rows, file.read_bytes()) for file in files])
    # 1 is not 3 times 1, so the second row joins the first; 10 is not 3 times 4, so all are one file again.
    assert [[rows for rows, _ in files] for files in contents] == [[10], [10, 1], [10, 2], [14]]
    assert contents[0][0] == contents[1][0] == contents[2][0]


def test_what_is_overwritten_is_the_version_before(tmp_path):
    folder = made(tmp_path, eight()[3:])
    old = pl.read_parquet(files_of(folder))["trace_id"].to_list()
    write_dataset(corpus_of(tmp_path / "more", eight()), CurateConfig(), folder, name="n", overwrite=True)
    assert pl.read_parquet(files_of(folder))["trace_id"].to_list()[:5] == old


def test_pairs_and_removed_rows_keep_their_places(tmp_path):
    rows = [trace(f"p{i}", f"#### {says}", completion_tokens=says) for i in range(6) for says in (12, 13)]
    config = CurateConfig(pairs={"rule": "correct_incorrect"})
    for name, some in (("first", rows[4:8]), ("second", rows)):
        write_dataset(
            corpus_of(tmp_path / f"c-{name}", some),
            config,
            tmp_path / name,
            name="n",
            after=tmp_path / "first" if name == "second" else None,
        )
    for config_name, key in (("pairs", "chosen_id"), ("removed", "trace_id")):
        old, new = (
            pl.read_parquet(files_of(tmp_path / name, config_name))[key].to_list() for name in ("first", "second")
        )
        assert (new[:2], len(new)) == (old, 6)


# What strangers may read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"base_url": "http://localhost:8000/v1"}, {}),
        ({"base_url": "http://10.1.2.3:8000/v1"}, {}),
        ({"base_url": "http://[::1]:8000/v1"}, {}),
        ({"base_url": "https://gpu7.corp/v1"}, {}),
        ({"base_url": "https://me:pw@api.example.com:8443/v1?key=1"}, {"base_url": "https://api.example.com"}),
        ({"api_key": "x", "api_key_env": "KEY", "max_tokens": 64}, {"api_key_env": "KEY", "max_tokens": 64}),
        ({"extra": {"hf_token": SECRET}}, {"extra": {}}),
        (f"use {SECRET} here", "use (hidden) here"),
        (["/home/alice/secret/problems.jsonl"], ["problems.jsonl"]),
        ("/no_think", "/no_think"),
        ("https://example.com/x.jsonl?sig=1", "https://example.com/x.jsonl"),
        ("http://192.168.0.7/x", "(hidden)"),
    ],
)  # fmt: skip
def test_what_is_private_stays_here(value, said):
    assert public(value) == said


def test_hosts():
    assert [is_private(host) for host in ("localhost", "127.0.0.1", "box", "8.8.8.8", "api.example.com")] == [
        *(True, True, True, False, False)
    ]


def test_a_recipe_of_a_public_server_can_be_run_again():
    recipe = {"teacher": [{"base_url": "https://api.example.com/v1", "temperature": 0.5}]}
    assert yaml.safe_load(recipe_yaml(recipe)) == recipe


def test_lineage_is_whole_and_names_nothing_private(tmp_path):
    corpus = corpus_of(tmp_path / "c", eight(engine="vllm 0.32.0"))
    identity = {"kind": "server", "model": "m", "revision": "abc", "extra_body": {"api_key": SECRET}}
    corpus.add_arms({"1": {"teacher": "a", "identity": identity, "sampling": {"n": 1}, "seed": 0}})
    recipe = {"name": "n", "teacher": [{"base_url": "http://localhost:1/v1", "extra_body": {"token": SECRET}}]}
    write_dataset(corpus, CurateConfig(), tmp_path / "d", name="n", lineage={"recipe": recipe})
    said = manifest(tmp_path / "d")
    assert said["teachers"][0]["identity"]["revision"] == "abc"
    assert said["engines"] == {"a": ["vllm 0.32.0"], "b": ["vllm 0.32.0"]}
    assert said["parents"]["corpus"]["fingerprint"] == said["corpus"]
    assert {"duckdb", "polars", "pyarrow"} <= {*said["versions"]}
    written = "".join(p.read_text() for p in (tmp_path / "d").iterdir() if p.is_file())
    assert not any(word in written for word in (SECRET, "localhost"))
    assert yaml.safe_load((tmp_path / "d" / "recipe.yaml").read_text())["name"] == "n"
