"""Maximal marginal relevance: results that are near the query and far from each other.

The next result is the candidate of the largest

    lambda_mult * similarity to the query  -  (1 - lambda_mult) * largest similarity to a result that is chosen already

Source  Carbonell & Goldstein 1998; the similarity is the cosine, as in langchain
"""

import numpy as np

from vicinal.errors import UsageError
from vicinal.knn.metrics import Metric, to_unit_length


def max_marginal_relevance(
    query: np.ndarray, candidates: np.ndarray, k: int, lambda_mult: float, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidates that are chosen, in the order of choice, and the value by which each was chosen.

    Parameters
    ----------
    query : ndarray, shape (dim,)
    candidates : ndarray, shape (n, dim)
        Nearest first; of equal values the first is chosen.
    k : int
    lambda_mult : float
        From 0, only unlike each other, to 1, only like the query.
    metric : Metric
        Of packed bits the similarity is 1 - distance, of hamming as a share of all bits; else it is the cosine, which
        is 0 for a vector of zeros.

    Raises
    ------
    UsageError
        `lambda_mult` is not from 0 to 1.

    Examples
    --------
    >>> from vicinal.knn.metrics import find
    >>> candidates = np.array([[1.0, 0.0], [0.99, 0.14], [0.6, 0.8]])
    >>> max_marginal_relevance(np.array([1.0, 0.05]), candidates, 2, 0.3, find("cosine"))[0].tolist()
    [0, 2]
    """
    check_lambda(lambda_mult)
    unit = _comparable(candidates, metric)
    relevance = _similarity(unit, _comparable(query[None], metric), metric)
    redundancy = np.full(len(candidates), -np.inf)
    left = np.ones(len(candidates), dtype=bool)
    chosen: list[int] = []
    values: list[float] = []
    for _ in range(min(k, len(candidates))):
        value = lambda_mult * relevance
        if chosen:
            redundancy = np.maximum(redundancy, _similarity(unit, unit[chosen[-1]][None], metric))
            value = value - (1 - lambda_mult) * redundancy
        # The first is the nearest to the query also where lambda_mult is 0 and every value is 0.
        place = int(np.argmax(np.where(left, value if chosen else relevance, -np.inf)))
        chosen.append(place)
        values.append(float(value[place]))
        left[place] = False
    return np.array(chosen, dtype=np.int64), np.array(values)


def check_lambda(lambda_mult: object, name: str = "lambda_mult") -> None:
    """Raise UsageError where it is not a number from 0 to 1."""
    number = isinstance(lambda_mult, int | float | np.number) and not isinstance(lambda_mult, bool)
    if not number or not 0 <= lambda_mult <= 1:  # type: ignore[operator]
        raise UsageError(
            f"{name}: expected a number from 0 (unlike each other) to 1 (like the query), got {lambda_mult!r}"
        )


def _comparable(vectors: np.ndarray, metric: Metric) -> np.ndarray:
    """Packed bits as they are, other vectors at length 1, zeros as zeros."""
    if metric.kernel == "bits":
        return vectors
    rows = np.array(vectors, dtype=np.float64)
    # Divided by the largest value first, so that no square overflows or underflows.
    largest = np.abs(rows).max(axis=1, initial=0.0)
    some = largest > 0
    rows[some] = to_unit_length(rows[some] / largest[some, None])
    return rows


def _similarity(rows: np.ndarray, one: np.ndarray, metric: Metric) -> np.ndarray:
    """The similarity of each row to one row."""
    if metric.kernel == "bits":
        distance = metric.pairwise(rows, one)[:, 0]
        result: np.ndarray = 1.0 - distance / (8 * rows.shape[1] if metric.name == "hamming" else 1)
        return result
    product: np.ndarray = rows @ one[0]
    return product
