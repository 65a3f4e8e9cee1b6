"""Whom to cite: the papers of the problems, those that the passes name as their source, and the study behind levels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from builders.yaml import read_yaml

STUDY: Final = "chen2025unveiling"
"""Granularity, format and teacher as factors; cited where a dataset has levels."""
_ARXIV: Final = re.compile(r"arXiv[: ]([0-9]{4}\.[0-9]{5})")


@cache
def bibliography() -> dict[str, dict[str, str]]:
    """Key -> BibTeX fields (type, title, author, ...), from `data_cards/citations.yaml`."""
    found: dict[str, dict[str, str]] = read_yaml((files("data_cards") / "citations.yaml").read_text(encoding="utf-8"))
    return found


def citations(passes: Iterable[str], sources: Iterable[Mapping[str, Any]], leveled: bool) -> dict[str, Any]:
    """What a card cites.

    Args:
        passes: names of the passes that the dataset was made with.
        sources: entries of `curation.cards.licenses.about`.
        leveled: whether levels of granularity were asked for.

    Returns:
        passes: list of name and source (where its algorithm comes from, as its class says);
        bibtex: entries, sorted by key; those of `sources`, the study, and papers that passes name by their arXiv id
        where the bibliography has them.
    """
    from curation.passes import PASSES

    said = {name: str(getattr(PASSES[name], "source", "our own")) for name in passes if name in PASSES}
    by_arxiv = {entry["eprint"]: key for key, entry in bibliography().items() if "eprint" in entry}
    keys = {str(one["citation"]) for one in sources if one.get("citation")}
    keys |= {STUDY} if leveled else set()
    keys |= {by_arxiv[number] for text in said.values() for number in _ARXIV.findall(text) if number in by_arxiv}
    return {
        "passes": [{"name": name, "source": text} for name, text in said.items()],
        "bibtex": [_bibtex(key, bibliography()[key]) for key in sorted(keys)],
    }


def _bibtex(key: str, entry: Mapping[str, str]) -> str:
    fields = "\n".join(f"  {name} = {{{value}}}," for name, value in entry.items() if name != "type")
    return f"@{entry['type']}{{{key},\n{fields}\n}}"
