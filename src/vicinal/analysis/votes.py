"""Votes: pure functions of `Neighbors` and of what is known about the rows that they name, classes or values.

Labels are codes, whole numbers from 0. A neighbour votes with weight 1 ("uniform"), with 1 / distance ("distance";
where neighbours are at distance 0, they alone vote), or with what a function makes of the distances. Where classes tie,
the lower code wins. Index -1 has no vote. These are scikit-learn's rules.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.blocks import blocks
from vicinal.knn.neighbors import Neighbors

WEIGHTS = ("uniform", "distance")
Weights = str | Callable[[np.ndarray], np.ndarray]
BLOCK_VOTES = 1 << 23  # votes (rows x classes) that are held at once


def vote_weights(neighbors: Neighbors, weights: Weights = "uniform") -> np.ndarray:
    """Return the weight of each neighbour's vote.

    Parameters
    ----------
    neighbors : Neighbors
    weights : {"uniform", "distance"} or callable
        A callable takes distances, float64 (n, k), and returns as many weights of at least 0.

    Returns
    -------
    ndarray of float64, shape (n, k)
        0 where the index is -1.

    Raises
    ------
    UsageError
        The name is another, or a function returns another shape or negative weights.

    Examples
    --------
    >>> vote_weights(Neighbors([[1, 2], [0, 2]], [[0, 1], [1, 4]]), "distance").tolist()
    [[1.0, 0.0], [1.0, 0.25]]
    """
    valid = neighbors.indices >= 0
    if callable(weights):
        made = np.asarray(weights(neighbors.distances.astype(np.float64)), dtype=np.float64)
        if made.shape != valid.shape or not (made[valid] >= 0).all():
            raise UsageError(f"weights: expected {valid.shape} numbers of at least 0, found shape {made.shape}")
        return np.where(valid, made, 0.0)
    if weights == "uniform":
        return valid.astype(np.float64)
    if weights != "distance":
        raise UsageError(unknown("weights", weights, WEIGHTS))
    with np.errstate(divide="ignore"):
        inverse = 1.0 / neighbors.distances.astype(np.float64)
    at_zero = np.isinf(inverse)
    has_zero = at_zero.any(axis=1)
    inverse[has_zero] = at_zero[has_zero]
    return np.where(valid, inverse, 0.0)


def class_probabilities(
    neighbors: Neighbors, labels: np.ndarray, n_classes: int, weights: Weights = "uniform"
) -> np.ndarray:
    """Return the share of each class in the votes of each row's neighbours.

    Parameters
    ----------
    neighbors : Neighbors
    labels : ndarray of int, shape (n_stored,)
        The class of each stored row, 0 to n_classes - 1.
    n_classes : int
    weights : {"uniform", "distance"} or callable
        As in `vote_weights`.

    Returns
    -------
    ndarray of float64, shape (n, n_classes)
        NaN where no neighbour has a vote.

    Raises
    ------
    DataError
        A neighbour has no label, or a label is no class.

    References
    ----------
    Fix & Hodges 1951; Dudani 1976 for weights by distance.

    Examples
    --------
    >>> class_probabilities(Neighbors([[0, 1, 2]], [[1, 2, 3]]), np.array([0, 1, 1]), 2).round(3).tolist()
    [[0.333, 0.667]]
    """
    codes = _codes(neighbors, labels)
    if codes.max(initial=-1) >= n_classes or labels.min(initial=0) < 0:
        raise DataError(f"labels: expected whole numbers from 0 to {n_classes - 1}")
    rows = np.arange(len(neighbors))[:, None] * n_classes
    votes = vote_weights(neighbors, weights)
    sums = np.bincount((rows + codes).ravel(), votes.ravel(), minlength=len(neighbors) * n_classes)
    shares = sums.reshape(len(neighbors), n_classes)
    with np.errstate(invalid="ignore"):
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def classes_by_k(
    neighbors: Neighbors, labels: np.ndarray, ks: Sequence[int], weights: Weights = "uniform"
) -> np.ndarray:
    """Return the class that the k nearest neighbours vote for, for many k at once.

    Parameters
    ----------
    neighbors : Neighbors
    labels : ndarray of int, shape (n_stored,)
        Codes from 0.
    ks : sequence of int
        Each from 1 to the neighbours' own k.
    weights : {"uniform", "distance"} or callable
        As in `vote_weights`.

    Returns
    -------
    ndarray of int32, shape (len(ks), n)
        -1 where no neighbour has a vote.

    Raises
    ------
    DataError
        A neighbour has no label.
    UsageError
        A k is out of range.

    Notes
    -----
    One walk along the lists serves every k: votes only grow, so a class takes the lead only when it gains one.

    Examples
    --------
    >>> line = Neighbors([[0, 1, 2]], [[1, 2, 3]])
    >>> classes_by_k(line, np.array([1, 0, 0]), [1, 2, 3]).ravel().tolist()
    [1, 0, 0]
    """
    codes = _codes(neighbors, labels)
    width = max((neighbors.nearest(k).k for k in ks), default=0)
    n_classes = int(labels.max(initial=0)) + 1
    if callable(weights):  # what it makes of a list may depend on the list's length
        shares = (class_probabilities(neighbors.nearest(k), labels, n_classes, weights) for k in ks)
        return np.stack([np.where(np.isnan(one[:, 0]), -1, one.argmax(axis=1)) for one in shares]).astype(np.int32)
    votes = vote_weights(neighbors, weights)
    out = np.empty((len(ks), len(neighbors)), dtype=np.int32)
    for block in blocks(len(neighbors), BLOCK_VOTES // n_classes):
        for place, leader in enumerate(_leaders(codes[block, :width], votes[block, :width], n_classes)):
            for at, k in enumerate(ks):
                if k == place + 1:
                    out[at, block] = leader
    return out


def _leaders(codes: np.ndarray, votes: np.ndarray, n_classes: int) -> Iterator[np.ndarray]:
    """Yield the leading class of each row after one, two, ... neighbours have voted."""
    n, width = codes.shape
    counts, rows = np.zeros((n, n_classes)), np.arange(n)
    leader, lead = np.full(n, -1), np.zeros(n)
    for place in range(width):
        code, vote = codes[:, place], votes[:, place]
        counts[rows, code] += vote
        now = counts[rows, code]
        ahead = (vote > 0) & ((now > lead) | ((now == lead) & (code < leader)) | (leader == code))
        leader, lead = np.where(ahead, code, leader), np.where(ahead, now, lead)
        yield leader


def values_by_k(
    neighbors: Neighbors, values: np.ndarray, ks: Sequence[int], weights: Weights = "uniform"
) -> np.ndarray:
    """Return the weighted mean of the values of the k nearest neighbours, for many k at once.

    Parameters
    ----------
    neighbors : Neighbors
    values : ndarray of float, shape (n_stored,) or (n_stored, n_outputs)
    ks : sequence of int
        Each from 1 to the neighbours' own k.
    weights : {"uniform", "distance"} or callable
        As in `vote_weights`.

    Returns
    -------
    ndarray of float64, shape (len(ks), n) or (len(ks), n, n_outputs)
        NaN where no neighbour has a vote.

    Raises
    ------
    DataError
        A neighbour has no value.
    UsageError
        A k is out of range.

    Examples
    --------
    >>> values_by_k(Neighbors([[0, 1]], [[1, 3]]), np.array([0.0, 4.0]), [1, 2], "distance").ravel().tolist()
    [0.0, 1.0]
    """
    rows = _rows_of(neighbors, len(values))
    known = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    out = np.empty((len(ks), len(neighbors), known.shape[1]))
    width = max((neighbors.nearest(k).k for k in ks), default=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if callable(weights):
            for at, k in enumerate(ks):
                part = vote_weights(neighbors.nearest(k), weights)
                out[at] = (part[..., None] * known[rows[:, :k]]).sum(axis=1) / part.sum(axis=1, keepdims=True)
        else:
            votes = vote_weights(neighbors, weights)
            total, weight = np.zeros((len(neighbors), known.shape[1])), np.zeros((len(neighbors), 1))
            for place in range(width):
                total += votes[:, place, None] * known[rows[:, place]]
                weight += votes[:, place, None]
                for at, k in enumerate(ks):
                    if k == place + 1:
                        out[at] = total / weight
    return out.reshape(len(ks), len(neighbors), *np.shape(values)[1:])


def accuracy_by_k(
    neighbors: Neighbors, labels: np.ndarray, ks: Sequence[int], weights: Weights = "uniform"
) -> np.ndarray:
    """Return the leave-one-out accuracy of each k: the share of rows whose nearest others vote for the row's own class.

    Parameters
    ----------
    neighbors : Neighbors
        Each row's nearest others in the same set.
    labels : ndarray of int, shape (n,)
    ks, weights
        As in `classes_by_k`.

    Returns
    -------
    ndarray of float64, shape (len(ks),)

    Examples
    --------
    >>> line = Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]])
    >>> accuracy_by_k(line, np.array([0, 0, 1]), [1]).round(3).tolist()
    [0.667]
    """
    return np.asarray((classes_by_k(neighbors, labels, ks, weights) == labels).mean(axis=1))


def r2_by_k(neighbors: Neighbors, values: np.ndarray, ks: Sequence[int], weights: Weights = "uniform") -> np.ndarray:
    """Return the leave-one-out R2 of each k: 1 - the squared error of the predictions / that of the mean.

    Parameters
    ----------
    neighbors : Neighbors
        Each row's nearest others in the same set.
    values : ndarray of float, shape (n,) or (n, n_outputs)
        Of several outputs the mean R2 is taken.
    ks, weights
        As in `values_by_k`.

    Returns
    -------
    ndarray of float64, shape (len(ks),)
        Where the values are all equal: 1 if the predictions equal them and else 0, as in scikit-learn.

    Examples
    --------
    >>> line = Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]])
    >>> r2_by_k(line, np.array([0.0, 1.0, 2.0]), [1, 2]).round(3).tolist()
    [-0.5, -1.25]
    """
    known = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    variation = ((known - known.mean(axis=0)) ** 2).sum(axis=0)
    error = ((values_by_k(neighbors, known, ks, weights) - known) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(variation > 0, 1 - error / variation, np.where(error > 0, 0.0, 1.0))
    return np.asarray(r2.mean(axis=1))


def _rows_of(neighbors: Neighbors, n: int) -> np.ndarray:
    """The row numbers of the neighbours, all of which must be below n; 0 for -1."""
    if neighbors.indices.max(initial=-1) >= n:
        raise DataError(f"found {n} labels or values, but the neighbours name row {neighbors.indices.max()}")
    if n == 0 and neighbors.indices.size:
        raise DataError("found no labels or values at all")
    return np.asarray(np.maximum(neighbors.indices, 0))


def _codes(neighbors: Neighbors, labels: np.ndarray) -> np.ndarray:
    """The label of each neighbour, int64 (n, k)."""
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or labels.min(initial=0) < 0:
        raise DataError(f"labels: expected whole numbers from 0, one a row, found {labels.dtype} of {labels.shape}")
    return np.asarray(labels[_rows_of(neighbors, len(labels))].astype(np.int64))
