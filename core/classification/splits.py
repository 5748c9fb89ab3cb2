"""Parts of a data set that hold as much of each class as can be; the same each time.

Shapes: N items.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from core.classification.items import Items

SEED = 0  # of the split, which is part of what a data set is


def split_items(items: Items, fraction: float) -> tuple[Items, Items]:
    """Return the items without a share, and that share of them: the same share of each class, rounded so that the sum is right."""
    held = torch.zeros(len(items), dtype=torch.bool)
    seen = taken = 0
    for own in _by_class(items):
        seen += len(own)
        count = round(seen * fraction) - taken
        held[own[:count]] = True
        taken += count
    return items.take(~held), items.take(held)


def balanced(items: Items, count: int) -> Items:
    """Return at most so many items, of each class as many as there can be."""
    turn = torch.empty(len(items), dtype=torch.int64)
    for own in _by_class(items):
        turn[own] = torch.arange(len(own))
    shuffled = _shuffled(items)
    return items.take(shuffled[turn[shuffled].argsort(stable=True)][:count])


def _by_class(items: Items) -> Iterator[torch.Tensor]:
    """Yield the places of the items of each class, shuffled."""
    shuffled = _shuffled(items)
    for label in items.targets.unique():
        yield shuffled[items.targets[shuffled] == label]


def _shuffled(items: Items) -> torch.Tensor:
    return torch.randperm(len(items), generator=torch.Generator().manual_seed(SEED))
