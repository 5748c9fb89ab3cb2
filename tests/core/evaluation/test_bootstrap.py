"""Percentile bootstrap of quantiles and of ratios of sums."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from core.evaluation.bootstrap import bootstrap_median, bootstrap_quantile, bootstrap_ratio, with_block_intervals
from core.evaluation.statistics import Estimate


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
    assert bootstrap_median([3.0]) == bootstrap_ratio([3.0], [1.0]) == Estimate(3.0)
    assert bootstrap_median([3.0] * 5) == Estimate(3.0, 3.0, 3.0, 0.95, 5, "bootstrap", "rounds")
    assert bootstrap_ratio([6.0] * 5, [2.0] * 5) == Estimate(3.0, 3.0, 3.0, 0.95, 5, "bootstrap", "blocks")


def test_another_quantile_lies_where_it_says() -> None:
    values = np.random.default_rng(0).normal(size=500).tolist()
    found = bootstrap_quantile(values, 0.95)
    assert found.value == np.quantile(values, 0.95) and found.low < 1.645 < found.high and found.n == 500
    assert found == bootstrap_quantile(values, 0.95) != bootstrap_quantile(values, 0.95, seed=1)


def test_a_ratio_covers_the_true_one_although_values_of_a_block_depend_on_each_other() -> None:
    """Taken token by token, as if they were independent, the same interval would hold the truth half as often."""
    generator, covered = np.random.default_rng(0), []
    for _ in range(150):
        counts = generator.integers(20, 60, 40)
        sums = [float(generator.normal(2.0, 0.5) * count + generator.normal(0, 1, count).sum()) for count in counts]
        found = bootstrap_ratio(sums, counts)
        covered.append(found.low <= 2.0 <= found.high)
    assert 0.89 <= np.mean(covered) <= 0.99


def test_a_block_without_positions_counts_for_nothing() -> None:
    whole = bootstrap_ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert bootstrap_ratio([2.0, 0.0, 4.0, 9.0], [1.0, 0.0, 2.0, 3.0]) == whole and whole.n == 3


@pytest.mark.parametrize(("above", "below"), [([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([], [])])
def test_ratios_without_a_meaning_are_refused(above: list[float], below: list[float]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        bootstrap_ratio(above, below)


def test_metrics_get_the_ends_of_their_intervals() -> None:
    counts = np.array([10.0, 0.0, 20.0, 30.0])
    found = with_block_intervals({"perplexity": math.e}, {"perplexity": np.array([8.0, 0.0, 22.0, 30.0])}, counts, {"perplexity": math.exp})
    assert found["blocks"] == 3 and found["perplexity_low"] < math.e < found["perplexity_high"]
    assert "perplexity_low" not in with_block_intervals({}, {"perplexity": np.array([1.0])}, np.array([1.0]), {})
