"""Facility location by lazy greedy choice: each next row is the one that serves the rows around it best.

A row serves the rows whose neighbour it is, the better the nearer it is; what counts is the best service of each row.
The choice is within 1 - 1/e of the best one (Nemhauser, Wolsey & Fisher 1978).
"""

import heapq
from dataclasses import dataclass

import numpy as np

from vicinal.analysis.choices import Choice, Quota, refuse_product
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.typing import Progress

UNITS = 1 << 32
REPORTED = 64  # choices between two reports of progress


def facility_location(
    neighbors: Neighbors,
    keep: int,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    quality: np.ndarray | None = None,
    alpha: float = 0.0,
    progress: Progress | None = None,
) -> Choice:
    """Return the rows that together serve all rows best: a row serves itself and the rows whose neighbour it is.

    A row serves another by D - distance, where D is the largest distance among the neighbours.

    Parameters
    ----------
    neighbors : Neighbors
        Each row's nearest others in the same set.
    keep : int
    weight : ndarray of float64, shape (n,), optional
        Multiplies what each row adds; by default 1.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    quality : ndarray of float64, shape (n,), optional
        From 0 to 1, high is good. With it a row is worth alpha * quality + (1 - alpha) * what it adds, where what the
        best first row adds is 1 (QDIT).
    alpha : float
        From 0 to 1.
    progress : callable, optional
        Called with (rows chosen, rows to choose).

    Returns
    -------
    Choice
        `because` is the chosen row that serves a row best (itself for a chosen row), -1 where none does.

    Raises
    ------
    UsageError
        The metric is an inner product.

    References
    ----------
    Minoux 1978, the lazy greedy algorithm. What a row adds can only shrink, so it is computed anew only for the row at
    the top of the heap. Bukharin et al. 2024, "Data Diversity Matters for Robust Instruction Tuning"
    (arXiv 2311.14736), for the quality.

    Examples
    --------
    >>> line = Neighbors([[1, 2], [0, 2], [1, 0], [4, 2], [3, 2]], [[1, 2], [1, 1], [1, 2], [1, 6], [1, 7]])
    >>> facility_location(line, keep=2).order.tolist()
    [2, 3]
    """
    refuse_product(find(neighbors.metric or "euclidean"), "facility")
    n = len(neighbors)
    weight = np.ones(n) if weight is None else weight
    quota = Quota(n, groups, seats)
    services = _Services.of(neighbors)
    best, because = np.zeros(n, dtype=np.int64), np.full(n, -1)  # how well each row is served, and by which
    scale = 1.0 if quality is None else (1 - alpha) / max(services.totals)
    more_for = np.zeros(n) if quality is None else alpha * quality
    totals = [float(total) * float(w) * scale for total, w in zip(services.totals, weight, strict=True)]
    heap = [(-(total + float(more_for[row])), row) for row, total in enumerate(totals)]
    heapq.heapify(heap)
    order: list[int] = []
    while len(order) < keep and heap:
        _, row = heapq.heappop(heap)
        if not quota.open[row]:
            continue
        served, value = services[row]
        more = value - best[served]
        adds = float(np.maximum(more, 0).sum()) * float(weight[row]) * scale
        fresh = (-(adds + float(more_for[row])), row)
        if heap and fresh > heap[0]:  # another row may add more now
            heapq.heappush(heap, fresh)
            continue
        order.append(row)
        quota.take(row)
        better = served[more > 0]
        best[better], because[better] = value[more > 0], row
        if progress is not None and len(order) % REPORTED == 0:
            progress(len(order), keep)
    if progress is not None:
        progress(keep, keep)
    chosen = np.array(order, dtype=np.int64)
    because[chosen] = chosen
    distance = np.where(because >= 0, (1 - best / UNITS) * services.largest, np.nan)
    distance[chosen] = 0
    return Choice(chosen, because, distance)


@dataclass(frozen=True)
class _Services:
    """How well each row serves others, in whole numbers from 0 to UNITS, so that sums are the same on every machine.

    Attributes
    ----------
    starts : ndarray of int64, shape (n + 1,)
        Row i serves the rows served[starts[i] : starts[i + 1]].
    served, value : ndarray of int64, shape (n_pairs,)
    largest : float
        The largest distance among the neighbours, which is worth 0; 1 where all are 0.
    """

    starts: np.ndarray
    served: np.ndarray
    value: np.ndarray
    largest: float

    @classmethod
    def of(cls, neighbors: Neighbors) -> "_Services":
        n = len(neighbors)
        present = (neighbors.indices >= 0) & np.isfinite(neighbors.distances)
        largest = float(neighbors.distances[present].max(initial=0)) or 1.0
        served = np.concatenate([np.arange(n), np.nonzero(present)[0]])
        server = np.concatenate([np.arange(n), neighbors.indices[present]])
        far = np.concatenate([np.zeros(n), neighbors.distances[present].astype(np.float64)])
        value = np.rint((1 - far / largest) * UNITS).astype(np.int64)
        order = np.lexsort((served, server))
        return cls(np.searchsorted(server[order], np.arange(n + 1)), served[order], value[order], largest)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows that a row serves, and how well."""
        part = slice(self.starts[row], self.starts[row + 1])
        return self.served[part], self.value[part]

    @property
    def totals(self) -> list[int]:
        """The sum of each row's values; every row serves itself, so that no part is empty."""
        totals: list[int] = np.add.reduceat(self.value, self.starts[:-1]).tolist()
        return totals
