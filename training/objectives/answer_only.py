"""Control: the answer without any trace. What a student gains over it, it gains from reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import field_validator

from training.objectives.base import Objective, Student
from training.tokens import Tokens


class AnswerOnly(Objective):
    """The completion is the row's `answer` alone."""

    name: ClassVar[str] = "answer_only"
    reads: ClassVar[tuple[str, ...]] = ("prompt", "completion", "answer")
    template: str = "The answer is {answer}."
    """How the answer is said. The default is a line that `verify` reads in evaluation."""

    @field_validator("template")
    @classmethod
    def _has_answer(cls, said: str) -> str:
        if "{answer}" not in said:
            raise ValueError("`{answer}` is missing, so there would be nothing to learn")
        return said

    def rows(self, row: Mapping[str, Any], student: Student) -> list[Tokens] | str:
        """Question and answer line."""
        answer = row["answer"]
        if answer is None or not str(answer).strip():
            return "unanswered"
        said = [{"role": "assistant", "content": self.template.replace("{answer}", str(answer))}]
        made = student.tokens(row["prompt"], said)
        return made if isinstance(made, str) else [made]
