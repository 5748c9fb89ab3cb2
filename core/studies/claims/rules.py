"""Pass rules: pure functions from numbers to a verdict, fixed before anything is run.

A protocol gives one number for each seed; rules hold their mean against its standard error (`core.evaluation.statistics`). Differences are
paired: a protocol subtracts within a seed, so that its number is a difference already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.evaluation.statistics import STANDARD_ERRORS, mean, standard_error

Verdict = Literal["pass", "fail", "inconclusive"]
Measured = Mapping[str, Sequence[float]]  # name of a number -> its value for each seed

FEWEST_SEEDS = 3  # fewer say nothing about chance
SHARE = 2 / 3  # of the seeds that must agree on a trend


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
    """The default rule: m - threshold > 2 SE passes, m - threshold < -2 SE fails, anything between is within the noise."""
    return Rule(f"{name} is above {threshold:g} by more than {STANDARD_ERRORS:g} standard errors",
                lambda measured: _distance(measured[name], threshold, 1.0))


def below(name: str, threshold: float = 0.0) -> Rule:
    """The same in the other direction."""
    return Rule(f"{name} is below {threshold:g} by more than {STANDARD_ERRORS:g} standard errors",
                lambda measured: _distance(measured[name], threshold, -1.0))


def trend(name: str, holds: Callable[[float], bool] = lambda value: value > 0, words: str = "is above 0") -> Rule:
    """At least two thirds of the seeds pass, at most one third fails.

    Args:
        holds: what one seed must show.
    """
    def judge(measured: Measured) -> Verdict:
        values = measured[name]
        if len(values) < FEWEST_SEEDS:
            return "inconclusive"
        share = sum(map(holds, values)) / len(values)
        return "pass" if share >= SHARE - 1e-9 else "fail" if share <= 1 - SHARE + 1e-9 else "inconclusive"

    return Rule(f"{name} {words} in at least two thirds of the seeds", judge)


def always(name: str, holds: Callable[[float], bool], words: str) -> Rule:
    """An exact statement: every seed shows it, or it is false. One seed is enough."""
    return Rule(f"{name} {words} for every seed", lambda measured: "pass" if all(map(holds, measured[name])) else "fail")


def every(*rules: Rule) -> Rule:
    """All of them: one that fails fails the whole, and one that is open leaves it open."""
    def judge(measured: Measured) -> Verdict:
        verdicts = {rule.judge(measured) for rule in rules}
        return "fail" if "fail" in verdicts else "inconclusive" if "inconclusive" in verdicts else "pass"

    return Rule(", and ".join(rule.words for rule in rules), judge)


def _distance(values: Sequence[float], threshold: float, sign: float) -> Verdict:
    if len(values) < FEWEST_SEEDS:
        return "inconclusive"
    distance, margin = sign * (mean(values) - threshold), STANDARD_ERRORS * standard_error(values)
    return "pass" if distance > margin else "fail" if distance < -margin else "inconclusive"
