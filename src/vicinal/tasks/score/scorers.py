"""`KNNScorer`: a class with a `score` method for arrays of embeddings."""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.scores import mean_distance
from vicinal.data.embeddings import load
from vicinal.indexes import Exact
from vicinal.typing import ArrayLike, MetricName


@dataclass(frozen=True)
class KNNScorer:
    """The mean distance of each row to its k nearest other rows.

    Parameters
    ----------
    k : int
        At least 1; where k >= n it becomes n - 1, with one warning.
    metric : str
        A name or alias of `vicinal.METRICS`.
    threads : int, optional
        By default the cores of the machine.

    Examples
    --------
    >>> KNNScorer(k=1).score([[0.0], [1.0], [3.0]]).tolist()
    [1.0, 1.0, 2.0]
    """

    k: int = 5
    metric: MetricName = "euclidean"
    threads: int | None = None

    def score(self, embeddings: ArrayLike) -> np.ndarray:
        """Return one score a row: high is unique, low is redundant.

        Parameters
        ----------
        embeddings : array_like, shape (n, dim)
            At least two rows.

        Returns
        -------
        ndarray of float32, shape (n,)

        Raises
        ------
        DataError
            The embeddings cannot be used, or a row has no distance.
        """
        index = Exact(self.metric, self.threads)
        rows = load(embeddings, metric=index.metric, at_least=2)
        neighbors = index.fit(rows.vectors, invalid={}).neighbors(self.k)
        return mean_distance(neighbors, neighbors.k)
