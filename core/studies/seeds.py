"""The seeds that claims and ablations share."""

from __future__ import annotations

# Five halve the 95% interval that three give for five thirds of the time: t / sqrt(n) is 2.48 for 3 seeds, 1.24 for 5, 0.92 for 7.
DEFAULT_SEEDS, FIRST_SEED = 5, 42
SEEDS_HELP = "fewer than 3 give no verdict, and 5 give 95 percent intervals half as wide as 3"


def seeds_of(count: int, first: int = FIRST_SEED) -> tuple[int, ...]:
    """Return so many seeds; by default the same for every claim, so that claims share what was trained for a seed."""
    return tuple(range(first, first + count))
