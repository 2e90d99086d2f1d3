"""Groups of duplicates as the page shows them: a row that stays, and how each other row is like it."""

from dataclasses import dataclass

import numpy as np

from vicinal.knn.copies import find_copies
from vicinal.knn.metrics import Metric
from vicinal.tasks.duplicates.grouping import Rules, distances_between, group_rows
from vicinal.tasks.page.fields import Column, smallest

STAYS, COPY, SAME_VECTOR, NEAR = range(4)
LABELS = ["stays", "copy", "same vector, other text", "near", None]
"""How a row of a group is like the row that stays; None for a row of no group."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of at least two rows, the largest first; in each the row that stays first.

    Attributes
    ----------
    radius : float
    rows : ndarray of uint32
        The rows of the first group, then those of the second, and so on.
    sizes : ndarray of uint32
        How many rows each group has.
    distances : ndarray of float32
        Of each of `rows` to the row that stays.
    match : ndarray of uint8
        STAYS, COPY, SAME_VECTOR or NEAR.
    """

    radius: float
    rows: np.ndarray
    sizes: np.ndarray
    distances: np.ndarray
    match: np.ndarray

    def columns(self, n: int) -> list[Column]:
        """Return how each row is like the one that stays, and the size of its group, as columns of the page."""
        match, size = np.full(n, len(LABELS) - 1), np.ones(n, dtype=np.int32)
        match[self.rows] = self.match
        size[self.rows] = np.repeat(self.sizes, self.sizes)
        return [
            Column("duplicates", "category", "derived", smallest(match), LABELS),
            Column("size of the group", "number", "derived", size),
        ]


def groups_of(vectors: np.ndarray, valid: np.ndarray, metric: Metric, radius: float, texts: list[str] | None) -> Groups:
    """Return the groups of rows within a radius of the row that stays.

    Parameters
    ----------
    vectors : ndarray, shape (n_valid, dim)
    valid : ndarray of int, shape (n_valid,)
        Their row numbers.
    metric : Metric
    radius : float
    texts : list of str or None
        One for each row of the data; rows of one text and one vector are copies.
    """
    if not len(valid):
        none = np.empty(0, dtype=np.uint32)
        return Groups(radius, none, none, none.astype(np.float32), none.astype(np.uint8))
    stays = group_rows(vectors, Rules(radius, metric, "greedy", "first", None))[1]
    order = np.lexsort((np.arange(len(valid)), stays))
    begins = np.flatnonzero(np.append(True, np.diff(stays[order]) != 0))
    sizes = np.diff(np.append(begins, len(valid)))
    largest = np.lexsort((begins, -sizes))
    largest = largest[sizes[largest] > 1]
    members = [order[begins[one] : begins[one] + sizes[one]] for one in largest]
    chosen = np.concatenate(members) if members else np.empty(0, dtype=np.int64)
    distance = distances_between(vectors, stays, metric)
    return Groups(
        radius,
        valid[chosen].astype(np.uint32),
        sizes[largest].astype(np.uint32),
        distance[chosen].astype(np.float32),
        _matches(vectors, valid, stays, distance, chosen, texts),
    )


def _matches(
    vectors: np.ndarray, valid: np.ndarray, stays: np.ndarray, distance: np.ndarray, chosen: np.ndarray,
    texts: list[str] | None,
) -> np.ndarray:  # fmt: skip
    """How each chosen row is like the rows of its group before it, and like the one that stays."""
    copies = find_copies(vectors)
    vector = copies.first[copies.group]
    match = np.empty(len(chosen), dtype=np.uint8)
    seen: set[tuple[int, int, str | None]] = set()
    for place, row in enumerate(chosen.tolist()):
        key = (int(stays[row]), int(vector[row]), None if texts is None else texts[valid[row]])
        same = distance[row] == 0 or vector[row] == vector[stays[row]]
        if row == stays[row]:
            match[place] = STAYS
        elif texts is not None and key in seen:
            match[place] = COPY
        else:
            match[place] = SAME_VECTOR if same else NEAR
        seen.add(key)
    return match
