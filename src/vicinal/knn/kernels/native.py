"""The C++ kernel: int8 scores with proven bounds; the remaining pairs are measured in float64. `cpp/` has the method.

It reads vectors in place, memory-mapped or not, and keeps about one byte a coordinate beside them. Where it was not
built, because there was no compiler, `covers` says so and the next kernel is used.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from vicinal.errors import UsageError, kept_in, unknown
from vicinal.knn.checkpoint import Checkpoint
from vicinal.knn.metrics import Metric
from vicinal.locks import Mutex
from vicinal.storage.scratch import scratch
from vicinal.typing import Progress

_native: Any = None
MISSING = ""
try:
    _native = import_module("vicinal.knn.kernels._native")
except ModuleNotFoundError:
    MISSING = "it was not built here"
except ImportError as error:
    MISSING = f"it cannot be loaded: {error}"

DTYPES = ("float16", "float32", "float64", "int8", "uint8")
METRICS = ("euclidean", "sqeuclidean", "cosine", "inner_product", "manhattan", "hamming", "jaccard")


ResultType = TypeVar("ResultType")
Found = tuple[np.ndarray, np.ndarray]  # indices and distances
NO_ROW = 2**32 - 1


class Native:
    """Exact neighbours by the C++ kernel."""

    name = "native"
    resumable = True

    def __init__(self, vectors: np.ndarray, metric: Metric, threads: int, isa: str = "") -> None:
        isa = chosen_isa(isa)
        self._index = _native.Index(_readable(vectors), _native_name(metric), threads, isa)
        self._n, self._turn = len(vectors), Mutex()
        self.version = isa or isas()[0]

    @staticmethod
    def covers(metric: Metric, dtype: np.dtype) -> str:
        """Empty where the extension is built and has the metric and dtype."""
        if _native is None:
            return MISSING
        if _native_name(metric) not in METRICS:
            return f"it has no {metric.name}"
        return "" if dtype.name in DTYPES else f"it reads {', '.join(DTYPES)}"

    @classmethod
    def shares(cls, metric: Metric, dtype: np.dtype) -> bool:
        """Whether it covers them, and this build has `share`."""
        return not cls.covers(metric, dtype) and hasattr(_native.Index, "share_self_join")

    def self_join(
        self,
        k: int,
        groups: np.ndarray | None = None,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
        every: float = 60.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each stored row's k nearest others, of other groups where groups are given.

        checkpoint : where finished work is saved every `every` seconds, and resumed from
        """
        rows = _Rows(progress, self._n)
        if checkpoint is None:
            alone: Found = self._alone(self._index.self_join, k, groups, rows)
            return rows.end(alone)
        resume = checkpoint.load()
        again = f"{checkpoint.folder}: damaged, or written by another version; remove the folder to start again"
        if resume is not None and not _is_state(resume, self._n, k):
            raise UsageError(again)
        with kept_in(checkpoint.folder):
            try:
                found: Found = self._alone(
                    self._index.self_join,
                    k,
                    groups,
                    rows,
                    checkpoint=checkpoint.save,
                    every=every,
                    resume=resume,
                )
            except ValueError as error:
                if resume is None or not str(error).startswith("the checkpoint"):
                    raise
                raise UsageError(again) from None
        checkpoint.remove()
        return rows.end(found)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each query's k nearest stored rows, of other groups where groups are given."""
        rows = _Rows(progress, len(queries))
        found: Found = self._alone(self._index.search, _readable(queries), k, groups, query_groups, rows)
        return rows.end(found)

    def within(
        self,
        radius: float,
        queries: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All stored rows at a distance of at most `radius`: of each query, or of each stored row without itself."""
        readable = None if queries is None else _readable(queries)
        rows = _Rows(progress, self._n if queries is None else len(queries))
        found: tuple[np.ndarray, np.ndarray, np.ndarray] = self._alone(
            self._index.within, radius, readable, groups, query_groups, rows
        )
        return rows.end(found)

    @property
    def joins_blocks(self) -> bool:
        """Whether this build has `self_lists` and `cross_lists`."""
        return hasattr(self._index, "cross_join")

    def self_lists(self, k: int, groups: np.ndarray | None = None, progress: Progress | None = None) -> Found:
        """The k nearest others of each stored row in float64, in no order: rows uint32 and distances (n, k).

        A place without a neighbour has row NO_ROW and distance inf.
        """
        raw = self._alone(self._index.self_join, k, groups, _Rows(progress, self._n), raw=True)
        return raw[1].view(np.uint32), raw[0].view(np.float64)

    @property
    def shares_joins(self) -> bool:
        """Whether this build has `share`."""
        return hasattr(self._index, "share_self_join")

    def share(
        self, k: int, share: tuple[int, bool, int, int, int], limits: np.ndarray | None, groups: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """What a share of a self-join adds, within the limits, to the k nearest of the shares that were made here.

        How many entries each row's list gets, their rows uint32 and distances float64, list by list; last, what
        identifies the tasks.

        share  : number of ranges, whether of the further tasks, first, last and number of parts; see Share in `cpp/`
        limits : float64, of each row the distance beyond which it needs no neighbour; None for none
        """
        found: tuple[np.ndarray, np.ndarray, np.ndarray, int]
        found = self._alone(self._index.share_self_join, k, limits, *share, groups, None)
        return found

    def prepare_shares(self, k: int, groups: np.ndarray | None) -> None:
        """Do the work that the further shares have in common."""
        self._alone(self._index.prepare_shares, k, groups)

    def cross_lists(
        self,
        queries: np.ndarray,
        limits: np.ndarray,
        stored: Found,
        stored_limits: np.ndarray,
        first: int = 0,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Found:
        """The k nearest stored rows of each query, as `self_lists`; each stored row's list takes up its queries.

        limits, stored_limits : float64, of each row the distance beyond which it needs no neighbour
        stored                : rows uint32 and distances float64 (n, k), changed in place; their order is the kernel's
        first                 : the number of the first query, in the lists of the stored rows
        """
        rows, distances = stored
        raw = self._alone(
            self._index.cross_join,
            _readable(queries),
            np.ascontiguousarray(limits),
            np.ascontiguousarray(stored_limits),
            distances.view(np.int64),
            rows.view(np.float32),
            first,
            groups,
            query_groups,
            _Rows(progress, len(queries)),
        )
        return raw[1].view(np.uint32), raw[0].view(np.float64)

    def _alone(self, call: Callable[..., Any], *arguments: Any, **others: Any) -> Any:
        """The result of a call; calls from several Python threads take turns, since they share the index's threads."""
        with self._turn:
            return call(*arguments, **others)

    def stats(self) -> dict[str, Any]:
        """What the last call did: pairs decided, candidates measured, seconds of each phase."""
        stats: dict[str, Any] = self._index.stats()
        return stats


def isas() -> tuple[str, ...]:
    """The instruction sets that this machine and build can use, best first; VICINAL_ISA forces one."""
    return () if _native is None else _native.isas()


def chosen_isa(isa: str = "") -> str:
    """The instruction set that is forced, by the caller or by VICINAL_ISA; empty for the best.

    Raises    UsageError where this machine or build has no such one
    """
    isa = isa or os.environ.get("VICINAL_ISA", "")
    if isa and isa not in isas():
        raise UsageError(f"VICINAL_ISA: {unknown('instruction set', isa, isas())}; leave it unset for the best")
    return isa


def pairs(
    vectors: np.ndarray,
    queries: np.ndarray,
    rows: np.ndarray,
    metric: Metric,
    threads: int,
    inverse_norms: np.ndarray | None,
) -> np.ndarray | None:
    """The float64 rank of each row named for each query; None where the extension is not built or reads no such type.

    rows          : int64 (n_queries, m), -1 for none, which ranks at infinity
    inverse_norms : 1 / length of every row, for a metric of directions
    """
    if Native.covers(metric, vectors.dtype) or not hasattr(_native, "pairs"):  # an extension built before this source
        return None
    readable, named = _readable(queries), np.ascontiguousarray(rows, dtype=np.int64)
    isa = chosen_isa()
    ranks: np.ndarray = _native.pairs(
        _readable(vectors), inverse_norms, _native_name(metric), readable, named, threads, isa
    )
    return ranks


def entries_within(found: Found, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """How many entries of each of the `self_lists` are within its limit, and their rows and distances, list by list.

    None where the extension is not built or is older than this source.
    """
    if not hasattr(_native, "entries_within"):
        return None
    rows, distances = found
    within: tuple[np.ndarray, np.ndarray, np.ndarray] = _native.entries_within(
        distances.view(np.int64), rows.view(np.float32), np.ascontiguousarray(limits)
    )
    return within


def merge_entries(
    lists: Found, named: np.ndarray, counts: np.ndarray, rows: np.ndarray, distances: np.ndarray, first: int
) -> bool:
    """Take up entries in lists sorted by (distance, row), in place; False where the extension cannot.

    lists           : rows uint32 or uint64, their highest number for none, and distances float64, both (n, k)
    named, counts   : int64, the lists that entries are for, and how many each
    rows, distances : uint32 and float64, the entries; rows are numbered from `first` on
    """
    if not hasattr(_native, "merge_entries"):
        return False
    _native.merge_entries(lists[1], lists[0], named, counts, rows, distances, first)
    return True


def has_graphs() -> bool:
    """Whether the extension is there and builds approximate graphs."""
    return hasattr(_native, "Graph")


def native_graph(
    vectors: np.ndarray,
    metric: Metric,
    threads: int,
    groups: np.ndarray | None,
    width: int,
    seed: int,
    progress: Progress | None = None,
    on_disk: bool = False,
) -> Any:
    """An empty approximate graph of the extension: `partition`, `refine`, `release`, `neighbours`, `pairs`, `changed`.

    width   : entries of a row's list
    on_disk : whether the codes lie in a file, which is gone when the graph is
    """
    isa, rows = chosen_isa(), _readable(vectors)
    kept = {"codes": scratch(_native.Graph.code_bytes(rows))} if on_disk else {}
    return _native.Graph(rows, _native_name(metric), threads, isa, groups, width, seed, progress, **kept)


@dataclass(frozen=True)
class GraphParts:
    """The numbers that a navigable graph consists of beside its arrays: how vectors become codes."""

    dim: int
    products: bool
    max_code: int
    factor: float


def native_graph_search(graph: Any, degree: int, width: int) -> Any:
    """A navigable graph of `degree` links for each row, of the lists of an approximate graph of the extension.

    Where the codes of these lists tell rows little apart, of searches of this width.
    """
    return _native.GraphSearch(graph, degree, width)


def native_product_search(vectors: np.ndarray, degree: int, width: int, threads: int) -> Any:
    """A navigable graph of inner products, `degree` links for each row, made by searches of this width."""
    return _native.GraphSearch(_readable(vectors), degree, width, threads, chosen_isa())


def loaded_graph_search(parts: GraphParts, arrays: dict[str, np.ndarray], threads: int) -> Any:
    """The navigable graph that these arrays are a copy of.

    Raises    ValueError or TypeError where they do not fit together
    """
    isa = chosen_isa()
    return _native.GraphSearch(**vars(parts), **arrays, threads=threads, isa=isa)


class _Rows:
    """Progress in rows, for a kernel that counts tasks; a call that finishes at once reports its end too."""

    def __init__(self, progress: Progress | None, n: int) -> None:
        self._progress, self._n = progress, n

    def __call__(self, done: int, total: int) -> None:
        if self._progress is not None and total > 0:
            self._progress(done * self._n // total, self._n)

    def end(self, found: ResultType) -> ResultType:
        """Report the end, and return the result of the call."""
        self(1, 1)
        return found


def _is_state(state: dict[str, Any], n: int, k: int) -> bool:
    """Whether a checkpoint's values have the types and shapes of a self-join of n rows, and name rows that exist."""
    if not all(_is_number(state.get(name)) for name in ("finished", "layout")):
        return False
    indices, distances = state["indices"], state["distances"]
    if indices.shape != (n, k) or distances.shape != (n, k):
        return False
    if indices.dtype != np.int64 or distances.dtype != np.float32:
        return False
    rows = distances.view(np.int32)  # until the pass ends, the row numbers lie here, and the sums in the other array
    return bool(rows.min(initial=0) >= -1 and rows.max(initial=0) < n)


def _is_number(value: object) -> bool:
    """Whether a checkpoint's value is a whole number of 64 bits."""
    return isinstance(value, int) and 0 <= value < 1 << 64


def _native_name(metric: Metric) -> str:
    return "euclidean" if metric.whiten is not None else metric.name


def _readable(array: np.ndarray) -> np.ndarray:
    """An array that the extension can read: other whole numbers become float64; a field of records is copied."""
    array = array if array.dtype.name in DTYPES else array.astype(np.float64)
    return array if all(stride % array.itemsize == 0 for stride in array.strides) else np.ascontiguousarray(array)
