"""Batches for a specialist, and the correction of its prior (1503.02531, section 5.3).

Half of each batch is drawn from the specialist's classes and half uniformly from the rest. That changes the prior of the special
classes from their natural share pi to one half. By Bayes' rule the posterior under the natural prior is had from the trained one by
adding log(pi / (1/2)) to the logits of the special classes and log((1 - pi) / (1/2)) to the dustbin; a softmax sees the difference
alone, so that log((1 - pi) / pi) is added to the dustbin. The paper adds the log of the proportion by which the special classes are
oversampled, which is the same to first order where pi is small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from core.errors import DataError


def dustbin_shift(share: float) -> float:
    """Return log((1 - pi) / pi), to be added to the dustbin's logit.

    Raises:
        ValueError: a share that is not between 0 and 1, exclusive.
    """
    if not 0 < share < 1:
        raise ValueError(f"a share between 0 and 1 is expected, not {share}")
    return math.log((1 - share) / share)


def special_items(labels: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Return (N,) which items are of a specialist's classes.

    Raises:
        DataError: none, or all of them, are: there is nothing to specialise on, or nothing for the dustbin.
    """
    special = np.isin(labels, classes)
    if not len(labels):
        raise DataError("The transfer set is empty.", "A specialist is trained on labelled items.", "Give it a data set with items.",
                        field="data.source")
    if special.all() or not special.any():
        which = "All items" if special.all() else "None of the items"
        raise DataError(f"{which} of the training data are of the specialist's classes {sorted(classes)}.",
                        "Half of a batch is drawn from them and half from the others.", "Train on items of all classes.",
                        field="data.source")
    return special


def half_and_half(special: np.ndarray, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield indices of batches without end: half special, half from the rest; each side is used up before it is shuffled again.

    Args:
        special: (N,) which items are special, of which at least one is and one is not.
        batch_size: at least 2; the special half is the larger one of an odd number.
    """
    generator = np.random.default_rng(seed)
    rest = batch_size // 2
    ours, others = (_without_end(np.flatnonzero(side), generator) for side in (special, ~special))
    while True:
        yield np.array([next(ours) for _ in range(batch_size - rest)] + [next(others) for _ in range(rest)])


def _without_end(items: np.ndarray, generator: np.random.Generator) -> Iterator[int]:
    while True:
        yield from generator.permutation(items)
