"""`unimported.jsonl`: the rows that were left out, each once however often its source is imported."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, Self

import orjson

from builders.disk import TEMPORARY, replacing
from builders.importing.read import SHOWN, Source


class Leftover:
    """Collects rows in a temporary file; `keep` puts them in the place of those of earlier imports."""

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, path.with_name(f"{TEMPORARY}new-{path.name}")
        self._sources: list[Source] = []

    def __enter__(self) -> Self:
        self._file: IO[bytes] = self._new.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._new.unlink(missing_ok=True)

    def begin(self, source: Source) -> None:
        """What is added from now on is of this source."""
        self._sources.append(source)

    def add(self, number: int, reason: str, text: str) -> None:
        """One row: its place in the source, why it was left out, and how it begins."""
        source = self._sources[-1]
        entry = {"source": source.name, source.unit: number, "reason": reason, "text": text[:SHOWN]}
        self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def keep(self) -> None:
        """Write the file: what is new, and what earlier imports left out of other sources."""
        self._file.close()
        read = {source.name for source in self._sources}
        old = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        others = [line for line in old if orjson.loads(line)["source"] not in read]
        if old or self._new.stat().st_size:
            with replacing(self._path) as temporary, temporary.open("wb") as file, self._new.open("rb") as new:
                file.writelines(others)
                while block := new.read(1 << 20):
                    file.write(block)
