"""What DuckDB sees of files that are far away: known files, read-only, in exactly the ranges it asks for."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from fsspec import AbstractFileSystem

from curation.asking.places import Place

LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
"""Files of a commit do not change; DuckDB asks when they did, and the Hub's file system has no answer."""


class Faraway(AbstractFileSystem):  # type: ignore[misc]
    """The files of some places under one scheme; anything else does not exist, and nothing can be written."""

    cachable: ClassVar[bool] = False

    def __init__(self, scheme: str, places: Sequence[Place]) -> None:
        super().__init__()
        self.protocol = scheme
        self._files = {place.url(path): (place, path) for place in places for path in place.files}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and type, as they were listed."""
        place, inside = self._find(path)
        return {"name": path, "size": place.files[inside], "type": "file", "LastModified": LONG_AGO}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Of a file, itself."""
        return [self.info(path) if detail else path]

    def glob(self, path: str, **_: Any) -> list[str]:
        """A name is taken as it stands."""
        return [path] if path in self._files else []

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it is one of the files."""
        return path in self._files

    def isfile(self, path: str) -> bool:
        """Whether it is one of the files."""
        return path in self._files

    def isdir(self, path: str) -> bool:
        """There are no directories."""
        del path
        return False

    def modified(self, path: str) -> datetime.datetime:
        """Never."""
        self._find(path)
        return LONG_AGO

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """One of the files, for reading."""
        if re.search("[wax+]", mode):
            raise PermissionError(f"{path}: read-only")
        place, inside = self._find(path)
        return place.open(inside, cache="none")

    def _find(self, path: str) -> tuple[Place, str]:
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]
