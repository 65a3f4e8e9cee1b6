"""What `cotmill train` costs on top of TRL itself, and what padding costs on short traces.

The same rows, seed and settings, float32: once through `cotmill train`, with its checks, its look at the labels and
its checkpoints, and once through a script that hands the same columns to TRL's SFTTrainer. Each run is a
process of its own and rounds are interleaved. Both clocks start when the trainer is ready and stop with the last
step; peak memory is that of the whole process. The student is a random Llama made on the spot.

Targets: 0.98 of the bare script's tokens per second, and the same loss at every step (1e-5).

Then the same rows padded, without padding and packed, through `cotmill train`: tokens per second, prompts included
and padding not. Rows differ in length as traces do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import finish, summary, user_environment

SETTINGS = {
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-3,
    "logging_steps": 1,
    "bf16": False,
    "gradient_checkpointing": False,
    "max_length": 1024,
}


def make_data(folder: Path, rows: int) -> None:
    """Sums step by step; lengths vary over an order of magnitude, most are short and none is over `max_length`."""
    import polars as pl

    chance = random.Random(0)
    made = []
    for _ in range(rows):
        numbers = [chance.randrange(100) for _ in range(min(30, 2 + int(chance.expovariate(0.15))))]
        steps, total = [], numbers[0]
        for number in numbers[1:]:
            steps.append(f"{total} + {number} = {total + number}.")
            total += number
        asked = f"What is {' + '.join(map(str, numbers))}?"
        said = " ".join([*steps, f"The answer is {total}."])
        made.append(
            {
                "prompt": [{"role": "user", "content": asked}],
                "completion": [{"role": "assistant", "content": said}],
            }
        )
    (folder / "data/default").mkdir(parents=True)
    pl.DataFrame(made).write_parquet(folder / "data/default/train-00000-of-00001.parquet")


def make_student(folder: Path, hidden: int, layers: int) -> None:
    """A random Llama with the tokenizer of the tests."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tests.models import make_tiny_llama

    make_tiny_llama(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def bare(dataset: str, student: str, out: str, steps: int) -> None:
    """SFTTrainer as its documentation has it; prints losses, seconds and memory."""
    import torch
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from builders import machine

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(machine.cores()))
    tokenizer = AutoTokenizer.from_pretrained(student)
    # What follows the end token is never generated, and `cotmill` does not train it; here the template ends there.
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "'<|im_end|>\n' }}{% endfor %}", "'<|im_end|>' + ('' if loop.last else '\n') }}{% endfor %}"
    ).replace("{{ '<|im_start|>assistant", "{{ '\n<|im_start|>assistant")
    data = load_dataset("parquet", data_files=f"{dataset}/data/default/*.parquet", split="train")
    args = SFTConfig(
        output_dir=out,
        max_steps=steps,
        seed=0,
        data_seed=0,
        use_cpu=not torch.accelerator.is_available(),
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=torch.accelerator.is_available(),
        **SETTINGS,
    )
    trainer = SFTTrainer(student, args, train_dataset=data, processing_class=tokenizer)
    epoch = sum(len(ids) for ids in trainer.train_dataset["input_ids"])
    start = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - start
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    rate = epoch * trainer.state.epoch / seconds
    print(json.dumps({"loss": losses, "seconds": seconds, "tokens_per_s": rate, "peak_memory": peak}))


def run(command: list[str]) -> dict[str, Any]:
    """The JSON object that a command prints last."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=user_environment())
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ratio", action="store_true", help="only the ratio to TRL, not the gain of not padding")
    parser.add_argument("--bare", nargs=3, metavar=("DATASET", "STUDENT", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(*options.bare, options.steps)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder / "data-set", options.rows)
        make_student(folder / "student", options.hidden, options.layers)
        ours, theirs, shapes = [], [], {"padded": [], "padding_free": [], "packed": []}
        for number in range(options.repeats):
            if number % 2:  # a machine that tires favours whoever goes first
                theirs.append(run(_bare(folder, options.steps)))
            ours.append(train(folder, f"ours-{number}", options.steps))
            if not number % 2:
                theirs.append(run(_bare(folder, options.steps)))
            shapes["padded"].append(ours[-1]["tokens_per_s"])
            if options.ratio:
                continue
            free = train(folder, f"free-{number}", options.steps, padding_free=True)
            shapes["padding_free"].append(free["tokens_per_s"])
            packs = {"packing": True, "per_device_train_batch_size": 2}
            shapes["packed"].append(train(folder, f"packed-{number}", options.steps // 2, **packs)["tokens_per_s"])
    report(ours, theirs, shapes, options)


def train(folder: Path, out: str, steps: int, **fields: Any) -> dict[str, Any]:
    """`cotmill train` in a process of its own."""
    said = {**SETTINGS, "max_steps": steps, **fields}
    command = [str(Path(sys.executable).parent / "cotmill"), "train", str(folder / "data-set")]
    command += ["--student", str(folder / "student"), "--out", str(folder / out), "--json"]
    for key, value in said.items():
        command += ["--set", f"train.sft.{key}={json.dumps(value)}"]
    return run(command)


def _bare(folder: Path, steps: int) -> list[str]:
    where = [str(folder / "data-set"), str(folder / "student"), str(folder / "bare")]
    return [sys.executable, "-m", "benchmarks.train", "--steps", str(steps), "--bare", *where]


def report(ours: list[Any], theirs: list[Any], shapes: dict[str, list[float]], options: argparse.Namespace) -> None:
    """Print the ratio, the largest difference between two losses, and the gain of not padding."""
    ratio = summary([a["tokens_per_s"] / b["tokens_per_s"] for a, b in zip(ours, theirs, strict=True)])
    memory = summary([a["peak_memory"] / b["peak_memory"] for a, b in zip(ours, theirs, strict=True)])
    apart = max(
        abs(loss - other)
        for a, b in zip(ours, theirs, strict=True)
        for (_, loss), other in zip(a["loss"], b["loss"], strict=True)
    )
    rates = {shape: summary(values) for shape, values in shapes.items() if values}
    gains = {
        shape: summary([a / b for a, b in zip(values, shapes["padded"], strict=True)])
        for shape, values in shapes.items()
        if shape != "padded" and values
    }
    bare_rate = summary([b["tokens_per_s"] for b in theirs])
    print(
        f"{options.steps} steps: cotmill {rates['padded']['median']:,.0f}, TRL {bare_rate['median']:,.0f} tokens/s; "
        f"ratio {ratio['median']:.3f}; memory {memory['median']:.3f}; losses apart by at most {apart:.1e}"
    )
    if gains:
        print(", ".join(f"{shape} {gain['median']:.2f} times the rate of padded rows" for shape, gain in gains.items()))
    sizes = {"rows": options.rows, "steps": options.steps, "hidden": options.hidden, "layers": options.layers}
    figures = {"ratio": ratio, "memory_ratio": memory, "losses_apart": apart, "tokens_per_s": rates, "gain": gains}
    finish("train", {**sizes, **figures, "bare_tokens_per_s": bare_rate})


if __name__ == "__main__":
    main()
