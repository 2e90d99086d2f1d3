"""Which index: by name, or chosen from the size, the dimension, the metric and the memory.

"auto" chooses by these rules, the first that fits:

    1. bits (hamming, jaccard), manhattan, mahalanobis    exact: nothing else of ours serves them better
    2. dim at most TREE_DIM, over TREE_ROWS, euclidean    kdtree: exact but for ties, and n hardly matters
    3. n * dim at most EXACT_AT_MOST                      exact: a query takes milliseconds, and nothing is missed
    4. vectors and graph fit half of the memory           hnsw
    5. else                                               ivfpq
"""

from typing import Any

from vicinal.errors import NotFitted, UsageError, unknown
from vicinal.indexes import BY_NAME
from vicinal.indexes.contract import Index
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric, find
from vicinal.knn.vectors import as_vectors

EXACT_AT_MOST = 400_000_000  # coordinates: one query reads a byte of each, 10 to 40 ms on a common processor
TREE_DIM, TREE_ROWS = 8, 100_000
TREE_METRICS = ("euclidean", "sqeuclidean")
HNSW_LINKS_BYTES = 280  # of M = 32, a vector


def index(type: str = "auto", metric: str | Metric = "euclidean", threads: int | None = None, **parameters: Any) -> Any:
    """An index by name, or one that is chosen once its vectors are known.

    type       : "auto", or a name from `INDEXES`: exact, kdtree, balltree, hnsw, ivf, ivfpq, pq, binary, annoy
    parameters : of that index
    Returns      the index, to `fit`; of "auto", one whose `fit` gives the index that it chose, and `reason` why
    Raises       UsageError where the name or a parameter is unknown

    >>> index("auto").fit([[0.0], [1.0], [3.0]])
    Exact('euclidean', n=3, dim=1)
    >>> index("hnsw", "cosine", M=16).settings["M"]
    16
    """
    if type == "auto":
        if parameters:
            raise UsageError(f"auto chooses the parameters itself; name an index to give {', '.join(parameters)}")
        return Auto(metric, threads)
    if type not in BY_NAME:
        raise UsageError(unknown("index", type, ["auto", *BY_NAME]))
    kind: Any = BY_NAME[type]
    known = [one.name for one in kind.parameters]
    for name in parameters:
        if name not in known:
            what = unknown("parameter", name, known) if known else f"it has no parameters, got {name!r}"
            raise UsageError(f"{kind.__name__}: {what}")
    return kind(metric=metric, threads=threads, **parameters)


def choose(n: int, dim: int, metric: str | Metric = "euclidean", memory: int | None = None) -> tuple[str, str]:
    """The name of the index that "auto" takes, and why.

    memory : bytes that may be used; None for what the machine has free

    >>> choose(5_000, 384, "cosine")
    ('exact', '5,000 x 384 is at most 400,000,000 coordinates: exact is quick enough')
    >>> choose(10_000_000, 384, "cosine", memory=1 << 40)[0]
    'hnsw'
    """
    name = find(metric).name
    if name not in BY_NAME["hnsw"].serves:
        return "exact", f"{name} is served best by the exact kernel"
    if dim <= TREE_DIM and n > TREE_ROWS and name in TREE_METRICS:
        return "kdtree", f"{dim} dimensions are few: a tree is exact but for ties, and quicker than {n:,} comparisons"
    if n * dim <= EXACT_AT_MOST:
        return "exact", f"{n:,} x {dim} is at most {EXACT_AT_MOST:,} coordinates: exact is quick enough"
    memory = free_memory() if memory is None else memory
    needed = n * (4 * dim + HNSW_LINKS_BYTES)
    sizes = f"{needed / 2**30:,.1f} GiB of {memory / 2**30:,.1f} GiB"
    if 2 * needed <= memory:
        return "hnsw", f"{n:,} x {dim} is much for exact, and the graph takes {sizes}"
    return "ivfpq", f"a graph of {n:,} x {dim} would take {sizes}: codes take less"


def free_memory() -> int:
    """The bytes of memory that the machine has free, as far as it says; 8 GiB where it does not."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 8 << 30


class Auto:
    """An index that is chosen by its first `fit`, and is that index from then on.

    reason : what was chosen, and why, once it is
    """

    def __init__(self, metric: str | Metric = "euclidean", threads: int | None = None) -> None:
        self.metric, self.threads = find(metric), threads
        self.reason = ""
        self._chosen: Index | None = None

    def fit(self, vectors: object, *arguments: Any, **others: Any) -> Index:
        """The chosen index, fitted; arguments as for every index."""
        array = as_vectors(vectors)
        name, why = choose(len(array), array.shape[1], self.metric)
        chosen: Any = BY_NAME[name]
        self._chosen = chosen(metric=self.metric, threads=self.threads)
        self.reason = self._chosen.reason = f"{name}: {why}"
        return self._chosen.fit(array, *arguments, **others)

    def __getattr__(self, name: str) -> Any:
        chosen = self.__dict__.get("_chosen")
        if chosen is None:
            if hasattr(Exact, name):
                raise NotFitted("this index holds no vectors yet; call fit(vectors) first")
            raise AttributeError(name)
        return getattr(chosen, name)

    def __len__(self) -> int:
        return 0 if self._chosen is None else len(self._chosen)

    def __repr__(self) -> str:
        return f"Auto({self.metric.name!r})" if self._chosen is None else repr(self._chosen)
