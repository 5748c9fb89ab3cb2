"""Pass rules on given numbers."""

from __future__ import annotations

import statistics

import pytest

from core.evaluation.statistics import mean, standard_error, t_critical
from core.studies.claims.rules import above, always, below, every, measurement, trend


def test_mean_and_standard_error_are_those_of_the_textbook() -> None:
    values = (1.0, 2.0, 4.0, 9.0)
    assert mean(values) == statistics.mean(values)
    assert standard_error(values) == pytest.approx(statistics.stdev(values) / len(values) ** 0.5)
    assert standard_error((3.0,)) is None


@pytest.mark.parametrize(("values", "verdict"), [
    ((1.0, 1.1, 0.9), "pass"),
    ((1.0, 2.0, 1.0), "inconclusive"),  # 4 standard errors above 0, of which three seeds need 4.30
    ((1.0, 2.0, 1.0, 2.0, 1.0), "pass"),
    ((-1.0, -1.1, -0.9), "fail"),
    ((1.0, -1.0, 0.4), "inconclusive"),
    ((0.1, 2.0, 0.1), "inconclusive"),  # every seed has the right sign, but chance would do that
    ((0.0, 0.0, 0.0), "inconclusive"),
    ((0.5, 0.5, 0.5), "pass"),
    ((5.0, 5.0), "inconclusive"),  # two seeds say nothing
])
def test_the_default_rule_compares_the_interval_with_the_threshold(values: tuple[float, ...], verdict: str) -> None:
    assert above("x").judge({"x": values}) == verdict
    assert below("x").judge({"x": [-value for value in values]}) == verdict
    assert above("x", 3.0).judge({"x": [value + 3.0 for value in values]}) == verdict


@pytest.mark.parametrize("n", [3, 5])
def test_the_verdict_turns_where_the_interval_of_students_t_ends(n: int) -> None:
    spread = [place - (n - 1) / 2 for place in range(n)]
    margin = t_critical(n) * statistics.stdev(spread) / n**0.5
    assert above("x").judge({"x": [margin + 0.001 + value for value in spread]}) == "pass"
    assert above("x").judge({"x": [margin - 0.001 + value for value in spread]}) == "inconclusive"
    assert above("x").judge({"x": [-margin + 0.001 + value for value in spread]}) == "inconclusive"
    assert above("x").judge({"x": [-margin - 0.001 + value for value in spread]}) == "fail"


def test_values_that_are_no_numbers_give_no_verdict() -> None:
    assert above("x").judge({"x": (1.0, float("nan"), 1.0)}) == "inconclusive"


def test_a_rule_says_its_level_and_method() -> None:
    assert above("x").words == "x is above 0 with its whole 95% confidence interval (Student's t over the seeds)"
    assert below("x", 0.15).words == "x is below 0.15 with its whole 95% confidence interval (Student's t over the seeds)"


@pytest.mark.parametrize(("values", "verdict"), [
    ((1, 1, -1), "pass"), ((1, -1, -1), "fail"), ((1, 1, 1, 1, -1, -1), "pass"), ((0, 0, 0), "fail"),
    ((1, 1, -1, -1), "inconclusive"), ((1, 1, 1, -1, -1), "inconclusive"), ((1, 1), "inconclusive"),
])
def test_a_trend_is_two_thirds_of_the_seeds(values: tuple[float, ...], verdict: str) -> None:
    assert trend("x").judge({"x": values}) == verdict


def test_a_trend_may_require_more_than_a_sign() -> None:
    rule = trend("rho", lambda value: value <= -0.8, "is at most -0.8")
    assert rule.judge({"rho": (-0.8, -1.0, 0.4)}) == "pass"
    assert rule.judge({"rho": (-0.7, -0.7, -0.7)}) == "fail"
    assert rule.words == "rho is at most -0.8 in at least two thirds of the seeds (a trend, not a significance test)"


def test_an_exact_statement_fails_by_one_exception_and_needs_one_seed() -> None:
    rule = always("error", lambda value: value < 1e-3, "is below 0.001")
    assert rule.judge({"error": (1e-4,)}) == "pass"
    assert rule.judge({"error": (1e-4, 1e-2, 1e-4)}) == "fail"


def test_of_several_rules_the_worst_counts() -> None:
    rule = every(above("a"), above("b"))
    good, bad, open_ = (1.0, 1.0, 1.0), (-1.0, -1.0, -1.0), (1.0, -1.0, 0.0)
    assert rule.judge({"a": good, "b": good}) == "pass"
    assert rule.judge({"a": good, "b": open_}) == "inconclusive"
    assert rule.judge({"a": open_, "b": bad}) == "fail"


def test_a_measurement_gets_no_verdict_whatever_it_shows() -> None:
    assert {measurement("a").judge({"a": values}) for values in ((1.0,), (-1.0, -1.0, -1.0), (0.0,) * 5)} == {"measured"}
