"""The best of a sweep, and what is not distinguishable from it, against scipy and by hand."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from core.studies.sweeps.ranking import CellScores, rank


def cell(number: int, *values: float, metric: str = "perplexity") -> CellScores:
    return CellScores(number, {"losses.temperature": str(number)}, len(values), {metric: dict(enumerate(values, start=42))})


def test_the_best_has_the_lowest_mean_or_the_highest() -> None:
    cells = [cell(1, 5.0, 5.2), cell(2, 4.0, 4.2), cell(3, 6.0, 6.2)]
    assert [each.number for each in rank(cells, "perplexity").cells] == [2, 1, 3]
    upwards = [cell(1, 0.5, metric="agreement"), cell(2, 0.9, metric="agreement")]
    assert rank(upwards, "agreement").best is upwards[1]
    directionless = rank([cell(1, 0.5, metric="majority_share")], "majority_share")
    assert directionless.best is None
    assert directionless.note == ""


def test_the_mean_has_students_interval() -> None:
    values = [4.0, 4.4, 4.1]
    estimate = rank([cell(1, *values)], "perplexity").estimate
    low, high = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_pairs_are_compared_seed_by_seed_at_the_level_of_all_of_them() -> None:
    best, near, far = [4.0, 4.4, 4.1, 4.3], [4.05, 4.43, 4.18, 4.33], [9.0, 9.41, 9.1, 9.3]
    found = rank([cell(1, *best), cell(2, *near), cell(3, *far)], "perplexity")
    assert found.comparisons == 3
    assert found.level == pytest.approx(1 - 0.05 / 3)
    tests = {number: stats.ttest_rel(best, other).pvalue for number, other in ((2, near), (3, far))}
    assert tests[3] < 0.05 / 3 < tests[2] < 0.05  # the second differs at 95% by itself, and not once all pairs are counted
    assert found.alike == (2,)
    assert found.alike_alone == ()
    assert "3 pairs were compared, each at 98.33%" in found.note
    assert "1 of 2 others are not distinguishable from the best. At 95% each by itself it is 0 of 2." in found.note


def test_other_seeds_are_independent_samples() -> None:
    first = CellScores(1, {}, 3, {"perplexity": {1: 4.0, 2: 4.4, 3: 4.1}})
    other = CellScores(2, {}, 3, {"perplexity": {7: 9.0, 8: 9.5, 9: 9.1}})
    assert rank([first, other], "perplexity").alike == ()


def test_one_seed_tells_nothing_apart() -> None:
    found = rank([cell(1, 4.0), cell(2, 40.0)], "perplexity")
    assert found.alike == (2,)
    assert found.estimate is not None
    assert found.estimate.low is None
    assert "repeat with more seeds" in found.note


def test_a_setting_that_diverged_is_never_the_best() -> None:
    lucky = cell(1, 1.0, math.inf)
    found = rank([lucky, cell(2, 4.0, 4.2), cell(3, math.nan)], "perplexity")
    assert [each.number for each in found.cells] == [2, 1]
    assert lucky.diverged("perplexity") == 1


def test_nothing_measured_has_no_best() -> None:
    found = rank([CellScores(1, {}, 2)], "perplexity")
    assert found.best is None
    assert found.cells == ()
