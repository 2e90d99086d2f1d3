"""The exact index: every row is compared, by the fastest kernel that supports the metric and dtype."""

from typing import Any, overload

import numpy as np

from vicinal import devices
from vicinal.errors import UsageError
from vicinal.indexes.index import Index
from vicinal.indexes.proposals import Backend
from vicinal.indexes.rows import Rows
from vicinal.indexes.scan import Scan
from vicinal.indexes.state import EngineState, IndexState
from vicinal.knn.arguments import as_radius
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import METRICS
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors
from vicinal.locks import Mutex
from vicinal.typing import ArrayLike, MetricLike, PathLike, Progress


class Comparisons:
    """The backend that compares all live rows; it keeps only the searches that it made."""

    error = None
    changed_by_saving = False

    def __init__(self, rows: Rows, threads: int, device: str | None = None) -> None:
        self._rows, self._threads, self._device = rows, threads, device
        self._whole: ExactSearch | None = None
        self._scan = Scan(rows, threads, device)
        self._making = Mutex()

    @property
    def library(self) -> str:
        """The kernel that is used, and its version."""
        return self.over_all().engine

    @property
    def n_bytes(self) -> int:
        """The native kernel's codes, a byte a coordinate; the other kernels keep none."""
        return self.over_all().n_bytes if self._rows.n_live else 0

    @property
    def n_entries(self) -> int:
        """The number of live rows."""
        return self._rows.n_live

    def over_all(self) -> ExactSearch:
        """The search over the live rows, made when it is first needed, so that many small changes cost one pass."""
        stored, device = self._rows.vectors, devices.chosen() or self._device
        with self._making:
            if self._whole is None or self._whole.device != device:
                reason = next(iter(self._rows.invalid.values()), "all are removed")
                self._whole = ExactSearch(stored, self._rows.metric, self._threads, self._rows.live(), reason, device)
            return self._whole

    def over(self, where: object) -> ExactSearch:
        """The search over the live rows that a filter leaves; None for all of them."""
        search = self.over_all()
        allowed = self._rows.allowed(where)
        if allowed is not None:
            return self._scan.over(np.flatnonzero(allowed))
        if not search.n_valid and self._rows.invalid and len(self._rows.invalid) == self._rows.n:
            _ = search.kernel  # raises the error that says why no row can be used
        return search

    def build(self) -> None:
        """Make the search over the present rows, with its kernel."""
        self.extend()
        if self._rows.n_live:
            _ = self.over_all().kernel

    def extend(self) -> None:
        """Drop the searches; the next query makes them again, with the appended rows."""
        self._whole = None
        self._scan.forget()

    def shrink(self) -> None:
        """Drop the searches; the next query makes them again, without the removed rows."""
        self._whole = None

    # A search is never changed, only dropped, so that there is nothing to remember.

    def remember(self) -> None:
        """Nothing."""

    def go_back(self, remembered: object) -> None:
        """Drop the searches; the next query makes them over the rows that are back."""
        self.extend()

    def frozen(self) -> dict[str, Any]:
        """Nothing: a copy makes its own searches."""
        return {}

    def thaw(self, frozen: dict[str, Any]) -> None:
        """Nothing to take."""

    def nearest(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 and distances of each checked query, (n_queries, k), by (distance, row); -1 and inf for none."""
        rows = np.flatnonzero(allowed) if allowed is not None else self._rows.live()
        if rows is None:
            return self.over_all().kernel.search(queries, k)
        return self._scan.nearest(queries, k, rows)

    def state(self) -> EngineState:
        """Return an empty state: everything is computed from the rows."""
        return EngineState()

    def restore(self, state: IndexState) -> None:
        """Drop the searches; the next query makes them over the restored rows."""
        if state.vectors is None:
            raise UsageError("vectors.npy: missing; an exact index needs its vectors: build the index again")
        self.extend()


class Exact(Index):
    """An index that returns, for every row, the k rows that a float64 brute force over the given values returns.

    Results are in the order (distance, row number), and the same for any number of threads.

    Parameters
    ----------
    metric : str or Metric
        A name or alias of `vicinal.knn.metrics`, or `vicinal.mahalanobis(M)`.
    threads : int or None
        None for the number of cores.
    device : str or None
        Where passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto"; None for
        the processor. A function that is given the index and a device takes that one.

    Examples
    --------
    >>> index = Exact("euclidean").fit([[0.0], [1.0], [3.0]])
    >>> index.neighbors(k=1).indices.ravel().tolist()
    [1, 0, 1]
    >>> index.search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "exact"
    about = "every row compared, by the exact kernel"
    metrics = (*(metric.name for metric in METRICS), "mahalanobis")
    exact = True

    _backend: Comparisons

    def __init__(self, metric: MetricLike = "euclidean", threads: int | None = None, device: str | None = None) -> None:
        self.device = devices.chosen() if device is None else devices.check_name(device)
        super().__init__(metric, threads)

    def _make_backend(self) -> Backend:
        return Comparisons(self._rows, self.threads, self.device)

    def _search_over(self, where: object = None) -> ExactSearch:
        """The search over the rows that there are now; later changes of the index leave it as it is.

        So a long pass does not keep changes waiting.
        """
        with self._lock.reading:
            return self._backend.over(where)

    def neighbors(
        self,
        k: int,
        groups: ArrayLike | None = None,
        progress: Progress | None = None,
        checkpoint: PathLike | None = None,
        recall: float | None = None,
    ) -> Neighbors:
        """Return each stored row's k nearest others; a row is left out of its own result by its number.

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
            Above 0 and at most 1: an approximate result of at least this measured recall, for less work. None for the
            exact result.

        Returns
        -------
        Neighbors

        Raises
        ------
        NotFitted
        DataError
            Where fewer than two rows are usable.
        UsageError
            Where k is not above 0, or the checkpoint belongs to another question.
        """
        return self._search_over().neighbors(k, groups, progress, checkpoint, recall)

    def grow(self, before: Neighbors, groups: ArrayLike | None = None, progress: Progress | None = None) -> Neighbors:
        """Return `neighbors(before.k)` for less work, from the neighbours that the first rows had among themselves.

        Parameters
        ----------
        before : Neighbors
            What `neighbors` returned for the first len(before) rows, with the same groups.
        groups, progress
            As in `neighbors`.

        Returns
        -------
        Neighbors
            What `neighbors(before.k, groups)` returns, to the bit.

        Raises
        ------
        NotFitted
        UsageError
            Where `before` is of another metric, or has more rows than are stored.
        """
        return self._search_over().grow(before, groups, progress)

    def search(
        self,
        queries: ArrayLike,
        k: int,
        where: object = None,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> Neighbors:
        """Return the k nearest stored rows of each query.

        Parameters
        ----------
        queries, k, where
            As for `Index.search`.
        groups, query_groups : array_like of int, shape (n,) and (n_queries,), or None
            Rows of a query's own group are not its neighbours; give both or neither.
        progress
            As in `neighbors`.

        Returns
        -------
        Neighbors

        Raises
        ------
        NotFitted, DataError, UsageError
            As `Index.search`.
        """
        return self._search_over(where).search(queries, k, groups, query_groups, progress)

    @overload
    def within(
        self,
        radius: float,
        /,
        *,
        where: object = None,
        groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> RadiusNeighbors: ...

    @overload
    def within(
        self,
        queries: ArrayLike | None = None,
        radius: float | None = None,
        where: object = None,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> RadiusNeighbors: ...

    def within(
        self,
        queries: ArrayLike | None = None,
        radius: float | None = None,
        where: object = None,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> RadiusNeighbors:
        """Return all stored rows at a distance of at most `radius` of each query, or of each other.

        `within(queries, radius)` compares queries, `within(radius)` and `within(radius=radius)` the stored rows: where
        one argument is given, it is the radius.

        Parameters
        ----------
        queries : array_like, shape (n_queries, dim), or None
        radius : float
            In the metric's unit; the comparison is made in float64.
        where, groups, query_groups, progress
            As for `search`; without queries, only `groups`.

        Returns
        -------
        RadiusNeighbors

        Raises
        ------
        NotFitted, DataError
            As `search`.
        UsageError
            Where the radius is not a number.

        Examples
        --------
        >>> index = Exact().fit([[0.0], [1.0], [3.0]])
        >>> index.within(2.0)[1], index.within([[0.4]], radius=1.0)[0]
        ((array([0, 2]), array([1., 2.], dtype=float32)), (array([0, 1]), array([0.4, 0.6], dtype=float32)))
        """
        if radius is None:
            queries, radius = None, queries
        limit = as_radius(radius)
        return self._search_over(where).within(limit, queries, groups, query_groups, progress)

    def distances(self, rows: ArrayLike, queries: ArrayLike | None = None) -> np.ndarray:
        """Return the distances of named stored rows in float64, which holds more digits than a `Neighbors`.

        Parameters
        ----------
        rows : array_like of int, shape (n_queries, k)
            Such as a result's indices; -1 gives inf.
        queries : array_like, shape (n_queries, dim), or None
            None for each stored row itself.

        Returns
        -------
        ndarray
            float64 (n_queries, k), measured from differences.

        Raises
        ------
        NotFitted
        DataError
            As `search`, or where the shapes do not fit, or rows are removed or invalid.

        Examples
        --------
        >>> Exact().fit([[0.0], [1.0], [3.0]]).distances([[1], [2]], [[0.9], [0.1]]).round(6).tolist()
        [[0.1], [2.9]]
        """
        return self._search_over().distances(rows, queries)
