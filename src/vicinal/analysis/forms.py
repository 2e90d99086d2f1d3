"""The forms that scores can be put in, so that they can be compared between models, metrics and data sets."""

import numpy as np


def percentile(values: np.ndarray) -> np.ndarray:
    """Return where each value stands among all: the share of rows below it and half of those equal to it, in percent.

    Parameters
    ----------
    values : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
        float64, above 0 and below 100; NaN where a value is not finite, and such rows count nowhere.

    Examples
    --------
    >>> percentile(np.array([0.3, 0.1, 0.3, 9.0])).tolist()
    [50.0, 12.5, 50.0, 87.5]
    """
    finite = np.isfinite(values)
    out = np.full(len(values), np.nan)
    _, group, counts = np.unique(values[finite], return_inverse=True, return_counts=True)
    out[finite] = (100.0 / max(1, int(finite.sum())) * (np.cumsum(counts) - counts / 2))[group]
    return out


def ratio_to_median(values: np.ndarray) -> np.ndarray:
    """Return each value divided by the median of all finite ones: 1 is typical, whatever the model and metric.

    Parameters
    ----------
    values : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
        float64; inf or NaN where the median is 0.

    Examples
    --------
    >>> ratio_to_median(np.array([1.0, 2.0, 6.0])).tolist()
    [0.5, 1.0, 3.0]
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: np.ndarray = values / (np.median(finite) if len(finite) else np.nan)
    return ratios
