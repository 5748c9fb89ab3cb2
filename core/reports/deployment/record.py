"""What the comparison of a model's forms finds, as frozen values and as JSON.

Quality is accuracy for a classifier and perplexity for a language model. Loss is what a form gives up against the baseline, the first
form: accuracy of the baseline minus that of the form, from -1 to 1; or perplexity of the form over that of the baseline, minus 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from core.evaluation.statistics import Estimate
from core.reports.class_scores import ClassScores

TEACHER, STUDENT, INT8 = "teacher", "student", "int8"
FORM_NAMES = {TEACHER: "Teacher", STUDENT: "Student", INT8: "Student, int8"}
Quality = Literal["accuracy", "perplexity"]
PARTS = 100  # of a comparison's progress: percent
EXPORT, ITEMS = "int8", "items.csv"  # in its folder: the exported model, every item with what each form gave


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """What is compared.

    Attributes:
        student, teacher: references as `core.models.catalog` reads them; no teacher: int8 is compared with the student alone.
        names: of student and teacher, as they are shown.
        task: labelled texts of a classifier (default: those that it was fine-tuned on).
        text: corpus of a language model (default: the one that it was trained on).
        items: labelled texts at most (None: all), or blocks of text.
    """

    student: str
    teacher: str | None
    names: tuple[str, str | None]
    task: str | None = None
    text: str | None = None
    items: int | None = None


@dataclass(frozen=True, slots=True)
class FormFigures:
    """One form of a model.

    Attributes:
        model: its reference.
        bytes: of its weights on disk.
        parameters: of the model.
        p50, p95: milliseconds of one text on one thread, by quantile over rounds.
        quality: see the module.
        loss: None for the baseline.
        further: other metrics by their names without ``eval/``, as kl_to_teacher and agreement.
    """

    model: str
    bytes: int
    parameters: int
    p50: Estimate
    p95: Estimate
    quality: Estimate
    loss: Estimate | None
    further: Mapping[str, Estimate]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return the figures of plain data."""
        estimates = {name: Estimate.from_dict(plain[name]) for name in ("p50", "p95", "quality")}
        loss = plain["loss"] and Estimate.from_dict(plain["loss"])
        return cls(**{**plain, **estimates, "loss": loss,
                      "further": {name: Estimate.from_dict(each) for name, each in plain["further"].items()}})


@dataclass(frozen=True, slots=True)
class Group:
    """The quality of each form on a part of the items.

    Attributes:
        by: what divides the items, as ``class`` or ``length``; `name` is the part.
        items: how many it holds.
        quality: form -> its quality there.
    """

    by: str
    name: str
    items: int
    quality: Mapping[str, Estimate]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return the group of plain data."""
        return cls(**{**plain, "quality": {form: Estimate.from_dict(each) for form, each in plain["quality"].items()}})


@dataclass(frozen=True, slots=True)
class WorstItem:
    """An item on which the last form loses most against the baseline.

    Attributes:
        text: of the item; of a token, what stands in front of it.
        right: the label or token that is right.
        given: form -> the label or token that it gives.
        probability: form -> what it gives the right one, 0 to 1.
    """

    text: str
    right: str
    given: Mapping[str, str]
    probability: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a comparison found.

    Attributes:
        student, teacher: references; no teacher where the student is compared with itself alone.
        task: of the models' heads.
        data: name of what they were scored on.
        metric: what quality is.
        items, distinct: labelled texts, and how many of them differ; blocks of text for a language model, and the same again.
        unit: what the items are.
        length: tokens of the text that was timed.
        forms: name (`FORM_NAMES`) -> its figures; the first is the baseline.
        warnings: sentences about the data that weaken what is said.
        file: name of the int8 file in the export's folder.
        processor, versions, date, seconds: how it was measured.
        classes: of a classifier, form -> its scores by class; none in what earlier releases kept.
    """

    student: str
    teacher: str | None
    task: str
    data: str
    metric: Quality
    items: int
    distinct: int
    unit: str
    length: int
    forms: Mapping[str, FormFigures]
    groups: tuple[Group, ...]
    worst: tuple[WorstItem, ...]
    warnings: tuple[str, ...]
    file: str
    processor: str
    versions: Mapping[str, str]
    date: str
    seconds: float
    classes: Mapping[str, ClassScores] = field(default_factory=dict)

    @property
    def baseline(self) -> str:
        """The form that the others are compared with."""
        return next(iter(self.forms))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return the value of plain data. Raises KeyError or TypeError for that of another release."""
        return cls(**{**plain, "forms": {name: FormFigures.from_dict(each) for name, each in plain["forms"].items()},
                      "groups": tuple(map(Group.from_dict, plain["groups"])), "warnings": tuple(plain["warnings"]),
                      "worst": tuple(WorstItem(**each) for each in plain["worst"]),
                      "classes": {form: ClassScores.from_dict(each) for form, each in plain.get("classes", {}).items()}})
