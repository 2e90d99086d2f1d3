"""The true distances of named pairs of a query and a row, in float64, from differences of the values."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from vicinal.knn.blocks import blocks
from vicinal.knn.kernels.native import pairs
from vicinal.knn.metrics import Metric, lane_sum

BLOCK_BYTES = 1 << 26
MEASURE_BYTES = 1 << 21  # float64 scratch of one thread while measuring: it stays in the cache


class Vectors(Protocol):
    """Rows of vectors: an array, or an object that decodes rows when they are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, dim)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...


def measured(
    metric: Metric,
    vectors: np.ndarray | Vectors,
    queries: np.ndarray,
    rows: np.ndarray,
    threads: int,
    inverse_norms: np.ndarray | None = None,
) -> np.ndarray:
    """The distance of each named row from its query.

    Parameters
    ----------
    vectors, queries : (n, dim), (n_queries, dim)
        Checked rows.
    rows : ndarray of int64, shape (n_queries, m)
        -1 gives inf.
    inverse_norms : ndarray of float64, shape (n,), or None
        `inverse_lengths(vectors)`; needed under cosine where the native kernel is used.

    Returns
    -------
    ndarray
        float64 (n_queries, m), the same to the bit with and without the native kernel.
    """
    ranks = None
    if isinstance(vectors, np.ndarray):
        ranks = pairs(vectors, queries, rows, metric, threads, inverse_norms)
    if ranks is None:
        ranks = ranks_in_numpy(metric, vectors, queries, rows, threads)
    return metric.finish(ranks)


def ranks_in_numpy(
    metric: Metric, vectors: np.ndarray | Vectors, queries: np.ndarray, rows: np.ndarray, threads: int
) -> np.ndarray:
    """The float64 rank of each named row for its query; inf where the row is -1."""
    ranks = np.full(rows.shape, np.inf)

    def part(block: slice) -> None:
        named = rows[block]
        there = named >= 0
        query = np.repeat(np.arange(len(named)), there.sum(axis=1))
        prepared = metric.prepare(queries[block])
        ranks[block][there] = metric.measure(prepared[query], metric.prepare(vectors[named[there]]))

    with ThreadPoolExecutor(threads) as pool:
        step = MEASURE_BYTES // (max(1, rows.shape[1]) * queries.shape[1] * 8)
        list(pool.map(part, blocks(len(rows), step)))
    return ranks


def inverse_lengths(vectors: np.ndarray | Vectors, known: np.ndarray | None = None) -> np.ndarray:
    """1 / Euclidean length of every row, float64 (n,); not finite where a row is invalid.

    known : the values of the first rows, where they were computed before
    """
    n, first = len(vectors), 0 if known is None else len(known)
    found = np.zeros(n)
    if known is not None:
        found[:first] = known
    for block in blocks(n, BLOCK_BYTES // (vectors.shape[1] * 8), first):
        rows = np.asarray(vectors[block], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            found[block] = 1.0 / np.sqrt(lane_sum(rows * rows))
    return found
