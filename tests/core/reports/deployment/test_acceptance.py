"""Limits, verdicts and what straddles a limit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.evaluation.statistics import Estimate
from core.reports.deployment.acceptance import Limits, criteria, verdict_of, verdicts_of_forms, within
from core.reports.deployment.record import Deployment
from tests.core.reports.deployment.examples import deployment


@pytest.mark.parametrize(("low", "high", "verdict"), [(0.1, 0.9, "pass"), (1.1, 1.4, "fail"), (0.9, 1.1, "inconclusive"),
                                                      (0.5, 1.0, "pass"), (None, None, "inconclusive")])
def test_the_whole_interval_decides(low: float | None, high: float | None, verdict: str) -> None:
    assert within(Estimate(0.7, low, high), 1.0) == verdict


def test_a_broken_limit_goes_before_one_that_is_not_known() -> None:
    found = deployment()
    loss, size, latency = criteria(found, "int8", Limits(loss=1.0, megabytes=5.0, milliseconds=5.0))
    assert (loss.verdict, size.verdict, latency.verdict) == ("inconclusive", "fail", "pass")
    assert loss.found.startswith("1 points (") and loss.why == "95% CI, adjusted Wald, paired over 400 items"
    assert size.found == "6 MB" and latency.found == "3 ms (2.7 to 3.3)"
    assert verdict_of([loss, size, latency]) == "fail" and verdict_of([loss, latency]) == "inconclusive"
    assert verdict_of([latency]) == verdict_of([]) == "pass"


def test_a_form_is_judged_by_the_limits_that_there_are() -> None:
    found = deployment()
    assert verdicts_of_forms(found, Limits(loss=5.0, megabytes=10.0, milliseconds=5.0)) == {
        "teacher": "fail", "student": "fail", "int8": "pass"}
    assert criteria(found, "int8", Limits(None, None, None)) == []
    assert [each.name for each in criteria(found, "teacher", Limits())] == ["Size", "Latency, 95th percentile"]


def test_perplexity_is_limited_in_percent() -> None:
    figures = replace(deployment().forms["int8"], loss=Estimate(0.04, 0.03, 0.05, 0.95, 64, "bootstrap", "blocks"))
    found = deployment(metric="perplexity", forms={**deployment().forms, "int8": figures})
    loss = criteria(found, "int8", Limits(loss=2.0))[0]
    assert (loss.name, loss.found, loss.allowed, loss.verdict) == ("Perplexity gained", "4 % (3 to 5)", "at most 2 %", "fail")


def test_what_is_stored_is_read_back() -> None:
    found = deployment()
    assert Deployment.from_dict(json.loads(json.dumps(found.to_dict()))) == found and found.baseline == "teacher"
