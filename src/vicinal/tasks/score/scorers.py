"""Scorers as Python users call them: embeddings in, one score a row out."""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.scores import mean_distance
from vicinal.indexes import Exact
from vicinal.typing import ArrayLike


@dataclass(frozen=True)
class KNNScorer:
    """The mean distance of each row to its k nearest other rows.

    k       : 1 <= k; where k >= n it becomes n - 1, with one warning
    metric  : a name or alias from `vicinal.knn.metrics`
    threads : how many to use; None for the machine's cores

    >>> KNNScorer(k=1).score([[0.0], [1.0], [3.0]]).tolist()
    [1.0, 1.0, 2.0]
    """

    k: int = 5
    metric: str = "euclidean"
    threads: int | None = None

    def score(self, embeddings: ArrayLike) -> np.ndarray:
        """One score a row, float32 (n,): high is unique, low is redundant.

        embeddings : (n, dim), n >= 2
        Raises       as `Exact.fit` and `Exact.neighbors`
        """
        neighbors = Exact(self.metric, self.threads).fit(embeddings).neighbors(self.k)
        return mean_distance(neighbors, neighbors.k)
