"""Which rows to keep: strategies that choose exactly so many, deterministically, ties to the lower row.

    by_merit           the largest values
    k_center           each next row is the one farthest from all that were chosen before it (Gonzalez 1985)
    facility_location  each next row is the one that serves its neighbours best where they are served badly so far
                       (lazy greedy, Minoux 1978; within 1 - 1/e of the best choice, Nemhauser, Wolsey, Fisher 1978)

Every row has a weight that multiplies what a strategy maximises, and a group, of which a share limits how many rows
may come.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from vicinal.errors import UsageError
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find
from vicinal.knn.neighbors import Neighbors

POOL, RENEWED, PART = 512, 4096, 2048
UNITS = 1 << 32


@dataclass(frozen=True)
class Choice:
    """What a strategy chose, and why.

    order    : int64 (keep,), the chosen rows in the order of their choice
    because  : int64 (n,), the row that each row was kept or left out for; -1 where there is none
    distance : float64 (n,), how far that row is; NaN where nothing was measured
    """

    order: np.ndarray
    because: np.ndarray
    distance: np.ndarray


def shares(groups: np.ndarray, keep: int, most: np.ndarray | None = None) -> np.ndarray:
    """How many rows each group may keep: its part of `keep`, by the largest remainder, ties to the lower group.

    groups : int64 (n,), from 0
    most   : the most that each group has to give; what is left over goes to the others by the same rule
    Returns  int64 (n_groups,), keep in all
    Raises   UsageError where the groups have fewer than keep to give

    >>> shares(np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2]), keep=4).tolist()
    [2, 1, 1]
    """
    sizes = np.bincount(groups)
    most = sizes if most is None else most
    if most.sum() < keep:
        raise UsageError(f"keep {keep}: only {most.sum()} rows are there to be kept")
    seats = np.zeros(len(sizes), dtype=np.int64)
    while left := keep - int(seats.sum()):
        open_ = np.flatnonzero(seats < most)
        part = left * sizes[open_]  # in units of 1 / sum, whole numbers throughout
        whole, rest = np.divmod(part, sizes[open_].sum())
        spare = left - int(whole.sum())
        whole[np.lexsort((open_, -rest))[:spare]] += 1
        seats[open_] = np.minimum(seats[open_] + whole, most[open_])
    return seats


def by_merit(merit: np.ndarray, keep: int, groups: np.ndarray | None = None, seats: np.ndarray | None = None) -> Choice:
    """The rows of the largest merit; each row is kept or left out because of the last one kept (of its group).

    >>> by_merit(np.array([0.2, 0.9, 0.5, 0.5]), keep=2).order.tolist()
    [1, 2]
    """
    n = len(merit)
    order = np.lexsort((np.arange(n), -merit))
    groups = np.zeros(n, dtype=np.int64) if groups is None else groups
    seats = np.array([keep]) if seats is None else seats
    ordered = groups[order]
    by_group = np.argsort(ordered, kind="stable")
    begins = np.searchsorted(ordered[by_group], np.arange(len(seats)))
    place = np.empty(n, dtype=np.int64)
    place[by_group] = np.arange(n) - begins[ordered[by_group]]
    chosen = order[place < seats[ordered]]
    last = np.full(len(seats), -1)
    last[groups[chosen]] = chosen  # of several, the last assignment stays
    return Choice(chosen, last[groups], np.full(n, np.nan))


def k_center(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "euclidean",
    weight: np.ndarray | None = None,
    first: int = 0,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    threads: int | None = None,
) -> Choice:
    """Farthest-point selection: every row is at most as far from a chosen one as the last choice was.

    vectors : (n, dim) of usable rows
    first   : the first choice
    Returns   the choice; `because` is the nearest chosen row (of a chosen row: the nearest chosen before it), and
              `distance` how far it is
    Raises    UsageError for inner products, which are no distances
    Source    Gonzalez 1985, greedy; distances can only shrink, so those of rows that are near already are not renewed
              until they may be the largest

    >>> k_center(np.array([[0.0], [1.0], [5.0], [9.0], [4.0]]), keep=3).order.tolist()
    [0, 3, 2]
    """
    measure = find(metric)
    if measure.not_a_distance:
        raise UsageError(f"k-center: {measure.not_a_distance}")
    run = _FarthestFirst(vectors, measure, weight, groups, seats, threads)
    if not run.open[first]:
        first = int(np.flatnonzero(run.open)[0])
    run.choose(first)
    run.renew(np.delete(np.arange(len(vectors)), first))
    while len(run.order) < keep and run.open.any():
        run.compete(*run.pool(), keep)
    chosen = np.zeros(len(vectors), dtype=bool)
    chosen[run.order] = True  # a chosen row keeps the distance that it was chosen at
    run.renew(np.flatnonzero(~chosen & (run.seen < len(run.order))))
    return Choice(np.array(run.order), run.near, np.where(np.isfinite(run.far), run.far, np.nan))


class _FarthestFirst:
    """The state of `k_center`.

    far, near : each row's distance to its nearest choice, and that choice, as far as it is known
    seen      : how many of the choices these take into account
    open      : the rows that may still be chosen
    order     : the choices
    """

    def __init__(
        self,
        vectors: np.ndarray,
        metric: Metric,
        weight: np.ndarray | None,
        groups: np.ndarray | None,
        seats: np.ndarray | None,
        threads: int | None,
    ) -> None:
        n = len(vectors)
        self.vectors, self.metric, self.threads = vectors, metric, threads
        self.weight = np.ones(n) if weight is None else weight
        limited = seats is not None and groups is not None
        self.groups = groups if limited else None
        self.seats = seats.copy() if seats is not None and limited else None
        self.far, self.near = np.full(n, np.inf), np.full(n, -1)
        self.seen = np.zeros(n, dtype=np.int64)
        self.open = np.ones(n, dtype=bool)
        if self.seats is not None:
            self.open &= self.seats[self.groups] > 0
        self.order: list[int] = []
        self.parts: list[ExactSearch] = []  # the choices, PART at a time, so that each search is made once

    def choose(self, row: int) -> None:
        """Choose a row, and close its group where that has no seat left."""
        self.order.append(row)
        self.open[row] = False
        if self.seats is not None and self.groups is not None:
            group = self.groups[row]
            self.seats[group] -= 1
            if not self.seats[group]:
                self.open[self.groups == group] = False

    def renew(self, rows: np.ndarray) -> None:
        """Bring the distances of rows up to date."""
        if not len(rows):
            return
        for start in range(int(self.seen[rows].min()) // PART * PART, len(self.order), PART):
            late = np.array(self.order[start : start + PART])
            asking = rows[self.seen[rows] < start + len(late)]
            if start // PART < len(self.parts):
                search = self.parts[start // PART]
            else:
                search = ExactSearch.of(self.vectors[late], self.metric, self.threads, invalid={})
                if len(late) == PART and start // PART == len(self.parts):
                    self.parts.append(search)
            found = search.search(self.vectors[asking], 1)
            closer = found.distances[:, 0] < self.far[asking]
            self.far[asking[closer]] = found.distances[closer, 0]
            self.near[asking[closer]] = late[found.indices[closer, 0]]
        self.seen[rows] = len(self.order)

    def pool(self) -> tuple[np.ndarray, tuple[float, float]]:
        """The farthest few rows, whose distances are up to date, and the (key, row) of the best of the others."""
        while True:
            key = np.where(self.open, self.far * self.weight, -1.0)
            ranked = _largest(key, RENEWED)
            ranked = ranked[self.open[ranked]]
            if (self.seen[ranked[:POOL]] == len(self.order)).all():
                break
            self.renew(ranked[self.seen[ranked] < len(self.order)])
        rest = ranked[POOL:]
        return np.sort(ranked[:POOL]), (-key[rest[0]], rest[0]) if len(rest) else (np.inf, len(key))

    def compete(self, pool: np.ndarray, bound: tuple[float, float], keep: int) -> None:
        """Choose among the rows of a pool alone, as long as the best of them is above all others."""
        vectors, metric = self.vectors[pool], self.metric
        prepared = metric.prepare(np.asarray(vectors) if metric.whiten is None else metric.whiten(vectors))
        least = _least_distances(prepared, metric)
        while len(self.order) < keep and self.open[pool].any():
            key = np.where(self.open[pool], self.far[pool] * self.weight[pool], -1.0)
            best = int(np.argmax(key))
            if (-key[best], pool[best]) > bound:
                break
            self.choose(int(pool[best]))
            others = np.flatnonzero(self.open[pool] & ~(least[best] >= self.far[pool]))  # no other has come closer
            if not len(others):
                continue
            distance = metric.finish(metric.measure(prepared[others], prepared[best][None])).astype(np.float32)
            closer = distance < self.far[pool[others]]
            self.far[pool[others[closer]]], self.near[pool[others[closer]]] = distance[closer], pool[best]
        self.seen[pool[self.open[pool]]] = len(self.order)


def _largest(key: np.ndarray, count: int) -> np.ndarray:
    """The rows of the largest keys, largest first, ties to the lower row."""
    if count < len(key):
        rows = np.flatnonzero(key >= np.partition(key, len(key) - count)[len(key) - count])
    else:
        rows = np.arange(len(key))
    return rows[np.argsort(-key[rows], kind="stable")[:count]]


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


def facility_location(
    neighbors: Neighbors,
    keep: int,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
) -> Choice:
    """The rows that together serve all rows best: a row is served by itself and by those among its neighbours.

    How well is D - distance, with D the largest distance among the neighbours. Sums are of whole numbers, 2^32 to D, so
    that they are the same on every machine.

    neighbors : each row's nearest others in the same set
    Returns     the choice; `because` is the chosen row that serves a row best, a chosen row itself; -1 where none does
    Raises      UsageError for inner products, which are no distances
    Source      Minoux 1978, lazy greedy

    >>> line = Neighbors([[1, 2], [0, 2], [1, 0], [4, 2], [3, 2]], [[1, 2], [1, 1], [1, 2], [1, 6], [1, 7]])
    >>> facility_location(line, keep=2).order.tolist()
    [2, 3]
    """
    reason = find(neighbors.metric or "euclidean").not_a_distance
    if reason:
        raise UsageError(f"facility: {reason}")
    n = len(neighbors)
    weight = np.ones(n) if weight is None else weight
    served, value, starts, largest = _services(neighbors)
    best, because = np.zeros(n, dtype=np.int64), np.full(n, -1)
    distance = np.full(n, np.nan)
    gain = np.add.reduceat(value, starts[:-1])  # every row serves itself, so that no part is empty
    heap = [(-float(total) * float(w), row) for row, (total, w) in enumerate(zip(gain.tolist(), weight, strict=True))]
    heapq.heapify(heap)
    left = None if seats is None else seats.copy()
    order: list[int] = []
    while len(order) < keep and heap:
        _, row = heapq.heappop(heap)
        if left is not None and groups is not None and not left[groups[row]]:
            continue
        mine = slice(starts[row], starts[row + 1])
        more = value[mine] - best[served[mine]]
        fresh = (-float(np.maximum(more, 0).sum()) * float(weight[row]), row)
        if heap and fresh > heap[0]:  # it was better once, and no longer is
            heapq.heappush(heap, fresh)
            continue
        order.append(row)
        if left is not None and groups is not None:
            left[groups[row]] -= 1
        better = served[mine][more > 0]
        best[better], because[better] = value[mine][more > 0], row
    chosen = np.array(order, dtype=np.int64)
    because[chosen] = chosen
    rows = np.flatnonzero(because >= 0)
    distance[rows] = (1 - best[rows] / UNITS) * largest
    distance[chosen] = 0
    return Choice(chosen, because, distance)


def _services(neighbors: Neighbors) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Which rows each row serves, row by row, how well, where each row's begin, and the largest distance."""
    n = len(neighbors)
    there = (neighbors.indices >= 0) & np.isfinite(neighbors.distances)
    largest = float(neighbors.distances[there].max(initial=0)) or 1.0
    served = np.concatenate([np.arange(n), np.nonzero(there)[0]])
    server = np.concatenate([np.arange(n), neighbors.indices[there]])
    far = np.concatenate([np.zeros(n), neighbors.distances[there].astype(np.float64)])
    value = np.rint((1 - far / largest) * UNITS).astype(np.int64)
    by_server = np.lexsort((served, server))
    return served[by_server], value[by_server], np.searchsorted(server[by_server], np.arange(n + 1)), largest
