"""NovelSum: the mean over rows of rho_i times the weighted mean of the cosine distances to all rows.

The distances of a row, its own 0 included, are sorted, and the j-th nearest has the weight 1 / j^p. rho_i is the
density around the row among the rows of a reference. The distances are computed and sorted for blocks of rows, so that
memory is O(n block), never O(n^2).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vicinal.analysis.diversity.similarities import to_unit
from vicinal.errors import DataError
from vicinal.knn.blocks import blocks
from vicinal.knn.copies import find_copies
from vicinal.knn.exact import ExactSearch
from vicinal.typing import Progress

BLOCK_BYTES = 1 << 26
REGULAR = 1e-9  # added to mean squared distances, so that copies have a density


def weighted_distances(
    vectors: np.ndarray, powers: Sequence[float], threads: int = 1, progress: Progress | None = None
) -> tuple[np.ndarray, float]:
    """Return each row's weighted mean cosine distance to all rows, and the mean of all distances.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        No row of zeros.
    powers : sequence of float
        The exponents p of the ranks in the weights; p = 0 alone costs O(n dim), others O(n^2 dim).
    threads : int
    progress : callable, optional
        Called with (rows done, rows in all).

    Returns
    -------
    ndarray, shape (n, n_powers)
        float64; distances are computed in float32 from the rows minus their mean direction, so that near rows of a
        narrow set keep their digits.
    float
        The mean distance over all pairs (i, j), i = j included.

    Examples
    --------
    >>> means, all_pairs = weighted_distances(np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), [0, 1])
    >>> means.round(6).tolist()  # the first row: 0, 1 and 2; weights 1, 1/2 and 1/3
    [[1.0, 0.636364], [0.666667, 0.454545], [1.0, 0.636364]]
    >>> round(all_pairs, 6)
    0.888889
    """
    n = len(vectors)
    rows = to_unit(vectors)
    mean = rows.mean(axis=0)
    found = np.empty((n, len(powers)))
    plain = 1 - rows @ mean
    sorting = [number for number, power in enumerate(powers) if power != 0]
    for number, power in enumerate(powers):
        if power == 0:
            found[:, number] = plain
    if sorting:
        rows -= mean
        weights = np.arange(1, n + 1, dtype=np.float64)[:, None] ** -np.array([powers[one] for one in sorting])
        found[:, sorting] = _sorted_means(rows, weights / weights.sum(axis=0), threads, progress)
    return found, float(plain.mean())


def _sorted_means(rows: np.ndarray, weights: np.ndarray, threads: int, progress: Progress | None) -> np.ndarray:
    """The weighted mean of each row's sorted distances |a|^2 / 2 + |b|^2 / 2 - ab to all rows."""
    n = len(rows)
    half = (np.einsum("ij,ij->i", rows, rows) / 2).astype(np.float32)
    across = rows.astype(np.float32)
    found, done = np.empty((n, weights.shape[1])), 0

    def part(block: slice) -> int:
        distances = across[block] @ across.T
        np.subtract(half[None, :], distances, out=distances)
        distances += half[block, None]
        np.maximum(distances, 0, out=distances)
        distances[np.arange(block.stop - block.start), np.arange(block.start, block.stop)] = 0
        distances.sort(axis=1)
        sums = np.zeros((len(distances), weights.shape[1]))
        for columns in blocks(n, 1 << 13):
            sums += distances[:, columns].astype(np.float64) @ weights[columns]
        found[block] = sums
        return len(distances)

    with ThreadPoolExecutor(threads) as pool:
        for count in pool.map(part, blocks(n, min(256, BLOCK_BYTES // (4 * n)))):
            done += count
            if progress is not None:
                progress(done, n)
    return found


def density_distances(vectors: np.ndarray, reference: np.ndarray, k: int, threads: int = 1) -> np.ndarray:
    """Return the squared distances of each row to its nearest distinct rows of a reference, without the nearest one.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    reference : ndarray, shape (m, dim)
        With the vectors themselves among its rows, so that the nearest, which is left out, is the row itself.
    k, threads : int

    Returns
    -------
    ndarray, shape (n, k)

    Raises
    ------
    DataError
        The reference has fewer than k + 1 distinct rows.
    """
    distinct = reference[find_copies(np.asarray(reference)).first]
    if len(distinct) <= k:
        raise DataError(
            f"reference: found {len(distinct)} distinct rows, expected at least {k + 1}, one more than neighbors; give "
            "fewer neighbors or a larger reference"
        )
    nearest = ExactSearch.of(distinct, "sqeuclidean", threads).search(vectors, k + 1)
    return np.asarray(nearest.distances[:, 1:], dtype=np.float64)


def densities(squared: np.ndarray, power: float) -> np.ndarray:
    """Return rho of each row: (mean of the squared distances + 1e-9)^-power.

    Parameters
    ----------
    squared : ndarray, shape (n, k)
    power : float

    References
    ----------
    Yang et al. 2025, "Measuring data diversity for instruction tuning", arXiv 2502.17184.

    Examples
    --------
    >>> densities(np.array([[4.0, 4.0], [1.0, 1.0]]), 0.5).round(6).tolist()
    [0.5, 1.0]
    """
    return np.asarray((squared.mean(axis=1) + REGULAR) ** -power)
