"""What specialists are judged by (1503.02531, tables 3 and 4).

    conditional accuracy   items of the special classes alone, predictions restricted to those classes
    overall accuracy       all items, all classes
    coverage               both answers, by how many specialists have the right class among theirs

Shapes: N items, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.evaluation.statistics import paired_difference
from core.reports.specialists_report import CoverageRow, Gain
from core.specialists.panel import PanelAnswer


def specialist_gain(answer: PanelAnswer, number: int, targets: np.ndarray) -> Gain:
    """Return the conditional accuracies of one specialist and of the generalist.

    Args:
        number: of the specialist, from 0.
        targets: (N,) right classes.
    """
    opinion = answer.opinions[number]
    classes = np.asarray(opinion.classes)
    own = np.isin(targets, classes)
    right = [classes[said[own].argmax(axis=1)] == targets[own] for said in (opinion.probabilities[:, :-1], answer.generalist[:, classes])]
    if not own.any():
        return Gain(opinion.classes, 0, float("nan"), float("nan"), None)
    specialist, generalist = (each.tolist() for each in right)
    return Gain(opinion.classes, int(own.sum()), float(right[1].mean()), float(right[0].mean()), paired_difference(specialist, generalist))


def conditional_accuracies(improvements: Sequence[Gain]) -> tuple[float, float]:
    """Return the generalist's and the specialists' conditional accuracy over the items of all specialists together."""
    measured = [each for each in improvements if each.items]
    items = [each.items for each in measured]
    return (float(np.average([each.generalist for each in measured], weights=items)),
            float(np.average([each.specialist for each in measured], weights=items)))


def accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the share of items whose likeliest class is the right one."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def coverage_table(answer: PanelAnswer, coverage: np.ndarray, targets: np.ndarray) -> tuple[CoverageRow, ...]:
    """Return a row for each number of covering specialists that occurs.

    Args:
        coverage: (C,) specialists that have each class.
        targets: (N,) right classes.
    """
    covering = coverage[targets]
    general, combined = (each.argmax(axis=1) == targets for each in (answer.generalist, answer.combined.probabilities))
    return tuple(CoverageRow(int(count), int((covering == count).sum()), int(general[covering == count].sum()),
                             int(combined[covering == count].sum())) for count in np.unique(covering))
