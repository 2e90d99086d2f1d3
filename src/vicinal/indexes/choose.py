"""Which index: by name, or chosen from the size, the dimension, the metric and the memory.

"auto" chooses by these rules, the first that fits:

    1. bits (hamming, jaccard), manhattan, mahalanobis    exact: the fastest index for them
    2. dim at most TREE_DIM, over TREE_ROWS, euclidean    kdtree: exact but for ties, and n hardly matters
    3. n * dim at most EXACT_AT_MOST                      exact: a query takes milliseconds, and nothing is missed
    4. vectors and graph fit half of the memory           graph; hnsw where the native kernel is missing, or where the
                                                          graph's codes tell the rows too little apart
    5. else                                               ivfpq
"""

import warnings
from typing import Any, Literal, overload

from vicinal.errors import UsageError, unknown
from vicinal.indexes import BY_NAME, HNSW, IVF, IVFPQ, PQ, Annoy, BallTree, Binary, Exact, Graph, Index, KDTree
from vicinal.indexes.engines.graph import LowRecall
from vicinal.indexes.exact import Comparisons
from vicinal.indexes.proposals import Backend
from vicinal.knn.kernels.native import MISSING
from vicinal.knn.memory import available as memory_free
from vicinal.knn.metrics import find
from vicinal.knn.vectors import as_vectors
from vicinal.typing import ArrayLike, MetricLike

EXACT_AT_MOST = 400_000_000  # coordinates: one query reads a byte of each, 10 to 40 ms on a common processor
TREE_DIM, TREE_ROWS = 8, 100_000
TREE_METRICS = ("euclidean", "sqeuclidean")
HNSW_LINKS_BYTES = 280  # of M = 32, a vector
GRAPH_LINKS_BYTES = 140  # of graph_degree = 32, a vector


@overload
def index(type: Literal["auto"] = "auto", metric: MetricLike = "euclidean", threads: int | None = None) -> Index: ...
@overload
def index(type: Literal["exact"], metric: MetricLike = ..., threads: int | None = ...) -> Exact: ...
@overload
def index(
    type: Literal["kdtree"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any
) -> KDTree: ...
@overload
def index(
    type: Literal["balltree"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any
) -> BallTree: ...
@overload
def index(type: Literal["graph"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any) -> Graph: ...
@overload
def index(type: Literal["hnsw"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any) -> HNSW: ...
@overload
def index(type: Literal["ivf"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any) -> IVF: ...
@overload
def index(type: Literal["ivfpq"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any) -> IVFPQ: ...
@overload
def index(type: Literal["pq"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any) -> PQ: ...
@overload
def index(
    type: Literal["binary"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any
) -> Binary: ...
@overload
def index(type: Literal["annoy"], metric: MetricLike = ..., threads: int | None = ..., **parameters: Any) -> Annoy: ...
@overload
def index(type: str, metric: MetricLike = ..., threads: int | None = ..., **parameters: Any) -> Index: ...


def index(type: str = "auto", metric: MetricLike = "euclidean", threads: int | None = None, **parameters: Any) -> Index:
    """An index by name, or one that is chosen once its vectors are known.

    Parameters
    ----------
    type : str
        "auto", or a name of `INDEXES`: exact, kdtree, balltree, graph, hnsw, ivf, ivfpq, pq, binary, annoy.
    metric : str or Metric
    threads : int or None
        None for the number of cores.
    **parameters
        Of that index; "auto" chooses them itself.

    Returns
    -------
    Index
        To `fit`. With "auto", its first `fit` decides its class; `reason` then says why.

    Raises
    ------
    UsageError
        Where the name or a parameter is unknown.

    Examples
    --------
    >>> index("auto").fit([[0.0], [1.0], [3.0]])
    Exact('euclidean', n=3, dim=1)
    >>> index("hnsw", "cosine", M=16).settings["M"]
    16
    """
    if not isinstance(type, str):
        raise UsageError(f"type: expected the name of an index, got {type.__class__.__name__}; give rows as data=")
    if type == "auto":
        if parameters:
            raise UsageError(
                f"auto chooses the parameters itself; name an index by --type (in Python: type=) to give "
                f"{', '.join(parameters)}"
            )
        return AutoIndex(metric, threads)
    if type not in BY_NAME:
        raise UsageError(unknown("index", type, ["auto", *BY_NAME]))
    kind: Any = BY_NAME[type]
    known = [one.name for one in kind.parameters]
    for name in parameters:
        if name not in known:
            what = unknown("parameter", name, known) if known else f"it has no parameters, got {name!r}"
            raise UsageError(f"{kind.__name__}: {what}")
    made: Index = kind(metric=metric, threads=threads, **parameters)
    return made


def choose(n: int, dim: int, metric: MetricLike = "euclidean", memory: int | None = None) -> tuple[str, str]:
    """The name of the index that "auto" takes, and why.

    Parameters
    ----------
    n, dim : int
    metric : str or Metric
    memory : int or None
        Bytes that may be used; None for what the machine has free.

    Examples
    --------
    >>> choose(5_000, 384, "cosine")
    ('exact', '5,000 x 384 is at most 400,000,000 coordinates: exact is quick enough')
    >>> choose(10_000_000, 384, "cosine", memory=1 << 40)[0]
    'graph'
    """
    name = find(metric).name
    if name not in HNSW.metrics:
        return "exact", f"{name} is searched fastest by the exact index"
    if dim <= TREE_DIM and n > TREE_ROWS and name in TREE_METRICS:
        return "kdtree", f"{dim} dimensions are few: a tree is exact but for ties, and quicker than {n:,} comparisons"
    if n * dim <= EXACT_AT_MOST:
        return "exact", f"{n:,} x {dim} is at most {EXACT_AT_MOST:,} coordinates: exact is quick enough"
    memory = memory_free() if memory is None else memory
    taken = "hnsw" if MISSING else "graph"
    needed = n * (4 * dim + HNSW_LINKS_BYTES if MISSING else 5 * dim + GRAPH_LINKS_BYTES)
    sizes = f"{needed / 2**30:,.1f} GiB of {memory / 2**30:,.1f} GiB"
    if 2 * needed <= memory:
        return taken, f"{n:,} x {dim} is slow to search exactly, and the graph takes {sizes}"
    return "ivfpq", f"a graph of {n:,} x {dim} would take {sizes}: codes take less"


class AutoIndex(Index):
    """An index whose first `fit` chooses its type and changes its class to that of the chosen index.

    Before `fit` it holds nothing, so every search raises NotFitted.
    """

    name = "auto"
    about = "chosen from size, dimension, metric and memory"
    metrics = Exact.metrics

    def __init__(self, metric: MetricLike = "euclidean", threads: int | None = None) -> None:
        super().__init__(metric, threads)

    def _make_backend(self) -> Backend:
        return Comparisons(self._rows, self.threads)

    def fit(self, vectors: ArrayLike, *arguments: Any, **others: Any) -> Any:
        """Choose a kind for these vectors, become an index of that kind, and fit it; arguments as for `Index.fit`."""
        array = as_vectors(vectors)
        name, why = choose(len(array), array.shape[1], self.metric)
        kind: Any = BY_NAME[name]
        chosen: Index = kind(metric=self.metric, threads=self.threads)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            chosen.fit(array, *arguments, **others)
        coarse = getattr(getattr(chosen._backend, "engine", None), "coarse", False)
        for warning in said:
            if not (coarse and issubclass(warning.category, LowRecall)):  # what that one advises is done here
                warnings.warn(warning.message, warning.category, stacklevel=2)
        if coarse:
            name, kind = "hnsw", HNSW
            why += ", but its codes of one byte tell these rows little apart, so their float32 values are compared"
            # Of the rows that are there: ids and columns may have been iterators, which are read once.
            rows, chosen = chosen._rows, HNSW(metric=self.metric, threads=self.threads)
            chosen._rows = rows
            chosen._backend = chosen._make_backend()
            chosen._backend.build()
        chosen.reason = f"{name}: {why}"
        # Changing the class of this object, instead of wrapping another index, keeps the caller's reference valid and
        # makes its type, its repr and its saved folder those of the chosen index.
        with self._lock.changing:
            chosen._lock = self._lock
            self.__dict__ = chosen.__dict__
            self.__class__ = kind
        return self
