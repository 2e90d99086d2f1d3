"""How good an approximate index is, and what it costs: recall, error, speed and size, at one setting or along a curve.

The truth is that of the exact kernel. Where queries are rows of the index, each is left out of its own result.
"""

import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.exact import Exact
from vicinal.indexes.index import Index
from vicinal.knn.arguments import check_k
from vicinal.knn.measure import ranks_in_numpy
from vicinal.knn.vectors import as_queries

REPEATS = 3
SWEEPS = {
    "ef_search": (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768),
    "n_probe": (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256),
    "search_k": (100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600),
}


@dataclass(frozen=True)
class Evaluation:
    """The recall, error, speed and size of one index at one setting.

    Attributes
    ----------
    type, metric : str
        The names of the index and of the metric.
    settings : dict
        The values of the parameters of the index.
    n, dim : int
        The size of the index.
    k, n_queries, threads : int
        How the queries were answered.
    recall : float
        The share of the true k nearest that were found, 0 to 1; a row as near as the k-th counts as found.
    distance_error : float
        By how much the k found are farther than the k nearest: the mean, as a share of the true distances.
    queries_per_second : float
        Of all queries in one batch, the best of three.
    engine_bytes, vector_bytes : float
        The bytes that a vector takes in the engine, and those of the vector itself.
    """

    type: str
    metric: str
    settings: dict[str, Any]
    n: int
    dim: int
    k: int
    n_queries: int
    threads: int
    recall: float
    distance_error: float
    queries_per_second: float
    engine_bytes: float
    vector_bytes: float

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True)
class Questions:
    """Queries and their true distances.

    rows    : int64 (n_queries,), which rows of the index they are; None where they are others
    true    : float32 (n_queries, k), the distances of the k nearest
    vectors : (n_rows, dim), from which distances of an index of codes alone are measured
    """

    queries: np.ndarray
    rows: np.ndarray | None
    true: np.ndarray
    vectors: np.ndarray

    @property
    def k(self) -> int:
        """How many neighbours are known."""
        result: int = self.true.shape[1]
        return result


def questions(index: Index, k: int, queries: object = None, n_queries: int = 1_000, seed: int = 0) -> Questions:
    """Queries for an index, and the truth: given ones, or rows of the index chosen at random.

    The result can be used for other indexes over the same rows, such as one of codes alone.

    Raises   UsageError where k is not above 0; DataError where the index has no vectors, or too few rows
    """
    k = check_k(k)
    vectors = index.vectors
    if not isinstance(vectors, np.ndarray):
        raise DataError(
            "the index holds codes alone; compute the queries with an index of the same rows that holds vectors"
        )
    live = index.rows()
    if len(live) <= k:
        raise DataError(f"found {len(live)} rows, expected more than k = {k}; lower k")
    truth = Exact(index.metric, index.threads).fit(vectors if len(live) == index.n_rows else vectors[live])
    if queries is not None:
        array = as_queries(queries, index.metric, index.dim)
        return Questions(array, None, truth.search(array, k).distances, vectors)
    rows = np.sort(np.random.default_rng(seed).choice(live, min(n_queries, len(live)), replace=False))
    asked = np.asarray(vectors[rows])
    found = truth.search(asked, k + 1)
    own = live[found.indices] == rows[:, None]
    return Questions(asked, rows, _others(found.distances, own, k), vectors)


def _others(values: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Each row of values without its own entry; where that is not there, without the last."""
    own = own.copy()
    own[~own.any(axis=1), -1] = True
    result: np.ndarray = values[~own].reshape(len(values), -1)[:, :k]
    return result


def evaluate(index: Index, asked: Questions) -> Evaluation:
    """Recall, error, speed and size of an index at its present setting."""
    k = asked.k
    wanted = k if asked.rows is None else k + 1
    best = np.inf
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = index.search(asked.queries, wanted)
        best = min(best, time.perf_counter() - start)
    distances = found.distances
    if not isinstance(index.vectors, np.ndarray):  # codes alone give distances of decoded vectors
        ranks = ranks_in_numpy(index.metric, asked.vectors, asked.queries, found.indices, index.threads)
        distances = index.metric.finish(ranks).astype(np.float32)
    if asked.rows is not None:
        distances = _others(distances, found.indices == asked.rows[:, None], k)
    true = asked.true.astype(np.float64)
    near = true[:, -1:] + np.abs(true[:, -1:]) * 1e-6
    impossible = _below(distances, true, index)
    there = np.isfinite(distances)
    size = np.abs(true[there]).sum()
    vectors = index.vectors
    return Evaluation(
        type=index.name,
        metric=index.metric.name,
        settings=index.settings,
        n=len(index),
        dim=index.dim,
        k=k,
        n_queries=len(true),
        threads=index.threads,
        recall=float(((distances <= near) & ~impossible).mean()),
        distance_error=float((distances[there] - true[there]).sum() / size) if size else 0.0,
        queries_per_second=len(true) / best,
        engine_bytes=index.engine_bytes / max(1, len(index)),
        vector_bytes=vectors.nbytes / index.n_rows if isinstance(vectors, np.ndarray) else 0.0,
    )


def _below(distances: np.ndarray, true: np.ndarray, index: Index) -> np.ndarray:
    """Which distances are below the true ones of their rank; warns of them, as the truth is then that of other rows.

    An index of float16 or of codes may hold vectors that are rounded from those of the truth.
    """
    vectors = index.vectors
    rounded = not isinstance(vectors, np.ndarray) or (vectors.dtype.kind == "f" and vectors.dtype.itemsize < 4)
    slack = np.abs(true).max(axis=1, keepdims=True, initial=0) * (1e-2 if rounded else 1e-5)
    order = np.argsort(distances, axis=1, kind="stable")
    impossible = np.empty(distances.shape, dtype=bool)
    np.put_along_axis(impossible, order, np.take_along_axis(distances, order, axis=1) < true - slack, axis=1)
    if impossible.any():
        queries = int(impossible.any(axis=1).sum())
        warnings.warn(
            f"{queries} of {len(true)} queries found a row nearer than the true nearest, which does not count as found:"
            " are the true distances of these rows, in this metric?",
            stacklevel=3,
        )
    return impossible


def sweep(index: Index, asked: Questions) -> Iterator[Evaluation]:
    """An index at every value of its search parameter, which is put back at the end; once where it has none.

    Raises   UsageError where it has several and none of them is known
    """
    names = [one.name for one in index.parameters if one.searching and one.name in SWEEPS and _serves(index, one.name)]
    if not names:
        yield evaluate(index, asked)
        return
    if len(names) > 1:
        raise UsageError(f"{index.name}: has the search parameters {', '.join(names)}; one is expected")
    before = index.settings[names[0]]
    try:
        for value in SWEEPS[names[0]]:
            if names[0] != "n_probe" or value <= max(SWEEPS["n_probe"][0], index.n_rows):
                yield evaluate(index.set(**{names[0]: value}), asked)
    finally:
        index.set(**{names[0]: before})


def _serves(index: Index, name: str) -> bool:
    """Whether a parameter has an effect on this index: one of packed bits has those of several structures."""
    structure = index.settings.get("structure")
    return structure is None or (structure, name) in (("graph", "ef_search"), ("lists", "n_probe"))
