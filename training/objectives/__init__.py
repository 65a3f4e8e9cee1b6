"""What a student learns from a row, and how. One file per objective, one line each below.

An objective changes the rows (`rows`), the batches (`batch`), the loss of each token (`score`), or names
another of TRL's trainers (`trainer`); what it leaves alone is plain supervised fine-tuning.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any, Final

from pydantic import ValidationError

from training.objectives.base import Objective, Progress, Student

__all__ = ["OBJECTIVES", "Objective", "Progress", "Student", "parse"]

OBJECTIVES: Final = {
    "sft": "training.objectives.sft:Sft",
    "masked_thought": "training.objectives.masked_thought:MaskedThought",
    "chunk_wise": "training.objectives.chunk_wise:ChunkWise",
    "weighted": "training.objectives.weighted:Weighted",
    "answer_only": "training.objectives.answer_only:AnswerOnly",
    "padding": "training.objectives.padding:Padding",
    "dpo": "training.objectives.dpo:Dpo",
    "distill": "training.objectives.distill:Distill",
}
"""Name in a recipe -> module and class."""


def parse(said: str | dict[str, dict[str, Any] | None]) -> Objective:
    """An objective as a recipe says it: `name`, or `{name: {parameter: value}}`.

    Raises:
        ValueError: no such objective or parameter, or a value out of range; with the nearest known name.
    """
    if isinstance(said, dict) and len(said) != 1:
        raise ValueError(f"one objective, as `name` or `{{name: {{parameter: value}}}}`, not {len(said)}")
    name, parameters = (said, None) if isinstance(said, str) else next(iter(said.items()))
    if name not in OBJECTIVES:
        near = difflib.get_close_matches(name, OBJECTIVES, n=1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        raise ValueError(f"no objective {name!r}{hint}; known: {', '.join(OBJECTIVES)}")
    module, _, kind = OBJECTIVES[name].partition(":")
    made: type[Objective] = getattr(import_module(module), kind)
    try:
        return made.model_validate(parameters or {})
    except ValidationError as error:
        known = ", ".join(made.model_fields) or "none"
        faults = [".".join(map(str, (name, *e["loc"]))) + f": {e['msg'].split(', ', 1)[-1]}" for e in error.errors()]
        raise ValueError(f"{'; '.join(faults)} (its parameters: {known})") from None
