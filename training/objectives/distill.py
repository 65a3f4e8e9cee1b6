"""Logit distillation: the teacher's whole distribution at every token, not only the token it chose."""

from __future__ import annotations

from typing import ClassVar, Literal

from training.objectives.base import Objective


class Distill(Objective):
    """TRL's GKDTrainer (Agarwal et al. 2024, arXiv:2306.13649), with a teacher that is loaded beside the student.

    By default on the dataset's own traces (`sft.lmbda: 0`) and by forward KL (`sft.beta: 0`). Fields of
    trl's GKDConfig are said in `train.sft` with those of SFTConfig.
    """

    name: ClassVar[str] = "distill"
    trainer: ClassVar[Literal["sft", "dpo", "distill"]] = "distill"
    teacher: str
    """`smollm2-135m`, a Hub id or a directory; it must have the student's vocabulary."""
    revision: str | None = None
    """Commit of a teacher on the Hub."""
