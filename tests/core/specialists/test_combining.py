from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from core.specialists import combining
from core.specialists.combining import Opinion, combine, combine_by_gradient, is_relevant, objective

CLASSES = 7


def disagreeing(items: int = 12, seed: int = 0) -> tuple[np.ndarray, list[Opinion]]:
    """A generalist, and three specialists whose sets overlap; some are relevant for no item, some items have no specialist."""
    generator = np.random.default_rng(seed)
    generalist = softmax(3 * generator.normal(size=(items, CLASSES)), axis=1)
    opinions = []
    for classes in ((0, 1, 2), (2, 3), (1, 4, 5, 6)):
        said = softmax(3 * generator.normal(size=(items, len(classes) + 1)), axis=1)
        relevant = generator.random(items) < 0.7
        relevant[0] = False
        opinions.append(Opinion(classes, said, relevant))
    return generalist, opinions


def test_an_item_without_a_relevant_specialist_has_the_generalists_answer() -> None:
    generalist, opinions = disagreeing()
    assert (combine(generalist, opinions).probabilities[0] == generalist[0]).all()
    assert (combine(generalist, []).probabilities == generalist).all()


def test_the_fixed_point_equals_gradient_descent() -> None:
    generalist, opinions = disagreeing()
    found = combine(generalist, opinions)
    assert found.converged.all() and found.rounds > 1
    assert np.allclose(found.probabilities.sum(axis=1), 1, atol=1e-12)
    assert np.abs(found.probabilities - combine_by_gradient(generalist, opinions)).max() < 1e-6


def test_the_fixed_point_never_raises_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    generalist, opinions = disagreeing()
    values = []
    for rounds in range(1, 8):
        monkeypatch.setattr(combining, "MAX_ROUNDS", rounds)
        values.append(objective(generalist, opinions, combine(generalist, opinions).probabilities))
    assert (np.diff(values, axis=0) <= 1e-12).all()


def test_the_objective_is_the_sum_of_divergences() -> None:
    generalist, opinions = disagreeing(1)
    q = softmax(np.arange(CLASSES, dtype=float))[None]
    expected = sum(p * np.log(p / q[0, i]) for i, p in enumerate(generalist[0]))
    opinion = Opinion((2, 3), opinions[1].probabilities, np.array([True]))
    dust = sum(q[0, i] for i in range(CLASSES) if i not in (2, 3))
    expected += sum(p * np.log(p / mass) for p, mass in zip(opinion.probabilities[0], (q[0, 2], q[0, 3], dust), strict=True))
    assert objective(generalist, [opinion], q)[0] == pytest.approx(expected)


def test_specialists_that_are_certain_of_other_classes_leave_finite_probabilities() -> None:
    generalist = np.eye(CLASSES)[[0]]
    certain = [Opinion(classes, np.array([said]), np.array([True])) for classes, said in (((0, 1), [0.0, 1, 0]), ((2, 3), [1.0, 0, 0]))]
    found = combine(generalist, certain).probabilities
    assert np.isfinite(found).all() and found.sum() == pytest.approx(1)
    assert found[0, [0, 1, 2]] == pytest.approx([1 / 3] * 3)


def test_relevance_follows_the_generalists_likeliest_classes() -> None:
    generalist = np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4]])
    assert is_relevant(generalist, (1, 2)).tolist() == [False, False]
    assert is_relevant(generalist, (1, 2), top=2).tolist() == [True, True]
    assert is_relevant(generalist, (3,)).tolist() == [False, True]
