"""Which engine runs a student: vLLM, or transformers where that cannot."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from builders.errors import CotmillError
from builders.teachers import Teacher
from builders.teachers.smollm2 import EMBEDDED
from training.config import EvaluateConfig
from training.evaluation.asking import settings_of

TOKENIZERS: Final = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "tekken.json")
"""A model directory with none of these has no tokenizer."""


def backends(model: str, config: EvaluateConfig) -> list[Teacher]:
    """Engines that may run `model`, in the order in which to try them; none is started.

    Raises:
        CotmillError: the model directory has no tokenizer, or an engine field does not exist.
    """
    check_tokenizer(model, config)
    settings = settings_of(model, config)
    made: list[Teacher] = []
    if config.beams == 1 and config.backend != "transformers" and (config.backend == "vllm" or find_spec("vllm")):
        from training.evaluation.student import VllmStudent

        made.append(VllmStudent(settings))
    if config.backend != "vllm":
        from training.evaluation.transformers import TransformersStudent

        made.append(TransformersStudent(settings, batch=config.batch, beams=config.beams))
    return made


def check_tokenizer(model: str, config: EvaluateConfig) -> None:
    """Raise CotmillError for a model directory without a tokenizer, before anything is started."""
    path = Path(model).expanduser()
    if model == EMBEDDED or not path.is_dir() or "tokenizer" in config.engine:
        return
    if not any((path / name).is_file() for name in TOKENIZERS):
        raise CotmillError(
            f"{path} has no tokenizer ({', '.join(TOKENIZERS[:3])} ...), so nothing can be asked.\nSave the student's"
            " into it, or name another: --set evaluate.engine.tokenizer=MODEL"
        )
