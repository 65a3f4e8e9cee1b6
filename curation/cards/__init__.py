"""The card of a dataset: what README.md and croissant.json say, all of it counted from the files that are there."""

from curation.cards.check import check_card
from curation.cards.facts import facts
from curation.cards.render import render_card, write_card

__all__ = ["check_card", "facts", "render_card", "write_card"]
