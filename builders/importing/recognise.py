"""What a row holds, decided row by row: files mix their keys.

A row becomes drafts, one for each trace it holds. Nothing is normalised here beyond making text of
what should be text; ids and answer types come later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from builders.errors import SourceError
from builders.importing.layout import KNOWN, Layout, Usual, filled, is_named_output, layout_of, pick
from builders.importing.lettered import Pair
from builders.importing.read import Source
from builders.importing.reader import Reader
from builders.importing.text import Texts, Unfit
from builders.schema import ANSWER_TYPES

LEARN_ROWS = 1000
"""Rows from whose keys it is learnt what is usual in a source."""


class Draft(NamedTuple):
    """One trace of a row, as text."""

    asked: str  # the question as it stands in the row; what an answers file is matched by
    question: str
    choices: list[Pair] | None
    letter: str | None  # of the choice that a gold answer by position names
    gold: str | None
    gold_value: str | None
    answer_type: str | None
    response: str | None  # None: the row has no place for one, it is a problem only
    reasoning: str | None  # set apart by the row itself
    teacher: str | None
    granularity: int | None
    format: str | None
    sample_index: int | None
    split: str | None
    source: str | None
    messages: list[dict[str, str]] | None
    finish_reason: str | None
    status: str | None
    meta: str | None


class Recogniser:
    """Reads rows of one source. What is usual there is learnt from its first rows."""

    def __init__(self, columns: Mapping[str, str], first: Iterable[Mapping[str, Any]]) -> None:
        """Learn.

        Args:
            columns: role -> column, said by the user; goes before what is recognised. Dots reach into objects.
            first: some rows from the beginning of the source.
        """
        self._columns, self._texts = columns, Texts()
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self.misplaced: Counter[str] = Counter()
        first, self._usual = list(first), Usual()
        named = any(is_named_output(key.lower()) for row in first for key in row)
        in_context = any(all(filled(row.get(key)) for key in ("instruction", "input", "output")) for row in first)
        self._usual = Usual(None, named, in_context)
        used = Counter(
            key
            for key, value in (pick(row, self.layout(row).roles["response"]) for row in first)
            if key is not None and filled(value)
        )
        if used:
            self._usual = self._usual._replace(response=used.most_common(1)[0][0])
            self._layouts.clear()  # the usual key goes first from now on

    @property
    def usual(self) -> str | None:
        """The key that most traces lie under; None: in turns of conversations, or there are none."""
        return self._usual.response

    @property
    def notes(self) -> Counter[str]:
        """What was mended or is odd, counted."""
        return self._texts.notes

    def layout(self, row: Mapping[str, Any]) -> Layout:
        """The roles of a row's keys."""
        keys = tuple(row)
        layout = self._layouts.get(keys)
        if layout is None:
            layout = self._layouts[keys] = layout_of(keys, self._columns, self._usual)
        return layout

    def knows(self, role: str) -> bool:
        """Whether any shape of row that was met has a key for a role."""
        return any(layout.roles[role] for layout in self._layouts.values())

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether the keys of a row say where the question is, and the trace or a gold answer."""
        layout = self.layout(row)
        roles = layout.roles
        return bool(layout.chat or (roles["question"] and (roles["response"] or roles["gold"])))

    def drafts(self, row: Mapping[str, Any]) -> list[Draft]:
        """Every trace that a row holds.

        Raises:
            Unfit: no question, a conversation of several questions, unreadable choices or text.
        """
        reader = Reader(row, self.layout(row), self._usual, self._texts)
        turns = reader.turns()
        asked = reader.question(turns)
        question, choices = reader.choices(asked)
        traces = reader.traces(turns)
        letter, gold = reader.gold(choices, has_trace=traces[0][0] is not None)
        kind, endings, reasoning = reader.said("answer_type"), reader.endings(len(traces)), reader.said("reasoning")
        index = reader.index() if len(traces) == 1 else 0
        first = Draft(
            asked=asked,
            question=question,
            choices=choices,
            letter=letter,
            gold=gold,
            gold_value=reader.said("gold_value"),
            answer_type=kind if kind in ANSWER_TYPES else None,
            response=traces[0][0],
            reasoning=traces[0][1] or reasoning,
            teacher=reader.said("teacher"),
            granularity=reader.level(),
            format=reader.said("format"),
            sample_index=index,
            split=reader.said("split"),
            source=reader.said("source"),
            messages=reader.prompt(turns, asked),
            finish_reason=endings[0],
            status=reader.said("status"),
            meta=reader.rest(),
        )
        if reader.misplaced:
            self.misplaced[reader.misplaced] += 1
        others = [
            first._replace(response=said, reasoning=apart or reasoning, finish_reason=endings[i], sample_index=i)
            for i, (said, apart) in enumerate(traces[1:], 1)
        ]
        return [first, *others]


def look_at(source: Source, columns: Mapping[str, str]) -> Recogniser:
    """What the first rows of a source show.

    Raises:
        SourceError: a column of the user's is missing, or the columns fit no layout.
    """
    first = [row for _, row in next(source.batches(), [])[:LEARN_ROWS] if isinstance(row, dict)]
    recogniser = Recogniser(columns, first)
    found = ", ".join(dict.fromkeys(key for row in first for key in row)) or "none"
    gone = [name for name in columns.values() if not any(name in row or name.split(".")[0] in row for row in first)]
    if first and gone:
        raise SourceError(f"{source.name} has no column {' and '.join(gone)}; it has {found}.")
    if not sum(recogniser.fits(row) for row in first):  # looks at every row: `knows` asks about all shapes
        raise SourceError(
            f"{source.name}: its columns fit no layout.\nColumns found: {found}.\n"
            f"Known for the question: {', '.join(KNOWN['question'])};\nfor the trace: {', '.join(KNOWN['response'])}, "
            "solution, answer, generations, messages, conversations, <teacher>_output.\n"
            "Say which hold what: --map question=COLUMN,response=COLUMN,gold=COLUMN"
        )
    return recogniser


def drafts_of(source: Source, columns: Mapping[str, str]) -> Iterator[Draft]:
    """Every trace of a source; rows that cannot be one are passed over.

    Raises:
        SourceError: as `look_at`, or the source cannot be read.
    """
    recogniser = look_at(source, columns)
    for batch in source.batches():
        for _, row in batch:
            try:
                yield from recogniser.drafts(row) if isinstance(row, dict) else ()
            except Unfit:
                continue
