"""The nearest rows of a sentence."""

from collections.abc import Callable
from threading import Lock

import numpy as np

from vicinal.data.models import text_embedder
from vicinal.errors import DataError, UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric

FOUND = 100


class Search:
    """Rows that the nearest ones of a sentence are found among; the model is loaded for the first sentence.

    Parameters
    ----------
    vectors : ndarray, shape (n_valid, dim)
    valid : ndarray of int, shape (n_valid,)
        Their row numbers.
    metric : Metric
    model : str or None
        The model that embeds sentences, None where it is not known.
    normalize : bool
        Whether it scales them to length 1.
    """

    def __init__(
        self, vectors: np.ndarray, valid: np.ndarray, metric: Metric, model: str | None, normalize: bool
    ) -> None:
        self._vectors, self._valid, self._metric = vectors, valid, metric
        self._model, self._normalize = model, normalize
        self._lock = Lock()
        self._embed: Callable[[list[str]], np.ndarray] | None = None
        self._index: Exact | None = None
        self.problem = ""
        if model is None:
            self.problem = (
                "model: it is not known which model made the embeddings; name it by --model (in Python: model=)"
            )

    def nearest(self, text: str) -> list[tuple[int, float]]:
        """Return the row number and the distance of the nearest rows, nearest first.

        Raises
        ------
        UsageError
            The model is not known or cannot be loaded.
        DataError
            Its vectors have another dimension than the rows.
        """
        if self.problem or self._model is None:
            raise UsageError(self.problem)
        with self._lock:  # one sentence at a time: the model uses all cores
            if self._embed is None:
                self._embed = text_embedder(self._model, self._normalize)
            query = self._embed([text])
            if query.shape[1] != self._vectors.shape[1]:
                raise DataError(
                    f"model: {self._model} gives vectors of dim {query.shape[1]}, the rows have "
                    f"{self._vectors.shape[1]}; name the model that made them"
                )
            if self._index is None:
                self._index = Exact(self._metric).fit(self._vectors, invalid={})
            found = self._index.search(query, min(FOUND, len(self._vectors)))
        pairs = zip(found.indices[0].tolist(), found.distances[0].tolist(), strict=True)
        return [(int(self._valid[row]), float(distance)) for row, distance in pairs if row >= 0]
