"""Pass rules on given numbers."""

from __future__ import annotations

import statistics

import pytest

from core.evaluation.statistics import mean, standard_error
from core.studies.claims.rules import above, always, below, every, trend


def test_mean_and_standard_error_are_those_of_the_textbook() -> None:
    values = (1.0, 2.0, 4.0, 9.0)
    assert mean(values) == statistics.mean(values)
    assert standard_error(values) == pytest.approx(statistics.stdev(values) / len(values) ** 0.5)
    assert standard_error((3.0,)) is None


@pytest.mark.parametrize(("values", "verdict"), [
    ((1.0, 1.1, 0.9), "pass"),
    ((-1.0, -1.1, -0.9), "fail"),
    ((1.0, -1.0, 0.4), "inconclusive"),
    ((0.1, 2.0, 0.1), "inconclusive"),  # every seed has the right sign, but chance would do that
    ((0.0, 0.0, 0.0), "inconclusive"),
    ((0.5, 0.5, 0.5), "pass"),
    ((5.0, 5.0), "inconclusive"),  # two seeds say nothing
])
def test_the_default_rule_asks_for_two_standard_errors(values: tuple[float, ...], verdict: str) -> None:
    assert above("x").judge({"x": values}) == verdict
    assert below("x").judge({"x": [-value for value in values]}) == verdict
    assert above("x", 3.0).judge({"x": [value + 3.0 for value in values]}) == verdict


def test_two_standard_errors_and_no_fewer() -> None:
    spread = (-1.0, 0.0, 1.0)  # SE = 1 / sqrt(3)
    margin = 2 / 3**0.5
    assert above("x").judge({"x": [margin + 0.001 + value for value in spread]}) == "pass"
    assert above("x").judge({"x": [margin - 0.001 + value for value in spread]}) == "inconclusive"
    assert above("x").judge({"x": [-margin - 0.001 + value for value in spread]}) == "fail"


@pytest.mark.parametrize(("values", "verdict"), [
    ((1, 1, -1), "pass"), ((1, -1, -1), "fail"), ((1, 1, 1, 1, -1, -1), "pass"), ((0, 0, 0), "fail"),
    ((1, 1, -1, -1), "inconclusive"), ((1, 1, 1, -1, -1), "inconclusive"), ((1, 1), "inconclusive"),
])
def test_a_trend_is_two_thirds_of_the_seeds(values: tuple[float, ...], verdict: str) -> None:
    assert trend("x").judge({"x": values}) == verdict


def test_a_trend_may_ask_for_more_than_a_sign() -> None:
    rule = trend("rho", lambda value: value <= -0.8, "is at most -0.8")
    assert rule.judge({"rho": (-0.8, -1.0, 0.4)}) == "pass"
    assert rule.judge({"rho": (-0.7, -0.7, -0.7)}) == "fail"
    assert rule.words == "rho is at most -0.8 in at least two thirds of the seeds"


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
