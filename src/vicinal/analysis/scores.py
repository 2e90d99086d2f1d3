"""Scores: pure functions of `Neighbors` that give one number a row; `score_table` has their names.

A row whose score is not defined gets NaN or an infinity: a row with fewer than k neighbours (index -1), or one of which
the docstring says so. Rows without any neighbour take no part in the scores of the others. Every function takes the
`Neighbors` and k; these may hold more than k neighbours a row.
"""

import warnings

import numpy as np

from vicinal.analysis.distinct import copy_groups as copy_groups  # which other modules import from here
from vicinal.analysis.distinct import metric_of, nearest_distinct, require_lengths
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import METRICS
from vicinal.knn.neighbors import Neighbors

LOF_INFLATED = 1e7  # a factor above it comes from copies; scikit-learn warns from here on
LOF_OFFSET = 1e-10  # added to mean reachabilities, so that copies have a density; scikit-learn's value


def mean_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return the mean distance to the k nearest: high is isolated and unique, low is surrounded and redundant.

    The k-NN score of data selection: score_i = (1/k) sum_{j=1..k} d(e_i, e_nj).

    Parameters
    ----------
    neighbors : Neighbors
    k : int
        At most that of the neighbours.

    Returns
    -------
    ndarray, shape (n,)
        float32, in the metric's unit; the mean is taken in float64.

    Examples
    --------
    >>> mean_distance(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]]), k=2).tolist()
    [2.0, 1.5, 2.5]
    """
    means: np.ndarray = neighbors.nearest(k).distances.mean(axis=1, dtype=np.float64).astype(np.float32)
    return means


def kth_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return the distance to the k-th nearest: the radius that holds k others.

    Parameters
    ----------
    neighbors : Neighbors
    k : int
        At most that of the neighbours.

    Returns
    -------
    ndarray, shape (n,)
        float32, in the metric's unit.

    References
    ----------
    Ramaswamy, Rastogi, Shim 2000

    Examples
    --------
    >>> kth_distance(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]]), k=2).tolist()
    [3.0, 2.0, 3.0]
    """
    return neighbors.nearest(k).distances[:, -1].copy()


def median_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return the median distance to the k nearest: one very near or very far neighbour does not move it.

    Parameters
    ----------
    neighbors : Neighbors
    k : int
        At most that of the neighbours.

    Returns
    -------
    ndarray, shape (n,)
        float32, in the metric's unit; for an even k the mean of the middle two, taken in float64.

    Examples
    --------
    >>> median_distance(Neighbors([[1, 2, 3]], [[1, 2, 9]]), k=3).tolist()
    [2.0]
    """
    ascending = neighbors.nearest(k).distances
    middle = ascending[:, (k - 1) // 2 : k // 2 + 1]
    medians: np.ndarray = middle.mean(axis=1, dtype=np.float64).astype(np.float32)
    return medians


def mean_distinct_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return the mean distance to the k nearest distinct vectors, so that 50 copies of one row do not tie at 0.

    Parameters
    ----------
    neighbors : Neighbors
    k : int
        At most that of the neighbours.

    Returns
    -------
    ndarray, shape (n,)
        float32, in the metric's unit; inf where a row's list holds fewer than k distinct vectors.

    Raises
    ------
    UsageError
        The metric is an inner product.
    """
    return mean_distance(nearest_distinct(neighbors, k), k)


def local_outlier_factor(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return how much thinner it is around a row than around its neighbours: near 1 in a cluster, large for outliers.

    Parameters
    ----------
    neighbors : Neighbors
        Each row's nearest others in the same set. Where ties make the k nearest ambiguous, the lower rows count, not
        all of them as in the paper.
    k : int

    Returns
    -------
    ndarray, shape (n,)
        float64, without unit; NaN where a row has no neighbour.

    Raises
    ------
    UsageError
        The metric is an inner product.
    DataError
        The neighbours are rows of another set.

    References
    ----------
    Breunig, Kriegel, Ng, Sander 2000, definitions 5 to 7. Mean reachabilities are raised by 1e-10, as scikit-learn
    does, so that copies have a density.

    Examples
    --------
    >>> line = Neighbors([[1, 2], [0, 2], [1, 0], [2, 1]], [[1, 2], [1, 1], [1, 2], [8, 9]])
    >>> local_outlier_factor(line, k=2).round(3).tolist()
    [0.875, 1.333, 0.875, 4.958]
    """
    require_lengths(neighbors, "the local outlier factor")
    nearest = _own(neighbors.nearest(k), "the local outlier factor")
    there = nearest.indices >= 0
    distances = nearest.distances.astype(np.float64)
    radius = np.where(there, distances, -np.inf).max(axis=1)
    reachability = np.maximum(distances, radius[nearest.indices])
    density = 1.0 / (_mean(reachability, there) + LOF_OFFSET)
    factors = _mean(density[nearest.indices], there) / density
    inflated = int((factors > LOF_INFLATED).sum())
    if inflated:
        warnings.warn(
            f"local outlier factor: {inflated} rows have a factor above {LOF_INFLATED:g}, because rows with at least "
            f"{k} copies are near them; give a larger k, or remove copies first: `vicinal outliers` computes the "
            "factor over distinct rows",
            stacklevel=2,
        )
    return factors


def log_density(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return the logarithm of the k-NN density (k - 1) / (n V), with V the volume of the ball up to the k-th nearest.

    It is computed in logarithms, so that hundreds of dimensions neither overflow nor vanish. For cosine the ball lies
    on the unit sphere and counts as flat, in dim - 1 dimensions.

    Parameters
    ----------
    neighbors : Neighbors
        With its dim.
    k : int
        At least 2.

    Returns
    -------
    ndarray, shape (n,)
        float64, the natural logarithm of the rows' share per unit of volume; n counts the rows with neighbours. inf
        where the k nearest are copies.

    Raises
    ------
    UsageError
        k is below 2, the metric's balls have no volume, or the result does not know its dim.

    References
    ----------
    Loftsgaarden & Quesenberry 1965; Fukunaga 1990 for k - 1.

    Examples
    --------
    >>> log_density(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]], dim=1), k=2).round(3).tolist()
    [-2.89, -2.485, -2.89]
    """
    _least(k, 2, "the density")
    volume = metric_of(neighbors).log_volume
    if volume is None:
        raise UsageError(f"the density: {volume_expected()}, found neighbours by {neighbors.metric}")
    if neighbors.dim is None:
        raise UsageError(
            "the density: expected neighbours that know the number of dimensions (dim), found None; compute them "
            "again, or give Neighbors(..., dim=...)"
        )
    n = int((neighbors.indices[:, 0] >= 0).sum())
    with np.errstate(divide="ignore"):
        densities: np.ndarray = np.log((k - 1) / max(n, 1)) - volume(
            neighbors.nearest(k).distances[:, -1].astype(float), neighbors.dim
        )
    return densities


def hubness(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return how many rows have this row among their k nearest (k-occurrence): 0 for an anti-hub, many for a hub.

    Parameters
    ----------
    neighbors : Neighbors
        Each row's nearest others in the same set.
    k : int

    Returns
    -------
    ndarray, shape (n,)
        float64; its mean is k where every row has k neighbours.

    References
    ----------
    Radovanovic, Nanopoulos, Ivanovic 2010

    Examples
    --------
    >>> hubness(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]]), k=1).tolist()
    [1.0, 2.0, 0.0]
    """
    named = _own(neighbors.nearest(k), "hubness").indices
    return np.bincount(named[named >= 0], minlength=len(neighbors)).astype(np.float64)


def local_intrinsic_dimension(neighbors: Neighbors, k: int) -> np.ndarray:
    """Return the dimension of the data around a row: how fast the number of neighbours grows with their distance.

    Distances are taken as lengths (the root of sqeuclidean, the chord of cosine); copies of the row are left out.

    Parameters
    ----------
    neighbors : Neighbors
    k : int
        At least 2.

    Returns
    -------
    ndarray, shape (n,)
        float64; inf where the neighbours are all at one distance, NaN where fewer than two are no copies.

    Raises
    ------
    UsageError
        k is below 2, or the metric is an inner product.

    References
    ----------
    Levina & Bickel 2004, equation 8, with their 1 / (k - 1).

    Examples
    --------
    >>> from math import e
    >>> local_intrinsic_dimension(Neighbors([[1, 2, 3]], [[1, e, e * e]]), k=3).round(4).tolist()
    [0.6667]
    """
    _least(k, 2, "the local intrinsic dimension")
    require_lengths(neighbors, "the local intrinsic dimension")
    lengths = metric_of(neighbors).length(neighbors.nearest(k).distances.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(lengths > 0, np.log(lengths[:, -1:]) - np.log(lengths), 0.0)
        others = (lengths > 0).sum(axis=1) - 1
        return np.where(others > 0, others / logarithms.sum(axis=1), np.nan)


def volume_expected() -> str:
    """Return what a message says of the metrics that the density is defined for."""
    names = ", ".join(metric.name for metric in METRICS if metric.log_volume is not None)
    return f"expected a metric whose balls have a volume ({names})"


def _least(k: int, least: int, what: str) -> None:
    if k < least:
        raise UsageError(f"k: expected at least {least} for {what}, got {k}")


def _own(neighbors: Neighbors, what: str) -> Neighbors:
    """The neighbours, which must be rows of the same set."""
    if neighbors.indices.max(initial=-1) >= len(neighbors):
        raise DataError(
            f"{what}: expected each row's neighbours in the same set of {len(neighbors)} rows, found row number "
            f"{neighbors.indices.max()}; give the neighbours of a set in itself"
        )
    return neighbors


def _mean(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean of each row over the places that are there; NaN where none is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1)
    return means
