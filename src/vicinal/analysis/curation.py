"""Which rows experts should label next: near pairs of different labels, one overlap of clusters after the other."""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.label_review import BoundaryPairs, nearest_of_other_label
from vicinal.knn.neighbors import Neighbors

REACHED, PLATEAU = "reached", "plateau"


def pairs_between_clusters(
    neighbors: Neighbors, labels: np.ndarray, clusters: np.ndarray, free: np.ndarray, count: int, evaluation: float
) -> BoundaryPairs:
    """Return near pairs of rows with different labels, from as many overlaps of two clusters as there are.

    Candidates are each row and its nearest of a different label. They are grouped by the two clusters that they lie in;
    the groups take turns, the one with the most candidates first, and give their nearest pair of rows that are free.

    Parameters
    ----------
    neighbors : Neighbors
    labels : ndarray of int, shape (n,)
    clusters : ndarray of int, shape (n,)
        The cluster of each row; the rows of a cluster have one label.
    free : ndarray of bool, shape (n,)
        Rows that may be chosen.
    count : int
        How many pairs at most.
    evaluation : float
        The share of pairs that is set aside for evaluation.

    References
    ----------
    Google Research 2025, "Achieving 10,000x training data reduction with high-fidelity labels".

    Examples
    --------
    >>> line = Neighbors([[1, 2], [0, 2], [1, 3], [2, 1]], [[1, 3], [1, 2], [2, 3], [3, 5]])
    >>> labels = np.array([0, 0, 1, 1])
    >>> pairs = pairs_between_clusters(line, labels, labels, np.ones(4, dtype=bool), 2, 0.5)
    >>> pairs.first.tolist(), pairs.second.tolist(), pairs.distances.tolist()
    ([1], [2], [2.0])
    """
    ends, far = nearest_of_other_label(neighbors, labels, free)
    sides = np.sort(clusters[ends], axis=1)
    _, nearest, group, sizes = np.unique(sides, axis=0, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((nearest, -sizes))  # candidates are ascending: of groups of one size, the nearest pair first
    queues = [np.flatnonzero(group.ravel() == one) for one in order]
    taken, chosen = ~free, list[int]()
    places = [0] * len(queues)
    while len(chosen) < count and any(place < len(queue) for place, queue in zip(places, queues, strict=True)):
        for number, queue in enumerate(queues):
            while places[number] < len(queue) and taken[ends[queue[places[number]]]].any():
                places[number] += 1
            if places[number] < len(queue) and len(chosen) < count:
                chosen.append(int(queue[places[number]]))
                taken[ends[chosen[-1]]] = True
    pairs = ends[chosen].reshape(-1, 2)
    turns = np.floor((np.arange(len(chosen)) + 1) * evaluation) > np.floor(np.arange(len(chosen)) * evaluation)
    return BoundaryPairs(pairs[:, 0], pairs[:, 1], far[chosen], turns)


@dataclass(frozen=True)
class Round:
    """What was measured after the labels of a round.

    Attributes
    ----------
    labelled : int
        The number of rows that the experts have labelled.
    model : float
        Cohen's kappa of the model with the experts on the evaluation rows, the mean of the two.
    experts : float
        Of the experts with each other, on all rows.
    """

    labelled: int
    model: float
    experts: float


def why_to_stop(rounds: list[Round], tolerance: float, patience: int) -> str:
    """Return "reached", "plateau", or "" to go on.

    Parameters
    ----------
    rounds : list of Round
    tolerance : float
        What counts as a rise of the model's kappa.
    patience : int
        The number of rounds without one after which to stop.

    Examples
    --------
    >>> why_to_stop([Round(10, 0.5, 0.8)], 0.01, 2), why_to_stop([Round(10, 0.81, 0.8)], 0.01, 2)
    ('', 'reached')
    >>> why_to_stop([Round(10, 0.6, 0.8), Round(20, 0.6, 0.8), Round(30, 0.59, 0.8)], 0.01, 2)
    'plateau'
    """
    if rounds and rounds[-1].model >= rounds[-1].experts:
        return REACHED
    values = [one.model for one in rounds]
    if len(values) > patience and max(values[-patience:]) <= max(values[:-patience]) + tolerance:
        return PLATEAU
    return ""
