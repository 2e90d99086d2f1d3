"""Rows at distance 0, from `Neighbors`: their groups, how many there are, and each row's nearest distinct vectors."""

import numpy as np

from vicinal.analysis.components import components
from vicinal.errors import UsageError
from vicinal.knn.blocks import padded
from vicinal.knn.metrics import BY_NAME, Metric
from vicinal.knn.neighbors import Neighbors

EQUAL_AT_ZERO = "a metric in which equal vectors have distance 0"


def copy_groups(neighbors: Neighbors) -> np.ndarray:
    """Return the lowest row of each row's group of copies, rows at distance 0 of each other.

    A group is found completely even where it has more members than a row has neighbours, because every member's first
    neighbour is the group's lowest other row. Where the pass kept groups apart (`groups`), copies that all lie in one
    group are not seen.

    Parameters
    ----------
    neighbors : Neighbors
        Each row's nearest others in the same set.

    Returns
    -------
    ndarray, shape (n,)
        int64; a row without a copy has its own number.

    Raises
    ------
    UsageError
        The metric is an inner product, under which distance 0 does not mean equal.

    Examples
    --------
    >>> copy_groups(Neighbors([[2], [0], [0]], [[0], [7], [0]])).tolist()
    [0, 1, 0]
    """
    require_lengths(neighbors, "copies")
    copies = np.flatnonzero((neighbors.distances[:, 0] == 0) & (neighbors.indices[:, 0] >= 0))
    return components(len(neighbors), copies, neighbors.indices[copies, 0])


def multiplicity(neighbors: Neighbors, copies: np.ndarray | None = None) -> np.ndarray:
    """Return how many copies of each row there are, itself included.

    Parameters
    ----------
    neighbors : Neighbors
    copies : ndarray, shape (n,), optional
        The groups of copies, where more is known of them than `copy_groups` can tell.

    Returns
    -------
    ndarray, shape (n,)
        int64; 1 where a row has no copy.

    Examples
    --------
    >>> multiplicity(Neighbors([[2], [0], [0]], [[0], [7], [0]])).tolist()
    [2, 1, 2]
    """
    group = copy_groups(neighbors) if copies is None else copies
    sizes: np.ndarray = np.bincount(group, minlength=len(group))[group]
    return sizes


def nearest_distinct(neighbors: Neighbors, k: int, copies: np.ndarray | None = None) -> Neighbors:
    """Return each row's k nearest distinct vectors: no copy of the row itself, and of several copies the lowest row.

    Parameters
    ----------
    neighbors : Neighbors
        With more than k neighbours a row where there are copies, which take places in the lists.
    k : int
    copies : ndarray, shape (n,), optional
        As in `multiplicity`.

    Returns
    -------
    Neighbors
        Of k neighbours a row; index -1, distance inf where a row's list holds fewer than k distinct vectors.

    Raises
    ------
    UsageError
        As `copy_groups`.

    Examples
    --------
    >>> nearest_distinct(Neighbors([[1, 2, 3], [0, 2, 3], [3, 0, 1], [2, 0, 1]],
    ...                            [[0, 5, 5], [0, 5, 5], [0, 5, 5], [0, 5, 5]]), k=1).indices.ravel().tolist()
    [2, 2, 0, 0]
    """
    group = copy_groups(neighbors) if copies is None else copies
    crowded = np.bincount(group, minlength=len(group))[group] > 1
    rows = np.flatnonzero(crowded | crowded[neighbors.indices].any(axis=1)) if crowded.any() else np.empty(0, np.int64)
    indices, distances = (values.copy() for values in padded(neighbors.indices, neighbors.distances, k))
    named = neighbors.indices[rows]
    keys = np.where(named < 0, -1, group[named])
    indices[rows], distances[rows] = first_of_each(named, neighbors.distances[rows], keys, group[rows], k)
    return Neighbors(indices, distances, neighbors.metric, neighbors.dim)


def first_of_each(
    indices: np.ndarray, distances: np.ndarray, keys: np.ndarray, own: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return in each row the first k entries whose keys differ from each other and from the row's own.

    Parameters
    ----------
    indices, distances : ndarray, shape (n, m)
    keys : ndarray, shape (n, m)
        The group of each entry; -1 for an empty place.
    own : ndarray, shape (n,)
        The group of each row itself.
    k : int

    Returns
    -------
    indices, distances : ndarray, shape (n, k)
        -1 and inf where there are fewer.

    Examples
    --------
    >>> first_of_each(np.array([[7, 8, 9]]), np.array([[1.0, 2.0, 3.0]]), np.array([[4, 4, 5]]), np.array([6]), k=2)
    (array([[7, 9]]), array([[1., 3.]]))
    """
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    again = np.zeros(keys.shape, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    left_out = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(left_out, order, again, axis=1)
    left_out |= (keys < 0) | (keys == own[:, None])
    place = np.argsort(left_out, axis=1, kind="stable")[:, :k]
    none = np.take_along_axis(left_out, place, axis=1)
    rows = np.where(none, -1, np.take_along_axis(indices, place, axis=1))
    far = np.where(none, np.inf, np.take_along_axis(distances, place, axis=1)).astype(distances.dtype)
    return padded(rows, far, k)


def metric_of(neighbors: Neighbors) -> Metric:
    """Return the metric of a result; one that is not in the table is a length, as mahalanobis is."""
    return BY_NAME.get(neighbors.metric or "", BY_NAME["euclidean"])


def require_lengths(neighbors: Neighbors, what: str) -> None:
    """Raise UsageError where the distances are inner products, which `what` cannot be computed from."""
    if metric_of(neighbors).product:
        raise UsageError(
            f"{what}: expected neighbours by {EQUAL_AT_ZERO}, found {neighbors.metric}; compute them again with "
            "euclidean or cosine"
        )
