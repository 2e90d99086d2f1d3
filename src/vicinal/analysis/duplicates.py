"""Groups of rows that lie close together: the connected components of the pairs within a radius.

A chain of close rows is one group, even where its ends are farther apart than the radius. Exact copies are found first
and searched once, so that thousands of copies do not make millions of pairs.
"""

import numpy as np

from vicinal.analysis.components import components
from vicinal.errors import UsageError
from vicinal.knn.blocks import blocks
from vicinal.knn.copies import find_copies
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find
from vicinal.typing import MetricLike, Progress

SAMPLE = 256
MOST_PAIRS = 1 << 27


def check_radius(radius: object, metric: Metric, place: str = "radius") -> float:
    """The radius as a float, where it can be compared with distances of the metric.

    Raises
    ------
    UsageError
        Where it is not a finite number or, but for inner products, below 0; `place` is where it was given.
    """
    try:
        number = float(radius)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise UsageError(f'{place}: expected a number in the unit of {metric.name} ({metric.unit}), got "{radius}"')
    if number < 0 and not metric.product:
        raise UsageError(f"{place}: expected a number >= 0, got {radius}; {metric.name} distances are >= 0")
    return number


def duplicate_groups(
    vectors: np.ndarray,
    radius: float,
    metric: MetricLike = "euclidean",
    threads: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """The group of each row, as the lowest row of it; a row with none within the radius has its own number.

    vectors : (n, dim) of usable rows
    radius  : in the metric's unit; pairs at exactly this distance count
    Returns   int64 (n,)
    Raises    as `Exact.fit`; UsageError where the radius is not a number or, but for inner products, below 0

    >>> duplicate_groups(np.array([[0.0], [5.0], [0.1], [0.2], [5.0]]), radius=0.1).tolist()
    [0, 1, 0, 0, 1]
    """
    metric = find(metric)
    radius = check_radius(radius, metric)
    n = len(vectors)
    copies = find_copies(vectors) if not metric.product else None
    rows = np.arange(n) if copies is None else copies.first
    a, b = np.arange(n), np.arange(n) if copies is None else copies.first[copies.group]
    search = ExactSearch.of(vectors[rows] if len(rows) < n else vectors, metric, threads)
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    found = len(search.within(radius, vectors[sample]).indices) / len(sample)
    if found * len(rows) <= MOST_PAIRS:
        pairs = search.within(radius, progress=progress)
        ends = np.repeat(rows, np.diff(pairs.indptr)), rows[pairs.indices]
        return components(n, np.concatenate([a, ends[0]]), np.concatenate([b, ends[1]]))
    group = components(n, a, b)
    for block in blocks(len(rows), int(MOST_PAIRS / 4 / found)):  # so many pairs that only a part is held at a time
        asking = rows[block]
        pairs = search.within(radius, vectors[asking])
        ends = np.repeat(asking, np.diff(pairs.indptr)), rows[pairs.indices]
        group = components(n, np.concatenate([np.arange(n), ends[0]]), np.concatenate([group, ends[1]]))
        if progress is not None:
            progress(block.stop, len(rows))
        if not group.any():
            break
    return group


def representatives(groups: np.ndarray, quality: np.ndarray | None = None) -> np.ndarray:
    """The row that stands for each row's group: its first, or the one of the best quality, ties to the first.

    Returns   int64 (n,)

    >>> representatives(np.array([0, 1, 0, 0]), quality=np.array([1.0, 9.0, 3.0, 3.0])).tolist()
    [2, 1, 2, 2]
    """
    if quality is None:
        return groups
    order = np.lexsort((np.arange(len(groups)), -quality, groups))
    heads = np.flatnonzero(np.append(True, groups[order][1:] != groups[order][:-1]))
    best = np.empty(len(groups), dtype=np.int64)
    best[groups[order][heads]] = order[heads]
    result: np.ndarray = best[groups]
    return result
