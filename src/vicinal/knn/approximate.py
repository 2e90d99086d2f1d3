"""An approximate self-join whose recall is measured: most of each row's k nearest others, with their true distances.

The kernel's `Graph` (`cpp/graph_join.hpp`) joins the cells of random partitions and compares rows with the neighbours
of their neighbours. Between these steps the recall of a random sample of rows is measured against the exact kernel. The
work goes on until the lower end of the recall's interval reaches the target, or until it has cost as much as the exact
pass, which is then made.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.errors import UsageError
from vicinal.knn.arguments import codes_on_disk, require_memory
from vicinal.knn.blocks import blocks, nothing, padded
from vicinal.knn.kernels import Kernel, pick
from vicinal.knn.kernels.native import Native, has_graphs, native_graph
from vicinal.knn.metrics import Metric
from vicinal.knn.recall import Recall
from vicinal.typing import Progress

FEWEST = 20_000  # rows; with fewer the exact pass is always cheaper
SAMPLE = 1_000  # rows whose exact neighbours are computed
SEED = 0
BLOCK = 1 << 17  # stored rows at a time while the sample is searched
WIDEST = 4096  # entries of a list that the kernel keeps
SPARE = 6  # entries of a list beyond k
LEAF, MOST_LEAF = 512, 2048  # rows in a cell
FANOUT = 2  # cells of a partition that a row is in
DEGREE = 10  # neighbours of a row whose neighbours it is compared with
CANDIDATES = 1024  # rows that a block of 64 is compared with in a round
ONE_LESS = 0.96  # up to this recall, one partition less is made before the first round
EXACT_SHARE = 0.7  # a pair of the graph costs as much as 1 / 0.7 pairs of the exact pass
PAIRS_OF_NEIGHBOUR = 37_000  # over dim: what a neighbour of a row costs beyond what it costs the exact pass, in pairs
LOWEST_DIM = 128  # below it a pair costs the exact pass little less
MOST_SHORT = 0.02  # share of the rows that may be searched exactly because too few neighbours of them were found
AFTER = "rr" + "pr" * 60  # rounds of refinement and partitions, after the first partitions


class ApproximateJoin:
    """The approximate self-join of rows.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Checked rows, all valid.
    metric : Metric
    threads : int
    groups : ndarray of int64, shape (n,), or None
    """

    def __init__(self, vectors: np.ndarray, metric: Metric, threads: int, groups: np.ndarray | None) -> None:
        self._vectors, self._metric, self._threads, self._groups = vectors, metric, threads, groups

    def neighbors(
        self, k: int, target: float, kernel: Callable[[], Kernel], seed: int = SEED, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray, Recall]:
        """Indices int64 and distances float32 (n, k), and their recall; by the exact kernel where that is cheaper."""
        found = self.graph(k, target, seed, progress)
        if found is not None:
            return found
        n, dim = self._vectors.shape
        require_memory(n, k, n, dim)
        exact = kernel().self_join(k, self._groups, progress)
        return *exact, Recall.of_exact(target, k, n, seed)

    def graph(
        self, k: int, target: float, seed: int = SEED, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray, Recall] | None:
        """Indices int64 and distances float32 (n, k), and their recall; None where the exact pass is cheaper."""
        n, dim = self._vectors.shape
        on_disk = codes_on_disk(n, k, dim)
        degree, exact = min(max(DEGREE, k // 2), width_of(k)), EXACT_SHARE * n * (n - 1) / 2
        named = n * (degree**2 - DEGREE**2)  # what a round costs beyond the pairs that it measures
        least = n * (EXACT_SHARE * FEWEST / 2 + k * PAIRS_OF_NEIGHBOUR / max(dim, LOWEST_DIM))
        too_long = width_of(k) > WIDEST or max(named, least) > exact
        if target >= 1 or too_long or not can_be_approximate(self._vectors, self._metric):
            return None
        rounds = 0
        sample = np.sort(np.random.default_rng(seed).choice(n, min(n, SAMPLE), replace=False))
        report = Report(progress, n)
        how = width_of(k), seed, report, on_disk
        truth = self.exact_of(sample, k, report)  # before the graph takes memory
        graph = native_graph(self._vectors, self._metric, self._threads, self._groups, *how)
        for step in ("ppp" if target > ONE_LESS else "pp") + AFTER:
            if step == "p":
                graph.partition(leaf_of(n), FANOUT, report)
            else:
                graph.refine(degree, CANDIDATES, report)
                rounds += 1
            recall = _recall(graph.neighbours(k, sample), truth, target, k, seed)
            if recall.low >= target:
                return self._completed(graph, k, recall, report)
            if graph.pairs() + rounds * named > exact:
                break
        return None

    def _completed(
        self, graph: Any, k: int, recall: Recall, report: "Report"
    ) -> tuple[np.ndarray, np.ndarray, Recall] | None:
        """The result of all rows; rows of which too few neighbours were found are searched exactly."""
        graph.release()  # the codes: the result takes their place
        indices, distances = graph.neighbours(k, None, report)
        short = np.flatnonzero(indices[:, -1] < 0)
        if len(short) > MOST_SHORT * len(indices) + SAMPLE:
            return None
        if len(short):
            indices[short], distances[short] = self.exact_of(short, k, report)
        report.end()
        return indices, distances, recall

    def exact_of(self, rows: np.ndarray, k: int, report: "Report | None" = None) -> tuple[np.ndarray, np.ndarray]:
        """The exact neighbours of some rows: int64 and float32 (len(rows), k), -1 and inf where there are fewer.

        The stored rows are searched in blocks, so that the kernel's codes of all of them are never in memory at once.
        """
        found = nothing(len(rows), k)
        indices, distances = found[0], found[1].astype(np.float32)
        queries = self._vectors[rows]
        for block in blocks(len(self._vectors), BLOCK):
            groups = (None, None) if self._groups is None else (self._groups[block], self._groups[rows])
            stored = self._vectors[block]
            kernel: Kernel = pick(self._metric, stored.dtype)(stored, self._metric, self._threads)
            near, far = padded(*kernel.search(queries, min(k + 1, len(stored)), *groups), k + 1)
            near = np.where(near < 0, -1, near + block.start)
            own = near == rows[:, None]
            near, far = np.where(own, -1, near), np.where(own, np.inf, far).astype(np.float32)
            indices, distances = _nearest(
                np.concatenate([indices, near], axis=1), np.concatenate([distances, far], axis=1), k
            )
            if report is not None:
                report(block.stop, len(self._vectors))
        return indices, distances


def refuse_beside_recall(checkpoint: object, device: str | None) -> None:
    """Raise UsageError where an approximate pass is to keep a checkpoint, or to run on a device."""
    if checkpoint is not None:
        raise UsageError("checkpoint: an approximate pass (recall) keeps none; leave the checkpoint out")
    if device not in (None, devices.AUTO):
        raise UsageError("device: approximate passes run on the processor; leave recall or device out")


def can_be_approximate(vectors: np.ndarray, metric: Metric) -> bool:
    """Whether the kernel builds graphs of rows, and there are so many rows that it may pay."""
    return len(vectors) >= FEWEST and not Native.covers(metric, vectors.dtype) and has_graphs()


def leaf_of(n: int) -> int:
    """The rows of a cell of a partition of n rows."""
    return int(np.clip(np.sqrt(n), LEAF, MOST_LEAF))


def width_of(k: int) -> int:
    """The entries of a list that holds k neighbours in spite of the errors of codes."""
    return k + max(SPARE, k // 4)


def _recall(
    found: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray], target: float, k: int, seed: int
) -> Recall:
    """The recall of the sample's rows."""
    of = (truth[0] >= 0).sum(axis=1)
    last = truth[1][np.arange(len(of)), np.maximum(of - 1, 0)]
    hits = ((found[0] >= 0) & (found[1] <= last[:, None])).sum(axis=1)
    return Recall.of_sample(np.minimum(hits, of), of, target, k, seed)


def _nearest(indices: np.ndarray, distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k of each row by (distance, row number), missing ones last."""
    order = np.lexsort((np.where(indices < 0, np.iinfo(np.int64).max, indices), distances))[:, :k]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1)


class Report:
    """Progress in rows over steps whose number is not known: each step goes half of the way that is left."""

    def __init__(self, progress: Progress | None, n: int) -> None:
        self._progress, self._n, self._begin, self._last = progress, n, 0.0, 0

    def __call__(self, done: int, total: int) -> None:
        """Report how much of a step is done."""
        if self._progress is None or total <= 0:
            return
        if done < self._last:
            self._begin += (1 - self._begin) / 4
        self._last = done
        self._progress(int(self._n * (self._begin + (1 - self._begin) / 4 * done / total)), self._n)

    def end(self) -> None:
        """Report the end."""
        if self._progress is not None:
            self._progress(self._n, self._n)
