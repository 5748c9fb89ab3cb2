"""Sets of classes that a generalist confuses with each other (1503.02531, section 5.2).

The generalist's predictions P (N items, C classes) on held-out items need no labels. Classes that are often predicted together have
large covariances, so the columns of K = cov(P) (C, C) are clustered by k-means. The paper's sets overlap and have 300 classes each,
without saying how: here each set is filled up to a size with the classes that are predicted together with the cluster's most often beyond
chance, or cut down to those:

    affinity of i = mean over the cluster's j of K_ij / (mean P_i mean P_j)

(The distance to the centroid would choose the same rare classes for every set: columns near 0 are near every centroid.)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError, DataError, SetField

LEAST = 1e-30  # of a denominator
RESTARTS = 10  # of k-means from other centroids; the one with the least inertia is kept


@dataclass(frozen=True, eq=False)
class Clusters:
    """Classes in clusters, and the sets that specialists are trained on.

    Attributes:
        covariance: (C, C) of the generalist's predictions.
        labels: (C,) cluster of each class; every class is in exactly one.
        sets: classes of each specialist in ascending order, at least two; they overlap where `size` filled them up.
        single: classes that are a cluster of their own, and get no specialist: nothing is confused with them.
    """

    covariance: np.ndarray
    labels: np.ndarray
    sets: tuple[tuple[int, ...], ...]
    single: tuple[int, ...] = ()

    @property
    def order(self) -> tuple[int, ...]:
        """Return the classes with each cluster's side by side: the rows of a heat map on whose diagonal clusters are squares."""
        return tuple(int(each) for each in np.argsort(self.labels, kind="stable"))

    @property
    def coverage(self) -> np.ndarray:
        """Return (C,) how many specialists have each class."""
        counts = np.zeros(len(self.labels), dtype=np.int64)
        for each in self.sets:
            counts[list(each)] += 1
        return counts


def prediction_covariance(predictions: np.ndarray) -> np.ndarray:
    """Return K = cov(P): (C, C) from probabilities P of shape (N, C), normalised by N - 1.

    Raises:
        DataError: fewer than two items, or values that are no distributions.
    """
    if predictions.ndim != 2 or len(predictions) < 2:
        raise DataError(f"The generalist's predictions of {len(predictions)} items were given.",
                        "At least two items are needed for a covariance.", "Hold out more items.", field="data.source")
    values = np.asarray(predictions, dtype=np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or not np.allclose(values.sum(axis=1), 1, atol=1e-4):
        raise DataError("The generalist's predictions are no distributions.", "Probabilities that sum to 1 were expected for each item.",
                        "Train the generalist again: its weights may have become infinite.")
    centred = values - values.mean(axis=0)
    return centred.T @ centred / (len(values) - 1)


def find_clusters(predictions: np.ndarray, count: int, *, size: int | None = None, seed: int = 0) -> Clusters:
    """Cluster the classes that are predicted together.

    Args:
        predictions: (N, C) probabilities of the generalist on held-out items.
        count: clusters.
        size: classes of every set, filled up or cut by their affinity to the cluster (default: clusters as they are).
        seed: of the first centroids.

    Raises:
        ConfigError: more clusters than classes, a size that no set can have, or clusters that all have a single class.
        DataError: predictions that are no distributions, or too few.
    """
    covariance = prediction_covariance(predictions)
    classes = len(covariance)
    require_possible(count, size, classes)
    columns = covariance.T
    # Not at the top: reading a recipe or drawing a page does not wait for it.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal columns leave clusters empty; that is refused or dropped below
        found = KMeans(count, n_init=RESTARTS, random_state=seed).fit(columns)
    labels = _by_first_class(found.labels_)
    sets: list[tuple[int, ...]] = []
    single: list[int] = []
    for cluster in range(labels.max() + 1):
        members = np.flatnonzero(labels == cluster)
        if size is not None:
            members = _closest(covariance, predictions.mean(axis=0), members, size)
        if len(members) < 2:
            single.extend(int(each) for each in members)
        else:
            sets.append(tuple(sorted(int(each) for each in members)))
    if not sets:
        raise ConfigError(f"{count} clusters of {classes} classes were requested, and each of them has one class.",
                          "A specialist needs at least two classes to tell apart.", "Request fewer clusters, or give specialists a size.",
                          suggestion=SetField("specialists.clusters", max(1, classes // 2)))
    return Clusters(covariance, labels, tuple(sets), tuple(single))


def require_possible(count: int, size: int | None, classes: int) -> None:
    """Raise ConfigError for more clusters than classes, and for a size that no set can have."""
    if count > classes:
        raise ConfigError(f"{count} clusters were requested of {classes} classes.", f"At most {classes // 2} have two classes each.",
                          "Request fewer clusters.", suggestion=SetField("specialists.clusters", max(1, classes // 2)))
    if size is not None and not 2 <= size <= classes - 1:
        raise ConfigError(f"Specialists of {size} classes were requested of {classes} classes.",
                          f"A specialist has 2 to {classes - 1} classes: all others are its dustbin.", "Choose another size.",
                          suggestion=SetField("specialists.size", min(max(2, size), max(2, classes - 1))))


def _by_first_class(labels: np.ndarray) -> np.ndarray:
    """Return clusters numbered by their first class: the number does not depend on the order in which k-means found them."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _closest(covariance: np.ndarray, means: np.ndarray, members: np.ndarray, size: int) -> np.ndarray:
    """Return `size` classes: a cluster's own before others, those with the largest affinity first; equal ones by their number."""
    shared = covariance / np.maximum(np.outer(means, means), LEAST)
    np.fill_diagonal(shared, 0)  # a class is not confused with itself
    foreign = np.ones(len(covariance), dtype=bool)
    foreign[members] = False
    return np.lexsort((np.arange(len(covariance)), -shared[:, members].mean(axis=1), foreign))[:size]


def purity(labels: np.ndarray, planted: Sequence[int]) -> float:
    """Return the share of classes that belong to the planted group that is most frequent in their cluster.

    Args:
        labels: (C,) cluster of each class.
        planted: group of each class by design.
    """
    groups = np.asarray(planted)
    return sum(np.bincount(groups[labels == cluster]).max() for cluster in np.unique(labels)) / len(groups)


def random_labels(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the same cluster sizes with classes drawn at random: what a purity is compared with."""
    return np.random.default_rng(seed).permutation(labels)
