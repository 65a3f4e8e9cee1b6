"""How surprising a trace is to a model: nats per token of the completion, given its prompt.

The tokens are those that training would count in its loss: the question as a user turn under the chat template, then
the response up to and including the token that ends it. vLLM scores them as the end of a prompt, in process; where it
is not installed, transformers does, slower and with the same result, and says so once. Nothing is generated.
"""

from __future__ import annotations

import atexit
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol

import polars as pl

from builders.errors import CotmillError, MissingDependency, TeacherError
from builders.identity import digest
from builders.quiet import no_bars
from builders.teachers.smollm2 import EMBEDDED, model_identity, resolve_model
from builders.teachers.templates import named_template, template_of

if TYPE_CHECKING:
    from polars._typing import PolarsDataType
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

KV_BYTES: Final = 1 << 29
"""Memory for vLLM's KV cache on a CPU: a sequence is scored in one step, so little is ever held."""
BATCH_TOKENS: Final = 2048
"""Tokens that transformers scores at once: each has a logit for every word of the vocabulary."""


class Tokenised(NamedTuple):
    """One trace as a model reads it."""

    prompt: list[int]
    completion: list[int]


class Scorer(Protocol):
    """A model that is loaded."""

    tokenizer: PreTrainedTokenizerBase
    """With the chat template to use."""
    room: int
    """Longest sequence, in tokens."""

    def nll(self, rows: Sequence[Tokenised]) -> list[float]:
        """Negative log-likelihood of each completion in nats, summed over its tokens."""

    def close(self) -> None:
        """Give back memory and processes."""


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Marks traces with how well a model foresees them.

    mean_nll    Float32  nats per token: mean of -ln p(token | prompt and tokens before)
    perplexity  Float32  exp(mean_nll)
    tokens      Int32    tokens of the completion, the one that ends it included

    All null without a question or a response; the first two also where prompt and completion are too long for the model
    (on a CPU, for 4096 tokens). What a server set apart as reasoning is not scored: it is no part of `response`.
    """

    name: ClassVar[str] = "perplexity"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("question", "choices", "response")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "mean_nll": pl.Float32(),
        "perplexity": pl.Float32(),
        "tokens": pl.Int32(),
    }
    source: ClassVar[str] = "the loss of training, per trace; no thresholds"
    cost: ClassVar[str] = "the model reads each trace once, question included; starting vLLM takes 30 s on a CPU"

    model: str = EMBEDDED
    """The student or teacher: the embedded model's name, a model directory, or a Hub id."""
    chat_template: str | None = None
    """`auto` when null: the tokenizer's, or `plain` for a base model. Else a name or Jinja text."""

    def __post_init__(self) -> None:
        named_template(self.chat_template)  # a wrong name is an error now, not after the model is loaded

    def content(self) -> str:
        """Digest of the model: weights and tokenizer, or commit."""
        return digest(identity_of(self.model))

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `perplexity.<mark>`. The model is loaded once per process, with the first trace.

        Raises:
            TeacherError: no such model, or it cannot be started. MissingDependency: neither vLLM nor transformers is
                installed. Both when the frame is collected.
        """
        # Not elementwise, though it is: the whole shard at once makes better batches.
        scored = pl.struct(self.reads).map_batches(
            lambda rows: self.score(rows.struct.unnest()).to_struct(), return_dtype=pl.Struct(self.marks)
        )
        column = f"{self.name}."
        return (
            traces.with_columns(scored.alias(column))
            .with_columns(pl.col(column).struct.field(mark).alias(column + mark) for mark in self.marks)
            .drop(column)
        )

    def score(self, traces: pl.DataFrame) -> pl.DataFrame:
        """The marks of some traces, [traces] each."""
        found: dict[str, list[float | int | None]] = {name: [None] * traces.height for name in self.marks}
        said = traces["question"].is_not_null() & traces["response"].str.contains(r"\S").fill_null(False)
        places = said.arg_true().to_list()
        if places:
            with _LOCK:
                scorer = load(self.model, self.chat_template)
                rows = traces[places].select(self.reads).rows()
                made = [tokenise(scorer.tokenizer, *row) for row in rows]
                whole = [(place, one) for place, one in zip(places, made, strict=True) if one]
                fit = [(place, one) for place, one in whole if sum(map(len, one)) < scorer.room]
                for (place, one), total in zip(fit, scorer.nll([one for _, one in fit]), strict=True):
                    mean = total / len(one.completion)
                    found["mean_nll"][place] = mean if math.isfinite(mean) else None
            for place, one in whole:
                found["tokens"][place] = len(one.completion)
        frame = pl.DataFrame(found, schema={**self.marks, "mean_nll": pl.Float64()})
        exact = pl.col("mean_nll")
        finite = pl.when(exact < 88).then(exact.exp())  # e^88 is the largest that Float32 holds
        return frame.with_columns(finite.cast(pl.Float32).alias("perplexity"), exact.cast(pl.Float32))


def tokenise(
    tokenizer: PreTrainedTokenizerBase, question: str, choices: Sequence[str] | None, response: str
) -> Tokenised | None:
    """The tokens of a trace as `training.rows.tokenise` trains them; None where the chat template changes it."""
    from jinja2 import TemplateError

    from builders.prompts import render_question

    asked = {"role": "user", "content": render_question(question, [c or "" for c in choices or []])}
    told = {"role": "assistant", "content": response}
    try:
        before, whole = (
            str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=len(turns) == 1))
            for turns in ([asked], [asked, told])
        )
    except TemplateError:
        return None
    after = whole[len(before) :]
    if not whole.startswith(before) or response.strip() not in after:
        return None
    prompt: list[int] = tokenizer.encode(before, add_special_tokens=False)
    ids: list[int] = tokenizer.encode(whole, add_special_tokens=False)
    apart = ids[: len(prompt)] != prompt  # a merge crosses the border
    tail: list[int] = tokenizer.encode(after, add_special_tokens=False) if apart else ids[len(prompt) :]
    special = {*tokenizer.all_special_ids, tokenizer.eos_token_id}
    end = len(tail)
    while end and tail[end - 1] not in special and not str(tokenizer.decode([tail[end - 1]])).strip():
        end -= 1  # what the template writes behind the end of a turn is never generated
    ended = end and tail[end - 1] in special
    return Tokenised(prompt, tail[:end] if ended else [*tail[:end], tokenizer.eos_token_id])


def identity_of(model: str) -> dict[str, str]:
    """See `model_identity`; looked up once per process, unless a directory has changed since."""
    folder = Path(model).expanduser()
    files = folder.rglob("*") if folder.is_dir() else ()
    return _identity(model, tuple(sorted((str(file), file.stat().st_mtime_ns) for file in files)))


@lru_cache(maxsize=16)
def _identity(model: str, _changed: tuple[tuple[str, int], ...]) -> dict[str, str]:
    return model_identity(model)


_LOCK: Final = Lock()
_loaded: tuple[tuple[str, str | None], Scorer] | None = None


def load(model: str, chat_template: str | None) -> Scorer:
    """The model, loaded unless it is already; one that was loaded before it is closed."""
    global _loaded
    key = (digest(identity_of(model)), chat_template)
    if _loaded and _loaded[0] == key:
        return _loaded[1]
    unload()
    if find_spec("vllm"):
        scorer: Scorer = VllmScorer(model, chat_template)
    elif find_spec("torch") and find_spec("transformers"):
        log.warning("vLLM is not installed: transformers scores instead, several times slower on a GPU")
        scorer = TransformersScorer(model, chat_template)
    else:
        raise MissingDependency("vllm", "perplexity", "make setup (any machine), or pip install 'cotmill[vllm]'")
    _loaded = (key, scorer)
    return scorer


@atexit.register
def unload() -> None:
    """Close the model that is loaded, if any."""
    global _loaded
    if _loaded:
        _loaded[1].close()
    _loaded = None


def _tokenizer(where: str, revision: str | None, chat_template: str | None) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(where, revision=revision)
    tokenizer.chat_template = template_of(tokenizer, chat_template)
    if tokenizer.eos_token_id is None:
        raise CotmillError(f"the tokenizer of {where} has no end token, so no completion under it has an end.")
    return tokenizer


class VllmScorer:
    """A model in vLLM's synchronous engine; implements `Scorer`."""

    def __init__(self, model: str, chat_template: str | None) -> None:
        """Start the engine: about 30 s on a CPU.

        Raises:
            TeacherError: no such model, or vLLM cannot start; the message holds the first cause.
        """
        from builders.teachers.vllm import environment_defaults
        from builders.teachers.vllm_start import EngineLog, debugging, dying_together, environment, first_cause

        where, revision = resolve_model(model), identity_of(model).get("revision")
        self._log = EngineLog()
        self._llm: Any = None
        try:
            with environment(environment_defaults()), self._log.capture(), dying_together():
                self.tokenizer = _tokenizer(where, revision, chat_template)
                self._llm = _engine(where, revision)
            if not debugging():
                logging.getLogger("vllm").setLevel(logging.CRITICAL)
        except (Exception, SystemExit) as error:
            said = self._log.text()
            self.close()
            if isinstance(error, CotmillError):
                raise
            raise TeacherError(
                f"vLLM could not start {model}:\n{first_cause(said, error)}\n"
                "All it said: run again with COTMILL_DEBUG=1. What this machine can do: cotmill doctor"
            ) from error
        self.room = int(self._llm.llm_engine.model_config.max_model_len)

    def nll(self, rows: Sequence[Tokenised]) -> list[float]:
        """See `Scorer`."""
        from vllm import SamplingParams
        from vllm.inputs import tokens_input

        params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        prompts = [tokens_input([*row.prompt, *row.completion]) for row in rows]
        outputs = self._llm.generate(prompts, params, use_tqdm=False) if rows else []
        totals = []
        for row, output in zip(rows, outputs, strict=True):
            steps = output.prompt_logprobs[len(row.prompt) :]
            totals.append(-sum(step[token].logprob for step, token in zip(steps, row.completion, strict=True)))
        return totals

    def close(self) -> None:
        """See `Scorer`."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()
        self._log.close()


def _engine(where: str, revision: str | None) -> Any:
    """An engine with settings that suit scoring."""
    from vllm import LLM
    from vllm.platforms import current_platform

    from builders.teachers.vllm import _context, engine_defaults

    settings: dict[str, Any] = {}
    if current_platform.is_cpu():
        settings = engine_defaults(_context(where, {"revision": revision}))
        # Rounding to bfloat16 would show in the marks; a step holds logits for all of its tokens.
        settings |= {"dtype": "float32", "kv_cache_memory_bytes": KV_BYTES}
        settings["max_num_batched_tokens"] = max(BATCH_TOKENS, settings["max_model_len"])
    return LLM(model=where, revision=revision, disable_log_stats=True, enable_prefix_caching=False, **settings)


class TransformersScorer:
    """The same by transformers; implements `Scorer`."""

    def __init__(self, model: str, chat_template: str | None) -> None:
        """Load the model, on a GPU where there is one."""
        import torch
        from transformers import AutoModelForCausalLM

        where, revision, gpu = resolve_model(model), identity_of(model).get("revision"), torch.cuda.is_available()
        self.tokenizer = _tokenizer(where, revision, chat_template)
        dtype = "auto" if gpu else torch.float32
        with no_bars():
            loaded: Any = AutoModelForCausalLM.from_pretrained(where, revision=revision, dtype=dtype)
        self._model = loaded.to("cuda" if gpu else "cpu").eval()
        self.room = int(getattr(loaded.config.get_text_config(), "max_position_embeddings", None) or 4096)

    def nll(self, rows: Sequence[Tokenised]) -> list[float]:
        """See `Scorer`."""
        totals = [0.0] * len(rows)
        batch: list[int] = []
        for place in sorted(range(len(rows)), key=lambda i: -len(rows[i].prompt) - len(rows[i].completion)):
            longest = rows[(batch or [place])[0]]
            if batch and (len(batch) + 1) * sum(map(len, longest)) > BATCH_TOKENS:
                self._score(rows, batch, totals)
                batch = []
            batch.append(place)
        if batch:
            self._score(rows, batch, totals)
        return totals

    def _score(self, rows: Sequence[Tokenised], batch: Sequence[int], totals: list[float]) -> None:
        """Write the totals of one batch; padding stands behind, where a causal model does not look."""
        import torch

        ids = [[*rows[i].prompt, *rows[i].completion] for i in batch]
        width, device = max(map(len, ids)), self._model.device
        padded = torch.tensor([one + [0] * (width - len(one)) for one in ids], device=device)
        mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids], device=device)
        with torch.inference_mode():
            logits = self._model(input_ids=padded, attention_mask=mask).logits
            for line, i in enumerate(batch):
                first, last = len(rows[i].prompt), len(ids[line])
                scores = torch.log_softmax(logits[line, first - 1 : last - 1].float(), -1)
                picked = scores.gather(1, padded[line, first:last, None])
                totals[i] = -float(picked.double().sum())

    def close(self) -> None:
        """See `Scorer`."""
        self._model = None
