"""What a pass is, which there are, and how a recipe names one.

A pass looks at traces and adds columns: same rows, same order, nothing dropped. Its fingerprint hashes
its name, version, parameters and the files that those name; marks made under one fingerprint are never
made again. Passes that users write are in `curation.engine.foreign`, marking itself in `curation.engine.marks`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeGuard

import polars as pl

from builders.errors import CotmillError
from builders.identity import digest
from curation.contamination.decontaminate import Decontaminate
from curation.convert.guards import Guards
from curation.duplicates.exact import ExactQuestion, ExactTrace
from curation.duplicates.near import NearQuestion, NearTrace
from curation.duplicates.semantic import SemanticQuestion, SemanticTrace
from curation.engine.foreign import Foreign
from curation.engine.sqlpass import SqlPass
from curation.text.detail import Detail
from curation.text.steps import Steps
from curation.trust.arithmetic import Arithmetic
from curation.trust.consistency import Consistency
from curation.trust.defects import Defects
from curation.trust.language import Language
from curation.trust.privacy import Privacy
from curation.trust.repetition import Repetition
from curation.trust.talk import Talk
from curation.value.agreement import Agreement
from curation.value.difficulty import Difficulty
from curation.value.diversity import Diversity
from curation.value.judge import Judge
from curation.value.perplexity import Perplexity
from curation.value.tokens import Tokens
from curation.verification.verify import Verify

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from polars._typing import PolarsDataType


class Span(NamedTuple):
    """What in a trace made a mark; some passes can say it (`spans`), for `cotmill show`."""

    mark: str
    """Without the pass's name."""
    column: Literal["text", "question"]
    """`text` is what `curation.text.steps.trace_text` gives."""
    start: int
    """Characters from the beginning; `end` is behind the last one."""
    end: int
    note: str = ""
    """What there is to say about it: the right value, the benchmark row."""


class Pass(Protocol):
    """What all passes have in common. A pass is a frozen dataclass whose fields are its parameters.

    Optional: `content() -> str`, a digest of what the parameters point to, part of the fingerprint; and
    `spans(traces: pl.DataFrame) -> list[list[Span]]`, for a few traces, with their marks, where those come from.
    """

    @property
    def name(self) -> str:
        """Written into shards and SQL, so never reused for another meaning."""

    @property
    def version(self) -> int:
        """Raised when the same parameters give other marks."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Trace columns that it needs; it is given no others."""

    @property
    def marks(self) -> dict[str, PolarsDataType]:
        """The columns that it adds, without the prefix `<name>.`, and their types."""


class LocalPass(Pass, Protocol):
    """Judges each trace by itself, whichever others stand beside it: marks are made shard by shard."""

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `<name>.<mark>` for each of `marks`; rows, order and other columns stay as they are."""


class CorpusPass(Pass, Protocol):
    """Needs to see all traces (duplicates, pass rates): its marks are made anew when traces come in.

    Its `reads` may name marks of other passes (`verify.verdict`), which are made first. One that asks somebody
    (`judge`) has a class attribute `keeps = True` and gets `folder`, where answers survive from run to run.
    """

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """Trace_id and `<name>.<mark>` of every trace, once, in any order.

        Args:
            traces: all of the corpus: trace_id and the columns of `reads`, in no order that may matter.
        """


PASSES: Final[dict[str, type[Any]]] = {
    "verify": Verify,
    "steps": Steps,
    "guards": Guards,
    "tokens": Tokens,
    "detail": Detail,
    "defects": Defects,
    "talk": Talk,
    "repetition": Repetition,
    "language": Language,
    "privacy": Privacy,
    "arithmetic": Arithmetic,
    "consistency": Consistency,
    "decontaminate": Decontaminate,
    "exact_trace": ExactTrace,
    "exact_question": ExactQuestion,
    "near_trace": NearTrace,
    "near_question": NearQuestion,
    "semantic_trace": SemanticTrace,
    "semantic_question": SemanticQuestion,
    "difficulty": Difficulty,
    "agreement": Agreement,
    "diversity": Diversity,
    "perplexity": Perplexity,
    "judge": Judge,
}
"""Every pass that comes with cotmill, by its name."""


def is_whole(made: Pass) -> TypeGuard[CorpusPass]:
    """Whether a pass marks the corpus as a whole."""
    return hasattr(made, "mark_corpus")


def parameters(made: Pass) -> dict[str, Any]:
    """The parameters of a pass as plain data."""
    if isinstance(made, Foreign | SqlPass):
        return made.parameters()
    instance: DataclassInstance = made  # type: ignore[assignment]  # each pass is a dataclass
    return asdict(instance)


def defaults(kind: type[Any]) -> dict[str, Any]:
    """The parameters of a pass class and their defaults; `required` where there is none."""
    return {
        field.name: "required"
        if field.default is field.default_factory is MISSING
        else field.default_factory()
        if field.default_factory is not MISSING
        else field.default
        for field in fields(kind)
    }


def fingerprint(made: Pass) -> str:
    """Identity of a pass: 32 hex digits over its name, version, parameters and the content they point to."""
    said = {"pass": made.name, "version": made.version, "parameters": parameters(made)}
    content = getattr(made, "content", None)
    return digest({**said, "content": content()} if content else said)


def label(made: Pass) -> str:
    """`<name>-<first 8 digits of the fingerprint>`: the folder that holds its marks."""
    return f"{made.name}-{fingerprint(made)[:8]}"


def with_needs(passes: Iterable[Pass]) -> list[Pass]:
    """The passes, local ones first, and before each the passes whose marks it reads, with default parameters."""
    held: dict[str, Pass] = {}
    given = {made.name: made for made in passes}

    def add(made: Pass) -> None:
        for need in dict.fromkeys(column.split(".")[0] for column in made.reads if "." in column):
            add(given[need] if need in given else make_pass(need))
        held.setdefault(made.name, made)

    for made in sorted(given.values(), key=is_whole):
        add(made)
    return list(held.values())


def make_pass(name: str, settings: Mapping[str, Any] | None = None) -> Pass:
    """A pass by its name; text values are read as the parameter's type (`"0.5"` as 0.5).

    Besides the passes of cotmill: `sql` (`curation.engine.sqlpass`), and `FILE.py/CLASS` or what installed packages
    offer (`curation.engine.foreign`).

    Raises:
        CotmillError: no such pass, no such parameter (with the nearest known ones), or a value that
            does not fit.
    """
    from curation.engine import foreign, sqlpass

    settings = dict(settings or {})
    if name in PASSES:
        return build(PASSES[name], name, settings)
    if name == "sql":
        return sqlpass.make(settings)
    if ".py/" in name or name in foreign.offered():
        return foreign.make(name, settings)
    known = [*PASSES, "sql", *foreign.offered()]
    raise CotmillError(
        f"no pass is called `{name}`{did_you_mean(name, known)}; there is: {', '.join(known)}.\n"
        "What each does: cotmill passes"
    )


def build(kind: type[Any], name: str, settings: Mapping[str, Any]) -> Pass:
    """An instance of a pass class, its parameters checked; see `make_pass`."""
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in fields(kind)]
    if strange := [key for key in settings if key not in known]:
        guess = did_you_mean(strange[0], known)
        raise CotmillError(f"pass {name} has no parameter `{strange[0]}`{guess}; it has: {', '.join(known) or 'none'}")
    try:
        made: Pass = TypeAdapter(kind).validate_python(dict(settings))
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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""
