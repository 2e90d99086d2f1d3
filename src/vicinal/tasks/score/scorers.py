"""`KNNScorer`: embeddings in, the mean distance to the nearest others out."""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.scores import mean_distance
from vicinal.indexes import Exact


@dataclass(frozen=True)
class KNNScorer:
    """The mean distance of each row to its k nearest other rows, as an object with a `score` method.

    Parameters
    ----------
    k : int
        At least 1; where there are fewer other rows, all of them, with a warning.
    metric : str
        A name or alias of `vicinal.knn.metrics`.
    threads : int or None
        The number of threads; None for all cores.

    See Also
    --------
    vicinal.score : several scores from one pass, data sets with ids, groups and references.

    Examples
    --------
    >>> KNNScorer(k=1).score([[0.0], [1.0], [3.0]]).tolist()
    [1.0, 1.0, 2.0]
    """

    k: int = 5
    metric: str = "euclidean"
    threads: int | None = None

    def score(self, embeddings: object) -> np.ndarray:
        """Return one score a row: high is unique, low is redundant.

        Parameters
        ----------
        embeddings : array_like, shape (n, dim)
            At least 2 rows.

        Returns
        -------
        ndarray, shape (n,)
            float32, in the metric's unit.

        Raises
        ------
        DataError
            Another shape or dtype, or rows that no distance is defined for.
        UsageError
            k or the metric cannot be used.
        """
        neighbors = Exact(self.metric, self.threads).fit(embeddings).neighbors(self.k)
        return mean_distance(neighbors, neighbors.k)
