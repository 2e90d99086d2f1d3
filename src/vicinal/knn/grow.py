"""A self-join that grows: rows were added to a set whose neighbours are known already.

    old rows    their known neighbours, and the nearest of the new rows
    new rows    their nearest among the new rows, and among the old ones

So no pair of old rows is compared again, and the result equals that of a full self-join, to the bit.
"""

import numpy as np

from vicinal.knn.blocks import blocks, padded
from vicinal.knn.kernels import Kernel, over
from vicinal.knn.metrics import Metric
from vicinal.typing import Progress

TIE_BYTES = 1 << 26


class GrownJoin:
    """The self-join of rows, the first of which have known neighbours among themselves.

    vectors : (n, dim), checked rows, all valid
    groups  : int64 (n,), or None
    device  : as `kernels.over` takes it
    """

    def __init__(
        self, vectors: np.ndarray, groups: np.ndarray | None, metric: Metric, threads: int, device: str | None = None
    ) -> None:
        self._vectors, self._groups, self._metric, self._threads = vectors, groups, metric, threads
        self._device = device

    def neighbors(
        self, known: np.ndarray, known_distances: np.ndarray, k: int, progress: Progress | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each row's k nearest others, int64 and float32 (n, k), by (distance, row number).

        known, known_distances : the result of the first rows, (n_old, k)
        """
        n, split = len(self._vectors), len(known)
        if split == n:
            return known, known_distances
        old, new = self._vectors[:split], self._vectors[split:]
        old_groups = new_groups = None
        if self._groups is not None:
            old_groups, new_groups = self._groups[:split], self._groups[split:]
        added = self._kernel_over(new)
        indices, distances = np.full((n, k), -1), np.full((n, k), np.inf, dtype=np.float32)
        if split:
            found = _shifted(added.search(old, k, new_groups, old_groups, progress), split)
            indices[:split], distances[:split] = self._nearest_of_both(
                np.arange(split), (known, known_distances), found, k
            )
        among = older = np.empty((n - split, 0), np.int64), np.empty((n - split, 0), np.float32)
        if n - split > 1:
            among = _shifted(added.self_join(min(k, n - split - 1), new_groups), split)
        if split:
            older = self._kernel_over(old).search(new, min(k, split), old_groups, new_groups, progress)
        indices[split:], distances[split:] = self._nearest_of_both(np.arange(split, n), older, among, k)
        return indices, distances

    def _kernel_over(self, rows: np.ndarray) -> Kernel:
        return over(rows, self._metric, self._threads, self._device)

    def _nearest_of_both(
        self, rows: np.ndarray, a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of two results for the same rows, whose neighbours differ, by (float64 distance, row)."""
        vectors, metric = self._vectors, self._metric
        indices = np.concatenate([a[0], b[0]], axis=1)
        distances = np.concatenate([a[1], b[1]], axis=1).astype(np.float32)
        order = _order(indices, distances)
        indices, distances = np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1)
        # Distances equal in float32 may differ in float64, which alone decides their order.
        tied = np.flatnonzero(((distances[:, 1:] == distances[:, :-1]) & (indices[:, 1:] >= 0)).any(axis=1))
        for part in blocks(len(tied), TIE_BYTES // (8 * vectors.shape[1] * max(1, indices.shape[1]))):
            block = tied[part]
            own = metric.prepare(vectors[rows[block]])[:, None, :]
            far = metric.finish(metric.measure(own, metric.prepare(vectors[indices[block]])))
            order = _order(indices[block], np.where(indices[block] < 0, np.inf, far))
            indices[block] = np.take_along_axis(indices[block], order, axis=1)
            distances[block] = np.take_along_axis(distances[block], order, axis=1)
        return padded(indices, distances, k)


def _order(indices: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The order of each row's columns by (distance, row number), missing ones last."""
    return np.lexsort((np.where(indices < 0, np.iinfo(np.int64).max, indices), distances))


def _shifted(found: tuple[np.ndarray, np.ndarray], by: int) -> tuple[np.ndarray, np.ndarray]:
    """A result whose row numbers begin at `by`."""
    return np.where(found[0] < 0, -1, found[0] + by), found[1]


def renumbered(before: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Known neighbours, (n_old, k), as numbers among the valid `rows` of n, for those that are valid."""
    split = int(np.searchsorted(rows, len(before)))
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    known = before[rows[:split]]
    return np.where(known < 0, -1, place[known])
