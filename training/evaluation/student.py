"""A student under vLLM: a teacher that can also be made to go on from words that are put in its mouth."""

from __future__ import annotations

from typing import ClassVar, Self

from builders.errors import MissingDependency, TeacherError
from builders.teachers import Message
from builders.teachers.vllm import VllmTeacher


class CannotLoad(TeacherError):
    """The engine did not start; nothing was asked."""


class VllmStudent(VllmTeacher):
    """Answers like any vLLM teacher; a last turn of the assistant is continued, not answered."""

    continues: ClassVar[bool] = True
    """Whether it can be made to go on from given words; probes need that."""

    async def __aenter__(self) -> Self:
        """Start the engine.

        Raises:
            CannotLoad: vLLM is not installed or cannot load this model.
        """
        try:
            await super().__aenter__()
        except (TeacherError, MissingDependency) as error:
            raise CannotLoad(str(error)) from error
        return self

    def _tokens(self, messages: list[Message]) -> list[int]:
        """The prompt as token ids, and behind it those of what the assistant has said already."""
        head, said = begun(messages)
        ids = super()._tokens(head)
        return ids + self._tokenizer.encode(said, add_special_tokens=False) if said else ids


def begun(messages: list[Message]) -> tuple[list[Message], str]:
    """The messages up to the assistant's last turn, and what it has said in that; empty: nothing yet.

    The words are tokenised apart from the prompt, as an answer is when it is generated.
    """
    if messages[-1]["role"] != "assistant":
        return messages, ""
    return messages[:-1], messages[-1]["content"]
