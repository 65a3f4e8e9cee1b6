"""What a pass is, which there are, and how a recipe names one.

A pass looks at traces and adds columns: same rows, same order, nothing dropped. Its fingerprint
hashes its name, version and parameters; marks made under one fingerprint are never made again.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import polars as pl

from builders.errors import CotmillError
from builders.identity import digest
from curation.defects import Defects
from curation.detail import Detail
from curation.guards import Guards
from curation.steps import Steps
from curation.tokens import Tokens
from curation.verify import Verify

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from polars._typing import PolarsDataType


class Pass(Protocol):
    """Marks traces. A frozen dataclass whose fields are its parameters.

    Each trace is judged by itself, whichever others stand beside it: marks are made shard by shard.
    """

    name: ClassVar[str]
    """Written into shards and SQL, so never reused for another meaning."""
    version: ClassVar[int]
    """Raise it when the same parameters give other marks."""
    reads: ClassVar[tuple[str, ...]]
    """Trace columns that `mark` needs; it is given no others."""
    marks: ClassVar[dict[str, PolarsDataType]]
    """The columns that `mark` adds, without the prefix `<name>.`, and their types."""

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `<name>.<mark>` for each of `marks`; rows, order and other columns stay as they are."""


PASSES: Final[dict[str, type[Any]]] = {
    "verify": Verify,
    "steps": Steps,
    "guards": Guards,
    "tokens": Tokens,
    "detail": Detail,
    "defects": Defects,
}
"""Every pass by its name."""


def parameters(made: Pass) -> dict[str, Any]:
    """The parameters of a pass as plain data."""
    instance: DataclassInstance = made  # type: ignore[assignment]  # each pass is a dataclass
    return asdict(instance)


def fingerprint(made: Pass) -> str:
    """Identity of a pass: 32 hex digits over its name, version and parameters."""
    return digest({"pass": made.name, "version": made.version, "parameters": parameters(made)})


def label(made: Pass) -> str:
    """`<name>-<first 8 digits of the fingerprint>`: the folder that holds its marks."""
    return f"{made.name}-{fingerprint(made)[:8]}"


def make_pass(name: str, settings: Mapping[str, Any] | None = None) -> Pass:
    """A pass by its name; text values are read as the parameter's type (`"0.5"` as 0.5).

    Raises:
        CotmillError: no such pass, no such parameter (with the nearest known ones), or a value that
            does not fit.
    """
    from pydantic import TypeAdapter, ValidationError

    if name not in PASSES:
        raise CotmillError(f"no pass is called `{name}`{did_you_mean(name, PASSES)}; there is: {', '.join(PASSES)}")
    kind, settings = PASSES[name], dict(settings or {})
    known = [field.name for field in fields(kind)]
    if strange := [key for key in settings if key not in known]:
        guess = did_you_mean(strange[0], known)
        raise CotmillError(f"pass {name} has no parameter `{strange[0]}`{guess}; it has: {', '.join(known) or 'none'}")
    try:
        made: Pass = TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (it is {e['input']!r})" for e in error.errors())
        raise CotmillError(f"pass {name}: {faults}") from None
    return made


def parse_pass(said: str | Mapping[str, Mapping[str, Any] | None]) -> Pass:
    """A pass as a recipe or a command line writes it.

    Args:
        said: `verify`, `verify:fallback=last_number,...` or `{"verify": {"fallback": "last_number"}}`.

    Raises:
        CotmillError: see `make_pass`; also when `said` has another form.
    """
    if isinstance(said, Mapping):
        if len(said) != 1:
            raise CotmillError(f"{dict(said)!r}: write one pass as `name` or `{{name: {{parameter: value}}}}`")
        [(name, settings)] = said.items()
        return make_pass(name, settings)
    name, _, rest = said.partition(":")
    pairs = [part.partition("=") for part in rest.split(",") if part.strip()]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise CotmillError(f"pass `{said}`: `{wrong[0].strip()}` has no value; write {name}:parameter=value,...")
    return make_pass(name.strip(), {key.strip(): value.strip() for key, _, value in pairs})


def did_you_mean(word: str, known: Mapping[str, Any] | list[str]) -> str:
    """A hint at the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""
