"""Pass rules: pure functions from measured numbers to a verdict, fixed before anything is run.

A protocol gives one number for each seed. `above` and `below` compare a threshold with the 95% confidence interval of their mean
(Student's t, `core.evaluation.statistics`); the differences are paired: a protocol subtracts within a seed, so that its number is a
difference already. `trend` counts seeds and is no significance test: without any effect, chance alone passes it in 50% of checks with
three seeds and in 19% with five. No correction is made for the number of rules of a claim, nor for the number of claims.

    VERSION 1   above and below at two standard errors whatever the number of seeds: an interval of 82% at three seeds
    VERSION 2   Student's t at 95%
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.evaluation.statistics import level_words, mean_interval

Verdict = Literal["pass", "fail", "inconclusive", "measured"]
VERDICT_NAMES: dict[Verdict, str] = {"pass": "reproduced", "fail": "not reproduced", "inconclusive": "inconclusive",
                                     "measured": "measured without a verdict"}
Measured = Mapping[str, Sequence[float]]  # name of a number -> its value for each seed

VERSION = 2  # to be raised when the same values may get another verdict
VERSIONS = {1: "two standard errors", 2: f"{level_words()} interval, Student's t"}
MIN_SEEDS = 3  # fewer give no verdict
TREND_SHARE = 2 / 3  # of the seeds that must agree on a trend
INTERVAL = f"whole {level_words()} confidence interval (Student's t over the seeds)"


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for a claim to pass.

    Attributes:
        words: the rule as a sentence's predicate, for people.
        judge: the rule itself.
    """

    words: str
    judge: Callable[[Measured], Verdict]


def above(name: str, threshold: float = 0.0) -> Rule:
    """Return the default rule: pass where the whole interval of the mean lies above the threshold, fail where it lies below."""
    return Rule(f"{name} is above {threshold:g} with its {INTERVAL}", lambda measured: _side(measured[name], threshold, "pass", "fail"))


def below(name: str, threshold: float = 0.0) -> Rule:
    """Return the same rule in the other direction."""
    return Rule(f"{name} is below {threshold:g} with its {INTERVAL}", lambda measured: _side(measured[name], threshold, "fail", "pass"))


def trend(name: str, holds: Callable[[float], bool] = lambda value: value > 0, words: str = "is above 0") -> Rule:
    """Return a rule that passes with at least two thirds of the seeds and fails with at most one third.

    Args:
        holds: what one seed must show.
    """
    def judge(measured: Measured) -> Verdict:
        values = measured[name]
        if len(values) < MIN_SEEDS:
            return "inconclusive"
        share = sum(map(holds, values)) / len(values)
        return "pass" if share >= TREND_SHARE - 1e-9 else "fail" if share <= 1 - TREND_SHARE + 1e-9 else "inconclusive"

    return Rule(f"{name} {words} in at least two thirds of the seeds (a trend, not a significance test)", judge)


def always(name: str, holds: Callable[[float], bool], words: str) -> Rule:
    """Return an exact statement: every seed shows it, or it is false. One seed is enough."""
    return Rule(f"{name} {words} for every seed", lambda measured: "pass" if all(map(holds, measured[name])) else "fail")


def measurement(name: str) -> Rule:
    """Return the rule of what nobody has stated an order of: it is measured and gets no verdict."""
    return Rule(f"no order is published: {name} is measured and gets no verdict", lambda measured: "measured")


def every(*rules: Rule) -> Rule:
    """Return the conjunction: one rule that fails fails the whole, and one that is inconclusive leaves it inconclusive."""
    def judge(measured: Measured) -> Verdict:
        verdicts = {rule.judge(measured) for rule in rules}
        return "fail" if "fail" in verdicts else "inconclusive" if "inconclusive" in verdicts else "pass"

    return Rule(", and ".join(rule.words for rule in rules), judge)


def _side(values: Sequence[float], threshold: float, over: Verdict, under: Verdict) -> Verdict:
    """Return which side of the threshold the interval of the mean lies on; inconclusive where it contains the threshold."""
    if len(values) < MIN_SEEDS:
        return "inconclusive"
    estimate = mean_interval(values)
    if estimate.low is None or estimate.high is None:  # values that are not finite have no interval
        return "inconclusive"
    return over if estimate.low > threshold else under if estimate.high < threshold else "inconclusive"
