"""TSDS: selection towards a target set, as an optimal transport that prefers near rows and spreads its weight."""

import heapq

import numpy as np

from vicinal.analysis.choices import Choice
from vicinal.analysis.lazy_greedy import nearest_chosen
from vicinal.analysis.selection import by_merit
from vicinal.knn.blocks import blocks
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find

SCALE = 5.0  # the constant C of the paper's code
FETCHED = 64
BLOCK = 1024
LARGEST = 1e150  # of a bandwidth, so that its square is finite; no distance is near it


def towards(
    vectors: np.ndarray,
    target: np.ndarray,
    keep: int,
    metric: str | Metric = "euclidean",
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    alpha: float = 0.5,
    bandwidth: float | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Choice:
    """Return rows drawn, without replacement, by the probabilities that TSDS gives them for a target set.

    Where fewer than `keep` rows have a probability, the rows nearest to the target make up the number.

    Parameters
    ----------
    vectors, target : ndarray, shape (n, dim) and (n_target, dim)
    keep : int
    metric : str or Metric
        Euclidean, or cosine: the Euclidean distance of the rows scaled to length 1.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    alpha : float
        From 0 to 1: high prefers rows near the target, low spreads over more rows.
    bandwidth : float, optional
        A Euclidean distance. Rows within it share their probability, so that near-duplicates count as one (KNN-KDE).
        Without it all rows weigh the same (KNN-uniform).
    seed : int
        Of the draw.
    threads : int, optional
        The number of threads; by default, the number of cores.

    Returns
    -------
    Choice
        `because` is the nearest chosen row.

    References
    ----------
    Liu, Karbasi & Rekatsinas 2024, "TSDS: Data Selection for Task-Specific Model Finetuning" (arXiv 2410.11303),
    KNN-Uniform and KNN-KDE, with C = 5 as in its code. The draw without replacement is that of Efraimidis & Spirakis
    2006.

    Examples
    --------
    >>> rows, target = np.array([[0.0], [1.0], [2.0], [30.0]]), np.array([[0.9]])
    >>> sorted(towards(rows, target, keep=2).order.tolist())
    [0, 1]
    """
    metric = find(metric)
    share = probabilities(vectors, target, metric, alpha, bandwidth, threads)
    draw = np.random.default_rng(seed).random(len(vectors))
    with np.errstate(divide="ignore"):
        key = np.log(draw) / share  # the largest keys are a draw without replacement; -inf where the share is 0
    rest = np.flatnonzero(share <= 0)
    if len(rest) > len(vectors) - keep:
        found = ExactSearch.of(target, metric, threads, invalid={}).search(vectors[rest], 1)
        least = float(key[share > 0].min(initial=0.0))
        key[rest] = least - 1 - found.distances[:, 0].astype(np.float64)
    elif groups is not None:
        key[rest] = -np.finfo(np.float64).max
    order = by_merit(key, keep, groups, seats).order
    return nearest_chosen(vectors, order, metric, threads)


def probabilities(
    vectors: np.ndarray,
    target: np.ndarray,
    metric: Metric,
    alpha: float,
    bandwidth: float | None,
    threads: int | None = None,
) -> np.ndarray:
    """Return the probability of each row, float64 (n,); the sum is 1.

    Each target row hands out 1 / n_target to its nearest rows, to each 1 / (s n_target density), nearest first, until
    it is handed out. s grows from the nearest row on as long as the distance that the spreading adds, over C and
    times alpha, is below 1 - alpha.
    """
    index = ExactSearch.of(vectors, metric, threads, invalid={})
    fetched, n = min(FETCHED, len(vectors)), len(vectors)
    density = np.full(n, np.nan)
    while True:
        found = index.search(target, fetched)
        rows, far = found.indices, metric.length(found.distances.astype(np.float64))
        if bandwidth is None:
            density[:] = 1.0
        else:
            _fill_densities(density, np.unique(rows), vectors, index, bandwidth, metric)
        last, s = _spread(far, density[rows], alpha)
        if fetched == n or int(last.max()) + 2 < fetched:
            break
        fetched = min(2 * fetched, n)
    share: np.ndarray = np.zeros(n)
    m = len(target)
    for place in range(m):
        count = int(last[place]) + 1
        upto = np.minimum(np.cumsum(1 / (m * s * density[rows[place, :count]])), 1 / m)
        upto = np.append(upto, 1 / m)[:fetched]
        share[rows[place, : len(upto)]] += np.diff(upto, prepend=0.0)
    share /= share.sum()
    return share


def _spread(far: np.ndarray, density: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """The last of the nearest rows that each target row fills whole, int64 (n_target,), and s."""
    m, fetched = far.shape
    last, cost = np.zeros(m, dtype=np.int64), np.zeros(m)
    weighted = far[:, 0] / density[:, 0]
    heap = [(1 / float(density[j, 0]), 0, j) for j in range(m)]
    heapq.heapify(heap)
    s, total = 1 / float(density[:, 0].max()), 0.0
    while heap:
        count, place, j = heapq.heappop(heap)
        s = count
        if place + 1 >= fetched:
            last[j] = place
            continue
        total -= cost[j]
        cost[j] = far[j, place + 1] * count - weighted[j]
        total += cost[j]
        if alpha / SCALE * total >= (1 - alpha) * m:
            break
        last[j] = place
        heapq.heappush(heap, (count + 1 / float(density[j, place + 1]), place + 1, j))
        weighted[j] += far[j, place + 1] / density[j, place + 1]
    return last, s


def _fill_densities(
    density: np.ndarray, rows: np.ndarray, vectors: np.ndarray, index: ExactSearch, bandwidth: float, metric: Metric
) -> None:
    """Set the densities of rows that have none yet: the sum of 1 - distance^2 / bandwidth^2 over the rows within it."""
    rows = rows[np.isnan(density[rows])]
    bandwidth = min(bandwidth, LARGEST)
    radius = bandwidth**2 / 2 if metric.nonzero else bandwidth**2 if metric.name == "sqeuclidean" else bandwidth
    for part in blocks(len(rows), BLOCK):
        found = index.within(radius, vectors[rows[part]])
        kernel = 1 - (metric.length(found.distances.astype(np.float64)) / bandwidth) ** 2
        sums = np.add.reduceat(np.append(np.maximum(kernel, 0), 0.0), found.indptr[:-1])
        density[rows[part]] = np.maximum(sums, 1.0)  # the row itself is within the bandwidth
