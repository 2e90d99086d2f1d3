"""Farthest-point selection (Gonzalez 1985): each next row is the one farthest from all that were chosen before it.

The plain algorithm compares every row with every choice. Here most distances are left as they are: a distance can only
shrink, so what is known of a row is an upper bound, and only rows whose bound may be the largest are compared.

1. `farthest` ranks the rows by their bounds, and compares the first of them with the choices that they missed.
2. `choose_among` chooses from the first POOL rows, whose distances to each new choice are measured at once, as long as
   the best of them is above the bounds of all other rows.
3. `choice` compares every row with the choices that it missed.
"""

import numpy as np

from vicinal.analysis.choices import Choice, Quota, largest, refuse_product
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find
from vicinal.typing import Progress

POOL, RENEWED, PART = 512, 4096, 2048


def k_center(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "euclidean",
    weight: np.ndarray | None = None,
    first: int = 0,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Return a farthest-point selection: every row is at most as far from a chosen row as the last choice was.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows that a distance is defined for.
    keep : int
    metric : str or Metric
    weight : ndarray of float64, shape (n,), optional
        Multiplies the distance of each row; by default 1.
    first : int
        The row that is chosen first.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    threads : int, optional
        The number of threads; by default, the number of cores.
    progress : callable, optional
        Called with (rows chosen, rows to choose).

    Returns
    -------
    Choice
        `because` is the nearest chosen row (of a chosen row: the nearest of those chosen before it), and `distance` the
        distance to it.

    Raises
    ------
    UsageError
        The metric is an inner product.

    References
    ----------
    Gonzalez 1985, the greedy algorithm. Distances can only shrink, so the distance of a row that is near already is
    renewed only when it may be the largest.

    Examples
    --------
    >>> k_center(np.array([[0.0], [1.0], [5.0], [9.0], [4.0]]), keep=3).order.tolist()
    [0, 3, 2]
    """
    metric, n = find(metric), len(vectors)
    refuse_product(metric, "k-center")
    weight = np.ones(n) if weight is None else weight
    quota = Quota(n, groups, seats)
    first = first if quota.open[first] else int(np.flatnonzero(quota.open)[0])
    centers = _Centers(vectors, metric, weight, quota, threads)
    centers.choose(first)
    centers.renew(np.delete(np.arange(n), first))
    while len(centers.order) < keep and quota.open.any():
        centers.choose_among(centers.farthest(), keep)
        if progress is not None:
            progress(len(centers.order), keep)
    return centers.choice()


class _Centers:
    """The rows that a farthest-point selection has chosen, and the distance of every row to the nearest of them.

    Attributes
    ----------
    order : list of int
        The chosen rows.
    far : ndarray of float64, shape (n,)
        The distance of each row to the nearest chosen row that it was compared with.
    near : ndarray of int64, shape (n,)
        That chosen row, or -1.
    seen : ndarray of int64, shape (n,)
        How many of the chosen rows each row was compared with.
    """

    def __init__(
        self, vectors: np.ndarray, metric: Metric, weight: np.ndarray, quota: Quota, threads: int | None
    ) -> None:
        n = len(vectors)
        self.vectors, self.metric, self.weight, self.quota, self.threads = vectors, metric, weight, quota, threads
        self.order: list[int] = []
        self.far, self.near, self.seen = np.full(n, np.inf), np.full(n, -1), np.zeros(n, dtype=np.int64)
        self._parts: list[ExactSearch] = []  # an index of each PART chosen rows, made once and searched many times

    def choose(self, row: int) -> None:
        """Choose a row; no distance changes yet."""
        self.order.append(row)
        self.quota.take(row)

    def renew(self, rows: np.ndarray) -> None:
        """Compare rows with all chosen rows that they were not compared with yet."""
        if not len(rows):
            return
        for start in range(int(self.seen[rows].min()) // PART * PART, len(self.order), PART):
            part = np.array(self.order[start : start + PART])
            queries = rows[self.seen[rows] < start + len(part)]
            found = self._index_of(start // PART, part).search(self.vectors[queries], 1)
            closer = found.distances[:, 0] < self.far[queries]
            self.far[queries[closer]] = found.distances[closer, 0]
            self.near[queries[closer]] = part[found.indices[closer, 0]]
        self.seen[rows] = len(self.order)

    def _index_of(self, number: int, part: np.ndarray) -> ExactSearch:
        if number < len(self._parts):
            return self._parts[number]
        index = ExactSearch.of(self.vectors[part], self.metric, self.threads, invalid={})
        if len(part) == PART and number == len(self._parts):
            self._parts.append(index)
        return index

    def farthest(self) -> np.ndarray:
        """The open rows of the largest weighted distances, largest first; those of the first POOL are up to date."""
        while True:
            rows = largest(self._key(), RENEWED)
            ranked: np.ndarray = rows[self.quota.open[rows]]
            if (self.seen[ranked[:POOL]] == len(self.order)).all():
                return ranked
            self.renew(ranked[self.seen[ranked] < len(self.order)])

    def _key(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        key: np.ndarray = np.where(self.quota.open[rows], self.far[rows] * self.weight[rows], -1.0)
        return key

    def choose_among(self, ranked: np.ndarray, keep: int) -> None:
        """Choose from the first POOL rows, as long as the best of them is above the upper bounds of all others."""
        pool, rest = np.sort(ranked[:POOL]), ranked[POOL:]
        bound = (-self._key(rest[:1])[0], rest[0]) if len(rest) else (np.inf, len(self.vectors))
        prepared = self.metric.ready(np.asarray(self.vectors[pool]))
        least = _least_distances(prepared, self.metric)
        while len(self.order) < keep and self.quota.open[pool].any():
            key = self._key(pool)
            best = int(np.argmax(key))
            if (-key[best], pool[best]) > bound:
                break
            self.choose(int(pool[best]))
            others = np.flatnonzero(self.quota.open[pool] & ~(least[best] >= self.far[pool]))  # the rest stay as far
            if not len(others):
                continue
            rank = self.metric.measure(prepared[others], prepared[best][None])
            distance = self.metric.finish(rank).astype(np.float32)
            closer = distance < self.far[pool[others]]
            self.far[pool[others[closer]]], self.near[pool[others[closer]]] = distance[closer], pool[best]
        self.seen[pool[self.quota.open[pool]]] = len(self.order)

    def choice(self) -> Choice:
        """The result, with every distance up to date; a chosen row keeps the distance that it was chosen at."""
        chosen = np.zeros(len(self.vectors), dtype=bool)
        chosen[self.order] = True
        self.renew(np.flatnonzero(~chosen & (self.seen < len(self.order))))
        return Choice(np.array(self.order), self.near, np.where(np.isfinite(self.far), self.far, np.nan))


def _least_distances(prepared: np.ndarray, metric: Metric) -> np.ndarray:
    """A lower bound of the distance of every two rows, (n, n), from their inner products where the metric has some.

    It may be NaN, which bounds nothing.

    An inner product of d terms is off by at most d eps / 2 of the lengths' product, its measured difference by as much;
    the margin is more than both.
    """
    if metric.kernel != "dot":
        return np.full((len(prepared), len(prepared)), -np.inf)
    rows = prepared.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
        margin = 8 * (rows.shape[1] + 8) * np.finfo(np.float64).eps * squares.max()
        return metric.finish(np.maximum(squares[:, None] + squares - 2 * (rows @ rows.T) - margin, 0))
