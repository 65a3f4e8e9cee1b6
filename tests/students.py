"""Students for tests that need no model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from builders.errors import RejectedRequest, TeacherError, UnansweredRequest
from builders.teachers import Completion, Request


class Stub:
    """Answers with what `says` makes of a request; counts, and can die or refuse."""

    name, window, engine = "stub", 4, "stub 1"
    continues = True

    def __init__(self, says: Callable[[Request], str], *, dies_after: int | None = None, **identity: Any) -> None:
        self.says, self.dies_after, self.asked = says, dies_after, []
        self.identity = {"kind": "stub", **identity}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        pass

    async def sample(self, request):
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise TeacherError("the stub is gone")
        self.asked.append(request)
        text = self.says(request)
        if text == "TOO LONG":
            raise RejectedRequest("the prompt leaves no room for an answer")
        if text == "LOST":
            raise UnansweredRequest("the stub was busy")
        return Completion(text, finish_reason="stop", prompt_tokens=10, completion_tokens=len(text.split()))


def adder(*, right: Callable[[Request], bool] = lambda request: True, **settings: Any) -> Stub:
    """Adds up the numbers of a question and shows it; wrong by one where `right` says so."""

    def says(request: Request) -> str:
        numbers = [int(n) for n in re.findall(r"\d+", request.messages[-1]["content"])]
        total = sum(numbers) + (not right(request))
        return f"{' + '.join(map(str, numbers))} = {total}. The answer is {total}."

    return Stub(says, **settings)
