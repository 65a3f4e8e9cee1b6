"""From traces to marks, answers and datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotmill.api.recipes import read_recipe

if TYPE_CHECKING:
    from cotmill.recipe import Recipe


def mark(
    corpus: str | Path,
    passes: Sequence[str | Mapping[str, Any]] = (),
    *,
    recipe: str | Path | Recipe | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Make the marks that are missing.

    Args:
        corpus: gets marks, nothing else.
        passes: as a recipe writes them: `verify`, `near_trace:threshold=0.7`, `{"sql": {...}}`.
        recipe: its `curate.passes` besides.
        overrides: of the recipe.

    Returns:
        The fields of `curation.engine.marks.MarkReport`: rows, shards, computed, reused, seconds, failed, failures.

    Raises:
        CotmillError: no pass is named, or one is wrong; see `curation.passes.parse_pass`.
    """
    from builders.corpus import Corpus
    from builders.errors import CotmillError
    from cotmill.display import bar
    from curation.engine.marks import mark as make_marks
    from curation.passes import parse_pass

    made = [parse_pass(said) for said in passes]
    if recipe is not None:
        made += read_recipe(recipe, overrides).curate.made_passes()
    if not made:
        raise CotmillError("say what to mark with: --pass NAME, or --recipe RECIPE. What there is: cotmill passes")
    with bar("marking") as watch:
        return asdict(make_marks(Corpus(corpus), made, watch=watch))


def passes() -> list[dict[str, Any]]:
    """Every pass that can be named, with parameters, marks, source and cost."""
    from cotmill.showing import listing

    return listing()


def show(corpus: str | Path, said: str, *, where: str | None = None, limit: int = 5) -> dict[str, Any]:
    """What a pass marked, with the words that made the marks; see `cotmill.showing.show`."""
    from builders.corpus import Corpus
    from cotmill.showing import show as look
    from curation.passes import parse_pass

    return look(Corpus(corpus), parse_pass(said), where=where, limit=limit)


def verify(corpus: str | Path, *, audit: bool = False, sample: int = 1_000) -> dict[str, Any]:
    """Verify every trace against its gold answer, or check the checker itself.

    Args:
        corpus: gets the marks of `verify`, unless audited.
        audit: instead, hold every gold answer against itself, and both tiers of verification against each other on a
            sample of traces.
        sample: how many traces.

    Returns:
        rows, and arms: per teacher, level and format how many traces have which verdict. Of an audit: see
        `curation.verification.audit.audit`.
    """
    from builders.corpus import Corpus

    if audit:
        from curation.verification.audit import audit as check

        return check(Corpus(corpus), sample=sample)
    from cotmill.display import bar
    from curation.engine.marks import beside
    from curation.engine.marks import mark as make_marks
    from curation.verification.verify import Verify

    held, made, keys = Corpus(corpus), Verify(), ["teacher", "granularity", "format"]
    with bar("marking") as watch:
        report = make_marks(held, [made], watch=watch)
    rows = beside(held, held.shards(), [*keys, "verify.verdict"], [made]) if held.shards() else None
    arms = rows.group_by(*keys, "verify.verdict").len().sort(keys).collect() if rows is not None else None
    return {
        "rows": sum(arms["len"]) if arms is not None else 0,
        "failed": report.failed,
        "arms": arms.pivot("verify.verdict", index=keys, values="len").to_dicts() if arms is not None else [],
    }


def curate(
    corpus: str | Path,
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    after: str | Path | None = None,
) -> dict[str, Any]:
    """Mark every trace, then write kept rows, removed rows and a card.

    Args:
        corpus: gets marks, nothing else.
        recipe: its `curate` section decides.
        out: directory of the dataset.
        overrides: of the recipe.
        overwrite: replace another dataset at `out`; one of the same name is the version before.
        after: the version before, a directory or `hf://datasets/USER/NAME[@REVISION]`: its rows keep their places,
            so that publishing sends little more than what is new.

    Returns:
        The fields of `curation.packaging.dataset.DatasetReport`: dataset, rows, kept, removed, splits ...
    """
    from builders.corpus import Corpus
    from cotmill.recipe import as_mapping
    from curation.packaging.dataset import write_dataset

    loaded = read_recipe(recipe, overrides)
    lineage = {"recipe": as_mapping(loaded)}
    report = write_dataset(
        Corpus(corpus),
        loaded.curate,
        out,
        name=loaded.name,
        lineage=lineage,
        overwrite=overwrite,
        after=after,
        pictures=True,
    )
    return asdict(report)


def report(
    corpus: str | Path, out: str | Path, *, where: str | None = None, prices: Sequence[str] = ()
) -> dict[str, Any]:
    """Compare the teachers of a corpus, level by level and format by format, in `out/report.md`.

    Args:
        corpus: gets the marks that are missing, nothing else.
        out: a directory; what an earlier report left there is replaced.
        where: SQL over trace columns and marks: only these traces, as in `curate.keep`.
        prices: `TEACHER=IN,OUT`, prices of a million prompt and of a million completion tokens.

    Returns:
        corpus, where, rows, problems, report, figures, arms (one mapping for each teacher, level and format).
    """
    from cotmill.comparison import read_prices, write_report

    return write_report(Path(corpus), Path(out), where=where, prices=read_prices(prices))


def sql(
    directory: str | Path,
    query: str,
    *,
    format: str = "table",
    out: str | Path | None = None,
    allow_files: bool = False,
) -> str:
    """Run a DuckDB query over a corpus, a dataset or a run, here or at a URL (`hf://datasets/USER/NAME@REVISION`).

    Returns:
        The rows as text in `format` (table, csv or json); empty when they went to `out`.
    """
    from curation.asking.sql import query as run_query

    return run_query(directory, query, format=format, out=Path(out) if out else None, allow_files=allow_files)
