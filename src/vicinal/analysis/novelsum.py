"""Greedy selection by NovelSum: each next row is the one that is newest to the rows chosen so far."""

import numpy as np

from vicinal.analysis.choices import Choice, Quota
from vicinal.analysis.diversity.novel_sum import REGULAR
from vicinal.analysis.lazy_greedy import UnitRows, lazy_greedy, nearest_chosen
from vicinal.knn.blocks import blocks
from vicinal.knn.copies import find_copies
from vicinal.knn.exact import ExactSearch
from vicinal.knn.joined import chosen
from vicinal.knn.metrics import Metric, find
from vicinal.knn.recall import Recall
from vicinal.typing import Progress

BLOCK, PART = 4096, 64
NEAR = 32  # so many of the nearest chosen rows are measured one by one


def novelsum(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "cosine",
    weight: np.ndarray | None = None,
    first: int = 0,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    k: int = 10,
    threads: int | None = None,
    progress: Progress | None = None,
    choosing: Progress | None = None,
    recall: float | None = None,
    recalls: list[Recall] | None = None,
) -> Choice:
    """Return the rows of the largest novelty, one after the other.

    The novelty of a row x is the sum over the chosen rows s, the nearest first, of m(x, s) / rank, with
    m(x, s) = cosine distance * (density of x + density of s). The 32 nearest chosen rows are measured; those beyond
    count with the mean of m(x, y) over all rows y, so that up to 32 chosen rows the sum is the authors' own, and beyond
    it a close estimate that needs no pair of all rows and all chosen rows.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows that cosine similarity is defined for.
    keep : int
    metric : str or Metric
        Cosine.
    weight : ndarray of float64, shape (n,), optional
        Multiplies the novelty of each row; by default 1.
    first : int
        The row that is chosen first.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    k : int
        The density of a row is 1 over the root of the mean squared distance to its k nearest distinct rows.
    threads : int, optional
        The number of threads; by default, the number of cores.
    progress : callable, optional
        Called with (rows done, rows in all) in the neighbour pass.
    choosing : callable, optional
        Called with (rows chosen, rows to choose) after it.
    recall : float, optional
        Of the neighbours of the densities; exact by default.
    recalls : list of Recall, optional
        That of approximate neighbours is added to it.

    Returns
    -------
    Choice
        `because` is the nearest chosen row.

    References
    ----------
    Yang et al. 2025, "Measuring Data Diversity for Instruction Tuning" (arXiv 2502.17184), NovelSelect, with the
    densities of both rows added and density power 0.5, as its code has them.

    Examples
    --------
    >>> angles = np.array([0.0, 0.1, 0.2, 2.0, 3.0])
    >>> novelsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), keep=2, k=2).order.tolist()
    [0, 4]
    """
    metric, n = find(metric), len(vectors)
    density = densities(vectors, k, metric, threads, progress, recall, recalls)
    objective = _Novelty(vectors, np.ones(n) if weight is None else weight, density, min(NEAR, keep))
    quota = Quota(n, groups, seats)
    first = first if quota.open[first] else int(np.flatnonzero(quota.open)[0])
    quota.take(first)
    objective.choose(first)
    order = lazy_greedy(objective, keep, quota, [first], choosing)
    return nearest_chosen(vectors, order, metric, threads)


def densities(
    vectors: np.ndarray,
    k: int,
    metric: Metric,
    threads: int | None = None,
    progress: Progress | None = None,
    recall: float | None = None,
    recalls: list[Recall] | None = None,
) -> np.ndarray:
    """Return 1 / sqrt(mean squared length to the k nearest distinct rows + 1e-9) of each row, float64 (n,)."""
    copies = find_copies(vectors)
    distinct = chosen(vectors, copies.first) if copies.any else vectors
    if len(distinct) < 2:
        return np.ones(len(vectors))
    index = ExactSearch.of(distinct, metric, threads, invalid={})
    found = index.neighbors(min(k, len(distinct) - 1), progress=progress, recall=recall)
    if recalls is not None and found.recall is not None:
        recalls.append(found.recall)
    squares = metric.length(found.distances.astype(np.float64)) ** 2
    density: np.ndarray = (1 / np.sqrt(squares.mean(axis=1) + REGULAR))[copies.group]
    return density


class _Novelty:
    """The novelty of each row to the chosen rows.

    Attributes
    ----------
    near : ndarray of float64, shape (n, n_near)
        The smallest m to the chosen rows that the row was compared with, ascending; 0 where there are fewer.
    seen : ndarray of int64, shape (n,)
        How many of the chosen rows each row was compared with.
    far : ndarray of float64, shape (n,)
        The mean m to all rows.
    growth : float
        As in `Objective`: the part of the chosen rows that are not near grows with every choice.
    """

    def __init__(self, vectors: np.ndarray, weight: np.ndarray, density: np.ndarray, n_near: int) -> None:
        n = len(vectors)
        self._rows, self._weight, self._density = UnitRows(vectors), weight, density
        self._ranks = 1 / np.arange(1, n_near + 1)
        self._nearby, self._beyond = np.zeros(n), 0.0
        self.near, self.seen = np.full((n, n_near), np.inf), np.zeros(n, dtype=np.int64)
        self._chosen, self._densities = np.empty((16, vectors.shape[1])), np.empty(16)
        self._count = 0
        self.far = self._mean_over_all()
        self.growth, self._most = 0.0, float((self._weight * self.far).max())

    def _mean_over_all(self) -> np.ndarray:
        n, dim = self._rows.shape
        mean, weighted = np.zeros(dim), np.zeros(dim)
        for part in blocks(n, BLOCK):
            rows = self._rows[part]
            mean += rows.sum(axis=0)
            weighted += self._density[part] @ rows
        together = np.stack([mean, weighted], axis=1) / n
        products = np.concatenate([self._rows[part] @ together for part in blocks(n, BLOCK)])
        far: np.ndarray = self._density * (1 - products[:, 0]) + self._density.mean() - products[:, 1]
        return far

    def bounds(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        bound: np.ndarray = self._beyond * self.far[rows]
        bound += self._nearby[rows]
        bound *= self._weight[rows]
        return bound

    def measure(self, rows: np.ndarray) -> None:
        rows = rows[self.seen[rows] < self._count]
        rows = rows[np.argsort(self.seen[rows], kind="stable")]  # a part then missed about the same choices
        for part in blocks(len(rows), PART):
            self._measure(rows[part], int(self.seen[rows[part.start]]))

    def _measure(self, rows: np.ndarray, start: int) -> None:
        """Compare rows with the chosen rows from `start` on, and keep those that are among their nearest."""
        m = self._rows[rows] @ self._chosen[start : self._count].T
        np.subtract(1, m, out=m)
        m *= self._density[rows][:, None] + self._densities[start : self._count]
        seen = self.seen[rows]
        if seen[-1] > start:
            last = int(seen[-1])
            m[:, : last - start][np.arange(start, last) < seen[:, None]] = np.inf  # compared with already
        self.seen[rows] = self._count
        place, column = np.nonzero(m < self.near[rows, -1][:, None])
        if not len(place):
            return
        counts = np.bincount(place, minlength=len(rows))
        more = np.full((len(rows), counts.max()), np.inf)
        more[place, np.arange(len(place)) - (np.cumsum(counts) - counts)[place]] = np.maximum(m[place, column], 0)
        filled, changed = min(self._count, self.near.shape[1]), counts > 0
        rows = rows[changed]
        nearest = np.concatenate([self.near[rows, :filled], more[changed]], axis=1)
        nearest.sort(axis=1)
        nearest = np.ascontiguousarray(nearest[:, :filled])
        self.near[rows, :filled] = nearest
        self._nearby[rows] = nearest @ self._ranks[:filled]

    def choose(self, row: int) -> None:
        if self._count == len(self._chosen):
            self._chosen = np.concatenate([self._chosen, np.empty_like(self._chosen)])
            self._densities = np.concatenate([self._densities, np.empty_like(self._densities)])
        self._chosen[self._count] = self._rows[np.array([row])][0]
        self._densities[self._count] = self._density[row]
        self._count += 1
        if self._count > self.near.shape[1]:
            self._beyond += 1 / self._count
            self.growth += self._most / self._count
            return
        before = self.bounds()  # each rank that is filled adds to the sum, so that every row is measured
        for part in blocks(len(self.seen), BLOCK):
            self.measure(np.arange(part.start, part.stop))
        self.growth += max(0.0, float((self.bounds() - before).max()))
