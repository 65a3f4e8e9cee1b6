"""A student under transformers: where vLLM cannot load the model, and for beam search, which its engine lacks.

Much slower than vLLM. Greedy prompts are answered in padded batches. Above temperature 0 they are answered one by
one, as transformers knows no seed per row of a batch, and an answer must not depend on its neighbours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from typing import Any, ClassVar, Final, NamedTuple, Self

from builders.config import VllmTeacher as TeacherSettings
from builders.errors import MissingDependency, RejectedRequest, TeacherError
from builders.quiet import no_bars
from builders.teachers import Completion, Request
from builders.teachers.smollm2 import model_identity, resolve_model
from builders.teachers.templates import named_template, stops_of, template_identity, template_of
from training.evaluation.student import CannotLoad, begun

GATHER: Final = 0.01
"""Seconds that a first request waits for others to share its batch."""
HEEDED: Final = ("max_model_len", "tokenizer", "trust_remote_code")
"""Of vLLM's EngineArgs."""
UNKNOWN_CONTEXT: Final = 4096
"""Tokens of prompt and answer, for a model whose config does not say."""


class Waiting(NamedTuple):
    """A request whose answer is due."""

    prompt: list[int]
    seed: int
    answer: asyncio.Future[Completion]


class TransformersStudent:
    """Implements `builders.teachers.Teacher`; a last turn of the assistant is continued."""

    continues: ClassVar[bool] = True
    """Whether it can be made to go on from given words; probes need that."""

    def __init__(self, settings: TeacherSettings, *, batch: int = 8, beams: int = 1) -> None:
        named_template(settings.chat_template)
        self.settings, self.name = settings, settings.name or settings.model
        self.window = 4 * batch
        self._batch, self._beams = batch if settings.temperature == 0 else 1, beams

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Weights, template, width of the beam. Another backend rounds differently, so it is named too."""
        said = self.settings.engine
        return {
            "kind": "transformers",
            **model_identity(self.settings.model, self.settings.revision),
            "chat_template": template_identity(self.settings.chat_template),
            "engine": {key: said[key] for key in HEEDED if key in said},
            **({"beams": self._beams} if self._beams > 1 else {}),
        }

    @property
    def engine(self) -> str:
        """`transformers 5.19.0`."""
        return f"transformers {metadata.version('transformers') if find_spec('transformers') else 'not installed'}"

    async def __aenter__(self) -> Self:
        """Load the model.

        Raises:
            MissingDependency: torch or transformers is not installed.
            CannotLoad: there is no such model, or transformers cannot load it either.
        """
        if not (find_spec("torch") and find_spec("transformers")):
            raise MissingDependency(
                "transformers", f"evaluating {self.name}", "make setup, or pip install 'cotmill[train]'"
            )
        try:
            with no_bars():
                self._load(resolve_model(self.settings.model))
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CannotLoad(f"transformers cannot load {self.settings.model}: {said}") from error
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._worker = asyncio.create_task(self._work())
        return self

    def _load(self, model: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        said = self.settings.engine
        where = {"revision": self.identity.get("revision"), "trust_remote_code": bool(said.get("trust_remote_code"))}
        self._tokenizer = AutoTokenizer.from_pretrained(said.get("tokenizer") or model, **where)
        self._template = template_of(self._tokenizer, self.settings.chat_template)
        self._stops = [*self.settings.stop, *stops_of(self._template)]
        gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if gpu and torch.cuda.is_bf16_supported() else torch.float32
        loaded: Any = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, **where)
        self._model = loaded.to("cuda" if gpu else "cpu").eval()
        text = self._model.config.get_text_config()
        known = getattr(text, "max_position_embeddings", None) or UNKNOWN_CONTEXT
        self._room = min(known, said.get("max_model_len") or known)
        ends = self._model.generation_config.eos_token_id
        ends = self._tokenizer.eos_token_id if ends is None else ends
        self._ends = {ends} if isinstance(ends, int) else set(ends or [])

    async def __aexit__(self, *exc: object) -> None:
        """Let go of the model."""
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        del self._model

    async def sample(self, request: Request) -> Completion:
        """Answer one request, together with others.

        Raises:
            RejectedRequest: the prompt leaves no room for an answer.
            TeacherError: the model failed.
        """
        prompt = self._tokens(request.messages)
        if len(prompt) >= self._room:
            raise RejectedRequest(
                f"the prompt has {len(prompt)} tokens and leaves no room for an answer: prompt and answer together may"
                f" have {self._room} (evaluate.engine.max_model_len)"
            )
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(Waiting(prompt, request.seed, answer))
        return await answer

    def _tokens(self, messages: list[dict[str, str]]) -> list[int]:
        head, said = begun(messages)
        text = self._tokenizer.apply_chat_template(
            head, chat_template=self._template, tokenize=False, add_generation_prompt=True
        )
        parts = [part for part in (text, said) if part]
        return [i for part in parts for i in self._tokenizer.encode(part, add_special_tokens=False)]

    async def _work(self) -> None:
        """Answer batch after batch until cancelled."""
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(GATHER)
            while len(batch) < self._batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            # A prompt near the end of the context runs alone: the room of a batch is that of its longest prompt.
            widest = max(len(one.prompt) for one in batch)
            fits = widest + self.settings.max_tokens <= self._room
            for part in [batch] if fits else [[one] for one in batch]:
                try:
                    answers = await asyncio.to_thread(self._generate, part)
                except Exception as error:  # whatever it was, those who wait must hear of it
                    failure = TeacherError(f"transformers failed on {self.name}: {type(error).__name__}: {error}")
                    for one in part:
                        _settle(one.answer, failure)
                    continue
                for one, answer in zip(part, answers, strict=True):
                    _settle(one.answer, answer)

    def _generate(self, batch: Sequence[Waiting]) -> list[Completion]:
        import torch
        from transformers import GenerationConfig

        width = max(len(one.prompt) for one in batch)
        pad = self._tokenizer.pad_token_id
        pad = pad if pad is not None else next(iter(self._ends), 0)
        ids = torch.tensor([[pad] * (width - len(one.prompt)) + one.prompt for one in batch])
        mask = torch.tensor([[0] * (width - len(one.prompt)) + [1] * len(one.prompt) for one in batch])
        warm = self.settings.temperature > 0
        # A config of its own: the model's may ask for sampling or penalties, which vLLM is not asked for either.
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=warm,
            **({"temperature": self.settings.temperature, "top_p": self.settings.top_p, "top_k": 0} if warm else {}),
            num_beams=self._beams,
            max_new_tokens=min(self.settings.max_tokens, self._room - width),
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=pad,
            stop_strings=self._stops or None,
        )
        if warm:
            torch.manual_seed(batch[0].seed)
        device = self._model.device
        with torch.inference_mode():
            out = self._model.generate(
                ids.to(device), attention_mask=mask.to(device), generation_config=config, tokenizer=self._tokenizer
            )
        return [self._completion(one, row) for one, row in zip(batch, out[:, width:].tolist(), strict=True)]

    def _completion(self, one: Waiting, ids: list[int]) -> Completion:
        """One answer up to its end; what follows in the row is padding."""
        end = next((i + 1 for i, token in enumerate(ids) if token in self._ends), None)
        ids = ids[:end]
        text = str(self._tokenizer.decode(ids, skip_special_tokens=True))
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            text = text[: min(places)]
            end = end or len(ids)
        return Completion(
            text=text,
            finish_reason="stop" if end is not None else "length",
            prompt_tokens=len(one.prompt),
            completion_tokens=len(ids),
        )


def _settle(answer: asyncio.Future[Completion], said: Completion | Exception) -> None:
    """Give an answer to whoever still waits for it."""
    if answer.done():
        return
    if isinstance(said, Exception):
        answer.set_exception(said)
    else:
        answer.set_result(said)
