"""Which fields the configurations of TRL's trainers have, and which of them are said elsewhere.

The names are read from the installed source, which takes some hundredths of a second; importing TRL
takes seconds, and checking a recipe should not. Where TRL is not installed nothing is checked here.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

ELSEWHERE: Final = {
    "output_dir": "it is the --out of the command",
    "overwrite_output_dir": "it is the --out of the command",
    "resume_from_checkpoint": "a run always goes on from its last whole checkpoint",
    "seed": "say train.seed",
    "data_seed": "say train.seed",
    "chat_template_path": "say train.chat_template",
    "dataset_text_field": "rows are prompt and completion, never plain text",
    "dataset_kwargs": "rows are tokenised before TRL sees them",
    "assistant_only_loss": "the loss is already on the completion alone",
    "teacher_model_name_or_path": "say train.objective.distill.teacher",
    "logging_nan_inf_filter": "a loss that is not a number always ends the run",
}
"""Fields a recipe cannot set, and what to do instead."""

NOT_TEXT: Final = {"float", "int", "bool"}
"""Annotations of fields that text cannot fill. `eval_steps` and its like take a number or a ratio: not checked."""

BASES: Final = (
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)
SFT: Final = (("trl", "trainer/sft_config.py", "SFTConfig"), *BASES)
SOURCES: Final = {
    "sft": SFT,
    "dpo": (("trl", "trainer/dpo_config.py", "DPOConfig"), *BASES),
    "distill": (("trl", "experimental/gkd/gkd_config.py", "GKDConfig"), *SFT),
}
"""Trainer -> its configuration's class and the bases of that: package, file, name."""


def faults(said: Mapping[str, Any], trainer: str = "sft") -> list[str]:
    """One line for each key of a section that is unknown, said elsewhere, or text where a number belongs."""
    section, name_of = ("dpo" if trainer == "dpo" else "sft"), f"trl.{SOURCES[trainer][0][2]}"
    fields = trl_fields(trainer) if said else {}
    wrong = []
    for name, value in said.items():
        if name in ELSEWHERE:
            wrong.append(f"{section}.{name}: {ELSEWHERE[name]}")
        elif fields and name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
            hint = f" (did you mean `{near[0]}`?)" if near else ""
            wrong.append(f"{section}.{name}: {name_of} has no such field{hint}")
        elif isinstance(value, str) and fields.get(name, "").removesuffix(" | None") in NOT_TEXT:
            wrong.append(f"{section}.{name}: {value!r} is text, and {name_of} wants {fields[name]}")
    return wrong


@lru_cache(maxsize=4)
def trl_fields(trainer: str = "sft") -> dict[str, str]:
    """Fields of a trainer's configuration and their annotations; empty when TRL is not installed or laid out otherwise.

    Args:
        trainer: a key of SOURCES.
    """
    fields: dict[str, str] = {}
    for package, file, wanted in SOURCES[trainer]:
        spec = find_spec(package)
        source = Path(spec.origin).parent / file if spec and spec.origin else None
        if source is None or not source.is_file():
            return {}
        bodies = [
            node.body
            for node in ast.parse(source.read_text()).body
            if isinstance(node, ast.ClassDef) and node.name == wanted
        ]
        for line in (line for body in bodies for line in body if isinstance(line, ast.AnnAssign)):
            if isinstance(line.target, ast.Name) and not line.target.id.startswith("_"):
                fields.setdefault(line.target.id, ast.unparse(line.annotation))
    return fields
