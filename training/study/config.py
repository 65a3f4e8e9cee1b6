"""What a study says. Attribute docstrings are the manual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from builders.config import Config, ProblemSource
from curation.config import CurateConfig
from training.config import EvaluateConfig, TrainConfig
from training.study.scratch import ScratchStudent

FACTORS = ("dataset", "teacher", "granularity", "format", "student", "size", "objective", "seed")
"""What arms may differ in, in the order of tables."""
CELL = ("dataset", "teacher", "granularity", "format")
"""Factors that say which traces an arm is made of."""

Level = Annotated[int, Field(ge=1, le=6)] | None


class StudyDataset(Config):
    """Where traces come from, and what students are tested on."""

    corpus: Path | None = None
    """A corpus that is there."""
    recipe: Path | None = None
    """Or a recipe that makes one, below the study's directory; its `curate` section is not read."""
    problems: list[ProblemSource] = Field(min_length=1)
    """Held-out problems; one source or a list. Those that training rows hold too are an error."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("problems"), dict):
            return {**data, "problems": [data["problems"]]}
        return data

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.corpus is None) == (self.recipe is None):
            raise ValueError("say either `corpus` or `recipe`")
        return self


class StudyStudent(Config):
    """Who is taught: a model that exists, or one made on the spot."""

    model: str | None = None
    """`smollm2-135m`, a Hub id or a directory."""
    revision: str | None = None
    """Commit of a Hub model."""
    scratch: ScratchStudent | None = None
    """Or sizes of a new model with random weights."""
    train: dict[str, Any] = {}
    """Keys of `train` that differ for this student."""
    evaluate: dict[str, Any] = {}
    """Keys of `evaluate` that differ for this student."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.model is None) == (self.scratch is None):
            raise ValueError("say either `model` or `scratch`")
        return self


class Factors(Config):
    """Values of each factor. All combinations are arms; null: all that there are."""

    dataset: list[str] | None = None
    """Names out of `datasets`."""
    teacher: list[str] | None = None
    """Names as the corpus has them."""
    granularity: list[Level] | None = None
    """Levels 1 to 6; null in the list: traces without one."""
    format: list[str] | None = None
    """Formats as the corpus has them."""
    student: list[str] | None = None
    """Names out of `students`."""
    size: list[Annotated[int, Field(ge=1)] | None] | None = None
    """Problems to train on, the same ones in every arm; null in the list: all common ones."""
    objective: list[str] | None = None
    """Names out of `objectives`."""
    seed: list[int] | None = None
    """Of training, and of the weights of a student made on the spot."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {k: [v] if k in FACTORS and isinstance(v, str | int) else v for k, v in data.items()}

    @model_validator(mode="after")
    def _no_value_twice(self) -> Self:
        for name in FACTORS:
            values = getattr(self, name) or []
            if not values and getattr(self, name) is not None:
                raise ValueError(f"{name} lists no value; name some, or leave it out")
            if len(values) != len(set(values)):
                raise ValueError(f"{name} lists a value twice")
        return self


class StudyConfig(Config):
    """One study: the same problems, some factors moved, a student trained and tested for every arm."""

    name: str
    """Short name; used in the report."""
    description: str = ""
    """What it asks, in a sentence."""
    datasets: dict[str, StudyDataset] = Field(min_length=1)
    """By name."""
    students: dict[str, StudyStudent] = Field(min_length=1)
    """By name, weakest first where you know: reports keep the order."""
    objectives: dict[str, dict[str, Any]] = {"sft": {}}
    """Name -> keys of `train` that differ: `{masked: {objective: masked_thought}}`."""
    factors: Factors = Factors()
    """Crossed with one another."""
    arms: list[Factors] = []
    """Or arms listed: each entry takes what it does not say from `factors`. Empty: the full cross."""
    controls: list[Literal["answer_only", "untrained"]] = ["answer_only"]
    """Beside every group of arms that differ only in their traces: a student taught the bare answers to the same
    problems, and the student as it is."""
    unequal: Literal["cut", "refuse"] = "cut"
    """What to do when arms have not the same problems: cut all to the common ones, or refuse to compare them."""
    curate: CurateConfig = CurateConfig()
    """Which traces may be trained on: `passes`, `keep` and the other conditions of a recipe. What makes arms equal
    (`common`, `dedup`, `per_problem`, `splits`) the study says itself."""
    train: TrainConfig = TrainConfig()
    """How every student is taught; `student` and `seed` come from the arm."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """How every student is tested."""
    keep_models: bool = False
    """Whether weights stay once an arm is evaluated. Its answers stay in any case."""

    @field_validator("curate")
    @classmethod
    def _the_study_makes_arms_equal(cls, value: CurateConfig) -> CurateConfig:
        own = {"common", "dedup", "per_problem", "splits", "mix", "pairs"} & value.model_fields_set
        if own:
            raise ValueError(f"the study decides {' and '.join(sorted(own))} itself; leave it out")
        return value

    @field_validator("train")
    @classmethod
    def _arms_say_student_and_seed(cls, value: TrainConfig) -> TrainConfig:
        places = {"student": "students", "seed": "factors.seed", "limit": "factors.size", "split": "datasets"}
        if said := places.keys() & value.model_fields_set:
            name = min(said)
            raise ValueError(f"{name} belongs to the arms: say {places[name]}")
        return value

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        known: dict[str, Mapping[str, Any]] = {
            "dataset": self.datasets,
            "student": self.students,
            "objective": self.objectives,
        }
        for where, entry in [("factors", self.factors), *((f"arms.{i}", arm) for i, arm in enumerate(self.arms))]:
            for name, there in known.items():
                if wrong := [value for value in getattr(entry, name) or [] if value not in there]:
                    raise ValueError(f"{where}.{name}: no {wrong[0]!r} in `{name}s`; it has {', '.join(there)}")
        return self

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        for name in self.students:
            for objective in self.objectives:
                try:
                    self.training(name, objective, 0, "student")
                    self.evaluation(name)
                except ValidationError as error:
                    said = error.errors()[0]
                    where = ".".join(map(str, said["loc"]))
                    raise ValueError(f"student {name}, objective {objective}: {where}: {said['msg']}") from None
        return self

    def training(self, student: str, objective: str | None, seed: int, model: str) -> TrainConfig:
        """The `train` section of an arm; `model` is where its student lies. Without an objective: the control that
        learns bare answers.
        """
        chosen = self.students[student]
        said = self.train.model_dump(exclude_unset=True)
        goal = {"objective": "answer_only"} if objective is None else self.objectives[objective]
        for more in (chosen.train, goal):
            said = merged(said, more)
        said |= {"student": model, "seed": seed} | ({"revision": chosen.revision} if chosen.revision else {})
        return TrainConfig.model_validate(said)

    def evaluation(self, student: str) -> EvaluateConfig:
        """The `evaluate` section of an arm."""
        said = self.evaluate.model_dump(exclude_unset=True)
        return EvaluateConfig.model_validate(merged(said, self.students[student].evaluate))


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `more`; mappings in both are merged key by key.

    >>> merged({"sft": {"max_steps": 3, "bf16": False}}, {"sft": {"max_steps": 5}})
    {'sft': {'max_steps': 5, 'bf16': False}}
    """
    both = {k: merged(base[k], v) for k, v in more.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **more, **both}
