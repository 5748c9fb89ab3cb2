"""Medians, means and ratios with their intervals."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from core.evaluation.statistics import Estimate, bootstrap_median, mean_interval, ratio_of_means


def test_the_median_lies_in_its_interval_and_more_values_narrow_it() -> None:
    generator = random.Random(0)
    few, many = ([generator.gauss(10, 1) for _ in range(count)] for count in (9, 400))
    narrow, wide = bootstrap_median(many), bootstrap_median(few)
    assert narrow.low <= narrow.value == np.median(many) <= narrow.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3


def test_the_bootstrap_covers_the_true_median_about_as_often_as_it_says() -> None:
    generator = random.Random(1)
    covered = sum(estimate.low <= 0 <= estimate.high
                  for estimate in (bootstrap_median([generator.gauss(0, 1) for _ in range(31)]) for _ in range(200)))
    assert 0.88 <= covered / 200 <= 0.99


def test_one_value_has_no_interval_and_equal_values_a_point() -> None:
    assert bootstrap_median([3.0]) == mean_interval([3.0]) == Estimate(3.0)
    assert ratio_of_means([2.0], [4.0]) == Estimate(0.5)
    assert bootstrap_median([3.0] * 5) == mean_interval([3.0] * 5) == Estimate(3.0, 3.0, 3.0)


def test_the_mean_has_two_standard_errors_to_either_side() -> None:
    values = [1.0, 2.0, 4.0]
    error = np.std(values, ddof=1) / math.sqrt(3)
    estimate = mean_interval(values)
    assert (estimate.low, estimate.high) == pytest.approx((np.mean(values) - 2 * error, np.mean(values) + 2 * error))


def test_a_paired_ratio_is_certain_where_both_move_together() -> None:
    teacher = [0.80, 0.90, 0.85]
    together = ratio_of_means([0.9 * value for value in teacher], teacher)
    assert together.value == pytest.approx(0.9) and together.high - together.low < 1e-9
    apart = ratio_of_means([0.9 * value for value in reversed(teacher)], teacher)
    assert apart.value == pytest.approx(0.9) and apart.high - apart.low > 0.05


def test_the_interval_of_a_ratio_agrees_with_many_repetitions() -> None:
    """Its half width is twice the standard deviation that the ratio itself has over repeated experiments."""
    generator, ratios, widths = random.Random(2), [], []
    for _ in range(400):
        below = [generator.gauss(0.8, 0.02) for _ in range(12)]
        above = [0.9 * value + generator.gauss(0, 0.01) for value in below]
        estimate = ratio_of_means(above, below)
        ratios.append(estimate.value)
        widths.append((estimate.high - estimate.low) / 4)
    assert np.mean(widths) == pytest.approx(np.std(ratios), rel=0.1)


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match="paired"):
        ratio_of_means([1.0, 2.0], [1.0])


@pytest.mark.parametrize("function", [lambda x: x - 1, lambda x: -x])
def test_a_function_of_an_estimate_keeps_low_below_high(function) -> None:
    mapped = Estimate(2.0, 1.0, 4.0).map(function)
    assert mapped.low <= mapped.value <= mapped.high and mapped.value == function(2.0)
    assert Estimate(2.0).map(function) == Estimate(function(2.0))
