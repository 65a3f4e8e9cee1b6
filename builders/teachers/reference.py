"""What a source of problems says itself, as a teacher: its gold answer, behind its own rationale if it has one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

import orjson

from builders import config
from builders.errors import RejectedRequest, SourceError
from builders.teachers import Completion, Request

CALCULATIONS = re.compile(r"<<[^<>]*>>")
"""GSM8K's `<<48/2=24>>`: notes for a calculator, which nobody reads."""


class ReferenceTeacher:
    """Answers with the rationale and the line `The answer is <gold>.`; without a rationale, with that line alone."""

    def __init__(self, settings: config.ReferenceTeacher) -> None:
        self.config = settings
        self.name = settings.name or ("human" if settings.rationale else "answer_only")
        self.window = 256
        self.engine = "reference"
        self._elsewhere: dict[str, str] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the rationale is; its text belongs to the source."""
        chosen = self.config
        elsewhere = {"repo": chosen.repo, "question": chosen.question, "revision": chosen.revision}
        return {"kind": "reference", "rationale": chosen.rationale, **(elsewhere if chosen.repo else {})}

    async def __aenter__(self) -> Self:
        """Read the dataset that holds the rationales, if it is another one.

        Raises:
            SourceError: it cannot be had, or lacks a column.
        """
        chosen = self.config
        if chosen.repo and chosen.rationale:
            from builders.problems.hub import read_hub

            table = read_hub(chosen.repo, None, chosen.split, chosen.revision)
            if missing := {chosen.question, chosen.rationale} - set(table.columns):
                raise SourceError(
                    f"{chosen.repo} has no column {' and '.join(sorted(missing))}; it has {', '.join(table.columns)}.\n"
                    "Say which hold what: teacher.question, teacher.rationale"
                )
            self._elsewhere = {_key(q): str(r) for q, r in table.select(chosen.question, chosen.rationale).rows() if r}
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def sample(self, request: Request) -> Completion:
        """Say what the source says; the same for every sample.

        Raises:
            RejectedRequest: there is no gold answer, or no rationale for this problem.
        """
        problem = request.problem or {}
        gold = problem.get("gold_value") or problem.get("gold")
        if not gold:
            raise RejectedRequest("the source gives no gold answer")
        line = f"The answer is {gold}."
        if self.config.rationale is None:
            return Completion(line)
        rationale = self._rationale(problem)
        if not rationale:
            raise RejectedRequest(f"the source gives no rationale under {self.config.rationale!r}")
        return Completion(f"{rationale}\n{line}")

    def _rationale(self, problem: Mapping[str, Any]) -> str:
        column = self.config.rationale
        if self.config.repo:
            return self._elsewhere.get(_key(problem["question"]), "").strip()
        if column == "gold":
            solution, found, _ = str(problem["gold"] or "").rpartition("####")
            return CALCULATIONS.sub("", solution).strip() if found else ""
        said = orjson.loads(problem.get("meta") or "{}").get(column)
        return (" ".join(map(str, said)) if isinstance(said, list) else str(said or "")).strip()


def _key(question: str) -> str:
    return " ".join(str(question).split())
