"""The trees of scikit-learn, for few dimensions: exact, and quick where space can be cut into boxes or balls.

A tree is not written to disk: it is built again on the first search after a load, in n log n.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.indexes.contract import Index
from vicinal.indexes.parameters import Parameter
from vicinal.knn.metrics import Metric

METRICS = ("euclidean", "sqeuclidean", "cosine", "manhattan")
OVERFETCH = 4  # how many entries more than k, so that rows which float64 sums in another order can change places


class _Tree(Index):
    """What the two trees have in common."""

    serves = METRICS
    parameters = (Parameter("leaf_size", 40, "rows in a leaf"),)
    recall = 0.999  # ties at the last place may be others
    _tree: Any = None

    def __init__(self, metric: str | Metric = "euclidean", leaf_size: int = 40, threads: int | None = None) -> None:
        super().__init__(metric, threads, leaf_size=leaf_size)

    def _new(self, rows: np.ndarray, metric: str) -> Any:
        raise NotImplementedError

    @property
    def engine(self) -> str:
        """The library that answers, and its version."""
        import sklearn

        return f"scikit-learn ({sklearn.__version__})"

    @property
    def engine_bytes(self) -> int:
        """The tree's arrays, its own copy of the vectors among them."""
        if self._tree is None and len(self):
            self._build(len(self._entries()))
        return 0 if self._tree is None else sum(np.asarray(array).nbytes for array in self._tree.get_arrays())

    def _build(self, n: int) -> None:
        rows = self._prepared(slice(0, n))
        self._tree = self._new(rows, "manhattan" if self.metric.kernel == "absolute" else "euclidean")

    def _read(self, files: dict[str, Path], n: int) -> None:
        self._tree = None

    def _prepare(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self.metric.prepare(vectors))

    def _propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        n = len(self._entries())
        if self._tree is None:
            self._build(n)
        wanted = min(n, k + OVERFETCH)
        parts = np.array_split(queries, max(1, min(self.threads, len(queries) // 64)))
        with ThreadPoolExecutor(self.threads) as pool:
            found = pool.map(lambda part: self._tree.query(part, k=wanted, return_distance=False), parts)
            return np.concatenate(list(found)).astype(np.int64)


class KDTree(_Tree):
    """A binary tree of boxes, for up to about 15 dimensions.

    leaf_size : rows in a leaf; it changes the speed, not the answer

    Source  Bentley 1975
    >>> KDTree("euclidean").fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "kdtree"
    about = "tree of boxes: exact but for ties, for few dimensions"

    def _new(self, rows: np.ndarray, metric: str) -> Any:
        from sklearn.neighbors import KDTree as Tree

        return Tree(rows, leaf_size=self._settings["leaf_size"], metric=metric)


class BallTree(_Tree):
    """A binary tree of balls, for up to about 20 dimensions, or more where the data lie in fewer.

    leaf_size : rows in a leaf; it changes the speed, not the answer

    Source  Omohundro 1989
    >>> BallTree("manhattan").fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "balltree"
    about = "tree of balls: exact but for ties, for few dimensions"

    def _new(self, rows: np.ndarray, metric: str) -> Any:
        from sklearn.neighbors import BallTree as Tree

        return Tree(rows, leaf_size=self._settings["leaf_size"], metric=metric)
