"""What a recipe can say about problems, teachers and sampling. Attribute docstrings are the manual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from builders.schema import AnswerType


class Config(BaseModel):
    """Base of every section of a recipe: unknown keys are errors, values never change.

    The string below a field is its description. It is read when a schema is asked for
    (`cotmill.recipe.recipe_schema`): pydantic would parse every class's source at import.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class WordsSource(Config):
    """Built-in one-step word problems with numbers below 100: no download, any count, gold known."""

    source: Literal["words"]
    count: int = Field(100, ge=1)
    """How many problems."""
    seed: int = 0
    """Another seed gives other problems."""
    operations: list[Literal["add", "subtract", "multiply", "divide"]] = [
        "add",
        "subtract",
        "multiply",
        "divide",
    ]
    """Kinds of problem, in equal shares."""
    largest: int = Field(20, ge=4, le=99)
    """Largest number in a question."""
    split: str = "train"
    """Name written into the `split` column."""


class ArithmeticSource(Config):
    """Built-in chains of operations with exact solutions at six levels of granularity, for studies without a model."""

    source: Literal["arithmetic"]
    count: int = Field(100, ge=1)
    """How many problems."""
    seed: int = 0
    """Another seed gives other problems."""
    steps: int = Field(3, ge=1, le=8)
    """Operations in a chain; one of them is a product."""
    largest: int = Field(99, ge=9, le=999)
    """Largest number in a question; results may be ten times as large."""
    skip: int = Field(0, ge=0)
    """Leave out so many of the first problems: with the same seed, problems that are not those to train on."""
    split: str = "train"
    """Name written into the `split` column."""


class GymSource(Config):
    """A reasoning-gym generator (`pip install 'cotmill[gym]'`)."""

    source: Literal["gym"]
    dataset: str
    """Name of the generator, for example `chain_sum`."""
    count: int = Field(100, ge=1)
    """How many problems."""
    seed: int = 0
    """Another seed gives other problems."""
    config: dict[str, Any] = {}
    """The generator's own settings."""
    answer_type: AnswerType | None = None
    """How answers are compared; guessed from the gold answers when absent."""
    split: str = "train"
    """Name written into the `split` column."""


class ColumnMap(Config):
    """Which column of a source holds what. A dotted name reaches into a struct (`question.stem`)."""

    question: str = "question"
    """The question text."""
    gold: str | None = "answer"
    """The gold answer; null when there is none."""
    choices: str | None = None
    """A list of texts, or a struct or list of structs with `label` and `text`."""
    context: str | None = None
    """Text put before the question (SVAMP's `Body`)."""


class FileSource(Config):
    """Problems in JSON (an array), JSONL, CSV or Parquet files."""

    source: Literal["file"]
    path: list[Path]
    """Files; one path or a list. Globs are expanded."""
    columns: ColumnMap = ColumnMap()
    """Which column holds what."""
    answer_type: AnswerType | None = None
    """How answers are compared; guessed from the gold answers when absent."""
    name: str | None = None
    """Written into the `source` column; default: the file's stem."""
    split: str = "train"
    """Name written into the `split` column."""
    limit: int | None = Field(None, ge=1)
    """Read at most so many problems."""

    @model_validator(mode="before")
    @classmethod
    def _one_path_is_a_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("path"), str | Path):
            return {**data, "path": [data["path"]]}
        return data


class HubSource(Config):
    """A dataset of the Hugging Face Hub."""

    source: Literal["hub"]
    repo: str
    """`owner/name`."""
    config: str | None = None
    """Dataset configuration."""
    split: str = "train"
    """Split to read; also written into the `split` column."""
    revision: str | None = None
    """Commit, branch or tag."""
    columns: ColumnMap = ColumnMap()
    """Which column holds what."""
    answer_type: AnswerType | None = None
    """How answers are compared; guessed from the gold answers when absent."""
    limit: int | None = Field(None, ge=1)
    """Read at most so many problems."""


class PresetSource(Config):
    """A dataset of the paper under its short name; `cotmill check` lists them."""

    source: Literal["preset"]
    name: str
    """gsm8k, svamp, aqua_rat, math, commonsense_qa, openbook_qa or strategy_qa."""
    split: Literal["train", "test"] = "train"
    """Which split."""
    limit: int | None = Field(None, ge=1)
    """Read at most so many problems."""


ProblemSource = Annotated[
    WordsSource | ArithmeticSource | GymSource | FileSource | HubSource | PresetSource, Field(discriminator="source")
]


class Sampling(Config):
    """How a teacher samples. All of it is part of a trace's identity."""

    temperature: float = Field(0.7, ge=0, le=2)
    """0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus."""
    top_k: int = Field(0, ge=0)
    """0: off."""
    max_tokens: int = Field(512, ge=1)
    """Longest response, in tokens. A response that reaches it counts as truncated."""
    stop: list[str] = []
    """Strings that end a response."""


Levels = list[Annotated[int, Field(ge=1, le=6)] | None]


class TeacherConfig(Sampling):
    """What every kind of teacher has."""

    name: str | None = None
    """Written into the `teacher` column; default: the model's name."""
    system: str | None = None
    """System prompt; null: none is sent, and the chat template may add its own."""
    levels: Levels | None = None
    """Levels that this teacher is asked for; null: those of `sample`."""
    formats: list[str] | None = None
    """Formats that it is asked for; null: those of `sample`."""


class VllmTeacher(TeacherConfig):
    """vLLM in this process."""

    kind: Literal["vllm"]
    model: str
    """`smollm2-135m` (embedded, no download), a Hub id or a directory."""
    revision: str | None = None
    """Commit of a Hub model; default: what `main` is when planned."""
    chat_template: str | None = None
    """`auto` when null: the tokenizer's, or `plain` for a base model. Else a name or Jinja text."""
    engine: dict[str, Any] = {}
    """Any field of vLLM's EngineArgs (`max_model_len`, `tensor_parallel_size`, `quantization` ...)."""
    window: int = Field(256, ge=1)
    """Requests handed to the engine at once."""
    logprobs: bool = False
    """Fill `mean_logprob`. On a CPU it costs a third of the speed or more."""


class ServerTeacher(TeacherConfig):
    """An OpenAI-compatible server: vllm serve, SGLang, llama.cpp, a hosted API."""

    kind: Literal["server"]
    model: str
    """The name the server knows."""
    base_url: str = "http://localhost:8000/v1"
    """Where it listens. Not part of identity: the same model may move."""
    revision: str | None = None
    """Part of identity; say it when the name alone does not fix the weights."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable with the key; the key itself is never written anywhere."""
    concurrency: int = Field(64, ge=1)
    """Most requests in flight. The client starts lower and adapts."""
    timeout: float = Field(600, gt=0)
    """Seconds until a request counts as hung."""
    retries: int = Field(5, ge=0)
    """Further tries after 429, 5xx, a hang or a broken connection."""
    extra_body: dict[str, Any] = {}
    """Sent with every request, and part of identity."""


class FileTeacher(TeacherConfig):
    """Traces someone else wrote, matched to problems by question."""

    kind: Literal["file"]
    path: list[Path]
    """JSON, JSONL, CSV or Parquet files; one path or a list."""
    question: str = "question"
    """Column with the question; when neither is named, any layout that `cotmill import` knows is recognised."""
    response: str = "response"
    """Column with the trace."""

    @model_validator(mode="before")
    @classmethod
    def _one_path_is_a_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("path"), str | Path):
            return {**data, "path": [data["path"]]}
        return data


class ScriptedTeacher(TeacherConfig):
    """Says what it is told; for tests and dry runs, with no model at all."""

    kind: Literal["scripted"]
    accuracy: float = Field(0.7, ge=0, le=1)
    """Share of traces that end in the gold answer."""
    responses: list[str] = []
    """Said in turn, by sample index, instead of made-up traces. `{question}` and `{gold}` are filled in."""
    delay: float = Field(0, ge=0)
    """Seconds until each answer."""


class ReferenceTeacher(TeacherConfig):
    """What the source says itself: its gold answer, behind its own rationale where it has one. No model."""

    kind: Literal["reference"]
    rationale: str | None = None
    """Column of the source with the rationale, kept in a problem's `meta`; `gold`: the gold column is a worked
    solution, up to its `####`. Null: the answer alone."""
    repo: str | None = None
    """A dataset of the Hub that holds the rationales instead, matched by question."""
    question: str = "question"
    """Its column with the question."""
    split: str = "train"
    """Its split; `train+test` reads both."""
    revision: str | None = None
    """Its commit, branch or tag."""
    levels: Levels | None = [None]
    """A rationale is as it is: no level unless you say one."""
    formats: list[str] | None = ["original"]
    """Likewise."""


AnyTeacher = Annotated[
    VllmTeacher | ServerTeacher | FileTeacher | ScriptedTeacher | ReferenceTeacher, Field(discriminator="kind")
]


class Until(Config):
    """Stop asking about a problem once enough of its traces verify."""

    verified: int = Field(ge=1)
    """So many correct traces per problem, teacher, level and format."""


class SampleConfig(Config):
    """How much to ask, and in which forms."""

    levels: Levels = [None]
    """Granularity levels, 1 coarsest to 6 finest; null asks without one."""
    formats: list[str] = ["original"]
    """CoT formats."""
    ask: Literal["each", "joint"] = "each"
    """A call for each level, or one structured call for all of them."""
    gold: Literal["hidden", "shown", "retry"] = "hidden"
    """Whether the teacher is told the gold answer: never, always, or in a second try where the first is not correct."""
    n: int = Field(1, ge=1)
    """Samples per problem, teacher, level and format; with `until`, the most."""
    until: Until | None = None
    """Stop rule: until k verified, at most n."""
    specs: Path | None = None
    """A file of your own levels, formats and families, beside or in place of the ones that ship."""
    flush_rows: int = Field(64, ge=1)
    """A kill loses at most so many finished traces ..."""
    flush_seconds: float = Field(5, gt=0)
    """... or those finished in so many seconds, whichever is less."""

    @model_validator(mode="after")
    def _can_be_joint(self) -> SampleConfig:
        if self.ask == "joint" and None in self.levels:
            raise ValueError("ask: joint asks for levels by number, and levels holds null; name levels, or ask: each")
        if self.ask == "joint" and self.until:
            raise ValueError(
                "until: one joint call answers for all levels, so it cannot stop at one of them; ask: each, or no until"
            )
        return self
