from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from core.errors import ConfigError, DataError
from core.specialists.clusters import find_clusters, prediction_covariance, purity, random_labels

GROUPS = [0, 1, 2, 0, 1, 2, 0, 1, 2]  # planted: classes 0, 3, 6 are confused with each other, and so on


def predictions(items: int = 600, spread: float = 1.0) -> np.ndarray:
    """A generalist that knows the group and guesses within it."""
    generator = np.random.default_rng(3)
    group = generator.integers(0, 3, items)
    logits = 6.0 * (np.asarray(GROUPS)[None] == group[:, None]) + spread * generator.normal(size=(items, len(GROUPS)))
    return softmax(logits, axis=1)


def test_the_covariance_is_that_of_numpy() -> None:
    assert np.allclose(prediction_covariance(predictions()), np.cov(predictions().T))


def test_planted_groups_are_found() -> None:
    found = find_clusters(predictions(), 3)
    assert found.sets == ((0, 3, 6), (1, 4, 7), (2, 5, 8)) and found.single == ()
    assert purity(found.labels, GROUPS) == 1
    assert found.order == (0, 3, 6, 1, 4, 7, 2, 5, 8)
    assert purity(random_labels(found.labels, 0), GROUPS) < 1


def test_sets_are_filled_up_and_cut_to_a_size() -> None:
    larger, smaller = (find_clusters(predictions(), 3, size=size) for size in (4, 2))
    assert [len(each) for each in larger.sets] == [4, 4, 4] and set(larger.sets[0]) > {0, 3, 6}
    assert larger.coverage.sum() == 12 and larger.coverage.min() >= 1
    assert [len(each) for each in smaller.sets] == [2, 2, 2] and set(smaller.sets[1]) < {1, 4, 7}
    assert (larger.labels == smaller.labels).all(), "the clusters themselves stay"


def test_a_rare_class_fills_no_set_that_it_is_not_confused_with() -> None:
    rare = np.concatenate([predictions() * (1 - 1e-9), np.full((600, 1), 1e-9)], axis=1)
    rare[:6] = np.eye(10)[9]  # predicted for a few items of its own, and nowhere else
    confused = rare[:, 0] > 0.5
    rare[confused] = 0.8 * rare[confused] + 0.2 * np.eye(10)[4]  # 4 with 0, across their groups
    clusters = [set(np.flatnonzero(find_clusters(rare, 3).labels == number)) for number in range(3)]
    own = next(each for each in clusters if {0, 3, 6} <= each)
    assert [set(each) for each in find_clusters(rare, 3, size=len(own) + 1).sets if own <= set(each)] == [own | {4}]
    filled = [set(each) for each in find_clusters(rare, 3, size=4).sets]
    assert sum(9 in each for each in filled) == sum(9 in each for each in clusters), "no set takes it in but that of its cluster"


def test_a_cluster_of_one_class_gets_no_specialist() -> None:
    alone = np.concatenate([predictions() * 0.999, np.full((600, 1), 0.001)], axis=1)
    alone[:40] = np.eye(10)[9]
    found = find_clusters(alone, 4)
    assert found.single == (9,) and len(found.sets) == 3 and found.coverage[9] == 0


@pytest.mark.parametrize(("count", "size", "words", "field", "value"), [
    (10, None, "10 clusters were requested of 9 classes.", "clusters", 4),
    (9, None, "each of them has one class", "clusters", 4),
    (3, 9, "Specialists of 9 classes", "size", 8),
    (3, 1, "Specialists of 1 classes", "size", 2),
])
def test_impossible_clusters_are_refused(count: int, size: int | None, words: str, field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        find_clusters(predictions(), count, size=size)
    assert caught.value.suggestion.field == f"specialists.{field}" and caught.value.suggestion.value == value


@pytest.mark.parametrize("wrong", [np.full((5, 3), 0.2), np.full((1, 2), 0.5), np.array([[np.nan, 1.0], [0.5, 0.5]])])
def test_what_is_no_distribution_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DataError):
        prediction_covariance(wrong)
