"""Which rows to keep: strategies that choose exactly so many, deterministically, ties to the lower row.

    by_merit           the largest values
    k_center           each next row is the one farthest from all that were chosen before it (Gonzalez 1985)
    facility_location  each next row is the one that serves its neighbours best where they are served badly so far
                       (lazy greedy, Minoux 1978; within 1 - 1/e of the best choice, Nemhauser, Wolsey, Fisher 1978)

Every row has a weight, which multiplies what a strategy maximises. Rows may belong to groups, each with a number of
seats: the number of its rows that are chosen.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from vicinal.errors import UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric, find
from vicinal.knn.neighbors import Neighbors

POOL, RENEWED, PART = 512, 4096, 2048
UNITS = 1 << 32


@dataclass(frozen=True)
class Choice:
    """The rows that a strategy chose, and why.

    Attributes
    ----------
    order : ndarray of int64, shape (keep,)
        The chosen rows, in the order of their choice.
    because : ndarray of int64, shape (n,)
        The row that each row was kept or left out for; -1 where there is none.
    distance : ndarray of float64, shape (n,)
        The distance to that row; NaN where none was measured.
    """

    order: np.ndarray
    because: np.ndarray
    distance: np.ndarray


class _Quota:
    """The rows that may still be chosen: of each group only as many as it has seats.

    Attributes
    ----------
    open : ndarray of bool, shape (n,)
    """

    def __init__(self, n: int, groups: np.ndarray | None, seats: np.ndarray | None) -> None:
        self.open = np.ones(n, dtype=bool)
        self._groups = self._seats = None
        if groups is not None and seats is not None:
            self._groups, self._seats = groups, seats.copy()
            self.open &= seats[groups] > 0
            self._members = np.argsort(groups, kind="stable")
            self._starts = np.searchsorted(groups[self._members], np.arange(len(seats) + 1))

    def take(self, row: int) -> None:
        """Choose a row: it is no longer open, nor is its group once the seats are taken."""
        self.open[row] = False
        if self._groups is not None and self._seats is not None:
            group = self._groups[row]
            self._seats[group] -= 1
            if not self._seats[group]:
                self.open[self._members[self._starts[group] : self._starts[group + 1]]] = False


def shares(groups: np.ndarray, keep: int, most: np.ndarray | None = None) -> np.ndarray:
    """Return how many rows each group may keep: its part of `keep`, by the largest remainder, ties to the lower group.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        The group of each row, from 0.
    keep : int
    most : ndarray of int64, shape (n_groups,), optional
        The most that each group can give; by default, its size. What is left over goes to the others by the same rule.

    Returns
    -------
    ndarray of int64, shape (n_groups,)
        The sum is `keep`.

    Raises
    ------
    UsageError
        The groups have fewer than `keep` rows to give.

    Examples
    --------
    >>> shares(np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2]), keep=4).tolist()
    [2, 1, 1]
    """
    sizes = np.bincount(groups)
    most = sizes if most is None else most
    if most.sum() < keep:
        raise UsageError(f"keep: expected at most {most.sum()}, the number of rows that the groups have, got {keep}")
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
    """Return the rows of the largest merit.

    Parameters
    ----------
    merit : ndarray of float, shape (n,)
    keep : int
        How many rows to choose where there are no groups.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).

    Returns
    -------
    Choice
        `because` is the last row chosen, of the row's own group where there are groups.

    Examples
    --------
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
    _refuse_product(metric, "k-center")
    weight = np.ones(n) if weight is None else weight
    quota = _Quota(n, groups, seats)
    first = first if quota.open[first] else int(np.flatnonzero(quota.open)[0])
    centers = _Centers(vectors, metric, weight, quota, threads)
    centers.choose(first)
    centers.renew(np.delete(np.arange(n), first))
    while len(centers.order) < keep and quota.open.any():
        centers.choose_among(centers.farthest(), keep)
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
        self, vectors: np.ndarray, metric: Metric, weight: np.ndarray, quota: _Quota, threads: int | None
    ) -> None:
        n = len(vectors)
        self.vectors, self.metric, self.weight, self.quota, self.threads = vectors, metric, weight, quota, threads
        self.order: list[int] = []
        self.far, self.near, self.seen = np.full(n, np.inf), np.full(n, -1), np.zeros(n, dtype=np.int64)
        self._parts: list[Exact] = []  # an index of each PART chosen rows, made once and searched many times

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

    def _index_of(self, number: int, part: np.ndarray) -> Exact:
        if number < len(self._parts):
            return self._parts[number]
        index = Exact(self.metric, self.threads).fit(self.vectors[part], invalid={})
        if len(part) == PART and number == len(self._parts):
            self._parts.append(index)
        return index

    def farthest(self) -> np.ndarray:
        """The open rows of the largest weighted distances, largest first; those of the first POOL are up to date."""
        while True:
            largest = _largest(self._key(), RENEWED)
            ranked: np.ndarray = largest[self.quota.open[largest]]
            if (self.seen[ranked[:POOL]] == len(self.order)).all():
                return ranked
            self.renew(ranked[self.seen[ranked] < len(self.order)])

    def _key(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        key: np.ndarray = np.where(self.quota.open[rows], self.far[rows] * self.weight[rows], -1.0)
        return key

    def choose_among(self, ranked: np.ndarray, keep: int) -> None:
        """Choose from the first POOL rows, as long as the best of them is above what all others were at most."""
        pool, rest = np.sort(ranked[:POOL]), ranked[POOL:]
        bound = (-self._key(rest[:1])[0], rest[0]) if len(rest) else (np.inf, len(self.vectors))
        rows = np.asarray(self.vectors[pool])
        prepared = self.metric.prepare(rows if self.metric.whiten is None else self.metric.whiten(rows))
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


def _refuse_product(metric: Metric, strategy: str) -> None:
    if metric.product:
        raise UsageError(
            f"metric: {strategy} needs a metric that measures a distance, got {metric.name!r}; take cosine or euclidean"
        )


def _largest(key: np.ndarray, count: int) -> np.ndarray:
    """The rows of the `count` largest keys, largest first, ties to the lower row."""
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
    the top of the heap.

    Examples
    --------
    >>> line = Neighbors([[1, 2], [0, 2], [1, 0], [4, 2], [3, 2]], [[1, 2], [1, 1], [1, 2], [1, 6], [1, 7]])
    >>> facility_location(line, keep=2).order.tolist()
    [2, 3]
    """
    _refuse_product(find(neighbors.metric or "euclidean"), "facility")
    n = len(neighbors)
    weight = np.ones(n) if weight is None else weight
    quota = _Quota(n, groups, seats)
    services = _Services.of(neighbors)
    best, because = np.zeros(n, dtype=np.int64), np.full(n, -1)  # how well each row is served, and by which
    heap = [(-float(total) * float(w), row) for row, (total, w) in enumerate(zip(services.totals, weight, strict=True))]
    heapq.heapify(heap)
    order: list[int] = []
    while len(order) < keep and heap:
        _, row = heapq.heappop(heap)
        if not quota.open[row]:
            continue
        served, value = services[row]
        more = value - best[served]
        fresh = (-float(np.maximum(more, 0).sum()) * float(weight[row]), row)
        if heap and fresh > heap[0]:  # another row may add more now
            heapq.heappush(heap, fresh)
            continue
        order.append(row)
        quota.take(row)
        better = served[more > 0]
        best[better], because[better] = value[more > 0], row
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
