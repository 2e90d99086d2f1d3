"""Groups of near-duplicates: the connected components of the pairs of rows within a radius.

A chain of close rows is one group, even if its ends are farther apart than the radius. Exact copies are grouped first
and searched once: thousands of copies of one row would make millions of pairs.
"""

import numpy as np

from vicinal.analysis.components import components
from vicinal.errors import UsageError
from vicinal.knn.blocks import blocks
from vicinal.knn.copies import find_copies
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find
from vicinal.typing import Progress

SAMPLE = 256
MOST_PAIRS = 1 << 27


def check_radius(radius: object, metric: Metric, place: str = "radius") -> float:
    """Return a radius as a float that the metric's distances can be below.

    Parameters
    ----------
    radius : float or str
        A number, or its text.
    metric : Metric
    place : str
        What messages call it.

    Raises
    ------
    UsageError
        It is not a finite number, or it is negative and the metric has no negative distances.
    """
    try:
        number = float("nan") if isinstance(radius, bool) else float(radius)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        shown = f'"{radius}"' if isinstance(radius, str) else radius
        raise UsageError(f"{place}: expected a number in the unit of {metric.name} ({metric.unit}), got {shown}")
    if number < 0 and not metric.product:
        raise UsageError(f"{place}: expected a number >= 0, got {radius}")
    return number


def duplicate_groups(
    vectors: np.ndarray,
    radius: float,
    metric: str | Metric = "euclidean",
    threads: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the group of each row: the number of the group's first row.

    Two rows are of one group if they are within the radius, or if a chain of such pairs joins them. A row with no other
    within the radius is a group of its own.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows that a distance is defined for.
    radius : float
        In the metric's unit; pairs at exactly this distance count.
    metric : str or Metric
    threads : int, optional
        The number of threads; by default, the number of cores.
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    UsageError
        The radius is not a finite number, or is negative and the metric has no negative distances.

    Examples
    --------
    >>> duplicate_groups(np.array([[0.0], [5.0], [0.1], [0.2], [5.0]]), radius=0.1).tolist()
    [0, 1, 0, 0, 1]
    """
    metric = find(metric)
    radius = check_radius(radius, metric)
    n = len(vectors)
    copies = find_copies(vectors) if not metric.product else None
    rows = np.arange(n) if copies is None else copies.first
    a, b = np.arange(n), np.arange(n) if copies is None else copies.first[copies.group]
    index = ExactSearch.of(vectors[rows] if len(rows) < n else vectors, metric, threads)
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    found = len(index.within(radius, vectors[sample]).indices) / len(sample)
    if found * len(rows) <= MOST_PAIRS:
        pairs = index.within(radius, progress=progress)
        ends = np.repeat(rows, np.diff(pairs.indptr)), rows[pairs.indices]
        return components(n, np.concatenate([a, ends[0]]), np.concatenate([b, ends[1]]))
    group = components(n, a, b)
    for block in blocks(len(rows), int(MOST_PAIRS / 4 / found)):  # too many pairs to be held at once
        asking = rows[block]
        pairs = index.within(radius, vectors[asking])
        ends = np.repeat(asking, np.diff(pairs.indptr)), rows[pairs.indices]
        group = components(n, np.concatenate([np.arange(n), ends[0]]), np.concatenate([group, ends[1]]))
        if progress is not None:
            progress(block.stop, len(rows))
        if not group.any():
            break
    return group


def representatives(groups: np.ndarray, quality: np.ndarray | None = None) -> np.ndarray:
    """Return the representative of each row's group: its first row, or its best.

    Parameters
    ----------
    groups : ndarray of int64, shape (n,)
        As `duplicate_groups` returns them.
    quality : ndarray of float, shape (n,), optional
        High is good; of equal rows, the first is taken.

    Returns
    -------
    ndarray of int64, shape (n,)
        Row numbers.

    Examples
    --------
    >>> representatives(np.array([0, 1, 0, 0]), quality=np.array([1.0, 9.0, 3.0, 3.0])).tolist()
    [2, 1, 2, 2]
    """
    if quality is None:
        return groups
    order = np.lexsort((np.arange(len(groups)), -quality, groups))
    heads = np.flatnonzero(np.append(True, groups[order][1:] != groups[order][:-1]))
    best = np.empty(len(groups), dtype=np.int64)
    best[groups[order][heads]] = order[heads]
    rows: np.ndarray = best[groups]
    return rows
