"""The columns of a corpus, once: what a problem row and a trace row hold.

Columns may be added; none is ever given another meaning. Null means unknown, never 0 or False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

import polars as pl

if TYPE_CHECKING:
    from polars._typing import SchemaDict

SCHEMA_VERSION: Final = 1

AnswerType = Literal["number", "choice", "boolean", "latex", "text"]
ANSWER_TYPES: Final = get_args(AnswerType)

Status = Literal["ok", "truncated", "empty", "rejected"]
"""What became of a request that was answered.

ok         a response that ended by itself
truncated  cut at the token cap, whatever the finish reason claims
empty      the teacher answered nothing
rejected   the teacher will never answer this one (too long, refused); `error` says why
"""

_PROBLEMS: SchemaDict = {
    "problem_id": pl.String,
    "question": pl.String,
    "choices": pl.List(pl.String),  # texts in order; the labels are A, B, C ...; null: not multiple choice
    "gold": pl.String,  # as the source gives it; null: unknown
    "gold_value": pl.String,  # normalised by builders.answers; null: unknown or unreadable
    "answer_type": pl.String,  # one of ANSWER_TYPES
    "source": pl.String,
    "split": pl.String,
    "meta": pl.String,  # JSON object: whatever else the source says (difficulty, subject, its own id)
}

_TRACES: SchemaDict = {
    "trace_id": pl.String,
    "problem_id": pl.String,
    "question": pl.String,
    "choices": pl.List(pl.String),
    "gold": pl.String,
    "gold_value": pl.String,
    "answer_type": pl.String,
    "source": pl.String,
    "split": pl.String,
    "arm_id": pl.String,  # teacher x prompt x sampling; corpus.json says what it stands for
    "teacher": pl.String,
    "granularity": pl.Int8,  # 1 coarsest .. 6 finest; null: not requested
    "format": pl.String,
    "sample_index": pl.Int32,
    "call_id": pl.String,  # shared by traces that one call answered; null: a call of its own
    "gold_shown": pl.Boolean,  # whether the teacher was told the gold answer; null: unknown
    "parent_id": pl.String,  # the trace this one was made from; null: sampled
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),  # the prompt
    "response": pl.String,  # raw; null: rejected
    "reasoning": pl.String,  # what was thought; null when the response does not set it apart
    "answer": pl.String,  # the response without the reasoning
    "status": pl.String,  # one of Status
    "error": pl.String,  # why rejected, or empty in a joint call; or what of a joint answer was mended
    "finish_reason": pl.String,  # as the engine says it
    "prompt_tokens": pl.Int32,  # of a joint call: an equal share, so that sums are what was paid
    "completion_tokens": pl.Int32,  # of a joint call: a share by length, likewise
    "mean_logprob": pl.Float32,  # nats per completion token
    "seed": pl.Int64,
    "params": pl.String,  # JSON object: sampling parameters
    "engine": pl.String,  # name and version
    "seconds": pl.Float32,  # from asking to the last token, queueing included
    "created_at": pl.Datetime("us", "UTC"),
}

PROBLEMS: Final = pl.Schema(_PROBLEMS)
TRACES: Final = pl.Schema(_TRACES)
