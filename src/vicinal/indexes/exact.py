"""Exact search: the neighbours that a float64 brute force would find, from the fastest kernel at hand."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.arguments import as_radius, k_that_fits, too_large
from vicinal.indexes.contract import Index
from vicinal.knn.checkpoint import Checkpoint, question
from vicinal.knn.copies import Copies
from vicinal.knn.kernels import Kernel, Progress, pick
from vicinal.knn.metrics import METRICS, Metric
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors, check_k

TIE_BYTES = 1 << 26


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

    def __init__(self, metric: str | Metric = "euclidean", threads: int | None = None) -> None:
        super().__init__(metric, threads)

    def _start(self) -> None:
        super()._start()
        self._held: tuple[np.ndarray, Kernel] | None = None
        self._valid: np.ndarray | None = None

    def _make(self) -> None:
        self._shrink()
        _ = self._ready

    def _grow(self) -> None:
        self._shrink()

    def _shrink(self) -> None:
        """The kernel is made when it is next asked, so that many small changes in a row cost one pass."""
        self._held, self._valid = None, None if self._dead is None else np.flatnonzero(~self._dead)

    def _restore(self, copies: Copies, files: dict[str, Path], manifest: dict[str, Any]) -> None:
        self._stored()  # which the folder must have
        self._shrink()

    @property
    def _ready(self) -> tuple[np.ndarray, Kernel] | None:
        """The vectors that count, and the kernel over them; None where there are none."""
        if self._held is None and len(self):
            vectors = self._stored() if self._valid is None else self._stored()[self._valid]
            self._held = vectors, pick(self.metric, vectors.dtype)(vectors, self.metric, self.threads)
        return self._held

    @property
    def engine(self) -> str:
        """The kernel that answers, and its version."""
        kernel = self._fitted()[1]
        return f"{kernel.name} ({kernel.version})"

    @property
    def engine_bytes(self) -> int:
        """The native kernel's codes, a byte a coordinate; the other kernels keep none."""
        ready = self._ready
        return len(self) * self.dim if ready is not None and ready[1].name == "native" else 0

    def neighbors(
        self,
        k: int,
        groups: object = None,
        progress: Progress | None = None,
        checkpoint: str | Path | None = None,
    ) -> Neighbors:
        """Each stored row's k nearest others; a row is left out of its own result by its number.

        k        : 1 <= k; where k >= n it becomes n - 1, with one warning
        groups   : a whole number a row, or None; rows of one group are not each other's neighbours, so that fewer than
                   k may come back (index -1, distance inf)
        progress : called with (work done, work in all) from time to time; what it raises stops the pass
        checkpoint : a folder that keeps finished work every minute; the same call goes on from it, and removes it at
                   the end
        Raises     NotFitted; DataError where fewer than two rows are stored; UsageError where k is not above 0, or the
                   checkpoint is another question's.
        """
        vectors, kernel = self._fitted()
        if len(vectors) < 2:
            raise DataError(f"found {len(vectors)} usable row, expected at least 2: a single row has no neighbours")
        k = at_most(check_k(k), len(vectors) - 1)
        labels = self._stored_groups(groups)
        if checkpoint is not None and not kernel.resumable:
            raise UsageError(f"checkpoint: the {kernel.name} kernel keeps none; {self.metric.name} runs on it here")
        others: dict[str, Any] = {}
        if checkpoint is not None:
            others["checkpoint"] = Checkpoint(checkpoint, question(vectors, self.metric.name, k, labels))
        try:
            return self._named(*kernel.self_join(k, labels, progress, **others), rows=self._valid)
        except MemoryError:
            raise too_large(len(vectors), k) from None

    def grow(self, before: Neighbors, groups: object = None, progress: Progress | None = None) -> Neighbors:
        """Each stored row's k nearest others, from those among the first rows: `neighbors(before.k)`, for less work.

        Rows that came after are compared with all, rows that were there before only with those that came after.

        before  : what `neighbors` gave for the first len(before) of the stored rows, with the same groups
        groups  : as in `neighbors`, for all stored rows
        Returns   what `neighbors(before.k, groups)` would give, to the bit
        Raises    NotFitted; UsageError where `before` is of another metric, or has more rows than are stored
        """
        vectors, _ = self._fitted()
        old, k = len(before), before.k
        if old > self._n or (before.metric or self.metric.name) != self.metric.name:
            raise UsageError(f"grow: expected neighbours of the first rows by {self.metric.name}, found {before}")
        labels = self._stored_groups(groups)
        rows = np.arange(self._n) if self._valid is None else self._valid
        split = int(np.searchsorted(rows, old))
        renumbered = np.full(self._n, -1)
        renumbered[rows] = np.arange(len(rows))
        known = before.indices[rows[:split]]
        known = np.where(known < 0, -1, renumbered[known])
        if split == len(rows):
            return self._named(known, before.distances[rows], rows=self._valid)
        indices = np.full((len(vectors), k), -1, dtype=np.int64)
        distances = np.full((len(vectors), k), np.inf, dtype=np.float32)
        added = pick(self.metric, vectors.dtype)(vectors[split:], self.metric, self.threads)
        parts = (None, None) if labels is None else (labels[:split], labels[split:])
        if split:
            found = added.search(vectors[:split], k, parts[1], parts[0], progress)
            indices[:split], distances[:split] = self._both_parts(
                vectors, np.arange(split), (known, before.distances[rows[:split]]), _shifted(found, split), k
            )
        among = added.self_join(min(k, len(vectors) - split - 1), parts[1]) if len(vectors) - split > 1 else None
        late = np.arange(split, len(vectors))
        older = (np.empty((len(late), 0), np.int64), np.empty((len(late), 0), np.float32))
        if split:
            first = pick(self.metric, vectors.dtype)(vectors[:split], self.metric, self.threads)
            older = first.search(vectors[split:], min(k, split), parts[0], parts[1], progress)
        newer = (np.empty((len(late), 0), np.int64), np.empty((len(late), 0), np.float32))
        newer = newer if among is None else _shifted(among, split)
        indices[split:], distances[split:] = self._both_parts(vectors, late, older, newer, k)
        return self._named(indices, distances, rows=self._valid)

    def _both_parts(self, vectors: np.ndarray, rows: np.ndarray, a: Any, b: Any, k: int) -> tuple[Any, Any]:
        """The k nearest of two results for the same rows, whose neighbours differ, by (float64 distance, row)."""
        indices = np.concatenate([a[0], b[0]], axis=1)
        distances = np.concatenate([a[1], b[1]], axis=1).astype(np.float32)
        order = np.lexsort((np.where(indices < 0, np.iinfo(np.int64).max, indices), distances))
        indices, distances = np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1)
        # Distances equal in float32 may differ in float64, which alone decides their order.
        tied = ((distances[:, 1:] == distances[:, :-1]) & (indices[:, 1:] >= 0)).any(axis=1)
        todo, step = np.flatnonzero(tied), max(1, TIE_BYTES // (8 * vectors.shape[1] * max(1, indices.shape[1])))
        for start in range(0, len(todo), step):
            block = todo[start : start + step]
            own = self.metric.prepare(vectors[rows[block]])[:, None, :]
            far = self.metric.finish(self.metric.measure(own, self.metric.prepare(vectors[indices[block]])))
            far = np.where(indices[block] < 0, np.inf, far)
            order = np.lexsort((np.where(indices[block] < 0, np.iinfo(np.int64).max, indices[block]), far))
            indices[block] = np.take_along_axis(indices[block], order, axis=1)
            distances[block] = np.take_along_axis(distances[block], order, axis=1)
        missing = ((0, 0), (0, max(0, k - indices.shape[1])))
        return (
            np.pad(indices[:, :k], missing, constant_values=-1),
            np.pad(distances[:, :k], missing, constant_values=np.inf),
        )

    def search(
        self,
        queries: object,
        k: int,
        where: object = None,
        groups: object = None,
        query_groups: object = None,
        progress: Progress | None = None,
    ) -> Neighbors:
        """The k nearest stored rows of each query.

        queries : (n_queries, dim)
        k       : 1 <= k; fewer come back where fewer are stored (index -1, distance inf)
        where   : the rows that may be found, as for every index
        groups, query_groups : a whole number a stored row and a query; stored rows of a query's group do not count
        Raises    NotFitted; DataError where the dims differ or a query is NaN, infinite, or zero under cosine.
        """
        array = self._as_queries(queries)
        k = k_that_fits(k, len(array))
        rows, kernel = self._among(where)
        labels, asked = _labels(groups, self._n, "groups"), _labels(query_groups, len(array), "query_groups")
        _both(groups, query_groups)
        if not len(array) or kernel is None:
            nothing = np.full((len(array), k), -1), np.full((len(array), k), np.inf)
            return Neighbors(*nothing, self.metric.name, array.shape[1])
        labels = labels if labels is None or rows is None else labels[rows]
        try:
            indices, distances = kernel.search(array, k, labels, asked, progress)
        except MemoryError:
            raise too_large(len(array), k) from None
        return self._result(indices if rows is None else np.where(indices < 0, -1, rows[indices]), distances)

    def within(
        self,
        queries: object = None,
        radius: object = None,
        where: object = None,
        groups: object = None,
        query_groups: object = None,
        progress: Progress | None = None,
    ) -> RadiusNeighbors:
        """All stored rows at a distance of at most `radius`: of each query, or of each stored row without itself.

        `within(queries, radius)` asks of queries, `within(radius)` of the stored rows; the number is the radius.

        radius : in the metric's unit, not NaN; the comparison is made in float64
        Raises   as `search`; UsageError where the radius is not a number.
        >>> Exact().fit([[0.0], [1.0], [3.0]]).within(2.0)[1]
        (array([0, 2]), array([1., 2.], dtype=float32))
        """
        if radius is None or np.ndim(queries) == 0:  # type: ignore[arg-type]
            queries, radius = radius, queries
        far = as_radius(radius)
        array = None if queries is None else self._as_queries(queries)
        rows, kernel = self._among(where)
        labels, asked = _labels(groups, self._n, "groups"), None
        if array is not None:
            asked = _labels(query_groups, len(array), "query_groups")
            _both(groups, query_groups)
        n = self._n if array is None else len(array)
        if kernel is None or not n:
            return RadiusNeighbors(np.zeros(n + 1), np.zeros(0), np.zeros(0), self.metric.name)
        labels = labels if labels is None or rows is None else labels[rows]
        try:
            indptr, indices, distances = kernel.within(far, array, labels, asked, progress)
        except MemoryError:
            raise UsageError(f"not enough memory for all rows within {far:g} of {n} rows; lower the radius") from None
        if rows is not None:
            indices = rows[indices]
            if array is None:
                counts = np.zeros(self._n, dtype=np.int64)
                counts[rows] = np.diff(indptr)
                indptr = np.append(0, np.cumsum(counts))
        return RadiusNeighbors(indptr, indices, distances, self.metric.name)

    def distances(self, rows: object, queries: object = None) -> np.ndarray:
        """The distances of named stored rows, in float64: more digits than a `Neighbors` holds.

        rows    : whole numbers (n_queries, k), such as a result's indices; -1 gives inf
        queries : (n_queries, dim); None for each stored row itself
        Returns   float64 (n_queries, k), measured from differences
        Raises    NotFitted; DataError as `search`, or where the shapes do not fit.

        >>> Exact().fit([[0.0], [1.0], [3.0]]).distances([[1], [2]], [[0.9], [0.1]]).round(6).tolist()
        [[0.1], [2.9]]
        """
        stored, _ = self._fitted()
        asked = stored if queries is None else self._as_queries(queries)
        named = np.asarray(rows)
        if named.ndim != 2 or named.dtype.kind not in "iu" or len(named) != len(asked) or self._valid is not None:
            raise DataError(
                f"rows: expected whole numbers ({len(asked)}, k) of an index without invalid rows, found "
                f"{named.dtype} of shape {named.shape}"
            )
        return self._measured(asked, named)

    def _among(self, where: object) -> tuple[np.ndarray | None, Kernel | None]:
        """The rows that count, None for all, and the kernel over them, None where there are none."""
        self._stored()
        allowed = self._allowed(where)
        if allowed is None:
            if self._ready is None and self.invalid and len(self.invalid) == self._n:
                self._fitted()
            return self._valid, None if self._ready is None else self._ready[1]
        rows = np.flatnonzero(allowed)
        return rows, self._kernel_of(rows) if len(rows) else None

    def _stored_groups(self, groups: object) -> np.ndarray | None:
        labels = _labels(groups, self._n, "groups")
        return labels if labels is None or self._valid is None else labels[self._valid]

    def _named(self, indices: np.ndarray, distances: np.ndarray, rows: np.ndarray | None) -> Neighbors:
        """The kernel's answer over the valid rows, in the row numbers of all rows; `rows` are those that asked."""
        if self._valid is not None:
            indices = np.where(indices < 0, -1, self._valid[indices])
        if rows is not None:
            shape = (self._n, indices.shape[1])
            all_indices, all_distances = np.full(shape, -1), np.full(shape, np.inf, distances.dtype)
            all_indices[rows], all_distances[rows] = indices, distances
            indices, distances = all_indices, all_distances
        indices.setflags(write=False)  # nobody else holds them, so that `Neighbors` need not copy
        distances.setflags(write=False)
        return Neighbors(indices, distances, self.metric.name, self._fitted()[0].shape[1])

    def _fitted(self) -> tuple[np.ndarray, Kernel]:
        self._stored()
        if self._ready is None:
            reasons = [*self.invalid.values(), "all are removed"]
            raise DataError(f"none of the {self._n} rows can be used: {reasons[0]}")
        return self._ready


def neighbors(vectors: object, k: int, metric: str | Metric = "euclidean", threads: int | None = None) -> Neighbors:
    """Each row's k nearest other rows: `Exact(metric, threads).fit(vectors).neighbors(k)`.

    >>> neighbors([[0.0], [1.0], [3.0]], k=1).distances.ravel().tolist()
    [1.0, 1.0, 2.0]
    """
    return Exact(metric, threads).fit(vectors).neighbors(k)


def _shifted(found: tuple[np.ndarray, np.ndarray], by: int) -> tuple[np.ndarray, np.ndarray]:
    return np.where(found[0] < 0, -1, found[0] + by), found[1]


def _labels(groups: object, n: int, name: str) -> np.ndarray | None:
    if groups is None:
        return None
    labels = np.asarray(groups)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise DataError(f"{name}: expected {n} whole numbers, one a row, found {labels.dtype} of shape {labels.shape}")
    return np.ascontiguousarray(labels, dtype=np.int64)


def _both(groups: object, query_groups: object) -> None:
    if (groups is None) != (query_groups is None):
        raise UsageError("groups and query_groups belong together: give both or neither")


def at_most(k: int, others: int) -> int:
    """k, or the number of other rows where k is larger, with a warning that says both."""
    if k > others:
        warnings.warn(f"k = {k}, but a row has only {others} others; using k = {others}", stacklevel=3)
        return others
    return k
