"""What `cotmill evaluate` costs on top of vLLM itself.

The same prompts, greedy settings and engine arguments: once through `cotmill evaluate`, with its journal, and once
through `vllm.LLM.chat` with everything handed over at once. Each run is a process of its own, rounds are interleaved,
and both clocks start when the engine is ready and stop with the last answer. Judging and writing results come after
that; they are timed apart, as `judging_s`. The answers of both are compared, too.

Target: 0.95 of the problems per second of `LLM.chat`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import finish, summary, user_environment

RECIPE = """
name: evaluating
evaluate:
  max_tokens: {tokens}
  problems: {{source: words, count: {problems}, largest: 12, seed: 2, split: test}}
"""


def run(command: list[str]) -> dict[str, Any]:
    """The JSON object that a command prints last."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=user_environment())
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def bare(recipe: str, model: str) -> None:
    """`LLM.chat` over the problems of a recipe; prints seconds and answers."""
    import os

    from vllm import LLM, SamplingParams

    from builders.problems import load_all
    from builders.teachers.smollm2 import resolve_model
    from builders.teachers.vllm import engine_defaults, environment_defaults
    from cotmill.recipe import load_recipe
    from training.evaluate import messages

    for name, value in environment_defaults().items():
        os.environ.setdefault(name, value)
    config = load_recipe(recipe).evaluate
    assert config is not None
    rows = load_all(config.problems).problems.iter_rows(named=True)
    asked = [messages(config, row["question"], row["choices"]) for row in rows]
    llm = LLM(resolve_model(model), **engine_defaults(8192))
    start = time.perf_counter()
    answers = llm.chat(asked, SamplingParams(temperature=0, max_tokens=config.max_tokens), use_tqdm=False)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "answers": [answer.outputs[0].text for answer in answers]}))


def ours(recipe: Path, model: str, out: Path) -> dict[str, Any]:
    """Seconds and answers of `cotmill evaluate`, and how long judging and writing took."""
    import polars as pl

    from cotmill.recipe import load_recipe
    from training.evaluation.figures import judge, per_problem, summarise

    command = [str(Path(sys.executable).parent / "cotmill"), "evaluate", model, "--recipe", str(recipe)]
    report = run([*command, "--json", "--out", str(out)])
    results = pl.read_parquet(out / "results.parquet")
    config = load_recipe(recipe).evaluate
    assert config is not None
    start = time.perf_counter()
    again = judge(results.drop("verdict", "value").with_columns(sample_index=pl.lit(0)), config)
    summarise(again)
    per_problem(again)
    judging = time.perf_counter() - start
    return {"seconds": report["seconds"], "answers": results["response"].to_list(), "judging": judging}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bare", metavar="RECIPE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bare, options.model)
        return
    rates: dict[str, list[float]] = {"cotmill": [], "vllm": []}
    judging, alike = [], []
    with tempfile.TemporaryDirectory() as name:
        recipe = Path(name) / "evaluating.yaml"
        recipe.write_text(RECIPE.format(problems=options.problems, tokens=options.tokens))
        for i in range(options.repeats):
            mine = ours(recipe, options.model, Path(name) / f"out-{i}")
            command = [sys.executable, "-m", "benchmarks.evaluate", "--model", options.model, "--bare", str(recipe)]
            theirs = run(command)
            rates["cotmill"].append(options.problems / mine["seconds"])
            rates["vllm"].append(options.problems / theirs["seconds"])
            judging.append(mine["judging"])
            alike.append(sum(a == b for a, b in zip(mine["answers"], theirs["answers"], strict=True)))
    ratio = summary([a / b for a, b in zip(rates["cotmill"], rates["vllm"], strict=True)])
    print(
        f"{options.problems} problems: cotmill {summary(rates['cotmill'])['median']:,.2f}, "
        f"LLM.chat {summary(rates['vllm'])['median']:,.2f} problems/s; ratio {ratio['median']:.3f}; "
        f"identical answers: {min(alike)} of {options.problems}"
    )
    rows = {name: summary(values) for name, values in rates.items()}
    result = {"problems": options.problems, "model": options.model, "problems_per_s": rows, "ratio": ratio}
    finish("evaluate", {**result, "identical_answers": min(alike), "judging_s": summary(judging)})


if __name__ == "__main__":
    main()
