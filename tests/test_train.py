"""Training on a tiny real model with real TRL: what is trained, that it learns, and what a kill costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import polars as pl
import pytest
from pydantic import ValidationError

from builders import config as builders_config
from builders.errors import CotmillError, Occupied
from tests.models import CHAT_TEMPLATE
from tests.training import sum_rows, turn, write
from training.checkpoints import is_whole, last_whole, mark_whole
from training.config import LoraSection, TrainConfig
from training.evaluate import messages
from training.preview import preview
from training.rows import prepare, tokenise
from training.sft import DONE, train
from training.trl_fields import trl_fields

ROOT = Path(__file__).parents[1]


@pytest.fixture
def sums(tmp_path):
    return write(tmp_path / "sums", sum_rows())


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_llama)


# What is trained ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "completion", "prompt_tokens", "trained_tokens"),
    [
        (
            "How many?",
            "7",
            ["<|im_start|>", *["u", "s", "er"], "\n", "Ho", "w", " man", "y", "?", "<|im_end|>", "\n"],
            ["7", "<|im_end|>"],
        ),
        (
            "Yes or no?",
            "The answer is\nyes.",
            ["<|im_start|>", *["u", "s", "er"], "\n", "Yes", " or", " no", "?", "<|im_end|>", "\n"],
            ["The", " answer", " is", "\n", "y", "es", ".", "<|im_end|>"],
        ),
    ],
)
def test_the_loss_is_on_the_completion_and_its_end_token(
    tmp_path, tiny_llama, question, completion, prompt_tokens, trained_tokens
):
    row = {"prompt": turn("user", question), "completion": turn("assistant", completion)}
    (shown,) = preview(write(tmp_path / "one", [row]), TrainConfig(student=str(tiny_llama))).rows
    generation_prompt = ["<|im_start|>", *["a", "s", "s", "i", "st", "an", "t"], "\n"]
    untrained = prompt_tokens + generation_prompt
    assert shown.tokens == untrained + trained_tokens
    assert shown.trained == [False] * len(untrained) + [True] * len(trained_tokens)
    assert str(shown).endswith(f"assistant\n⟦{completion}<|im_end|>⟧")


@pytest.mark.parametrize("template", [None, "plain", "alpaca", "llama3"])
def test_a_training_prompt_is_what_evaluation_sends(tiny_llama, sums, template):
    from builders.teachers.templates import template_of
    from builders.teachers.vllm import VllmTeacher
    from training.config import EvaluateConfig
    from training.student import load_tokenizer

    config = TrainConfig(student=str(tiny_llama), chat_template=template)
    trained = load_tokenizer(config)
    teacher = VllmTeacher(builders_config.VllmTeacher(kind="vllm", model=str(tiny_llama)))
    teacher._tokenizer, teacher._template = trained, template_of(trained)  # as starting the engine would
    for i, shown in enumerate(preview(sums, config, 8).rows):
        asked = teacher._tokens(messages(EvaluateConfig(), f"What is {i} + {i}?"))
        assert [t for t, trained in zip(shown.ids, shown.trained, strict=True) if not trained] == asked


def test_the_ids_are_those_of_trl_without_what_follows_the_end_token(tmp_path, tiny_llama, tokenizer):
    """Who trains on the published dataset with TRL alone trains on the same tokens, and one line break."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    args = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    theirs = SFTTrainer(str(tiny_llama), args, train_dataset=Dataset.from_list(sum_rows(2)), processing_class=tokenizer)
    newline = tokenizer.encode("\n", add_special_tokens=False)
    for row, their in zip(sum_rows(2), theirs.train_dataset, strict=True):
        ours = tokenise(row["prompt"], row["completion"], tokenizer)
        assert ours.input_ids + newline == their["input_ids"]
        labels = [i if m else -100 for i, m in zip(ours.input_ids, ours.completion_mask, strict=True)]
        assert labels + newline == their["labels"]


def test_an_end_token_is_added_where_the_template_has_none(tokenizer):
    bare = "{% for message in messages %}{{ message['content'] + '\n' }}{% endfor %}"
    tokenizer = type(tokenizer).from_pretrained(tokenizer.name_or_path, chat_template=bare)
    made = tokenise(turn("user", "2?"), turn("assistant", "4."), tokenizer)
    assert tokenizer.decode(made.input_ids) == "2?\n4.<|im_end|>"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": turn("user", "2?"), "completion": []}, "empty"),
        ({"prompt": turn("user", "2?"), "completion": None}, "empty"),
        ({"prompt": turn("user", "2?"), "completion": turn("assistant", " \n")}, "empty"),
        ({"prompt": turn("user", "2?"), "completion": turn("assistant", None)}, "empty"),
        ({"prompt": turn("user", "2?"), "completion": turn("assistant", "4 " * 50)}, "too_long"),
    ],
)
def test_rows_that_would_teach_something_else_are_left_out(tokenizer, row, reason):
    prepared = prepare([row, *sum_rows(1)], tokenizer, max_length=64)
    assert (len(prepared.rows), prepared.left_out) == (1, {reason: 1})


def test_a_template_that_drops_the_reasoning_is_noticed(tokenizer):
    drops = CHAT_TEMPLATE.replace("message['content']", "message['content'].split('</think>')[-1]")
    tokenizer = type(tokenizer).from_pretrained(tokenizer.name_or_path, chat_template=drops)
    assert tokenise(turn("user", "2?"), turn("assistant", "<think>2+2</think>4"), tokenizer) == "reasoning"


# What is refused, before anything is trained -----------------------------------------------------------


def test_an_unknown_sft_field_is_named_with_a_guess():
    with pytest.raises(ValidationError, match=r"sft\.learnign_rate.*no such field \(did you mean `learning_rate`\?\)"):
        TrainConfig(sft={"learnign_rate": 1e-4})


def test_text_where_a_number_belongs_is_refused():
    with pytest.raises(ValidationError, match=r"sft\.learning_rate: '1e-4x' is text, and trl\.SFTConfig wants float"):
        TrainConfig(sft={"learning_rate": "1e-4x"})


def test_an_sft_field_that_is_said_elsewhere_says_where():
    with pytest.raises(ValidationError, match=r"sft\.seed: say train\.seed"):
        TrainConfig(sft={"seed": 1})


@pytest.mark.parametrize("trainer", ["sft", "dpo", "distill"])
def test_the_fields_read_from_the_source_are_those_of_trl(trainer):
    import dataclasses

    from trl import DPOConfig, SFTConfig
    from trl.experimental.gkd import GKDConfig

    theirs = {"sft": SFTConfig, "dpo": DPOConfig, "distill": GKDConfig}[trainer]
    assert set(trl_fields(trainer)) == {field.name for field in dataclasses.fields(theirs)}


@pytest.mark.parametrize(
    ("rows", "sft", "message"),
    [
        ([], {}, "the split train holds no rows"),
        ([{"prompt": turn("user", "2?"), "completion": []}] * 3, {}, "3 rows without a completion"),
        (sum_rows(4), {"max_length": 16}, "4 rows longer than max_length"),
    ],
)
def test_nothing_to_train_on(tmp_path, tiny_llama, rows, sft, message):
    with pytest.raises(CotmillError, match=message):
        train(write(tmp_path / "d", rows), TrainConfig(student=str(tiny_llama), sft=sft), tmp_path / "out")


def test_a_dataset_without_completions_says_which_column_is_missing(tmp_path, tiny_llama):
    folder = tmp_path / "foreign/data/default"
    folder.mkdir(parents=True)
    pl.DataFrame({"text": ["2 + 2 = 4"]}).write_parquet(folder / "train-0.parquet")
    with pytest.raises(CotmillError, match="no column completion and prompt"):
        train(tmp_path / "foreign", TrainConfig(student=str(tiny_llama)), tmp_path / "out")


def test_a_split_that_is_not_there_lists_those_that_are(sums, tmp_path, tiny_llama):
    with pytest.raises(CotmillError, match=r"no split dev .*it has: train"):
        train(sums, TrainConfig(student=str(tiny_llama), split="dev"), tmp_path / "out")


def test_a_torn_parquet_file_is_named(tmp_path, tiny_llama):
    folder = tmp_path / "torn/data/default"
    folder.mkdir(parents=True)
    (folder / "train-0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CotmillError, match=r"train-0\.parquet cannot be read as Parquet"):
        train(tmp_path / "torn", TrainConfig(student=str(tiny_llama)), tmp_path / "out")


def test_settings_that_trl_refuses_are_the_users_mistake(sums, tmp_path, tiny_llama):
    config = TrainConfig(student=str(tiny_llama), sft={"lr_scheduler_type": "sideways"})
    with pytest.raises(CotmillError, match=r"TRL refuses the train section: .*sideways"):
        train(sums, config, tmp_path / "out")


# Training ----------------------------------------------------------------------------------------------

FAST = {"max_steps": 30, "learning_rate": 1e-2}


@pytest.mark.train
def test_the_loss_falls_and_the_model_loads(sums, tmp_path, tiny_llama, capfd):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lines: list[str] = []
    report = train(sums, TrainConfig(student=str(tiny_llama), sft=FAST), tmp_path / "out", log=lines.append)
    assert report.last_loss < report.first_loss / 2
    assert (report.rows, report.steps, report.loss[-1][0]) == (8, 30, 30)
    assert any("step 30/30" in line for line in lines)
    assert capfd.readouterr().out == ""  # stdout is for results
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out/model")
    assert model.num_parameters() == AutoModelForCausalLM.from_pretrained(tiny_llama).num_parameters()
    assert AutoTokenizer.from_pretrained(tmp_path / "out/model").chat_template == CHAT_TEMPLATE
    assert orjson.loads((tmp_path / "out" / DONE).read_bytes())["fingerprint"] == report.fingerprint
    assert not (tmp_path / "out/checkpoints").exists()


@pytest.mark.train
def test_a_finished_run_is_not_repeated_and_another_is_not_overwritten_unasked(sums, tmp_path, tiny_llama):
    one = TrainConfig(student=str(tiny_llama), sft={**FAST, "max_steps": 1})
    first = train(sums, one, tmp_path / "out")
    lines: list[str] = []
    assert train(sums, one, tmp_path / "out", log=lines.append).fingerprint == first.fingerprint
    assert lines == [f"already trained: {tmp_path / 'out' / DONE}"]
    changed = one.model_copy(update={"seed": 1})
    with pytest.raises(Occupied, match="--overwrite"):
        train(sums, changed, tmp_path / "out")
    other = train(sums, changed, tmp_path / "out", overwrite=True)
    assert other.fingerprint != first.fingerprint


@pytest.mark.train
def test_an_adapter_is_kept_and_merged_into_a_plain_model(sums, tmp_path, tiny_llama):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = TrainConfig(student=str(tiny_llama), lora=LoraSection(r=4), sft=FAST)
    report = train(sums, config, tmp_path / "out")
    assert report.last_loss < report.first_loss
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out/model")
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    assert {name for name, _ in merged.named_parameters()} == {name for name, _ in base.named_parameters()}
    ids = torch.tensor([[5, 6, 7, 8]])
    before = base(ids).logits
    adapted = PeftModel.from_pretrained(base, tmp_path / "out/adapter")(ids).logits
    assert not torch.allclose(before, adapted, atol=1e-3)
    assert torch.allclose(merged(ids).logits, adapted, atol=1e-4)


@pytest.mark.train
def test_packing_trains_on_the_same_tokens(sums, tmp_path, tiny_llama):
    plain = train(sums, TrainConfig(student=str(tiny_llama), sft={"max_steps": 1}), tmp_path / "plain")
    sft = {"max_steps": 1, "packing": True, "per_device_train_batch_size": 1}
    packed = train(sums, TrainConfig(student=str(tiny_llama), sft=sft), tmp_path / "packed")
    # 8 rows of 40 tokens fit into one block, without seeing one another: the same mean loss.
    assert packed.first_loss == pytest.approx(plain.first_loss, rel=1e-2)


@pytest.mark.train
def test_a_base_model_learns_to_stop_at_the_templates_end_token(sums, tmp_path, tiny_base):
    from transformers import GenerationConfig

    sft = {"max_steps": 1, "eos_token": "<|endoftext|>"}
    config = TrainConfig(student=str(tiny_base), chat_template=CHAT_TEMPLATE, sft=sft)
    train(sums, config, tmp_path / "out")
    assert GenerationConfig.from_pretrained(tmp_path / "out/model").eos_token_id == [0, 2]  # endoftext, im_end


@pytest.mark.train
def test_a_loss_that_is_not_a_number_ends_the_run(sums, tmp_path, tiny_llama):
    config = TrainConfig(student=str(tiny_llama), sft={"max_steps": 9, "learning_rate": 1e30})
    with pytest.raises(CotmillError, match=r"stopped at step \d+: the loss is .*(nan|inf).*\n.*learning_rate"):
        train(sums, config, tmp_path / "out")
    assert not (tmp_path / "out/model").exists()
    assert not (tmp_path / "out" / DONE).exists()


# Kills -------------------------------------------------------------------------------------------------


def test_a_torn_checkpoint_is_skipped_with_a_message(tmp_path):
    for step in (2, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"12345678")
        mark_whole(folder)
    (tmp_path / "checkpoint-12").mkdir()  # killed before the mark
    (tmp_path / "checkpoint-10/model.safetensors").write_bytes(b"1234")
    lines: list[str] = []
    assert last_whole(tmp_path, lines.append) == tmp_path / "checkpoint-2"
    assert [line.split()[1] for line in lines] == ["checkpoint-10", "checkpoint-12"]


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.parametrize("objective", ["sft", "masked_thought", "chunk_wise"])
def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_the_same(sums, tmp_path, tiny_llama, objective):
    sft = {"max_steps": 24, "learning_rate": 1e-3, "save_steps": 4, "logging_steps": 1}
    config = TrainConfig(student=str(tiny_llama), sft=sft, objective=objective)
    undisturbed = train(sums, config, tmp_path / "undisturbed")
    code = (
        "import sys; from pathlib import Path; from training.config import TrainConfig; from training.sft import train;"
        "train(Path(sys.argv[1]), TrainConfig.model_validate_json(sys.argv[2]), Path(sys.argv[3]))"
    )
    out = tmp_path / "killed"
    run = [sys.executable, "-c", code, str(sums), config.model_dump_json(), str(out)]
    process = subprocess.Popen(run, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not any(is_whole(p) for p in out.glob("checkpoints/*/checkpoint-*")):
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    report = train(sums, config, out)
    assert report.resumed_from >= 4
    assert [step for step, _ in report.loss] == [step for step, _ in undisturbed.loss]
    assert [loss for _, loss in report.loss] == pytest.approx([loss for _, loss in undisturbed.loss], rel=1e-3)
