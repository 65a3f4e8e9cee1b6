"""Imports traces that others wrote into a corpus, batch by batch; an account is kept of every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from builders.corpus import Corpus
from builders.disk import replacing, write_json
from builders.errors import SourceError
from builders.identity import trace_id
from builders.importing.golds import question_key, read_answers
from builders.importing.held import Held
from builders.importing.leftover import Leftover
from builders.importing.options import Options, refuse
from builders.importing.read import Broken, Row, Source, find_sources
from builders.importing.recognise import Draft, Recogniser, look_at
from builders.importing.released import said_by_name
from builders.importing.rows import Tables, problems_of, traces_of
from builders.importing.text import Unfit, to_json

UNIMPORTED = "unimported.jsonl"


@dataclass
class Counts:
    """An account of rows. `rows` = `unimported` + the rows that became problems or traces."""

    rows: int = 0
    traces: int = 0  # found in the rows: imported + held + duplicated
    imported: int = 0
    held: int = 0  # the corpus had them before
    duplicated: int = 0  # same problem, arm and text as an earlier row of this import: kept once
    problems_only: int = 0  # rows of a test set: they have no place for a trace
    without_response: int = 0  # traces that say nothing: status `empty`
    without_gold: int = 0  # traces whose problem has no gold answer
    misplaced: Counter[str] = field(default_factory=Counter)  # by the key that a trace was found under
    unimported: Counter[str] = field(default_factory=Counter)  # by reason
    notes: Counter[str] = field(default_factory=Counter)  # what was mended or is odd

    def add(self, other: Counts) -> None:
        """Add up, field by field."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def as_dict(self) -> dict[str, Any]:
        """Plain data; the counters as mappings, commonest first."""
        return {k: dict(v.most_common()) if isinstance(v, Counter) else v for k, v in vars(self).items()}


@dataclass(frozen=True, slots=True)
class _Opened:
    """A source whose first rows have been looked at."""

    source: Source
    recogniser: Recogniser
    granularity: int | None
    format: str


def import_traces(sources: Sequence[str], out: str | Path, options: Options) -> dict[str, Any]:
    """Import every row of every source that can be a trace.

    Args:
        sources: paths, globs and Hub ids; JSON, JSONL, CSV or Parquet.
        out: a corpus, made when there is none.
        options: what the rows do not say themselves.

    Returns:
        corpus, the fields of `Counts`, new_problems, unimported_file (null: nothing was left out), and
        by_source: the same for each, with name, granularity, format and response_key.

    Raises:
        SourceError: a source is missing or fits no layout, an option is out of range, a teacher is not named;
            all that is wrong at once, before anything is written. Or a file turns out torn on the way: what was
            read before it is in the corpus, and the same command goes on from there.
        CorpusError: `out` is something else, or is being written.
    """
    opened, answers = _open(sources, options)
    corpus = Corpus.create(out)
    total, reports, new_problems = Counts(), [], 0
    with corpus.writing(), Leftover(corpus.path / UNIMPORTED) as leftover:
        held = Held(corpus)
        for one in opened:
            leftover.begin(one.source)
            run = _Run(corpus, one, options, answers, held, leftover)
            run.all()
            new_problems += run.new_problems
            total.add(run.counts)
            reports.append(run.report())
        leftover.keep()
    return {
        "corpus": str(out),
        **total.as_dict(),
        "new_problems": new_problems,
        "unimported_file": str(corpus.path / UNIMPORTED) if total.unimported else None,
        "by_source": reports,
    }


class _Run:
    """One source on its way into the corpus."""

    def __init__(
        self,
        corpus: Corpus,
        opened: _Opened,
        options: Options,
        answers: Mapping[str, str],
        held: Held,
        leftover: Leftover,
    ) -> None:
        self._corpus, self._opened, self._options = corpus, opened, options
        self._answers, self._held, self._leftover = answers, held, leftover
        self._tables = Tables()
        self.counts, self.new_problems = Counts(), 0

    def all(self) -> None:
        for batch in self._opened.source.batches():
            if drafts := list(self._drafts(batch)):
                self._write(self._tables.make(drafts))
        recogniser = self._opened.recogniser
        self.counts.misplaced += recogniser.misplaced
        self.counts.notes += recogniser.notes

    def report(self) -> dict[str, Any]:
        """Counts and lineage; the latter also goes into `corpus.json`, by the digest of the file."""
        one = self._opened
        about = {
            "source": one.source.name,
            "granularity": one.granularity,
            "format": one.format,
            "response_key": one.recogniser.usual,
        }
        digest = one.source.digest() or one.source.name
        imports = self._corpus.manifest.setdefault("imports", {})
        imports[digest] = {**about, "teacher": self._options.teacher, "rows": self.counts.rows}
        write_json(self._corpus.path / "corpus.json", self._corpus.manifest)
        return {**about, **self.counts.as_dict()}

    def _drafts(self, batch: Iterable[Row]) -> Iterator[Draft]:
        for number, row in batch:
            self.counts.rows += 1
            if isinstance(row, Broken):
                self._leave_out(number, row.reason, row.text)
                continue
            try:
                drafts = self._opened.recogniser.drafts(row)
                yield from [self._filled_in(draft) for draft in drafts]
            except Unfit as reason:
                self._leave_out(number, str(reason), to_json(row))

    def _filled_in(self, draft: Draft) -> Draft:
        options, opened = self._options, self._opened
        teacher = options.teacher or draft.teacher
        if teacher is None:
            raise Unfit("no teacher")
        gold, letter = draft.gold, draft.letter
        if gold is None and self._answers:
            gold, letter = self._answers.get(question_key(draft.asked)), None
        level = options.granularity or draft.granularity or opened.granularity
        return draft._replace(
            gold=gold,
            letter=letter,
            teacher=teacher,
            granularity=level,
            format=options.format or draft.format or opened.format,
            split=options.split or draft.split or opened.source.split or "train",
            source=draft.source or opened.source.stem,
        )

    def _leave_out(self, number: int, reason: str, text: str) -> None:
        self.counts.unimported[reason.split(":")[0]] += 1
        self._leftover.add(number, reason, text)

    def _write(self, rows: pl.DataFrame) -> None:
        """Problems first: a trace is never without its problem."""
        self.new_problems += self._corpus.add_problems(problems_of(rows))
        is_trace = pl.col("response").is_not_null() | (pl.col("status") == "rejected")
        traces = rows.filter(is_trace)
        self.counts.problems_only += rows.height - traces.height
        if traces.is_empty():
            return
        self._corpus.add_arms(self._tables.arms)
        index, verdict = self._held.place(traces)
        traces = traces.with_columns(index, verdict)
        self._count(traces)
        new = traces.filter(verdict="new")
        if new.is_empty():
            return
        ids = map(trace_id, new["problem_id"], new["arm_id"], new["sample_index"])
        new = new.with_columns(pl.Series("trace_id", list(ids), pl.String))
        with replacing(self._corpus.path / "traces" / f"{self._corpus.next_shard()}.parquet") as temporary:
            traces_of(new).write_parquet(temporary)

    def _count(self, traces: pl.DataFrame) -> None:
        counts, verdicts = self.counts, traces["verdict"]
        counts.traces += traces.height
        counts.imported += int((verdicts == "new").sum())
        counts.held += int((verdicts == "held").sum())
        counts.duplicated += int((verdicts == "duplicate").sum())
        counts.without_response += int((traces["status"] == "empty").sum())
        counts.without_gold += traces["gold"].null_count()


def _open(names: Sequence[str], options: Options) -> tuple[list[_Opened], dict[str, str]]:
    """Sources with their first rows looked at, and the gold answers.

    Raises:
        SourceError: whatever is wrong with options and sources, all of it.
    """
    found, wrong = find_sources(names, split=options.split, config=options.config)
    wrong = options.wrong() + wrong
    if not names:
        wrong.append("no source: name files, globs or Hub ids")
    opened, answers = [], dict[str, str]()
    for source in found:
        try:
            opened.append(_look_at(source, options))
        except SourceError as error:
            wrong.append(str(error))
    if options.answers is not None:
        try:
            answers = read_answers(options.answers)
        except SourceError as error:
            wrong.append(f"answers: {error}")
    if wrong:
        raise refuse(wrong)
    return opened, answers


def _look_at(source: Source, options: Options) -> _Opened:
    recogniser = look_at(source, options.columns)
    if options.teacher is None and not recogniser.knows("teacher"):
        raise SourceError(f"{source.name} does not say who wrote its traces.\nSay it: --teacher NAME")
    level, form = said_by_name(source.stem)
    return _Opened(source, recogniser, options.granularity or level, options.format or form or "original")
