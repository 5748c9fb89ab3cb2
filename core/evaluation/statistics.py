"""Means over seeds and their uncertainty.

With x_s the number that seed s gives, n seeds, m their mean and SE its standard error,

    m = 1/n sum_s x_s        SE = sqrt(sum_s (x_s - m)^2 / (n (n - 1)))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STANDARD_ERRORS = 2.0  # the margin of everything that is said about chance


def mean(values: Sequence[float]) -> float:
    """Their mean."""
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean; None for one value, which tells nothing about chance."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) * (len(values) - 1)))


RESAMPLES = 2000


CONFIDENCE = 0.95


BATCH_ELEMENTS = 1 << 20  # of values drawn at once


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval around it.

    Attributes:
        low, high: ends of the interval; None where there is a single value and no interval.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Estimate:
        """From the plain data that `dataclasses.asdict` gives."""
        return cls(**plain)

    def map(self, function: Any) -> Estimate:
        """The estimate of a rising or falling function of the number."""
        ends = None if self.low is None else sorted((function(self.low), function(self.high)))
        return Estimate(function(self.value), *(ends or (None, None)))


def bootstrap_median(values: Sequence[float], seed: int = 0) -> Estimate:
    """The median with its 95% bootstrap interval; the same values give the same interval."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    middle = float(np.median(array))
    if len(array) < 2:
        return Estimate(middle)
    generator = np.random.default_rng(seed)
    drawn, rows = [], max(1, BATCH_ELEMENTS // len(array))
    for start in range(0, RESAMPLES, rows):
        picks = generator.integers(len(array), size=(min(rows, RESAMPLES - start), len(array)))
        drawn.append(np.median(array[picks], axis=1))
    low, high = np.quantile(np.concatenate(drawn), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(middle, float(low), float(high))


def mean_interval(values: Sequence[float]) -> Estimate:
    """The mean, two standard errors to either side."""
    return _margin(mean(values), standard_error(values))


def ratio_of_means(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """mean(above) / mean(below), two standard errors to either side; the values are paired, seed by seed."""
    if len(above) != len(below):
        raise ValueError("paired values are expected")
    scale = mean(below)
    ratio = mean(above) / scale
    return _margin(ratio, standard_error([(y - ratio * x) / scale for y, x in zip(above, below, strict=True)]))


def _margin(value: float, error: float | None) -> Estimate:
    if error is None or not math.isfinite(error):
        return Estimate(value)
    return Estimate(value, value - STANDARD_ERRORS * error, value + STANDARD_ERRORS * error)
