"""Exact nearest neighbours among the rows of an array, from the fastest kernel that supports the metric and dtype.

`ExactSearch` works on arrays and row numbers alone. `vicinal.Exact` adds ids, columns, filters and folders to it.
"""

from functools import cached_property
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.errors import DataError, UsageError
from vicinal.knn.approximate import ApproximateJoin, refuse_beside_recall
from vicinal.knn.arguments import (
    as_groups,
    as_radius,
    at_most,
    check_both_groups,
    check_k,
    check_threads,
    k_that_fits,
    require_memory,
    too_large,
)
from vicinal.knn.blocks import nothing
from vicinal.knn.checkpoint import Checkpoint, question
from vicinal.knn.grow import GrownJoin, renumbered
from vicinal.knn.joined import chosen
from vicinal.knn.kernels import Kernel, over
from vicinal.knn.measure import inverse_lengths, measured
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors, neighbors_of
from vicinal.knn.recall import Recall, check_recall
from vicinal.knn.vectors import as_queries, as_rows, invalid_rows, refuse_invalid
from vicinal.locks import Mutex
from vicinal.typing import ArrayLike, MetricLike, PathLike, Progress


class ExactSearch:
    """The rows that a float64 brute force over the given values returns, in the order (distance, row number).

    Every method returns row numbers of `vectors`. The answer is the same for any number of threads and on any device.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Checked rows, as `vicinal.knn.vectors.as_rows` returns them; a reference is kept. `ExactSearch.of` takes
        anything that NumPy takes as an array, and checks it.
    metric : str or Metric
    threads : int or None
        None for the number of cores.
    valid : ndarray of int64 or None
        The valid rows, ascending; None for all. The other rows have no neighbours and are no row's neighbours.
    reason : str
        Why rows are invalid, for the error where none is valid.
    device : str or None
        Where passes run, as `vicinal.score` takes it; None for what the call that is under way was given.

    Examples
    --------
    >>> search = ExactSearch.of([[0.0], [1.0], [3.0]])
    >>> search.neighbors(k=1).indices.ravel().tolist()
    [1, 0, 1]
    >>> search.search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    def __init__(
        self,
        vectors: np.ndarray,
        metric: MetricLike = "euclidean",
        threads: int | None = None,
        valid: np.ndarray | None = None,
        reason: str = "none is valid",
        device: str | None = None,
    ) -> None:
        self.vectors, self.metric, self.threads = vectors, find(metric), check_threads(threads)
        self.valid, self._reason, self.device = valid, reason, devices.chosen() if device is None else device
        self._making, self._grown_by = Mutex(), ""
        self._kernel: Kernel | None = None

    @classmethod
    def of(
        cls,
        vectors: ArrayLike,
        metric: MetricLike = "euclidean",
        threads: int | None = None,
        on_invalid: str = "error",
        invalid: dict[int, str] | None = None,
    ) -> "ExactSearch":
        """A search over any array, once its shape, dtype and rows are checked.

        Parameters
        ----------
        vectors : array_like, shape (n, dim)
            float16, float32, float64 or integers; uint8 from `numpy.packbits` for a metric of bits.
        on_invalid : {"error", "null"}
            What to do with rows that are NaN, infinite, or zero under cosine; "null" leaves them out.
        invalid : dict of int to str or None
            The result of `vicinal.knn.vectors.invalid_rows`, where it is known already.

        Raises
        ------
        DataError
            Where the shape or dtype cannot be used or, with "error", rows are invalid.
        """
        metric = find(metric)
        rows = as_rows(vectors, metric)
        invalid = invalid_rows(rows, metric) if invalid is None else invalid
        if on_invalid == "error":
            refuse_invalid(invalid, range(len(rows)))
        if not invalid:
            return cls(rows, metric, threads)
        valid = np.delete(np.arange(len(rows)), list(invalid))
        return cls(rows, metric, threads, valid, next(iter(invalid.values())))

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def n_valid(self) -> int:
        """The number of valid rows."""
        return len(self.vectors) if self.valid is None else len(self.valid)

    @property
    def engine(self) -> str:
        """The kernel that is used, and its version."""
        return self._grown_by or f"{self.kernel.name} ({self.kernel.version})"

    @property
    def n_bytes(self) -> int:
        """The memory of the native kernel's codes, a byte a coordinate; the other kernels keep none."""
        return self.n_valid * self.vectors.shape[1] if self.n_valid and self.kernel.name == "native" else 0

    @cached_property
    def _valid_vectors(self) -> np.ndarray:
        """The valid vectors: the given array itself where all are valid."""
        return self.vectors if self.valid is None else chosen(self.vectors, self.valid)

    @property
    def kernel(self) -> Kernel:
        """The kernel over the valid rows, made when it is first used; DataError where no row is valid."""
        self._require_valid()
        with self._making:
            if self._kernel is None:
                self._kernel = over(self._valid_vectors, self.metric, self.threads, self.device)
            return self._kernel

    def _require_valid(self) -> None:
        if not self.n_valid:
            raise DataError(f"none of the {len(self)} rows can be used: {self._reason}")

    def neighbors(
        self,
        k: int,
        groups: ArrayLike | None = None,
        progress: Progress | None = None,
        checkpoint: PathLike | None = None,
        recall: float | None = None,
    ) -> Neighbors:
        """Return each row's k nearest others; a row is left out of its own result by its number.

        Parameters
        ----------
        k : int
            At least 1. Where k >= n it becomes n - 1, with one warning.
        groups : array_like of int, shape (n,), or None
            Rows of one group are not each other's neighbours, so that fewer than k may come back (index -1,
            distance inf).
        progress : callable or None
            Called with (work done, work in all) from time to time; what it raises stops the pass.
        checkpoint : path or None
            A folder that keeps finished work every minute. The same call resumes from it and removes it at the end.
        recall : float or None
            Above 0 and at most 1: an approximate result of at least this measured recall. None for the exact result.

        Returns
        -------
        Neighbors
            indices int64 (n, k), distances float32 (n, k), by (distance, row number).

        Raises
        ------
        DataError, UsageError
            Where fewer than two rows are valid, k is not above 0, or the checkpoint belongs to another question.
        """
        self._require_valid()
        if self.n_valid < 2:
            raise DataError(f"found {self.n_valid} usable row, expected at least 2: a single row has no neighbours")
        k = at_most(check_k(k), self.n_valid - 1)
        if recall is None:
            require_memory(len(self), k, self.n_valid, self.vectors.shape[1])
        row_groups = self._groups(groups)
        resuming: dict[str, Any] = {}
        if recall is not None:
            recall = check_recall(recall)
            refuse_beside_recall(checkpoint, self.device)
        elif checkpoint is not None:
            if not self.kernel.resumable:
                raise UsageError(
                    f"checkpoint: {self.metric.name} runs on the {self.kernel.name} kernel here, which cannot resume; "
                    "leave the checkpoint out"
                )
            asked = question(self._valid_vectors, self.metric.name, k, row_groups)
            resuming["checkpoint"] = Checkpoint(checkpoint, asked)
        try:
            if recall is not None:
                join = ApproximateJoin(self._valid_vectors, self.metric, self.threads, row_groups)
                return self._of_all_rows(*join.neighbors(k, recall, lambda: self.kernel, progress=progress))
            return self._of_all_rows(*self.kernel.self_join(k, row_groups, progress, **resuming))
        except MemoryError:
            raise too_large(self.n_valid, k) from None

    def search(
        self,
        queries: ArrayLike,
        k: int,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> Neighbors:
        """Return the k nearest rows of each query.

        Parameters
        ----------
        queries : array_like, shape (n_queries, dim)
        k : int
            At least 1.
        groups, query_groups : array_like of int, shape (n,) and (n_queries,), or None
            Rows of a query's own group are not its neighbours; give both or neither.
        progress : callable or None
            As in `neighbors`.

        Returns
        -------
        Neighbors
            indices int64 and distances float32, (n_queries, min(k, valid rows)), by (distance, row number). A query
            with fewer neighbours, because of groups, has index -1 and distance inf in the rest.

        Raises
        ------
        DataError, UsageError
            Where dims differ, a query is NaN, infinite, or zero under cosine, or k is not above 0.
        """
        array = as_queries(queries, self.metric, self.vectors.shape[1])
        n = len(array)
        k = k_that_fits(k, self.n_valid)
        check_both_groups(groups, query_groups)
        row_groups, query_groups = self._groups(groups), as_groups(query_groups, n, "query_groups")
        if not n or not self.n_valid:
            return neighbors_of(*nothing(n, k), self.metric.name, array.shape[1])
        require_memory(n, k, self.n_valid, array.shape[1], made=self._kernel is not None)
        try:
            return self._neighbors(*self.kernel.search(array, k, row_groups, query_groups, progress))
        except MemoryError:
            raise too_large(n, k) from None

    def within(
        self,
        radius: float,
        queries: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> RadiusNeighbors:
        """Return all rows at a distance of at most `radius`: of each query, or of each row without itself.

        Parameters
        ----------
        radius : float
            In the metric's unit; the comparison is made in float64.
        queries : array_like, shape (n_queries, dim), or None
            None for the rows themselves.
        groups, query_groups, progress
            As in `search`; without queries, only `groups`.

        Raises
        ------
        DataError, UsageError
            As `search`; or where the radius is not a number.

        Examples
        --------
        >>> ExactSearch.of([[0.0], [1.0], [3.0]]).within(2.0)[1]
        (array([0, 2]), array([1., 2.], dtype=float32))
        """
        limit = as_radius(radius)
        array = None if queries is None else as_queries(queries, self.metric, self.vectors.shape[1])
        row_groups, own_groups = self._groups(groups), None
        if array is not None:
            check_both_groups(groups, query_groups)
            own_groups = as_groups(query_groups, len(array), "query_groups")
        n = len(self) if array is None else len(array)
        if not self.n_valid or not n:
            return RadiusNeighbors(np.zeros(n + 1), np.zeros(0), np.zeros(0), self.metric.name)
        try:
            indptr, indices, distances = self.kernel.within(limit, array, row_groups, own_groups, progress)
        except MemoryError:
            raise UsageError(f"not enough memory for all rows within {limit:g} of {n} rows; lower the radius") from None
        if self.valid is not None:
            indices = self.valid[indices]
            if array is None:
                counts = np.zeros(len(self), dtype=np.int64)
                counts[self.valid] = np.diff(indptr)
                indptr = np.append(0, np.cumsum(counts))
        return RadiusNeighbors(indptr, indices, distances, self.metric.name)

    def distances(self, rows: ArrayLike, queries: ArrayLike | None = None) -> np.ndarray:
        """Return the distances of named rows in float64, which holds more digits than a `Neighbors`.

        Parameters
        ----------
        rows : array_like of int, shape (n_queries, k)
            Such as a result's indices; -1 gives inf.
        queries : array_like, shape (n_queries, dim), or None
            None for each row itself.

        Returns
        -------
        ndarray
            float64 (n_queries, k), measured from differences.

        Raises
        ------
        DataError
            As `search`, or where the shapes do not fit, or rows are left out of this search.

        Examples
        --------
        >>> search = ExactSearch.of([[0.0], [1.0], [3.0]])
        >>> search.distances([[1], [2]], [[0.9], [0.1]]).round(6).tolist()
        [[0.1], [2.9]]
        """
        array = self.vectors if queries is None else as_queries(queries, self.metric, self.vectors.shape[1])
        named = np.asarray(rows)
        if named.ndim != 2 or named.dtype.kind not in "iu" or len(named) != len(array) or self.valid is not None:
            raise DataError(
                f"rows: expected whole numbers ({len(array)}, k) of an index without invalid rows, found "
                f"{named.dtype} of shape {named.shape}"
            )
        return measured(self.metric, self.vectors, array, named, self.threads, self._inverse_lengths)

    @cached_property
    def _inverse_lengths(self) -> np.ndarray | None:
        """1 / length of every row under a metric of directions; None for the others."""
        return inverse_lengths(self.vectors) if self.metric.nonzero else None

    def grow(self, before: Neighbors, groups: ArrayLike | None = None, progress: Progress | None = None) -> Neighbors:
        """Return `neighbors(before.k)` from the neighbours that the first rows had among themselves.

        New rows are compared with all rows, and the rows that were there before only with the new ones.

        Parameters
        ----------
        before : Neighbors
            What `neighbors` returned for the first len(before) rows, with the same groups.
        groups, progress
            As in `neighbors`, for all rows.

        Returns
        -------
        Neighbors
            What `neighbors(before.k, groups)` returns, to the bit; of an approximate `before`, with its recall.

        Raises
        ------
        UsageError
            Where `before` is of another metric, or has more rows than there are.
        """
        self._require_valid()
        n = len(self)
        if len(before) > n or (before.metric or self.metric.name) != self.metric.name:
            raise UsageError(f"grow: expected neighbours of the first rows by {self.metric.name}, found {before}")
        known = renumbered(before.indices, rows := np.arange(n) if self.valid is None else self.valid, n)
        join = GrownJoin(self._valid_vectors, self._groups(groups), self.metric, self.threads, self.device)
        found = join.neighbors(known, before.distances[rows[: len(known)]], before.k, progress)
        self._grown_by = join.engine
        return self._of_all_rows(*found, before.recall)

    def _groups(self, groups: ArrayLike | None) -> np.ndarray | None:
        """The groups of the valid rows."""
        every = as_groups(groups, len(self))
        return every if every is None or self.valid is None else every[self.valid]

    def _of_all_rows(self, indices: np.ndarray, distances: np.ndarray, recall: Recall | None = None) -> Neighbors:
        """Turn a result for the valid rows into one for all rows."""
        if self.valid is None:
            return neighbors_of(indices, distances, self.metric.name, self.vectors.shape[1], recall)
        found = np.where(indices < 0, -1, self.valid[indices])
        indices, far = nothing(len(self), found.shape[1])
        far = far.astype(distances.dtype)
        indices[self.valid], far[self.valid] = found, distances
        return neighbors_of(indices, far, self.metric.name, self.vectors.shape[1], recall)

    def _neighbors(self, indices: np.ndarray, distances: np.ndarray) -> Neighbors:
        """Turn indices among the valid rows into row numbers."""
        if self.valid is not None:
            indices = np.where(indices < 0, -1, self.valid[indices])
        return neighbors_of(indices, distances, self.metric.name, self.vectors.shape[1])
