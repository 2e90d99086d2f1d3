"""Scores: pure functions of `Neighbors` that give one number a row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vicinal.graph import Neighbors


def mean_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """The mean distance to the k nearest: high is isolated and unique, low is surrounded and redundant.

    Returns   float32 (n,) in the metric's unit; the mean is taken in float64
    Source    score_i = (1/k) sum_{j=1..k} d(e_i, e_nj), the k-NN score of data selection

    >>> mean_distance(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]]), k=2).tolist()
    [2.0, 1.5, 2.5]
    """
    return neighbors.nearest(k).distances.mean(axis=1, dtype=np.float64).astype(np.float32)


@dataclass(frozen=True)
class Score:
    """A row of the table: the name that configurations use, and the function."""

    name: str
    compute: Callable[[Neighbors, int], np.ndarray]


SCORES = (Score("KNNScorer", mean_distance),)
BY_NAME = {score.name: score for score in SCORES}
