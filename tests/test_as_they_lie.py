"""What lies on disk needs nothing of ours: other programs read a corpus and a dataset as they lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from builders.schema import PROBLEMS, TRACES
from cotmill import api
from curation.packaging.dataset import KEPT
from tests.make import scripted_recipe

OURS = ("builders", "curation", "training", "cotmill")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """20 problems x 2 levels x 2 samples: `corpus` and, curated, `dataset`."""
    folder = tmp_path_factory.mktemp("made")
    recipe = scripted_recipe(folder)
    api.sample(recipe, folder / "corpus")
    api.curate(folder / "corpus", recipe, folder / "dataset")
    return folder


def read_elsewhere(code: str, folder: Path, tmp_path: Path) -> dict[str, object]:
    """Run `code` in a process outside this repository; it fills `found` and may import nothing of ours."""
    script = f"""
import json, sys
folder = {str(folder)!r}
found = {{}}
{code}
ours = [name for name in sys.modules if name.split(".")[0] in {OURS}]
assert not ours, ours
print(json.dumps(found))
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_CACHE": str(tmp_path / "ds")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


READERS = {
    "duckdb": """
import duckdb
def read(pattern):
    rows = duckdb.sql(f"from read_parquet('{pattern}')")
    return [len(rows.fetchall()), rows.columns]
""",
    "polars": """
import polars
def read(pattern):
    rows = polars.scan_parquet(pattern)
    return [rows.select(polars.len()).collect().item(), rows.collect_schema().names()]
""",
    "pyarrow": """
import glob
import pyarrow.dataset
def read(pattern):
    rows = pyarrow.dataset.dataset(sorted(glob.glob(pattern)))
    return [rows.to_table().num_rows, rows.schema.names]
""",
    "datasets": """
import datasets
def read(pattern):
    rows = datasets.load_dataset("parquet", data_files=pattern, split="train")
    return [rows.num_rows, rows.column_names]
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_rows_and_columns_of_every_table(made, tmp_path, reader):
    parts = {
        "problems": "corpus/problems/*.parquet",
        "traces": "corpus/traces/*.parquet",
        "kept": "dataset/data/default/*.parquet",
        "removed": "dataset/removed/*.parquet",
    }
    code = READERS[reader] + f"for name, part in {parts}.items():\n    found[name] = read(folder + '/' + part)"
    found = read_elsewhere(code, made, tmp_path)
    kept = json.loads((made / "dataset" / "dataset.json").read_text())["kept"]
    assert found["problems"] == [20, PROBLEMS.names()]
    assert found["traces"] == [80, TRACES.names()]
    assert found["kept"] == [kept, list(KEPT)]
    assert found["removed"] == [80 - kept, [*TRACES.names(), "verify", "reason", "reasons"]]


@pytest.mark.slow
def test_datasets_loads_the_directory(made, tmp_path):
    code = """
import datasets
train = datasets.load_dataset(folder + "/dataset")["train"]
removed = datasets.load_dataset(folder + "/dataset", "removed")["removed"]
found = {"train": train.num_rows, "columns": train.column_names, "removed": removed.num_rows, "first": train[0]}
"""
    found = read_elsewhere(code, made, tmp_path)
    assert (found["train"] + found["removed"], found["columns"]) == (80, list(KEPT))
    kept = pl.read_parquet(made / "dataset/data/default/*.parquet")
    assert found["first"] == kept.row(0, named=True)
