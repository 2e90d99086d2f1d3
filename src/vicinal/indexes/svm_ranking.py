"""The examples of a ranking by an exemplar SVM, and the ranking itself.

The notation is that of `exemplar_svm.py`.
"""

from dataclasses import dataclass

import numpy as np

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
