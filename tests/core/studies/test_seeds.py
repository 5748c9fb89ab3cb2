"""Seeds: the same for every study, and as many as an interval needs."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from core.studies.seeds import DEFAULT_SEEDS, seeds_of


def test_fewer_seeds_are_the_beginning_of_more() -> None:
    assert seeds_of(DEFAULT_SEEDS) == (42, 43, 44, 45, 46)
    assert seeds_of(7)[:3] == seeds_of(3) and len(set(seeds_of(7))) == 7
    assert seeds_of(0) == ()


def test_five_seeds_halve_the_interval_of_three() -> None:
    """As the comment beside the number says: the half-width in standard deviations is t / sqrt(n)."""
    three, five = (stats.t.ppf(0.975, n - 1) / math.sqrt(n) for n in (3, DEFAULT_SEEDS))
    assert five / three == pytest.approx(0.5, abs=0.01)
