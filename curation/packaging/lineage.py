"""What dataset.json and recipe.yaml may say to strangers about how a dataset came to be.

A recipe is written for the machine it runs on. What leaves that machine names no server of a private network, no
folder, no key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import yaml

from builders.corpus import Corpus
from builders.identity import digest

ASKED: Final = ("teacher", "identity", "sampling", "seed")
"""What of an arm makes a teacher; levels and formats apart."""
HIDDEN: Final = "(hidden)"
_SECRET_KEY: Final = re.compile(
    r"(?i)(?:^|[_-])(?:api[_-]?key|token|password|passwd|secret|authorization|credentials?|cookie)$"
)
_SECRET: Final = re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|Bearer\s+\S{8,})")
_QUERY: Final = re.compile(r"(?i)token|signature|sig=|key|credential|password")
_PATH: Final = re.compile(r"/[\w.@+-]+/|[A-Za-z]:[\\/]|\\\\\w")
"""How an absolute path begins; `/no_think` is none."""
_NEARBY: Final = (".local", ".internal", ".lan", ".intranet", ".corp", ".home", ".localdomain", ".test")


def public(value: Any, *, host_only: bool = True) -> Any:
    """Plain data without secrets, private addresses and folders of this machine.

    Args:
        value: mappings, lists and scalars.
        host_only: of a public `base_url` keep scheme and host alone; otherwise its path, too.

    Returns:
        The same with: keys such as `api_key` and `base_url`s of private servers left out, secrets within texts as
        `(hidden)`, users, passwords and signatures gone from URLs, and absolute paths cut to their last part.
    """
    if isinstance(value, Mapping):
        kept = {str(k): v for k, v in value.items() if not (isinstance(v, str) and _SECRET_KEY.search(str(k)))}
        made = {
            _text(k): _base(v, host_only) if k == "base_url" else public(v, host_only=host_only)
            for k, v in kept.items()
        }
        return {k: v for k, v in made.items() if not (k == "base_url" and v is None)}
    if isinstance(value, list | tuple):
        return [public(item, host_only=host_only) for item in value]
    return _text(value) if isinstance(value, str) else value


def recipe_yaml(recipe: Mapping[str, Any]) -> str:
    """A recipe for others to run: `public`, but the web addresses of public servers whole.

    A private server is left out, and so becomes the default: one on the machine of whoever runs it.
    """
    return yaml.safe_dump(public(recipe, host_only=False), sort_keys=False, allow_unicode=True)


def teachers(corpus: Corpus) -> list[dict[str, Any]]:
    """Who was asked: name, identity (model, revision, weights, template), sampling parameters, seed."""
    arms = corpus.manifest.get("arms", {}).values()
    asked = {digest(said): said for arm in arms if (said := {key: arm.get(key) for key in ASKED})}
    return [public(said) for said in asked.values()]


def engines(corpus: Corpus) -> dict[str, list[str]]:
    """Teacher -> engines and their versions, as traces name them."""
    said = corpus.traces().select("teacher", "engine").drop_nulls().unique().sort("teacher", "engine").collect()
    found: dict[str, list[str]] = {}
    for teacher, engine in said.rows():
        found.setdefault(teacher, []).append(_text(engine))
    return found


def is_private(host: str) -> bool:
    """Whether a host is of this machine or of a network that strangers do not reach."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return "." not in host or host.endswith(_NEARBY)


def _base(value: Any, host_only: bool) -> Any:
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        return None
    if not host or is_private(host):
        return None
    return f"{parts.scheme}://{host}" if host_only else _text(value)


def _text(text: str) -> str:
    if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+", text):
        return _url(text)
    if _PATH.match(text) and "\n" not in text:
        return (PurePosixPath(text) if text.startswith("/") else PureWindowsPath(text)).name
    return _SECRET.sub(HIDDEN, text)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return HIDDEN
    if parts.scheme in ("http", "https", "ftp", "ws", "wss"):
        if not host or is_private(host):
            return HIDDEN
        place = f"{host}:{port}" if port else host
        query = "" if _QUERY.search(parts.query) else parts.query
        return _SECRET.sub(HIDDEN, urlunsplit((parts.scheme, place, parts.path, query, "")))
    if parts.scheme == "file":
        return PurePosixPath(parts.path).name
    return _SECRET.sub(HIDDEN, re.sub(r"//[^/@]*:[^/@]*@", "//", text))
