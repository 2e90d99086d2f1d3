"""The logarithm of the determinant of the cosine similarities of a set, plus alpha on the diagonal.

With n rows in dim coordinates, K has rank at most dim. Where n > dim, the determinant is that of a dim x dim matrix:
det(K + alpha I_n) = alpha^(n - dim) det(G + alpha I_dim), G the products of columns. Computed from K itself in floating
point, the n - dim eigenvalues that are alpha come out as rounding noise instead.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from vicinal.analysis.diversity.similarities import Moments, Similarity, kernel
from vicinal.knn.blocks import blocks

MOST_ROWS = 20_000
TILE = 2048
NEGATIVE = -1e-10  # an eigenvalue below it is counted as negative


@dataclass(frozen=True)
class LogDet:
    """The determinant of K + alpha I, and statistics of that matrix.

    Attributes
    ----------
    value : float
        The natural logarithm of the determinant; -inf where it is 0.
    sign : int
        Of the determinant: 1, or 0 where K is singular and alpha is 0.
    least, largest : float
        The extreme eigenvalues.
    minimum : float or None
        The least similarity of two rows; None where it was not looked for.
    mean, deviation : float
        Over all entries of the matrix, the diagonal included.
    """

    value: float
    sign: int
    least: float
    largest: float
    minimum: float | None
    mean: float
    deviation: float


def log_det(sums: Moments, alpha: float, minimum: float | None = None) -> LogDet:
    """Return ln det(K + alpha I) of rows of length 1, from their sums.

    Parameters
    ----------
    sums : Moments
        Of the cosine similarity.
    alpha : float
        At least 0.
    minimum : float, optional
        The least similarity, which the sums do not hold; as `least_similarity` returns it.

    Examples
    --------
    >>> from vicinal.analysis.diversity.similarities import BY_NAME, moments
    >>> plane = moments(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), BY_NAME["cosine"])
    >>> round(log_det(plane, 1.0).value, 6)  # eigenvalues 2, 3 and 1
    1.791759
    >>> log_det(plane, 0.0).value
    -inf
    """
    n, spectrum = sums.n, np.linalg.eigvalsh(sums.gram)
    rounding = len(spectrum) * np.finfo(float).eps * float(spectrum[-1])
    spectrum = np.where(np.abs(spectrum) <= rounding, 0.0, spectrum) + alpha
    rest = n - len(spectrum)
    singular = alpha == 0 and (rest > 0 or bool((spectrum <= 0).any()))
    value = float("-inf") if singular else float(np.log(spectrum).sum()) + (rest * log(alpha) if rest else 0.0)
    squares = float((sums.gram**2).sum()) + 2 * alpha * sums.squares + alpha * alpha * n
    mean = (float(sums.total @ sums.total) + alpha * n) / n**2
    return LogDet(
        value=value,
        sign=0 if singular else 1,
        least=min(float(spectrum[0]), alpha) if rest else float(spectrum[0]),
        largest=float(spectrum[-1]),
        minimum=minimum,
        mean=mean,
        deviation=sqrt(max(0.0, squares / n**2 - mean**2)),
    )


def least_similarity(rows: np.ndarray, similarity: Similarity, threads: int = 1) -> float:
    """Return the least similarity of two rows, tile by tile; O(n^2 dim) time.

    Parameters
    ----------
    rows : ndarray, shape (n, dim)
        Prepared rows.
    similarity : Similarity
    threads : int
    """
    least = float("inf")
    for down in blocks(len(rows), TILE):
        for across in blocks(len(rows), TILE, down.start):
            least = min(least, float(kernel(rows[down], rows[across], similarity, threads).min()))
    return least
