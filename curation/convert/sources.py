"""Which traces are converted: a condition in SQL over trace columns and marks."""

from __future__ import annotations

import re

import polars as pl

from builders.corpus import Corpus
from builders.errors import CorpusError, CotmillError
from curation.decide.select import brief, check_condition, marked, wall_in
from curation.engine.marks import mark, marks_file
from curation.passes import PASSES, make_pass


def chosen(corpus: Corpus, where: str | None) -> pl.Series:
    """String: ids of the traces for which `where` is true; without a condition all, converted ones left out.

    Converted traces are sources only where the condition names `parent_id`: a second run would else convert what the
    first one made. Passes that the condition names are run first, with their default parameters.

    Raises:
        CorpusError: there are no traces.
        CotmillError: the condition is no SQL, names what is not there, or is not true or false.
    """
    shards = corpus.shards()
    if not shards:
        raise CorpusError(
            f"{corpus.path} holds no traces to convert.\nSample some: cotmill sample RECIPE --out {corpus.path}"
        )
    sampled = pl.col("parent_id").is_null()
    if where is None:
        return corpus.traces().filter(sampled).select("trace_id").collect().to_series()
    import duckdb

    passes = [make_pass(name) for name in PASSES if re.search(rf"\b{name}\s*\.", where)]
    mark(corpus, passes)
    files = {made.name: [marks_file(corpus, made, shard) for shard in shards] for made in passes}
    with duckdb.connect(":memory:") as connection:
        wall_in(connection, [*shards, *(file for some in files.values() for file in some)])
        connection.execute(f"create view traces as {marked(shards, passes, files)}")
        check_condition(connection, where, passes, "where")
        try:
            found = connection.sql(f"select trace_id, parent_id from traces where ({where}\n)").pl()
        except duckdb.Error as error:
            raise CotmillError(f"where: {brief(error)}\nNothing was written.") from None
    if not re.search(r"\bparent_id\b", where):
        found = found.filter(sampled)
    ids: pl.Series = found["trace_id"].cast(pl.String)
    return ids
