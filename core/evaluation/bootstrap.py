"""Percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13), seeded: the same values give the same interval.

    quantiles        of single values, as of timings
    ratios of sums   sum_k a_k / sum_k b_k over units k that are drawn whole, as blocks of text: tokens of one block depend on each
                     other, blocks hardly do (chapter 8, section 6). Cross-entropy, KL and agreement are such ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from core.evaluation.statistics import LEVEL, Estimate

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
BATCH_ELEMENTS = 1 << 20  # values drawn at once


def bootstrap_quantile(values: Sequence[float], share: float = 0.5, seed: int = 0, level: float = LEVEL, over: str = "rounds") -> Estimate:
    """Return the quantile below which a share of the values lies, with its interval; none for a single value."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    middle = float(np.quantile(array, share))
    if len(array) < 2:
        return Estimate(middle)
    return _percentiles(middle, (np.quantile(array[picks], share, axis=1) for picks in _draws(len(array), seed)), level, len(array), over)


def bootstrap_median(values: Sequence[float], seed: int = 0, level: float = LEVEL, over: str = "rounds") -> Estimate:
    """Return the median with its interval."""
    return bootstrap_quantile(values, 0.5, seed, level, over)


def bootstrap_ratio(above: Sequence[float] | np.ndarray, below: Sequence[float] | np.ndarray, seed: int = 0, level: float = LEVEL,
                    over: str = "blocks") -> Estimate:
    """Return sum(above) / sum(below) with its interval over pairs that are drawn together; none for a single pair.

    The difference of two models on the same blocks is one such ratio, of the differences of their sums.

    Raises:
        ValueError: not the same number of both, or nothing below.
    """
    import numpy as np

    upper, lower = (np.asarray(values, dtype=float) for values in (above, below))
    if upper.shape != lower.shape or not lower.sum():
        raise ValueError(f"pairs with something below are expected, not {len(upper)} above and {len(lower)} below")
    upper, lower = upper[lower != 0], lower[lower != 0]  # a block of which nothing counts is none
    ratio = float(upper.sum() / lower.sum())
    if len(lower) < 2:
        return Estimate(ratio)
    drawn = (upper[picks].sum(1) / lower[picks].sum(1) for picks in _draws(len(lower), seed))
    return _percentiles(ratio, drawn, level, len(lower), over)


def with_block_intervals(metrics: Mapping[str, float], sums: Mapping[str, np.ndarray], counts: np.ndarray,
                         functions: Mapping[str, Callable[[float], float]]) -> dict[str, float]:
    """Return metrics with the ends of their intervals beside them, as ``perplexity_low`` and ``perplexity_high``, and ``blocks``.

    Args:
        sums: metric -> its sum in each block.
        counts: positions that count in each block.
        functions: metric -> the monotonic function of the ratio that it is, where it is another one than the ratio itself.
    """
    result = dict(metrics)
    for name, values in sums.items():
        found = bootstrap_ratio(values, counts).map(functions.get(name, float))
        if found.low is not None and found.high is not None:
            result |= {f"{name}_low": found.low, f"{name}_high": found.high}
    return result | {"blocks": int((counts > 0).sum())}


def _draws(n: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (resamples, n) numbers below n, so many resamples at once as memory is meant for."""
    import numpy as np

    generator, rows = np.random.default_rng(seed), max(1, BATCH_ELEMENTS // n)
    for start in range(0, RESAMPLES, rows):
        yield generator.integers(n, size=(min(rows, RESAMPLES - start), n))


def _percentiles(value: float, drawn: Iterator[np.ndarray], level: float, n: int, over: str) -> Estimate:
    import numpy as np

    low, high = np.quantile(np.concatenate(list(drawn)), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), level, n, "bootstrap", over)
