"""The trees of scikit-learn, for few dimensions: fast, and exact except for the order of ties.

A tree is not written to disk: it is built again on the first search after a load, in n log n.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vicinal.indexes.engine import Engine
from vicinal.indexes.entries import Entries
from vicinal.indexes.index import Index
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.proposals import Backend, Proposals
from vicinal.knn.metrics import Metric
from vicinal.locks import Mutex
from vicinal.typing import MetricLike

METRICS = ("euclidean", "sqeuclidean", "cosine", "manhattan")
LEAF_SIZE = Parameter("leaf_size", 40, "rows in a leaf")
OVERFETCH = 4  # entries fetched beyond k, because float64 sums in another order can swap near-ties


class TreeEngine(Engine):
    """A tree of scikit-learn over entries of float64; `kind` is its class there."""

    float64 = True
    kind: ClassVar[str]
    _entries: Entries
    _tree: Any = None

    def __init__(self, metric: Metric, settings: Mapping[str, Any], threads: int) -> None:
        super().__init__(metric, settings, threads)
        self._building = Mutex()

    @property
    def library(self) -> str:
        """scikit-learn and its version."""
        import sklearn

        return f"scikit-learn ({sklearn.__version__})"

    @property
    def n_bytes(self) -> int:
        """The tree's arrays, its own copy of the vectors among them."""
        return sum(np.asarray(array).nbytes for array in self._built().get_arrays())

    def build(self, entries: Entries) -> None:
        """Build the tree at once."""
        self._entries, self._tree = entries, None
        self._built()

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Build the tree when it is first used."""
        self._entries, self._tree = entries, None

    def _built(self) -> Any:
        with self._building:
            if self._tree is None:
                import sklearn.neighbors

                make = getattr(sklearn.neighbors, self.kind)
                metric = "manhattan" if self.metric.kernel == "absolute" else "euclidean"
                rows = self._entries.prepared(slice(0, self._entries.n))
                self._tree = make(rows, leaf_size=self.settings["leaf_size"], metric=metric)
            return self._tree

    def frozen(self) -> dict[str, Any]:
        """The tree, which is never changed, only built anew; None where it is not built yet."""
        return {"tree": self._tree}

    def thaw(self, frozen: dict[str, Any], entries: Entries) -> None:
        """Take the tree over these entries."""
        self._entries, self._tree = entries, frozen["tree"]

    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """A few more entries than k."""
        tree, wanted = self._built(), min(self._entries.n, k + OVERFETCH)
        parts = np.array_split(queries, max(1, min(self.threads, len(queries) // 64)))
        with ThreadPoolExecutor(self.threads) as pool:
            found = pool.map(lambda part: tree.query(part, k=wanted, return_distance=False), parts)
            return np.concatenate(list(found)).astype(np.int64)


class KDTreeEngine(TreeEngine):
    """A tree of boxes."""

    kind = "KDTree"


class BallTreeEngine(TreeEngine):
    """A tree of balls."""

    kind = "BallTree"


class KDTree(Index):
    """A binary tree of boxes, for up to about 15 dimensions.

    Parameters
    ----------
    metric : str or Metric
        euclidean, sqeuclidean, cosine or manhattan.
    leaf_size : int
        Rows in a leaf; it changes the speed, not the answer.
    threads : int or None
        None for the number of cores.

    References
    ----------
    Bentley 1975

    Examples
    --------
    >>> KDTree("euclidean").fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "kdtree"
    about = "tree of boxes: exact but for ties, for few dimensions"
    metrics = METRICS
    parameters = (LEAF_SIZE,)
    recall = 0.999  # ties at the last place may be others

    def __init__(self, metric: MetricLike = "euclidean", leaf_size: int = 40, threads: int | None = None) -> None:
        super().__init__(metric, threads, leaf_size=leaf_size)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, KDTreeEngine(self.metric, self._settings, self.threads))


class BallTree(Index):
    """A binary tree of balls, for up to about 20 dimensions, or more where the data lie in fewer.

    Parameters
    ----------
    metric : str or Metric
        euclidean, sqeuclidean, cosine or manhattan.
    leaf_size : int
        Rows in a leaf; it changes the speed, not the answer.
    threads : int or None
        None for the number of cores.

    References
    ----------
    Omohundro 1989

    Examples
    --------
    >>> BallTree("manhattan").fit([[0.0], [1.0], [3.0]]).search([[0.9]], k=2).indices
    array([[1, 0]])
    """

    name = "balltree"
    about = "tree of balls: exact but for ties, for few dimensions"
    metrics = METRICS
    parameters = (LEAF_SIZE,)
    recall = 0.999  # ties at the last place may be others

    def __init__(self, metric: MetricLike = "euclidean", leaf_size: int = 40, threads: int | None = None) -> None:
        super().__init__(metric, threads, leaf_size=leaf_size)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, BallTreeEngine(self.metric, self._settings, self.threads))
