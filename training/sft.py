"""Training: a dataset in, a student that vLLM loads out.

TRL's trainers do the training. This module hands them tokenised rows, starts them with settings that
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
from builders.errors import MissingDependency, Occupied
from builders.identity import digest
from builders.quiet import quiet
from builders.teachers.smollm2 import model_identity
from training import rows, student
from training.checkpoints import last_whole
from training.checks import check, check_prompt
from training.config import EvaluateConfig, TrainConfig
from training.memory import explained, peak
from training.modelcard import render_card
from training.processes import is_first, wait
from training.source import Source, find
from training.trainer import MAX_LENGTH, logging_to, make_trainer
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
    objective: str
    rows: int
    """Trained on; an objective may make several of one row of the dataset, and two of a preference pair."""
    left_out: dict[str, int]
    """Rows of the dataset not trained on, by reason (training.rows.REASONS)."""
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
    peak_memory: int
    """Bytes: of a GPU what was allocated at most, else of this process."""
    resumed_from: int | None
    """The step this process went on from."""
    first_loss: float | None
    last_loss: float | None
    loss: list[tuple[int, float]]
    """Step and mean loss since the entry before."""
    dataset: str
    """Fingerprint of the rows read."""
    source: dict[str, str | None]
    """Where the dataset is and its name; its repository and commit, or its own fingerprint, where it has them."""
    recipe: str | None
    """Name of the recipe."""
    student: dict[str, str]
    """Identity of the weights that training began with."""
    config: dict[str, Any]
    versions: dict[str, str]


def train(
    dataset: Path | str,
    config: TrainConfig,
    out: Path,
    *,
    evaluation: EvaluateConfig | None = None,
    recipe: str | None = None,
    overwrite: bool = False,
    log: Log = to_stderr,
) -> TrainReport:
    """Teach `config.student` the completions of `dataset`; the model is in `out/model` afterwards.

    A run that is already in `out` is not repeated, and one that was killed goes on from its last
    whole checkpoint.

    Args:
        dataset: directory that curation wrote, one Parquet file, or `USER/NAME[@REVISION]` on the Hub.
        config: the recipe's `train` section.
        out: directory; made if missing.
        evaluation: the recipe's `evaluate` section, to compare prompts with.
        recipe: its name, for the model card.
        overwrite: replace another student in `out`.
        log: gets lines of progress.

    Raises:
        Occupied: `out` holds another student.
        CotmillError: nothing to train on, rows that would teach something else (training.checks), no such
            student, settings that TRL refuses, a loss that is not a number, no memory left.
        MissingDependency: TRL, or peft for an adapter, is not installed.
    """
    _check_installed(config)
    log = log if is_first() else _silent
    source = find(dataset)
    with quiet(), logging_to(out / "logs"):
        tokenizer, prepared = _prepare(source, config, evaluation, log)
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
        facts = {"source": _said(source), "recipe": recipe, "student": identity, "fingerprint": fingerprint}
        return _run(prepared, tokenizer, config, facts, out, log)


def finished(out: Path, fingerprint: str) -> TrainReport | None:
    """The report of a run that is already done in `out`."""
    try:
        held = orjson.loads((out / DONE).read_bytes())
        return TrainReport(**held) if held["fingerprint"] == fingerprint else None
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


NOT_IDENTITY = {"checkpoint_minutes", "student", "revision", "dataset"}
"""Settings that do not change the student, or that its fingerprint already says."""


def longest(config: TrainConfig, limits: student.Limits) -> int | None:
    """Most tokens of a row: as the recipe says, but never more than the student's context."""
    known = [n for n in (config.trl.get("max_length", MAX_LENGTH), limits.context) if n]
    return min(known, default=None)


def _prepare(
    source: Source, config: TrainConfig, evaluation: EvaluateConfig | None, log: Log
) -> tuple[PreTrainedTokenizerBase, rows.Prepared]:
    """Tokenizer and rows, when nothing speaks against them."""
    tokenizer = student.load_tokenizer(config, log)
    limits = student.limits(config)
    data = rows.read_rows(source.path, config.split, config.limit, config.goal)
    prepared = rows.prepare(data, tokenizer, longest(config, limits), config.goal)
    check(source.path, config, prepared, limits)
    check_prompt(data, tokenizer, config, evaluation)
    return tokenizer, prepared


def _run(
    prepared: rows.Prepared,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainConfig,
    facts: dict[str, Any],
    out: Path,
    log: Log,
) -> TrainReport:
    checkpoints = out / "checkpoints" / facts["fingerprint"][:12]
    checkpoints.mkdir(parents=True, exist_ok=True)
    resume = last_whole(checkpoints, log, delete=is_first())
    tokens = prepared.tokens
    with explained(config):
        trainer = make_trainer(prepared, tokenizer, config, checkpoints, watcher(log, tokens, _minutes(config)))
        if resume:
            log(f"going on from {resume.name}")
        began = time.monotonic()
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        seconds = time.monotonic() - began
    state = trainer.state
    curve = [(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry]
    start = int(resume.name.rpartition("-")[2]) if resume else 0
    done = tokens * state.epoch * (state.global_step - start) / max(state.global_step, 1)
    report = TrainReport(
        **facts,
        model="model",
        objective=config.goal.name,
        rows=len(prepared.rows),
        left_out=prepared.left_out,
        steps=state.global_step,
        epochs=round(state.epoch, 4),
        tokens=tokens,
        trained_tokens=prepared.trained_tokens,
        seconds=round(seconds, 2),
        tokens_per_s=round(done / seconds, 1),
        peak_memory=peak(),
        resumed_from=start if resume else None,
        first_loss=curve[0][1] if curve else None,
        last_loss=curve[-1][1] if curve else None,
        loss=curve,
        dataset=prepared.fingerprint,
        config=config.model_dump(mode="json"),
        versions=_versions(),
    )
    _save(trainer, tokenizer, {row.input_ids[-1] for row in prepared.rows}, out, report)
    wait()
    if is_first():
        write_json(out / DONE, asdict(report))
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return report


def _save(trainer: Any, tokenizer: PreTrainedTokenizerBase, ends: set[int], out: Path, report: TrainReport) -> None:
    """Write `out/model`; of an adapter also `out/adapter`, before it is merged."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    if not is_first():
        return
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(out / "adapter", **({} if weights is None else {"state_dict": weights}))
        whole = weights is None and not getattr(model, "is_quantized", False)
        model = model.merge_and_unload() if whole else student.merged(report.config, out / "adapter")
        weights = None
    student.save(model, tokenizer, ends, out / "model", weights=weights, card=render_card(asdict(report)))


def _check_installed(config: TrainConfig) -> None:
    for package in ["trl", *(["peft"] if config.lora else [])]:
        if find_spec(package) is None:
            raise MissingDependency(package, "training", "make setup, or pip install 'cotmill[train]'")


def _said(source: Source) -> dict[str, str | None]:
    return {
        "path": str(source.path.resolve()),  # evaluation looks there for what was trained on
        "name": source.name,
        "repo": source.repo,
        "revision": source.revision,
        "fingerprint": source.fingerprint,
    }


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "trl", "peft", "datasets")
    return {name: metadata.version(name) for name in names if find_spec(name)}


def _minutes(config: TrainConfig) -> float | None:
    """Minutes between checkpoints by the clock; None when the recipe says when to save."""
    own = {"save_strategy", "save_steps"} & set(config.trl)
    return None if own else config.checkpoint_minutes


def _silent(line: str) -> None:
    """The log of every process but the first."""
