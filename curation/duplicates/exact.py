"""Exact duplicates: texts that are equal once case, white space and Unicode's look-alikes no longer count.

Compared by a 64-bit hash of their words in order: among 4,000,000 texts, any two that differ share one with a chance of
1 in 2,000,000. Not here: which one of a group stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.duplicates.items import (
    PROBLEM_COLUMNS,
    TRACE_COLUMNS,
    Within,
    groups_of,
    of_problems,
    of_traces,
    problem_items,
    representatives,
    trace_items,
)
from curation.duplicates.threads import batches, in_threads
from curation.text.shingles import mixed, sequence_keys, tokens

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

PUNCTUATION: Final = r"""["'`´‘’‚“”„«»()\[\]{}*_#~|]|[.,:;!?…]+(?:\s|$)"""
"""Quotes, brackets and Markdown anywhere; what ends a sentence or a clause only at the end of a word, so that `3.5`,
`1,000` and `2:1` stay what they are. Signs of arithmetic are no punctuation."""
GROUP_MARKS: Final[dict[str, PolarsDataType]] = {"group": pl.String(), "size": pl.Int32()}


@dataclass(frozen=True, slots=True)
class ExactTrace:
    """Groups traces that say the same, whoever wrote them, unless their golds differ.

    group   String  the least trace_id of the group; of a trace like no other, its own
    size    Int32   traces in the group, this one included

    Both null where nothing is said.
    """

    name: ClassVar[str] = "exact_trace"  # written into shards: never reuse
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "trace"
    reads: ClassVar[tuple[str, ...]] = TRACE_COLUMNS
    marks: ClassVar[dict[str, PolarsDataType]] = GROUP_MARKS
    source: ClassVar[str] = "our own: equality after NFKC, lower case and single spaces"
    cost: ClassVar[str] = "250,000 rows/s on 2 cores; numpy"

    punctuation: bool = True
    """Whether punctuation counts; if not, quotes, brackets, Markdown and the ends of sentences tell no texts apart."""
    within: Within = "corpus"
    """Where copies are looked for: in the whole `corpus`, or among the traces of the same `problem`."""

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and the marks of each trace."""
        return of_traces(exact_groups(trace_items(traces, self.within), self.punctuation), self.name)


@dataclass(frozen=True, slots=True)
class ExactQuestion:
    """Groups problems that ask the same and have the same gold; choices are part of the question.

    group   String  the least problem_id of the group; of a problem like no other, its own
    size    Int32   problems in the group, this one included

    Both null where there is no question.
    """

    name: ClassVar[str] = "exact_question"  # written into shards: never reuse
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "problem"
    reads: ClassVar[tuple[str, ...]] = PROBLEM_COLUMNS
    marks: ClassVar[dict[str, PolarsDataType]] = GROUP_MARKS
    source: ClassVar[str] = "our own: equality after NFKC, lower case and single spaces"
    cost: ClassVar[str] = "640,000 rows/s on 2 cores, two traces a problem; numpy"

    punctuation: bool = True
    """Whether punctuation counts; if not, quotes, brackets, Markdown and the ends of sentences tell no texts apart."""

    def mark_corpus(self, traces: pl.LazyFrame) -> pl.DataFrame:
        """`trace_id` and the marks of its problem, for each trace."""
        return of_problems(exact_groups(problem_items(traces), self.punctuation), self.name, traces)


def exact_groups(items: pl.LazyFrame, punctuation: bool) -> pl.DataFrame:
    """`id`, `group`, `size` of each item (`id`, `text`, `guard`); in memory are 40 bytes of each, beside its id."""

    def keyed(batch: pl.DataFrame) -> tuple[pl.Series, NDArray[np.bool_], NDArray[np.uint64]]:
        text = batch["text"] if punctuation else batch["text"].str.replace_all(PUNCTUATION, " ")
        guarded = mixed(sequence_keys(tokens(text)) ^ mixed(batch["guard"].to_numpy().copy()))
        return batch["id"], batch["text"].is_not_null().to_numpy(), guarded

    parts = list(in_threads(keyed, batches(items)))
    ids = pl.concat([pl.Series("id", [], pl.String), *(part[0] for part in parts)])
    present = np.concatenate([np.zeros(0, bool), *(part[1] for part in parts)])
    keys = np.concatenate([np.zeros(0, np.uint64), *(part[2] for part in parts)])
    labels = np.arange(len(keys), 2 * len(keys))  # silent items: like no other
    labels[present] = np.unique(keys[present], return_inverse=True)[1]
    return groups_of(ids, representatives(ids, labels), present)
