"""Scores by class against scikit-learn's and against their definitions, calibration beside chance, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from core.methods.kept_logits import KeptLogits
from core.reports.class_scores import ClassReport, ClassScores, class_scores, mistakes
from core.tasks.data import Example, TaskData

LABELS = ("a", "b", "c")


def scored(items: int = 300, seed: int = 0, sharp: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities whose labels are drawn from themselves: a perfectly calibrated classifier at sharpness 2."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(items, 3)) * 2.0
    log = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    right = np.array([generator.choice(3, p=np.exp(row)) for row in log])
    logits *= sharp / 2.0
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), right


def of(log: np.ndarray, right: np.ndarray, texts: list[str] | None = None) -> ClassScores:
    return class_scores(log, right, LABELS, texts or [str(number) for number in range(len(right))])


def test_they_are_scikit_learns() -> None:
    log, right = scored()
    found, given = of(log, right), log.argmax(1)
    matrix = np.zeros((3, 3), int)
    for row, column, count in found.confusion:
        matrix[row, column] = count
    assert matrix.tolist() == confusion_matrix(right, given).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(right, given, labels=range(3))
    for number, each in enumerate(found.classes):
        assert (each.precision.value, each.recall.value, each.f1) == pytest.approx((precision[number], recall[number], f1[number]))
        assert each.items == support[number] and each.given == (given == number).sum()
        assert each.recall.low < each.recall.value < each.recall.high
    assert found.macro_f1.value == pytest.approx(f1.mean())
    assert found.macro_f1.low < found.macro_f1.value < found.macro_f1.high and found.macro_f1.method == "bootstrap"
    again = ClassScores.from_dict(json.loads(json.dumps(ClassReport({"student_after": found}, ()).to_dict()))["scores"]["student_after"])
    assert again == found


def test_what_never_occurs_has_no_score() -> None:
    log = np.log(np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1]]))
    found = of(log, np.array([0, 1, 1]))
    assert (found.classes[2].precision, found.classes[2].recall, found.classes[2].f1) == (None, None, None)
    assert found.macro_f1.value == pytest.approx((2 / 3 + 2 / 3) / 2), "over the classes that occur"
    assert found.classes[0].precision.value == 0.5 and found.classes[1].recall.value == 0.5


def test_calibration_is_judged_beside_what_chance_gives() -> None:
    calibrated, sure = of(*scored()), of(*scored(sharp=8.0))
    assert 0 < calibrated.ece <= calibrated.ece_by_chance
    assert sure.ece > 2 * sure.ece_by_chance
    assert sum(each.items for each in sure.bins) == 300
    by_hand = sum(each.items * abs(each.confidence - each.accuracy) for each in sure.bins) / 300
    assert sure.ece == pytest.approx(by_hand)


def test_equal_texts_count_once_in_intervals() -> None:
    log, right = scored(100)
    twice = of(np.concatenate([log, log]), np.concatenate([right, right]), [str(number) for number in range(100)] * 2)
    assert twice.accuracy.n == 100 and twice.accuracy.over == "distinct texts"
    once = of(log, right)
    assert (twice.accuracy.low, twice.accuracy.high) == pytest.approx((once.accuracy.low, once.accuracy.high))


def test_the_most_confident_mistakes_come_first_and_each_text_once() -> None:
    log = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.99, 0.01], [0.2, 0.8]]))
    right, texts = np.array([1, 1, 1, 1, 1]), ["nine", "six", "most", "most", "fine"]
    found = mistakes({"student_after": log, "teacher": log[:, ::-1]}, "student_after", right, ("no", "yes"), texts, count=2)
    assert [each.text for each in found] == ["most", "nine"]
    assert (found[0].right, found[0].given, found[0].confidence["teacher"]) == ("yes", {"student_after": "no", "teacher": "yes"}, 0.99)


def test_what_was_said_is_kept_until_the_report(tmp_path: Path) -> None:
    items = tuple(Example(f"text {number}", number % 2) for number in range(4))
    task = TaskData("films", "classification", ("no", "yes"), items, items)
    kept = KeptLogits(tmp_path / "logits")
    assert kept.report(task) is None, "nothing is known of the student"
    kept.keeper("teacher")(np.array([[2.0, 0], [0, 2], [2, 0], [0, 2]]))
    assert KeptLogits(tmp_path / "logits").report(task) is None
    kept.keeper("student_after")(np.array([[2.0, 0], [0, 2], [2, 0], [3, 2]]))
    report = KeptLogits(tmp_path / "logits").report(task)  # of another call
    assert report is not None and {who: each.accuracy.value for who, each in report.scores.items()} == {"teacher": 1.0,
                                                                                                      "student_after": 0.75}
    assert [each.text for each in report.worst] == ["text 3"]
    kept.remove()
    assert not (tmp_path / "logits").exists()
