"""What is left of a call whose device failed, done by the kernel of the processor."""

from __future__ import annotations

import warnings

import numpy as np

from vicinal.knn.blocks import blocks
from vicinal.knn.kernels.blas import Blas
from vicinal.knn.kernels.brute import Brute
from vicinal.knn.kernels.native import Native
from vicinal.knn.kernels.torch.driver import Failed, State
from vicinal.knn.kernels.torch.lists import NONE, merged, nothing
from vicinal.knn.metrics import Metric

MEASURE_BYTES = 1 << 26
AnyKernel = Native | Blas | Brute


def kernel_over(vectors: np.ndarray, metric: Metric, threads: int) -> AnyKernel:
    """The first kernel of the processor that supports the metric and dtype, over some rows."""
    for kind in (Native, Blas):
        if not kind.covers(metric, vectors.dtype):
            return kind(vectors, metric, threads)
    return Brute(vectors, metric, threads)


def say(failed: Failed, kernel: AnyKernel, what: str) -> None:
    """Warn, in one line, why the pass on the device ended, and what the processor does."""
    warnings.warn(f"the device gave up ({failed}); the {kernel.name} kernel does the rest: {what}", stacklevel=5)


class Rest:
    """The rest of a self-join.

    vectors : (n, dim), the distinct rows that a device compared
    groups  : of them
    """

    def __init__(self, vectors: np.ndarray, metric: Metric, threads: int, groups: np.ndarray | None) -> None:
        self._vectors, self._metric, self._threads, self._groups = vectors, metric, threads, groups

    def self_join(self, failed: Failed, k: int) -> State:
        """The lists of all rows, from those that the device left.

        The pairs of tiles that are done are a run at the beginning of their order, and a few later ones where there
        were several devices, which are done again. What is left is the end of one row of tiles, and the triangle of
        all rows below it.
        """
        n = len(self._vectors)
        state = failed.state_of(n, k)
        rows, columns = failed.first_left()
        begin = rows.start
        if columns.start > rows.start:
            others = slice(columns.start, n)
            for own, stored in ((rows, others), (others, rows)):
                self._enter(state, own, self._searched(own, stored, k))
            begin = rows.stop
        self._enter(state, slice(begin, n), self._joined(begin, k))
        return state

    @staticmethod
    def _enter(state: State, own: slice, found: State) -> None:
        state[0][own], state[1][own] = merged((state[0][own], state[1][own]), found)

    def _joined(self, start: int, k: int) -> State:
        """The nearest of each row from `start` on among these rows."""
        rows = self._vectors[start:]
        if len(rows) < 2:
            return nothing(len(rows), 1)
        kernel = kernel_over(rows, self._metric, self._threads)
        groups = None if self._groups is None else self._groups[start:]
        return self._state(rows, rows, kernel.self_join(min(k, len(rows) - 1), groups)[0], start)

    def _searched(self, queries: slice, stored: slice, k: int) -> State:
        """The nearest of some rows among others."""
        rows, asked = self._vectors[stored], self._vectors[queries]
        kernel = kernel_over(rows, self._metric, self._threads)
        own = (None, None) if self._groups is None else (self._groups[stored], self._groups[queries])
        return self._state(rows, asked, kernel.search(asked, min(k, len(rows)), *own)[0], stored.start)

    def _state(self, rows: np.ndarray, asked: np.ndarray, found: np.ndarray, first: int) -> State:
        """A result with float64 distances, whose entries count from `first`."""
        distances = np.full(found.shape, np.inf)
        for block in blocks(len(found), MEASURE_BYTES // (8 * rows.shape[1] * found.shape[1])):
            own = self._metric.prepare(asked[block])[:, None, :]
            rank = self._metric.measure(own, self._metric.prepare(rows[found[block]]))
            distances[block] = self._metric.finish(rank)
        return np.where(found < 0, np.inf, distances), np.where(found < 0, NONE, found + first)
