"""What a generalist and its specialists came to, over the repetitions with their seeds.

    conditional accuracy   items of the special classes alone, predictions restricted to those classes
    overall accuracy       all items, all classes

Differences are between answers to the same items. That of one specialist has an interval over items, since the clusters of two seeds need
not be the same; those of the whole are taken within a seed and have intervals over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from core.evaluation.statistics import Estimate, mean_interval

STUDENTS = ("generalist", "specialists", "ensemble", "labels")  # what a student is distilled from; the last is the control


@dataclass(frozen=True, slots=True)
class Gain:
    """A specialist beside its generalist, on the items of its classes.

    Attributes:
        classes: their numbers.
        items: test items of these classes.
        generalist, specialist: conditional accuracy, 0 to 1.
        difference: specialist minus generalist, with its interval over the items; None without items.
    """

    classes: tuple[int, ...]
    items: int
    generalist: float
    specialist: float
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """Items whose right class so many specialists have.

    Attributes:
        covering: specialists that have the right class.
        items: test items.
        generalist, combined: that each gets right.
    """

    covering: int
    items: int
    generalist: int
    combined: int

    @property
    def relative_change(self) -> float | None:
        """Return the change of the accuracy relative to the generalist's; None where it gets none right."""
        return (self.combined - self.generalist) / self.generalist if self.generalist else None


@dataclass(frozen=True)
class SeedResult:
    """What one repetition came to; accuracies from 0 to 1.

    Attributes:
        sets: classes of each specialist.
        single: classes without one.
        order: classes with each cluster's side by side; `clusters`: number of each class's cluster.
        purity, random_purity: of the clusters against the planted groups, and its mean for random clusters of the same sizes; None where
            nothing was planted.
        improvements: conditional accuracy of each specialist beside the generalist's.
        conditional_generalist, conditional_specialists: over the items of all specialists.
        generalist, combined: overall accuracy.
        heard: share of the test items for which a specialist was relevant.
        coverage: by the number of specialists that have the right class.
        rounds: of the fixed point.
        members, ensemble: of the ensemble of equal compute, and its accuracy; None without distillation.
        students: source -> accuracy of the network distilled from it.
        items: network -> items that it was trained on, repetitions counted.
    """

    seed: int
    sets: tuple[tuple[int, ...], ...]
    single: tuple[int, ...]
    order: tuple[int, ...]
    clusters: tuple[int, ...]
    purity: float | None
    random_purity: float | None
    improvements: tuple[Gain, ...]
    conditional_generalist: float
    conditional_specialists: float
    generalist: float
    combined: float
    heard: float
    coverage: tuple[CoverageRow, ...]
    rounds: int
    items: Mapping[str, int]
    members: int | None = None
    ensemble: float | None = None
    students: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, which `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read plain data back."""
        improvements = tuple(
            Gain(**{**each, "classes": tuple(each["classes"]), "difference": each["difference"] and Estimate.from_dict(each["difference"])})
            for each in plain["improvements"])
        tuples = {name: tuple(plain[name]) for name in ("single", "order", "clusters")}
        return cls(**{**plain, **tuples, "sets": tuple(map(tuple, plain["sets"])), "improvements": improvements,
                      "coverage": tuple(CoverageRow(**each) for each in plain["coverage"])})


@dataclass(frozen=True)
class SpecialistsSummary:
    """All repetitions.

    Attributes:
        labels: of the classes.
        items, train_items: test items, and items that were trained on.
        best_accuracy: that no classifier exceeds but by chance; None where it is not known.
        temperature: of the students' soft targets.
        planted: whether classes are confusable by design.
    """

    labels: tuple[str, ...]
    items: int
    train_items: int
    best_accuracy: float | None
    temperature: float
    planted: bool
    repetitions: tuple[SeedResult, ...]

    def mean(self, value: Callable[[SeedResult], float]) -> Estimate:
        """Return the mean of something over the repetitions, with its interval over seeds."""
        return mean_interval([value(each) for each in self.repetitions])

    @property
    def numbers(self) -> dict[str, Estimate]:
        """Return what is said of all repetitions together: accuracies from 0 to 1 and their differences within a seed."""
        found: dict[str, Callable[[SeedResult], float]] = {
            "generalist": lambda each: each.generalist, "combined": lambda each: each.combined,
            "overall_change": lambda each: each.combined - each.generalist,
            "conditional_generalist": lambda each: each.conditional_generalist,
            "conditional_specialists": lambda each: each.conditional_specialists,
            "conditional_change": lambda each: each.conditional_specialists - each.conditional_generalist,
            "heard": lambda each: each.heard}
        first = self.repetitions[0]
        if first.purity is not None:
            found |= {"purity": lambda each: each.purity or 0.0, "random_purity": lambda each: each.random_purity or 0.0}
        if first.students is not None:
            found |= {"ensemble": lambda each: each.ensemble or 0.0,
                      "combined_over_ensemble": lambda each: each.combined - (each.ensemble or 0.0)}
            found |= {f"student_of_{name}": _student(name) for name in STUDENTS}
            found |= {f"student_of_specialists_over_{name}": _student_over(name) for name in STUDENTS if name != "specialists"}
        return {name: self.mean(value) for name, value in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the command line prints: estimates with their intervals, the first seed's tables, every repetition."""
        first = self.repetitions[0]
        return {
            "labels": list(self.labels), "items": self.items, "train_items": self.train_items, "best_accuracy": self.best_accuracy,
            "temperature": self.temperature, "planted": self.planted,
            "numbers": {name: asdict(value) for name, value in self.numbers.items()},
            "specialists": [{"classes": [self.labels[number] for number in each.classes], "items": each.items,
                             "generalist": each.generalist, "specialist": each.specialist,
                             "gain": each.difference and asdict(each.difference)} for each in first.improvements],
            "coverage": [{**asdict(row), "relative_change": row.relative_change} for row in first.coverage],
            "repetitions": [each.to_dict() for each in self.repetitions]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back."""
        return cls(tuple(record["labels"]), record["items"], record["train_items"], record["best_accuracy"], record["temperature"],
                   record["planted"], tuple(map(SeedResult.from_dict, record["repetitions"])))


def _student(name: str) -> Callable[[SeedResult], float]:
    """Return what reads the accuracy of the student of a source."""
    def accuracy(result: SeedResult) -> float:
        assert result.students is not None, "students are distilled in all repetitions or in none"
        return result.students[name]

    return accuracy


def _student_over(name: str) -> Callable[[SeedResult], float]:
    """Return what reads by how much the specialists' student is more accurate than another one."""
    return lambda result: _student("specialists")(result) - _student(name)(result)
