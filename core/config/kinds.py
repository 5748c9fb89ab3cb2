"""The kinds of experiments, each with the sections that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from core.config.base import InvalidValueError
from core.config.chains import BridgeSpec, ChainSpec
from core.config.data import DataSpec, MaskingSpec, TaskSpec
from core.config.ensembles import EnsembleSpec
from core.config.experiment import ExperimentConfig
from core.config.images import ImagesSpec
from core.config.losses import LossSpec, constant
from core.config.models import StudentSpec, TeacherSpec
from core.config.reading import ReadingSpec
from core.config.specialists import SpecialistsSpec
from core.config.traits import (
    OfClassifiers,
    WithoutControl,
    WithoutMasking,
    WithoutTeacher,
    WithSignals,
    labels_only,
    logits_alone,
    require_loaded,
)
from core.errors import SetField


class DistillConfig(WithSignals, ExperimentConfig):
    """One student is distilled from a teacher (1503.02531; 1910.01108 for masked language models)."""

    kind: Literal["distill"] = Field("distill", description="kind; one student is distilled from a teacher")
    teacher: TeacherSpec = Field(TeacherSpec(), description="model; its outputs are the targets")
    student: StudentSpec = Field(StudentSpec(), description="model; what is trained")
    data: DataSpec = Field(DataSpec(), description="corpus")
    masking: MaskingSpec = Field(MaskingSpec(), description="masking; of the text that masked language models are trained on")
    control: bool = Field(False, description="switch; also train the same student for the same tokens with no teacher")

    compares_ensembles: ClassVar[bool] = True

    @model_validator(mode="after")
    def _compared(self) -> Self:
        if self.evaluation.ensemble_seeds is None:
            return self
        if not self.control:
            raise InvalidValueError("an ensemble's gain is counted from the same student on hard labels: set control to true",
                                    "control", suggestion=SetField("control", True))
        if self.train.processes != 1:
            raise InvalidValueError("the students of an ensemble are compared in one process: set train.processes to 1",
                                    suggestion=SetField("train.processes", 1))
        return self

    @field_validator("student")
    @classmethod
    def _of_the_teacher(cls, value: StudentSpec) -> StudentSpec:
        if value.from_scratch is not None:
            raise InvalidValueError("an architecture from scratch has a vocabulary of its own and cannot follow a teacher: "
                                    "set teacher to null", "student.from_scratch", suggestion=SetField("teacher", None))
        return value

    @model_validator(mode="after")
    def _served(self) -> Self:
        if self.teacher.address is None:
            return self
        if self.student.model is None:
            raise InvalidValueError("a teacher at an address has no blocks here that a student could be made of: set student.model to a "
                                    "model with the same tokenizer", "student.model",
                                    suggestion=SetField("student.model", "house-chat"))
        if self.evaluation.retention is not None:
            raise InvalidValueError("the retention card measures a teacher that is loaded, not one at an address: set evaluation.retention "
                                    "to null", suggestion=SetField("evaluation.retention", None))
        return self


class PretrainConfig(WithoutTeacher, WithoutControl, ExperimentConfig):
    """A model is trained on text alone: one from scratch, or one that is there (continued pretraining)."""

    losses: LossSpec = Field(LossSpec(w_kd=constant(0.0)), description="loss; cross-entropy with the text")
    kind: Literal["pretrain"] = Field("pretrain", description="kind; a model is trained on text, without a teacher")
    student: StudentSpec = Field(StudentSpec(), validate_default=True, description="model; what is trained")
    data: DataSpec = Field(DataSpec(), description="corpus")
    masking: MaskingSpec = Field(MaskingSpec(), description="masking; of the text that masked language models are trained on")

    excludes: ClassVar[Mapping[str, str]] = {
        "teacher": "pretraining has no teacher: set teacher to null",
        "control": "without a teacher the run is its own control: set control to false",
        "evaluation.retention": "without a teacher there is nothing to retain: set evaluation.retention to null",
    }

    _losses = field_validator("losses")(labels_only)

    @field_validator("student")
    @classmethod
    def _beginning(cls, value: StudentSpec) -> StudentSpec:
        if value.from_scratch is None and value.model is None:
            raise InvalidValueError("no teacher and no architecture from scratch: set teacher.model, student.from_scratch or student.model",
                                    "student.model")
        return value


class FineTuneConfig(WithoutMasking, WithoutControl, ExperimentConfig):
    """A pretrained encoder is fine-tuned on a labelled task, with or without a fine-tuned teacher (1910.01108, section 4)."""

    losses: LossSpec = Field(LossSpec(w_kd=constant(0.0), w_hard=constant(1.0)), description="loss; terms and temperature")
    kind: Literal["fine_tune"] = Field("fine_tune", description="kind; an encoder is fine-tuned on a labelled task")
    teacher: TeacherSpec | None = Field(None, description="model; fine-tuned on the same task (default: none)")
    student: StudentSpec = Field(StudentSpec(), validate_default=True, description="model; the encoder, as student.model")
    task: TaskSpec = Field(TaskSpec(), description="task; the labelled dataset")

    excludes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("chain", "bridge", "control"), "a task is fine-tuned by itself: remove chain, bridge and control"),
        "evaluation.retention": "the retention card is of a language model's student: set evaluation.retention to null",
    }

    @property
    def data(self) -> DataSpec:
        """Items of the task in place of blocks of a corpus: as long as they."""
        return DataSpec().model_copy(update={"block_length": self.task.max_length})

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return half and half with a teacher, as 1910.01108 has it in its second step of distillation; the labels alone without one."""
        return {"w_kd": 0.0, "w_hard": 1.0} if plain.get("teacher") is None else {"w_kd": 0.5, "w_hard": 0.5}

    @field_validator("student")
    @classmethod
    def _encoder(cls, value: StudentSpec) -> StudentSpec:
        if value.model is None:
            raise InvalidValueError("fine-tuning begins with a pretrained encoder: set student.model to one", "student.model")
        return value

    @field_validator("teacher")
    @classmethod
    def _queried_live(cls, value: TeacherSpec | None) -> TeacherSpec | None:
        if value is not None and value.signals.form not in ("auto", "live"):
            raise InvalidValueError("the teacher of a task answers at every step: set teacher.signals.form to live",
                                    suggestion=SetField("teacher.signals.form", "live"))
        if value is not None:
            require_loaded(value, "a task")
        return value

    @field_validator("losses")
    @classmethod
    def _outputs_only(cls, value: LossSpec) -> LossSpec:
        return logits_alone(value, "a task")

    @model_validator(mode="after")
    def _targets(self) -> FineTuneConfig:
        if self.teacher is None:
            labels_only(self.losses)
        return self


class ChainConfig(WithSignals, WithoutMasking, WithoutControl, ExperimentConfig):
    """A chain of anchors is trained below the teacher, each from the one above it or from the largest (2605.07783)."""

    kind: Literal["chain"] = Field("chain", description="kind; a chain of anchors is trained below the teacher")
    teacher: TeacherSpec = Field(TeacherSpec(), description="model; the largest of the chain")
    chain: ChainSpec = Field(description="chain; anchors below the teacher, in place of one student")
    data: DataSpec = Field(DataSpec(), description="corpus")

    excludes: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("student", "control", "evaluation.retention"),
        "a chain describes its students itself: remove student, control and evaluation.retention")

    @field_validator("teacher", mode="before")
    @classmethod
    def _largest(cls, value: Any) -> Any:
        if value is None:
            raise InvalidValueError("a chain begins with a teacher: set teacher.model", "teacher.model")
        return value

    @field_validator("teacher")
    @classmethod
    def _loaded(cls, value: TeacherSpec) -> TeacherSpec:
        require_loaded(value, "a chain")
        return value

    @property
    def student(self) -> StudentSpec:
        """The defaults: each anchor is described by itself."""
        return StudentSpec()

    def step(self, teacher: TeacherSpec, student: StudentSpec, name: str | None = None) -> DistillConfig:
        """Return the distillation of one anchor."""
        return DistillConfig(name=name or self.name, description=self.description, teacher=teacher, student=student, losses=self.losses,
                             data=self.data, train=self.train, evaluation=self.evaluation)


class BridgeConfig(WithoutTeacher, WithoutMasking, WithoutControl, ExperimentConfig):
    """A teacher of any vocabulary writes the texts that ``student.model`` is trained on (sequence-level distillation, 1606.07947)."""

    losses: LossSpec = Field(LossSpec(w_kd=constant(0.0)), description="loss; cross-entropy with the texts")
    kind: Literal["bridge"] = Field("bridge", description="kind; a teacher of any vocabulary writes the texts that a model is trained on")
    bridge: BridgeSpec = Field(description="bridge; the teacher that writes, and how")
    student: StudentSpec = Field(StudentSpec(), validate_default=True, description="model; what is trained, as student.model")
    data: DataSpec = Field(DataSpec(), description="corpus; how the texts are cut, its source is not read")

    excludes: ClassVar[Mapping[str, str]] = {
        "teacher": "a bridge trains student.model on texts alone: set teacher to null and student.model to the proxy",
        "control": "without a teacher the run is its own control: set control to false",
        "evaluation.retention": "without a teacher there is nothing to retain: set evaluation.retention to null",
    }

    _losses = field_validator("losses")(labels_only)

    @field_validator("student")
    @classmethod
    def _proxy(cls, value: StudentSpec) -> StudentSpec:
        if value.model is None:
            raise InvalidValueError("a bridge trains student.model on texts alone: set student.model to the proxy", "student.model")
        return value


class ReadingConfig(WithoutMasking, WithoutControl, ExperimentConfig):
    """A student learns to read from a teacher's notes on plain text, alone or while it is distilled (Basic Reading Distillation)."""

    kind: Literal["reading"] = Field("reading", description="kind; a student is trained on a reading teacher's notes on plain text")
    reading: ReadingSpec = Field(description="reading; the teacher that takes notes, and how they are read")
    teacher: TeacherSpec | None = Field(None, description="model; distilled into the student on the same streams (default: none)")
    student: StudentSpec = Field(StudentSpec(), validate_default=True, description="model; what is trained")
    data: DataSpec = Field(DataSpec(), description="corpus; plain text for the reading teacher, which an oracle writes itself")

    excludes: ClassVar[Mapping[str, str]] = {"control": "a reading run has controls of its own, reading.notes: remove control"}

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return the cross-entropy alone without a teacher that is distilled."""
        return {"w_kd": 0.0, "w_hard": 1.0} if plain.get("teacher") is None else {}

    @model_validator(mode="after")
    def _answers(self) -> Self:
        if self.teacher is None:
            labels_only(self.losses)
            if self.student.model is None and self.student.from_scratch is None:
                raise InvalidValueError("a reading run trains a model: set student.model, student.from_scratch, or teacher.model and "
                                        "student.layers", "student.model")
            return self
        require_loaded(self.teacher, "a reading run")
        if self.student.from_scratch is not None:
            raise InvalidValueError("an architecture from scratch has a vocabulary of its own and cannot follow a teacher: "
                                    "set teacher to null", "student.from_scratch", suggestion=SetField("teacher", None))
        if self.teacher.signals.form not in ("auto", "live"):
            raise InvalidValueError("the teacher of a reading run answers at every step: set teacher.signals.form to live",
                                    suggestion=SetField("teacher.signals.form", "live"))
        return self


class EnsembleConfig(OfClassifiers, WithoutMasking, WithoutControl, ExperimentConfig):
    """Networks for images are trained or named, and their mean is distilled into one (1503.02531, sections 2 and 3)."""

    losses: LossSpec = Field(LossSpec(w_kd=constant(1.0), w_hard=constant(0.1)), validate_default=True, description=(
        "loss; of the student that learns from the mean"))
    kind: Literal["ensemble"] = Field("ensemble", description="kind; the mean of several classifiers of images is distilled into one")
    ensemble: EnsembleSpec = Field(EnsembleSpec(), description="ensemble; its members, their mean, and the student")
    images: ImagesSpec = Field(ImagesSpec(), description="images; the labelled data set")

    excludes: ClassVar[Mapping[str, str]] = {
        "teacher": "the ensemble is the teacher: name its members in ensemble.members",
        "student": "the student of an ensemble is a network for images: describe it in ensemble.student",
        "control": "the same student is always trained on hard labels too: set control to false",
        "evaluation.retention": "the retention card is of a language model's student: set evaluation.retention to null",
    }

    @field_validator("losses")
    @classmethod
    def _outputs_only(cls, value: LossSpec) -> LossSpec:
        return logits_alone(value, "an ensemble")


class SpecialistsConfig(OfClassifiers, WithoutMasking, WithoutControl, ExperimentConfig):
    """A generalist, specialists for the classes that it confuses, and one network distilled from both (1503.02531, section 5)."""

    losses: LossSpec = Field(LossSpec(w_kd=constant(1.0), w_hard=constant(0.1)), validate_default=True, description=(
        "loss; of the networks that are distilled from generalist, specialists and ensemble"))
    kind: Literal["specialists"] = Field("specialists", description="kind; specialists for the classes that a generalist confuses")
    specialists: SpecialistsSpec = Field(SpecialistsSpec(), description="specialists; data set, networks, clusters and their training")

    several_processes: ClassVar[bool] = True

    excludes: ClassVar[Mapping[str, str]] = {
        "teacher": "generalist and specialists are the teacher, and are trained: describe them in specialists",
        "student": "the student of specialists is a small classifier: describe it in specialists.student_embedding and student_hidden",
        "control": "the same student is always trained on hard labels too: set control to false",
        "evaluation.retention": "the retention card is of a language model's student: set evaluation.retention to null",
    }

    @field_validator("losses")
    @classmethod
    def _outputs_only(cls, value: LossSpec) -> LossSpec:
        return logits_alone(value, "a network of specialists")


AnyExperiment = Annotated[DistillConfig | PretrainConfig | FineTuneConfig | ChainConfig | BridgeConfig | ReadingConfig | EnsembleConfig |
                          SpecialistsConfig, Field(discriminator="kind")]
KINDS: Mapping[str, type[ExperimentConfig]] = {
    each.model_fields["kind"].default: each for each in (
        DistillConfig, PretrainConfig, FineTuneConfig, ChainConfig, BridgeConfig, ReadingConfig, EnsembleConfig, SpecialistsConfig)}
