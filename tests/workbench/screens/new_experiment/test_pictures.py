"""A distribution that softens with the temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.screens.new_experiment.pictures import softened


def test_probabilities_are_those_of_the_whole_vocabulary():
    logits = np.array([3.0, 2.0, 1.0, 0.0])
    tokens, _ = softened(["a", "b"], logits, 2.0)
    expected = [math.exp(value / 2) / sum(math.exp(other / 2) for other in logits) for value in (3.0, 2.0)]
    assert list(tokens["softened"]) == pytest.approx(expected)
    assert tokens["plain"].sum() < 1


def test_entropy_grows_to_that_of_the_uniform_distribution():
    logits = np.linspace(10, 0, 50)
    plain, soft = softened(["a"], logits, 3.0)[1]
    _, uniform = softened(["a"], logits, 1e9)[1]
    assert plain < soft < uniform == pytest.approx(math.log(50))


def test_tokens_that_cannot_be_seen_are_named():
    tokens, _ = softened([" film", "\n", "  ", ""], np.array([3.0, 2.0, 1.0, 0.0]), 1.0)
    assert list(tokens["token"]) == ["film", "⏎", "␣␣", "(part of a character)"]


def test_extreme_logits_do_not_overflow():
    tokens, (entropy, _) = softened(["a", "b"], np.array([1e4, -1e4]), 0.5)
    assert list(tokens["plain"]) == [1.0, 0.0]
    assert entropy == 0.0
