"""Supervised fine-tuning: a dataset in, a student that vLLM loads out.

TRL's SFTTrainer does the training. This module hands it tokenised rows, starts it with settings that
suit the machine, goes on after a kill, and writes `train.json` last: its presence means done.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from builders.disk import write_json
from builders.errors import CotmillError, MissingDependency, Occupied
from builders.identity import digest
from builders.teachers.smollm2 import model_identity
from training import rows, student
from training.checkpoints import last_whole
from training.config import TrainConfig
from training.trainer import MAX_LENGTH, make_trainer, quiet
from training.watch import Log, to_stderr, watcher

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DONE = "train.json"


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What `train.json` holds."""

    fingerprint: str
    """Of rows, student and settings: the same run has the same one."""
    model: str
    """Directory of the student, beside this file."""
    rows: int
    """Trained on."""
    left_out: dict[str, int]
    """Rows not trained on, by reason (training.rows.LEFT_OUT)."""
    steps: int
    epochs: float
    tokens: int
    """In one epoch, prompts included."""
    trained_tokens: int
    """In one epoch, those that count in the loss."""
    seconds: float
    """Of this process's steps; without loading and saving."""
    tokens_per_s: float
    """Prompts included, padding not."""
    resumed_from: int | None
    """The step this process went on from."""
    first_loss: float | None
    last_loss: float | None
    loss: list[tuple[int, float]]
    """Step and mean loss since the entry before."""
    dataset: str
    """Fingerprint of the rows read."""
    config: dict[str, Any]
    versions: dict[str, str]


def train(
    dataset: Path, config: TrainConfig, out: Path, *, overwrite: bool = False, log: Log = to_stderr
) -> TrainReport:
    """Teach `config.student` the completions of `dataset`; the model is in `out/model` afterwards.

    A run that is already in `out` is not repeated, and one that was killed goes on from its last
    whole checkpoint.

    Args:
        dataset: directory that curation wrote, or one Parquet file with `prompt` and `completion`.
        config: the recipe's `train` section.
        out: directory; made if missing.
        overwrite: replace another student in `out`.
        log: gets lines of progress.

    Raises:
        Occupied: `out` holds another student.
        CotmillError: nothing to train on, no such student, settings that TRL refuses, a loss that is
            not a number.
        MissingDependency: TRL, or peft for an adapter, is not installed.
    """
    _check_installed(config)
    with quiet():
        tokenizer = student.load_tokenizer(config)
        data = rows.read_rows(dataset, config.split, config.limit)
        prepared = rows.prepare(data, tokenizer, config.sft.get("max_length", MAX_LENGTH))
        _check_rows(dataset, config, prepared)
        identity = model_identity(config.student, config.revision)
        fingerprint = digest([prepared.fingerprint, identity, config.model_dump(mode="json", exclude=NOT_IDENTITY)])
        if report := finished(out, fingerprint):
            log(f"already trained: {out / DONE}")
            return report
        if (out / DONE).exists() and not overwrite:
            raise Occupied(out, "another student")
        for line in rows.explain(prepared):
            log(f"left out: {line}")
        (out / DONE).unlink(missing_ok=True)
        return _run(prepared, tokenizer, config, fingerprint, out, log)


def preview(dataset: Path, config: TrainConfig, rows_shown: int = 3) -> list[rows.Preview]:
    """The first rows as the student meets them, token by token. Loads the tokenizer, not the model.

    Raises:
        CotmillError: as `train`, as far as rows and tokenizer go.
    """
    _check_installed(config)
    with quiet():
        data = rows.read_rows(dataset, config.split, rows_shown)
        return rows.preview(data, student.load_tokenizer(config))


def finished(out: Path, fingerprint: str) -> TrainReport | None:
    """The report of a run that is already done in `out`."""
    try:
        held = orjson.loads((out / DONE).read_bytes())
        return TrainReport(**held) if held["fingerprint"] == fingerprint else None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


NOT_IDENTITY = {"checkpoint_minutes", "student", "revision"}
"""Settings that do not change the student, or that its fingerprint already says."""


def _run(
    prepared: rows.Prepared,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    fingerprint: str,
    out: Path,
    log: Log,
) -> TrainReport:
    checkpoints = out / "checkpoints" / fingerprint[:12]
    checkpoints.mkdir(parents=True, exist_ok=True)
    resume = last_whole(checkpoints, log)
    tokens = sum(len(row.input_ids) for row in prepared.rows)
    trainer = make_trainer(prepared, tokenizer, config, checkpoints, watcher(log, tokens, _minutes(config)))
    if resume:
        log(f"going on from {resume.name}")
    began = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except MemoryError as error:
        raise CotmillError(f"training ran out of memory. {SMALLER}") from error
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        raise CotmillError(f"training ran out of memory. {SMALLER}") from error
    seconds = time.monotonic() - began
    ends = {row.input_ids[-1] for row in prepared.rows}
    _save(trainer, tokenizer, ends, out)
    state = trainer.state
    curve = [(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry]
    start = int(resume.name.rpartition("-")[2]) if resume else 0
    done = tokens * state.epoch * (state.global_step - start) / max(state.global_step, 1)
    report = TrainReport(
        fingerprint=fingerprint,
        model="model",
        rows=len(prepared.rows),
        left_out=prepared.left_out,
        steps=state.global_step,
        epochs=round(state.epoch, 4),
        tokens=tokens,
        trained_tokens=sum(sum(row.completion_mask) for row in prepared.rows),
        seconds=round(seconds, 2),
        tokens_per_s=round(done / seconds, 1),
        resumed_from=start if resume else None,
        first_loss=curve[0][1] if curve else None,
        last_loss=curve[-1][1] if curve else None,
        loss=curve,
        dataset=prepared.fingerprint,
        config=config.model_dump(mode="json"),
        versions=_versions(),
    )
    write_json(out / DONE, asdict(report))
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return report


SMALLER = (
    "Try a smaller train.sft.per_device_train_batch_size (with more train.sft.gradient_accumulation_steps),"
    " train.sft.gradient_checkpointing: true, a smaller train.sft.max_length, or train.lora"
)


def _save(trainer: Any, tokenizer: PreTrainedTokenizerBase, ends: set[int], out: Path) -> None:
    """Write `out/model`; of an adapter also `out/adapter`, before it is merged."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(out / "adapter")
        model = model.merge_and_unload()
    student.save(model, tokenizer, ends, out / "model")


def _check_installed(config: TrainConfig) -> None:
    for package in ["trl", *(["peft"] if config.lora else [])]:
        if find_spec(package) is None:
            raise MissingDependency(package, "training", "make setup, or pip install 'cotmill[train]'")


def _check_rows(dataset: Path, config: TrainConfig, prepared: rows.Prepared) -> None:
    """Raise when nothing is left to train on, with the reason for every row."""
    if prepared.rows:
        return
    reasons = rows.explain(prepared) or [f"the split {config.split} holds no rows"]
    lines = "\n".join(f"  {line}" for line in reasons)
    raise CotmillError(
        f"{dataset} holds nothing to train on:\n{lines}\nNothing was trained. Look at it:"
        f" cotmill sql {dataset} 'select prompt, completion from kept limit 3'"
    )


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "trl", "peft", "datasets")
    return {name: metadata.version(name) for name in names if find_spec(name)}


def _minutes(config: TrainConfig) -> float | None:
    """Minutes between checkpoints by the clock; None when the recipe says when to save."""
    own = {"save_strategy", "save_steps"} & set(config.sft)
    return None if own else config.checkpoint_minutes
