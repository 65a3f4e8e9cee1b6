"""Teachers: the one seam between this package and a model.

A teacher answers requests one at a time; the sampler keeps `window` of them open at once, so an
engine is always fed and nothing waits for a slow neighbour. Five kinds ship: `vllm` (in process),
`server` (any OpenAI-compatible endpoint), `file` (traces someone else wrote), `reference` (what the
source of the problems says itself) and `scripted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from builders.config import AnyTeacher

Message = dict[str, str]
"""One chat turn: `role` (system, user, assistant) and `content`."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to ask a teacher: a prompt and the seed to sample with."""

    trace_id: str
    problem_id: str
    messages: list[Message]
    seed: int
    sample_index: int = 0
    gold: str | None = None  # for scripted teachers only; a model sees `messages` and nothing else
    problem: Mapping[str, Any] | None = None  # for reference teachers only, columns as in PROBLEMS
    keys: tuple[str, ...] = ()  # the answer is to be a JSON object of these texts, each up to `max_tokens` long


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer. What an engine does not say is None."""

    text: str | None
    reasoning: str | None = None  # set apart by the engine (`reasoning_content`), not by us
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    mean_logprob: float | None = None


class Teacher(Protocol):
    """Answers requests. Use as an async context manager: entering starts the engine.

    `sample` may be awaited `window` times at once. It raises `RejectedRequest` when this request
    will never be answered, `UnansweredRequest` when it was not answered this time, and
    `TeacherError` when the teacher as a whole is gone.
    """

    name: str
    window: int

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that can change an answer, apart from prompt and sampling parameters.

        Model, revision and chat template; never a host, a path or an engine version. Cheap: read
        without starting the engine.
        """

    @property
    def engine(self) -> str:
        """Name and version of what runs the model, for the record (`vllm 0.32.0`)."""

    async def __aenter__(self) -> Teacher: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def sample(self, request: Request) -> Completion:
        """Answer one request."""


def make_teacher(config: AnyTeacher) -> Teacher:
    """The teacher a recipe describes. Imports what that kind needs and starts nothing."""
    match config.kind:
        case "vllm":
            from builders.teachers.vllm import VllmTeacher

            return VllmTeacher(config)
        case "server":
            from builders.teachers.server import ServerTeacher

            return ServerTeacher(config)
        case "file":
            from builders.teachers.file import FileTeacher

            return FileTeacher(config)
        case "scripted":
            from builders.teachers.scripted import ScriptedTeacher

            return ScriptedTeacher(config)
        case "reference":
            from builders.teachers.reference import ReferenceTeacher

            return ReferenceTeacher(config)
