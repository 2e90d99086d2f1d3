"""Figures of a whole data set: pure functions of `Neighbors`, and of labels where there are any.

No function here takes a vector. Labels are codes from 0, as in `votes`; neighbours are each row's nearest others in the
same set.
"""

from math import sqrt

import numpy as np

from vicinal.analysis.distinct import metric_of
from vicinal.analysis.scores import hubness, local_intrinsic_dimension
from vicinal.analysis.votes import Weights, classes_by_k
from vicinal.errors import UsageError
from vicinal.knn.neighbors import Neighbors

MISSED = 0.01  # the largest part of a subsample's nearest neighbours that may lie beyond the lists


def two_nn_dimension(neighbors: Neighbors) -> float:
    """Return the intrinsic dimension by the ratio of each row's second and first distance alone.

    Returns
    -------
    float
        Over the m rows whose nearest other is no copy: the likeliest dimension if the tenth with the largest ratios is
        known to be at least as large as the largest of the others only. So a pair of near-copies does not decide it.
        NaN where there is no such row.

    References
    ----------
    Facco, d'Errico, Rodriguez, Laio 2017, who leave a tenth out too; in its maximum-likelihood form for censored
    ratios.

    Examples
    --------
    >>> two_nn_dimension(Neighbors([[1, 2], [0, 2]], [[1, 2], [1, 4]])).__round__(4)
    0.9618
    """
    lengths = metric_of(neighbors).length(neighbors.nearest(2).distances.astype(np.float64))
    usable = (lengths[:, 0] > 0) & np.isfinite(lengths[:, 1])
    if not usable.any():
        return float("nan")
    logs = np.sort(np.log(lengths[usable, 1]) - np.log(lengths[usable, 0]))
    counted = len(logs) - len(logs) // 10
    with np.errstate(divide="ignore"):
        return float(np.float64(counted) / (logs[:counted].sum() + (len(logs) - counted) * logs[counted - 1]))


def mle_dimension(neighbors: Neighbors, k: int) -> float:
    """Return the intrinsic dimension by maximum likelihood: the harmonic mean of the local ones.

    Parameters
    ----------
    neighbors : Neighbors
    k : int
        At least 2.

    Returns
    -------
    float
        NaN where no row has a local dimension.

    References
    ----------
    Levina & Bickel 2004, averaged as in MacKay & Ghahramani 2005.
    """
    with np.errstate(divide="ignore"):
        inverse = 1.0 / local_intrinsic_dimension(neighbors, k)
    mean = np.nanmean(inverse) if np.isfinite(inverse).any() else 0.0
    return float(1.0 / mean) if mean > 0 else float("nan")


def relative_contrast(neighbors: Neighbors, rows: np.ndarray, mean_distances: np.ndarray) -> float:
    """Return how many times farther a random row is than the nearest one: near 1, distances say little.

    Parameters
    ----------
    neighbors : Neighbors
    rows : ndarray of int, shape (n_sampled,)
        The rows that it is measured on; those with a copy are left out.
    mean_distances : ndarray of float, shape (n_sampled,)
        Their mean distances to random other rows, in the neighbours' unit.

    Returns
    -------
    float
        The mean of the mean distances over the mean of the nearest ones; inf where every row has a copy.

    References
    ----------
    He, Kumar, Chang 2012: the ratio of the expected distances. A mean of the rows' ratios would be decided by one
    near-copy.

    Examples
    --------
    >>> relative_contrast(Neighbors([[1], [0]], [[2], [1]]), np.array([0, 1]), np.array([3.0, 3.0]))
    2.0
    """
    nearest = neighbors.distances[rows, 0].astype(np.float64)
    usable = (nearest > 0) & np.isfinite(nearest)
    return float(mean_distances[usable].mean() / nearest[usable].mean()) if usable.any() else float("inf")


def median_contrast(neighbors: Neighbors, rows: np.ndarray, median_distances: np.ndarray) -> float:
    """Return how many times farther a random row is than the nearest one, for the median row.

    Parameters
    ----------
    neighbors : Neighbors
    rows : ndarray of int, shape (n_sampled,)
        The rows that it is measured on; those with a copy are left out.
    median_distances : ndarray of float, shape (n_sampled,)
        Their median distances to random other rows, in the neighbours' unit.

    Returns
    -------
    float
        The median of the rows' ratios, which single rows do not decide; inf where every row has a copy.

    Examples
    --------
    >>> median_contrast(Neighbors([[1], [0]], [[2], [1]]), np.array([0, 1]), np.array([3.0, 3.0]))
    2.25
    """
    nearest = neighbors.distances[rows, 0].astype(np.float64)
    usable = (nearest > 0) & np.isfinite(nearest)
    return float(np.median(median_distances[usable] / nearest[usable])) if usable.any() else float("inf")


def hubness_skew(neighbors: Neighbors, k: int) -> tuple[float, float]:
    """Return the skewness of k-occurrences, and the share of rows that are in no other row's k nearest.

    Returns
    -------
    skew : float
        0 where all rows occur equally often; above 1, few rows (hubs) are in the lists of many others.
    anti_hubs : float
        A share of rows.

    References
    ----------
    Radovanovic, Nanopoulos, Ivanovic 2010.

    Examples
    --------
    >>> skew, anti_hubs = hubness_skew(Neighbors([[1], [0], [1], [1]], [[1], [1], [1], [1]]), k=1)
    >>> round(skew, 2), anti_hubs
    (0.82, 0.5)
    """
    occurrences = hubness(neighbors, k)
    centred = occurrences - occurrences.mean()
    variance = (centred**2).mean()
    skew = (centred**3).mean() / variance**1.5 if variance > 0 else 0.0
    return float(skew), float((occurrences == 0).mean())


def disagreement(one: Neighbors, other: Neighbors) -> float:
    """Return the share of the neighbours in one result that are not in the other's list of the same row.

    >>> disagreement(Neighbors([[1, 2]], [[1, 2]]), Neighbors([[2, 3]], [[1, 2]]))
    0.5
    """
    shared = (one.indices[:, :, None] == other.indices[:, None, :]).any(axis=2)
    valid = one.indices >= 0
    return float(1 - shared[valid].mean())


def bayes_interval(error: float, n_classes: int) -> tuple[float, float]:
    """Return the interval in which the Bayes error lies if `error` is the 1-NN error with infinitely many rows.

    Parameters
    ----------
    error : float
        The 1-NN error, 0 to 1.
    n_classes : int

    Returns
    -------
    low, high : float
        For finitely many rows an estimate, not a bound.

    References
    ----------
    Cover & Hart 1967: (M - 1) / M (1 - sqrt(1 - M / (M - 1) e)) <= Bayes error <= e.

    Examples
    --------
    >>> [round(end, 4) for end in bayes_interval(0.18, 2)]
    [0.1, 0.18]
    """
    most = (n_classes - 1) / n_classes
    return most * (1 - sqrt(max(0.0, 1 - error / most))), error


def error_by_share(neighbors: Neighbors, labels: np.ndarray, points: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the leave-one-out error of one neighbour that shares of the other rows would give.

    Where each other row is kept with probability s, the j-th neighbour becomes the nearest with probability
    s (1 - s)^(j - 1): so the expected error over all subsamples follows from the lists, without drawing one. Shares go
    down as far as the lists reach: they hold all but 1 % of the subsamples' nearest neighbours.

    Parameters
    ----------
    neighbors : Neighbors
    labels : ndarray of int, shape (n,)
    points : int
        The number of shares.

    Returns
    -------
    shares : ndarray of float64, shape (points,)
        Ascending to 1.
    errors : ndarray of float64, shape (points,)

    Examples
    --------
    >>> line = Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 2], [1, 1], [1, 2]])
    >>> error_by_share(line, np.array([0, 0, 1]), points=1)[1].round(3).tolist()
    [0.333]
    """
    wrong = (labels[np.maximum(neighbors.indices, 0)] != labels[:, None]) & (neighbors.indices >= 0)
    least = 1 - MISSED ** (1 / neighbors.k)
    shares = np.geomspace(least, 1.0, points) if points > 1 else np.ones(1)
    errors = np.empty(points)
    place = np.arange(neighbors.k)
    for at, share in enumerate(shares):
        chance = share * (1 - share) ** place
        errors[at] = (wrong * chance).sum(axis=1).mean() / chance.sum()
    return shares, errors


def confusion(
    neighbors: Neighbors, labels: np.ndarray, n_classes: int, k: int, weights: Weights = "uniform"
) -> np.ndarray:
    """Return how many rows of each class (down) are voted into each class (across) by their k nearest others.

    Returns
    -------
    ndarray of int64, shape (n_classes, n_classes)
        Its diagonal holds what leave-one-out classifies right.

    Examples
    --------
    >>> confusion(Neighbors([[1], [0], [1]], [[1], [1], [1]]), np.array([0, 0, 1]), 2, 1).tolist()
    [[2, 0], [1, 0]]
    """
    voted = classes_by_k(neighbors, labels, [k], weights)[0]
    valid = voted >= 0
    pairs = labels[valid].astype(np.int64) * n_classes + voted[valid]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def recall_at(neighbors: Neighbors, labels: np.ndarray, k: int) -> float:
    """Return the share of rows of which at least one of the k nearest others is of the row's own class.

    Parameters
    ----------
    neighbors : Neighbors
    labels : ndarray of int, shape (n,)
        Rows alone in their class do not count.
    k : int

    Returns
    -------
    float
        0 to 1; NaN where every row is alone in its class.

    Examples
    --------
    >>> recall_at(Neighbors([[1, 2], [2, 0], [1, 0]], [[1, 2], [1, 2], [1, 2]]), np.array([0, 1, 0]), 2)
    1.0
    """
    own = labels[np.maximum(neighbors.indices[:, :k], 0)] == labels[:, None]
    met = (own & (neighbors.indices[:, :k] >= 0)).any(axis=1)[np.bincount(labels)[labels] > 1]
    return float(met.mean()) if len(met) else float("nan")


def map_at_r(neighbors: Neighbors, labels: np.ndarray) -> float:
    """Return the mean average precision at R: R is the number of others of a row's class, and the R nearest count.

    A row's value is the sum, over the places up to R that hold one of its class, of the precision up to there, divided
    by R. Rows alone in their class do not count.

    Parameters
    ----------
    neighbors : Neighbors
        At least as many a row as the largest R.
    labels : ndarray of int, shape (n,)

    Returns
    -------
    float
        0 to 1; NaN where every row is alone in its class.

    Raises
    ------
    UsageError
        The lists are shorter than the largest R.

    References
    ----------
    Musgrave, Belongie & Lim 2020.

    Examples
    --------
    >>> line = Neighbors([[1, 2, 3], [0, 2, 3], [1, 3, 0], [2, 1, 0]], [[1, 2, 3]] * 4)
    >>> map_at_r(line, np.array([0, 0, 1, 0])).__round__(4)  # 0 and 1 find one at place 1, 3 one at place 2
    0.4167
    """
    others = np.bincount(labels)[labels] - 1
    most = int(others.max(initial=0))
    if neighbors.k < min(most, len(neighbors) - 1):
        raise UsageError(f"map_at_r: a class has {most} others, but the lists hold {neighbors.k}; search for more")
    if not most:
        return float("nan")
    rows = neighbors.indices[:, :most]
    own = (labels[np.maximum(rows, 0)] == labels[:, None]) & (rows >= 0)
    place = np.arange(1, own.shape[1] + 1)
    own &= place <= others[:, None]
    precision = (own.cumsum(axis=1) / place * own).sum(axis=1)[others > 0] / others[others > 0]
    return float(precision.mean())
