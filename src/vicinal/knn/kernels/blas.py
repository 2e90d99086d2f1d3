"""The kernel that runs everywhere: faiss ranks in float32, float64 decides.

For each block of queries

    1. rank      faiss finds, by float32 arithmetic on centred rows, a few more rows than k
    2. measure   their distances are computed again in float64, from differences of the values as they were given
    3. certify   every row that faiss left out has a float32 rank of at least S, the worst that it kept. Float32 ranks
                 are wrong by at most E. So where the k-th measured rank, and those that give the same distance, are
                 below S - E, no row that was left out can come before it, and the k are proven. Where they are not,
                 more rows are fetched.
    4. resolve   the few queries left over (rows closer together than float32 can tell apart) go to the `brute` kernel

Centring moves no distance, and keeps float32 useful for data far from the origin. Exact copies of a row are searched
once, so that ties between them never reach step 4. Groups and radii are left to the `brute` kernel.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np

from vicinal.knn.blocks import blocks
from vicinal.knn.faiss_threads import threads_of_faiss
from vicinal.knn.kernels.brute import MEASURE_BYTES, RANK_BYTES, Brute, past_ties
from vicinal.knn.metrics import Metric
from vicinal.typing import Progress

CACHE_BYTES = 200 << 20  # stored rows are kept as float32 up to this size, else made anew for each block of queries
BLOCK_WORK = 4e10  # multiply-adds of one call to faiss: under a second on two cores, so that Ctrl-C is quick
OVERFETCH = 4  # at least so many rows beyond k are fetched from faiss
ESCALATE = 8  # fetch so many times more rows where the first ones were not enough for a proof
U32 = 2.0**-24
LARGEST32 = float(np.finfo(np.float32).max)  # the index that faiss returns where it has no row


class Blas:
    """Exact neighbours by faiss in float32, certified and measured in float64."""

    name = "blas"
    resumable = False

    def __init__(self, vectors: np.ndarray, metric: Metric, threads: int) -> None:
        import faiss

        self.version = f"faiss {faiss.__version__}"
        self._metric, self._threads = metric, threads
        self._absolute = metric.kernel == "absolute"
        self._all = Brute(vectors, metric, threads)
        self.within = self._all.within
        self._unit = self._all.scale if self._absolute else self._all.scale**2
        n, dim = len(self._all.rows), vectors.shape[1]
        self._tiny = (dim + 4) * 2.0**-1073  # of a rank whose products underflow in float64
        self._step = max(1, CACHE_BYTES // 2 // (dim * 4))
        self._cached = self._stored32_block(slice(0, n)) if n * dim * 4 <= CACHE_BYTES else None

    @staticmethod
    def covers(metric: Metric, dtype: np.dtype) -> str:
        """Empty for dense numbers of every kind under a metric of differences."""
        if metric.kernel not in ("dot", "absolute"):
            return f"it has no {metric.kernel} kernel"
        return "its proof needs differences, not products" if metric.product else ""

    def self_join(
        self, k: int, groups: np.ndarray | None = None, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each stored row's k nearest others, of other groups where groups are given."""
        if groups is not None:
            return self._all.self_join(k, groups, progress)
        vectors, rows, copies = self._all.vectors, self._all.rows, self._all.copies
        found, distances = self._nearest(vectors, rows, min(k + 1, len(rows)), progress, len(vectors))
        if copies.any:
            found, distances = copies.expand(found, distances, k + 1)
            found, distances = found[copies.group], distances[copies.group]
        return without_self(found, distances, k)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        groups: np.ndarray | None = None,
        query_groups: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each query's k nearest stored rows, of other groups where groups are given."""
        if groups is not None:
            return self._all.search(queries, k, groups, query_groups, progress)
        wanted = min(k, len(self._all.rows))
        found, distances = self._nearest(queries, np.arange(len(queries)), wanted, progress, len(queries))
        return self._all.copies.expand(found, distances, k)

    def _nearest(
        self, queries: np.ndarray, rows: np.ndarray, k: int, progress: Progress | None, total: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest distinct stored rows of queries[rows], as group numbers and float64 distances."""
        import faiss

        n, dim = len(self._all.rows), queries.shape[1]
        indices = np.empty((len(rows), k), dtype=np.int64)
        distances = np.empty((len(rows), k))
        stored_at_once = n if self._cached is not None else self._step
        step = max(16, int(BLOCK_WORK / dim / stored_at_once))
        with threads_of_faiss(self._threads), ThreadPoolExecutor(self._threads) as pool:
            for block in blocks(len(rows), step):
                prepared = self._all.prepared(queries, rows[block])
                indices[block], distances[block] = self._nearest_in_block(faiss, pool, prepared, k)
                if progress is not None:
                    progress(block.stop * total // len(rows), total)
        return indices, distances

    def _nearest_in_block(
        self, faiss: ModuleType, pool: ThreadPoolExecutor, prepared: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        n = len(self._all.rows)
        indices = np.empty((len(prepared), k), dtype=np.int64)
        distances = np.empty((len(prepared), k))
        queries32, norms = self._as_float32(prepared)
        pending, wanted = np.arange(len(prepared)), min(n, k + max(OVERFETCH, k // 8))
        while len(pending):
            candidates, worst = self._rank(faiss, queries32[pending], wanted)
            measured = self._measure(pool, prepared[pending], candidates)
            far = self._metric.finish(measured)
            order = np.lexsort((candidates, far))[:, :k]
            indices[pending] = np.take_along_axis(candidates, order, axis=1)
            distances[pending] = np.take_along_axis(far, order, axis=1)
            complete = wanted == n and bool((worst < LARGEST32).all())
            last = past_ties(np.take_along_axis(measured, order, axis=1).max(axis=1))
            pending = pending[~(complete | self._certified(last, worst, norms[pending]))]
            if wanted * ESCALATE > max(n // 4, k + 8):
                break
            wanted *= ESCALATE
        for block in blocks(len(pending), RANK_BYTES // (n * 8)):
            left = pending[block]
            indices[left], distances[left] = self._all.nearest(pool, prepared[left], k)
        return indices, distances

    def _as_float32(self, prepared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centred, scaled float32 rows, and their norms (1-norms for the absolute kernel) rounded upwards."""
        centred = self._all.centred(prepared)
        norms = np.abs(centred).sum(axis=1) if self._absolute else np.sqrt((centred * centred).sum(axis=1))
        with np.errstate(over="ignore"):  # a query far outside, which faiss cannot rank; step 4 does
            return centred.astype(np.float32), norms * (1 + 1e-6)

    def _stored32_block(self, block: slice) -> np.ndarray:
        vectors, rows = self._all.vectors, self._all.rows[block]
        rows32 = np.empty((len(rows), vectors.shape[1]), dtype=np.float32)
        for part in blocks(len(rows), MEASURE_BYTES // (vectors.shape[1] * 8)):
            rows32[part] = self._as_float32(self._all.prepared(vectors, rows[part]))[0]
        return rows32

    def _stored32(self) -> Iterator[tuple[int, np.ndarray]]:
        if self._cached is not None:
            yield 0, self._cached
            return
        for block in blocks(len(self._all.rows), self._step):
            yield block.start, self._stored32_block(block)

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
        step = MEASURE_BYTES // (candidates.shape[1] * prepared.shape[1] * 8)

        def part(block: slice) -> np.ndarray:
            stored = self._all.prepared(self._all.vectors, self._all.rows[candidates[block].ravel()])
            stored = stored.reshape(*candidates[block].shape, -1)
            return self._metric.measure(prepared[block][:, None, :], stored)

        return np.concatenate(list(pool.map(part, blocks(len(prepared), step))))

    def _certified(self, kth: np.ndarray, worst: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Whether no row that faiss left out can come before the k-th row, whose rank is at most `kth`."""
        result: np.ndarray = (worst < LARGEST32) & ((kth + self._tiny) * self._unit + self._error(kth, norms) < worst)
        return result

    def _error(self, ranks: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """The largest error of the float32 rank of a row, given its true rank and the norm of the query.

        A row y at a distance D from x has norm |y| <= |x| + D, so no norm of a row that was not seen is needed. The
        terms: the float32 sums, the rounding of both rows to float32, float64's own rounding, and underflow.
        """
        dim, ranks = len(self._all.centre), ranks * self._unit
        reach = 2 * norms + (ranks if self._absolute else np.sqrt(ranks))
        if self._absolute:
            sums: np.ndarray = (dim + 11) * U32 * 1.01 * reach
        else:
            sums = (dim + 16) * U32 * 1.01 * reach**2
        return sums + ranks * 1e-12 + dim * 2.0**-120


def without_self(indices: np.ndarray, distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row's first k entries other than the row itself, found by its number wherever it stands."""
    own = indices == np.arange(len(indices))[:, None]
    own[~own.any(axis=1), -1] = True  # where the row is beyond its k + 1 nearest, the last one is one too many
    shape = (len(indices), indices.shape[1] - 1)
    return indices[~own].reshape(shape)[:, :k], distances[~own].reshape(shape)[:, :k]
