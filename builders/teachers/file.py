"""Traces that someone else wrote, as a teacher: looked up by question, in the order they stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Self

from builders import config
from builders.errors import RejectedRequest, SourceError
from builders.identity import digest
from builders.importing.golds import question_key
from builders.importing.read import Source, file_source
from builders.importing.recognise import Draft, drafts_of
from builders.problems.files import resolve
from builders.teachers import Completion, Request


class FileTeacher:
    """Answers a question with the traces its files hold for it, one per sample.

    The question is compared as it would be asked, choices included, white space aside. The prompt's
    level and format are only labels here: they say what the files are, not what is asked for.
    """

    def __init__(self, settings: config.FileTeacher) -> None:
        """Read the files, in any layout that import knows unless the columns are named.

        Raises:
            SourceError: a file is missing or unreadable, lacks a column or fits no layout.
        """
        self.config = settings
        self.name = settings.name or settings.path[0].stem
        self.window = 256
        self.engine = "file"
        self._traces: dict[str, list[str]] = defaultdict(list)
        state = blake2b(digest_size=16)
        for path in (file for given in settings.path for file in resolve(given, None)):
            for draft in self._drafts(file_source(path)):
                if draft.response and draft.response.strip():
                    self._traces[question_key(draft.asked)].append(draft.response)
                    state.update(digest([draft.asked, draft.response]).encode())
        self._fingerprint = state.hexdigest()

    def _drafts(self, source: Source) -> Iterator[Draft]:
        settings = self.config
        named = {"question", "response"} & settings.model_fields_set
        try:
            yield from drafts_of(
                source, {"question": settings.question, "response": settings.response} if named else {}
            )
        except SourceError as error:
            raise SourceError(f"{error}\nOr say which hold what: teacher.question, teacher.response") from None

    @property
    def identity(self) -> Mapping[str, Any]:
        """The questions and traces, in order."""
        return {"kind": "file", "traces": self._fingerprint}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def sample(self, request: Request) -> Completion:
        """Return the trace with the request's sample index.

        Raises:
            RejectedRequest: the files hold fewer traces for this question.
        """
        traces = self._traces.get(question_key(request.messages[-1]["content"]), [])
        if request.sample_index >= len(traces):
            raise RejectedRequest(f"the files hold {len(traces)} traces for this question")
        return Completion(traces[request.sample_index])
