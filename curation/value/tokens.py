"""How many tokens a trace costs a student: counted by that student's own tokenizer.

`completion_tokens` of a trace is the teacher's count. This one is for the model that will be trained,
over thought and answer, without chat template and special tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from builders.errors import CotmillError, MissingDependency
from builders.teachers.smollm2 import EMBEDDED, resolve_model
from curation.text.steps import trace_text

if TYPE_CHECKING:
    from polars._typing import PolarsDataType
    from tokenizers import Tokenizer

BATCH: Final = 1024
"""Texts that are encoded at once: enough for all cores, and few enough that their tokens stay small."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Marks traces with their length in tokens: `tokens.count`, Int32, 0 for an empty text, null for none.

    The fingerprint hashes the tokenizer's name, not what is in its directory.
    """

    name: ClassVar[str] = "tokens"  # written into shards: never reuse
    version: ClassVar[int] = 1
    source: ClassVar[str] = "the student's own tokenizer"
    cost: ClassVar[str] = "the tokenizer, some 10,000 rows/s on 2 cores"
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {"count": pl.Int32()}

    tokenizer: str = EMBEDDED
    """The student: the embedded model's name, a model directory, or a Hub id."""

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `tokens.count`.

        Raises:
            TeacherError: no such model. CotmillError: it has no fast tokenizer, or cannot be reached.
            MissingDependency: the package `tokenizers` is not installed. All when the frame is collected.
        """
        count = trace_text().map_batches(self.count, return_dtype=pl.Int32, is_elementwise=True)
        return traces.with_columns(count.alias(f"{self.name}.count"))

    def count(self, texts: pl.Series) -> pl.Series:
        """Int32 [texts]: tokens of each text; the tokenizer is loaded when the first text comes."""
        counts: list[int] = []
        present = texts.drop_nulls()
        if len(present):
            tokenizer = load_tokenizer(self.tokenizer)
            for part in range(0, len(present), BATCH):
                encoded = tokenizer.encode_batch_fast(present[part : part + BATCH].to_list(), add_special_tokens=False)
                counts += map(len, encoded)
        there = texts.is_not_null()
        place = (there.cum_sum().cast(pl.Int64) - 1).set(~there, None)
        return (
            pl.Series(counts, dtype=pl.Int32).gather(place)
            if counts
            else pl.Series([None] * len(texts), dtype=pl.Int32)
        )


@lru_cache(maxsize=4)
def load_tokenizer(name: str) -> Tokenizer:
    """The fast tokenizer of a model, without truncation or padding.

    Raises:
        MissingDependency, TeacherError, CotmillError: see `Tokens.mark`.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingDependency("tokenizers", "counting tokens", "pip install tokenizers") from None
    where = resolve_model(name)
    file = Path(where) / "tokenizer.json"
    if Path(where).is_dir() and not file.is_file():
        raise CotmillError(
            f'{where} has no tokenizer.json, so its tokens cannot be counted fast.\nWrite one: python -c "from '
            f"transformers import AutoTokenizer as T; T.from_pretrained('{where}').save_pretrained('{where}')\""
        )
    try:
        tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(where)
    except Exception as error:  # the package raises bare Exception: a broken file, or a Hub that is out of reach
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CotmillError(
            f"the tokenizer of {name} cannot be loaded: {reason}.\n"
            f"Without a download: tokens:tokenizer={EMBEDDED}, or a directory."
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
