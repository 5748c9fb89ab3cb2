"""Medians, means and ratios with their intervals."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import pytest
from scipy import stats

from core.evaluation.bootstrap import bootstrap_median
from core.evaluation.statistics import (
    MOST_TERMS,
    Estimate,
    interval_words,
    item_interval,
    mean_interval,
    normal_interval,
    paired_difference,
    ratio_of_means,
    t_critical,
    welch_difference,
    wilson_interval,
)
from core.tasks.metrics import effective_size


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


def test_one_value_has_no_interval_and_equal_values_a_point() -> None:
    assert mean_interval([3.0]) == Estimate(3.0)
    assert ratio_of_means([2.0], [4.0]) == Estimate(0.5)
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


def test_copies_of_an_item_are_worth_one() -> None:
    assert effective_size([1] * 28) == 28 and effective_size([4] * 9) == 9 and effective_size([]) == 0
    assert 1 < effective_size([10, 1, 1]) < 3
    alone, copied = wilson_interval(1.0, 9), wilson_interval(1.0, 9, effective=effective_size([4] * 9))
    assert alone == copied and copied.low < 0.75, "28 right answers to 9 texts prove no more than 9"


def test_the_difference_of_two_models_on_the_same_items_is_never_a_point() -> None:
    same = paired_difference([True] * 28, [True] * 28)
    assert same.value == 0 and same.low == pytest.approx(-same.high) and same.high > 0.05
    one, other = [True] * 60 + [False] * 40, [True] * 50 + [False] * 50
    found = paired_difference(one, other)
    assert found.value == pytest.approx(0.1) and found.low < 0.1 < found.high
    apart = paired_difference(one, [*other[50:], *other[:50]])  # the same shares, with many items that only one of them has
    assert apart.value == pytest.approx(0.1) and apart.high - apart.low > 2 * (found.high - found.low)
    with pytest.raises(ValueError, match="same items"):
        paired_difference([True], [])


def test_paired_differences_cover_the_true_one_as_often_as_they_say() -> None:
    generator, covered = np.random.default_rng(0), []
    for _ in range(600):
        kind = generator.choice(4, size=60, p=[0.7, 0.08, 0.05, 0.17])  # both, the first alone, the second alone, neither
        found = paired_difference((kind < 2).tolist(), np.isin(kind, (0, 2)).tolist())
        covered.append(found.low <= 0.03 <= found.high)
    assert np.mean(covered) == pytest.approx(0.955, abs=0.03)


def test_welchs_difference_is_that_of_scipy_with_its_freedom_rounded_down() -> None:
    one, other = [3.0, 3.4, 2.9, 3.3], [2.0, 2.9, 2.4]
    found = welch_difference(one, other)
    exact = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(one) - np.mean(other))
    assert found.low <= exact.low and found.high >= exact.high and found.high - found.value < 1.4 * (exact.high - found.value)
    assert welch_difference([1.0], [2.0, 3.0]) == Estimate(-1.5) and welch_difference([1.0, 1.0], [2.0, 2.0]).low == -1.0


def test_intervals_beside_metrics_are_read_with_their_blocks() -> None:
    metrics = {"perplexity": 20.0, "perplexity_low": 18.0, "perplexity_high": 23.0, "blocks": 64}
    found = item_interval("perplexity", metrics)
    assert (found.low, found.high) == (18.0, 23.0) and found.interval_words == "95% CI, bootstrap over 64 blocks of text"
    copied = item_interval("accuracy", {"accuracy": 1.0, "items": 28, "distinct": 9, "effective": 8.5})
    assert copied.interval_words == "95% CI, Wilson over 9 distinct texts" and copied.low < item_interval(
        "accuracy", {"accuracy": 1.0, "items": 28}).low
