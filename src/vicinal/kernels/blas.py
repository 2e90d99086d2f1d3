"""The kernel that runs everywhere: faiss ranks in float32, float64 decides.

For each block of queries

    1. rank      faiss finds, by float32 arithmetic on centred rows, a few more rows than were asked for
    2. measure   their distances are computed again in float64, from differences of the values as they were given
    3. certify   every row that faiss left out has a float32 rank of at least S, the worst that it kept. Float32 ranks
                 are wrong by at most E. So where the k-th measured rank is at most S - E, no row that was left out can
                 come before it, and the k are proven.
                 Where it is not, faiss is asked for more.
    4. resolve   the few queries left over (rows closer together than float32 can tell apart) are ranked against every
                 row in float64, and all that could be among the k by that ranking's own, far smaller, error are
                 measured.

Centring moves no distance, and keeps float32 useful for data far from the origin. Exact copies of a row are searched
once (`copies`), so that ties between them never reach step 4.

The error bounds are the standard ones for inner products: with unit roundoff u, a sum of d products in any order is off
by at most d u / (1 - d u) times the sum of their absolute values (Higham 2002, Accuracy and Stability, section 3.1).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np

from vicinal.copies import find_copies
from vicinal.metrics import Metric

CACHE_BYTES = 200 << 20  # stored rows are kept as float32 up to this size, else made anew for each block of queries
BLOCK_WORK = 4e10  # multiply-adds of one call to faiss: under a second on two cores, so that Ctrl-C is quick
MEASURE_BYTES = 1 << 21  # float64 scratch of one thread while measuring: it stays in the cache
RESOLVE_BYTES = 1 << 26
OVERFETCH = 4  # how many more rows than asked for faiss is asked for at least
ESCALATE = 8  # how many times more rows faiss is asked for where the first ones were not enough for a proof
U32, U64 = 2.0**-24, 2.0**-53


class Blas:
    """Exact neighbours by faiss in float32, certified and measured in float64."""

    name = "blas"

    def __init__(self, vectors: np.ndarray, metric: Metric, threads: int) -> None:
        import faiss

        self.version = f"faiss {faiss.__version__}"
        self._vectors, self._metric, self._threads = vectors, metric, threads
        self._absolute = metric.kernel == "absolute"
        self._copies = find_copies(vectors)
        self._rows = self._copies.first
        self._centre, self._scale = self._centre_and_scale()
        self._unit = self._scale if self._absolute else self._scale**2
        self._norms = np.empty(len(self._rows))
        keep = len(self._rows) * vectors.shape[1] * 4 <= CACHE_BYTES
        self._step = max(1, CACHE_BYTES // 2 // (vectors.shape[1] * 4))
        cached = np.empty((len(self._rows), vectors.shape[1]), dtype=np.float32) if keep else None
        for block in _blocks(len(self._rows), max(1, MEASURE_BYTES // (vectors.shape[1] * 8))):
            rows32, self._norms[block] = self._as_float32(self._prepared(vectors, self._rows[block]))
            if cached is not None:
                cached[block] = rows32
        self._cached = cached

    @staticmethod
    def covers(metric: Metric, dtype: np.dtype) -> str:
        """Empty: dense numbers of every kind, under every metric of the dot and absolute kernels."""
        return "" if metric.kernel in ("dot", "absolute") else f"it has no {metric.kernel} kernel"

    def self_join(self, k: int, progress: Callable | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Each stored row's k nearest others."""
        n = len(self._vectors)
        groups, ranks = self._nearest_groups(self._vectors, self._rows, min(k + 1, len(self._rows)), progress, n)
        if not self._copies.any:
            indices, ranks = _without_self(groups, ranks, np.arange(n), k)
            return indices, self._metric.finish(ranks)
        indices, ranks = self._copies.expand(groups, ranks, k + 1)
        indices, ranks = indices[self._copies.group], ranks[self._copies.group]
        indices, ranks = _without_self(indices, ranks, np.arange(n), k)
        return indices, self._metric.finish(ranks)

    def search(self, queries: np.ndarray, k: int, progress: Callable | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Each query's k nearest stored rows."""
        groups, ranks = self._nearest_groups(
            queries, np.arange(len(queries)), min(k, len(self._rows)), progress, len(queries)
        )
        indices, ranks = self._copies.expand(groups, ranks, k)
        return indices, self._metric.finish(ranks)

    def _nearest_groups(
        self, queries: np.ndarray, rows: np.ndarray, k: int, progress: Callable | None, total: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest distinct stored rows of queries[rows], as group numbers and float64 ranks."""
        import faiss

        n, dim = len(self._rows), queries.shape[1]
        indices = np.empty((len(rows), k), dtype=np.int64)
        ranks = np.empty((len(rows), k))
        stored_at_once = n if self._cached is not None else self._step
        step = max(16, int(BLOCK_WORK / dim / stored_at_once))
        threads_before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(self._threads)
        try:
            with ThreadPoolExecutor(self._threads) as pool:
                for block in _blocks(len(rows), step):
                    prepared = self._prepared(queries, rows[block])
                    indices[block], ranks[block] = self._nearest_in_block(faiss, pool, prepared, k)
                    if progress is not None:
                        progress(block.stop * total // len(rows), total)
        finally:
            faiss.omp_set_num_threads(threads_before)
        return indices, ranks

    def _nearest_in_block(
        self, faiss: ModuleType, pool: ThreadPoolExecutor, prepared: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        n = len(self._rows)
        indices = np.empty((len(prepared), k), dtype=np.int64)
        ranks = np.empty((len(prepared), k))
        queries32, norms = self._as_float32(prepared)
        pending, wanted = np.arange(len(prepared)), min(n, k + max(OVERFETCH, k // 8))
        while len(pending):
            candidates, worst = self._rank(faiss, queries32[pending], wanted)
            measured = self._measure(pool, prepared[pending], candidates)
            order = np.lexsort((candidates, measured))[:, :k]
            indices[pending] = np.take_along_axis(candidates, order, axis=1)
            ranks[pending] = kept = np.take_along_axis(measured, order, axis=1)
            complete = wanted == n and bool(np.isfinite(worst).all())
            pending = pending[~(complete | self._certified(kept[:, -1], worst, norms[pending]))]
            if wanted * ESCALATE > max(n // 4, k + 8):
                break
            wanted *= ESCALATE
        for block in _blocks(len(pending), max(1, RESOLVE_BYTES // (n * 8))):
            some = pending[block]
            indices[some], ranks[some] = self._resolve(pool, prepared[some], norms[some], k)
        return indices, ranks

    def _centre_and_scale(self) -> tuple[np.ndarray, float]:
        """The mean of the rows, and the power of two that brings the largest centred value to about 1."""
        rows, dim = self._rows, self._vectors.shape[1]
        blocks = list(_blocks(len(rows), max(1, MEASURE_BYTES // (dim * 8))))
        total, low, high = np.zeros(dim), np.full(dim, np.inf), np.full(dim, -np.inf)
        for block in blocks:
            prepared = self._prepared(self._vectors, rows[block])
            total += prepared.sum(axis=0) / len(rows)
            np.minimum(low, prepared.min(axis=0), out=low)
            np.maximum(high, prepared.max(axis=0), out=high)
        largest = max(np.max(high - total), np.max(total - low))
        return total, float(2.0 ** -np.ceil(np.log2(largest))) if largest > 0 else 1.0

    def _prepared(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self._metric.prepare(vectors[rows])

    def _as_float32(self, prepared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centred, scaled float32 rows, and their norms (1-norms for the absolute kernel) rounded upwards."""
        centred = (prepared - self._centre) * self._scale
        rows = centred.astype(np.float32)
        norms = np.abs(centred).sum(axis=1) if self._absolute else np.sqrt((centred * centred).sum(axis=1))
        return rows, norms * (1 + 1e-6)

    def _stored32(self) -> Iterator[tuple[int, np.ndarray]]:
        if self._cached is not None:
            yield 0, self._cached
            return
        for block in _blocks(len(self._rows), self._step):
            rows32 = np.empty((block.stop - block.start, self._vectors.shape[1]), dtype=np.float32)
            for part in _blocks(len(rows32), max(1, MEASURE_BYTES // (rows32.shape[1] * 8))):
                rows = self._rows[block][part]
                rows32[part] = self._as_float32(self._prepared(self._vectors, rows))[0]
            yield block.start, rows32

    def _rank(self, faiss: ModuleType, queries32: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
        """The `wanted` best groups of each query by float32, in any order, and the worst float32 rank kept."""
        metric = faiss.METRIC_L1 if self._absolute else faiss.METRIC_L2
        best: tuple[np.ndarray, np.ndarray] | None = None
        for start, rows32 in self._stored32():
            ranks, found = faiss.knn(queries32, rows32, min(wanted, len(rows32)), metric=metric)
            found = found.astype(np.int64) + start
            if best is not None:
                ranks, found = np.hstack([best[0], ranks]), np.hstack([best[1], found])
                if ranks.shape[1] > wanted:
                    keep = np.argpartition(ranks, wanted - 1, axis=1)[:, :wanted]
                    ranks, found = np.take_along_axis(ranks, keep, 1), np.take_along_axis(found, keep, 1)
            best = ranks, found
        assert best is not None
        return best[1], best[0].max(axis=1).astype(np.float64)

    def _measure(self, pool: ThreadPoolExecutor, prepared: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Float64 ranks of (query, candidate group) pairs, from differences of the prepared values."""
        step = max(1, MEASURE_BYTES // (candidates.shape[1] * prepared.shape[1] * 8))

        def part(block: slice) -> np.ndarray:
            stored = self._prepared(self._vectors, self._rows[candidates[block].ravel()])
            stored = stored.reshape(*candidates[block].shape, -1)
            return self._metric.measure(prepared[block][:, None, :], stored)

        return np.concatenate(list(pool.map(part, _blocks(len(prepared), step))))

    def _certified(self, kth: np.ndarray, worst: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Whether no row that faiss left out can come before the k-th measured rank."""
        return np.isfinite(worst) & (kth * self._unit + self._error(kth, norms) < worst)

    def _error(self, ranks: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """By how much, at most, float32 is wrong of a row at this true rank from a query of this norm.

        A row y at a distance D from x has norm |y| <= |x| + D, so no norm of a row that was not seen is needed. The
        terms: the float32 sums, the rounding of both rows to float32, float64's own rounding, and underflow.
        """
        dim, ranks = len(self._centre), ranks * self._unit
        reach = 2 * norms + (ranks if self._absolute else np.sqrt(ranks))
        if self._absolute:
            return (dim + 11) * U32 * 1.01 * reach + ranks * 1e-12 + dim * 2.0**-120
        return (dim + 16) * U32 * 1.01 * reach**2 + ranks * 1e-12 + dim * 2.0**-120

    def _resolve(
        self, pool: ThreadPoolExecutor, queries: np.ndarray, norms: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest groups of a few queries, ranked against every stored row in float64."""
        n, dim = len(self._rows), queries.shape[1]
        if self._absolute:
            survivors = [np.arange(n)] * len(queries)
        else:
            low, high = np.empty((len(queries), n)), np.empty((len(queries), n))
            centred = (queries - self._centre) * self._scale
            squares = (centred * centred).sum(axis=1)
            for block in _blocks(n, max(1, RESOLVE_BYTES // (dim * 8))):
                stored = (self._prepared(self._vectors, self._rows[block]) - self._centre) * self._scale
                rank = squares[:, None] + (stored * stored).sum(axis=1) - 2 * (centred @ stored.T)
                error = (dim + 16) * U64 * 1.01 * (norms[:, None] + self._norms[block]) ** 2 + dim * 2.0**-1000
                low[:, block], high[:, block] = rank - error, rank + error
            bound = np.partition(high, k - 1, axis=1)[:, k - 1]
            survivors = [np.flatnonzero(row <= limit) for row, limit in zip(low, bound, strict=True)]

        def measure(query: int) -> tuple[np.ndarray, np.ndarray]:
            rows = survivors[query]
            ranks = np.concatenate(
                [
                    self._metric.measure(queries[query], self._prepared(self._vectors, self._rows[rows[block]]))
                    for block in _blocks(len(rows), max(1, MEASURE_BYTES // (dim * 8)))
                ]
            )
            order = np.lexsort((rows, ranks))[:k]
            return rows[order], ranks[order]

        indices, ranks = zip(*pool.map(measure, range(len(queries))), strict=True)
        return np.stack(indices), np.stack(ranks)


def _blocks(n: int, step: int) -> Iterator[slice]:
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def _without_self(indices: np.ndarray, ranks: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row's first k entries other than the row itself, found by its number wherever it stands."""
    own = indices == rows[:, None]
    own[~own.any(axis=1), -1] = True  # where the row is beyond its k + 1 nearest, the last one is one too many
    keep = ~own
    shape = (len(rows), indices.shape[1] - 1)
    indices, ranks = indices[keep].reshape(shape), ranks[keep].reshape(shape)
    return indices[:, :k], ranks[:, :k]
