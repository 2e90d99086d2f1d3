"""One loop over blocks of rows, and one padding of results."""

from collections.abc import Iterator

import numpy as np


def blocks(n: int, step: int, first: int = 0) -> Iterator[slice]:
    """Cut the range first..n into slices of at most `step`, and at least 1.

    A caller that may hold so many bytes gives `BYTES // bytes_of_a_row` as the step.

    >>> list(blocks(5, 2)), list(blocks(5, 0, first=3))
    ([slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)], [slice(3, 4, None), slice(4, 5, None)])
    """
    step = max(1, step)
    for start in range(first, n, step):
        yield slice(start, min(n, start + step))


def nothing(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A result without a neighbour: indices int64 (n, k) of -1 and distances float64 (n, k) of inf."""
    return np.full((n, k), -1), np.full((n, k), np.inf)


def padded(indices: np.ndarray, distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k columns of a result, filled with -1 and inf where it has fewer.

    >>> padded(np.array([[4]]), np.array([[0.5]]), k=2)
    (array([[ 4, -1]]), array([[0.5, inf]]))
    """
    indices, distances = indices[:, :k], distances[:, :k]
    missing = k - indices.shape[1]
    if missing <= 0:
        return indices, distances
    columns = ((0, 0), (0, missing))
    return (
        np.pad(indices, columns, constant_values=-1),
        np.pad(distances, columns, constant_values=np.inf),
    )
