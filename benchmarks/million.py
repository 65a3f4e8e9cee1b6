"""A corpus of any size made of real traces: the input of the curation benchmarks.

    python -m benchmarks.million DATA_DIR CORPUS [--rows 1000000]

DATA_DIR holds `svamp/` (the files released with arXiv 2502.18001) and `gsm8k/`. Its traces are imported as they are,
then repeated; in each repetition about one content word in three is exchanged for another, the same way in questions
and traces, so that repeated problems are other problems: lengths, layouts, numbers, answers and defects stay real.
Of the repeated traces one in twenty is a copy of another of its problem, and one in twenty a copy with one word more.
"""

from __future__ import annotations

import argparse
import tempfile
from hashlib import blake2b
from pathlib import Path

import polars as pl

from builders.corpus import Corpus
from builders.identity import problem_id
from builders.importing import Options, import_traces
from builders.schema import PROBLEMS, TRACES

SHARD = 16_384
"""Rows of a shard, as sampling writes them."""
KEPT_WORDS = 60
"""The most frequent words stay: they are grammar, and what answer lines are made of."""
EXCHANGED = 1_500
COPIES, NEAR = 20, 20
"""One repeated trace in so many is a copy, and one in so many a near copy."""


def base(data: Path, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The real problems and traces."""
    svamp, golds = data / "svamp", data / "svamp" / "SVAMP_only_ans.json"
    sources = {
        "gpt-4o": [*svamp.glob("SVAMP_ChatGPT_level*.json"), *svamp.glob("0_SVAMP_chatgpt_level*.json")],
        "gemini-1.5-flash": [*svamp.glob("SVAMP_gemini_level*.json")],
    }
    for teacher, files in sources.items():
        import_traces([*map(str, sorted(files))], folder, Options(teacher=teacher, answers=golds))
    for name in ("train", "test"):
        import_traces([str(data / "gsm8k" / f"{name}.jsonl")], folder, Options(teacher="human", split=name))
    corpus = Corpus(folder)
    return _with_gold(corpus.problems().collect(), corpus.traces().collect())


def _with_gold(problems: pl.DataFrame, traces: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """GSM8K's solutions end with `#### gold`; an import takes them for traces, whose gold is unknown."""
    stated = traces.select(
        "problem_id", gold_value=pl.col("response").str.extract(r"#### *(\S+)\s*$", 1).str.replace_all(",", "")
    ).drop_nulls()
    known = problems.join(
        stated.unique("problem_id"), on="problem_id", how="left", maintain_order="left", suffix="_said"
    )
    gold = pl.coalesce("gold_value", "gold_value_said")
    known = known.with_columns(gold=pl.coalesce("gold", gold), gold_value=gold, answer_type=pl.lit("number"))
    ids = [problem_id(*row) for row in known.select("question", "choices", "gold").iter_rows()]
    known = known.with_columns(old="problem_id", problem_id=pl.Series(ids))
    told = known.select("problem_id", "gold", "gold_value", "answer_type", "old")
    traces = traces.drop("gold", "gold_value", "answer_type").rename({"problem_id": "old"})
    traces = traces.join(told, on="old", maintain_order="left")
    return known.select(PROBLEMS.names()).unique("problem_id"), traces.select(TRACES.names())


def vocabulary(texts: pl.Series) -> list[str]:
    """Frequent lower-case words of four letters or more, the most frequent of all left out."""
    words = texts.str.extract_all(r"\b[a-z]{4,}\b").explode(empty_as_null=False).drop_nulls().value_counts(sort=True)
    return words.sort("count", words.columns[0], descending=[True, False])[:, 0][KEPT_WORDS:][:EXCHANGED].to_list()


def exchange(words: list[str], repetition: int) -> tuple[list[str], list[str]]:
    """Which words become which in one repetition: a third of them, each for another one."""
    chosen = [w for w in words if blake2b(f"{repetition}/{w}".encode(), digest_size=1).digest()[0] % 3 == 0]
    step = 1 + repetition * 7 % max(1, len(chosen) - 1)
    return [f" {w}" for w in chosen], [f" {chosen[(i + step) % len(chosen)]}" for i in range(len(chosen))]


def repeat(problems: pl.DataFrame, traces: pl.DataFrame, words: list[str], repetition: int) -> tuple[pl.DataFrame, ...]:
    """Problems and traces of one repetition, with ids of their own."""
    before, after = exchange(words, repetition)

    def other(column: str) -> pl.Expr:
        return pl.col(column).str.replace_many(before, after, leftmost=True)

    asked = problems.with_columns(other("question"))
    ids = [problem_id(q, c, g) for q, c, g in asked.select("question", "choices", "gold").iter_rows()]
    asked = asked.with_columns(problem_id=pl.Series(ids), old=problems["problem_id"])
    told = (
        traces.with_columns(other("response"), other("answer"), other("question"))
        .with_columns(place=pl.int_range(pl.len()))
        .with_columns(
            # Of another trace of the same problem, where there is one.
            pl.coalesce(
                pl.when(pl.col("place") % COPIES == 1).then(_before(c)),
                pl.when(pl.col("place") % NEAR == 2).then("Well, " + _before(c)),
                c,
            ).alias(c)
            for c in ("response", "answer")
        )
        .rename({"problem_id": "old"})
        .join(asked.select("old", "problem_id"), on="old", maintain_order="left")
    )
    told = told.with_columns(split=pl.lit("train"))  # other words, another problem: no longer held out
    keys = [blake2b(f"{repetition}/{key}".encode(), digest_size=16).hexdigest() for key in told["trace_id"]]
    return asked.unique("problem_id"), told.with_columns(trace_id=pl.Series(keys))


def _before(column: str) -> pl.Expr:
    return pl.col(column).shift(1).over("problem_id")


def write_corpus(data: Path, out: Path, rows: int) -> Corpus:
    """Write the corpus; `out` must not exist."""
    with tempfile.TemporaryDirectory() as folder:
        problems, traces = base(data, Path(folder) / "base")
    traces = traces.with_columns(
        completion_tokens=(pl.col("response").str.len_chars() / 4).cast(pl.Int32),
        gold_shown=pl.lit(False),
        sample_index=pl.int_range(pl.len()).over("problem_id", "teacher", "granularity", "format").cast(pl.Int32),
    ).sample(fraction=1, shuffle=True, seed=0)
    words = vocabulary(traces["response"])
    corpus = Corpus.create(out)
    (out / "traces").mkdir()
    number, held, waiting = 0, 0, pl.DataFrame(schema=TRACES)
    for repetition in range(rows):
        asked, told = (problems, traces) if not repetition else repeat(problems, traces, words, repetition)
        told = told.head(rows - held).select(TRACES.names()).cast(dict(TRACES))
        corpus.add_problems(asked.join(told, on="problem_id", how="semi").select(PROBLEMS.names()))
        held += told.height
        waiting = pl.concat([waiting, told])
        while waiting.height >= SHARD or (held == rows and waiting.height):
            waiting.head(SHARD).write_parquet(out / "traces" / f"part-{number:06d}.parquet")
            number, waiting = number + 1, waiting.slice(SHARD)
        if held == rows:
            break
    return corpus


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("out", type=Path, metavar="CORPUS")
    parser.add_argument("--rows", type=int, default=1_000_000)
    said = parser.parse_args()
    corpus = write_corpus(said.data, said.out, said.rows)
    print(f"{corpus.path}: {said.rows:,} traces in {len(corpus.shards())} shards")


if __name__ == "__main__":
    main()
