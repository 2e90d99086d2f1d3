"""The mean similarity over the pairs of a set (average pairwise similarity, APS)."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from vicinal.analysis.diversity.similarities import BLOCK_BYTES, Moments, Similarity, kernel
from vicinal.knn.blocks import blocks

TILE = 2048
DEFAULT_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Average:
    """A mean over pairs of rows.

    Attributes
    ----------
    value : float
    n_pairs : int
        The number of pairs that the mean is over.
    sampled : bool
        Whether these are a sample of all pairs.
    error : float
        The standard error of the mean; 0 where it is over all pairs.
    """

    value: float
    n_pairs: int
    sampled: bool = False
    error: float = 0.0


def average_of_moments(sums: Moments) -> Average:
    """Return the mean inner product over all pairs: (|sum of rows|^2 - sum of |row|^2) / (n (n - 1)).

    Examples
    --------
    >>> from vicinal.analysis.diversity.similarities import BY_NAME, moments
    >>> average_of_moments(moments(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), BY_NAME["cosine"]))
    Average(value=0.3333333333333333, n_pairs=3, sampled=False, error=0.0)
    """
    both = sums.n * (sums.n - 1)
    return Average((float(sums.total @ sums.total) - sums.squares) / both, both // 2)


def average_of_all(rows: np.ndarray, similarity: Similarity, threads: int = 1) -> Average:
    """Return the mean similarity over all pairs, tile by tile.

    Parameters
    ----------
    rows : ndarray, shape (n, dim)
        Prepared rows, at least two.
    similarity : Similarity
    threads : int

    Examples
    --------
    >>> from vicinal.analysis.diversity.similarities import BY_NAME
    >>> found = average_of_all(np.array([[0.0], [1.0], [4.0]]), BY_NAME["euclidean"])
    >>> round(found.value, 6)  # (1/2 + 1/5 + 1/4) / 3
    0.316667
    """
    n, sums = len(rows), 0.0
    for down in blocks(n, TILE):
        for across in blocks(n, TILE, down.start):
            tile = kernel(rows[down], rows[across], similarity, threads)
            whole = float(tile.sum())
            sums += (whole - float(np.trace(tile))) / 2 if across.start == down.start else whole
    return Average(sums / (n * (n - 1) // 2), n * (n - 1) // 2)


def average_of_sample(rows: np.ndarray, similarity: Similarity, count: int, seed: int) -> Average:
    """Return the mean similarity over some pairs, drawn without replacement by the seed, and its standard error.

    Parameters
    ----------
    rows : ndarray, shape (n, dim)
        Prepared rows.
    similarity : Similarity
    count : int
        Fewer than there are pairs.
    seed : int
    """
    n = len(rows)
    first, second = pairs_of(np.sort(drawn(n * (n - 1) // 2, count, np.random.default_rng(seed))))
    values = np.empty(count)
    for part in blocks(count, BLOCK_BYTES // (8 * rows.shape[1])):
        a, b = rows[first[part]], rows[second[part]]
        values[part] = _of_pairs(a, b, similarity)
    spread = float(values.std(ddof=1)) if count > 1 else float("inf")
    missed = 1 - count / (n * (n - 1) // 2)  # a sample without replacement errs less
    return Average(float(values.mean()), count, True, spread * sqrt(missed / count))


def drawn(total: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Different whole numbers below `total`, in memory of the order of `count`.

    >>> len(set(drawn(4, 3, np.random.default_rng(0)).tolist()) & {0, 1, 2, 3})
    3
    """
    if total <= 4 * count:
        return random.permutation(total)[:count]
    found = np.empty(0, dtype=np.int64)
    while len(found) < count:
        found = np.unique(np.concatenate([found, random.integers(total, size=count - len(found) + 16)]))
    return random.permutation(found)[:count]


def pairs_of(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of rows with these numbers, where the pairs are (1, 0), (2, 0), (2, 1), (3, 0), ...

    >>> [one.tolist() for one in pairs_of(np.arange(4))]
    [[1, 2, 2, 3], [0, 0, 1, 0]]
    """
    first = ((1 + np.sqrt(1 + 8 * numbers.astype(np.float64))) / 2).astype(np.int64)
    first -= first * (first - 1) // 2 > numbers  # the root may be off by one
    first += first * (first + 1) // 2 <= numbers
    return first, numbers - first * (first - 1) // 2


def _of_pairs(a: np.ndarray, b: np.ndarray, similarity: Similarity) -> np.ndarray:
    """The similarity of each row of a with the same row of b, of prepared rows."""
    if similarity.linear:
        return np.asarray(np.einsum("ij,ij->i", a, b))
    difference = a - b
    if similarity.name == "euclidean":
        return np.asarray(1 / (1 + np.sqrt(np.einsum("ij,ij->i", difference, difference))))
    return np.asarray(1 / (1 + np.abs(difference).sum(axis=1)))
