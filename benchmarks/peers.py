"""The contestants. Each takes stored vectors and answers with the row numbers of each query's nearest, best first.

A peer is a row of the tuple: its name, which metrics it has, how many query rows it is asked where all would take too
long (its time is then extrapolated linearly, and said to be), and `fit`, which returns the function that asks.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import numpy as np
from benchmarks import faiss_settings
from benchmarks.sets import Absent

Ask = Callable[[np.ndarray, int], np.ndarray]
DENSE = ("euclidean", "cosine", "manhattan")


@dataclass(frozen=True)
class Peer:
    """One contestant; `rows` None: always asked in full."""

    name: str
    package: str
    metrics: tuple[str, ...]
    rows: int | None
    fit: Callable[[np.ndarray, str, int], Ask]

    def missing(self, metric: str) -> str:
        """Why it cannot take part; empty where it can."""
        try:
            import_module(_MODULES[self.package])
        except ImportError as error:
            return f"cannot be imported: {error}"
        return "" if metric in self.metrics else f"it has no {metric}"


_MODULES = {"faiss-cpu": "faiss", "scikit-learn": "sklearn", "usearch": "usearch", "numkong": "numkong"}


def versions() -> dict[str, str]:
    """The version of each package, or the word absent."""
    found = {}
    for package in ("vicinal", "numpy", *_MODULES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    import vicinal

    return found | {"vicinal": vicinal.__version__}


def unit(vectors: np.ndarray) -> np.ndarray:
    """The rows at length 1, in float32."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))[:, None]
    return (vectors / lengths).astype(np.float32)


def faiss_metric(metric: str) -> int:
    """The number that faiss knows a metric by; cosine is the inner product of rows at length 1."""
    import faiss

    return {"euclidean": faiss.METRIC_L2, "cosine": faiss.METRIC_INNER_PRODUCT, "manhattan": faiss.METRIC_L1}[metric]


def faiss_knn(vectors: np.ndarray, metric: str, threads: int) -> Ask:
    """`faiss.knn`."""
    import faiss

    faiss.omp_set_num_threads(threads)
    ready = unit if metric == "cosine" else np.ascontiguousarray
    stored = ready(vectors)

    def ask(queries: np.ndarray, k: int) -> np.ndarray:
        asked = stored if queries is vectors else ready(queries)
        return faiss.knn(asked, stored, k, metric=faiss_metric(metric))[1]

    return ask


def faiss_flat(vectors: np.ndarray, metric: str, threads: int) -> Ask:
    """FAISS IndexFlat."""
    import faiss

    faiss.omp_set_num_threads(threads)
    ready = unit if metric == "cosine" else np.ascontiguousarray
    index = faiss.IndexFlat(vectors.shape[1], faiss_metric(metric))
    index.add(ready(vectors))
    return lambda queries, k: index.search(ready(queries), k)[1]


def sklearn_brute(vectors: np.ndarray, metric: str, threads: int) -> Ask:
    """scikit-learn NearestNeighbors, algorithm="brute"."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    model = NearestNeighbors(algorithm="brute", metric=metric, n_jobs=threads).fit(vectors)

    def ask(queries: np.ndarray, k: int) -> np.ndarray:
        with threadpool_limits(threads):
            return model.kneighbors(queries, k, return_distance=False)

    return ask


def row_at_a_time(vectors: np.ndarray, metric: str, threads: int) -> Ask:
    """One scikit-learn query a row, as the data-scoring tools do."""
    whole = sklearn_brute(vectors, metric, threads)
    return lambda queries, k: np.concatenate([whole(row[None], k) for row in queries])


def usearch_exact(vectors: np.ndarray, metric: str, threads: int) -> Ask:
    """usearch.index.search, exact=True."""
    from usearch.index import MetricKind, search

    kind = {"euclidean": MetricKind.L2sq, "cosine": MetricKind.Cos}[metric]

    def ask(queries: np.ndarray, k: int) -> np.ndarray:
        keys = search(vectors, queries, k, kind, exact=True, threads=threads).keys
        return np.asarray(keys).reshape(len(queries), k).astype(np.int64)

    return ask


def numkong_packed(vectors: np.ndarray, metric: str, threads: int) -> Ask:
    """NumKong's packed all-pairs distances; numpy's partition chooses the k, as NumKong has no top-k."""
    import numkong

    packed = numkong.dots_pack(vectors)
    distances = {"euclidean": numkong.euclideans_packed, "cosine": numkong.angulars_packed}[metric]

    def one(block: np.ndarray, k: int) -> np.ndarray:
        far = np.asarray(distances(block, packed))
        nearest = np.argpartition(far, k - 1, axis=1)[:, :k]
        return np.take_along_axis(nearest, np.argsort(np.take_along_axis(far, nearest, 1), 1, kind="stable"), 1)

    def ask(queries: np.ndarray, k: int) -> np.ndarray:
        blocks = [queries[start : start + 64] for start in range(0, len(queries), 64)]
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(lambda block: one(block, k), blocks)))

    return ask


FAISS_KNN = Peer("faiss.knn", "faiss-cpu", DENSE, None, faiss_knn)
FAISS_FLAT = Peer("FAISS IndexFlat", "faiss-cpu", DENSE, 2_000, faiss_flat)


def tune_faiss(vectors: np.ndarray, queries: np.ndarray, metric: str, threads: int, k: int) -> dict[str, Any]:
    """Leave faiss at its best settings for this work; see `faiss_settings.best`."""
    if FAISS_KNN.missing(metric):
        return {}
    stored = vectors[: faiss_settings.STORED]
    return faiss_settings.best(faiss_knn(stored, metric, threads), queries, k, blas=metric != "manhattan")


OTHERS = (
    Peer("scikit-learn brute", "scikit-learn", DENSE, 1_000, sklearn_brute),
    Peer("usearch exact", "usearch", DENSE[:2], 1_000, usearch_exact),
    Peer("NumKong + numpy top-k", "numkong", DENSE[:2], 1_000, numkong_packed),
    Peer("a row at a time", "scikit-learn", DENSE, 100, row_at_a_time),
)


def native(vectors: np.ndarray, metric: str, threads: int, isa: str = "") -> "Native":  # type: ignore[name-defined] # noqa: F821
    """Our native kernel over the vectors.

    Raises    Absent where it was not built.
    """
    from vicinal.knn.kernels.native import MISSING, Native
    from vicinal.knn.metrics import find

    if MISSING:
        raise Absent(f"the native kernel: {MISSING}")
    return Native(vectors, find(metric), threads, isa)


def roof(isa: str) -> float:
    """Int8 multiply-adds a second that one core does with this instruction set, measured."""
    from vicinal.knn.kernels import native as module

    return float(module._native.int8_roof(isa)) * 1e9


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
