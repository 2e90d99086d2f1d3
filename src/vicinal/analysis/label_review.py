"""Rows for a person to look at: likely label errors, and near pairs of rows with different labels.

Labels are codes from 0, as in `votes`; neighbours are each row's nearest others in the same set.
"""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.votes import BLOCK_VOTES, class_probabilities
from vicinal.errors import UsageError
from vicinal.knn.blocks import blocks
from vicinal.knn.neighbors import Neighbors


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Rows whose neighbours agree on another label, the most suspicious first.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_errors,)
    suggested : ndarray of int64, shape (n_errors,)
        The code that the neighbours agree on.
    agreement : ndarray of float64, shape (n_errors,)
        The share of their votes for it.
    own : ndarray of float64, shape (n_errors,)
        The share of their votes for the row's own label.
    """

    rows: np.ndarray
    suggested: np.ndarray
    agreement: np.ndarray
    own: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def label_errors(
    neighbors: Neighbors, labels: np.ndarray, n_classes: int, k: int, least: float = 0.5, own: float = 0.05
) -> LabelErrors:
    """Return the rows that likely have a wrong label: the neighbours agree on another one.

    Parameters
    ----------
    neighbors : Neighbors
    labels : ndarray of int, shape (n,)
    n_classes : int
    k : int
        The number of neighbours that vote.
    least : float
        The least share of the votes for the other label.
    own : float
        The largest share of the votes for the row's own label.

    Returns
    -------
    LabelErrors
        By descending odds of the two shares, each raised by 1 / (10 k) so that none is 0; of equal ones the lower row.

    References
    ----------
    Wilson 1972 removes the rows that their neighbours outvote; here they are ranked, never removed.

    Examples
    --------
    >>> around = Neighbors([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]], [[1, 1, 1]] * 4)
    >>> found = label_errors(around, np.array([0, 0, 0, 1]), 2, k=3)
    >>> found.rows.tolist(), found.suggested.tolist(), found.agreement.tolist()
    ([3], [0], [1.0])
    """
    nearest, n = neighbors.nearest(k), len(labels)
    mine, theirs, other = np.empty(n), np.empty(n), np.empty(n, dtype=np.int64)
    for block in blocks(n, BLOCK_VOTES // n_classes):
        shares = class_probabilities(nearest[block], labels, n_classes)
        rows = np.arange(len(shares))
        mine[block] = shares[rows, labels[block]]
        shares[rows, labels[block]] = -1
        other[block] = shares.argmax(axis=1)
        theirs[block] = shares[rows, other[block]]
    odds = (theirs + 0.1 / k) / (mine + 0.1 / k)
    suspects = np.flatnonzero((theirs >= least) & (mine <= own))
    suspects = suspects[np.lexsort((suspects, -odds[suspects]))]
    return LabelErrors(suspects, other[suspects], theirs[suspects], mine[suspects])


@dataclass(frozen=True, eq=False)
class BoundaryPairs:
    """Near rows of different labels, for experts to label again.

    Attributes
    ----------
    first, second : ndarray of int64, shape (n_pairs,)
        Rows; no row is in two pairs.
    distances : ndarray of float32, shape (n_pairs,)
    evaluation : ndarray of bool, shape (n_pairs,)
        Whether the pair is for evaluation; the others are for training.
    """

    first: np.ndarray
    second: np.ndarray
    distances: np.ndarray
    evaluation: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def boundary_pairs(neighbors: Neighbors, labels: np.ndarray, count: int, evaluation: float = 0.5) -> BoundaryPairs:
    """Return the nearest pairs of rows with different labels, spread over the space.

    Each pair is chosen from the least covered region: among all rows and their nearest other of a different label, the
    pair whose two rows have been covered the least, and of those the nearest. It then covers the n / count rows that
    are reached first from it along the neighbour lists.

    Parameters
    ----------
    neighbors : Neighbors
    labels : ndarray of int, shape (n,)
    count : int
        How many pairs at most; fewer are returned where the lists hold no more.
    evaluation : float
        The share of pairs that is set aside for evaluation, spread evenly over the order in which they were chosen, so
        that both parts cover the space.

    Raises
    ------
    UsageError
        `evaluation` is no share.

    References
    ----------
    Google Research 2025, "Achieving 10,000x training data reduction with high-fidelity labels": experts label the
    pairs, agreement is measured by Cohen's kappa, the model learns from one part and is evaluated on the other, and
    the round is repeated.

    Examples
    --------
    >>> line = Neighbors([[1, 2], [2, 0], [1, 0]], [[3, 4], [1, 3], [1, 4]])
    >>> pairs = boundary_pairs(line, np.array([0, 0, 1]), count=5)
    >>> pairs.first.tolist(), pairs.second.tolist(), pairs.distances.tolist()
    ([1], [2], [1.0])
    """
    if not 0 <= evaluation <= 1:
        raise UsageError(f"evaluation: expected a share from 0 to 1, got {evaluation}")
    ends, far = nearest_of_other_label(neighbors, labels)
    covered = np.zeros(len(neighbors), dtype=np.int64)
    free = np.ones(len(ends), dtype=bool)
    reach = max(2, len(neighbors) // max(1, count))
    chosen: list[int] = []
    while len(chosen) < count and free.any():
        cover = np.where(free, covered[ends].sum(axis=1), np.iinfo(np.int64).max)
        best = int(cover.argmin())  # the first of the least covered: the nearest
        chosen.append(best)
        free &= ~np.isin(ends, ends[best]).any(axis=1)
        covered[_reached(neighbors, ends[best], reach)] += 1
    pairs = ends[chosen].reshape(-1, 2)
    turns = np.floor((np.arange(len(chosen)) + 1) * evaluation) > np.floor(np.arange(len(chosen)) * evaluation)
    return BoundaryPairs(pairs[:, 0], pairs[:, 1], far[chosen], turns)


def nearest_of_other_label(
    neighbors: Neighbors, labels: np.ndarray, free: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row with its nearest other of a different label, once a pair: rows (n, 2), distances, ascending.

    Where `free` is given, bool (n,), only rows of which it is true count.
    """
    differs = (labels[np.maximum(neighbors.indices, 0)] != labels[:, None]) & (neighbors.indices >= 0)
    if free is not None:
        differs &= free[np.maximum(neighbors.indices, 0)] & free[:, None]
    place = differs.argmax(axis=1)
    rows = np.flatnonzero(differs.any(axis=1))
    others, far = neighbors.indices[rows, place[rows]], neighbors.distances[rows, place[rows]]
    ends = np.sort(np.stack([rows, others], axis=1), axis=1)
    ends, once = np.unique(ends, axis=0, return_index=True)
    far = far[once]
    order = np.lexsort((ends[:, 1], ends[:, 0], far))
    return ends[order], far[order]


def _reached(neighbors: Neighbors, start: np.ndarray, count: int) -> np.ndarray:
    """The rows that are reached first from some rows, ring by ring along the lists; about `count` of them."""
    inside = np.zeros(len(neighbors), dtype=bool)
    ring = start
    inside[ring] = True
    total = len(ring)
    while total < count and len(ring):
        ring = np.unique(neighbors.indices[ring])
        ring = ring[(ring >= 0) & ~inside[ring]][: count - total]
        inside[ring] = True
        total += len(ring)
    return np.flatnonzero(inside)
