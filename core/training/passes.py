"""How the forward passes of an evaluation are shared out among the processes of a run, and how what they found comes together.

The passes are those of one process. Each is made whole by one of the processes, in rounds of a pass a process, and adds to the sums of its
items, a block or a text each. At the end the sums of all processes are added up: an item's sum comes from one of them, and zero from the
others, so that it is that of one process to the last digit, none is counted twice, and means are taken once, of all items.

Where the weights of a model are shared out (`core.training.sharding`), every process makes a pass in every round. Those that have none make
one that is idle, which counts nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Self

import numpy as np

from core.recorder import Advance, StopRequested
from core.system import ranks


@dataclass(frozen=True, slots=True)
class Passes:
    """What this process does of an evaluation: by default all of it.

    Where there are several processes, each has to make the same calls.

    Attributes:
        rank, world: number of the process among those that evaluate, and how many there are.
        in_step: whether all make a pass in every round.
    """

    rank: int = 0
    world: int = 1
    in_step: bool = False

    @classmethod
    def of_run(cls) -> Self:
        """Return what this process does where all processes of the run take part."""
        if ranks.world() == 1:
            return cls()
        from core.training.sharding import any_sharded  # torch, which whoever reads recipes does without

        return cls(ranks.rank(), ranks.world(), any_sharded())

    def computing(self) -> AbstractContextManager[None]:
        """Make the passes in step, inside the block, where they are; every process enters it."""
        if not self.in_step:
            return nullcontext()
        from core.training.sharding import measuring_together

        return measuring_together()

    def own(self, starts: Sequence[int], total: int, advance: Advance) -> Iterator[tuple[int, bool]]:
        """Yield the passes that this process makes, by their starts, and whether each is idle.

        Args:
            starts: of each pass the items before it.
            total: items.
            advance: called before every round with the items that are done; rank 0's stop ends the evaluation in every process.

        Raises:
            StopRequested: a process has raised it.
        """
        for first in range(0, len(starts), self.world):
            self._next_round(starts[first], total, advance)
            if first + self.rank < len(starts):
                yield starts[first + self.rank], False
            elif self.in_step:
                yield starts[-1], True

    def batches(self, batches: Iterable[list[int]], advance: Advance) -> Iterator[tuple[list[int], bool]]:
        """Yield as `own` does, with the batches of numbers of items in place of their starts; raises as it does."""
        by_start, total = dict[int, list[int]](), 0
        for batch in batches:
            by_start[total] = batch
            total += len(batch)
        for start, idle in self.own(list(by_start), total, advance):
            yield by_start[start], idle

    def texts(self, count: int, write: Callable[[int], str], advance: Advance) -> Iterator[str]:
        """Yield what `write` returns for each of so many numbers, in their order; every process has to take them all.

        Raises:
            StopRequested: as `own`.
        """
        for first in range(0, count, self.world):
            self._next_round(first, count, advance)
            written = write(first + self.rank) if first + self.rank < count else ""
            yield from (ranks.gather_texts(written) if self.world > 1 else [written])[:count - first]

    def add_up(self, *sums: np.ndarray) -> None:
        """Add the sums of all processes up, in place."""
        if self.world > 1:
            for each in sums:
                ranks.add_up(each)

    def largest(self, number: int) -> int:
        """Return the largest of a number of every process."""
        return int(max(own for own, in ranks.gather([number]))) if self.world > 1 else number

    def _next_round(self, done: int, total: int, advance: Advance) -> None:
        if self.world == 1:
            advance(done, total)
            return
        stopped = False
        try:
            advance(done, total)
        except StopRequested:
            stopped = True
        if any(ranks.agree([stopped])):
            raise StopRequested


ALONE = Passes()
