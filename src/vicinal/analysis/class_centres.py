"""Selection by the centres of classes: herding keeps the class mean, moderate keeps the median distance to it."""

import numpy as np

from vicinal.analysis.choices import Choice
from vicinal.analysis.lazy_greedy import nearest_chosen
from vicinal.analysis.selection import by_merit
from vicinal.knn.blocks import blocks
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find

BLOCK = 4096
ASKED = 8  # so many candidates are asked for first, as some may be chosen already


def moderate(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "euclidean",
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
) -> Choice:
    """Return the rows whose distances to the centre of their class are nearest to the class's median distance.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    keep : int
    metric : str or Metric
        Euclidean, or cosine: the rows are scaled to length 1 first; the centres are not scaled.
    weight : ndarray of float64, shape (n,), optional
        Divides how far the distance of each row is from the median; by default 1.
    groups, seats : ndarray of int, optional
        The class of each row (n,), from 0, and how many rows of each class are chosen (n_classes,). Without them all
        rows are one class.

    Returns
    -------
    Choice
        `because` is the last row chosen of the class; `distance` is NaN.

    References
    ----------
    Xia et al. 2023, "Moderate Coreset: A Universal Method of Data Selection for Real-world Data-efficient Deep
    Learning" (ICLR).

    Examples
    --------
    >>> moderate(np.array([[0.0], [1.0], [2.0], [3.0], [14.0]]), keep=1).order.tolist()  # distances 4 3 2 1 10
    [1]
    """
    metric, n = find(metric), len(vectors)
    weight = np.ones(n) if weight is None else weight
    classes = np.zeros(n, dtype=np.int64) if groups is None else groups
    off = np.empty(n)
    for members in _members(classes, int(classes.max(initial=0)) + 1):
        if not len(members):
            continue
        rows = metric.prepare(vectors[members])
        far = np.sqrt(np.square(rows - rows.mean(axis=0)).sum(axis=1))
        off[members] = np.abs(far - np.median(far))
    return by_merit(-np.round(off, 12) / weight, keep, groups, seats)


def herding(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "euclidean",
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    threads: int | None = None,
) -> Choice:
    """Return the rows whose mean follows the mean of their class, one after the other.

    Each next row x has the largest product w' x, where w is the sum, over the choices so far and the next one, of the
    class mean, less the chosen rows. Rows are chosen once.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    keep : int
    metric : str or Metric
        Euclidean, or cosine: the rows are scaled to length 1 first.
    groups, seats : ndarray of int, optional
        The class of each row (n,), from 0, and how many rows of each class are chosen (n_classes,). Without them all
        rows are one class. Classes take turns, those of more seats more often.
    threads : int, optional
        The number of threads; by default, the number of cores.

    Returns
    -------
    Choice
        `because` is the nearest chosen row.

    References
    ----------
    Welling 2009, "Herding Dynamical Weights to Learn"; Rebuffi et al. 2017 (iCaRL) for classes.

    Examples
    --------
    >>> herding(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), keep=2, metric="cosine").order.tolist()
    [2, 3]
    """
    metric, n = find(metric), len(vectors)
    classes = np.zeros(n, dtype=np.int64) if groups is None else groups
    seats = np.array([keep]) if seats is None else seats
    orders = []
    for members, count in zip(_members(classes, len(seats)), seats, strict=True):
        rows = metric.prepare(vectors[members])
        orders.append(members[_herd(rows, int(count), threads)])
    # The j-th of a class with s seats has its turn at (j + 1/2) / s, so that every beginning holds each class's share.
    turns = np.concatenate([(np.arange(len(order)) + 0.5) / max(1, len(order)) for order in orders])
    order = np.concatenate(orders)[np.argsort(turns, kind="stable")]
    return nearest_chosen(vectors, order, metric, threads)


def _members(classes: np.ndarray, n_classes: int) -> list[np.ndarray]:
    """The rows of each class, ascending."""
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.searchsorted(classes[order], np.arange(1, n_classes)))


def _herd(rows: np.ndarray, count: int, threads: int | None) -> np.ndarray:
    """The choices of one class, as places of its rows, in order."""
    mean = np.zeros(rows.shape[1])
    for part in blocks(len(rows), BLOCK):
        mean += rows[part].sum(axis=0) / len(rows)
    direction, order = mean.copy(), list[int]()
    open_ = np.ones(len(rows), dtype=bool)
    left, passed = np.arange(len(rows)), 0
    search = ExactSearch.of(rows, "inner_product", threads, invalid={})
    while len(order) < count:
        asked = ASKED
        while True:
            found = left[search.search(direction[None], min(asked, len(left))).indices[0]]
            found = found[open_[found]]
            if len(found):
                break
            asked *= 4
        row = int(found[0])
        order.append(row)
        open_[row] = False
        direction += mean - rows[row]
        passed += asked - ASKED
        if passed > len(left):  # chosen rows lie in the way so often that a search without them pays
            left, passed = np.flatnonzero(open_), 0
            search = ExactSearch.of(rows[left], "inner_product", threads, invalid={})
    return np.array(order, dtype=np.int64)
