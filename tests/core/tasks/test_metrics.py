"""Scores against scikit-learn's, and against versions written from their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, recall_score

from core.tasks.metrics import answer_metrics, best_span, classification_metrics, f1, matthews, normalised, word_f1


def test_accuracy_and_recall_of_each_label() -> None:
    predicted, right = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    metrics = classification_metrics(predicted, right, ("no", "yes", "maybe"), ("f1",))
    assert metrics == {"accuracy": 0.6, "stderr": pytest.approx(math.sqrt(0.6 * 0.4 / 5)), "items": 5, "f1": pytest.approx(4 / 6),
                       "recall_no": 0.5, "recall_yes": pytest.approx(2 / 3)}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.3, 0.9])
def test_scores_are_those_of_scikit_learn(classes: int, noise: float) -> None:
    rng = np.random.default_rng(classes)
    right = rng.integers(0, classes, 200)
    predicted = np.where(rng.random(200) < noise, rng.integers(0, classes, 200), right)
    names = ("no", "yes", "maybe")[:classes]
    metrics = classification_metrics(predicted, right, names, ("matthews", "f1"))
    recalls = recall_score(right, predicted, average=None)
    assert metrics == pytest.approx({
        "accuracy": accuracy_score(right, predicted), "items": 200, "stderr": metrics["stderr"],
        "matthews": matthews_corrcoef(right, predicted), "f1": f1_score(right, predicted, labels=[1], average="macro"),
        **{f"recall_{name}": recall for name, recall in zip(names, recalls, strict=True)}})


def test_labellings_of_one_label_score_as_in_scikit_learn() -> None:
    right, never = np.array([0, 1, 1, 0]), np.zeros(4, int)
    assert f1(never, never) == f1_score(never, never, zero_division=0) == 0
    assert f1(never, right) == f1_score(right, never, zero_division=0) == 0
    assert matthews(never, right) == matthews_corrcoef(right, never) == 0


def test_matthews_is_the_correlation_of_two_binary_labellings() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 2, 200)
    predicted = np.where(rng.random(200) < 0.3, 1 - right, right)
    assert matthews(predicted, right) == pytest.approx(np.corrcoef(predicted, right)[0, 1])
    assert matthews(right, right) == pytest.approx(1) and matthews(1 - right, right) == pytest.approx(-1)
    assert matthews(np.zeros(200, int), right) == 0


def test_f1() -> None:
    assert f1(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])) == 0.5  # precision 1/2, recall 1/2
    assert f1(np.zeros(3, int), np.zeros(3, int)) == 0


@pytest.mark.parametrize(("text", "expected"), [
    ("The Cat!", "cat"), ("an  apple, a day", "apple day"), ("U.S.", "us"), ("thesis", "thesis"), ("the the", ""), ("", "")])
def test_normalisation_as_squad_does_it(text, expected) -> None:
    assert normalised(text) == expected


@pytest.mark.parametrize(("given", "right", "expected"), [
    ("the cat sat", "cat sat", 1.0), ("cat", "cat sat", 2 / 3), ("dog", "cat", 0.0), ("", "cat", 0.0), ("", "", 1.0),
    ("cat cat dog", "cat", 0.5)])
def test_overlap_of_words(given, right, expected) -> None:
    assert word_f1(given, right) == pytest.approx(expected)


def test_the_best_of_several_right_answers_counts() -> None:
    metrics = answer_metrics(["in Rome", "Ben"], [["Rome", "in rome!"], ["Anna"]])
    assert metrics == {"exact_match": 0.5, "answer_f1": 0.5, "stderr": pytest.approx(0.5), "items": 2}


def test_spans_against_all_pairs() -> None:
    rng = np.random.default_rng(1)
    for length in (5, 12, 18):
        spans = np.full((length, 2), -1)
        spans[3:-1] = [(4 * place, 4 * place + 3) for place in range(length - 4)]
        start, end = rng.normal(size=(2, length))
        valid = [(start[i] + end[j], spans[i, 0], spans[j, 1]) for i in range(3, length - 1) for j in range(i, min(i + 4, length - 1))]
        assert best_span(start, end, spans, longest=4) == pytest.approx(max(valid))


def test_no_valid_pair_among_the_likeliest() -> None:
    spans = np.stack([np.arange(50), np.arange(50) + 1], 1)
    start, end = np.arange(50.0), -np.arange(50.0)  # the likeliest beginnings are behind the likeliest ends
    score, first, last = best_span(start, end, spans)
    assert (score, last - first) == (0, 1)
    assert best_span(start, end, np.full((50, 2), -1))[0] == -math.inf
