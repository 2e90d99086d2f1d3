"""What every strategy of a selection returns, and the quotas that it keeps to."""

from dataclasses import dataclass

import numpy as np

from vicinal.errors import UsageError
from vicinal.knn.metrics import Metric


@dataclass(frozen=True)
class Choice:
    """The rows that a strategy chose, and why.

    Attributes
    ----------
    order : ndarray of int64, shape (keep,)
        The chosen rows, in the order of their choice.
    because : ndarray of int64, shape (n,)
        The row that each row was kept or left out for; -1 where there is none.
    distance : ndarray of float64, shape (n,)
        The distance to that row; NaN where none was measured.
    """

    order: np.ndarray
    because: np.ndarray
    distance: np.ndarray


class Quota:
    """The rows that may still be chosen: of each group only as many as it has seats.

    Attributes
    ----------
    open : ndarray of bool, shape (n,)
    """

    def __init__(self, n: int, groups: np.ndarray | None, seats: np.ndarray | None) -> None:
        self.open = np.ones(n, dtype=bool)
        self._groups = self._seats = None
        if groups is not None and seats is not None:
            self._groups, self._seats = groups, seats.copy()
            self.open &= seats[groups] > 0
            self._members = np.argsort(groups, kind="stable")
            self._starts = np.searchsorted(groups[self._members], np.arange(len(seats) + 1))

    def take(self, row: int) -> None:
        """Choose a row: it is no longer open, nor is its group once the seats are taken."""
        self.open[row] = False
        if self._groups is not None and self._seats is not None:
            group = self._groups[row]
            self._seats[group] -= 1
            if not self._seats[group]:
                self.open[self._members[self._starts[group] : self._starts[group + 1]]] = False


def largest(key: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the `count` largest keys, largest first, ties to the lower row.

    >>> largest(np.array([0.5, 2.0, 0.5, 1.0]), 3).tolist()
    [1, 3, 0]
    """
    if count < len(key):
        rows = np.flatnonzero(key >= np.partition(key, len(key) - count)[len(key) - count])
    else:
        rows = np.arange(len(key))
    return rows[np.argsort(-key[rows], kind="stable")[:count]]


def refuse_product(metric: Metric, strategy: str) -> None:
    """Raise UsageError where a metric is an inner product, which has no smallest value."""
    if metric.product:
        raise UsageError(
            f"metric: {strategy} needs a metric that measures a distance, got {metric.name!r}; take cosine or euclidean"
        )
