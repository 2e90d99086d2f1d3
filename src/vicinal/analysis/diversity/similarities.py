"""Similarities of two rows, and the sums over all rows that the linear ones are computed from."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import as_float64, squared_difference

BLOCK_BYTES = 1 << 24
CLOSE = 1e-9  # below this share of the squared lengths, a squared distance is computed again from differences


def to_unit(vectors: np.ndarray) -> np.ndarray:
    """Each row as float64, scaled to length 1."""
    rows = np.array(vectors, dtype=np.float64)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows


def to_unit_deviations(vectors: np.ndarray) -> np.ndarray:
    """Each row as float64, minus its own mean, scaled to length 1."""
    rows = np.array(vectors, dtype=np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows


def products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The inner products of all rows of a with all rows of b."""
    return np.asarray(a @ b.T)


def inverse_euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 / (1 + Euclidean distance) of all rows of a with all rows of b."""
    lengths = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)[None, :]
    squares = a @ b.T
    squares *= -2
    squares += lengths
    one, other = np.nonzero(squares < CLOSE * lengths)
    for part in blocks(len(one), BLOCK_BYTES // (8 * a.shape[1])):
        squares[one[part], other[part]] = squared_difference(a[one[part]], b[other[part]])
    np.sqrt(squares, out=squares)
    squares += 1
    return np.asarray(np.reciprocal(squares, out=squares))


def inverse_manhattan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 / (1 + sum of absolute differences) of all rows of a with all rows of b."""
    from scipy.spatial.distance import cdist

    sums = cdist(a, b, "cityblock")
    sums += 1
    return np.asarray(np.reciprocal(sums, out=sums))


@dataclass(frozen=True)
class Similarity:
    """A similarity of two rows.

    Attributes
    ----------
    name : str
    prepare : callable
        Vectors -> float64 rows that `between` compares.
    between : callable
        Prepared rows (a, dim) and (b, dim) -> float64 (a, b).
    linear : bool
        Whether it is the inner product of prepared rows, so that sums over all pairs follow from sums over rows.
    most_rows : int
        Up to so many rows all pairs are compared where nothing else is said; above it a sample of pairs.
    without : str
        Which rows it is not defined for; "" for none.
    """

    name: str
    prepare: Callable[[np.ndarray], np.ndarray]
    between: Callable[[np.ndarray, np.ndarray], np.ndarray]
    linear: bool
    most_rows: int = 0
    without: str = ""


SIMILARITIES = (
    Similarity("cosine", to_unit, products, linear=True, without="zero vector, which has no direction"),
    Similarity("euclidean", as_float64, inverse_euclidean, linear=False, most_rows=30_000),
    Similarity("manhattan", as_float64, inverse_manhattan, linear=False, most_rows=10_000),
    Similarity("dot_product", as_float64, products, linear=True),
    Similarity("pearson", to_unit_deviations, products, linear=True, without="equal values, which do not correlate"),
)
BY_NAME = {one.name: one for one in SIMILARITIES}


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the prepared rows of a set.

    Attributes
    ----------
    n : int
    total : ndarray, shape (dim,)
        The sum of the rows.
    squares : float
        The sum of their squared lengths.
    gram : ndarray, shape (m, m)
        Products of columns (dim, dim), or of rows (n, n) where there are at most dim rows. Its eigenvalues above 0 are
        those of the matrix of all pairs.
    """

    n: int
    total: np.ndarray
    squares: float
    gram: np.ndarray


def prepared(vectors: np.ndarray, similarity: Similarity) -> Iterator[np.ndarray]:
    """Yield the prepared rows in blocks, in their order."""
    for part in blocks(len(vectors), BLOCK_BYTES // (8 * vectors.shape[1])):
        yield similarity.prepare(vectors[part])


def moments(vectors: np.ndarray, similarity: Similarity) -> Moments:
    """Return the sums over all rows that a linear similarity is computed from; one pass, O(n dim^2) time.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    similarity : Similarity
        A linear one.

    Examples
    --------
    >>> found = moments(np.array([[3.0, 0.0], [0.0, 2.0], [0.0, 5.0]]), BY_NAME["cosine"])
    >>> found.total.tolist(), found.squares, found.gram.tolist()
    ([1.0, 2.0], 3.0, [[1.0, 0.0], [0.0, 2.0]])
    """
    n, dim = vectors.shape
    total, squares = np.zeros(dim), 0.0
    gram = np.zeros((dim, dim)) if n > dim else None
    for rows in prepared(vectors, similarity):
        total += rows.sum(axis=0)
        squares += float(np.einsum("ij,ij->", rows, rows))
        if gram is not None:
            gram += rows.T @ rows
    if gram is None:
        rows = similarity.prepare(vectors)
        gram = rows @ rows.T
    return Moments(n, total, squares, gram)


def kernel(rows: np.ndarray, others: np.ndarray, similarity: Similarity, threads: int) -> np.ndarray:
    """All similarities of prepared rows, float64 (n, m), by threads over blocks of rows."""
    parts = list(blocks(len(rows), max(1, -(-len(rows) // max(1, threads)))))
    if similarity.linear or len(parts) == 1:  # BLAS has its own threads
        return similarity.between(rows, others)
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(lambda part: similarity.between(rows[part], others), parts)))
