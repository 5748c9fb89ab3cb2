"""The seeds that claims and ablations share."""

from __future__ import annotations

DEFAULT_SEEDS, FIRST_SEED = 3, 42


def seeds_of(count: int) -> tuple[int, ...]:
    """The first so many seeds; the same for every claim, so that claims share what was trained for a seed."""
    return tuple(range(FIRST_SEED, FIRST_SEED + count))
