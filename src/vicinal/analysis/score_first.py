"""DEITA: the best scores first, leaving out rows that are too near to a row that is kept."""

import numpy as np

from vicinal.analysis.choices import Choice, Quota
from vicinal.analysis.lazy_greedy import nearest_chosen
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find

BLOCK, PART = 1024, 2048


def score_first(
    vectors: np.ndarray,
    merit: np.ndarray,
    keep: int,
    threshold: float,
    metric: str | Metric = "cosine",
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    threads: int | None = None,
) -> tuple[Choice, int]:
    """Return the rows of the largest merit that are farther than the threshold from every row kept before them.

    Where fewer than `keep` rows are so far apart, the others make up the number, by merit.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    merit : ndarray of float, shape (n,)
    keep : int
    threshold : float
        In the metric's unit.
    metric : str or Metric
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    threads : int, optional
        The number of threads; by default, the number of cores.

    Returns
    -------
    choice : Choice
        `because` is the nearest chosen row.
    apart : int
        How many of the chosen rows are farther apart than the threshold; the others are the last in `order`.

    References
    ----------
    Liu et al. 2024, "What Makes Good Data for Alignment?" (DEITA, arXiv 2312.15685).

    Examples
    --------
    >>> rows, merit = np.array([[0.0], [0.1], [1.0]]), np.array([0.5, 0.9, 0.1])
    >>> score_first(rows, merit, keep=2, threshold=0.2, metric="euclidean")[0].order.tolist()
    [1, 2]
    """
    metric, n = find(metric), len(vectors)
    quota = Quota(n, groups, seats)
    ranked = np.lexsort((np.arange(n), -merit))
    kept: list[int] = []
    parts: list[ExactSearch] = []
    start = 0
    while start < n and len(kept) < keep:
        block = ranked[start : start + BLOCK]
        start += BLOCK
        block = block[quota.open[block]]
        for part in [*parts, *_rest(vectors, kept, parts, metric, threads)]:
            block = block[part.search(vectors[block], 1).distances[:, 0] > threshold] if len(block) else block
        _keep_apart(vectors, block, kept, keep, quota, metric, threshold)
        while len(kept) - PART * len(parts) >= PART:
            whole = np.array(kept[PART * len(parts) : PART * (len(parts) + 1)])
            parts.append(ExactSearch.of(vectors[whole], metric, threads, invalid={}))
    apart = len(kept)
    for row in ranked:
        if len(kept) == keep:
            break
        if quota.open[row]:
            quota.take(int(row))
            kept.append(int(row))
    return nearest_chosen(vectors, np.array(kept, dtype=np.int64), metric, threads), apart


def _rest(
    vectors: np.ndarray, kept: list[int], parts: list[ExactSearch], metric: Metric, threads: int | None
) -> list[ExactSearch]:
    """A search of the kept rows that are in no part yet."""
    rows = kept[PART * len(parts) :]
    return [ExactSearch.of(vectors[np.array(rows)], metric, threads, invalid={})] if rows else []


def _keep_apart(
    vectors: np.ndarray,
    block: np.ndarray,
    kept: list[int],
    keep: int,
    quota: Quota,
    metric: Metric,
    threshold: float,
) -> None:
    """Keep rows of a block, in order, that are farther than the threshold from the rows of the block kept before."""
    if not len(block):
        return
    near = ExactSearch.of(vectors[block], metric, invalid={}).within(threshold)
    gone = np.zeros(len(block), dtype=bool)
    for place, row in enumerate(block):
        if len(kept) == keep:
            return
        if not gone[place] and quota.open[row]:
            quota.take(int(row))
            kept.append(int(row))
            gone[near.indices[near.indptr[place] : near.indptr[place + 1]]] = True
