"""The card of a student: what it is made of, so that someone else can make it again."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from builders.teachers.smollm2 import EMBEDDED


def render_card(report: dict[str, Any]) -> str:
    """The text of README.md.

    Args:
        report: the fields of `training.sft.TrainReport`.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string((files("data_cards") / "student.md.j2").read_text(encoding="utf-8"))
    config = {key: value for key, value in report["config"].items() if value not in (None, [], {})}
    config["student"] = base_name(report)
    config.pop("dataset", None)
    return template.render(
        metadata=metadata(report),
        report=report,
        base=base_name(report),
        settings=yaml.safe_dump({"train": config}, sort_keys=False, allow_unicode=True).strip(),
    )


def metadata(report: dict[str, Any]) -> str:
    """The YAML block that the Hub reads."""
    hub = report["student"].get("hub")
    base = hub or ("HuggingFaceTB/SmolLM2-135M-Instruct" if report["config"]["student"] == EMBEDDED else None)
    source = report["source"]
    said = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        **({"base_model": base} if base else {}),
        **({"datasets": [source["repo"]]} if source["repo"] else {}),
        "tags": ["cotmill", "trl", "chain-of-thought", "distillation", report["objective"]],
    }
    return yaml.safe_dump(said, sort_keys=False).strip()


def base_name(report: dict[str, Any]) -> str:
    """The student's name; of a directory on some machine its last part."""
    said: str = report["config"]["student"]
    return Path(said).name if "weights" in report["student"] and said != EMBEDDED else said
