"""Groups of duplicates as the page shows them: a row that stays, and how each other row is like it."""

from dataclasses import dataclass

import numpy as np

from vicinal.knn.metrics import Metric, find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall
from vicinal.tasks.duplicates.grouping import Rules, distances_between, group_rows
from vicinal.tasks.duplicates.texts import matches
from vicinal.tasks.page.fields import Column, smallest
from vicinal.tasks.score import kept

STAYS, COPY, SAME_VECTOR, NEAR = range(4)
LABELS = ["stays", "copy", "same vector, other text", "near", None]
"""How a row of a group is like the row that stays; None for a row of no group."""
MATCH = {None: STAYS, "copy": COPY, "same vector": SAME_VECTOR, "near": NEAR}


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
    copies : ndarray of uint32
        The rows whose vector and text an earlier row has, whichever row stays in their group.
    recall : Recall or None
        Of the pairs that the groups are made of, where these come from approximate neighbours.
    """

    radius: float
    rows: np.ndarray
    sizes: np.ndarray
    distances: np.ndarray
    match: np.ndarray
    copies: np.ndarray
    recall: Recall | None = None

    def columns(self, n: int) -> list[Column]:
        """Return how each row is like the one that stays, and the size of its group, as columns of the page."""
        match, size = np.full(n, len(LABELS) - 1), np.ones(n, dtype=np.int32)
        match[self.rows] = self.match
        size[self.rows] = np.repeat(self.sizes, self.sizes)
        return [
            Column("duplicates", "category", "derived", smallest(match), LABELS),
            Column("size of the group", "number", "derived", size),
        ]


def groups_of(
    vectors: np.ndarray,
    valid: np.ndarray,
    metric: Metric,
    radius: float,
    texts: np.ndarray | None,
    graph: Neighbors | None = None,
) -> Groups:
    """Return the groups of rows within a radius of the row that stays.

    Parameters
    ----------
    vectors : ndarray, shape (n_valid, dim)
    valid : ndarray of int, shape (n_valid,)
        Their row numbers.
    metric : Metric
    radius : float
    texts : ndarray of int64 or None
        The number of each row's text in the data; a row with the text and the vector of the one that stays is a copy.
    graph : Neighbors, optional
        The nearest others of each row of the data, where they are known.
    """
    if not len(valid):
        none = np.empty(0, dtype=np.uint32)
        return Groups(radius, none, none, none.astype(np.float32), none.astype(np.uint8), none)
    known = None if graph is None else kept.renumbered(graph, valid)
    rules = Rules(radius, metric, "greedy", "first", None, graph=known)
    stays = group_rows(vectors, rules)[1]
    order = np.lexsort((np.arange(len(valid)), stays))
    begins = np.flatnonzero(np.append(True, np.diff(stays[order]) != 0))
    sizes = np.diff(np.append(begins, len(valid)))
    largest = np.lexsort((begins, -sizes))
    largest = largest[sizes[largest] > 1]
    members = [order[begins[one] : begins[one] + sizes[one]] for one in largest]
    chosen = np.concatenate(members) if members else np.empty(0, dtype=np.int64)
    distance = distances_between(vectors, stays, metric)
    match = matches(vectors, stays, distance, None if texts is None else texts[valid], metric)
    return Groups(
        radius,
        valid[chosen].astype(np.uint32),
        sizes[largest].astype(np.uint32),
        distance[chosen].astype(np.float32),
        np.array([MATCH[match[row]] for row in chosen], dtype=np.uint8),
        valid[_copies(vectors, metric, None if texts is None else texts[valid])].astype(np.uint32),
        rules.found,
    )


def _copies(vectors: np.ndarray, metric: Metric, texts: np.ndarray | None) -> np.ndarray:
    """Return the rows that `vicinal dedup --radius 0` drops: an earlier row has their vector and their text."""
    if texts is None:
        return np.empty(0, dtype=np.int64)
    same = find("euclidean") if metric.product else metric
    stays = group_rows(vectors, Rules(0.0, same, "greedy", "first", None), None, texts)[1]
    return np.flatnonzero(stays != np.arange(len(vectors)))
