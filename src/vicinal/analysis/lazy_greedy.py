"""Greedy selection that measures few rows: values can only shrink, so a value from before is an upper bound now.

A pool of the rows with the largest bounds is kept up to date. The best of the pool is chosen as long as no other row's
bound is above it; otherwise the rows with the largest bounds are measured anew and make the next pool.
"""

from typing import Protocol

import numpy as np

from vicinal.analysis.choices import Choice, Quota, largest
from vicinal.knn.exact import ExactSearch
from vicinal.knn.measure import inverse_lengths
from vicinal.knn.metrics import Metric
from vicinal.typing import Progress

POOL, MOST_RENEWED, FEW = 256, 16384, 8
DIGITS = 10  # sums of another order differ in the last digits: values that agree to so many are equal


class Objective(Protocol):
    """What a greedy selection maximises: a value a row, which depends on the rows chosen so far.

    Attributes
    ----------
    growth : float
        How much, in all choices so far, the bound of a row that was not measured can have grown; 0 where none grows.
    """

    growth: float

    def bounds(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return an upper bound of each row's value, a new float64 array; of a row measured since, the value."""
        ...

    def measure(self, rows: np.ndarray) -> None:
        """Bring the bounds of some rows up to date, so that they are the values."""
        ...

    def choose(self, row: int) -> None:
        """Choose a row; the bounds of the other rows become out of date."""
        ...


def lazy_greedy(
    objective: Objective, keep: int, quota: Quota, order: list[int] | None = None, progress: Progress | None = None
) -> np.ndarray:
    """Return the rows of a greedy selection in the order of their choice, int64 (keep,).

    Each next row has the largest value, rounded to 10 digits; of equal rows, the first is chosen.

    Parameters
    ----------
    objective : Objective
    keep : int
    quota : Quota
        The rows that may be chosen.
    order : list of int, optional
        Rows that were chosen before.
    progress : callable, optional
        Called with (rows chosen, rows to choose).
    """
    order = [] if order is None else order
    pool, renewed, chosen = np.empty(0, dtype=np.int64), 2 * POOL, 0
    outside: tuple[float, int, float] | None = None  # minus the largest bound outside the pool, its row, the growth
    while len(order) < keep and quota.open.any():
        pool = pool[quota.open[pool]]
        if len(pool):
            values = np.round(objective.bounds(pool), DIGITS)
            best = int(np.argmax(values))  # the pool is ascending, so that of equal rows this is the first
            row = int(pool[best])
            if outside is None or (-values[best], row) >= (outside[0] - objective.growth + outside[2], outside[1]):
                outside = _best_outside(objective, quota, pool)
            if (-values[best], row) < outside[:2]:
                order.append(row)
                quota.take(row)
                objective.choose(row)
                pool = np.delete(pool, best)
                objective.measure(pool)
                chosen += 1
                continue
        if progress is not None:
            progress(len(order), keep)
        # A pool that gave few rows was drawn from too few measured rows.
        renewed = min(2 * renewed, MOST_RENEWED) if chosen < FEW else max(renewed // 2, 2 * POOL)
        pool, outside, chosen = _next_pool(objective, quota, renewed), None, 0
    return np.array(order, dtype=np.int64)


def _best_outside(objective: Objective, quota: Quota, pool: np.ndarray) -> tuple[float, int, float]:
    bounds = objective.bounds()
    bounds[~quota.open] = -np.inf
    bounds[pool] = -np.inf
    np.round(bounds, DIGITS, out=bounds)
    row = int(np.argmax(bounds))
    return -float(bounds[row]), row, objective.growth


def _next_pool(objective: Objective, quota: Quota, renewed: int) -> np.ndarray:
    """The POOL rows of the largest values among some of the largest bounds, which are measured anew; ascending."""
    rows = largest(np.where(quota.open, np.round(objective.bounds(), DIGITS), -np.inf), renewed)
    rows = np.sort(rows[quota.open[rows]])
    objective.measure(rows)
    kept = largest(np.round(objective.bounds(rows), DIGITS), POOL)
    pool: np.ndarray = np.sort(rows[kept])
    return pool


class UnitRows:
    """Rows scaled to length 1 when they are taken, float64: no second copy of all rows is held.

    >>> UnitRows(np.array([[3.0, 4.0], [0.0, 2.0]]))[np.array([0])].round(9).tolist()
    [[0.6, 0.8]]
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors, self._inverse = vectors, inverse_lengths(vectors)[:, None]
        self.shape = vectors.shape

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        scaled: np.ndarray = self._vectors[rows].astype(np.float64)
        scaled *= self._inverse[rows]
        return scaled


def nearest_chosen(vectors: np.ndarray, order: np.ndarray, metric: Metric, threads: int | None = None) -> Choice:
    """Return a choice whose reason for each row is the nearest chosen row; a chosen row is its own, at distance 0.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    order : ndarray of int64, shape (keep,)
        The chosen rows.
    metric : Metric
    threads : int, optional
    """
    because, distance = np.full(len(vectors), -1), np.full(len(vectors), np.nan)
    because[order], distance[order] = order, 0.0
    others = np.flatnonzero(because < 0)
    if len(others) and len(order):
        chosen = np.sort(order)  # so that of equally near rows, the lower is named
        found = ExactSearch.of(vectors[chosen], metric, threads, invalid={}).search(vectors[others], 1)
        because[others], distance[others] = chosen[found.indices[:, 0]], found.distances[:, 0]
    return Choice(order, because, distance)
