"""The pairs of rows within a radius, most of them found by the lists of an approximate graph, with a measured recall.

The recall is that of pairs: all pairs of a random sample of rows are counted by the exact kernel. Rows without any pair
say nothing, so the sample grows until enough of its rows have one. The sample also says how long lists must be. Rows
whose lists are full within the radius, as those of a clump of thousands of near copies, are left to an exact search; so
are those whose lists may lack rows within it, since codes do not tell such small distances.
"""

from dataclasses import dataclass

import numpy as np

from vicinal.knn.approximate import (
    AFTER,
    BLOCK,
    CANDIDATES,
    DEGREE,
    EXACT_SHARE,
    FANOUT,
    ONE_LESS,
    SAMPLE,
    SEED,
    Report,
    can_be_approximate,
    leaf_of,
    width_of,
)
from vicinal.knn.arguments import codes_on_disk
from vicinal.knn.blocks import blocks
from vicinal.knn.kernels import Kernel, pick
from vicinal.knn.kernels.native import native_graph
from vicinal.knn.metrics import Metric
from vicinal.knn.recall import Recall, Z
from vicinal.typing import Progress

LENGTHS = (8, 16, 32, 64, 128)  # of lists
PAIRS_OF_ROW, PAIRS_OF_ENTRY = 15_000, 300  # what a graph costs a row, and an entry of its list, in pairs of a search
ENOUGH = 2.5  # times the rows with pairs that could show the recall if nothing were missing
MOST_SAMPLED = 1 / 8  # share of the rows: counting their pairs costs a quarter of the exact pass
FIRST, MOST_PAIRS = 64, 1 << 24  # rows that tell how many pairs there are; pairs that are counted at a time
NEARLY = 1e-6  # relative; distances in float32 that are so near the radius are measured again
BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class FoundPairs:
    """Pairs of rows within a radius.

    Attributes
    ----------
    source, near : ndarray of int64, shape (n_pairs,)
        Ascending by source; each pair from both of its rows, but for rows of `open`.
    distances : ndarray of float32, shape (n_pairs,)
    open : ndarray of int64
        The rows whose pairs are not here, since there may be more of them than a list holds.
    recall : Recall
        Of all pairs, once those of the open rows are searched exactly.
    """

    source: np.ndarray
    near: np.ndarray
    distances: np.ndarray
    open: np.ndarray
    recall: Recall


class ApproximatePairs:
    """The approximate search for the pairs of rows within a radius.

    Parameters
    ----------
    vectors, metric, threads
        As for `ApproximateJoin`.
    radius : float
        In the metric's unit.
    labels : ndarray of int64, shape (n,), or None
        Only pairs of rows of one label count.
    """

    def __init__(
        self, vectors: np.ndarray, radius: float, metric: Metric, threads: int, labels: np.ndarray | None
    ) -> None:
        self._vectors, self._radius, self._metric = vectors, radius, metric
        self._threads, self._labels = threads, labels

    def found(self, target: float, progress: Progress | None = None, seed: int = SEED) -> FoundPairs | None:
        """The pairs, with their recall; None where the exact pass is cheaper."""
        n, dim = self._vectors.shape
        if target >= 1 or not can_be_approximate(self._vectors, self._metric):
            return None
        report = Report(progress, n)
        sample, all_of, of = self._counted_sample(target, seed, report)
        k = self._length(all_of)
        if k is None:
            return None
        on_disk = codes_on_disk(n, k, dim)
        graph = native_graph(self._vectors, self._metric, self._threads, None, width_of(k), seed, report, on_disk)
        for step in ("ppp" if target > ONE_LESS else "pp") + AFTER:
            if step == "p":
                graph.partition(leaf_of(n), FANOUT, report)
            else:
                graph.refine(min(max(DEGREE, k // 2), width_of(k)), CANDIDATES, report)
            recall = self._recall(graph.neighbours(k, sample, reach=True), sample, of, (target, k, seed))
            if recall.low >= target:
                graph.release()  # the codes: the result takes their place
                lists = graph.neighbours(k, None, report, reach=True)
                del graph
                return self._completed(lists, recall, report)
            if graph.pairs() / EXACT_SHARE + len(sample) * n > n * (n - 1) / 2:
                break
        return None

    def _counted_sample(self, target: float, seed: int, report: Report) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, ascending, how many others lie within the radius of each, and how many of these have its label."""
        n = len(self._vectors)
        order = np.random.default_rng(seed).permutation(n)
        most, wanted = max(min(n, SAMPLE), int(n * MOST_SAMPLED)), ENOUGH * target * Z * Z / (1 - target)
        rows = np.sort(order[:SAMPLE])
        every, own = self._counts(rows, report)
        while (some := int((own > 0).sum())) < wanted and len(rows) < most:
            size = int(min(most, max(2 * len(rows), 1.2 * len(rows) * wanted / (some + 1))))
            more = np.sort(order[len(rows) : size])
            counts = self._counts(more, report)
            every, own = (np.concatenate(both) for both in zip((every, own), counts, strict=True))
            rows = np.concatenate([rows, more])
        place = np.argsort(rows)
        return rows[place], every[place], own[place]

    def _counts(self, rows: np.ndarray, report: Report) -> tuple[np.ndarray, np.ndarray]:
        """How many others lie within the radius of each row, and how many of its own label.

        The stored rows are searched in blocks, so that the kernel's codes of all of them are never in memory at once.
        """
        every, own = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
        queries = self._vectors[rows]
        for block in blocks(len(self._vectors), BLOCK):
            stored = self._vectors[block]
            kernel: Kernel = pick(self._metric, stored.dtype)(stored, self._metric, self._threads)
            first, step = 0, FIRST
            while first < len(rows):
                part = slice(first, first + step)
                indptr, near, _ = kernel.within(self._radius, queries[part])
                asked = np.repeat(rows[part], np.diff(indptr))
                near = near + block.start
                wanted = near != asked
                place = np.repeat(np.arange(first, min(first + step, len(rows))), np.diff(indptr))
                every += np.bincount(place[wanted], minlength=len(rows))
                if self._labels is not None:
                    wanted &= self._labels[near] == self._labels[asked]
                own += np.bincount(place[wanted], minlength=len(rows))
                first += step
                report(block.start * len(rows) + len(stored) * min(first, len(rows)), len(self._vectors) * len(rows))
                step = int(np.clip(MOST_PAIRS * min(first, len(rows)) / (every.sum() + 1), FIRST, 64 * FIRST))
        return every, own

    def _length(self, counts: np.ndarray) -> int | None:
        """The length of lists that costs least, with the exact search of those that are full; None if that costs less.

        counts : how many others lie within the radius of each row of the sample
        """
        n = len(self._vectors)
        costs = {k: PAIRS_OF_ROW + PAIRS_OF_ENTRY * k + float((counts >= k).mean()) * n for k in LENGTHS if k < n}
        k = min(costs, key=costs.__getitem__, default=0)
        spent = len(counts) * n
        return k if k and n * costs[k] + spent < n * (n - 1) / 2 else None

    def _recall(
        self, lists: tuple[np.ndarray, ...], sample: np.ndarray, of: np.ndarray, asked: tuple[float, int, int]
    ) -> Recall:
        """The recall of the sample's rows; those with full lists have all their pairs, and count for one list."""
        target, k, seed = asked
        place, near, distances, is_open = self._within(*lists)
        kept = self._of_one_label(sample[place], near) & self._at_most(sample[place], near, distances)
        hits = np.bincount(place[kept], minlength=len(sample))
        of = np.where(is_open, np.minimum(of, k), of)
        return Recall.of_pairs(np.where(is_open, of, np.minimum(hits, of)), of, target, k, seed, self._radius)

    def _completed(self, lists: tuple[np.ndarray, ...], recall: Recall, report: Report) -> FoundPairs | None:
        """The pairs of all rows; None where too many lists are full."""
        n = len(self._vectors)
        source, near, distances, is_open = self._within(*lists)
        if is_open.sum() > n / 4:
            return None
        kept = self._of_one_label(source, near) & self._at_most(source, near, distances)
        both = both_ways(n, source[kept], near[kept], distances[kept], ~is_open)
        report.end()
        return FoundPairs(*both, np.flatnonzero(is_open), recall)

    def _within(self, indices: np.ndarray, distances: np.ndarray, reaches: np.ndarray) -> tuple[np.ndarray, ...]:
        """The line, entry and distance of the pairs in lists that are or may be within the radius; which are open.

        A list is open that is full within the radius, or would be if the codes had told distances better.
        """
        limit = self._radius + NEARLY * abs(self._radius)
        there = (indices >= 0) & (distances <= limit)
        is_open = there[:, -1] | (reaches <= limit)
        there[is_open] = False
        return np.nonzero(there)[0], indices[there], distances[there], is_open

    def _of_one_label(self, source: np.ndarray, near: np.ndarray) -> np.ndarray:
        if self._labels is None:
            return np.ones(len(source), dtype=bool)
        same: np.ndarray = self._labels[source] == self._labels[near]
        return same

    def _at_most(self, source: np.ndarray, near: np.ndarray, distances: np.ndarray) -> np.ndarray:
        return within_radius(self._vectors, self._metric, self._radius, (source, near), distances)


def within_radius(
    vectors: np.ndarray, metric: Metric, radius: float, pairs: tuple[np.ndarray, np.ndarray], distances: np.ndarray
) -> np.ndarray:
    """Which pairs of rows are within a radius, bool (n_pairs,); those at its edge are measured in float64.

    pairs : the two rows of each pair
    """
    far = distances.astype(np.float64)
    within: np.ndarray = far <= radius
    edge = np.flatnonzero(np.abs(far - radius) <= NEARLY * abs(radius))
    for block in blocks(len(edge), BLOCK_BYTES // (8 * vectors.shape[1])):
        one, other = (metric.ready(np.asarray(vectors[rows[edge[block]]])) for rows in pairs)
        within[edge[block]] = metric.finish(metric.measure(one, other)) <= radius
    return within


def both_ways(
    n: int, source: np.ndarray, near: np.ndarray, distances: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each pair from both of its rows, once, by (source, distance, near).

    A list may lack a row whose list has its row.

    Parameters
    ----------
    n : int
        Rows have numbers below it.
    source, near, distances : ndarray, shape (n_pairs,)
    asked : ndarray of bool, shape (n,)
        The rows that pairs are wanted from.

    Examples
    --------
    >>> [one.tolist() for one in both_ways(3, np.array([0]), np.array([2]), np.array([0.5]), np.ones(3, dtype=bool))]
    [[0, 2], [2, 0], [0.5, 0.5]]
    """
    source, near = np.concatenate([source, near]), np.concatenate([near, source])
    distances = np.concatenate([distances, distances])
    _, first = np.unique(source * n + near, return_index=True)
    first = first[asked[source[first]]]
    source, near, distances = source[first], near[first], distances[first]
    order = np.lexsort((near, distances, source))
    return source[order], near[order], distances[order]
