"""The examples of a ranking by an exemplar SVM, and the ranking itself.

The notation is that of `exemplar_svm.py`.
"""

from dataclasses import dataclass

import numpy as np

from vicinal.errors import DataError, UsageError
from vicinal.indexes.svm_solver import scales


@dataclass(frozen=True)
class Ranking:
    """Rows by decision value, best first.

    indices   : int64 (k,), row numbers; -1 where fewer rows are there
    decisions : float64 (k,), w'x + intercept: positive is on the examples' side; -inf where the index is -1
    positives : float64 (p,), the decision values of the examples themselves
    steps     : how many times a shortlist was solved; 0 where no negative was beyond the margin
    """

    indices: np.ndarray
    decisions: np.ndarray
    positives: np.ndarray
    steps: int


class Question:
    """The examples of one ranking, and the state of their classifier while it is computed.

    f, own : decision values of the negatives and of the examples
    w      : the weights, with the intercept last
    """

    def __init__(
        self,
        examples: np.ndarray,
        numbers: np.ndarray | None,
        removed: np.ndarray,
        a: float,
        b: float,
        absent: np.ndarray,
    ) -> None:
        self.examples, self.numbers, self.removed, self.a, self.b = examples, numbers, removed, a, b
        # The negatives that are examples leave with weight -a, the examples join with b.
        self.update = np.vstack([examples, absent])
        self.scale = scales(b, len(examples), -a, len(absent))
        self.f = self.own = self.w = np.zeros(0)
        self.solved = self.values = self.inner = self.base = np.zeros(0)


def one_of(positives: object, rows: object, vectors: object, dim: int) -> object:
    """The examples of a ranking of rows of this dim, one of the three: whole numbers (p,) as rows, else vectors.

    Raises
    ------
    UsageError
        Not exactly one is given, or positives may be row numbers and a vector.
    DataError
        Rows are no whole numbers.
    """
    if sum(one is not None for one in (positives, rows, vectors)) != 1:
        raise UsageError("rank: expected positives, rows= or vectors=, one of them")
    if vectors is not None:
        return np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    numbers = np.asarray(positives if rows is None else rows)
    whole = numbers.dtype.kind in "iu" and numbers.ndim <= 1
    if rows is not None and not whole:
        raise DataError(f"rows: expected row numbers, found {rows!r}")
    if rows is None and whole and 1 < numbers.size == dim:
        raise UsageError(
            f"positives: {dim} whole numbers may be rows or a vector of dim {dim}; give them as rows= or vectors="
        )
    return numbers if rows is not None else positives


def ranked(
    decisions: np.ndarray,
    own: np.ndarray,
    numbers: np.ndarray | None,
    k: int,
    include_positives: bool,
    steps: int,
) -> Ranking:
    """Return the k rows of the largest decision values.

    decisions         : float64 (n,), of all rows
    own               : float64 (p,), of the examples
    numbers           : the rows that are examples; None where the examples are no rows
    include_positives : whether rows that are examples are ranked too
    steps             : as in `Ranking`
    """
    if numbers is not None and not include_positives:
        decisions = decisions.copy()
        decisions[numbers] = -np.inf
    m = min(k, len(decisions))
    # Every row that may be among the best, ties at the last place with them, so that the lower row comes first.
    best = np.flatnonzero(decisions >= -np.partition(-decisions, m - 1)[m - 1]) if m < len(decisions) else None
    best = np.arange(len(decisions)) if best is None else best
    order = best[np.lexsort((best, -decisions[best]))][:k]
    order = order[np.isfinite(decisions[order])]
    indices, values = np.full(k, -1, dtype=np.int64), np.full(k, -np.inf)
    indices[: len(order)], values[: len(order)] = order, decisions[order]
    return Ranking(indices, values, own, steps)
