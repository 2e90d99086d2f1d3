"""Mixins that compute `kneighbors` and `radius_neighbors` of scikit-learn's estimators by exact search.

Each estimator is a subclass of scikit-learn's own class, which does everything else. After scikit-learn's `_fit` has
checked the data, an `Exact` index is fitted where it supports the metric and the values. Otherwise scikit-learn's own
code runs, that is for:

    sparse or precomputed input; callable metrics, and metrics that vicinal does not have; algorithm="kd_tree" or
    "ball_tree"; values beyond float32; zero rows under cosine; and, with algorithm="auto", many rows of very few
    columns, where a tree is faster

Distances are float64 and computed from differences. Rows at equal distance are in the order of their numbers.
"""

import copy
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.utils.validation import check_is_fitted, validate_data

from vicinal.errors import UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import BY_NAME, Metric, mahalanobis
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.vectors import invalid_rows

METRICS = ("euclidean", "l2", "sqeuclidean", "cosine", "manhattan", "l1", "cityblock")  # the same in both libraries
TREE_DIM, TREE_ROWS = 4, 20_000  # with at most so many columns and more than so many rows, a tree is faster
BLOCK_VALUES = 1 << 24  # values of queries that are copied at once while distances are computed
EXACT = "exact"  # the value of `_fit_method`, besides scikit-learn's "brute", "kd_tree" and "ball_tree"


class ExactFit(NeighborsBase):
    """Fits as scikit-learn does, and then an exact index where it supports the metric and the values."""

    _index: Exact | None = None
    _tree: Any = None

    def _fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        super()._fit(X, y)
        self._index = None
        ready_tree = isinstance(X, NeighborsBase | KDTree | BallTree) and self._tree is not None
        if self.algorithm in ("auto", "brute") and not ready_tree:
            self._index = self._make_index()
        if self._index is not None:
            self._fit_method, self._tree = EXACT, None
        elif self._fit_method == EXACT:  # X is an estimator that was fitted with an exact index
            self._fit_method = "brute"
        return self

    def _make_index(self) -> Exact | None:
        """The index, or None where scikit-learn's own code runs."""
        rows, metric = self._fit_X, self._exact_metric()
        if metric is None or issparse(rows) or not _is_supported(rows, metric):
            return None
        if self._tree is not None and rows.shape[1] <= TREE_DIM and len(rows) > TREE_ROWS:
            return None
        threads = None if self.n_jobs is None else effective_n_jobs(self.n_jobs)
        return Exact(metric, threads).fit(rows, invalid={})

    def _exact_metric(self) -> Metric | None:
        """The metric, or None where vicinal does not have it."""
        name, params = self.effective_metric_, self.effective_metric_params_
        if isinstance(name, str) and name in METRICS and not params:
            return BY_NAME[name]
        matrix = self._mahalanobis_matrix() if name == "mahalanobis" and len(params) == 1 else None
        if matrix is None or issparse(self._fit_X):
            return None
        try:
            return mahalanobis(matrix, self._fit_X.mean(axis=0, dtype=np.float64))
        except UsageError:  # not the matrix of a metric; scikit-learn decides what it means
            return None

    def _mahalanobis_matrix(self) -> NDArray[np.float64] | None:
        """VI of metric_params, or the inverse of V."""
        params = self.effective_metric_params_
        if "V" in params:
            return _inverse(params["V"])
        matrix: NDArray[np.float64] | None = params.get("VI")
        return matrix

    def _exact(self) -> Exact | None:
        """The index; it is fitted again after unpickling and copying, which leave it out."""
        check_is_fitted(self)
        if self._index is None and self._fit_method == EXACT:
            self._index = self._make_index()
        return self._index

    def _queries(self, X: ArrayLike, index: Exact) -> NDArray[Any] | None:  # noqa: N803
        """The queries as an array for the index, or None where it does not support them."""
        rows = validate_data(self, X, accept_sparse="csr", reset=False, order="C")
        return rows if not issparse(rows) and _is_supported(rows, index.metric) else None

    def _stock(self) -> Any:
        """A copy of this estimator that uses scikit-learn's brute force instead of the index."""
        stock = copy.copy(self)
        stock._fit_method, stock._index = "brute", None
        return stock

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_index": None}


class KNeighborsSearch(ExactFit):
    """Computes `kneighbors` by exact search."""

    _float32_distances = False  # whether distances of float32 data are returned with float32 accuracy, which is faster

    def kneighbors(
        self,
        X: ArrayLike | None = None,  # noqa: N803
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> Any:
        """Return the nearest stored rows of each query.

        Parameters
        ----------
        X : array_like, shape (n_queries, n_features), optional
            None takes each stored row as a query and leaves it out of its own result.
        n_neighbors : int, optional
            By default the estimator's own.
        return_distance : bool

        Returns
        -------
        distances : ndarray of float64, shape (n_queries, n_neighbors)
            Only with `return_distance`.
        indices : ndarray of int64, shape (n_queries, n_neighbors)
            Ordered by (distance, row).
        """
        index = self._exact()
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        if index is None:
            return super().kneighbors(X, n_neighbors, return_distance)
        possible = (
            isinstance(k, int | np.integer) and not isinstance(k, bool) and 1 <= k <= self.n_samples_fit_ - (X is None)
        )
        queries = self._queries(X, index) if possible and X is not None else None
        if not possible or (X is not None and queries is None):
            return self._stock().kneighbors(X, n_neighbors, return_distance)
        neighbors = index.neighbors(int(k)) if queries is None else index.search(queries, int(k))
        indices = neighbors.indices.copy()
        if not return_distance:
            return indices
        if self._float32_distances and self._fit_X.dtype == np.float32:
            return neighbors.distances.astype(np.float64), indices
        return index.distances(indices, queries), indices

    def stored_neighbors(self, k: int) -> Neighbors:
        """Return the k nearest other rows of each stored row; k must be below the number of rows."""
        index = self._exact()
        if index is not None:
            return index.neighbors(k)
        distances, indices = self.kneighbors(None, k)
        return Neighbors(indices, distances)


class RadiusNeighborsSearch(ExactFit):
    """Computes `radius_neighbors` by exact search."""

    def radius_neighbors(
        self,
        X: ArrayLike | None = None,  # noqa: N803
        radius: float | None = None,
        return_distance: bool = True,
        sort_results: bool = False,
    ) -> Any:
        """Return all stored rows at a distance of at most `radius` from each query.

        Parameters
        ----------
        X : array_like, shape (n_queries, n_features), optional
            None takes each stored row as a query and leaves it out of its own result.
        radius : float, optional
            By default the estimator's own.
        return_distance : bool
        sort_results : bool
            Order the rows by (distance, row) instead of by row.

        Returns
        -------
        distances : ndarray of n_queries ndarrays of float64
            Only with `return_distance`.
        indices : ndarray of n_queries ndarrays of int64
        """
        index = self._exact()
        if index is None:
            return super().radius_neighbors(X, radius, return_distance, sort_results)
        limit = self.radius if radius is None else radius
        possible = (
            isinstance(limit, int | float | np.number) and not np.isnan(limit) and (return_distance or not sort_results)
        )
        queries = self._queries(X, index) if possible and X is not None else None
        if not possible or (X is not None and queries is None):
            return self._stock().radius_neighbors(X, radius, return_distance, sort_results)
        within = index.within(queries, float(limit))
        rows = np.repeat(np.arange(len(within)), np.diff(within.indptr))
        indices = within.indices if sort_results else within.indices[np.lexsort((within.indices, rows))]
        if not return_distance:
            return _split(within.indptr, indices)
        points = self._fit_X if queries is None else queries
        distances = np.empty(len(rows))
        for part in blocks(len(rows), BLOCK_VALUES // points.shape[1]):
            distances[part] = index.distances(indices[part, None], points[rows[part]]).ravel()
        return _split(within.indptr, distances), _split(within.indptr, indices)


def _is_supported(rows: NDArray[Any], metric: Metric) -> bool:
    """Whether the index can hold, or be queried with, these rows."""
    return rows.dtype.kind in "fiu" and rows.dtype.itemsize <= 8 and not invalid_rows(rows, metric)


def _inverse(covariance: ArrayLike) -> NDArray[np.float64]:
    """The inverse of a covariance."""
    try:
        inverse: NDArray[np.float64] = np.linalg.inv(np.asarray(covariance, dtype=np.float64))
        return inverse
    except np.linalg.LinAlgError:
        raise UsageError(
            "metric_params: V, the covariance, has no inverse: give more rows, or shrink it as "
            "sklearn.covariance.LedoitWolf does"
        ) from None


def _split(indptr: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.object_]:
    """An array of arrays: entry i is values[indptr[i] : indptr[i + 1]]."""
    rows = np.empty(len(indptr) - 1, dtype=object)
    for row in range(len(rows)):
        rows[row] = values[indptr[row] : indptr[row + 1]].copy()
    return rows
