"""Personal data and secrets in what a push would show to everyone.

All text of all configs is looked at, removed rows and nested columns too: on a public repository each of them is read
by strangers. In README.md, dataset.json and other small text only secrets count, as a card may well name its author.
What is found is never repeated whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from builders.errors import CotmillError
from curation.asking.places import Place
from curation.trust.privacy import KINDS, SHAPES, find

if TYPE_CHECKING:
    import pyarrow as pa

WAIVERS: Final = ("personal", "secret")
SHOWN: Final = 10
ROWS: Final = 8_192
"""Read at a time."""
TEXTS: Final = (".md", ".json", ".yaml", ".yml", ".txt", ".jsonl", ".csv")
LARGEST_TEXT: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that strangers should not read."""

    what: str
    """personal or secret."""
    kind: str
    """As in `curation.trust.privacy.KINDS`."""
    path: str
    row: str
    """Its `trace_id`, else its number in the file; empty for a text file."""
    column: str
    hint: str
    """Its beginning and its length."""


def search(place: Place) -> list[Found]:
    """Everything of `curation.trust.privacy.KINDS` in a dataset."""
    found: list[Found] = []
    for path in place.files:
        if path.endswith(".parquet"):
            found += _in_parquet(place, path)
        elif path.endswith(TEXTS) and place.files[path] <= LARGEST_TEXT:
            text = place.read(path).decode("utf-8", "replace")
            found += [one for one in _in_text(text, path, "", "") if one.what == "secret"]
    return found


def check_token(place: Place) -> None:
    """The token in use is in none of the small text files.

    Raises:
        CotmillError: it is. There is no waiver: whoever reads it can write in your name.
    """
    from huggingface_hub import get_token

    if not (token := get_token()):
        return
    for path, size in place.files.items():
        if path.endswith(TEXTS) and size <= LARGEST_TEXT and token.encode() in place.read(path):
            raise CotmillError(
                f"{place.name}/{path} holds the token you are logged in with; nothing was pushed.\n"
                "Take it out of the recipe, revoke it in your settings on the Hub, and make the dataset again."
            )


def refuse(found: Iterable[Found], allow: Iterable[str], repo: str) -> None:
    """Stop unless everything found is waived.

    Raises:
        CotmillError: it counts what was found, and names some places.
    """
    waived = set(allow)
    left = [one for one in found if one.what not in waived]
    if not left:
        return
    counts = Counter((one.what, one.kind) for one in left)
    lines = [f"  {count:,} {kind} ({what})" for (what, kind), count in counts.most_common()]
    places = [f"  {one.path} {one.row or '-'} {one.column}: {one.kind} {one.hint}" for one in left[:SHOWN]]
    more = [f"  ... and {len(left) - SHOWN:,} more"] if len(left) > SHOWN else []
    options = " ".join(f"--allow {what}" for what in sorted({one.what for one in left}))
    said = [
        f"{repo} is public, and the dataset holds what strangers should not read:",
        *lines,
        "Where:",
        *places,
        *more,
    ]
    raise CotmillError(
        "\n".join(said)
        + "\nNothing was pushed. Leave such traces out (the pass `privacy` marks them), push with --private, "
        f"or, if it is harmless, say so: {options}"
    )


def as_plain(found: Iterable[Found]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [asdict(one) for one in found]


def _in_parquet(place: Place, path: str) -> Iterator[Found]:
    import pyarrow.parquet as pq

    with place.open(path) as handle, pq.ParquetFile(handle) as file:
        before = 0
        for batch in file.iter_batches(ROWS):
            ids = batch.column("trace_id") if "trace_id" in batch.schema.names else None
            for name in batch.schema.names:
                for rows, texts in _texts(batch.column(name)):
                    series = pl.Series(pl.from_arrow(texts))
                    for at in series.str.contains(SHAPES).fill_null(False).arg_true():
                        row = rows[at].as_py()
                        said = str(ids[row]) if ids is not None else f"row {before + row}"
                        yield from _in_text(series[at], path, said, name)
            before += batch.num_rows


def _in_text(text: str, path: str, row: str, column: str) -> Iterator[Found]:
    for kind, (start, end) in find(text):
        what = "secret" if KINDS[kind].secret else "personal"
        hint = f"{text[start : start + 3]}… ({end - start} characters)"
        yield Found(what, kind, path, row, column, hint)


def _texts(column: pa.Array, rows: pa.Array | None = None) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Every array of strings within a column, with the number of the row that each belongs to."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    rows = pa.array(range(len(column)), pa.int64()) if rows is None else rows
    if pa.types.is_dictionary(kind):
        yield from _texts(column.dictionary_decode(), rows)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        yield rows, column
    elif pa.types.is_map(kind):
        yield from _texts(column.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))), rows)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _texts(pc.list_flatten(column), rows.take(pc.list_parent_indices(column)))
    elif pa.types.is_struct(kind):
        for inner in column.flatten():
            yield from _texts(inner, rows)
