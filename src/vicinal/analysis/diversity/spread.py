"""How far a set spreads: the radius, distances to centroids and to a subset, and the entropy of a partition."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from vicinal.analysis.diversity.similarities import BLOCK_BYTES
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import Metric

CONSTANT = 1e-10  # stands for the standard deviation of a column of equal values, whose logarithm has no bound


def standard_deviations(vectors: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column, float64 (dim,); exactly 0 for a column of equal values.

    The sum of squares is divided by n. One pass: the sums of blocks are put together as by Chan, Golub & LeVeque
    1983.

    Examples
    --------
    >>> standard_deviations(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [1.0, 0.0]
    """
    first = np.asarray(vectors[0], dtype=np.float64)
    count, mean, squares = 0, np.zeros(len(first)), np.zeros(len(first))
    for part in blocks(len(vectors), BLOCK_BYTES // (8 * len(first))):
        rows = np.asarray(vectors[part], dtype=np.float64) - first
        own = rows.mean(axis=0)
        rows -= own
        shift, both = own - mean, count + len(rows)
        squares += np.einsum("ij,ij->j", rows, rows) + shift**2 * (count * len(rows) / both)
        mean += shift * (len(rows) / both)
        count = both
    return np.sqrt(squares / count)


def radius(deviations: np.ndarray) -> float:
    """Return the geometric mean of the columns' standard deviations; one of 0 counts as 1e-10.

    References
    ----------
    Lai, Zhu & Gašić 2020, "Diversity, density, and homogeneity".

    Examples
    --------
    >>> round(radius(np.array([1.0, 4.0])), 6)
    2.0
    """
    return float(np.exp(np.log(np.where(deviations == 0, CONSTANT, deviations)).mean()))


def distances_to_own(vectors: np.ndarray, centroids: np.ndarray, labels: np.ndarray, metric: Metric) -> np.ndarray:
    """Return the distance of each row to the centroid of its cluster, float64 (n,).

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    centroids : ndarray, shape (n_clusters, dim)
    labels : ndarray of int, shape (n,)
        A row of `centroids` for each row of `vectors`.
    metric : Metric

    Examples
    --------
    >>> from vicinal.knn.metrics import find
    >>> distances_to_own(np.array([[0.0], [3.0]]), np.array([[1.0], [5.0]]), np.array([0, 1]), find("l1")).tolist()
    [1.0, 2.0]
    """
    found = np.empty(len(vectors))
    centres = metric.prepare(np.asarray(centroids))
    for part in blocks(len(vectors), BLOCK_BYTES // (8 * vectors.shape[1])):
        found[part] = metric.finish(metric.measure(metric.prepare(vectors[part]), centres[labels[part]]))
    return found


@dataclass(frozen=True)
class Partition:
    """The entropy of the shares of clusters.

    Attributes
    ----------
    entropy : float
        -sum p ln p.
    counts : dict of hashable to int
        The number of rows of each cluster, in the order of their first rows.
    """

    entropy: float
    counts: dict[Hashable, int]


def partition(labels: Sequence[Hashable]) -> Partition:
    """Return the entropy of a partition.

    Parameters
    ----------
    labels : sequence
        The cluster of each row.

    Examples
    --------
    >>> found = partition(["a", "b", "a", "b"])
    >>> round(found.entropy, 6), found.counts
    (0.693147, {'a': 2, 'b': 2})
    """
    counts: dict[Hashable, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    n = len(labels)
    return Partition(0.0 - sum(count / n * log(count / n) for count in counts.values()), counts)
