"""Calibration error against a loop over its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.calibration import expected_calibration_error


def naive(confidence: list[float], correct: list[bool], bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [i for i, value in enumerate(confidence) if low < value <= high or (number == 0 and value == 0)]
        if inside:
            gap = abs(sum(correct[i] for i in inside) / len(inside) - sum(confidence[i] for i in inside) / len(inside))
            total += len(inside) / len(confidence) * gap
    return total


@given(st.lists(st.tuples(st.integers(0, 97).map(lambda value: value / 97), st.booleans()), min_size=1, max_size=40), st.integers(1, 20))
def test_it_is_its_definition(items: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = map(list, zip(*items, strict=True))
    assert expected_calibration_error(np.array(confidence), np.array(correct), bins) == pytest.approx(naive(confidence, correct, bins))


def test_a_model_that_says_how_often_it_is_right_has_none() -> None:
    correct = np.array([True] * 8 + [False] * 2)
    assert expected_calibration_error(np.full(10, 0.8), correct) == pytest.approx(0)
    assert expected_calibration_error(np.ones(10), correct) == pytest.approx(0.2)


def test_nothing_has_no_calibration() -> None:
    with pytest.raises(ValueError, match="at least one"):
        expected_calibration_error(np.array([]), np.array([], dtype=bool))
