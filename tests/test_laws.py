"""What every pass obeys; a new one is covered the day it is registered."""

from __future__ import annotations

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from builders.schema import TRACES
from curation.engine.marking import mark_frame, mark_whole
from curation.engine.marks import mark, marks_file
from curation.passes import PASSES, fingerprint, is_whole, make_pass, with_needs
from tests.corpora import corpus_of, messy_traces, trace


@pytest.fixture(scope="module")
def messy() -> pl.DataFrame:
    """Traces as no teacher should write them, with what passes read of each other."""
    traces = messy_traces()
    for need in sorted({column.split(".")[0] for kind in PASSES.values() for column in kind.reads if "." in column}):
        traces = traces.hstack(mark_frame(traces, make_pass(need)).drop("trace_id"))
    return traces


SLOW = {"perplexity": pytest.mark.vllm}


@pytest.fixture(params=[pytest.param(name, marks=SLOW.get(name, ())) for name in PASSES])
def made(request, tmp_path_factory):
    """Each pass with its default parameters; with what it cannot do without."""
    settings: dict = {}
    match request.param:
        case "decontaminate":
            bench = tmp_path_factory.mktemp("bench") / "bench.jsonl"
            bench.write_text("\n".join(json.dumps({"question": f"What is p{i}?", "answer": "1"}) for i in range(9)))
            settings = {"against": str(bench)}
        case "judge":
            settings = {"teacher": {"kind": "scripted", "responses": ["sound"]}}
        case "perplexity" | "semantic_trace" | "semantic_question":
            settings = {"model": str(request.getfixturevalue("tiny_llama"))}
    return make_pass(request.param, settings)


@pytest.fixture
def marked(tmp_path):
    """A function: trace_id and marks, whichever kind of pass it is."""

    def run(traces: pl.DataFrame, made) -> pl.DataFrame:
        if not is_whole(made):
            return mark_frame(traces, made)
        return mark_whole(traces.lazy(), traces.select("trace_id"), made, tmp_path / "kept")

    return run


def own(made) -> dict:
    return {"trace_id": pl.String(), **{f"{made.name}.{name}": kind for name, kind in made.marks.items()}}


def test_same_rows_same_order_only_its_own_columns(marked, made, messy):
    marks = marked(messy, made)
    assert marks["trace_id"].equals(messy["trace_id"])
    assert dict(marks.schema) == own(made)
    if not is_whole(made):
        given = messy.select(TRACES.names())
        assert_frame_equal(made.mark(given.lazy()).collect().select(given.columns), given)


def test_the_same_traces_get_the_same_marks(marked, made, messy):
    assert_frame_equal(marked(messy, made), marked(messy, made))


def test_order_and_neighbours_do_not_matter(marked, made, messy):
    whole = marked(messy, made)
    assert_frame_equal(marked(messy.reverse(), made).reverse(), whole)
    if not is_whole(made):
        assert_frame_equal(pl.concat(mark_frame(part, made) for part in messy.iter_slices(7)), whole)


def test_no_traces_no_marks(marked, made, messy):
    empty = marked(messy.clear(), made)
    assert (empty.height, dict(empty.schema)) == (0, own(made))


def test_rows_of_nothing_but_nulls_do_not_break_it(marked, made, messy):
    given = [column for column in made.reads if column != "trace_id"]
    nothing = messy.head(3).select("trace_id", *(pl.lit(None, messy.schema[c]).alias(c) for c in given))
    assert marked(nothing, made).height == 3


def test_the_name_is_the_key_and_the_fingerprint_is_stable(made):
    assert PASSES[made.name] is type(made)
    assert fingerprint(made) == fingerprint(made)


def test_on_disk_shards_do_not_matter_and_a_second_run_does_nothing(made, tmp_path):
    rows = [
        trace(f"p{i % 5}", f"{i} and {i} are {2 * i}. The answer is {12 + i % 2}", sample_index=i) for i in range(12)
    ]
    one, three = corpus_of(tmp_path / "one", rows), corpus_of(tmp_path / "three", rows[:5], rows[5:6], rows[6:])
    passes = with_needs([made])
    found = []
    for corpus in (one, three):
        mark(corpus, passes)
        found.append(pl.read_parquet([marks_file(corpus, made, shard) for shard in corpus.shards()]))
        again = mark(corpus, passes)
        assert (again.rows, sum(again.computed.values())) == (0, 0)
    assert_frame_equal(*found)
