"""Medians, means and ratios with their intervals."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import pytest
from scipy import stats

from core.evaluation.statistics import (
    MOST_TERMS,
    Estimate,
    bootstrap_median,
    interval_words,
    item_interval,
    mean_interval,
    normal_interval,
    ratio_of_means,
    t_critical,
    wilson_interval,
)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 10, 31, 100, MOST_TERMS, MOST_TERMS + 1, MOST_TERMS + 2, MOST_TERMS + 3, 10**6])
@pytest.mark.parametrize("level", [0.05, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.99999])
def test_quantiles_of_students_t_are_those_of_scipy(n: int, level: float) -> None:
    assert t_critical(n, level) == pytest.approx(stats.t.ppf((1 + level) / 2, n - 1), rel=1e-9)


@pytest.mark.parametrize(("n", "printed"), [(2, 12.706), (3, 4.303), (5, 2.776), (7, 2.447), (31, 2.042), (10**6, 1.960)])
def test_quantiles_are_those_of_the_printed_tables(n: int, printed: float) -> None:
    assert t_critical(n) == pytest.approx(printed, abs=5e-4)


@pytest.mark.parametrize(("n", "level"), [(1, 0.95), (0, 0.95), (3, 0.0), (3, 1.0), (3, 95)])
def test_quantiles_without_a_meaning_are_refused(n: int, level: float) -> None:
    with pytest.raises(ValueError, match=str(n) if n < 2 else str(level)):
        t_critical(n, level)


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = [0.2, 0.5, 0.1, 0.7, 0.4]
    found = mean_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.9, 4, np.mean(values), stats.sem(values)))
    assert (found.level, found.n, found.method, found.over) == (0.9, 5, "student_t", "seeds")
    assert found.margin == pytest.approx((found.high - found.low) / 2)


@pytest.mark.parametrize("n", [3, 5])
def test_intervals_over_few_seeds_cover_the_true_mean_as_often_as_they_say(n: int) -> None:
    """Two standard errors, the earlier rule, cover it in 82% and 88% of experiments."""
    generator = np.random.default_rng(n)
    drawn = generator.normal(size=(2000, n))
    covered = [found.low <= 0 <= found.high for found in map(mean_interval, drawn.tolist())]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)  # three standard errors of a share of 2,000


def test_an_interval_says_its_level_its_method_and_what_it_was_computed_from() -> None:
    assert mean_interval([1.0, 2.0, 4.0]).interval_words == "95% CI, Student's t over 3 seeds"
    assert bootstrap_median([1.0, 2.0, 4.0]).interval_words == "95% CI, bootstrap over 3 rounds"
    assert interval_words("student_t", 0.995, 1200, "items") == "99.5% CI, Student's t over 1,200 items"
    assert interval_words("student_t") == "95% CI, Student's t over seeds"
    assert Estimate(1.0).interval_words == "" and Estimate(1.0).margin is None


def test_intervals_that_an_earlier_release_stored_say_what_they_are() -> None:
    stored = Estimate.from_dict({"value": 1.0, "low": 0.5, "high": 1.5})
    assert stored.interval_words == "± 2 standard errors over seeds" and stored.level is None
    assert Estimate.from_dict({"value": 1.0, "low": None, "high": None}) == Estimate(1.0)
    found = mean_interval([1.0, 2.0, 4.0])
    assert Estimate.from_dict(dataclasses.asdict(found)) == found


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
    assert bootstrap_median([3.0] * 5) == Estimate(3.0, 3.0, 3.0, 0.95, 5, "bootstrap", "rounds")
    assert mean_interval([3.0] * 5) == Estimate(3.0, 3.0, 3.0, 0.95, 5, "student_t", "seeds")
    assert mean_interval([1.0, math.nan]).low is None


def test_a_paired_ratio_is_certain_where_both_move_together() -> None:
    teacher = [0.80, 0.90, 0.85]
    together = ratio_of_means([0.9 * value for value in teacher], teacher)
    assert together.value == pytest.approx(0.9) and together.high - together.low < 1e-9
    apart = ratio_of_means([0.9 * value for value in reversed(teacher)], teacher)
    assert apart.value == pytest.approx(0.9) and apart.high - apart.low > 0.05


def test_the_interval_of_a_ratio_agrees_with_many_repetitions() -> None:
    """Its half-width is t times the standard deviation that the ratio itself has over repeated experiments."""
    generator, ratios, widths = random.Random(2), [], []
    for _ in range(400):
        below = [generator.gauss(0.8, 0.02) for _ in range(12)]
        above = [0.9 * value + generator.gauss(0, 0.01) for value in below]
        estimate = ratio_of_means(above, below)
        ratios.append(estimate.value)
        widths.append(estimate.margin / t_critical(12))
    assert np.mean(widths) == pytest.approx(np.std(ratios), rel=0.1)


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match="paired"):
        ratio_of_means([1.0, 2.0], [1.0])


@pytest.mark.parametrize("function", [lambda x: x - 1, lambda x: -x])
def test_a_function_of_an_estimate_keeps_low_below_high(function) -> None:
    mapped = Estimate(2.0, 1.0, 4.0, 0.95, 3, "student_t").map(function)
    assert (mapped.level, mapped.n, mapped.method) == (0.95, 3, "student_t")
    assert mapped.low <= mapped.value <= mapped.high and mapped.value == function(2.0)
    assert Estimate(2.0).map(function) == Estimate(function(2.0))


def test_the_interval_of_a_share_of_items_is_the_normal_one() -> None:
    found = normal_interval(0.8, 0.02, 400)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, 0.8, 0.02))
    assert found.interval_words == "95% CI, normal approximation over 400 items"


@pytest.mark.parametrize(("right", "n"), [(28, 28), (0, 28), (27, 28), (1, 1), (0, 1), (300, 400), (5, 10**6)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_wilsons_interval_is_that_of_scipy(right: int, n: int, level: float) -> None:
    found = wilson_interval(right / n, n, level)
    expected = stats.binomtest(right, n).proportion_ci(level, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (found.level, found.n, found.method) == (level, n, "wilson")


def test_all_items_right_is_no_certainty() -> None:
    found = item_interval("accuracy", {"accuracy": 1.0, "stderr": 0.0, "items": 28})
    assert found is not None and found.low == pytest.approx(0.879, abs=5e-4) and found.high == 1.0
    assert found.interval_words == "95% CI, Wilson over 28 items"


def test_only_shares_of_items_have_wilsons_interval() -> None:
    metrics = {"answer_f1": 0.8, "exact_match": 0.7, "stderr": 0.02, "items": 400, "perplexity": 3.0}
    assert item_interval("answer_f1", metrics) == normal_interval(0.8, 0.02)
    assert item_interval("exact_match", metrics) == wilson_interval(0.7, 400)
    assert item_interval("perplexity", metrics) is None


@pytest.mark.parametrize(("share", "n"), [(0.5, 0), (-0.1, 5), (1.1, 5)])
def test_a_share_that_cannot_be_is_refused(share: float, n: int) -> None:
    with pytest.raises(ValueError, match="a share from 0 to 1"):
        wilson_interval(share, n)
