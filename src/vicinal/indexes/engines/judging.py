"""The rows that a graph is judged by when it is built: some of all, and some of each region.

A region that few rows are in hardly counts in a mean, so that rows of each are judged by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vicinal.knn.kernels.native import Native
from vicinal.knn.measure import measured
from vicinal.knn.metrics import Metric, find

NEAREST = 10  # neighbours that are looked for
POOL, SEEDS = 8192, 16  # rows that regions are sought in, and the most regions
ROWS_OF_REGION, LEAST = 12, 4  # rows of a region that are judged; fewer in the pool are no region


@dataclass
class Region:
    """Rows that are nearer to each other than to those of other regions."""

    rows: np.ndarray  # numbers of those that are judged
    share: float  # of all rows that are in it, about


def regions(rows: np.ndarray, threads: int) -> list[Region]:
    """At most 16 regions of the rows, far from each other; none where all are as near.

    The middles are drawn one after the other from a sample with a chance in proportion to the squared distance from
    those before (k-means++, Arthur and Vassilvitskii 2007), so that small regions far from the others are not missed.
    """
    pool = np.unique(np.linspace(0, len(rows) - 1, POOL).astype(np.int64))
    metric, random = find("sqeuclidean"), np.random.default_rng(0)
    middle, label = pool[len(pool) // 2], np.zeros(len(pool), dtype=np.int64)
    far = np.full(len(pool), np.inf)
    for seed in range(SEEDS):
        own = measured(metric, rows, rows[[middle]], pool[None], threads)[0]
        label[own < far] = seed
        far = np.minimum(far, own)
        total = np.cumsum(far)  # added in order, so that it is the same everywhere
        if not 0 < total[-1] < np.inf:
            break
        middle = pool[min(int(np.searchsorted(total, random.random() * total[-1])), len(pool) - 1)]
    found = [pool[label == seed] for seed in range(SEEDS)]
    return [
        Region(own[np.unique(np.linspace(0, len(own) - 1, ROWS_OF_REGION).astype(np.int64))], len(own) / len(pool))
        for own in found
        if len(own) >= LEAST
    ]


class Judge:
    """Stored rows as queries, whose nearest others are known.

    A search for one has to pass over the row itself, `hidden`, because links were chosen for it: so it stands for a
    new row.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, dim)
        More than 10.
    parts : sequence of ndarray of int64
        The numbers of those that are asked.
    metric : Metric
        euclidean or inner_product.
    """

    def __init__(self, rows: np.ndarray, parts: Sequence[np.ndarray], metric: Metric, threads: int) -> None:
        self._rows, self._metric, self._threads = rows, metric, threads
        self._ends = np.cumsum([len(part) for part in parts])[:-1]
        self.hidden = np.concatenate(parts)
        self.queries = rows[self.hidden]
        near, far = Native(rows, metric, threads).search(self.queries, NEAREST + 1)
        itself = (near == self.hidden[:, None]).any(axis=1)
        last = np.where(itself, far[:, NEAREST], far[:, NEAREST - 1]).astype(np.float64)[:, None]
        self._limits = last + np.abs(last) * 1e-6

    def recalls(self, found: np.ndarray) -> list[float]:
        """The share of the 10 nearest others of the queries of each part that `found` names."""
        near = measured(self._metric, self._rows, self.queries, found, self._threads) <= self._limits
        share = near.sum(axis=1).clip(max=NEAREST) / NEAREST
        return [float(part.mean()) for part in np.split(share, self._ends)]
