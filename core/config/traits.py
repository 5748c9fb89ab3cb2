"""What several kinds of experiments have in common: sections that they lack, and what their teachers and losses cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import field_validator, model_validator

from core.config.base import InvalidValueError
from core.config.data import DataSpec, MaskingSpec
from core.config.losses import LossSpec, constant
from core.config.models import StudentSpec, TeacherSpec
from core.config.training import TrainSpec
from core.errors import SetField
from core.loss_terms import LOSS_TERMS, enumerated, keys


class WithoutTeacher:
    """No teacher, and no soft targets."""

    @property
    def teacher(self) -> None:
        """None."""

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return no weight for soft targets: there are none."""
        return {"w_kd": 0.0}


class OfClassifiers(WithoutTeacher):
    """Classifiers are trained and distilled into one of their own size; no corpus is read, and no language model is the student."""

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return the soft targets, and a considerably lower weight of the hard labels (1503.02531, section 2)."""
        return {"w_kd": 1.0, "w_hard": 0.1}

    several_processes: ClassVar[bool] = False  # whether networks are trained at once

    @field_validator("train", check_fields=False)
    @classmethod
    def _in_one_process(cls, value: TrainSpec) -> TrainSpec:
        if value.processes != 1 and not cls.several_processes:
            raise InvalidValueError("networks of classifiers are small and trained one after the other: set train.processes to 1",
                                    suggestion=SetField("train.processes", 1))
        return value

    @property
    def student(self) -> StudentSpec:
        """The defaults: these networks are described in a section of their own."""
        return StudentSpec()

    @property
    def data(self) -> DataSpec:
        """The defaults: items with labels are no corpus."""
        return DataSpec()


class WithoutMasking:
    """Models of these kinds predict the next token, or are fine-tuned on a task."""

    @property
    def masking(self) -> MaskingSpec:
        """The defaults: nothing is masked."""
        return MaskingSpec()


class WithoutControl:
    """No control."""

    @property
    def control(self) -> bool:
        """Whether there is one: no."""
        return False


def labels_only(losses: LossSpec) -> LossSpec:
    """Return losses that need no teacher. Raises InvalidValueError for others."""
    if losses.needs_teacher():
        compared = keys(needs_teacher=True)
        key = next(each for each in compared if getattr(losses, each) != constant(0.0))
        raise InvalidValueError(f"no teacher, so only {enumerated(keys(needs_teacher=False))} can count: set {enumerated(compared)} to 0",
                                suggestion=SetField(f"losses.{key}", 0))
    return losses


def logits_alone(losses: LossSpec, what: str) -> LossSpec:
    """Return losses that compare no hidden states. Raises InvalidValueError for others."""
    on_states = keys(on="states")
    for key in on_states:
        if getattr(losses, key) != constant(0.0):
            raise InvalidValueError(f"{what} is distilled from the teacher's outputs alone: set "
                                    f"{enumerated(tuple(f'losses.{each}' for each in on_states))} to 0",
                                    suggestion=SetField(f"losses.{key}", 0))
    return losses


def require_loaded(teacher: TeacherSpec, what: str) -> None:
    """Raise InvalidValueError for a teacher at an address."""
    if teacher.address is not None:
        raise InvalidValueError(f"{what} needs a teacher that is loaded, not one at an address: set teacher.model to a model",
                                "teacher.model")


class WithSignals:
    """Where a teacher's answers are kept, they have to be what the losses compare with."""

    teacher: TeacherSpec
    losses: LossSpec

    @model_validator(mode="after")
    def _answers(self) -> Self:
        spec, losses, form = self.teacher.signals, self.losses, self.teacher.signals.form
        if self.teacher.address is not None:
            if form not in ("auto", "top_k"):
                raise InvalidValueError(f"a teacher at an address gives its likeliest tokens, and they are kept: {form} is for models that "
                                        "are loaded; set teacher.signals.form to top_k",
                                        suggestion=SetField("teacher.signals.form", "top_k"))
            form = "top_k"
        if form in ("auto", "live"):
            return self
        for term in LOSS_TERMS:
            held = form == "hidden" and term.name == "hidden"  # the last hidden states are what is kept
            if term.needs_teacher and term.on == "states" and losses.uses(term.name) and not held:
                live = "" if self.teacher.address is not None else ", or teacher.signals.form to live"
                raise InvalidValueError(f"{form} answers hold no states that losses.{term.key} could compare: set it to 0{live}",
                                        suggestion=SetField("teacher.signals.form", "live") if live else SetField(f"losses.{term.key}", 0))
        if losses.divergence != "forward_kl":
            if form == "sampled":
                raise InvalidValueError("tokens drawn from the teacher estimate its probabilities, which only the forward KL is linear in: "
                                        "set losses.divergence to forward_kl", suggestion=SetField("losses.divergence", "forward_kl"))
            if form == "top_k" and not spec.tail:
                raise InvalidValueError(f"{losses.divergence} over the likeliest tokens alone falls when mass moves off them, so it is no "
                                        "divergence: set teacher.signals.tail to true",
                                        suggestion=SetField("teacher.signals.tail", True))
        return self
