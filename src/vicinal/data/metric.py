"""The metric of a task: a name, a `Metric`, or "mahalanobis" with its matrix or with the rows' own covariance.

"mahalanobis" needs the rows before it is a metric. So a task chooses the metric, loads the rows for `reading`, and
then resolves it:

    choice = metric.choose("mahalanobis", matrix="M.npy")
    rows = embeddings.load("emb.npy", metric=choice.reading, at_least=2)
    measure = choice.resolve(rows)
"""

import os
from dataclasses import dataclass

import numpy as np

from vicinal.data.embeddings import Embeddings
from vicinal.data.opening import open_source
from vicinal.errors import DataError, UsageError
from vicinal.knn import metrics
from vicinal.knn.metrics import Metric

MAHALANOBIS = "mahalanobis"


@dataclass(frozen=True, eq=False)
class MetricChoice:
    """A metric that a caller chose.

    Attributes
    ----------
    reading : Metric
        What embeddings are loaded and checked for: the metric itself, or euclidean for mahalanobis.
    whitened : bool
        Whether the metric is mahalanobis, whose matrix `resolve` reads or estimates.
    matrix : ndarray or None
        The matrix of mahalanobis; None for the inverse of the rows' own covariance.
    place : str
        What messages call the matrix: its file, or the argument.
    """

    reading: Metric
    whitened: bool = False
    matrix: np.ndarray | None = None
    place: str = "matrix"

    def resolve(self, rows: Embeddings) -> Metric:
        """Return the metric.

        Parameters
        ----------
        rows : Embeddings
            The stored rows, at least two. Under mahalanobis, their mean is the origin and, without a matrix, the
            inverse of their covariance is the matrix.

        Raises
        ------
        DataError
            The matrix does not fit the rows or is no metric's; the covariance has no inverse.
        """
        if not self.whitened:
            return self.reading
        matrix = _inverse_covariance(rows) if self.matrix is None else self.matrix
        if matrix.shape != (rows.dim, rows.dim) or matrix.dtype.kind not in "fiu" or not np.isfinite(matrix).all():
            raise DataError(
                f"{self.place}: found {matrix.dtype} of shape {matrix.shape}, expected ({rows.dim}, {rows.dim}) finite "
                f"numbers for {rows.name}"
            )
        try:
            return metrics.mahalanobis(matrix, rows.vectors.mean(axis=0, dtype=np.float64))
        except UsageError as error:
            raise DataError(str(error) if self.place == "matrix" else f"{self.place}: {error}") from None


def choose(metric: Metric | str, matrix: object = None) -> MetricChoice:
    """Return a metric that a caller chose by name.

    Parameters
    ----------
    metric : Metric or str
        A name or alias of `vicinal.knn.metrics`, "mahalanobis", or a `Metric`.
    matrix : array_like or path, optional
        The symmetric positive semi-definite M (dim, dim) of "mahalanobis", sqrt((x - y)' M (x - y)): an array or a
        file. Default: the inverse of the rows' covariance.

    Raises
    ------
    UsageError
        The metric is not known, its matrix file is not there, or a matrix was given to another metric.

    Examples
    --------
    >>> from vicinal.data.embeddings import load
    >>> measure = choose("mahalanobis", [[4.0, 0.0], [0.0, 1.0]]).resolve(load([[0.0, 0.0], [1.0, 0.0]]))
    >>> measure.pairwise(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]]))
    array([[2.]])
    """
    if metric != MAHALANOBIS:
        chosen = metrics.find(metric)
        if matrix is not None:
            raise UsageError(
                f"matrix: it belongs to metric mahalanobis, got metric {chosen.name}; give --metric mahalanobis (in "
                "Python: metric='mahalanobis') or leave the matrix out"
            )
        return MetricChoice(chosen)
    reading = metrics.find("euclidean")
    if matrix is None:
        return MetricChoice(reading, whitened=True)
    if isinstance(matrix, str | os.PathLike):
        return MetricChoice(reading, True, np.asarray(open_source(matrix, "matrix").values), str(matrix))
    return MetricChoice(reading, True, np.asarray(matrix))


def _inverse_covariance(rows: Embeddings) -> np.ndarray:
    covariance = np.cov(rows.vectors, rowvar=False, dtype=np.float64).reshape(rows.dim, rows.dim)
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if rank < rows.dim:
        raise DataError(
            f"{rows.name}: the covariance of {len(rows)} rows has rank {rank} of {rows.dim}, so it has no inverse; "
            "give --matrix (in Python: matrix=): learned, or precision_ of sklearn.covariance.LedoitWolf, whose "
            "covariance is shrunk"
        )
    return np.asarray(np.linalg.inv(covariance))
