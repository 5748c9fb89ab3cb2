from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from core.errors import DataError
from core.specialists.sampling import dustbin_shift, half_and_half, special_items

LABELS = np.array([0] * 5 + [1] * 5 + [2] * 90)


def test_half_of_each_batch_is_special_and_every_item_comes() -> None:
    special = special_items(LABELS, (0, 1))
    batches = list(itertools.islice(half_and_half(special, 9, seed=0), 25))
    assert {int(special[batch].sum()) for batch in batches} == {5}
    assert set(np.concatenate(batches)) == set(range(100))
    assert set(np.concatenate(batches[:2])) >= set(range(10)), "each side is used up before it is shuffled again"


def test_batches_are_those_of_their_seed() -> None:
    special = special_items(LABELS, (0, 1))
    first, again, other = (next(half_and_half(special, 8, seed=seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_the_correction_gives_the_natural_posterior() -> None:
    # Likelihoods of an item under a special class and under the rest; Bayes with half and half, and with the share .1.
    likelihood, share = np.array([0.02, 0.05]), 0.1
    trained = np.log(likelihood * 0.5)
    natural = likelihood * np.array([share, 1 - share])
    corrected = np.exp(trained + np.array([0, dustbin_shift(share)]))
    assert corrected / corrected.sum() == pytest.approx(natural / natural.sum())
    assert dustbin_shift(0.5) == 0 and dustbin_shift(0.01) == pytest.approx(math.log(99))


@pytest.mark.parametrize(("labels", "words"), [(LABELS[:0], "empty"), (LABELS[:10], "All items"), (LABELS[10:], "None of the items")])
def test_one_sided_data_are_refused(labels: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        special_items(labels, (0, 1))


def test_a_share_of_nothing_has_no_correction() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        dustbin_shift(1.0)
