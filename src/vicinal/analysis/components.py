"""Connected components of a graph of rows."""

import numpy as np


def components(n: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The connected components of n rows under the edges a[i] - b[i]: the lowest row of each row's component.

    Parameters
    ----------
    n : int
    a, b : ndarray of int, shape (n_edges,)

    Returns
    -------
    ndarray
        int64 (n,)

    References
    ----------
    After Shiloach & Vishkin 1982: every edge pulls the larger of its two labels down to the smaller, and labels are
    followed to their ends, until nothing moves.

    Examples
    --------
    >>> components(5, np.array([3, 1]), np.array([1, 4])).tolist()
    [0, 1, 2, 1, 1]
    """
    label = np.arange(n)
    while len(a):
        low, high = np.minimum(label[a], label[b]), np.maximum(label[a], label[b])
        apart = low != high
        a, b = a[apart], b[apart]
        np.minimum.at(label, high[apart], low[apart])
        while not np.array_equal(label, followed := label[label]):
            label = followed
    return label
