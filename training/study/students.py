"""The students of a study: what each is, and where its weights lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from builders.corpus import Corpus
from builders.identity import digest
from builders.teachers.smollm2 import model_identity
from training.study.config import StudyConfig
from training.study.scratch import make_scratch

TEXTS: Final = 20_000
"""Traces, at most, that the tokenizer of a new student is trained on."""


class Students:
    """Looks students up, and makes those that are made on the spot."""

    def __init__(self, study: StudyConfig, corpora: Mapping[str, Path], folder: Path) -> None:
        """`folder` is where new students go."""
        self._study, self._folder = study, folder
        new = any(student.scratch for student in study.students.values())
        self._texts = _texts(corpora.values()) if new else []
        self.identities: dict[str, Any] = {name: self._identity(name) for name in study.students}
        """Name -> what fixes the weights, apart from the seed."""

    def model(self, name: str, seed: int) -> str:
        """What to hand to training and evaluation."""
        chosen = self._study.students[name]
        if chosen.scratch is None:
            assert chosen.model is not None
            return chosen.model
        out = self._folder / f"{name}-{digest([self.identities[name], seed])[:8]}"
        return str(make_scratch(chosen.scratch, self._texts, seed, out))

    def _identity(self, name: str) -> Any:
        chosen = self._study.students[name]
        if chosen.scratch:
            return {"scratch": chosen.scratch.model_dump(), "texts": digest(self._texts)}
        assert chosen.model is not None
        return model_identity(chosen.model, chosen.revision)


def _texts(corpora: Iterable[Path]) -> list[str]:
    """Questions and traces, in the order of trace ids."""
    frames = [
        Corpus(path).traces().select("trace_id", "question", "response").drop_nulls("response").sort("trace_id")
        for path in corpora
    ]
    rows = pl.concat(frames).head(TEXTS).collect()
    return [*rows["question"].unique(maintain_order=True).to_list(), *rows["response"].to_list()]
