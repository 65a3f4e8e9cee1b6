"""What TRL is told, what it refuses, and what is packed, quantised, logged, pushed and written on the card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from builders.errors import CotmillError, MissingDependency
from cotmill.recipe import load_recipe
from tests.training import sum_rows, write
from training.config import LoraSection, TrainConfig
from training.memory import explained
from training.rows import prepare
from training.sft import train
from training.student import load_tokenizer
from training.trainer import make_trainer, settings

ROOT = Path(__file__).parents[1]


@pytest.fixture
def sums(tmp_path):
    return write(tmp_path / "sums", sum_rows())


def made(tiny_llama, tmp_path, **sft):
    """A trainer over 8 rows, and the rows."""
    from transformers import TrainerCallback

    config = TrainConfig(student=str(tiny_llama), sft={"bf16": False, **sft})
    tokenizer = load_tokenizer(config)
    rows = prepare(sum_rows(), tokenizer, None)
    return make_trainer(rows, tokenizer, config, tmp_path / "checkpoints", TrainerCallback()), rows


# Packing ------------------------------------------------------------------------------------------------


def loss_of(trainer, examples) -> float:
    import torch

    batch = trainer.data_collator(examples)
    count = (batch["labels"] != -100).sum()
    trainer.model.eval()
    with torch.no_grad():
        return trainer.compute_loss(trainer.model, batch, num_items_in_batch=count).item()


@pytest.mark.train
@pytest.mark.parametrize("fields", [{"padding_free": True}, {"packing": True, "max_length": 100}])
def test_rows_without_padding_have_the_loss_of_rows_with_it(tmp_path, tiny_llama, fields):
    """trl 3910: packing without FlashAttention measured at 0.03 to 0.15 more loss, as rows saw one another."""
    plain, _ = made(tiny_llama, tmp_path)
    packed, _ = made(tiny_llama, tmp_path, **fields)
    assert loss_of(packed, list(packed.train_dataset)) == pytest.approx(
        loss_of(plain, list(plain.train_dataset)), abs=1e-5
    )


@pytest.mark.train
def test_packing_keeps_every_row_whole(tmp_path, tiny_llama):
    """trl 2466: rows cut in two lose their question or their answer."""
    trainer, rows = made(tiny_llama, tmp_path, packing=True, max_length=100)
    found = []
    for pack in trainer.train_dataset:
        start = 0
        for length in pack["seq_lengths"]:
            found.append(pack["input_ids"][start : start + length])
            start += length
    assert len(trainer.train_dataset) < len(found) == 8
    assert sorted(found) == sorted(r.input_ids for r in rows.rows)


def test_packs_that_cut_rows_are_refused(sums, tmp_path, tiny_llama):
    config = TrainConfig(student=str(tiny_llama), sft={"packing": True, "packing_strategy": "wrapped"})
    with pytest.raises(CotmillError, match=r"`wrapped` cuts rows in two"):
        train(sums, config, tmp_path / "out")


@pytest.mark.train
def test_a_student_whose_attention_crosses_packs_is_refused(sums, tmp_path, tiny_llama):
    """BLOOM's positions come from the attention mask, which packs have not: its rows see one another."""
    from transformers import AutoTokenizer, BloomConfig, BloomForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    said = {"vocab_size": len(tokenizer), "hidden_size": 32, "n_layer": 1, "n_head": 2}
    BloomForCausalLM(BloomConfig(**said)).save_pretrained(tmp_path / "bloom")
    tokenizer.save_pretrained(tmp_path / "bloom")
    config = TrainConfig(student=str(tmp_path / "bloom"), sft={"packing": True, "bf16": False, "max_steps": 1})
    with pytest.raises(CotmillError, match="reaches from one packed row into the next"):
        train(sums, config, tmp_path / "out")
    assert train(sums, config.model_copy(update={"sft": {"bf16": False, "max_steps": 1}}), tmp_path / "out").steps == 1


# Settings -----------------------------------------------------------------------------------------------


def test_the_paper_trains_in_batches_of_64(tmp_path):
    config = load_recipe(ROOT / "recipes/paper/train.yaml").train
    said = settings(config, tmp_path)
    assert said["per_device_train_batch_size"] * said["gradient_accumulation_steps"] == 64
    assert (said["num_train_epochs"], said["learning_rate"], said["max_length"]) == (3, 5e-5, 4096)
    assert (said["lr_scheduler_type"], said["warmup_steps"], said["seed"]) == ("cosine", 0, 100)
    assert not said["packing"]


@pytest.mark.train
def test_the_papers_settings_are_settings_of_trl(sums, tmp_path, tiny_llama):
    paper = load_recipe(ROOT / "recipes/paper/train.yaml").train
    config = paper.model_copy(update={"student": str(tiny_llama), "sft": {**paper.sft, "max_steps": 1}})
    assert train(sums, config, tmp_path / "out").steps == 1


@pytest.mark.parametrize("name", ["cpu", "one_gpu", "fsdp2"])
def test_accelerate_reads_its_configurations(name):
    from accelerate.commands.config.config_args import load_config_from_file

    path = ROOT / f"recipes/accelerate/{name}.yaml"
    held = load_config_from_file(str(path))
    assert held.num_processes == yaml.safe_load(path.read_text())["num_processes"]


@pytest.mark.parametrize(
    ("sft", "message"),
    [
        ({"report_to": "tensorboard"}, "asks for a package that is not installed|TRL refuses .*tensorboard"),
        ({"eos_token": "<eos>"}, "has no token '<eos>'"),
        ({"optim": "sgdd"}, "TRL refuses the train section: .*sgdd"),
    ],
)
def test_settings_that_cannot_be(sums, tmp_path, tiny_llama, sft, message):
    if sft.get("report_to") and find_spec("tensorboard"):
        pytest.skip("it is installed")
    with pytest.raises(CotmillError, match=message):
        train(sums, TrainConfig(student=str(tiny_llama), sft=sft), tmp_path / "out")
    assert not (tmp_path / "out/model").exists()


def test_few_bits_need_a_package(sums, tmp_path, tiny_llama):
    if find_spec("bitsandbytes"):
        pytest.skip("it is installed")
    config = TrainConfig(student=str(tiny_llama), lora=LoraSection(bits=4))
    with pytest.raises(MissingDependency, match=r"train\.lora\.bits: 4 needs bitsandbytes"):
        train(sums, config, tmp_path / "out")


def test_a_field_that_peft_has_not_is_named(sums, tmp_path, tiny_llama):
    config = TrainConfig(student=str(tiny_llama), lora=LoraSection(peft={"use_dorra": True}))
    with pytest.raises(CotmillError, match=r"train\.lora\.peft: .*use_dorra"):
        train(sums, config, tmp_path / "out")


@pytest.mark.train
def test_further_fields_of_peft_reach_it(sums, tmp_path, tiny_llama):
    lora = LoraSection(r=2, peft={"use_dora": True})
    train(sums, TrainConfig(student=str(tiny_llama), lora=lora, sft={"max_steps": 1}), tmp_path / "out")
    assert json.loads((tmp_path / "out/adapter/adapter_config.json").read_text())["use_dora"] is True


def test_the_fields_of_the_other_trainer_are_not_silently_unread():
    with pytest.raises(ValueError, match="sft: not read with the objective dpo; its fields are in `dpo`"):
        TrainConfig(objective="dpo", sft={"learning_rate": 1e-5})


# Memory -------------------------------------------------------------------------------------------------


def test_running_out_of_memory_names_what_to_lower():
    import torch

    config = TrainConfig(sft={"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2, "max_length": 2048})
    with pytest.raises(CotmillError) as caught, explained(config):
        torch.empty(1 << 58)
    assert str(caught.value).splitlines() == [
        "training ran out of memory. No model was written. Try, in this order:",
        "  train.sft.per_device_train_batch_size: 8 (it was 16), with train.sft.gradient_accumulation_steps: 4 to learn"
        " the same",
        "  train.sft.gradient_checkpointing: true",
        "  a smaller train.sft.max_length (it was 2048)",
        "  train.lora.r: 16, which trains an adapter",
    ]


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"), explained(TrainConfig()):
        raise RuntimeError("shapes do not fit")


# The command --------------------------------------------------------------------------------------------

RECIPE = """
name: tiny
train:
  student: {student}
  dataset: sums
  sft: {{max_steps: 1, bf16: false}}
"""


@pytest.mark.train
def test_a_recipe_can_name_its_dataset(sums, tmp_path, tiny_llama):
    import cotmill

    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.format(student=tiny_llama))
    said = cotmill.train(recipe, tmp_path / "out")
    assert (said["source"]["name"], said["recipe"], said["steps"]) == ("sums", "tiny", 1)


def test_a_recipe_without_a_dataset_says_so(tmp_path, tiny_llama):
    import cotmill

    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(f"name: tiny\ntrain: {{student: {tiny_llama}}}\n")
    with pytest.raises(CotmillError, match=r"train\.dataset: missing"):
        cotmill.train(recipe, tmp_path / "out")


def test_a_dataset_that_is_nowhere(tmp_path, tiny_llama):
    with pytest.raises(CotmillError, match=r"there is no dataset .*nowhere/at/all"):
        train(tmp_path / "nowhere/at/all", TrainConfig(student=str(tiny_llama)), tmp_path / "out")


@pytest.mark.train
@pytest.mark.slow
def test_two_processes_train_one_student_and_write_once(sums, tmp_path, tiny_llama):
    out = tmp_path / "out"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = ["--set", "train.sft.max_steps=2", "--set", "train.sft.per_device_train_batch_size=2", "--json"]
    command = [*launch, "-m", "cotmill", "train", str(sums), "--student", str(tiny_llama), "--out", str(out), *said]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["epochs"] == 1.0  # 2 steps of 2 x 2 of 8 rows
    assert (out / "model/model.safetensors").is_file()


# The card -----------------------------------------------------------------------------------------------


@pytest.mark.train
def test_the_card_names_dataset_student_recipe_and_settings(sums, tmp_path, tiny_llama):
    (sums / "dataset.json").write_text('{"name": "sums-by-hand", "fingerprint": "abc123"}')
    config = TrainConfig(student=str(tiny_llama), sft={"max_steps": 1, "learning_rate": 3e-4})
    report = train(sums, config, tmp_path / "out", recipe="tiny")
    card = (tmp_path / "out/model/README.md").read_text()
    _, metadata, text = card.split("---\n", 2)
    assert yaml.safe_load(metadata)["library_name"] == "transformers"
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert settings["train"]["sft"] == {"max_steps": 1, "learning_rate": 3e-4}
    assert str(tmp_path) not in card
    for fact in ("sums-by-hand", "`abc123`", "recipe `tiny`", report.student["weights"], report.dataset):
        assert fact in text


@pytest.mark.train
def test_a_student_is_pushed_with_its_card(sums, tmp_path, tiny_llama):
    from tests.hub import TOKEN, Hub

    class Models(Hub):
        """A Hub of model repositories: the same endpoints under another name."""

        def _routes(self):
            table = super()._routes()
            for route in table:
                path = route.path.replace("/api/datasets/", "/api/models/").removeprefix("/datasets")
                route.__init__(path, route.endpoint, methods=route.methods)
            return table

    with Models(tmp_path / "hub") as hub:
        home = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-m", "cotmill", "train", str(sums), "--student", str(tiny_llama)]
        command += ["--out", str(tmp_path / "out"), "--set", "train.sft.max_steps=1", "--push", "user/tiny", "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **home, "HF_HUB_DISABLE_XET": "1"}
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= hub.files("user/tiny").keys()
        assert hub.log("user/tiny")[0]["oid"] in json.loads(done.stdout)["pushed"]
