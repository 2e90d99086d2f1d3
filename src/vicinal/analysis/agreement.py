"""Cohen's kappa of two columns of labels: agreement beyond chance, and its confidence interval."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from vicinal.errors import DataError


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of two columns of labels.

    Attributes
    ----------
    value, low, high : float
        Kappa and its confidence interval: 1 is full agreement, 0 that of chance.
    agreement : float
        The share of rows on which the columns agree.
    n : int
        The number of rows.
    confidence : float
        Of the interval, 0 to 1.
    """

    value: float
    low: float
    high: float
    agreement: float
    n: int
    confidence: float


def cohen_kappa(one: np.ndarray, other: np.ndarray, confidence: float = 0.95) -> Kappa:
    """Return how far two columns of labels agree beyond chance.

    Parameters
    ----------
    one, other : ndarray, shape (n,)
        The label of each row by each of two judges, of one type.
    confidence : float
        Of the interval, between 0 and 1.

    Raises
    ------
    DataError
        Their lengths differ, or both columns hold one and the same label.

    References
    ----------
    Cohen 1960; the interval by the large-sample variance of Fleiss, Cohen & Everitt 1969.

    Examples
    --------
    >>> found = cohen_kappa(np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15]))
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
    (0.4, 0.15, 0.65)
    """
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise DataError(f"two columns of labels for the same rows are needed, found {one.shape} and {other.shape}")
    n = len(one)
    names, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    m = len(names)
    table = np.bincount(codes[:n] * m + codes[n:], minlength=m * m).reshape(m, m) / n
    down, across = table.sum(axis=1), table.sum(axis=0)
    agreement, chance = float(np.trace(table)), float(down @ across)
    if chance == 1:
        raise DataError(f"both columns hold the one label {names[0]!s}; agreement beyond chance needs at least two")
    if (codes[:n] == codes[n:]).all():  # which the sums of shares below miss by a rounding
        return Kappa(1.0, 1.0, 1.0, 1.0, n, confidence)
    kappa = (agreement - chance) / (1 - chance)
    diagonal = np.diag(table)
    agreed = (diagonal * (1 - (down + across) * (1 - kappa)) ** 2).sum()
    mixed = (table * (across[:, None] + down[None, :]) ** 2).sum() - (diagonal * (across + down) ** 2).sum()
    variance = agreed + (1 - kappa) ** 2 * mixed - (kappa - chance * (1 - kappa)) ** 2
    margin = NormalDist().inv_cdf(0.5 + confidence / 2) * sqrt(max(0.0, variance) / n) / (1 - chance)
    return Kappa(kappa, max(-1.0, kappa - margin), min(1.0, kappa + margin), agreement, n, confidence)
