"""Votes: pure functions of `Neighbors` and what is known of the rows that they name - classes or values.

Labels are codes, whole numbers from 0. A neighbour votes with weight 1 ("uniform"), or with 1 / distance ("distance"),
where neighbours at distance 0, if there are any, have the whole vote; or with what a function makes of the distances.
Where classes tie, the lower code wins. Index -1 has no vote. These are scikit-learn's rules.
"""

from collections.abc import Callable, Sequence

import numpy as np

from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.blocks import blocks
from vicinal.knn.neighbors import Neighbors

WEIGHTS = ("uniform", "distance")
Weights = str | Callable[[np.ndarray], np.ndarray]
BLOCK_VOTES = 1 << 23  # votes (rows x classes) that are held at once


def vote_weights(neighbors: Neighbors, weights: Weights = "uniform") -> np.ndarray:
    """The weight of each neighbour's vote.

    weights : "uniform", "distance", or a function from distances (n, k) to as many weights of at least 0
    Returns   float64 (n, k); 0 where the index is -1
    Raises    UsageError where the name is another, or a function gives another shape or negative weights

    >>> vote_weights(Neighbors([[1, 2], [0, 2]], [[0, 1], [1, 4]]), "distance").tolist()
    [[1.0, 0.0], [1.0, 0.25]]
    """
    there = neighbors.indices >= 0
    if callable(weights):
        made = np.asarray(weights(neighbors.distances.astype(np.float64)), dtype=np.float64)
        if made.shape != there.shape or not (made[there] >= 0).all():
            raise UsageError(f"weights: expected {there.shape} numbers of at least 0, found shape {made.shape}")
        return np.where(there, made, 0.0)
    if weights == "uniform":
        return there.astype(np.float64)
    if weights != "distance":
        raise UsageError(unknown("weights", weights, WEIGHTS))
    with np.errstate(divide="ignore"):
        found = 1.0 / neighbors.distances.astype(np.float64)
    at_zero = np.isinf(found)
    crowned = at_zero.any(axis=1)
    found[crowned] = at_zero[crowned]
    return np.where(there, found, 0.0)


def class_probabilities(
    neighbors: Neighbors, labels: np.ndarray, n_classes: int, weights: Weights = "uniform"
) -> np.ndarray:
    """Each class's share of the votes of each row's neighbours.

    labels  : int (n_stored,), the class of each stored row, 0 to n_classes - 1
    Returns   float64 (n, n_classes); NaN where no neighbour has a vote
    Raises    DataError where a neighbour has no label or a label no class; UsageError as `vote_weights`
    Source    Fix & Hodges 1951; Dudani 1976 for weights by distance

    >>> class_probabilities(Neighbors([[0, 1, 2]], [[1, 2, 3]]), np.array([0, 1, 1]), 2).round(3).tolist()
    [[0.333, 0.667]]
    """
    codes = _codes(neighbors, labels)
    if codes.max(initial=-1) >= n_classes or labels.min(initial=0) < 0:
        raise DataError(f"labels: expected whole numbers from 0 to {n_classes - 1}")
    rows = np.arange(len(neighbors))[:, None] * n_classes
    shares = np.bincount(
        (rows + codes).ravel(), vote_weights(neighbors, weights).ravel(), minlength=len(neighbors) * n_classes
    ).reshape(len(neighbors), n_classes)
    with np.errstate(invalid="ignore"):
        return shares / shares.sum(axis=1, keepdims=True)


def classes_by_k(
    neighbors: Neighbors, labels: np.ndarray, ks: Sequence[int], weights: Weights = "uniform"
) -> np.ndarray:
    """The class that the k nearest neighbours vote for, for many k at once.

    labels  : int (n_stored,), codes from 0
    ks      : each from 1 to the neighbours' own k
    Returns   int32 (len(ks), n); -1 where no neighbour has a vote
    Raises    as `class_probabilities`, and UsageError where a k is out of range

    One walk along the lists serves every k: votes only grow, so a class takes the lead only when it gains one.

    >>> line = Neighbors([[0, 1, 2]], [[1, 2, 3]])
    >>> classes_by_k(line, np.array([1, 0, 0]), [1, 2, 3]).ravel().tolist()
    [1, 0, 0]
    """
    codes = _codes(neighbors, labels)
    width = max((neighbors.nearest(k).k for k in ks), default=0)
    if callable(weights):  # what it makes of a list may depend on the list's length
        n_classes = int(labels.max(initial=0)) + 1
        found = (class_probabilities(neighbors.nearest(k), labels, n_classes, weights) for k in ks)
        return np.stack([np.where(np.isnan(one[:, 0]), -1, one.argmax(axis=1)) for one in found]).astype(np.int32)
    voices = vote_weights(neighbors, weights)
    out = np.empty((len(ks), len(neighbors)), dtype=np.int32)
    n_classes = int(labels.max(initial=0)) + 1
    for block in blocks(len(neighbors), BLOCK_VOTES // n_classes):
        n = block.stop - block.start
        votes, rows = np.zeros((n, n_classes)), np.arange(n)
        leader, lead = np.full(n, -1), np.zeros(n)
        for place in range(width):
            code, voice = codes[block, place], voices[block, place]
            votes[rows, code] += voice
            now = votes[rows, code]
            ahead = (voice > 0) & ((now > lead) | ((now == lead) & (code < leader)) | (leader == code))
            leader, lead = np.where(ahead, code, leader), np.where(ahead, now, lead)
            for at, k in enumerate(ks):
                if k == place + 1:
                    out[at, block] = leader
    return out


def values_by_k(
    neighbors: Neighbors, values: np.ndarray, ks: Sequence[int], weights: Weights = "uniform"
) -> np.ndarray:
    """The weighted mean of the values of the k nearest neighbours, for many k at once.

    values  : float (n_stored,) or (n_stored, n_outputs)
    ks      : each from 1 to the neighbours' own k
    Returns   float64 (len(ks), n) or (len(ks), n, n_outputs); NaN where no neighbour has a vote
    Raises    as `classes_by_k`

    >>> values_by_k(Neighbors([[0, 1]], [[1, 3]]), np.array([0.0, 4.0]), [1, 2], "distance").ravel().tolist()
    [0.0, 1.0]
    """
    named = _named(neighbors, len(values))
    known = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    out = np.empty((len(ks), len(neighbors), known.shape[1]))
    total, voice = np.zeros((len(neighbors), known.shape[1])), np.zeros((len(neighbors), 1))
    whole = None if callable(weights) else vote_weights(neighbors, weights)
    width = max((neighbors.nearest(k).k for k in ks), default=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        for place in range(width if whole is not None else 0):
            assert whole is not None
            total += whole[:, place, None] * known[named[:, place]]
            voice += whole[:, place, None]
            for at, k in enumerate(ks):
                if k == place + 1:
                    out[at] = total / voice
        for at, k in enumerate(ks if whole is None else ()):
            part = vote_weights(neighbors.nearest(k), weights)
            out[at] = (part[..., None] * known[named[:, :k]]).sum(axis=1) / part.sum(axis=1, keepdims=True)
    return out.reshape(len(ks), len(neighbors), *np.shape(values)[1:])


def accuracy_by_k(
    neighbors: Neighbors, labels: np.ndarray, ks: Sequence[int], weights: Weights = "uniform"
) -> np.ndarray:
    """The share of rows whose k nearest others vote for the row's own class: leave-one-out accuracy, for every k.

    neighbors : each row's nearest others in the same set; labels int (n,)
    Returns     float64 (len(ks),)

    >>> line = Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]])
    >>> accuracy_by_k(line, np.array([0, 0, 1]), [1]).round(3).tolist()
    [0.667]
    """
    return (classes_by_k(neighbors, labels, ks, weights) == labels).mean(axis=1)


def r2_by_k(neighbors: Neighbors, values: np.ndarray, ks: Sequence[int], weights: Weights = "uniform") -> np.ndarray:
    """The leave-one-out R2 of each k: 1 - the predictions' squared error / that of the mean.

    neighbors : each row's nearest others in the same set; values float (n,) or (n, n_outputs), of which the mean R2
    Returns     float64 (len(ks),); where the values are all equal, 1 if they are met and else 0, as scikit-learn says

    >>> line = Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]])
    >>> r2_by_k(line, np.array([0.0, 1.0, 2.0]), [1, 2]).round(3).tolist()
    [-0.5, -1.25]
    """
    known = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    spread = ((known - known.mean(axis=0)) ** 2).sum(axis=0)
    missed = ((values_by_k(neighbors, known, ks, weights) - known) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(spread > 0, 1 - missed / spread, np.where(missed > 0, 0.0, 1.0))
    return r2.mean(axis=1)


def _named(neighbors: Neighbors, n: int) -> np.ndarray:
    """The neighbours' row numbers, all of which must be below n; 0 for -1."""
    if neighbors.indices.max(initial=-1) >= n:
        raise DataError(f"found {n} labels or values, but the neighbours name row {neighbors.indices.max()}")
    if n == 0 and neighbors.indices.size:
        raise DataError("found no labels or values at all")
    return np.maximum(neighbors.indices, 0)


def _codes(neighbors: Neighbors, labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or labels.min(initial=0) < 0:
        raise DataError(f"labels: expected whole numbers from 0, one a row, found {labels.dtype} of {labels.shape}")
    return labels[_named(neighbors, len(labels))].astype(np.int64)
