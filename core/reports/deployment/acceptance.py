"""Limits that a form must keep, and the verdict.

A limit is kept where the whole interval of the figure lies within it, broken where the whole interval lies beyond, and inconclusive
where the interval straddles it: then more items or rounds are needed. The verdict fails with any broken limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.evaluation.statistics import Estimate
from core.reports.deployment.record import Deployment
from core.system.units import format_bytes

Verdict = Literal["pass", "fail", "inconclusive"]
MEGABYTE = 10**6  # bytes, as a download is counted


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a form may lose, weigh and take; None: no limit.

    Attributes:
        loss: points of accuracy, or percent of perplexity.
        megabytes: of the weights' file, 10^6 bytes each.
        milliseconds: for one text, in 95 of 100 cases.
    """

    loss: float | None = 1.0
    megabytes: float | None = 10.0
    milliseconds: float | None = 5.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """One limit and what was found.

    Attributes:
        name: what is limited.
        found, allowed: in words, with units.
        verdict: whether it is kept.
        why: the interval and what it was computed from; empty for an exact figure.
    """

    name: str
    found: str
    allowed: str
    verdict: Verdict
    why: str = ""


def criteria(found: Deployment, form: str, limits: Limits) -> list[Criterion]:
    """Return every limit with its verdict for one form of a model."""
    figures = found.forms[form]
    result = []
    if limits.loss is not None and figures.loss is not None:
        unit, name = ("points", "Accuracy lost") if found.metric == "accuracy" else ("%", "Perplexity gained")
        result.append(_judged(name, figures.loss.map(lambda share: 100 * share), limits.loss, unit))
    if limits.megabytes is not None:
        within = figures.bytes <= limits.megabytes * MEGABYTE
        result.append(Criterion("Size", format_bytes(figures.bytes), f"at most {limits.megabytes:g} MB", "pass" if within else "fail"))
    if limits.milliseconds is not None:
        result.append(_judged("Latency, 95th percentile", figures.p95, limits.milliseconds, "ms"))
    return result


def verdict_of(results: list[Criterion]) -> Verdict:
    """Return the verdict over all limits: the worst of them, a broken one before an inconclusive one."""
    verdicts = {each.verdict for each in results}
    return "fail" if "fail" in verdicts else "inconclusive" if "inconclusive" in verdicts else "pass"


def within(found: Estimate, limit: float) -> Verdict:
    """Return whether a number is at most `limit`, by its whole interval; without an interval nothing is known."""
    if found.low is None or found.high is None:
        return "inconclusive"
    return "pass" if found.high <= limit else "fail" if found.low > limit else "inconclusive"


def verdicts_of_forms(found: Deployment, limits: Limits) -> Mapping[str, Verdict]:
    """Return the verdict of every form."""
    return {form: verdict_of(criteria(found, form, limits)) for form in found.forms}


def loss_unit(found: Deployment) -> str:
    """Return the unit of a loss in its limit."""
    return "points of accuracy" if found.metric == "accuracy" else "% of perplexity"


def _judged(name: str, found: Estimate, limit: float, unit: str) -> Criterion:
    interval = "" if found.low is None or found.high is None else f" ({found.low:.3g} to {found.high:.3g})"
    return Criterion(name, f"{found.value:.3g} {unit}{interval}", f"at most {limit:g} {unit}", within(found, limit),
                     found.interval_words or "one value, no interval")
