"""Exact search: the neighbours that a float64 brute force would find, from the fastest kernel at hand."""

from pathlib import Path
from typing import Any

import numpy as np

from vicinal.indexes.contract import Index
from vicinal.knn.copies import Copies
from vicinal.knn.exact import ExactSearch, neighbors
from vicinal.knn.metrics import METRICS
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors
from vicinal.typing import ArrayLike, MetricLike, PathLike, Progress

__all__ = ["Exact", "neighbors"]


class Exact(Index):
    """An index that returns, for every row, the k rows that a float64 brute force over the given values returns.

    metric  : a name or alias from `vicinal.knn.metrics`
    threads : how many to use; None for the machine's cores
    order   : by (distance, row number); the answer is the same for any number of threads

    >>> index = Exact("euclidean").fit([[0.0], [1.0], [3.0]])
    >>> index.neighbors(k=1).indices.ravel().tolist()
    [1, 0, 1]
    >>> index.search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "exact"
    about = "every row compared, by the exact kernel"
    serves = (*(metric.name for metric in METRICS), "mahalanobis")
    exact = True

    def __init__(self, metric: MetricLike = "euclidean", threads: int | None = None) -> None:
        super().__init__(metric, threads)

    def _start(self) -> None:
        super()._start()
        self._whole: ExactSearch | None = None

    def _make(self) -> None:
        self._whole = None
        if len(self):
            _ = self._over_all.kernel

    def _grow(self) -> None:
        self._whole = None

    def _shrink(self) -> None:
        self._whole = None

    def _restore(self, copies: Copies, files: dict[str, Path], manifest: dict[str, Any]) -> None:
        self._stored()  # which the folder must have
        self._whole = None

    @property
    def _over_all(self) -> ExactSearch:
        """The search over the live rows, made when it is next used, so that many small changes cost one pass."""
        stored = self._stored()
        if self._whole is None:
            valid = None if self._dead is None else np.flatnonzero(~self._dead)
            reason = next(iter(self.invalid.values()), "all are removed")
            self._whole = ExactSearch(stored, self.metric, self.threads, valid, reason)
        return self._whole

    def _over(self, where: object) -> ExactSearch:
        """The search over the live rows that a filter leaves."""
        allowed = self._allowed(where)
        if allowed is not None:
            return self._search_among(np.flatnonzero(allowed))
        search = self._over_all
        if not search.n_valid and self.invalid and len(self.invalid) == self._n:
            _ = search.kernel  # which says why none of the rows can be used
        return search

    @property
    def engine(self) -> str:
        """The kernel that answers, and its version."""
        return self._over_all.engine

    @property
    def engine_bytes(self) -> int:
        """The native kernel's codes, a byte a coordinate; the other kernels keep none."""
        return self._over_all.n_bytes if len(self) else 0

    def neighbors(
        self,
        k: int,
        groups: ArrayLike | None = None,
        progress: Progress | None = None,
        checkpoint: PathLike | None = None,
    ) -> Neighbors:
        """Each stored row's k nearest others; arguments and errors as of `vicinal.knn.exact.ExactSearch.neighbors`."""
        return self._over_all.neighbors(k, groups, progress, checkpoint)

    def grow(self, before: Neighbors, groups: ArrayLike | None = None, progress: Progress | None = None) -> Neighbors:
        """Each stored row's k nearest others, from those among the first rows; as `ExactSearch.grow`."""
        return self._over_all.grow(before, groups, progress)

    def search(
        self,
        queries: ArrayLike,
        k: int,
        where: object = None,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> Neighbors:
        """The k nearest stored rows of each query; `where` as for every index, the rest as `ExactSearch.search`."""
        return self._over(where).search(queries, k, groups, query_groups, progress)

    def within(
        self,
        queries: object = None,
        radius: object = None,
        where: object = None,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> RadiusNeighbors:
        """All stored rows at a distance of at most `radius`: of each query, or of each stored row without itself.

        `within(queries, radius)` asks of queries, `within(radius)` of the stored rows; the number is the radius.

        radius : in the metric's unit, not NaN; the comparison is made in float64
        Raises   as `search`; UsageError where the radius is not a number.
        >>> Exact().fit([[0.0], [1.0], [3.0]]).within(2.0)[1]
        (array([0, 2]), array([1., 2.], dtype=float32))
        """
        if radius is None:
            queries, radius = radius, queries
        return self._over(where).within(radius, queries, groups, query_groups, progress)  # type: ignore[arg-type]

    def distances(self, rows: ArrayLike, queries: ArrayLike | None = None) -> np.ndarray:
        """The distances of named stored rows, in float64; as `ExactSearch.distances`."""
        return self._over_all.distances(rows, queries)
