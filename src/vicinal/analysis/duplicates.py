"""Groups of near-duplicates, and the row of each group that stays.

`greedy` keeps rows in an order of priority: a row stays unless a row that stays lies within the radius. Every removed
row is then within the radius of the row that stands for it. `duplicate_groups` joins rows by chains of close pairs
(single linkage), whose ends may be far apart.
"""

import numpy as np

from vicinal.analysis.components import components
from vicinal.analysis.near_pairs import NearPairs, Piece
from vicinal.errors import UsageError
from vicinal.knn.metrics import Metric, find
from vicinal.typing import Progress

LINKS = ("greedy", "single")


def check_radius(radius: object, metric: Metric, place: str = "radius") -> float:
    """Return a radius as a float that the metric's distances can be below.

    Parameters
    ----------
    radius : float
    metric : Metric
    place : str
        What messages call it.

    Raises
    ------
    UsageError
        It is not a finite number, or it is negative and the metric has no negative distances.
    """
    usable = isinstance(radius, int | float | np.integer | np.floating) and not isinstance(radius, bool)
    number = float(radius) if usable else float("nan")  # type: ignore[arg-type]
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
    return linked(NearPairs(vectors, check_radius(radius, metric), metric, threads, progress=progress))


def linked(pairs: NearPairs) -> np.ndarray:
    """Return the group of each row under single linkage, as `duplicate_groups`."""
    m = len(pairs.first)
    group = np.arange(m)
    for piece in pairs.pieces():
        a, b = np.concatenate([np.arange(m), piece.source]), np.concatenate([group, piece.near])
        group = components(m, a, b)
        if not group.any():
            break
    rows: np.ndarray = pairs.first[group[pairs.entry]]
    return rows


def greedy(pairs: NearPairs, priority: np.ndarray | None = None) -> np.ndarray:
    """Return the row that stands for each row: itself where it stays, else a row within the radius that stays.

    Rows are taken in the order of their priority, of equal ones the lower row first. A row stays unless one that stays
    already lies within the radius. Of several such rows, the nearest stands for it, of equally near ones the first.

    Parameters
    ----------
    pairs : NearPairs
    priority : ndarray of float, shape (n,), optional
        High comes first; by default, rows come in their own order.

    Returns
    -------
    ndarray of int64, shape (n,)

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [2.0], [9.0]])
    >>> greedy(NearPairs(line, 1.0, find("euclidean"))).tolist()
    [0, 0, 2, 3]
    >>> greedy(NearPairs(line, 1.0, find("euclidean")), priority=np.array([0, 1, 0, 0])).tolist()
    [1, 1, 1, 3]
    """
    n, m = len(pairs.entry), len(pairs.first)
    rows = np.arange(n) if priority is None else np.lexsort((np.arange(n), -priority))
    _, places = np.unique(pairs.entry[rows], return_index=True)  # of each entry, when its first row comes
    head, order = rows[places], np.argsort(places)
    place = np.empty(m, dtype=np.int64)
    place[order] = np.arange(m)
    removed = np.zeros(m, dtype=bool)
    standing, nearest = np.arange(m), np.full(m, np.inf, dtype=np.float32)
    for piece in pairs.pieces(order, lambda: removed):
        # An entry that comes later removes none: of approximate pairs in pieces, one may lack what the other has.
        piece = piece.among(place[piece.source] < place[piece.near])
        _remove(piece, place, removed)
        _stand(piece, place, removed, standing, nearest)
    stays: np.ndarray = head[standing[pairs.entry]]
    return stays


def _remove(piece: Piece, place: np.ndarray, removed: np.ndarray) -> None:
    """Mark the rows near each row that stays and come after it, in the order of their places."""
    asked = np.flatnonzero(np.diff(piece.indptr))
    asked = asked[np.argsort(place[piece.asked[asked]])]
    starts, ends = piece.indptr[asked].tolist(), piece.indptr[asked + 1].tolist()
    for entry, start, end in zip(piece.asked[asked].tolist(), starts, ends, strict=True):
        if not removed[entry]:
            removed[piece.near[start:end]] = True


def _stand(piece: Piece, place: np.ndarray, removed: np.ndarray, standing: np.ndarray, nearest: np.ndarray) -> None:
    """Let the nearest row that stays and comes before it stand for each removed row; a piece holds only such pairs."""
    source = piece.source
    use = np.flatnonzero(~removed[source])
    source, near, distances = source[use], piece.near[use], piece.distances[use]
    order = np.lexsort((place[source], distances, near))
    order = order[np.append(True, np.diff(near[order]) != 0)[: len(order)]]
    source, near, distances = source[order], near[order], distances[order]
    first = (standing[near] == near) | (distances < nearest[near])
    standing[near[first]], nearest[near[first]] = source[first], distances[first]


def crowding(pairs: NearPairs) -> np.ndarray:
    """Return how many other rows lie within the radius of each row, int64 (n,).

    >>> crowding(NearPairs(np.array([[0.0], [1.0], [2.0], [2.0]]), 1.0, find("euclidean"))).tolist()
    [1, 3, 2, 2]
    """
    sizes = pairs.sizes
    count = sizes - 1
    for piece in pairs.pieces():
        sums = np.append(0, np.cumsum(sizes[piece.near]))
        count[piece.asked] += sums[piece.indptr[1:]] - sums[piece.indptr[:-1]]
    of_rows: np.ndarray = count[pairs.entry]
    return of_rows


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
