"""What a recipe can say about training and evaluation. Attribute docstrings are the manual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from builders.config import Config
from builders.teachers.smollm2 import EMBEDDED
from training.objectives import parse
from training.trl_fields import faults

if TYPE_CHECKING:
    from training.objectives import Objective


class LoraSection(Config):
    """Train a low-rank adapter instead of all weights (Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(16, ge=1)
    """Rank of the update."""
    alpha: int = Field(32, ge=1)
    """The update is scaled by alpha / r."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """Layers that get an adapter, by name or the end of a name; `all-linear`: all but the output layer."""
    bits: Literal[4, 8] | None = None
    """Hold the frozen weights in so many bits (QLoRA, Dettmers et al. 2023, arXiv:2305.14314); needs bitsandbytes."""
    peft: dict[str, Any] = {}
    """Any further field of peft.LoraConfig (`use_dora`, `use_rslora`, `modules_to_save` ...)."""


Waivable = Literal[
    "refused", "reasoning", "think", "changed", "tokenizer", "truncated", "masked", "end", "prompt", "packing"
]


class TrainConfig(Config):
    """How a student is taught: one of TRL's trainers, loss on the completion only."""

    student: str = EMBEDDED
    """`smollm2-135m` (embedded, no download), a Hub id or a directory."""
    revision: str | None = None
    """Commit of a Hub model."""
    chat_template: str | None = None
    """`auto` when null: the tokenizer's, or `plain` for a base model. Else a name or Jinja text."""
    seed: int = 0
    """Order of the rows, dropout, and the start of an adapter."""
    dataset: str | None = None
    """What `cotmill train RECIPE` trains on: a directory, a Parquet file, or `USER/NAME` on the Hub, with `@REVISION`.
    `cotmill run` trains on the dataset that it made."""
    limit: int | None = Field(None, ge=1)
    """Train on at most so many rows, the first of the split."""
    split: str = "train"
    """Which split of the dataset."""
    objective: str | dict[str, dict[str, Any] | None] = "sft"
    """What is learnt: `sft`, `masked_thought`, `chunk_wise`, `weighted`, `answer_only`, `padding`, `dpo` or `distill`,
    by name or with parameters, as in `{masked_thought: {rate: 0.2}}`."""
    allow: list[Waivable] = []
    """Faults that do not stop the training: the rows that have them are left out. With `prompt` and `packing`
    they are trained on as they are."""
    lora: LoraSection | None = None
    """Train an adapter; null: all weights."""
    checkpoint_minutes: float = Field(5, gt=0)
    """A kill loses at most so many minutes; `sft.save_strategy` overrides it."""
    sft: dict[str, Any] = {}
    """Any field of trl.SFTConfig (`num_train_epochs`, `learning_rate`, `packing`, `bf16`, `report_to` ...); with the
    objective `distill` also those of trl's GKDConfig (`beta`, `lmbda`, `temperature` ...)."""
    dpo: dict[str, Any] = {}
    """Any field of trl.DPOConfig (`beta`, `loss_type`, `learning_rate` ...), for the objective `dpo`."""

    @model_validator(mode="after")
    def _trl_fields_exist(self) -> TrainConfig:
        trainer = self.goal.trainer
        section, other = ("dpo", "sft") if trainer == "dpo" else ("sft", "dpo")
        if getattr(self, other):
            raise ValueError(f"{other}: not read with the objective {self.goal.name}; its fields are in `{section}`")
        if wrong := faults(self.trl, trainer):
            raise ValueError("; ".join(wrong))
        return self

    @property
    def goal(self) -> Objective:
        """The objective with its parameters.

        Raises:
            ValueError: there is no such objective or parameter.
        """
        return parse(self.objective)

    @property
    def trl(self) -> dict[str, Any]:
        """Fields of the configuration of TRL's trainer."""
        return self.dpo if self.goal.trainer == "dpo" else self.sft


class EvaluateConfig(Config):
    """How a student is tested: asked as it was taught, greedily unless `n` says otherwise."""

    n: int = Field(1, ge=1)
    """Answers per problem. More than one needs a temperature, and gives pass@k and maj@k."""
    max_tokens: int = Field(256, ge=1)
    """Longest answer, in tokens. One that reaches it counts as truncated."""
    system: str | None = None
    """System prompt; null: none is sent, as in training."""
    template: str = "{question}"
    """The user turn. `{question}` is the question with its choices."""
    chat_template: str | None = None
    """`auto` when null: the one that the model was saved with, or `plain` for a base model."""
    revision: str | None = None
    """Commit of a Hub model; default: what `main` is now."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus; only matters above temperature 0."""
    beams: int = Field(1, ge=1)
    """Beam search of that width, 5 as in the paper. vLLM's engine has none, so transformers does it."""
    seed: int = 0
    """Only matters above temperature 0."""
    backend: Literal["auto", "vllm", "transformers"] = "auto"
    """What runs the model. `auto`: vLLM, and transformers where vLLM is missing or cannot load the model."""
    window: int = Field(256, ge=1)
    """Requests handed to the engine at once."""
    batch: int = Field(8, ge=1)
    """Prompts that transformers answers at once."""
    engine: dict[str, Any] = {}
    """Any field of vLLM's EngineArgs; transformers heeds `max_model_len`, `tokenizer` and
    `trust_remote_code`."""
    fallback: Literal["none", "last_number"] = "none"
    """What to take for a number where no answer line is, as the `verify` pass has it."""
    limit: int | None = Field(None, ge=1)
    """Ask at most so many problems, the first ones."""
    probes: list[Literal["truncated", "corrupted", "filler"]] = []
    """Faithfulness probes: ask again with the reasoning cut short, with a mistake in it, or replaced by dots."""
    cuts: int = Field(5, ge=1)
    """Of the probe `truncated`: at most so many places where an answer is cut."""

    @model_validator(mode="after")
    def _fits_together(self) -> EvaluateConfig:
        if "{question}" not in self.template:
            raise ValueError("template: `{question}` is missing, so no question would be asked")
        if self.n > 1 and self.temperature == 0:
            raise ValueError(f"n: {self.n} greedy answers would be the same one; set a temperature above 0, or n: 1")
        if self.beams > 1 and (self.temperature > 0 or self.backend == "vllm"):
            raise ValueError("beams: beam search is for temperature 0 and not for backend vllm, whose engine has none")
        return self
