"""Any OpenAI-compatible server as a teacher: vllm serve, SGLang, llama.cpp, a hosted API.

One request is one `POST {base_url}/chat/completions`. This module decides what follows from a
response: an answer, another try, a request that will never be answered, or the end of the run.
How many requests are in flight is `pacing`'s matter, what a response says is `wire`'s, where the
server is and how one logs in is `endpoint`'s; writing rows and resuming is the sampler's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, Self

import aiohttp
import orjson

from builders import config, joint
from builders.errors import RejectedRequest, TeacherError, UnansweredRequest
from builders.teachers import Completion, Request
from builders.teachers.endpoint import Endpoint, check_server, reason
from builders.teachers.pacing import Pace
from builders.teachers.wire import Fault, decode, embedded_status, names_model, read_completion, retry_after

LONGEST_BACKOFF = 60.0
"""Most seconds between two tries when the server names no time."""

LONGEST_PAUSE = 3600.0
"""A longer `Retry-After`, in seconds, ends the run instead: going on later costs nothing."""

GIVE_UP_AFTER = 20
"""So many requests in a row without an answer mean that the teacher is gone, not the requests."""

SAVED = "What was answered is saved; the same command goes on from there."


class ServerTeacher:
    """Answers requests through an OpenAI-compatible server. See `builders.teachers.Teacher`.

    Args:
        settings: what the recipe says.
        base_delay: seconds, upper end of the first back-off; it doubles with every try up to
            `LONGEST_BACKOFF`, and the wait is drawn uniformly below it (full jitter).

    Raises:
        TeacherError: `settings` cannot work; later, on entering and from `sample`, when the server
            cannot be reached, does not know key or model, or answers nobody any more.
    """

    def __init__(self, settings: config.ServerTeacher, *, base_delay: float = 0.5) -> None:
        self.config = settings
        self.name = settings.name or settings.model
        self.window = settings.concurrency
        self.engine = "openai-compatible"  # on entering, what the server says of itself is added
        self._base_delay = base_delay
        self._endpoint = Endpoint.of(settings)
        self._chat = self._endpoint.url("chat/completions")
        self._fixed = fixed_body(settings)
        self._seeded = "seed" not in settings.extra_body
        self._pace = Pace(settings.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._gone: str | None = None  # why no further request is worth sending
        self._answered = self._rejected = 0
        self._lost = 0  # requests given up since the last answer
        self._retries = self._crowded = self._timeouts = 0

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, revision and extra body; not where the server listens."""
        chosen = self.config
        return {
            "kind": "server",
            "model": chosen.model,
            "revision": chosen.revision,
            "extra_body": chosen.extra_body,
        }

    def stats(self) -> dict[str, int | float]:
        """Figures for a live display; counts are since the start."""
        return {
            "in_flight": self._pace.active,
            "limit": self._pace.limit,
            "paused": int(self._pace.paused),
            "answered": self._answered,
            "retries": self._retries,
            "rate_limited": self._crowded,
            "timeouts": self._timeouts,
        }

    async def __aenter__(self) -> Self:
        # vllm serve hangs up after 5 idle seconds: better to be first than to race it.
        connector = aiohttp.TCPConnector(limit=self.window, ttl_dns_cache=300, keepalive_timeout=4)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._endpoint.headers,
            proxy=self._endpoint.proxy,
            timeout=aiohttp.ClientTimeout(total=self.config.timeout, sock_connect=30),
        )
        try:
            said = await check_server(self._session, self._endpoint)
        except BaseException:
            await self._session.close()
            raise
        if said:
            self.engine = f"openai-compatible ({said})"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._pace.close()
        if self._session is not None:
            await self._session.close()

    async def sample(self, request: Request) -> Completion:
        """Answer one request, trying again after what may pass.

        Raises:
            RejectedRequest: the server refuses this request for what it is (400, 413, 422 ...).
            UnansweredRequest: every try met a fault.
            TeacherError: no request can be answered any more.
        """
        body = self._body(request)
        tries = 0
        while True:
            tries += 1
            try:
                completion = await self._ask(body)
            except Fault as fault:
                if tries > self.config.retries:
                    raise self._unanswered(fault, tries) from None
                self._retries += 1
                if not fault.paused:  # otherwise the gate says when, to everybody
                    longest = min(LONGEST_BACKOFF, self._base_delay * 2 ** min(tries - 1, 30))
                    await asyncio.sleep(random.uniform(0, longest))
            else:
                self._answered += 1
                self._lost = 0
                return completion

    def _body(self, request: Request) -> bytes:
        body = {**self._fixed, "messages": request.messages}
        if self._seeded:
            body["seed"] = request.seed
        if request.keys:
            body |= joint_body(body, request.keys)
        try:
            return orjson.dumps(body)
        except orjson.JSONEncodeError as error:
            raise RejectedRequest(f"the prompt cannot be sent as JSON: {error}") from None

    async def _ask(self, body: bytes) -> Completion:
        """One try: a completion, a `Fault`, or one of the exceptions of `sample`."""
        assert self._session is not None, "not started: use `async with`"
        entered = await self._pace.enter()
        answered = False
        try:
            if self._gone is not None:  # while this request waited at the gate
                raise TeacherError(self._gone)
            # A followed redirect could turn the POST into a GET.
            async with self._session.post(self._chat, data=body, allow_redirects=False) as response:
                raw = await response.read()
            status = response.status
            if status == 200:
                answered = True
                answer = decode(raw)
                if "choices" in answer:
                    return read_completion(answer)
                status = embedded_status(answer)
            raise self._verdict(status, response.headers, raw, entered)
        except TimeoutError as error:
            self._timeouts += 1
            self._pace.slow_down(entered)
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            raise Fault("no connection in time" if connecting else "no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:  # not chained: it carries the headers
            unreachable = isinstance(error, aiohttp.ClientConnectorError)
            raise Fault(reason(error), unreachable=unreachable) from None
        finally:
            self._pace.leave(answered)

    def _verdict(self, status: int, headers: Mapping[str, str], raw: bytes, entered: float) -> Exception:
        """What follows from a response that is no answer; its status and fields decide, not its words."""
        detail = self._endpoint.detail(status, raw)
        if status in (408, 409, 425, 429) or status >= 500:
            return self._passing(status, headers, detail, entered)
        if status in (401, 402) or (status == 403 and not self._answered):
            return self._end(self._endpoint.denied(detail))
        if status == 403:  # the key has worked: a filter, or the money ran out; no row either way
            return self._unanswered(Fault(detail), 1)
        if status == 404 and names_model(raw):
            hint = f"Set model to a name it serves.\n{SAVED}"
            return self._end(self._endpoint.error(f"does not serve `{self.config.model}` ({detail})", hint))
        if not self._answered and (status < 400 or status in (404, 405)):
            hint = "Check base_url; it usually ends in /v1."
            return self._end(self._endpoint.error(f"has no chat/completions ({detail})", hint))
        return self._rejected_as(detail)

    def _passing(self, status: int, headers: Mapping[str, str], detail: str, entered: float) -> Exception:
        """A fault that time may mend; the server may say how much of it."""
        if status in (429, 503):
            self._crowded += 1
            self._pace.slow_down(entered)
        seconds = retry_after(headers)
        if seconds > LONGEST_PAUSE:
            what = f"wants no requests for {seconds / 3600:.1f} hours ({detail})"
            return self._end(self._endpoint.error(what, SAVED))
        if seconds > 0:
            self._pace.pause(seconds)
        return Fault(detail, paused=seconds > 0)

    def _rejected_as(self, detail: str) -> Exception:
        self._rejected += 1
        if self._answered or self._rejected < GIVE_UP_AFTER:
            return RejectedRequest(detail)
        what = f"refused all of the first {self._rejected} requests; last: {detail}"
        hint = "If a setting is to blame, change it. If these prompts are, the same command goes on with the next ones."
        return self._end(self._endpoint.error(what, hint))

    def _unanswered(self, fault: Fault, tries: int) -> Exception:
        self._lost += 1
        if fault.unreachable and not self._answered:
            return self._end(self._endpoint.unreachable(str(fault)))
        if self._lost >= GIVE_UP_AFTER:
            what = f"left {self._lost} requests in a row without an answer; last: {fault}"
            return self._end(self._endpoint.error(what, f"See whether it still runs. {SAVED}"))
        return UnansweredRequest(f"no answer in {tries} tries; last: {fault}", tries)

    def _end(self, error: TeacherError) -> TeacherError:
        """Make every later `sample` fail in the same way; of several causes the first one counts."""
        self._gone = self._gone or str(error)
        return TeacherError(self._gone)


def joint_body(body: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """What a request for a JSON object of several texts says besides: its schema, and room for all of them."""
    shape = {"name": "solutions", "strict": True, "schema": joint.schema(keys)}
    room = {name: body[name] * len(keys) for name in ("max_tokens", "max_completion_tokens") if name in body}
    return {"response_format": {"type": "json_schema", "json_schema": shape}, **room}


def fixed_body(settings: config.ServerTeacher) -> dict[str, Any]:
    """What every request says.

    `extra_body` is merged over the sampling parameters, and a null takes a parameter out, for
    servers that refuse one (RFC 7396).

    Raises:
        TeacherError: `extra_body` sets what every request sets by itself.
    """
    extra = settings.extra_body
    ours = {"messages", "model", "n", "stream"} & extra.keys()
    if extra.get("seed") is not None:
        ours.add("seed")
    if ours:
        raise TeacherError(
            f"Teacher `{settings.name or settings.model}`: extra_body sets {', '.join(sorted(ours))}, "
            "which every request sets by itself.\nTake that out of extra_body; only `seed: null` is allowed."
        )
    body = {name: getattr(settings, name) for name in ("model", "temperature", "top_p", "max_tokens")}
    if settings.top_k > 0:
        body["top_k"] = settings.top_k
    if settings.stop:
        body["stop"] = settings.stop
    return {name: value for name, value in (body | extra).items() if value is not None}
