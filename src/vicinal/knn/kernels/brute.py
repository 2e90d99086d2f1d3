"""The slowest kernel, which supports every metric: NumPy in float64, every query against every stored row.

For each block of queries

    1. rank     every stored row gets a float64 rank and a bound of its error: by a matrix product for the dot kernel,
                by the metric itself, with no error, for the others
    2. keep     the rows that could be among the k, or within the radius, given the errors
    3. measure  those, from differences of the values as they were given, and sort them by (distance, row)

The other kernels fall back to it: for metrics, groups and radii that they do not support, and for the queries that they
cannot decide.

The error bound is the standard one for inner products: with unit roundoff u, a sum of d products in any order is off by
at most d u / (1 - d u) times the sum of their absolute values (Higham 2002, Accuracy and Stability, section 3.1).
"""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vicinal.knn.blocks import blocks, nothing
from vicinal.knn.copies import find_copies
from vicinal.knn.metrics import Metric
from vicinal.typing import Progress

MEASURE_BYTES = 1 << 21  # float64 scratch of one thread while measuring: it stays in the cache
RANK_BYTES = 1 << 26
U64 = 2.0**-53
TIE = 2.0**-50


def past_ties(ranks: np.ndarray) -> np.ndarray:
    """Ranks that no rank of the same distance exceeds.

    Rows are ordered by the float64 distance, and a square root gives the same one of several ranks: a relative
    difference of d becomes d / 2, which is lost where it is below 2^-53.
    """
    result: np.ndarray = ranks + np.abs(ranks) * TIE
    return result


@dataclass(frozen=True)
class Question:
    """The queries of a call, and which stored rows can be their neighbours.

    queries      : (n_queries, dim)
    groups       : int64 (n,), of the stored rows; None where there are no groups
    query_groups : int64 (n_queries,), rows of its own group are not a query's neighbours
    own          : whether the queries are the stored rows themselves, each of which is left out of its own result
    progress     : called with (queries done, queries in all)
    """

    queries: np.ndarray
    groups: np.ndarray | None
    query_groups: np.ndarray | None
    own: bool
    progress: Progress | None


class Brute:
    """Exact neighbours by ranking every pair in float64."""

    name = "brute"
    resumable = False

    def __init__(self, vectors: np.ndarray, metric: Metric, threads: int) -> None:
        self.version = f"numpy {np.__version__}"
        self.vectors, self.metric, self.threads = vectors, metric, threads
        self.copies = find_copies(vectors)
        self.rows = self.copies.first
        self.centre, self.scale = self._centre_and_scale()

    @staticmethod
    def covers(metric: Metric, dtype: np.dtype) -> str:
        """Empty: it supports every metric on every dtype."""
        return ""

    def self_join(
        self, k: int, groups: np.ndarray | None = None, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each stored row's k nearest others, of other groups where groups are given."""
        return self._nearest(Question(self.vectors, groups, groups, True, progress), k)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each query's k nearest stored rows, of other groups where groups are given."""
        return self._nearest(Question(queries, groups, query_groups, False, progress), k)

    def within(
        self,
        radius: float,
        queries: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All stored rows at a distance of at most `radius`: of each query, or of each stored row without itself."""

        def keep(low: np.ndarray, high: np.ndarray) -> np.ndarray:
            return self.metric.finish(low) <= radius

        if queries is None:
            question = Question(self.vectors, groups, groups, True, progress)
        else:
            question = Question(queries, groups, query_groups, False, progress)
        found, far = [], []
        for rows, distances in self._each(question, keep):
            inside = distances <= radius
            found.append(rows[inside])
            far.append(distances[inside])
        indptr = np.append(0, np.cumsum([len(rows) for rows in found])).astype(np.int64)
        empty = np.zeros(0)
        return indptr, np.concatenate([empty.astype(np.int64), *found]), np.concatenate([empty, *far])

    def _nearest(self, question: Question, k: int) -> tuple[np.ndarray, np.ndarray]:
        wanted = min(k + question.own, len(self.rows))

        def keep(low: np.ndarray, high: np.ndarray) -> np.ndarray:
            result: np.ndarray = low <= past_ties(np.partition(high, wanted - 1)[wanted - 1])
            return result

        indices, distances = nothing(len(question.queries), k)
        for query, (rows, far) in enumerate(self._each(question, keep)):
            indices[query, : len(rows)], distances[query, : len(far)] = rows[:k], far[:k]
        return indices, distances

    def _each(
        self, question: Question, keep: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each query the rows that `keep` selects, with their distances, by (distance, row number)."""
        queries = question.queries
        with ThreadPoolExecutor(self.threads) as pool:
            for block in blocks(len(queries), RANK_BYTES // (len(self.rows) * 8)):
                prepared = self.prepared(queries, np.arange(block.start, block.stop))
                low, high = self.ranks(prepared)
                one = functools.partial(self._of_one, question, keep)
                yield from pool.map(one, range(block.start, block.stop), prepared, low, high)
                if question.progress is not None:
                    question.progress(block.stop, len(queries))

    def _of_one(
        self,
        question: Question,
        keep: Callable[[np.ndarray, np.ndarray], np.ndarray],
        query: int,
        prepared: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows that `keep` selects for one query, given the bounds of every rank."""
        members, starts, groups = self.copies.members, self.copies.starts, question.groups
        label = None if question.query_groups is None else question.query_groups[query]
        if groups is not None:
            # A distinct row counts while at least one of its copies may be a neighbour.
            allowed = np.logical_or.reduceat(groups[members] != label, starts[:-1])
            high[~allowed] = low[~allowed] = np.inf
        left = np.flatnonzero(keep(low, high))
        rank = self.measure(prepared, left)
        sizes = starts[left + 1] - starts[left]
        rows = np.concatenate([members[starts[group] : starts[group + 1]] for group in left] or [left])
        rank = np.repeat(rank, sizes)
        fits = np.ones(len(rows), dtype=bool) if groups is None else groups[rows] != label
        fits &= (rows != query) | (not question.own)
        rows, distances = rows[fits], self.metric.finish(rank[fits])
        order = np.lexsort((rows, distances))
        return rows[order], distances[order]

    def nearest(self, pool: ThreadPoolExecutor, prepared: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest distinct rows of prepared queries: their numbers among the distinct rows, and distances."""
        low, high = self.ranks(prepared)
        bound = past_ties(np.partition(high, k - 1, axis=1)[:, k - 1])

        def one(query: int) -> tuple[np.ndarray, np.ndarray]:
            left = np.flatnonzero(low[query] <= bound[query])
            distances = self.metric.finish(self.measure(prepared[query], left))
            order = np.lexsort((left, distances))[:k]
            return left[order], distances[order]

        found, distances = zip(*pool.map(one, range(len(prepared))), strict=True)
        return np.stack(found), np.stack(distances)

    def prepared(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """These rows as the kernel ranks them."""
        return self.metric.prepare(vectors[rows])

    def measure(self, query: np.ndarray, distinct: np.ndarray) -> np.ndarray:
        """The ranks of these distinct rows from one prepared query."""
        parts = [
            self.metric.measure(query, self.prepared(self.vectors, self.rows[distinct[block]]))
            for block in blocks(len(distinct), MEASURE_BYTES // (len(query) * 8))
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def ranks(self, prepared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest that the rank of every distinct row can be, each (n_queries, n_distinct)."""
        n, dim = len(self.rows), prepared.shape[1]
        low = np.empty((len(prepared), n))
        if self.metric.kernel != "dot":
            for query, row in enumerate(prepared):
                low[query] = self.measure(row, np.arange(n))
            return low, low.copy()
        high = np.empty_like(low)
        queries = self.centred(prepared)
        norms = np.sqrt((queries * queries).sum(axis=1))[:, None]
        for block in blocks(n, RANK_BYTES // (dim * 8)):
            stored = self.centred(self.prepared(self.vectors, self.rows[block]))
            squares = (stored * stored).sum(axis=1)
            if self.metric.product:
                rank = -(queries @ stored.T)
                reach = norms * np.sqrt(squares)
            else:
                rank = norms**2 + squares - 2 * (queries @ stored.T)
                reach = (norms + np.sqrt(squares)) ** 2
            error = (dim + 16) * U64 * 1.01 * reach + dim * 2.0**-1000
            low[:, block], high[:, block] = rank - error, rank + error
        unit, tiny = self.scale**2, (dim + 4) * 2.0**-1073  # a product of values that underflows is off by 2^-1074
        low, high = low / unit - tiny, high / unit + tiny
        if not self.metric.product:
            np.maximum(low, 0, out=low)
        return low, high

    def centred(self, prepared: np.ndarray) -> np.ndarray:
        """Prepared rows less the centre, scaled; no difference between rows moves."""
        result: np.ndarray = (prepared - self.centre) * self.scale
        return result

    def _centre_and_scale(self) -> tuple[np.ndarray, float]:
        """The mean of the rows (for products, none), and the power of two that brings the largest value to about 1."""
        rows, dim = self.rows, self.vectors.shape[1]
        if self.metric.kernel == "bits":
            return np.zeros(dim), 1.0
        centre, low, high = np.zeros(dim), np.full(dim, np.inf), np.full(dim, -np.inf)
        for block in blocks(len(rows), MEASURE_BYTES // (dim * 8)):
            prepared = self.prepared(self.vectors, rows[block])
            centre += prepared.sum(axis=0) / len(rows)
            np.minimum(low, prepared.min(axis=0), out=low)
            np.maximum(high, prepared.max(axis=0), out=high)
        if self.metric.product:
            centre[:] = 0
        largest = max(np.max(high - centre), np.max(centre - low))
        # Beyond 2^511 the square of the scale overflows.
        return centre, float(2.0 ** min(-np.ceil(np.log2(largest)), 511.0)) if largest > 0 else 1.0
