"""vLLM in this process: one asynchronous engine, one request per trace, each with its own seed.

The engine starts on entering and its processes are gone on leaving. `builders.machine` chooses what
suits the machine; the recipe's `engine` overrides it, field by field. Nothing is retried here: an
engine that has died stays dead, and the next run goes on from what was written.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Mapping
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from builders import config, joint, machine
from builders.errors import CotmillError, MissingDependency, RejectedRequest, TeacherError, UnansweredRequest
from builders.teachers import Completion, Message, Request
from builders.teachers.smollm2 import model_identity, resolve_model
from builders.teachers.templates import named_template, stops_of, template_identity, template_of
from builders.teachers.vllm_args import answer_changing, check_engine
from builders.teachers.vllm_start import SPAWN_HINT, EngineLog, debugging, dying_together, environment, first_cause

CPU_CONTEXT = 4096
"""Longest prompt and response together on a CPU, unless the recipe says otherwise.

There a step holds whole prompts (see `engine_defaults`), so its buffers grow with this number.
"""


SHUTDOWN_SECONDS = 1.0
"""How long an engine that answers nothing any more may take to leave; then it is killed, which loses nothing."""

GONE_SECONDS = 10.0
"""How long the kernel may take to clear away a process that was killed."""


class VllmTeacher:
    """A model run by vLLM. Implements `builders.teachers.Teacher`."""

    def __init__(self, settings: config.VllmTeacher) -> None:
        """Check what can be checked without loading anything.

        Raises:
            TeacherError: unknown engine field, or unknown template name.
        """
        check_engine(settings.engine)
        named_template(settings.chat_template)
        self.settings = settings
        self.name = settings.name or _short(settings.model)
        self.window = settings.window
        self._llm: Any = None

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Weights, template, and the engine fields that can change an answer. Starts nothing."""
        return {
            "kind": "vllm",
            **model_identity(self.settings.model, self.settings.revision),
            "chat_template": template_identity(self.settings.chat_template),
            "engine": answer_changing(self.settings.engine),
        }

    @property
    def engine(self) -> str:
        """`vllm 0.32.0`, whichever distribution it came in."""
        return f"vllm {_version()}"

    async def __aenter__(self) -> VllmTeacher:
        """Start the engine: about 30 s on a CPU. The event loop stands still meanwhile.

        Raises:
            MissingDependency: vLLM is not installed.
            TeacherError: no such model, or vLLM cannot start; the message holds the first cause.
        """
        if find_spec("vllm") is None:
            raise MissingDependency(
                "vllm", f"teacher {self.name}", "make setup (any machine), or pip install 'cotmill[vllm]'"
            )
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise TeacherError(SPAWN_HINT)
        model = resolve_model(self.settings.model)
        self._log = EngineLog()
        try:
            with environment(environment_defaults()), self._log.capture():
                self._start(model)
            if not debugging():  # what it would say here later is said by a TeacherError
                logging.getLogger("vllm").setLevel(logging.CRITICAL)
        except (Exception, SystemExit) as error:
            await self.__aexit__()
            if isinstance(error, CotmillError):
                raise
            raise TeacherError(
                f"vLLM could not start {self.settings.model}:\n{first_cause(self._failure, error)}\n"
                "All it said: run again with COTMILL_DEBUG=1. What this machine can do: cotmill doctor"
            ) from error
        return self

    def _start(self, model: str) -> None:
        from vllm import SamplingParams
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.inputs import tokens_input
        from vllm.platforms import current_platform
        from vllm.sampling_params import RequestOutputKind
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        said, revision = self.settings.engine, self.identity.get("revision")
        trust = {"trust_remote_code": bool(said.get("trust_remote_code", False))}
        where = {"revision": revision, **trust}
        self._load_tokenizer(said.get("tokenizer") or model, where)
        self._params = SamplingParams(
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
            top_k=self.settings.top_k,
            max_tokens=self.settings.max_tokens,
            stop=[*self.settings.stop, *stops_of(self._template)],
            output_kind=RequestOutputKind.FINAL_ONLY,
            logprobs=0 if self.settings.logprobs else None,  # 0: of the sampled token alone
        )
        self._tokens_input = tokens_input
        defaults = engine_defaults(_context(model, where)) if current_platform.is_cpu() else {}
        # Between the keys of a JSON answer a small model would write blanks for ever.
        compact = {"backend": "xgrammar", "disable_any_whitespace": True}
        defaults = {"structured_outputs_config": compact, **defaults}
        args = AsyncEngineArgs(model=model, revision=revision, **{"disable_log_stats": True, **defaults, **said})
        # The context sets the default batch sizes: those of a batch job, not of a chat server.
        others = set(multiprocessing.active_children())
        with dying_together():
            self._llm = AsyncLLM.from_engine_args(args, usage_context=UsageContext.LLM_CLASS)
        self._processes = set(multiprocessing.active_children()) - others
        self._room = int(self._llm.model_config.max_model_len)

    def _load_tokenizer(self, model: str, where: Mapping[str, Any]) -> None:
        """All that `_tokens` needs."""
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(model, **where)
        self._template = template_of(self._tokenizer, self.settings.chat_template)

    async def __aexit__(self, *exc: object) -> None:
        """Stop the engine; its processes are gone when this returns."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown(timeout=SHUTDOWN_SECONDS)
            for process in self._processes:  # vLLM kills what is slow, and does not wait until it is gone
                process.join(GONE_SECONDS)
            await asyncio.sleep(0)  # lets the engine's own task see that it was cancelled
        self._failure = self._log.text()
        self._log.close()

    async def sample(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            RejectedRequest: the prompt leaves no room for an answer, or vLLM refuses the request.
            UnansweredRequest: vLLM gave up on this request alone.
            TeacherError: the engine has died or was never started.
        """
        from vllm.exceptions import VLLMClientError, VLLMError
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._llm is None:
            raise TeacherError(f"teacher {self.name} is not running: use it as `async with teacher:`")
        prompt = self._tokens(request.messages)
        if len(prompt) >= self._room:
            raise RejectedRequest(
                f"the prompt has {len(prompt)} tokens and leaves no room for an answer: prompt and answer"
                f" together may have {self._room} (teacher.engine.max_model_len)"
            )
        params = self._params_of(request)
        try:
            async for output in self._llm.generate(self._tokens_input(prompt), params, request.trace_id):
                final = output
        except EngineDeadError as error:
            cause = first_cause(self._log.text())
            raise TeacherError(f"the vLLM engine of teacher {self.name} died:\n{cause}") from error
        except (VLLMClientError, ValueError) as error:
            raise RejectedRequest(str(error)) from error
        except VLLMError as error:
            raise UnansweredRequest(f"{type(error).__name__}: {error.__cause__ or error}") from error
        answer = final.outputs[0]
        if answer.finish_reason in ("abort", "error"):
            raise UnansweredRequest(f"vLLM ended the request with {answer.finish_reason}")
        count = len(answer.token_ids)
        total = answer.cumulative_logprob
        return Completion(
            text=answer.text,
            finish_reason=answer.finish_reason,
            prompt_tokens=len(prompt),
            completion_tokens=count,
            mean_logprob=total / count if self.settings.logprobs and total is not None and count else None,
        )

    def _params_of(self, request: Request) -> Any:
        """Sampling parameters of one request."""
        params = self._params.clone()
        params.seed = request.seed
        if request.keys:
            from vllm.sampling_params import StructuredOutputsParams

            params.structured_outputs = StructuredOutputsParams(json=joint.schema(request.keys))
            params.max_tokens = self.settings.max_tokens * len(request.keys)
        return params

    def _tokens(self, messages: list[Message]) -> list[int]:
        """The prompt as token ids; 0.15 ms for a short one, 20 ms for 50,000 characters."""
        from jinja2 import TemplateError

        try:
            text = self._tokenizer.apply_chat_template(
                messages, chat_template=self._template, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise TeacherError(
                f"the chat template of {self.settings.model} refuses messages of {roles}: {error}\n"
                "Try teacher.system: null, or another teacher.chat_template"
            ) from error
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def environment_defaults() -> dict[str, str]:
    """Environment variables an engine is started with, where the user has set none."""
    quiet = {} if debugging() else {"VLLM_LOGGING_LEVEL": "ERROR", "TQDM_DISABLE": "1"}
    return {
        **quiet,
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # stdout is for results
        "VLLM_NO_USAGE_STATS": "1",  # vLLM would report the machine to its makers
        "VLLM_CPU_OMP_THREADS_BIND": machine.omp_threads_bind().value,
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    }


def engine_defaults(context: int) -> dict[str, Any]:
    """EngineArgs that suit a CPU; `context` is the longest sequence the model knows, in tokens."""
    return {
        "dtype": machine.cpu_dtype().value,
        "max_model_len": min(context, CPU_CONTEXT),
        # A cached prefix counts in whole blocks. The usual 128 recompute most of what exemplars share; 32 is the
        # least that CPU attention takes. 240 requests with four exemplars: 37 s with 128, 21 s with 32.
        "block_size": 32,
        "kv_cache_memory_bytes": machine.kv_cache_bytes().value,
        # torch.compile takes two minutes to start and gains a quarter: pays after some 10 minutes.
        "enforce_eager": True,
        # vLLM 0.32 on a CPU: a seeded request whose prompt is split over two steps kills the engine.
        "enable_chunked_prefill": False,
    }


def _context(model: str, where: Mapping[str, Any]) -> int:
    """Longest sequence the model was made for, in tokens, as its config says."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(model, **where).get_text_config()
    return int(getattr(text, "max_position_embeddings", None) or CPU_CONTEXT)


def _short(model: str) -> str:
    """A name for the `teacher` column: a directory's own name, without the path to it."""
    path = Path(model).expanduser()
    return path.resolve().name if path.is_dir() else model


def _version() -> str:
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"
