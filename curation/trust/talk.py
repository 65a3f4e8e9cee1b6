r"""Talk that belongs in no solution: words of a prompt, refusals, doubt about the answer, second thoughts.

Every mark is a list of phrases, English only, looked for where a search for their commonest words at once found one.
A keyword is no proof: what each mark was measured to miss and to mistake is in `docs/marks.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from curation.engine.gates import holds, judged, spans_of, where
from curation.text.steps import trace_text

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import Span

_ONE_OF_A_SENTENCE: Final = r"(?:^|[.!?…\n(]\s*|\b(?:but|oh|hmm|no|and),?\s)"
_TASK: Final = r"(?:instruction|question|problem|trace|answer|input|response)"

OPENERS: Final = (
    r"^\W*(?:sure|certainly|absolutely|of course)(?:[,!.:]|\s+(?:here|thing|i\b|let))",
    r"^\W*(?:okay[,.!]?\s+)?here(?:['’]s| is| are) (?:the|a|an|your|my|how)\b[^.\n]{0,80}"
    r"(?:solution|answer|explanation|version|breakdown|steps?|process)\b[^.\n]{0,40}[:\n]",
)
"""How an assistant begins."""
RESIDUES: Final = {
    "a chat token": (
        r"<\|[a-z_]+\|>",
        r"</?s>",
        r"\[/?inst\]",
        r"<</?sys>>",
        r"</?(?:start|end)_of_turn>",
        r"<｜[a-z▁_]+｜>",
    ),
    "a heading of a prompt": (r"#{2,} ?(?:instructions?|response|input|human|assistant|user|system)\b",),
    "whose turn it is": (r"(?m:^\s*(?:human|user|assistant|system)\s?:)",),
    "a field of a prompt": (
        r"solution path",
        r"output requirement",
        r"(?:^|[^\p{L}\s]\s*)step-by-step solution\s*[:\]]",
        r"rephrase and expand (?:the|this)",
        rf"(?:^|[^\p{{L}}\\}}])\{{{_TASK}\}}",
    ),
    "a level of detail that was asked for": (
        r"(?m:^\W*(?:granularity\s)?level\s?[1-6](?:\W*$|\s?[:\]*]| (?:solution|explanation|answer|reasoning|trace)))",
        r"\bgranularity(?: level)? ?[1-6]\b",
        r"\blevel[- ][1-6] (?:solution|explanation|trace|granularity|of (?:detail|granularity))\b",
    ),
    "how an assistant begins": OPENERS,
    "how an assistant ends": (
        r"i hope (?:this|that|it) (?:helps|is correct|clarifies)",
        r"let me know if (?:you|there|this|i)",
        r"feel free to ask",
        r"is there anything else (?:i|you)",
        r"as (?:requested|instructed|you (?:asked|requested))\b",
    ),
}
"""Words of a prompt, a chat template or a helpful assistant: what they are -> patterns."""

_ASSIST: Final = (
    r"(?:assist|help|provide|fulfil|comply|answer|continue|complete|solve|determine|do that|generate|create|engage)"
)
REFUSALS: Final = {
    "speaks as a model": (
        r"\bas an? (?:ai|(?:large )?language model|artificial intelligence)\b",
        r"\bmy (?:training data|programming|guidelines)\b",
    ),
    "refuses": (
        r"\bi(?:['’]m| am) (?:sorry|unable to|not able to)\b",
        rf"\bi (?:can ?not|can['’]t|won['’]t|will not|must decline to) {_ASSIST}\b",
        r"\bi (?:apologi[sz]e|regret),? but\b",
    ),
    "gives up": (
        r"\b(?:can ?not|can['’]t|could not|impossible to|not possible to) (?:be )?(?:determined?|answered|solved?)\b",
        r"\b(?:not|isn['’]t) (?:enough|sufficient) (?:information|data)\b",
        r"\binsufficient (?:information|data)\b",
    ),
}
"""Ways not to solve a problem -> patterns."""

_GIVEN: Final = r"(?:given|provided|expected|stated|supplied|intended|original|reference|gold|target)"
_FLAW: Final = (
    r"(?:discrepanc(?:y|ies)|inconsistenc(?:y|ies)|contradictions?|mistakes?|errors?|typos?|misprints?"
    r"|misinterpretations?)"
)
_SEEMS: Final = r"(?:is|are|was|must be|has to be|seems? to be|appears? to be|may be|might be|could be)"
_OF_THE_TASK: Final = (
    r"(?:problem|question|answer|statement|premise|given|data|information|set-?up|calculations?|logic|solution|details"
    r"|numbers|values|math|context|prompt)"
)
_WRONG: Final = r"(?:incorrect|illogical|inconsistent|contradictory|weird|unusual|unrealistic|wrong|odd)"
HEDGES: Final = {
    "an answer that was known": (
        # Not `the given answer choices` or `options`.
        rf"\b{_GIVEN} (?:final |correct )?answers?(?:\s*[^\w\s]|\s+[abd-np-z0-9]|\s+c[^h]|\s+o[^p]|\s*$)",
        r"\banswer (?:that (?:was|is) )?(?:given|provided|stated|supplied)\b",
        r"\b(?:provided|reference|gold) solution\b",
        r"\bground[- ]truth\b",
        r"\banswer key\b",
        r"\b(?:match|matches|matching|aligns? with|consistent with) the (?:\w+ )?answer\b",
        r"\bmust (?:be|equal|match) the (?:correct|right) answer\b",
        r"\bsince the (?:correct )?answer (?:is|should|must)\b",
    ),
    "a flaw in the task": (
        rf"\b{_FLAW} (?:in|with|between|within|regarding) (?:the|our|this|my|its) (?:\w+['’]?s? )?{_OF_THE_TASK}\b",
        rf"\bthere['’]?s? (?:{_SEEMS} )?(?:\w+ ){{0,2}}{_FLAW}\b",
        rf"\b(?:problem|question|information)[^.\n]{{0,30}} (?:has|have|contains?) (?:\w+ ){{0,2}}{_FLAW}\b",
        rf"\b(?:seems?|appears?|looks?) (?:to be )?(?:\w+ly )?{_WRONG}\b",
        r"\b(?:does not|doesn['’]t) (?:seem (?:correct|right|possible)|make sense)",
        r"\b(?:does not|doesn['’]t) (?:match|align|agree) (?:with )?the (?:given|provided|expected|question|problem)",
        r"\bdoes(?: not|n['’]t) have (?:the|a) correct answer\b",
    ),
}
"""Doubt about the task -> patterns."""

_LET: Final = (
    r"(?:let['’]?s|let (?:me|us)|we (?:need|have|must|should)(?: to)?|need to|necessary to|i (?:will|need to))"
)
_AGAIN: Final = r"re-?(?:check|calculate|compute|evaluate|examine|consider|assess|interpret|think|do|try|visit|work)"
RETRIES: Final = {
    "takes back": (
        rf"{_ONE_OF_A_SENTENCE}wait\s?[,.!…—–-]",
        r"\bhold on[,.!]",
        r"\boops\b",
        r"\bscratch that\b",
        r"\bon second thought",
        r"\bmy mistake\b",
        r"\bcorrection:",
        r"\bi (?:\w+ )?(?:made|make) an? (?:\w+ )?(?:mistake|error)\b",
        r"\bi (?:misread|misunderstood|miscalculated|misinterpreted)\b",
        r"\bi apologi[sz]e\b",
        r"\b(?:error|mistake) in (?:my|our)\b",
        r"\bnot (?:the )?right answer\b",
    ),
    "tries again": (
        rf"\b{_LET} (?:\w+ )?(?:{_AGAIN}|start over|try again|correct (?:this|that|myself))\b",
        r"\b(?:correct|accurate(?:ly)?|upon|after) re-?(?:evaluat|calculat|check|examin|consider|assess)\w*",
    ),
}
"""Second thoughts -> patterns."""

_FIRST: Final = {
    "residue": (
        r"<[|｜]|</?s>|inst\]|sys>>|_of_turn>|## ?[irhasu][^\n]{3}|solution path|output requirement"
        r"|step-by-step solution|rephrase and|(?:human|user|assistant|system)\s?:|level[\s-]?[1-6]|granularity"
        rf"|i hope|let me know|feel free|anything else|as (?:requested|instructed|you )|\{{{_TASK}\}}"
    ),
    "refusal": (
        r"as an? (?:ai|lan|lar|art)|my (?:training|programming|guidelines)|i(?:['’]m| am) (?:sorry|unable|not able)"
        r"|i (?:can|won|will not|must decline|apolog|regret)|be (?:determined|answered|solved)"
        r"|(?:t|possible to) (?:determine|answer|solve)"
        r"|(?:enough|sufficient) (?:info|data)"
    ),
    "hedge": (
        rf"{_GIVEN} (?:final |correct )?answer|answer (?:that (?:was|is) )?(?:given|provided|stated|supplied)"
        r"|d solution|reference solution|ground[- ]truth|answer key|match|align|consistent with"
        r"|must (?:be|equal|match) the|since the|discrepan|inconsisten|contradict|mistake|error|typo|misprint|misinterp"
        r"|seem|appear|looks? |does(?: not|n['’]t) (?:seem|make|match|align|agree|have)"
    ),
    "retry": (
        r"wait\s?[,.!…—–-]|hold on|oops|scratch that|second thought|mistake|correction:|error|misread|misunderst"
        r"|miscalc|misinterp|apologi|right answer|start over|try again|correct (?:this|that|myself)"
        r"|re-?(?:check|calc|comp|eval|exam|cons|assess|inter|think|do|try|visit|work)"
    ),
}
"""Of each mark, something that every phrase of it holds (openers aside): what is looked for first."""
_ANY: Final = f"(?i){'|'.join(_FIRST.values())}"


def _joined(patterns: Iterable[str]) -> str:
    """One pattern of several; with ASCII words, which are all that phrases need, and many times as fast."""
    return f"(?i){'|'.join(patterns)}".replace(r"\b", r"(?-u:\b)").replace(r"\w", "[a-z0-9_]")


_KINDS: Final = {
    mark: {kind: _joined(patterns) for kind, patterns in kinds.items()}
    for mark, kinds in (("residue", RESIDUES), ("refusal", REFUSALS), ("hedge", HEDGES), ("retry", RETRIES))
}
_PATTERNS: Final = {mark: "|".join(f"(?:{pattern})" for pattern in kinds.values()) for mark, kinds in _KINDS.items()}
_OPENER: Final = _joined(OPENERS)
RESIDUE: Final = _PATTERNS["residue"]
"""Every kind of residue."""


@dataclass(frozen=True, slots=True)
class Talk:
    """Marks traces with talk that is no part of a solution.

    residue   Boolean  words of a prompt, a chat template or a helpful assistant: `Solution Path:`, `<|im_end|>`,
                       `Sure, here is`, `I hope this helps`
    refusal   Boolean  the model refuses, speaks of itself as a model, or says that it cannot be answered
    hedge     Boolean  talk of an answer that was known beforehand (given, provided, expected), or of a flaw in the task
    retry     Boolean  it takes something back and tries again: `Wait,`, `I made a mistake`, `let me recalculate`.
                       Reasoning models do that by nature

    All null where nothing was said. English phrases only.
    """

    name: ClassVar[str] = "talk"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = dict.fromkeys(_KINDS, pl.Boolean())
    source: ClassVar[str] = "our own phrases, from the traces released with arXiv 2502.18001 (its `leak` and `doubt`)"
    cost: ClassVar[str] = "400,000 rows/s of 300 characters on one core; Polars, 2 searches and the few hits"

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `talk.residue` and the rest."""
        return judged(traces, self, _judge)

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """The phrases that marks of a few traces come from, and what kind they are."""
        return spans_of(traces, trace_text(), _KINDS, f"{self.name}.")


def _judge(traces: pl.DataFrame) -> pl.DataFrame:
    text = traces.select(pl.when(trace_text().str.contains(r"\S")).then(trace_text())).to_series()
    seen = text.str.contains(_ANY)
    marks = {mark: where(seen, text, _phrases(mark)) for mark in _KINDS}
    return pl.DataFrame({**marks, "residue": marks["residue"] | text.str.contains(_OPENER)})


def _phrases(mark: str) -> Callable[[pl.Series], pl.Series]:
    """A judge that looks for the phrases of a mark."""
    first = f"(?i){_FIRST[mark]}"
    return lambda texts: where(texts.str.contains(first), texts, holds(_PATTERNS[mark]))
