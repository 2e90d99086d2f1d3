"""Clusters of rows, and selections from them: SemDeDup and D4."""

import numpy as np

from vicinal.analysis.choices import Choice
from vicinal.analysis.selection import by_merit
from vicinal.knn.blocks import blocks
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find

ITERATIONS = 20
BLOCK = 1024
DEDUPLICATED = 0.75  # D4's share of rows that its first step leaves


def k_means(
    vectors: np.ndarray, n_clusters: int, metric: Metric, seed: int = 0, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster of each row and its distance to the cluster's centre, int64 (n,) and float64 (n,).

    Lloyd's algorithm, 20 rounds, from distinct rows drawn by the seed. Under cosine the rows are scaled to length 1 and
    so are the centres (spherical k-means). A cluster that loses all its rows keeps its centre.

    Examples
    --------
    >>> clusters, far = k_means(np.array([[0.0], [1.0], [9.0], [10.0]]), 2, find("euclidean"))
    >>> len(set(clusters[:2].tolist())), len(set(clusters[2:].tolist())), far.tolist()
    (1, 1, [0.5, 0.5, 0.5, 0.5])
    """
    distinct = np.unique(vectors, axis=0, return_index=True)[1] if len(vectors) <= BLOCK else np.arange(len(vectors))
    n_clusters = min(n_clusters, len(distinct))
    first = np.sort(np.random.default_rng(seed).choice(np.sort(distinct), n_clusters, replace=False))
    centres = metric.prepare(vectors[first])
    nearest, far = _nearest(vectors, centres, metric, threads)
    for _ in range(ITERATIONS):
        before, centres = nearest, _centres(vectors, nearest, centres, metric)
        nearest, far = _nearest(vectors, centres, metric, threads)
        if np.array_equal(before, nearest):
            break
    return nearest, far


def _nearest(
    vectors: np.ndarray, centres: np.ndarray, metric: Metric, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each row, and its distance."""
    search = ExactSearch.of(centres, metric, threads, invalid={})
    parts = [search.search(vectors[part], 1) for part in blocks(len(vectors), 1 << 16)]
    nearest = np.concatenate([part.indices[:, 0] for part in parts])
    return nearest, np.concatenate([part.distances[:, 0] for part in parts]).astype(np.float64)


def _centres(vectors: np.ndarray, nearest: np.ndarray, centres: np.ndarray, metric: Metric) -> np.ndarray:
    """The centres of the rows that are nearest to each centre; of none, the centre itself."""
    order = np.argsort(nearest, kind="stable")
    starts = np.searchsorted(nearest[order], np.arange(len(centres) + 1))
    moved = centres.copy()
    for cluster in np.flatnonzero(np.diff(starts)):
        rows = metric.prepare(vectors[order[starts[cluster] : starts[cluster + 1]]])
        mean = rows.mean(axis=0)
        if not metric.nonzero or np.square(mean).sum() > 0:
            moved[cluster] = metric.prepare(mean[None])[0]
    return moved


def semdedup(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "cosine",
    quality: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    n_clusters: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Choice:
    """Return the rows that are left when rows are removed for near-duplicates in their cluster until `keep` remain.

    In each cluster the rows are put in order: the best quality first, then the farthest from the centre. A row counts
    as removed for the nearest of the rows before it; those with the smallest such distances are removed. This is
    SemDeDup with the largest threshold that leaves `keep` rows.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    keep : int
    metric : str or Metric
        Cosine or euclidean.
    quality : ndarray of float64, shape (n,), optional
        High is good; by default all rows are alike.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    n_clusters : int, optional
        By default, the root of n.
    seed : int
        Of the clusters.
    threads : int, optional
        The number of threads; by default, the number of cores.

    Returns
    -------
    Choice
        In the order of the distance, the largest first. `because` is the nearest row before it, -1 for the first row
        of a cluster.

    References
    ----------
    Abbas et al. 2023, "SemDeDup: Data-efficient learning at web-scale through semantic deduplication"
    (arXiv 2303.09540).

    Examples
    --------
    >>> semdedup(np.array([[0.0], [0.1], [1.0], [9.0]]), 3, "euclidean", n_clusters=1).because.tolist()
    [3, 0, 1, -1]
    """
    metric = find(metric)
    n_clusters = round(len(vectors) ** 0.5) if n_clusters is None else n_clusters
    clusters, far = k_means(vectors, n_clusters, metric, seed, threads)
    because, distance = nearest_before(vectors, clusters, far, metric, quality, threads)
    order = by_merit(np.where(because < 0, np.inf, distance), keep, groups, seats).order
    return Choice(order, because, distance)


def nearest_before(
    vectors: np.ndarray,
    clusters: np.ndarray,
    far: np.ndarray,
    metric: Metric,
    quality: np.ndarray | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest of the rows before each row in its cluster, int64 (n,), and its distance, float64 (n,).

    The order of a cluster is that of `semdedup`; its first row has -1 and NaN.
    """
    n = len(vectors)
    rank = np.zeros(n) if quality is None else -quality
    order = np.lexsort((np.arange(n), -far, rank, clusters))
    starts = np.searchsorted(clusters[order], np.arange(int(clusters.max(initial=0)) + 2))
    because = np.full(n, -1)
    for cluster in np.flatnonzero(np.diff(starts) > 1):
        members = order[starts[cluster] : starts[cluster + 1]]
        rows = metric.prepare(vectors[members])
        squares = np.square(rows).sum(axis=1)
        for part in blocks(len(members), BLOCK):
            before = rows[: part.stop]
            gap = squares[: part.stop] - 2 * (rows[part] @ before.T)  # the squared distance, less the row's own square
            gap[np.arange(part.stop) >= np.arange(part.start, part.stop)[:, None]] = np.inf
            nearest = np.argmin(np.round(gap, 12), axis=1)
            because[members[part]] = members[nearest]
        because[members[0]] = -1
    distance = ExactSearch.of(vectors, metric, threads, invalid={}).distances(because[:, None])[:, 0]
    return because, np.where(because < 0, np.nan, distance)


def d4(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "cosine",
    quality: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    n_clusters: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Choice:
    """Return the least typical rows of what SemDeDup leaves.

    SemDeDup leaves three quarters of the rows, or `keep` if that is more. These are clustered anew, and the rows that
    are farthest from the centre of their cluster are kept.

    Parameters
    ----------
    vectors, keep, metric, quality, groups, seats, n_clusters, seed, threads
        As in `semdedup`.

    Returns
    -------
    Choice
        `because` is, for a row that SemDeDup removed, the row that it was removed for; for other rows -1, with the
        distance to the centre NaN.

    References
    ----------
    Tirumala et al. 2023, "D4: Improving LLM Pretraining via Document De-Duplication and Diversification"
    (arXiv 2308.12284); the prototypes are those of Sorscher et al. 2022 (arXiv 2206.14486).

    Examples
    --------
    >>> d4(np.array([[0.0], [0.1], [1.0], [9.0]]), 1, "euclidean", n_clusters=1).order.tolist()
    [3]
    """
    metric, n = find(metric), len(vectors)
    left = max(keep, round(DEDUPLICATED * n))
    first = semdedup(vectors, left, metric, quality, None, None, n_clusters, seed, threads)
    rows = np.sort(first.order)
    asked = round(len(rows) ** 0.5) if n_clusters is None else n_clusters
    far = k_means(vectors[rows], asked, metric, seed, threads)[1]
    merit = np.where(np.isnan(first.distance), 2.0, first.distance)
    merit = (merit - merit.max()) / max(1.0, float(np.ptp(merit))) - 1  # of removed rows, below all others
    merit[rows] = far
    order = by_merit(merit, keep, groups, seats).order
    removed = np.ones(n, dtype=bool)
    removed[rows] = False
    return Choice(order, np.where(removed, first.because, -1), np.where(removed, first.distance, np.nan))
