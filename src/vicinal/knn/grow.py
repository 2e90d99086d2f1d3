"""A self-join that grows: rows were added to a set whose neighbours are known already.

    new rows    joined with themselves
    old x new   one cross join, each pair once, which finds the new rows nearer to an old row than its known neighbours,
                and the old rows nearest to each new row
    merge       only the rows that a new neighbour was found for, by (float64 distance, row number)

So no pair of old rows is compared again, and the result equals that of a full self-join, to the bit.
"""

import numpy as np

from vicinal.knn.block_join import BlockJoin, Found
from vicinal.knn.measure import inverse_lengths, measured
from vicinal.knn.metrics import Metric
from vicinal.typing import Progress

STEP = 1 << 14  # old rows that are coded at a time


class GrownJoin:
    """The self-join of rows, the first of which have known neighbours among themselves.

    vectors : (n, dim), checked rows, all valid
    groups  : int64 (n,), or None
    device  : as `kernels.over` takes it
    engine  : the kernel that is used and its version, once `neighbors` was called
    """

    def __init__(
        self, vectors: np.ndarray, groups: np.ndarray | None, metric: Metric, threads: int, device: str | None = None
    ) -> None:
        self._vectors, self._groups, self._metric, self._threads = vectors, groups, metric, threads
        self._device, self.engine = device, ""

    def neighbors(
        self, known: np.ndarray, known_distances: np.ndarray, k: int, progress: Progress | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each row's k nearest others, int64 and float32 (n, k), by (distance, row number).

        known, known_distances : the result of the first rows, (n_old, k)
        """
        n, split = len(self._vectors), len(known)
        if split == n:
            return known, known_distances
        indices, distances = np.full((n, k), -1), np.full((n, k), np.inf, dtype=np.float32)
        indices[:split], distances[:split] = known, known_distances
        groups = (None, None) if self._groups is None else (self._groups[:split], self._groups[split:])
        added = BlockJoin(self._vectors[split:], self._metric, groups[1], self._threads, self._device)
        self.engine = added.engine
        among = added.self_join(k) if n - split > 1 else _nothing()
        parts = [among.renumbered(np.arange(split, n), np.arange(split, n))]
        if split:
            limits = _limits_of_known(known, known_distances), _limits(among, n - split, k)
            of_old, of_new = added.cross_join(self._vectors[:split], k, *limits, groups[0], STEP, progress)
            parts += [of_new.renumbered(np.arange(split, n), None), of_old.renumbered(None, np.arange(split, n))]
            parts.append(self._measured_again(known, of_old.rows))
        _fill(indices, distances, parts)
        return indices, distances

    def _measured_again(self, known: np.ndarray, rows: np.ndarray) -> Found:
        """The known neighbours of some rows with their distances in float64, which alone decide the order."""
        named, place = np.unique(known[rows], return_inverse=True)
        vectors = self._vectors[named]
        lengths = inverse_lengths(vectors) if self._metric.nonzero else None
        places = np.where(known[rows] < 0, -1, place.reshape(-1, known.shape[1]))
        far = measured(self._metric, vectors, self._vectors[rows], places, self._threads, lengths)
        there = places >= 0
        return Found(rows, there.sum(axis=1), known[rows][there], far[there])


def _nothing() -> Found:
    empty = np.zeros(0, dtype=np.int64)
    return Found(empty, empty, empty, np.zeros(0))


def _limits_of_known(known: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The distance of each row's last neighbour, rounded up, float64; inf where a neighbour is missing."""
    last = np.nextafter(distances[:, -1].astype(np.float32), np.float32(np.inf)).astype(np.float64)
    return np.where(known[:, -1] < 0, np.inf, last)


def _limits(found: Found, n: int, k: int) -> np.ndarray:
    """The distance of the k-th neighbour of each of n rows, inf where a row has fewer."""
    limits = np.full(n, np.inf)
    if len(found.rows):
        largest = np.maximum.reduceat(found.distances, np.cumsum(found.counts) - found.counts)
        limits[found.rows[found.counts >= k]] = largest[found.counts >= k]
    return limits


def _fill(indices: np.ndarray, distances: np.ndarray, parts: list[Found]) -> None:
    """Write into the rows that the parts name the nearest of what all parts hold for them."""
    row = np.concatenate([np.repeat(one.rows, one.counts) for one in parts])
    other = np.concatenate([one.others.astype(np.int64) for one in parts])
    far = np.concatenate([one.distances for one in parts])
    order = np.lexsort((other, far, row))
    row, other, far = row[order], other[order], far[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < indices.shape[1]
    with np.errstate(over="ignore"):  # a distance beyond float32 is inf
        indices[row[kept], place[kept]], distances[row[kept], place[kept]] = other[kept], far[kept]


def renumbered(before: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Known neighbours, (n_old, k), as numbers among the valid `rows` of n, for those that are valid."""
    split = int(np.searchsorted(rows, len(before)))
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    known = before[rows[:split]]
    return np.where(known < 0, -1, place[known])
