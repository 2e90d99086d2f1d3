"""How scikit-learn's estimators come to ask our kernel: mixins that answer `kneighbors` and `radius_neighbors`.

scikit-learn's own class stands behind each of ours and does all the rest. After its `_fit` has looked at the data, the
kernel takes over where it serves the metric and the values. What it does not serve stays with scikit-learn's code:

    sparse or precomputed input, callable metrics and those that are not ours, trees asked for by name, values beyond
    float32, zero rows under cosine, and, under algorithm="auto", many rows of very few columns, where a tree is faster

Distances are float64, measured from differences; equally near rows come in the order of their numbers.
"""

import copy
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from scipy.sparse import issparse
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.utils.validation import check_is_fitted, validate_data

from vicinal.errors import UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import BY_NAME, Metric, mahalanobis
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.vectors import invalid_rows

METRICS = ("euclidean", "l2", "sqeuclidean", "cosine", "manhattan", "l1", "cityblock")  # the same in both libraries
TREE_DIM, TREE_ROWS = 4, 20_000  # at most so many columns and more than so many rows: a tree answers sooner
BLOCK_VALUES = 1 << 24  # coordinates of queries that are held at once while distances are measured
EXACT = "exact"  # in place of scikit-learn's "brute", "kd_tree", "ball_tree"


class ExactFit(NeighborsBase):
    """Fitting: scikit-learn's, then an index of ours where it serves."""

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
        elif self._fit_method == EXACT:  # taken over from an estimator whose metric was served
            self._fit_method = "brute"
        return self

    def _make_index(self) -> Exact | None:
        """The index, or None where scikit-learn's own code is to answer."""
        rows, metric = self._fit_X, self._served_metric()
        if metric is None or issparse(rows) or not _served(rows, metric):
            return None
        if self._tree is not None and rows.shape[1] <= TREE_DIM and len(rows) > TREE_ROWS:
            return None
        threads = None if self.n_jobs is None else effective_n_jobs(self.n_jobs)
        return Exact(metric, threads).fit(rows, invalid={})

    def _served_metric(self) -> Metric | None:
        name, params = self.effective_metric_, self.effective_metric_params_
        if isinstance(name, str) and name in METRICS and not params:
            return BY_NAME[name]
        matrix = self._mahalanobis_matrix() if name == "mahalanobis" and len(params) == 1 else None
        if matrix is None or issparse(self._fit_X):
            return None
        try:
            return mahalanobis(matrix, self._fit_X.mean(axis=0, dtype=np.float64))
        except UsageError:  # not the matrix of a metric: what it means is scikit-learn's to say
            return None

    def _mahalanobis_matrix(self) -> np.ndarray | None:
        """VI, or the inverse of V, of metric_params."""
        params = self.effective_metric_params_
        return _inverse(params["V"]) if "V" in params else params.get("VI")

    def _exact(self) -> Exact | None:
        """The index; made again where it was left behind by a pickle or a copy."""
        check_is_fitted(self)
        if self._index is None and self._fit_method == EXACT:
            self._index = self._make_index()
        return self._index

    def _queries(self, X: Any, index: Exact) -> np.ndarray | None:  # noqa: N803
        """The queries as an array that the index takes, or None where scikit-learn's own code is to answer them."""
        rows = validate_data(self, X, accept_sparse="csr", reset=False, order="C")
        return rows if not issparse(rows) and _served(rows, index.metric) else None

    def _stock(self) -> Any:
        """This estimator with scikit-learn's brute force in place of the index."""
        stock = copy.copy(self)
        stock._fit_method, stock._index = "brute", None
        return stock

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_index": None}


class KNeighborsSearch(ExactFit):
    """`kneighbors` from the kernel."""

    _float32_distances = False  # whether float32 data need no more digits of a distance than float32 has

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:  # noqa: N803
        """The nearest stored rows of each query, or of each stored row without itself where X is None.

        X           : (n_queries, n_features), or None
        n_neighbors : how many; None for the estimator's own
        Returns       distances float64 and indices int64, each (n_queries, n_neighbors), by (distance, row); without
                      `return_distance` the indices alone
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
        found = index.neighbors(int(k)) if queries is None else index.search(queries, int(k))
        indices = found.indices.copy()
        if not return_distance:
            return indices
        if self._float32_distances and self._fit_X.dtype == np.float32:
            return found.distances.astype(np.float64), indices
        return index.distances(indices, queries), indices

    def stored_neighbors(self, k: int) -> Neighbors:
        """Each stored row's k nearest others, k below the number of rows; for leave-one-out."""
        index = self._exact()
        if index is not None:
            return index.neighbors(k)
        far, rows = self.kneighbors(None, k)
        return Neighbors(rows, far)


class RadiusNeighborsSearch(ExactFit):
    """`radius_neighbors` from the kernel."""

    def radius_neighbors(
        self,
        X: Any = None,  # noqa: N803
        radius: float | None = None,
        return_distance: bool = True,
        sort_results: bool = False,
    ) -> Any:
        """All stored rows at most `radius` from each query, or from each stored row without itself where X is None.

        sort_results : by (distance, row) if true, else by row
        Returns        distances float64 and indices int64, arrays of n_queries arrays; without `return_distance` the
                       indices alone
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
        found = index.within(queries, float(limit))
        rows = np.repeat(np.arange(len(found)), np.diff(found.indptr))
        indices = found.indices if sort_results else found.indices[np.lexsort((found.indices, rows))]
        if not return_distance:
            return _rows_of(found.indptr, indices)
        asked = self._fit_X if queries is None else queries
        step = max(1, BLOCK_VALUES // asked.shape[1])
        distances = np.empty(len(rows))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            distances[part] = index.distances(indices[part, None], asked[rows[part]]).ravel()
        return _rows_of(found.indptr, distances), _rows_of(found.indptr, indices)


def _served(rows: np.ndarray, metric: Metric) -> bool:
    return rows.dtype.kind in "fiu" and rows.dtype.itemsize <= 8 and not invalid_rows(rows, metric)


def _inverse(covariance: object) -> np.ndarray:
    try:
        return np.linalg.inv(np.asarray(covariance, dtype=np.float64))
    except np.linalg.LinAlgError:
        raise UsageError(
            "metric_params: V, the covariance, has no inverse: give more rows, or shrink it as "
            "sklearn.covariance.LedoitWolf does"
        ) from None


def _rows_of(indptr: np.ndarray, values: np.ndarray) -> np.ndarray:
    """An array of arrays: row i's values are values[indptr[i] : indptr[i + 1]]."""
    rows = np.empty(len(indptr) - 1, dtype=object)
    for row in range(len(rows)):
        rows[row] = values[indptr[row] : indptr[row + 1]].copy()
    return rows
