"""What can go wrong and the reader can mend.

CotmillError            printed bare, exit status 2; every other exception is a bug and keeps its traceback
 ├─ RecipeError         a recipe cannot run; holds every problem found
 ├─ SourceError         problems or traces cannot be read
 ├─ CorpusError         a corpus directory is missing, foreign, torn or in use
 ├─ Occupied            a directory holds another result, which would be overwritten
 ├─ MissingDependency   an extra is not installed; names the command that installs it
 └─ TeacherError        the teacher as a whole cannot go on
RejectedRequest         one request will never be answered (too long, refused): a row, not the end of the run
UnansweredRequest       one request was not answered this time: no row, asked again by the next run
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any


class CotmillError(Exception):
    """Says what, where, why, and the next command; shown without a traceback."""

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is: an exception that builds its message itself could not be made again from the message alone."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class RecipeError(CotmillError):
    """A recipe cannot run. Holds every problem found, not only the first."""

    def __init__(self, recipe: str, problems: Sequence[str], check: str = "cotmill check {}") -> None:
        self.recipe, self.problems = recipe, tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in problems)
        again = f" Check again: {check.format(recipe)}" if PurePath(recipe).suffix else ""  # else it is no file
        super().__init__(f"{recipe} cannot run:\n{lines}\nNothing was written.{again}")


class SourceError(CotmillError):
    """Problems or traces cannot be read from where the recipe says they are."""


class CorpusError(CotmillError):
    """A corpus directory is missing, foreign, torn or in use."""


class Occupied(CotmillError):
    """A directory holds another result of the same kind."""

    def __init__(self, out: Path, what: str) -> None:
        super().__init__(
            f"{out} holds {what}, made from other inputs or settings.\nNothing was written."
            " Choose another directory with --out, or replace it with --overwrite."
        )


class TeacherError(CotmillError):
    """The teacher as a whole cannot go on; what it answered so far is saved."""


class MissingDependency(CotmillError):
    """An optional package is needed. The message names the command that installs it."""

    def __init__(self, package: str, purpose: str, command: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed.\nInstall it: {command}")


class RejectedRequest(Exception):
    """The teacher will never answer this request; it becomes a row with status `rejected`."""


class UnansweredRequest(Exception):
    """No answer after every retry; nothing is written and the next run asks again."""

    def __init__(self, message: str, attempts: int = 1) -> None:
        self.attempts = attempts
        super().__init__(message)
