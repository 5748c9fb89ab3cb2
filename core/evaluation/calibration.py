"""Whether a model's probabilities are as often right as they say.

Shapes: N predictions.
"""

from __future__ import annotations

import numpy as np

BINS = 15  # as in 1706.04599


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Return the mean difference between confidence and accuracy over bins of equal width, weighted by their counts (1706.04599, eq. 3).

    Args:
        confidence: (N,) probability of the likeliest class, in [0, 1].
        correct: (N,) bool, whether it is the right one.

    Raises:
        ValueError: no predictions.
    """
    if not len(confidence):
        raise ValueError("calibration is measured on at least one prediction")
    # A confidence on an edge belongs to the bin below it, as in the paper: ((m - 1) / M, m / M].
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, weights=confidence, minlength=bins) - np.bincount(place, weights=correct.astype(float), minlength=bins))
    return float(gap[count > 0].sum() / len(confidence))
