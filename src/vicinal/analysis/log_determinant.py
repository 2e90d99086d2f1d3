"""Greedy maximisation of a log-determinant: the rows that span the largest volume (MAP of a determinantal process)."""

import numpy as np

from vicinal.analysis.choices import Choice, Quota
from vicinal.analysis.lazy_greedy import UnitRows, lazy_greedy, nearest_chosen
from vicinal.knn.metrics import Metric, find
from vicinal.typing import Progress

RIDGE = 0.01
LONG = 128  # a row that missed so many choices is measured from M itself


def log_determinant(
    vectors: np.ndarray,
    keep: int,
    metric: str | Metric = "cosine",
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seats: np.ndarray | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Return the rows that the greedy algorithm chooses to maximise ln det(Q (C + 0.01 I) Q).

    C holds the cosine similarities of the chosen rows, and Q their qualities on its diagonal. The ridge 0.01 lets more
    rows be chosen than there are dimensions; without it, every further determinant is 0.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows that cosine similarity is defined for.
    keep : int
    metric : str or Metric
        Cosine; it names the distances of the reasons.
    weight : ndarray of float64, shape (n,), optional
        The quality of each row, above 0; by default 1.
    groups, seats : ndarray of int, optional
        The group of each row (n,), from 0, and how many rows of each group are chosen (n_groups,).
    threads : int, optional
        The number of threads; by default, the number of cores.
    progress : callable, optional
        Called with (rows chosen, rows to choose).

    Returns
    -------
    Choice
        `because` is the nearest chosen row.

    References
    ----------
    Wang et al. 2024, "Diversity Measurement and Subset Selection for Instruction Tuning Datasets" (arXiv 2402.02318);
    Chen, Zhang & Zhou 2018 (greedy MAP inference). What a row adds is the square of its quality times its variance
    given the chosen rows, ridge + x' M x with M = (I + sum of s s' / ridge)^-1 over the chosen rows s: memory
    dim x dim, and it can only shrink.

    Examples
    --------
    >>> log_determinant(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), keep=2).order.tolist()
    [0, 2]
    """
    metric = find(metric)
    objective = _Volume(vectors, np.ones(len(vectors)) if weight is None else weight)
    order = lazy_greedy(objective, keep, Quota(len(vectors), groups, seats), progress=progress)
    return nearest_chosen(vectors, order, metric, threads)


class _Volume:
    """The factor by which each row would enlarge the determinant.

    Attributes
    ----------
    inverse : ndarray of float64, shape (dim, dim)
        M of the chosen rows.
    variance : ndarray of float64, shape (n,)
        x' M x of each row when it was measured last.
    seen : ndarray of int64, shape (n,)
        How many rows were chosen by then.
    """

    growth = 0.0

    def __init__(self, vectors: np.ndarray, weight: np.ndarray) -> None:
        n, dim = vectors.shape
        self._rows, self._square = UnitRows(vectors), weight**2
        self.inverse, self.variance, self.seen = np.eye(dim), np.ones(n), np.zeros(n, dtype=np.int64)
        self._steps = np.empty((16, dim))  # what each choice took from M: M = I - sum of outer products of these rows
        self._count = 0

    def bounds(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        bound: np.ndarray = self._square[rows] * (RIDGE + self.variance[rows])
        return bound

    def measure(self, rows: np.ndarray) -> None:
        for part in (rows[self._count - self.seen[rows] < LONG], rows[self._count - self.seen[rows] >= LONG]):
            if not len(part):
                continue
            start, x = int(self.seen[part].min()), self._rows[part]
            if self._count - start < LONG:
                taken = (x @ self._steps[start : self._count].T) ** 2
                taken[np.arange(start, self._count) < self.seen[part][:, None]] = 0  # subtracted before
                left = self.variance[part] - taken.sum(axis=1)
            else:
                left = np.einsum("ij,ij->i", x @ self.inverse, x)
            self.variance[part], self.seen[part] = np.maximum(left, 0), self._count

    def choose(self, row: int) -> None:
        x = self._rows[np.array([row])][0]
        along = self.inverse @ x
        if self._count == len(self._steps):
            self._steps = np.concatenate([self._steps, np.empty_like(self._steps)])
        self._steps[self._count] = along / np.sqrt(RIDGE + float(x @ along))
        self.inverse -= np.outer(self._steps[self._count], self._steps[self._count])
        self._count += 1
