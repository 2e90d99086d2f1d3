"""A block of rows that is joined with itself and with other blocks: a self-join in parts, each pair compared once.

    lists of block I  =  merge of: I with itself, I with J for every other block J
    (one pass over I x J gives the neighbours of both)

A part's lists hold float64 distances, by which lists of several parts can be merged in the order (distance, row
number) without the vectors. Limits, the distances of the k nearest rows that other parts found, keep lists short: what
is farther can be in no result.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.knn.kernels import Kernel, over
from vicinal.knn.kernels.native import NO_ROW, Native, entries_within
from vicinal.knn.measure import inverse_lengths, measured
from vicinal.knn.metrics import Metric
from vicinal.typing import Progress


@dataclass(frozen=True)
class Found:
    """Neighbours of some rows of a block, row by row; the neighbours of a row are in no order.

    rows      : int64 (n_rows,), the rows that have at least one, ascending
    counts    : int64 (n_rows,), how many each has
    others    : uint32 (n_found,), their numbers in their own block
    distances : float64 (n_found,)
    """

    rows: np.ndarray
    counts: np.ndarray
    others: np.ndarray
    distances: np.ndarray

    @classmethod
    def of_lists(cls, others: np.ndarray, distances: np.ndarray, limits: np.ndarray, none: int) -> "Found":
        """The entries of lists (n, k) that are within the limit of their row; `none` is the number of no row."""
        within = entries_within((others, distances), limits) if none == NO_ROW else None
        if within is not None:
            counts, named, far = within
            rows = np.flatnonzero(counts)
            return cls(rows, counts[rows], named, far)
        kept = distances <= limits[:, None]
        kept &= others != none
        counts = kept.sum(axis=1)
        rows = np.flatnonzero(counts)
        return cls(rows, counts[rows], others[kept].astype(np.uint32, copy=False), distances[kept])

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent and saved in few bytes: numbers of rows fit in 32 bits, and counts often in 8."""
        few = np.min_scalar_type(int(self.counts.max(initial=0)))
        return _unpacked, (self.rows.astype(np.uint32), self.counts.astype(few), self.others, self.distances)

    def renumbered(self, rows: np.ndarray | None, others: np.ndarray | None) -> "Found":
        """The same with other numbers: row i becomes rows[i], and neighbour j others[j]; None leaves them."""
        return Found(
            self.rows if rows is None else rows[self.rows],
            self.counts,
            self.others if others is None else others.astype(np.uint32)[self.others],
            self.distances,
        )

    @property
    def n_bytes(self) -> int:
        """The bytes of its arrays."""
        return self.rows.nbytes + self.counts.nbytes + self.others.nbytes + self.distances.nbytes


class BlockJoin:
    """A coded block of rows.

    vectors : (n, dim), checked rows, all valid
    groups  : int64 (n,), or None
    device  : as `kernels.over` takes it
    """

    def __init__(
        self,
        vectors: np.ndarray,
        metric: Metric,
        groups: np.ndarray | None,
        threads: int,
        device: str | None = None,
    ) -> None:
        self.vectors, self.metric, self.groups, self.threads, self.device = vectors, metric, groups, threads, device
        self._kernel: Kernel = over(vectors, metric, threads, device)

    @property
    def engine(self) -> str:
        """The kernel that is used, and its version."""
        return f"{self._kernel.name} ({self._kernel.version})"

    @property
    def native(self) -> Native | None:
        """The kernel, where it leaves lists that can be filled further."""
        kernel = self._kernel
        return kernel if isinstance(kernel, Native) and kernel.joins_blocks else None

    def self_join(self, k: int, progress: Progress | None = None) -> Found:
        """The k nearest others of each row, by number in the block."""
        unlimited = np.full(len(self.vectors), np.inf)
        if self.native is not None:
            return Found.of_lists(*self.native.self_lists(k, self.groups, progress), unlimited, NO_ROW)
        indices, _ = self._kernel.self_join(min(k, max(1, len(self.vectors) - 1)), self.groups, progress)
        return Found.of_lists(indices, self._measured(self.vectors, indices), unlimited, -1)

    def share(
        self, k: int, share: tuple[int, bool, int, int, int], limits: np.ndarray | None
    ) -> tuple[Found, int] | None:
        """What a share of the self-join adds within the limits to what the shares before it in this process found.

        Also what identifies the tasks that it is a part of. None where the kernel makes no shares.
        """
        native = self.native
        if native is None or not native.shares_joins:
            return None
        counts, others, distances, layout = native.share(k, share, limits, self.groups)
        rows = np.flatnonzero(counts)
        return Found(rows, counts[rows], others, distances), layout

    def prepare_shares(self, k: int) -> None:
        """Do the work that all but the first shares have in common, which the first of them would do."""
        native = self.native
        if native is not None and native.shares_joins:
            native.prepare_shares(k, self.groups)

    def cross_join(
        self,
        queries: np.ndarray,
        k: int,
        limits: np.ndarray,
        own_limits: np.ndarray,
        query_groups: np.ndarray | None = None,
        step: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[Found, Found]:
        """The k nearest rows of each query and the k nearest queries of each row, none of them beyond its limit.

        limits, own_limits : float64, of the queries and of the rows of the block
        step               : how many queries are coded at a time; None for all of them
        progress           : called with (queries done, queries in all)
        """
        native, n = self.native, len(queries)
        if native is None:
            there = self._found_by(self, queries, k, limits, query_groups, progress)
            other = BlockJoin(queries, self.metric, query_groups, self.threads, self.device)
            return there, self._found_by(other, self.vectors, k, own_limits, self.groups)
        own = np.full((len(self.vectors), k), NO_ROW, np.uint32), np.full((len(self.vectors), k), np.inf)
        parts = []
        for first in range(0, n, step or max(1, n)):
            part = slice(first, first + (step or n))
            groups = None if query_groups is None else query_groups[part]
            said = None if progress is None else _from(progress, first, n)
            lists = native.cross_lists(queries[part], limits[part], own, own_limits, first, self.groups, groups, said)
            found = Found.of_lists(*lists, limits[part], NO_ROW)
            parts.append(Found(found.rows + first, found.counts, found.others, found.distances))
        return _joined(parts), Found.of_lists(*own, own_limits, NO_ROW)

    def search(self, queries: np.ndarray, k: int, query_groups: np.ndarray | None = None) -> Found:
        """The k nearest rows of each query."""
        return self._found_by(self, queries, k, np.full(len(queries), np.inf), query_groups)

    def within(self, radius: float, queries: np.ndarray | None = None, query_groups: np.ndarray | None = None) -> Found:
        """All rows at a distance of at most `radius` of each query, or of each row without itself."""
        indptr, others, _ = self._kernel.within(radius, queries, self.groups, query_groups)
        counts = np.diff(indptr)
        rows = np.flatnonzero(counts)
        named = np.repeat(np.arange(len(counts)), counts)
        distances = np.empty(len(others))
        given = self.vectors if queries is None else queries
        step = max(1, (1 << 26) // (8 * given.shape[1]))
        for first in range(0, len(others), step):
            part = slice(first, first + step)
            distances[part] = self._measured(given[named[part]], others[part, None])[:, 0]
        return Found(rows, counts[rows], others.astype(np.uint32), distances)

    def _found_by(
        self,
        block: "BlockJoin",
        queries: np.ndarray,
        k: int,
        limits: np.ndarray,
        query_groups: np.ndarray | None,
        progress: Progress | None = None,
    ) -> Found:
        kernel, most = block._kernel, min(k, len(block.vectors))
        groups = block.groups if query_groups is not None else None
        own = query_groups if groups is not None else None
        indices, rounded = kernel.search(queries, most, groups, own, progress)
        with np.errstate(over="ignore"):
            indices = np.where(rounded.astype(np.float32) > limits.astype(np.float32)[:, None], -1, indices)
        return Found.of_lists(indices, block._measured(queries, indices), limits, -1)

    def _measured(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if not hasattr(self, "_lengths"):
            self._lengths = inverse_lengths(self.vectors) if self.metric.nonzero else None
        return measured(self.metric, self.vectors, queries, rows, self.threads, self._lengths)


def _unpacked(rows: np.ndarray, counts: np.ndarray, others: np.ndarray, distances: np.ndarray) -> Found:
    return Found(rows.astype(np.int64), counts.astype(np.int64), others, distances)


def _from(progress: Progress, first: int, n: int) -> Progress:
    """Progress of a part that begins at `first`, in all n."""
    return lambda done, _: progress(first + done, n)


def _joined(parts: list[Found]) -> Found:
    if not parts:
        empty = np.zeros(0, np.int64)
        return Found(empty, empty, empty, np.zeros(0))
    return Found(
        np.concatenate([one.rows for one in parts]),
        np.concatenate([one.counts for one in parts]),
        np.concatenate([one.others for one in parts]),
        np.concatenate([one.distances for one in parts]),
    )
