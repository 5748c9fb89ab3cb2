"""Means over seeds and their uncertainty.

With x_s the number that seed s gives, n seeds, m their mean and SE its standard error,

    m = 1/n sum_s x_s        SE = sqrt(sum_s (x_s - m)^2 / (n (n - 1)))
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
