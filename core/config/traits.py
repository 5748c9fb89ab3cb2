"""What several kinds of experiments have in common: sections that they lack, and what their teachers and losses cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import field_validator, model_validator

from core.config.base import InvalidValueError
from core.config.data import DataSpec, MaskingSpec
from core.config.evaluation import EvaluationSpec
from core.config.losses import LossSpec, constant
from core.config.models import StudentSpec, TeacherSpec
from core.config.training import TrainSpec
from core.errors import SetField
from core.loss_terms import LOSS_TERMS, enumerated, keys

SHARDED_KINDS = ("distill", "pretrain", "bridge", "reading")  # whose models core.methods.distillation trains
COMPILED_KINDS = (*SHARDED_KINDS, "chain")
SHARDED_NOT = {
    "chain": "a chain measures its anchors whole, on one device",
    "fine_tune": "an encoder that is fine-tuned on a task is trained whole",
    "ensemble": "networks of classifiers are small and trained whole",
    "specialists": "networks of classifiers are small and trained whole",
}


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


def require_compilable(kind: str, train: TrainSpec) -> None:
    """Raise InvalidValueError where blocks cannot be compiled that the recipe wants compiled."""
    if train.compile != "true":
        return
    if kind not in COMPILED_KINDS:
        raise InvalidValueError("batches of labelled items have many lengths, and each would be compiled: set train.compile to false",
                                "train.compile", suggestion=SetField("train.compile", "false"))
    if train.sharding == "both":
        raise InvalidValueError("a student whose weights are shared out gathers each block while it computes, which is not compiled: set "
                                "train.compile to false, or train.sharding to teacher or none", "train.compile",
                                suggestion=SetField("train.compile", "false"))


def require_shardable(kind: str, train: TrainSpec, teacher: TeacherSpec | None, student: StudentSpec, evaluation: EvaluationSpec) -> None:
    """Raise InvalidValueError for weights that the processes of a run cannot share out."""
    if train.sharding == "none":
        return
    whole = SetField("train.sharding", "none")
    if kind not in SHARDED_KINDS:
        raise InvalidValueError(f"{SHARDED_NOT[kind]}: set train.sharding to none", "train.sharding", suggestion=whole)
    if teacher is not None and teacher.address is not None:
        raise InvalidValueError("a teacher at an address has no weights here that could be shared out: set train.sharding to none",
                                "train.sharding", suggestion=whole)
    if teacher is not None and teacher.signals.form not in ("auto", "live"):
        raise InvalidValueError("a teacher whose answers are kept is queried once, and has nothing to share out: set train.sharding to "
                                "none, or teacher.signals.form to live", "train.sharding", suggestion=whole)
    if evaluation.retention is not None:
        raise InvalidValueError("the retention card measures the teacher whole, on one device: set evaluation.retention to null, or "
                                "train.sharding to none", "train.sharding", suggestion=SetField("evaluation.retention", None))
    if teacher is None and train.sharding == "teacher":
        raise InvalidValueError("there is no teacher whose weights could be shared out: set train.sharding to both for the student's, or "
                                "to none", "train.sharding", suggestion=whole)
    if student.lora is not None and train.sharding == "both":
        raise InvalidValueError("adapters keep the student's own weights as they are, and leave little to share out: set train.sharding "
                                "to teacher or none, or student.lora to null", "train.sharding",
                                suggestion=SetField("train.sharding", "none" if teacher is None else "teacher"))


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
