"""The nearest rows found so far of every row, block by block, into which the results of tasks are merged.

Merging is by (distance, row number) and names each row once, so that the order in which results come, and a result that
comes twice, change nothing.
"""

import numpy as np

from vicinal.knn.block_join import Found
from vicinal.knn.blocks import blocks
from vicinal.knn.kernels.native import merge_entries

BYTES = 1 << 22  # of the entries that are sorted at a time


class Lists:
    """The k nearest rows so far of each row of the blocks.

    starts : where each block begins, and the end of the last
    total  : how many rows can be named
    """

    def __init__(self, starts: np.ndarray, k: int, total: int) -> None:
        self._starts, self._k, n = starts, k, int(starts[-1])
        self._dtype: type[np.uint32] | type[np.uint64] = np.uint32 if total < 2**32 - 1 else np.uint64
        self.none = int(np.iinfo(self._dtype).max)
        self._others, self._distances = np.full((n, k), self.none, self._dtype), np.full((n, k), np.inf)

    def merge(self, block: int, found: Found, first: int) -> None:
        """Take up neighbours of rows of a block; `first` is the number of the first row that they name."""
        others, distances = lists = self._of(block)
        if merge_entries(lists, found.rows, found.counts, found.others, found.distances, first):
            return
        width = self._k + int(found.counts.max(initial=0))
        step = max(1, BYTES // (24 * width))
        ends = np.append(0, np.cumsum(found.counts))
        for begin in range(0, len(found.rows), step):
            rows, counts = found.rows[begin : begin + step], found.counts[begin : begin + step]
            entries = slice(ends[begin], ends[begin + len(rows)])
            far = np.full((len(rows), width), np.inf)
            named = np.full((len(rows), width), self.none, dtype=np.uint64)
            far[:, : self._k], named[:, : self._k] = distances[rows], others[rows]
            line = np.repeat(np.arange(len(rows)), counts)
            column = self._k + np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
            far[line, column] = found.distances[entries]
            named[line, column] = found.others[entries].astype(np.uint64) + np.uint64(first)
            far, named = self._nearest(far, named)
            distances[rows], others[rows] = far, named.astype(self._dtype)

    def _nearest(self, far: np.ndarray, named: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first k entries of each line by (distance, row), each row once."""
        order = np.lexsort((named, far))
        far, named = np.take_along_axis(far, order, axis=1), np.take_along_axis(named, order, axis=1)
        again = (named[:, 1:] == named[:, :-1]) & (named[:, 1:] != self.none)
        if again.any():  # the same pair has the same distance in every task
            far[:, 1:][again], named[:, 1:][again] = np.inf, self.none
            order = np.lexsort((named, far))
            far, named = np.take_along_axis(far, order, axis=1), np.take_along_axis(named, order, axis=1)
        return far[:, : self._k], named[:, : self._k]

    def limits(self, block: int) -> np.ndarray:
        """The distance of each row's k-th nearest so far, float64; inf while it has fewer."""
        return np.ascontiguousarray(self._of(block)[1][:, -1])

    def result(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers int64 (n, k), -1 for none, and distances float32; they take the place of the lists."""
        others, far = self._others, self._distances
        if self._dtype is np.uint32:  # the bytes of a row number and a distance are those of a distance and a number
            indices, distances = far.view(np.int64), others.view(np.float32)
        else:
            indices, distances = np.empty(far.shape, np.int64), np.empty(far.shape, np.float32)
        for part in blocks(len(far), BYTES // max(1, 24 * self._k)):
            named, near = others[part].copy(), far[part].copy()
            indices[part] = np.where(named == self.none, -1, named.astype(np.int64))
            with np.errstate(over="ignore"):  # a distance beyond float32 is inf
                distances[part] = near
        if k == self._k:
            return indices, distances
        return np.ascontiguousarray(indices[:, :k]), np.ascontiguousarray(distances[:, :k])

    def _of(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(int(self._starts[block]), int(self._starts[block + 1]))
        return self._others[rows], self._distances[rows]
