"""Conversions by a teacher: what it is asked, which request comes next, and when it has done it.

A rewrite is a trace like any other, with the ids, seeds and journal of sampling; what differs is that its prompt holds
the source, and that the guards judge it. One whose guards fail is asked for again, with the next sample index, up to
`tries` times; all stay in the corpus, and the pass `guards` says why each was not taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from builders.config import TeacherConfig
from builders.errors import SourceError
from builders.feed import Item
from builders.identity import arm_id, trace_id
from builders.plan import Arm, sampling_of
from builders.prompts import Prompt, render_question
from builders.spec import Band, Rewriting, Specs
from builders.teachers import Message, Teacher
from curation.convert.free import band_of, words_of

VERSION = 1
PADDED = "padded"


@dataclass(frozen=True, slots=True)
class Target:
    """What a trace is to become: a level, a format, or as long as a level."""

    level: int | None = None
    format: str | None = None

    def name(self) -> str:
        """For reports."""
        return self.format or f"level {self.level}"


@dataclass(frozen=True, slots=True)
class Rewrite(Prompt):
    """A prompt whose last turn asks for a trace to be written again."""

    ask: str = ""

    def identity(self) -> Mapping[str, Any]:
        """All of the prompt that is neither problem nor source."""
        return {
            "level": self.level,
            "format": self.format,
            "head": [list(turn) for turn in self.head],
            "rewrite": self.ask,
            "version": VERSION,
        }

    def turns(self, question: str, source: str) -> list[Message]:
        """The messages for one source; the last three are question, source and what is asked for."""
        head = [{"role": role, "content": content} for role, content in self.head]
        return [
            *head,
            {"role": "user", "content": question},
            {"role": "assistant", "content": source},
            {"role": "user", "content": self.ask},
        ]


class Rewrites:
    """The arms of one teacher and one target: direction and task family make one each."""

    def __init__(self, specs: Specs, config: TeacherConfig, teacher: Teacher, target: Target, seed: int) -> None:
        """Look at the target.

        Raises:
            SourceError: there is no such level or format, or a teacher cannot write it.
        """
        self._specs, self._config, self._teacher, self._target, self._seed = specs, config, teacher, target, seed
        self._made: dict[tuple[Any, ...], Arm] = {}
        if target.format == PADDED:
            self._band: Band | None = specs.controls["padding"].band if "padding" in specs.controls else None
        elif target.format is not None:
            known = {one.format: one for one in specs.formats}
            if target.format not in known or not known[target.format].instruction:
                written = ", ".join(one.format for one in specs.formats if one.instruction)
                raise SourceError(
                    f"No teacher can be asked for the format {target.format}; known: {written}, {PADDED}."
                )
            self._band = known[target.format].band
        else:
            assert target.level is not None
            self._band = band_of(specs, target.level)

    def arm(self, source: Mapping[str, Any]) -> Arm | None:
        """How the rewrite of one source is asked for; None where it is the target already.

        Args:
            source: granularity, format and answer_type of the trace.
        """
        target, kind = self._target, source["answer_type"]
        if (target.level is not None and source["granularity"] == target.level) or target.format == source["format"]:
            return None
        family = next((name for name, one in self._specs.families.items() if kind in one.answer_types), "")
        level = source["granularity"] if target.level is None else target.level
        form = source["format"] if target.format is None else target.format
        rewriting = self._rewriting(source["granularity"])
        key = (level, form, family, rewriting.text, source["gold_shown"])
        if key not in self._made:
            self._made[key] = self._make(level, form, family, rewriting, source["gold_shown"])
        return self._made[key]

    def _rewriting(self, level: int | None) -> Rewriting:
        words, target = words_of(self._specs), self._target
        if target.format is not None:
            return words.padding if target.format == PADDED else words.format
        if level is None or target.level is None:
            return words.level
        return words.finer if target.level > level else words.coarser

    def _make(self, level: int | None, form: str, family: str, rewriting: Rewriting, gold_shown: bool | None) -> Arm:
        spec = self._spec()
        ask = rewriting.text.replace("{instruction}", spec.instruction)
        questions = self._specs.families[family].questions if family else []
        before = next((one.traces.get(family, []) for one in self._specs.levels if one.level == rewriting.start), [])
        count = words_of(self._specs).exemplars
        head = [("system", self._config.system)] if self._config.system else []
        shown = list(zip(questions, before, spec.traces.get(family, []), strict=False))[:count]
        for question, source, rewritten in shown:
            head += [("user", question), ("assistant", source), ("user", ask), ("assistant", rewritten)]
        prompt = Rewrite(level, form, family, tuple(head), questions=tuple(q for q, *_ in shown), ask=ask)
        params = sampling_of(self._config)
        key = arm_id(self._teacher.identity, prompt.identity(), params, self._seed)
        band = {} if self._band is None else self._band.model_dump(mode="json")
        columns = {
            "arm_id": key,
            "teacher": self._teacher.name,
            "granularity": level,
            "format": form,
            "gold_shown": gold_shown,  # the source knows the answer from there, and so does its rewrite
            "params": orjson.dumps(
                {**params, "convert": {"how": "teacher", "version": VERSION, "band": band}}
            ).decode(),
        }
        return Arm(key, self._teacher, self._config, prompt, self._seed, columns)

    def _spec(self) -> Any:
        target = self._target
        if target.format == PADDED:
            if "padding" not in self._specs.controls:
                raise SourceError("The specs lack the control `padding` (section `controls`).")
            return self._specs.controls["padding"]
        if target.format is not None:
            return next(one for one in self._specs.formats if one.format == target.format)
        return next(one for one in self._specs.levels if one.level == target.level)


class RewriteFeed:
    """Rewrites of each source, one sample index after another, until one passes its guards or `tries` are asked.

    What the corpus holds is settled at once from `known`, so a resumed run asks what an undisturbed one would.
    """

    def __init__(
        self,
        sources: Iterator[Mapping[str, Any]],
        rewrites: Rewrites,
        known: Mapping[str, bool],
        tries: int,
        record: Callable[[Arm], None],
    ) -> None:
        """Make the feed.

        Args:
            sources: rows with the columns of a trace and `text`, the whole trace.
            rewrites: the target.
            known: trace id -> whether its guards let it pass, for converted traces that are held.
            tries: most rewrites of one source.
            record: told of each arm before it is asked.
        """
        self._sources, self._rewrites, self._known, self._tries = sources, rewrites, known, tries
        self._record = record
        self._ready: deque[Item] = deque()
        self._waiting: dict[str, tuple[Mapping[str, Any], Arm]] = {}  # trace id -> what to ask again with
        self._arms: set[str] = set()
        self.sources = 0
        self.already = 0  # sources that are the target already
        self.passed = 0  # sources that have a rewrite which passes
        self.failed = 0  # sources whose rewrites all failed
        self.held = 0  # rewrites found in the corpus

    def next(self) -> Item | None:
        """The next request; second tries come first."""
        while not self._ready and (source := next(self._sources, None)) is not None:
            self.sources += 1
            if (arm := self._rewrites.arm(source)) is None:
                self.already += 1
                continue
            if arm.arm_id not in self._arms:
                self._arms.add(arm.arm_id)
                self._record(arm)
            self._ask(source, arm, 0)
        return self._ready.popleft() if self._ready else None

    def settle(self, item: Item, verified: bool) -> None:
        """Ask again where the guards were against it."""
        source, arm = self._waiting.pop(item.trace_id)
        if verified:
            self.passed += 1
        else:
            self._ask(source, arm, item.sample_index + 1)

    def finished(self) -> bool:
        """Whether every source has a rewrite that passes, or no tries left."""
        if self._waiting:
            return False
        item = self.next()
        if item is not None:
            self._ready.appendleft(item)
        return item is None

    def _ask(self, source: Mapping[str, Any], arm: Arm, index: int) -> None:
        while index < self._tries:
            key = trace_id(source["problem_id"], arm.arm_id, index, source["trace_id"])
            if key not in self._known:
                assert isinstance(arm.prompt, Rewrite)
                asked = render_question(source["question"] or "", source["choices"])
                turns = tuple(arm.prompt.turns(asked, source["text"]))
                self._ready.append(Item(key, source, arm, index, messages=turns, parent_id=source["trace_id"]))
                self._waiting[key] = (source, arm)
                return
            self.held += 1
            if self._known[key]:
                self.passed += 1
                return
            index += 1
        self.failed += 1


def rows_of(chunks: Iterator[pl.DataFrame], without: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The traces that can be sources, one at a time; the others are counted in `without`, by reason."""
    columns = ["trace_id", "problem_id", "question", "choices", "gold", "gold_value", "answer_type", "source", "split"]
    for chunk in chunks:
        for reason in chunk["unfit"].drop_nulls():
            without[reason] = without.get(reason, 0) + 1
        fit = chunk.filter(pl.col("unfit").is_null())
        yield from fit.select(*columns, "granularity", "format", "gold_shown", "text").iter_rows(named=True)
