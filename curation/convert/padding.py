"""Padding: a trace made as long as a finer one, with sentences that say nothing.

The control for "it is the content, not the length": the same steps, the same numbers, another length. Sentences come
from the specs (`convert.filler`), in an order drawn from the trace's id, spread evenly between the steps.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from curation.convert.anatomy import Anatomy, NoChild

VERSION: Final = 1
SLACK: Final = 6
"""Words that a padded trace may be longer or shorter than what it is to be as long as."""


def pad(trace: Anatomy, words: int, filler: Sequence[str], seed: str) -> Anatomy:
    """A trace of about `words` words, by no more than `SLACK` longer or shorter.

    Args:
        trace: what to pad.
        words: how long it is to be, in runs of anything but white space.
        filler: sentences without any content, of several lengths.
        seed: another seed draws other sentences.

    Raises:
        NoChild: it is about as long already, or no choice of sentences fits.
    """
    missing = words - len(trace.write().split())
    if missing <= SLACK:
        raise NoChild("long enough already")
    chosen = _chosen(missing, filler, random.Random(seed))
    block = list(trace.thought if trace.thought is not None else trace.said)
    places = len(block) + 1
    out: list[str] = []
    for place in range(places):
        out += [f"{s} " for i, s in enumerate(chosen) if i * places // len(chosen) == place]
        if place < len(block):
            out.append(block[place] if block[place][-1].isspace() else f"{block[place]} ")
    if trace.thought is not None:
        return trace.having(tuple(out), trace.said)
    return trace.having((), tuple(out))


def _chosen(missing: int, filler: Sequence[str], dice: random.Random) -> list[str]:
    """Sentences of `missing` words in all, give or take; none twice before all have been used."""
    chosen: list[str] = []
    deck: list[str] = []
    while missing > SLACK:
        if not deck:
            deck = dice.sample(filler, len(filler))
        fits = [sentence for sentence in deck if len(sentence.split()) <= missing + SLACK]
        if not fits:
            raise NoChild("no filler fits")
        # The last one is the one that comes nearest.
        best = fits[0] if missing > 20 else min(fits, key=lambda s: (abs(missing - len(s.split())), s))
        deck.remove(best)
        chosen.append(best)
        missing -= len(best.split())
    return chosen
