"""Semantic duplicates: texts whose embeddings point the same way, whatever their words.

A text is embedded as the mean over its tokens of a model's last hidden states; what is grouped are connected components
of the pairs whose cosine reaches the threshold. All pairs under one gold are compared, in blocks: time grows with the
square of the number of different texts, and each takes 4 bytes per dimension of memory (1.5 kB for 384). Meant for up
to some 100,000 of them. What a cosine means depends on the model: look at pairs before trusting a threshold. Not here:
which one of a group stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from builders.errors import CotmillError, MissingDependency
from builders.identity import digest
from builders.quiet import no_bars
from builders.teachers.smollm2 import EMBEDDED, model_identity, resolve_model
from curation.duplicates.components import Components
from curation.duplicates.items import (
    PROBLEM_COLUMNS,
    TRACE_COLUMNS,
    Within,
    groups_of,
    of_problems,
    of_traces,
    problem_items,
    representatives,
    runs,
    trace_items,
)
from curation.duplicates.near import GROUP_MARKS, check
from curation.text.shingles import mixed, sequence_keys, tokens

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

BATCH: Final = 32
"""Texts embedded at once, of like length."""
BLOCK: Final = 1_024
"""Texts whose cosines with all others of their gold are held at once."""
SOURCE: Final = (
    "mean pooling: Reimers and Gurevych 2019; duplicates by cosine: Abbas et al. 2023 (SemDeDup), without clusters"
)


@dataclass(frozen=True, slots=True)
class SemanticTrace:
    """Groups traces that mean the same to a model, unless their golds differ.

    group        String   the least trace_id of the group; of a trace like no other, its own
    size         Int32    traces in the group, this one included
    similarity   Float32  cosine to the trace that names the group, 1 for that trace itself; null in a group of one

    All null where nothing is said.
    """

    name: ClassVar[str] = "semantic_trace"  # written into shards: never reuse
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "trace"
    reads: ClassVar[tuple[str, ...]] = TRACE_COLUMNS
    marks: ClassVar[dict[str, PolarsDataType]] = GROUP_MARKS
    source: ClassVar[str] = SOURCE
    cost: ClassVar[str] = "the model's, then the square of the texts: 20,000 of one gold, 9 s on 2 cores"

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """What embeds: a model directory, a Hub id, or the embedded model's name; best one trained for sentences."""
    threshold: float = 0.95
    """Least cosine of a pair, above 0 and up to 1."""
    max_tokens: int = 256
    """Tokens that are read of each text."""
    within: Within = "corpus"
    """Where copies are looked for: in the whole `corpus`, or among the traces of the same `problem`."""

    def __post_init__(self) -> None:
        check(self.threshold, max_tokens=self.max_tokens)

    def content(self) -> str:
        """Digest of the model: weights and tokenizer, or commit."""
        return digest(model_identity(self.model))

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and the marks of each trace.

        Raises:
            MissingDependency: torch or transformers is not installed. TeacherError, CotmillError: no such model.
        """
        items = trace_items(traces, self.within)
        return of_traces(semantic_groups(items, self.model, self.threshold, self.max_tokens), self.name)


@dataclass(frozen=True, slots=True)
class SemanticQuestion:
    """Groups problems that mean the same to a model and have the same gold; choices are part of the question.

    group        String   the least problem_id of the group; of a problem like no other, its own
    size         Int32    problems in the group, this one included
    similarity   Float32  cosine to the problem that names the group, see `SemanticTrace`

    All null where there is no question.
    """

    name: ClassVar[str] = "semantic_question"  # written into shards: never reuse
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "problem"
    reads: ClassVar[tuple[str, ...]] = PROBLEM_COLUMNS
    marks: ClassVar[dict[str, PolarsDataType]] = GROUP_MARKS
    source: ClassVar[str] = SOURCE
    cost: ClassVar[str] = "the model's, then the square of the texts: 20,000 of one gold, 9 s on 2 cores"

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """What embeds: a model directory, a Hub id, or the embedded model's name; best one trained for sentences."""
    threshold: float = 0.95
    """Least cosine of a pair, above 0 and up to 1."""
    max_tokens: int = 256
    """Tokens that are read of each text."""

    def __post_init__(self) -> None:
        check(self.threshold, max_tokens=self.max_tokens)

    def content(self) -> str:
        """Digest of the model: weights and tokenizer, or commit."""
        return digest(model_identity(self.model))

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and the marks of its problem, for each trace; raises what `SemanticTrace.mark_corpus` does."""
        groups = semantic_groups(problem_items(traces), self.model, self.threshold, self.max_tokens)
        return of_problems(groups, self.name, traces)


def semantic_groups(items: pl.LazyFrame, model: str, threshold: float, max_tokens: int) -> pl.DataFrame:
    """`id`, `group`, `size`, `similarity` of each item (`id`, `text`, `guard`).

    What is equal but for case and white space is embedded once, as the item of the least id has it.
    """
    held = items.collect(engine="streaming").sort("id")
    guards = mixed(held["guard"].to_numpy().copy())
    present = held["text"].is_not_null().to_numpy()
    filled = np.flatnonzero(present)
    keys = mixed(sequence_keys(tokens(held["text"])) ^ guards)[filled]
    _, first, content = np.unique(keys, return_index=True, return_inverse=True)
    chosen = filled[first]
    vectors = embed(model, held["text"].gather(chosen).to_list(), max_tokens)
    parts = Components(len(chosen))
    for left, right in _similar(vectors, guards[chosen], threshold):
        parts.join(left, right)
    labels = np.arange(len(chosen), len(chosen) + held.height)  # silent items: like no other
    labels[filled] = parts.roots[content]
    named = representatives(held["id"], labels)
    similarity = np.full(held.height, np.nan)
    vector = np.zeros(held.height, np.int64)
    vector[filled] = content
    pairs = vector[filled], vector[named[filled]]
    similarity[filled] = np.where(pairs[0] == pairs[1], 1, np.einsum("ij,ij->i", vectors[pairs[0]], vectors[pairs[1]]))
    groups = groups_of(held["id"], named, present)
    shared = pl.when(pl.col("size") > 1).then(pl.Series(similarity, dtype=pl.Float32))
    return groups.with_columns(shared.alias("similarity"))


def _similar(
    vectors: NDArray[np.float32], guards: NDArray[np.uint64], threshold: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of texts under one guard whose cosine reaches the threshold, in portions."""
    order = np.argsort(guards, kind="stable")
    for begin, size in zip(*runs(guards[order]), strict=True):
        texts = order[begin : begin + size]
        for row in range(0, len(texts), BLOCK):
            cosines = vectors[texts[row : row + BLOCK]] @ vectors[texts[row:]].T
            left, right = np.nonzero(np.triu(cosines, 1) >= threshold)
            yield texts[row + left], texts[row + right]


def embed(model: str, texts: Sequence[str], max_tokens: int) -> NDArray[np.float32]:
    """float32 [texts, dimensions], of length 1; 0 for a text in which the tokenizer finds no token.

    Raises:
        MissingDependency: torch or transformers is not installed.
        TeacherError, CotmillError: no such model, or it cannot be loaded.
    """
    if not texts:
        return np.zeros((0, 1), np.float32)
    import torch

    tokenizer, network = _load(resolve_model(model))
    room = min(max_tokens, getattr(network.config, "max_position_embeddings", max_tokens))
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))  # like lengths: little padding
    rows: list[Any] = []
    for begin in range(0, len(order), BATCH):
        batch = [texts[i] for i in order[begin : begin + BATCH]]
        encoded = tokenizer(batch, padding=True, truncation=True, max_length=room, return_tensors="pt")
        inputs = {key: encoded[key].to(network.device) for key in ("input_ids", "attention_mask")}
        if not inputs["input_ids"].numel():
            rows.append(torch.zeros(len(batch), network.config.hidden_size))
            continue
        with torch.inference_mode():
            states = network(**inputs).last_hidden_state.float()
        weight = inputs["attention_mask"].unsqueeze(-1).float()
        mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
        rows.append(torch.nn.functional.normalize(mean, dim=1).cpu())
    made = torch.cat(rows).numpy()
    vectors = np.empty_like(made)
    vectors[order] = np.nan_to_num(made)
    return vectors


@lru_cache(maxsize=1)
def _load(where: str) -> tuple[Any, Any]:
    """Tokenizer and network, on the GPU if there is one."""
    if not (find_spec("torch") and find_spec("transformers")):
        raise MissingDependency("transformers", "finding semantic duplicates", "pip install 'cotmill[train]'")
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        with no_bars():
            tokenizer, network = AutoTokenizer.from_pretrained(where), AutoModel.from_pretrained(where)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CotmillError(
            f"the model {where} cannot be loaded: {reason}\n"
            f"Without a download: semantic_trace:model=DIRECTORY, or model={EMBEDDED}."
        ) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer, network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
