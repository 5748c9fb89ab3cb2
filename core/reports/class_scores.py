"""What a classifier gets right and wrong on labelled items, class by class, and whether its probabilities are what they say.

    precision, recall, F1    of each class: right among the items that it is given, right among its own, their harmonic mean
    macro F1                 mean of F1 over the classes that occur
    ECE                      mean distance of confidence and accuracy over bins (1706.04599, equation 3); it is above 0 for any classifier
                             on finitely many items, so what a perfectly calibrated one would show stands beside it (Bröcker and Smith
                             2007, doi:10.1175/WAF993.1)

Intervals of shares are Wilson's with the effective number of distinct texts; that of macro F1 is a bootstrap over items.

Shapes: N items, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from core.evaluation.bootstrap import RESAMPLES
from core.evaluation.calibration import BINS, expected_calibration_error
from core.evaluation.statistics import LEVEL, Estimate, wilson_interval
from core.tasks.metrics import effective_size

SIMULATIONS = 200  # of labels drawn with the stated probabilities
WORST = 12  # mistakes that are shown
LONGEST_SHOWN = 400  # characters of an item


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class.

    Attributes:
        items: that have this label.
        given: items that get it.
        precision, recall, f1: None where there is nothing to divide by.
    """

    label: str
    items: int
    given: int
    precision: Estimate | None
    recall: Estimate | None
    f1: float | None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read a record back."""
        shares = {name: plain[name] and Estimate.from_dict(plain[name]) for name in ("precision", "recall")}
        return cls(**{**plain, **shares})


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Items whose likeliest class has a probability above `low` and up to `high`: how many, its mean, and how many of them are right."""

    low: float
    high: float
    items: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One classifier on N items.

    Attributes:
        ece, ece_by_chance: expected calibration error, 0 to 1, and what 95 of 100 perfectly calibrated classifiers with these confidences
            would stay below.
        classes: in the order of the labels.
        confusion: (right, given, items) by the numbers of the classes; pairs that never occur are left out.
        bins: those with items.
    """

    accuracy: Estimate
    macro_f1: Estimate
    ece: float
    ece_by_chance: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, int, int], ...]
    bins: tuple[ConfidenceBin, ...]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read a record back."""
        return cls(Estimate.from_dict(plain["accuracy"]), Estimate.from_dict(plain["macro_f1"]), plain["ece"], plain["ece_by_chance"],
                   tuple(map(ClassScore.from_dict, plain["classes"])),
                   tuple((right, given, items) for right, given, items in plain["confusion"]),
                   tuple(ConfidenceBin(**each) for each in plain["bins"]))


@dataclass(frozen=True, slots=True)
class Mistake:
    """An item that the student gets wrong.

    Attributes:
        given: subject -> the label that it gives; `confidence`: with which probability.
    """

    text: str
    right: str
    given: Mapping[str, str]
    confidence: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ClassReport:
    """What a run's classifiers make of its held-out items.

    Attributes:
        scores: subject (`core.events.STAGES`) -> its scores.
        worst: mistakes of the trained student, the most confident first.
    """

    kind: ClassVar[str] = "classes"
    scores: Mapping[str, ClassScores]
    worst: tuple[Mistake, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read a record back."""
        return cls({subject: ClassScores.from_dict(each) for subject, each in plain["scores"].items()},
                   tuple(Mistake(**each) for each in plain["worst"]))


def class_scores(log_probabilities: np.ndarray, right: np.ndarray, labels: Sequence[str], texts: Sequence[Hashable]) -> ClassScores:
    """Return the scores of one classifier.

    Args:
        log_probabilities: (N, C).
        right: (N,) numbers of labels.
        texts: of the items; equal ones count as one in intervals.
    """
    given, size = log_probabilities.argmax(1), len(labels)
    matrix = np.bincount(right * size + given, minlength=size * size).reshape(size, size)
    hits = given == right
    confidence = np.exp(log_probabilities.max(1)).clip(0, 1)

    def share(part: np.ndarray) -> Estimate | None:
        chosen = np.flatnonzero(part)
        if not len(chosen):
            return None
        copies = Counter(texts[number] for number in chosen.tolist())
        return wilson_interval(float(hits[chosen].mean()), len(copies), effective=effective_size(copies.values()),
                               over="items" if len(copies) == len(chosen) else "distinct texts")

    f1 = _f1(matrix)
    classes = tuple(ClassScore(label, int(matrix[number].sum()), int(matrix[:, number].sum()), share(given == number),
                               share(right == number), None if np.isnan(f1[number]) else float(f1[number]))
                    for number, label in enumerate(labels))
    accuracy = share(np.ones(len(right), bool))
    assert accuracy is not None, "a task holds items out"
    cells = np.flatnonzero(matrix)
    return ClassScores(
        accuracy, _macro_f1(matrix, effective_size(Counter(texts).values())), expected_calibration_error(confidence, hits),
        _ece_by_chance(confidence), classes,
        tuple((int(cell // size), int(cell % size), int(matrix.flat[cell])) for cell in cells), _bins(confidence, hits))


def mistakes(log_probabilities: Mapping[str, np.ndarray], of: str, right: np.ndarray, labels: Sequence[str],
             texts: Sequence[str], count: int = WORST) -> tuple[Mistake, ...]:
    """Return what one classifier gets wrong, the most confident mistakes first, each text once.

    Args:
        log_probabilities: subject -> (N, C).
        of: whose mistakes they are.
    """
    given = {subject: values.argmax(1) for subject, values in log_probabilities.items()}
    highest = {subject: np.exp(values.max(1)).clip(0, 1) for subject, values in log_probabilities.items()}
    found: dict[str, Mistake] = {}
    for row in sorted(np.flatnonzero(given[of] != right).tolist(), key=lambda row: -highest[of][row]):
        if len(found) == count:
            break
        found.setdefault(texts[row], Mistake(
            texts[row][:LONGEST_SHOWN], labels[right[row]], {subject: labels[each[row]] for subject, each in given.items()},
            {subject: round(float(each[row]), 4) for subject, each in highest.items()}))
    return tuple(found.values())


def _f1(matrix: np.ndarray) -> np.ndarray:
    """Return (..., C) F1 of each class of confusion matrices (..., C, C); NaN for one that neither occurs nor is given."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    both = matrix.sum(-1) + matrix.sum(-2)
    return np.divide(2 * right, both, out=np.full(both.shape, np.nan), where=both > 0)


def _macro_f1(matrix: np.ndarray, effective: float) -> Estimate:
    """Return the mean F1 of the classes that occur, with its interval over items drawn again."""
    occurs = matrix.sum(1) > 0
    value = float(np.nanmean(_f1(matrix)[occurs]))
    n, size = round(effective), len(matrix)
    if n < 2:
        return Estimate(value)
    cells = np.flatnonzero(matrix)
    drawn = np.random.default_rng(0).multinomial(n, matrix.flat[cells] / matrix.sum(), RESAMPLES)  # (resamples, cells)
    # Sums over rows, columns and the diagonal of each drawn matrix, without the matrices themselves: C may be large.
    rows, columns, diagonal = (np.zeros((RESAMPLES, size)) for _ in range(3))
    for place, cell in enumerate(cells):
        row, column = divmod(int(cell), size)
        rows[:, row] += drawn[:, place]
        columns[:, column] += drawn[:, place]
        if row == column:
            diagonal[:, row] += drawn[:, place]
    both = rows + columns
    means = np.nanmean(np.divide(2 * diagonal, both, out=np.zeros_like(both), where=both > 0)[:, occurs], axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), LEVEL, n, "bootstrap", "items")


def _ece_by_chance(confidence: np.ndarray) -> float:
    """Return what 95 of 100 classifiers stay below that are right exactly as often as they say."""
    generator = np.random.default_rng(0)
    drawn = [expected_calibration_error(confidence, generator.random(len(confidence)) < confidence) for _ in range(SIMULATIONS)]
    return float(np.quantile(drawn, 0.95))


def _bins(confidence: np.ndarray, hits: np.ndarray) -> tuple[ConfidenceBin, ...]:
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # as `expected_calibration_error` does
    return tuple(ConfidenceBin(number / BINS, (number + 1) / BINS, int(part.sum()), float(confidence[part].mean()),
                               float(hits[part].mean()))
                 for number in range(BINS) if (part := place == number).any())
