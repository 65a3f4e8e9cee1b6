"""Conversions without a model: what each one does to a column of traces, and when it gives up on one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from builders.errors import SourceError
from builders.identity import arm_id, digest
from builders.spec import Band, Converting, LevelSpec, Specs
from curation.convert import layouts, merge, padding, split
from curation.convert.anatomy import Anatomy, NoChild, dissect, sizes
from curation.convert.guards import answers


@dataclass(frozen=True)
class Free:
    """One conversion without a model: `merge` or `split` to a level, a layout, or padding."""

    how: str
    """`merge`, `split`, `layout:<name>` or `padding`: what `corpus.json` records."""
    ask: str
    """The last turn of a child's `messages`."""
    version: int
    level: int | None = None
    """Granularity of the children; None: their source's. Of padding, the level whose length is aimed at."""
    format: str | None = None
    """Format of the children; None: their source's."""
    steps: tuple[int, int] | None = None
    filler: tuple[str, ...] = ()

    def identity(self) -> Mapping[str, Any]:
        """All that decides what a child says, beside its source."""
        said: dict[str, Any] = {"kind": "conversion", "how": self.how, "version": self.version}
        if self.level is not None:
            said["level"] = self.level
        if self.steps is not None:
            said["steps"] = list(self.steps)
        if self.filler:
            said["filler"] = digest(list(self.filler))
        return said

    def arm(self) -> tuple[str, dict[str, Any]]:
        """Id of the arm of its children, and what `corpus.json` keeps about it."""
        identity, prompt = dict(self.identity()), {"rewrite": self.ask}
        key = arm_id(identity, prompt, {}, 0)
        described = {"teacher": self.how, "identity": identity, "prompt": prompt, "sampling": {}, "seed": 0}
        return key, described

    def params(self, words: int | None) -> str:
        """The `params` column of a child: how it was made, and the band it promises."""
        band: dict[str, Any] = {}
        if self.steps is not None:
            band["steps"] = list(self.steps)
        if words is not None:
            band["words"] = [words - padding.SLACK, words + padding.SLACK]
        return orjson.dumps({"convert": {"how": self.how, "version": self.version, "band": band}}).decode()

    def texts(self, sources: pl.DataFrame) -> pl.DataFrame:
        """Converted traces.

        Args:
            sources: [traces] with text, choices, answer_type and, for padding, words (what to aim at) and seed.

        Returns:
            text, reason: String [traces]. One of the two is null: `reason` says why there is no child.
        """
        found = answers(sources["text"], sources)
        made = self._apply(sources, sources["text"], found)
        after = answers(made["text"], sources)
        changed = made["text"].is_not_null() & ~after.eq_missing(found)
        reasons = {"the answer would change": changed}
        measured = sizes(made["text"])
        if self.steps is not None:
            reasons["the steps do not join" if self.how == "merge" else "the steps do not part"] = ~measured[
                "steps"
            ].is_between(*self.steps)
            before = sizes(sources["text"])["steps"]
            grown = measured["steps"] - before
            reasons["the wrong way"] = (grown > 0) if self.how == "merge" else (grown < 0)
        if self.how.startswith("layout:"):
            same = made["text"].str.strip_chars() == sources["text"].str.strip_chars()
            again = self._apply(sources.with_columns(made["text"]), made["text"], found)
            settled = (again["text"] == made["text"]) | (again["reason"] == "laid out so already").fill_null(False)
            reasons = {"laid out so already": same, **reasons, "does not settle": ~settled.fill_null(True)}
        verdict = pl.coalesce(
            "reason", *(pl.when(pl.lit(mask.fill_null(False))).then(pl.lit(why)) for why, mask in reasons.items())
        )
        return made.with_columns(verdict.alias("reason")).with_columns(
            pl.when(pl.col("reason").is_null()).then("text").alias("text")
        )

    def _apply(self, sources: pl.DataFrame, texts: pl.Series, found: pl.Series) -> pl.DataFrame:
        """One pass over the rows, before anything is checked."""
        out: list[str | None] = []
        reasons: list[str | None] = []
        targets = sources["words"].to_list() if "words" in sources.columns else [None] * sources.height
        seeds = sources["seed"].to_list() if "seed" in sources.columns else [""] * sources.height
        for trace, answer, words, seed in zip(dissect(texts), found, targets, seeds, strict=True):
            text, reason = None, None
            try:
                if trace is None:
                    raise NoChild("no text")
                text = self._one(trace, answer, words, seed).write()
            except NoChild as why:
                reason = str(why)
            out.append(text)
            reasons.append(reason)
        return pl.DataFrame({"text": out, "reason": reasons}, schema={"text": pl.String, "reason": pl.String})

    def _one(self, trace: Anatomy, answer: str | None, words: int | None, seed: str) -> Anatomy:
        if self.how == "padding":
            assert words is not None
            return padding.pad(trace, words, self.filler, seed)
        if self.steps is not None:
            return (merge.merge if self.how == "merge" else split.split)(trace, *self.steps)
        return layouts.LAYOUTS[self.how.removeprefix("layout:")](trace, answer)


def to_level(specs: Specs, how: str, level: int) -> Free:
    """`merge` or `split` to the band of a level.

    Raises:
        SourceError: the level has no band.
    """
    band, version = band_of(specs, level), merge.VERSION if how == "merge" else split.VERSION
    return Free(how, words_of(specs).plain[how], version, level=level, steps=band.steps)


def to_layout(specs: Specs, name: str) -> Free:
    """One of the layouts."""
    return Free(f"layout:{name}", words_of(specs).plain[name], layouts.VERSION, format=name)


def to_length(specs: Specs, level: int) -> Free:
    """Padding to the length of a level."""
    words = words_of(specs)
    return Free(
        "padding", words.plain["padded"], padding.VERSION, level=level, format="padded", filler=tuple(words.filler)
    )


def band_of(specs: Specs, level: int) -> Band:
    """The band of a level.

    Raises:
        SourceError: there is no such level, or it has no band.
    """
    spec: LevelSpec | None = next((one for one in specs.levels if one.level == level), None)
    if spec is None or spec.band is None:
        known = ", ".join(str(one.level) for one in specs.levels if one.band)
        raise SourceError(f"Level {level} has no band of steps and words to convert to; levels that have one: {known}.")
    return spec.band


def words_of(specs: Specs) -> Converting:
    """The section `convert`."""
    if specs.convert is None:
        raise SourceError("The specs lack the section `convert`: the words for conversions.")
    return specs.convert
