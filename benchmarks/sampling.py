"""What `cotmill sample` costs on top of vLLM itself.

The same prompts, per-request seeds and engine arguments: once through `cotmill sample`, with its plan,
verification and durable writes, and once through `vllm.LLM.chat` with everything handed over at once.
Each run is a process of its own, rounds are interleaved, and both clocks start when the engine is
ready and stop with the last answer. Prompts share exemplars, so prefix caching counts for both.

Target: 0.97 of the tokens per second of `LLM.chat`.
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
name: sampling
problems: {{source: words, count: {problems}, largest: 12}}
teacher: {{kind: vllm, model: {model}, temperature: 0.7, max_tokens: 64}}
sample: {{levels: [1, 2, 3], n: 4}}
"""


def run(command: list[str]) -> dict[str, Any]:
    """The JSON object that a command prints last."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=user_environment())
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def bare(recipe: str) -> None:
    """`LLM.chat` over the plan of a recipe; prints tokens and seconds."""
    import os

    from vllm import LLM, SamplingParams

    from builders.identity import row_seed
    from builders.teachers.smollm2 import resolve_model
    from builders.teachers.vllm import engine_defaults, environment_defaults
    from cotmill.recipe import load_recipe
    from cotmill.sampling import make_plan

    for name, value in environment_defaults().items():
        os.environ.setdefault(name, value)
    planned = make_plan(load_recipe(recipe))
    config, teacher = planned.teachers[0]
    rows = planned.problems.to_dicts()
    arms = planned.arms
    asked, params = [], []
    for trace_id, problem, arm, _ in planned.requests.iter_rows():
        row = rows[problem]
        asked.append(arms[arm].prompt.messages(row["question"], row["choices"]))
        params.append(
            SamplingParams(
                temperature=config.temperature,
                top_p=config.top_p,
                top_k=config.top_k,
                max_tokens=config.max_tokens,
                seed=row_seed(trace_id),
            )
        )
    model = resolve_model(teacher.settings.model)  # type: ignore[attr-defined]  # the recipe says vllm
    llm = LLM(model, **engine_defaults(8192))
    start = time.perf_counter()
    answers = llm.chat(asked, params, use_tqdm=False)
    seconds = time.perf_counter() - start
    tokens = sum(len(answer.outputs[0].token_ids) for answer in answers)
    print(json.dumps({"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--problems", type=int, default=40, help="each is asked at 3 levels, 4 times")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bare", metavar="RECIPE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bare)
        return
    rates: dict[str, list[float]] = {"cotmill": [], "vllm": []}
    with tempfile.TemporaryDirectory() as name:
        recipe = Path(name) / "sampling.yaml"
        recipe.write_text(RECIPE.format(problems=options.problems, model=options.model))
        cotmill = [str(Path(sys.executable).parent / "cotmill"), "sample", str(recipe), "--json", "--out"]
        for i in range(options.repeats):
            ours = run([*cotmill, str(Path(name) / f"corpus-{i}")])
            theirs = run([sys.executable, "-m", "benchmarks.sampling", "--bare", str(recipe)])
            rates["cotmill"].append(ours["tokens_per_s"])
            rates["vllm"].append(theirs["tokens_per_s"])
    shares = [a / b for a, b in zip(rates["cotmill"], rates["vllm"], strict=True)]
    ratio = summary(shares)
    print(
        f"{12 * options.problems} requests: cotmill {summary(rates['cotmill'])['median']:,.0f}, "
        f"LLM.chat {summary(rates['vllm'])['median']:,.0f} tokens/s; ratio {ratio['median']:.3f}"
    )
    rows = {name: summary(values) for name, values in rates.items()}
    finish(
        "sampling", {"requests": 12 * options.problems, "model": options.model, "tokens_per_s": rows, "ratio": ratio}
    )


if __name__ == "__main__":
    main()
