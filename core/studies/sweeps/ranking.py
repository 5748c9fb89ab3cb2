"""What a sweep found: each cell's mean over its seeds, the best, and how many of the others are not distinguishable from it.

With k cells there are k (k - 1) / 2 pairs, and which of them holds the best is only known after looking. An interval of every pair
therefore has the level 1 - 0.05 / pairs (Bonferroni; Dunn 1961, doi:10.2307/2282330): with 95% confidence all of them hold at once,
those of the best among them. A cell whose difference to the best has 0 in its interval is not distinguishable from it. At 95% for each
pair by itself, one pair of twenty differs by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.evaluation.statistics import LEVEL, Estimate, difference_over_seeds, level_words, mean_interval
from core.metrics import metric


@dataclass(frozen=True)
class CellScores:
    """What the runs of one cell reached.

    Attributes:
        number: of the cell.
        values: key -> value, as it was given.
        runs: of the cell, whatever became of them.
        measured: metric -> seed -> value.
    """

    number: int
    values: Mapping[str, str]
    runs: int = 0
    measured: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def scores(self, name: str) -> dict[int, float]:
        """Return seed -> value of a metric, without those that are no finite numbers."""
        return {seed: value for seed, value in self.measured.get(name, {}).items() if math.isfinite(value)}

    def diverged(self, name: str) -> int:
        """Return how many runs were measured and gave no finite number."""
        return len(self.measured.get(name, {})) - len(self.scores(name))

    def estimate(self, name: str) -> Estimate | None:
        """Return the mean over seeds with its Student's t interval; None where nothing was measured."""
        found = self.scores(name)
        return mean_interval(list(found.values())) if found else None


@dataclass(frozen=True)
class Ranking:
    """The cells of a sweep by one metric.

    Attributes:
        metric: name without ``eval/``.
        cells: those that were measured, best first; without a better direction in their own order.
        best: the first of them; None where the metric has no better direction, or nothing was measured.
        comparisons: pairs of cells.
        level: of the interval of each pair's difference, so that all hold at once with 95% confidence.
        alike: numbers of the cells that are not distinguishable from the best, at that level.
        alike_alone: the same, with each comparison at 95% by itself.
    """

    metric: str
    cells: tuple[CellScores, ...]
    best: CellScores | None
    comparisons: int
    level: float
    alike: tuple[int, ...]
    alike_alone: tuple[int, ...]

    @property
    def estimate(self) -> Estimate | None:
        """The mean of the best, with its interval."""
        return self.best.estimate(self.metric) if self.best is not None else None

    @property
    def note(self) -> str:
        """What to know of the comparisons before the best is believed; empty for one cell."""
        if self.best is None or not self.comparisons:
            return ""
        others, few = len(self.cells) - 1, min(len(cell.scores(self.metric)) for cell in self.cells)
        seeds = " With one seed no difference has an interval: repeat with more seeds." if few < 2 else ""
        if self.comparisons == 1:
            return ("The better of two settings was chosen after seeing both, which flatters it. One comparison was made, at 95% "
                    f"confidence: the other is {'not ' if self.alike else ''}distinguishable from the better.{seeds}")
        return (f"The best of {len(self.cells)} settings was chosen after seeing them all, which flatters it. {self.comparisons:,} pairs "
                f"were compared, each at {level_words(self.level)}, so that all hold at once with 95% confidence (Bonferroni): "
                f"{len(self.alike)} of {others} others are not distinguishable from the best. At 95% each by itself it is "
                f"{len(self.alike_alone)} of {others}.{seeds}")


def rank(cells: Sequence[CellScores], name: str) -> Ranking:
    """Return the cells by the mean of a metric."""
    better = metric(f"eval/{name}").better
    found = [cell for cell in cells if cell.scores(name)]
    if better != "none":
        # A setting some of whose runs diverged stands behind all that never do: its mean is of the lucky seeds alone.
        sign = 1 if better == "lower" else -1
        found.sort(key=lambda cell: (cell.diverged(name) > 0, sign * _mean(cell, name)))
    pairs = len(found) * (len(found) - 1) // 2
    level = 1 - (1 - LEVEL) / max(pairs, 1)
    best = found[0] if found and better != "none" else None
    alike, alone = ((), ()) if best is None else (tuple(cell.number for cell in found[1:] if _alike(best, cell, name, each))
                                                  for each in (level, LEVEL))
    return Ranking(name, tuple(found), best, pairs, level, alike, alone)


def _mean(cell: CellScores, name: str) -> float:
    estimate = cell.estimate(name)
    return math.inf if estimate is None else estimate.value


def _alike(best: CellScores, other: CellScores, name: str, level: float) -> bool:
    found = difference_over_seeds(best.scores(name), other.scores(name), level)
    if found is None or found[0].low is None or found[0].high is None:
        return True  # without an interval nothing tells them apart
    return found[0].low <= 0 <= found[0].high
