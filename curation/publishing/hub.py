"""Talking to the Hub: one patient way to call it, and its refusals in our words."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from builders.errors import CotmillError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

TRIES: Final = 8
PATIENCE: Final = 900.0
"""Seconds that one call may wait in all: the Hub counts requests in windows of five minutes."""
TRANSIENT: Final = (408, 429, 500, 502, 503, 504)
LOG_IN: Final = "Log in: hf auth login, or set HF_TOKEN to a token that may write there."
MOVED: Final = 412
"""The commit names a parent that the branch is not at any more."""
REPO: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?/[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
"""`USER/NAME`, as the Hub takes it; no `..`, no `--`, no `.git`."""
REVISION: Final = r"[\w][\w.+-]*(?:/[\w.+-]+)*"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repo:
    """A dataset repository, and perhaps a revision of it."""

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


def parse_repo(said: str) -> Repo:
    """`USER/NAME`, `USER/NAME@REVISION`, with or without `hf://datasets/` before it.

    Raises:
        CotmillError: it is none.
    """
    plain = said.removeprefix("hf://datasets/") if said.startswith("hf://") else said.removeprefix("datasets/")
    name, at, revision = plain.rstrip("/").partition("@")
    odd = ".." in name or "--" in name or name.endswith(".git") or len(name) > 96
    if odd or not re.fullmatch(REPO, name) or (at and not _is_revision(revision)):
        raise CotmillError(f"`{said}` is no dataset repository: write USER/NAME, or USER/NAME@REVISION")
    return Repo(name, revision or None)


def _is_revision(name: str) -> bool:
    return bool(re.fullmatch(REVISION, name)) and ".." not in name and not name.endswith((".", ".lock"))


def check_revision(name: str, option: str) -> str:
    """The name of a branch or a tag.

    Raises:
        CotmillError: git takes no such name.
    """
    if not _is_revision(name):
        raise CotmillError(
            f"{option} {name}: no name for a branch or a tag; use letters, digits, `.`, `-`, `_` and `/`"
        )
    return name


def connect() -> HfApi:
    """The client; endpoint and token come from `HF_ENDPOINT`, `HF_TOKEN` and the cached login, as everywhere.

    Raises:
        CotmillError: `HF_HUB_OFFLINE` is set.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise CotmillError("HF_HUB_OFFLINE is set, so the Hub is not asked.\nUnset it: unset HF_HUB_OFFLINE")
    return HfApi(library_name="cotmill")


def patiently(call: Callable[[], T], what: str, *, landed: Callable[[], T | None] | None = None) -> T:
    """Make a call that may meet a busy or broken Hub.

    Waits as the Hub says (`Retry-After`, `RateLimit`), else 1, 2, 4 ... seconds with jitter. The client retries reads
    and uploads by itself, but a commit that is answered 429 or 500 raises at once, and one whose answer was lost may
    have been made.

    Args:
        call: what to do.
        what: in words, for the message.
        landed: asked after a failure whether the call had been carried out; its result, or None.

    Raises:
        CotmillError: the Hub refuses, or does not recover in time.
    """
    from huggingface_hub.errors import HfHubHTTPError

    start, error = time.monotonic(), ""
    for attempt in range(TRIES):
        wait = 2.0**attempt * random.uniform(0.5, 1.0)
        try:
            return call()
        except Exception as raised:
            cause = _cause(raised)
            if isinstance(cause, HfHubHTTPError):
                status = cause.response.status_code
                # An attempt that seemed lost may land while the next one is on its way.
                if status == MOVED and landed is not None and (result := landed()) is not None:
                    return result
                if status not in TRANSIENT:
                    raise explained(cause, what) from None
                error, wait = f"HTTP {status}", _asked_wait(cause) or wait
            elif type(cause).__module__ == "hf_xet":  # it has asked for a token and got none, or a wrong one
                raise CotmillError(f"{what}: the Hub's storage refuses ({hidden(str(cause))}).\n{LOG_IN}") from None
            elif is_network(cause):
                error = hidden(f"{type(cause).__name__}: {cause}")
            else:
                raise
        if attempt + 1 == TRIES or time.monotonic() - start + wait > PATIENCE:
            break
        time.sleep(wait)
        if landed is not None and (result := landed()) is not None:
            return result
    raise CotmillError(
        f"{what}: the Hub did not answer well in {attempt + 1} tries ({error}).\n"
        "Nothing half is visible there. Go on with the same command; what was uploaded is not sent again."
    )


def explained(refusal: HfHubHTTPError, what: str) -> CotmillError:
    """A refusal with what to do about it; never with a token, which the client keeps out of its messages too."""
    status = refusal.response.status_code
    text = str(refusal.server_message or refusal).strip()
    said = hidden(text.splitlines()[0][:300]) if text else "no reason given"
    advice = {
        401: f"It is missing, or private, or the token is not valid (any more). {LOG_IN}",
        403: "The token may not do that: use one with write access to that namespace. Whose it is: hf auth whoami",
        404: "There is no such repository or revision, or the token may not see it. Whose it is: hf auth whoami",
        MOVED: "Someone else has pushed meanwhile; nothing of theirs was overwritten.\n"
        "Look at what changed, then publish again.",
        413: "Too large for one request: write smaller files.",
    }.get(status, "See https://status.huggingface.co, then run the command again.")
    return CotmillError(f"{what}: the Hub refuses with {status} ({said}).\n{advice}")


def hidden(text: str) -> str:
    """A text without the token in use, nor anything that looks like one."""
    from huggingface_hub import get_token

    token = get_token()
    text = text.replace(token, "hf_***") if token else text
    return re.sub(r"\b(?:hf|api_org)_[A-Za-z0-9]{8,}", "hf_***", text)


def _cause(raised: Exception) -> BaseException:
    """What went wrong; the client wraps a failed upload in a RuntimeError."""
    inner = raised.__cause__
    return inner if isinstance(raised, RuntimeError) and inner is not None else raised


def is_network(error: BaseException) -> bool:
    """Whether the connection failed, or the Hub refused.

    The client's HTTP library goes by several names; its errors share one base. hf_xet reports a failed transfer as a
    bare RuntimeError.
    """
    from huggingface_hub.errors import HfHubHTTPError

    kinds = (HfHubHTTPError.__bases__[0], ConnectionError, TimeoutError)
    return isinstance(error, kinds) or type(error) is RuntimeError


def _asked_wait(refusal: HfHubHTTPError) -> float | None:
    """Seconds the Hub asks to wait; None: it does not say."""
    headers: Any = refusal.response.headers
    said = headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", said):
        return float(said)
    window = re.search(r";\s*r=0;\s*t=([0-9]+)", headers.get("RateLimit", ""))
    return float(window[1]) + 1 if window else None
