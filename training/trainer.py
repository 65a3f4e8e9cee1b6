"""TRL's trainers, put together for this machine: arguments, adapter, silence, and a look at what they will train on.

The objective says which: SFTTrainer here, DPOTrainer in `training.dpo`, GKDTrainer in `training.distill`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from builders import machine
from builders.errors import CotmillError, MissingDependency
from builders.teachers.smollm2 import resolve_model
from training.hooks import hooked, weighing
from training.packing import check_packing, refuse_cutting

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.config import TrainConfig
    from training.rows import Prepared

MAX_LENGTH: Final = 1024
"""Longest row in tokens, unless the recipe says otherwise; TRL's default."""


def make_trainer(
    prepared: Prepared,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    checkpoints: Path,
    callback: Any,
) -> Any:
    """One of TRL's trainers with model and rows loaded, ready to `train`.

    Raises:
        CotmillError: TRL or transformers refuse the settings or the model; rows of one pack see one another.
        MissingDependency: a package that the settings need is not installed.
    """
    import torch
    from transformers import PrinterCallback

    from training import distill, dpo

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(machine.cores()))
    refuse_cutting(config)
    make = {"sft": _sft, "dpo": dpo.make, "distill": distill.make}[config.goal.trainer]
    shared: dict[str, Any] = {
        "model": resolve_model(config.student),
        "processing_class": tokenizer,
        "peft_config": _lora(config),
        "callbacks": [callback],
    }
    try:
        trainer = make(prepared, tokenizer, config, settings(config, checkpoints), shared)
    except ImportError as error:
        raise CotmillError(f"the train section asks for a package that is not installed: {_first(error)}") from error
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "requires" not in str(error) and "install" not in str(error):
            raise
        raise CotmillError(f"TRL refuses the train section: {error}\nSee the documentation of its fields.") from error
    trainer.remove_callback(PrinterCallback)
    check_packing(trainer, config)
    return trainer


def settings(config: TrainConfig, checkpoints: Path) -> dict[str, Any]:
    """Fields of TRL's configuration: the recipe's, over those for this machine."""
    init = {**(config.trl.get("model_init_kwargs") or {})}
    if config.revision:
        init.setdefault("revision", config.revision)
    if config.lora and config.lora.bits:
        init["quantization_config"] = _quantization(config.lora.bits)
    said = {**defaults(config), **config.trl, "model_init_kwargs": init, "output_dir": str(checkpoints)}
    if said.get("padding_free") and not said.get("packing"):
        said["max_length"] = None  # rows are short enough already; TRL asks for a word on it
    return said


def defaults(config: TrainConfig) -> dict[str, Any]:
    """Fields for this machine; the recipe's win."""
    import torch

    gpu = torch.accelerator.is_available()
    saves = "save_steps" in config.trl
    own = {"max_length": MAX_LENGTH} if config.goal.trainer == "dpo" else _for_sft()
    return {
        **own,
        "use_cpu": not gpu,
        "bf16": _bf16(gpu),
        "gradient_checkpointing": gpu,  # memory is what a GPU is short of; on a CPU it is time
        "use_liger_kernel": gpu and find_spec("liger_kernel") is not None,
        "dataloader_pin_memory": gpu,
        "logging_steps": 0.02,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps" if saves else "no",  # by the clock, see training.watch
        "save_total_limit": 2,
        "disable_tqdm": True,
        "report_to": "none",
        "seed": config.seed,
        "data_seed": config.seed,
    }


def _for_sft() -> dict[str, Any]:
    return {"max_length": MAX_LENGTH, "completion_only_loss": True}


def _sft(
    prepared: Prepared, tokenizer: PreTrainedTokenizerBase, config: TrainConfig, said: dict[str, Any], shared: Any
) -> Any:
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    objective = config.goal
    if objective.weighs and said.get("packing"):
        raise CotmillError(
            f"train.sft.packing: a pack has one loss, and the objective {objective.name} weighs row by row."
            " Say padding_free: true instead"
        )
    names = ["input_ids", "completion_mask", *(["weight"] if objective.weighs else [])]
    data = Dataset.from_dict({name: [getattr(row, name) for row in prepared.rows] for name in names})
    kind = hooked(SFTTrainer, objective, tokenizer)
    trainer = kind(args=SFTConfig(**said), train_dataset=data, **shared)
    if objective.weighs:
        trainer.data_collator = weighing(trainer.data_collator)
    _check_labels(trainer, prepared)
    return trainer


def _bf16(gpu: bool) -> bool:
    """Whether to compute in bfloat16, weights and their updates staying float32.

    On a CPU with the instructions for it 1.5 to 1.7 times as fast as float32; without them, slower.
    """
    import torch

    if gpu:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return machine.cpu_dtype().value == "bfloat16"


def _lora(config: TrainConfig) -> Any:
    if config.lora is None:
        return None
    from peft import LoraConfig

    said = config.lora
    try:
        return LoraConfig(
            r=said.r,
            lora_alpha=said.alpha,
            lora_dropout=said.dropout,
            target_modules=said.target_modules,
            task_type="CAUSAL_LM",
            **said.peft,
        )
    except (TypeError, ValueError) as error:
        raise CotmillError(f"train.lora.peft: peft refuses it: {_first(error)}") from error


def _quantization(bits: int) -> Any:
    if find_spec("bitsandbytes") is None:
        raise MissingDependency("bitsandbytes", f"train.lora.bits: {bits}", "pip install bitsandbytes")
    import torch
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if _bf16(torch.accelerator.is_available()) else torch.float32,
    )


def _check_labels(trainer: Any, prepared: Prepared) -> None:
    """TRL trains on exactly the tokens that `rows` decided on; another version may do something else."""
    if not trainer.args.completion_only_loss:
        return
    want = prepared.trained_tokens
    have = sum(sum(label != -100 for label in row) for row in trainer.train_dataset["labels"])
    if want != have:
        raise CotmillError(
            f"TRL {metadata.version('trl')} would train on {have} tokens where the completions have {want}."
            " Its handling of `completion_mask` has changed; nothing was trained. Known to work: trl 1.16"
        )


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def logging_to(folder: Path) -> Iterator[None]:
    """TensorBoard's files in `folder`, which stays, and not among the checkpoints, which do not."""
    name = "TENSORBOARD_LOGGING_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        del os.environ[name]
