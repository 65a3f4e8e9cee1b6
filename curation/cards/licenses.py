"""Licenses and terms that a dataset carries on: those of its problems, and those of the models that wrote the traces.

The table is `data_cards/licenses.yaml`; each entry says where it can be read. What is not in it is unknown, and a card
says so. None of this is legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from pydantic import Field

from builders.config import Config
from builders.errors import CotmillError
from builders.yaml import read_yaml

UNKNOWN: Final = "unknown"

Limit = Literal["non-commercial", "no-derivatives", "share-alike"]


class Entry(Config):
    """What is known of one source or one teacher."""

    match: list[str] = Field(min_length=1)
    """Names, with `*`; case does not matter."""
    license: str
    """As an SPDX id in lower case, else in words."""
    url: str
    """Where that can be read."""
    title: str
    limits: list[Limit] = []
    terms: list[str] = []
    """What else whoever uses the dataset has to know, a sentence each."""
    citation: str | None = None
    """Key in `data_cards/citations.yaml`."""


class Known(Config):
    """The whole table."""

    sources: list[Entry]
    teachers: list[Entry]


@cache
def known() -> Known:
    """The table of licenses."""
    return Known.model_validate(read_yaml((files("data_cards") / "licenses.yaml").read_text(encoding="utf-8")))


def limits_of(license: str | None) -> set[str]:
    """The limits that an SPDX id of Creative Commons names; empty for others.

    >>> sorted(limits_of("cc-by-nc-sa-4.0"))
    ['non-commercial', 'share-alike']
    """
    parts = (license or "").lower().split("-")
    names = {"nc": "non-commercial", "nd": "no-derivatives", "sa": "share-alike"}
    return {names[part] for part in parts if part in names} if parts[0] == "cc" else set()


def about(names: Iterable[str], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """What is known of each name; names that share an entry stand together.

    Returns:
        names, title, license (or `unknown`), url (null: nothing is known), limits, terms, citation; in the order of the
        first name of each.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(names):
        entry = next((e for e in entries if any(fnmatch(name.lower(), m.lower()) for m in e.match)), None)
        blank: dict[str, Any] = {
            "title": name,
            "license": UNKNOWN,
            "url": None,
            "limits": [],
            "terms": [],
            "citation": None,
        }
        said = entry.model_dump(exclude={"match"}) if entry else blank
        found.setdefault(str(said["title"]), {"names": [], **said})["names"].append(name)
    return list(found.values())


def licenses(
    manifest: Mapping[str, Any], sources: Sequence[Mapping[str, Any]], teachers: Iterable[str] = ()
) -> dict[str, Any]:
    """What a dataset carries on.

    Args:
        manifest: dataset.json.
        sources: `source` of each row's origin, as `facts` lists them.
        teachers: names that rows have; those of dataset.json are better known there.

    Returns:
        license (of the dataset; null: none is claimed), sources, teachers (see `about`), limits (all of them, sorted).

    Raises:
        CotmillError: the dataset's license allows what a source does not.
    """
    problems = about([str(one["source"]) for one in sources if one["source"] is not None], known().sources)
    asked = manifest.get("teachers", [])
    said = {one.get("teacher") for one in asked}
    models = [*(_model(one) for one in asked), *(name for name in teachers if name not in said)]
    writers = about(models, known().teachers)
    claimed = manifest.get("curate", {}).get("license")
    limits = sorted({limit for one in [*problems, *writers] for limit in one["limits"]})
    _check(claimed, [*problems, *writers])
    return {"license": claimed, "sources": problems, "teachers": writers, "limits": limits}


def _model(asked: Mapping[str, Any]) -> str:
    """The name by which the table knows a teacher: that of its model, else its own."""
    names = [str(name) for name in ((asked.get("identity") or {}).get("model"), asked.get("teacher")) if name]
    known_of = [name for name in names if about([name], known().teachers)[0]["url"] is not None]
    return next(iter([*known_of, *names]), "unknown")


def _check(claimed: str | None, parts: Sequence[Mapping[str, Any]]) -> None:
    """A claimed license promises no more than its parts give."""
    if claimed is None or claimed in ("other", UNKNOWN):
        return
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", claimed):
        raise CotmillError(
            f"curate.license: `{claimed}` is no license id as the Hub takes it: SPDX in lower case, such as "
            "`apache-2.0`, `mit`, `cc-by-4.0`; or `other`.\nSay it so in the recipe; nothing was written."
        )
    missing = [(one, limit) for one in parts for limit in one["limits"] if limit not in limits_of(claimed)]
    if not missing:
        return
    lines = "\n".join(f"  {one['title']} is {limit} ({one['license']}, {one['url']})" for one, limit in missing)
    if any(limit == "no-derivatives" for _, limit in missing):
        next_step = "Leave these problems out, or get leave from their authors; then say `curate.license: other`."
    else:
        short = {"non-commercial": "nc", "share-alike": "sa"}
        tail = "-".join(short[limit] for limit in ("non-commercial", "share-alike") if limit in {m for _, m in missing})
        next_step = f"Say `curate.license: cc-by-{tail}-4.0`, or leave these problems out."
    raise CotmillError(
        f"curate.license: `{claimed}` promises more than what the dataset is made of:\n{lines}\n{next_step}"
    )
