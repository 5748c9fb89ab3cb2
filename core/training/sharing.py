"""How the rows of an optimiser step are shared out among processes.

Each process reads the whole step, draws what is drawn for it (`core.data.masking`), and trains on consecutive rows of it. So a step is the
same for any number of processes, also the short one at the end of an epoch, and no row is taken twice. A process makes as many forward
passes as there are batches, of which the first may be empty: the last is the one after which gradients are exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Rows of a batch.

    Attributes:
        batch: number of the batch within its step.
        start, stop: rows; none where they are equal.
        idle: a row that counts nowhere, taken because the process has no other and the exchange of gradients waits for it.
    """

    batch: int
    start: int
    stop: int
    idle: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compute."""
        return self.start == self.stop


def share_of(sizes: Sequence[int], rank: int, world: int, *, in_step: bool = False) -> list[Share]:
    """Return a process's share of every batch of a step, empty ones first.

    Args:
        sizes: rows of each batch.
        rank, world: number of the process, and how many there are.
        in_step: whether all processes make as many forward passes, of idle shares where they have no other.
    """
    rows = sum(sizes)
    first, last = rows * rank // world, rows * (rank + 1) // world
    shares, before = [], 0
    for batch, size in enumerate(sizes):
        start, stop = (min(max(edge - before, 0), size) for edge in (first, last))
        shares.append(Share(batch, start, stop))
        before += size
    shares.sort(key=lambda share: not share.empty)  # stable: the order of the others stays
    passes = max(_passes(sizes, other, world) for other in range(world)) if in_step else 1
    return [Share(share.batch, 0, 1, idle=True) if share.empty and len(shares) - place <= passes else share
            for place, share in enumerate(shares)]


def _passes(sizes: Sequence[int], rank: int, world: int) -> int:
    return sum(not share.empty and not share.idle for share in share_of(sizes, rank, world))
