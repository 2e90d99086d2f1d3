"""The Vendi score: how many different rows a set is worth, exp of the entropy of the eigenvalues of its similarities.

With K the matrix of similarities and l its eigenvalues over their sum, the score is exp(-sum l ln l): n for rows that
are all different, 1 for copies. Similarities that are inner products have the eigenvalues of a dim x dim matrix. The
others are computed from K itself up to MOST_ROWS rows, and estimated above it, in three steps:

1. m landmark rows give the Nystrom approximation K = N + R, and the eigenvalues of N (m of them, exactly).
2. R is positive semi-definite with a known trace r. Its purity tr(R^2) is measured on a sample of rows, so that its
   entropy lies between the Renyi entropy -ln purity and ln(n - m).
3. The entropy is concave, and so lies between (1 - r) S(N) + r S(R) and that plus the entropy of (r, 1 - r).
"""

from dataclasses import dataclass
from math import exp, log

import numpy as np

from vicinal.analysis.diversity.similarities import BLOCK_BYTES, Moments, Similarity, kernel
from vicinal.knn.blocks import blocks

MOST_ROWS = 3000
LANDMARKS = 1000
SAMPLE = 1000
SMALLEST = 1e-10  # of the largest eigenvalue of the landmarks: below it there is no direction to project on


@dataclass(frozen=True)
class Vendi:
    """A Vendi score.

    Attributes
    ----------
    value : float
    low, high : float
        Bounds of the value; equal to it where it is exact.
    landmarks : int
        The number of rows that an estimate is made from; 0 where the value is exact.
    """

    value: float
    low: float
    high: float
    landmarks: int = 0


def entropy(weights: np.ndarray) -> float:
    """Return -sum p ln p of weights over their sum; weights of 0 and below count nothing.

    >>> round(entropy(np.array([2.0, 2.0, 0.0])), 6)
    0.693147
    """
    shares = weights[weights > 0]
    shares = shares / shares.sum()
    return -float(shares @ np.log(shares))


def vendi_of_moments(sums: Moments) -> Vendi:
    """Return the Vendi score of a similarity that is an inner product.

    The eigenvalues are taken over their sum, which is n for cosine and pearson. Inner products of rows that are not of
    length 1 have another sum; without this division their score has no meaning.

    Examples
    --------
    >>> from vicinal.analysis.diversity.similarities import BY_NAME, moments
    >>> round(vendi_of_moments(moments(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), BY_NAME["cosine"])).value, 6)
    1.889882
    """
    value = exp(entropy(np.linalg.eigvalsh(sums.gram)))
    return Vendi(value, value, value)


def vendi_of_all(rows: np.ndarray, similarity: Similarity, threads: int = 1) -> Vendi:
    """Return the Vendi score from the whole matrix of similarities: n^2 numbers, O(n^3) time.

    Parameters
    ----------
    rows : ndarray, shape (n, dim)
        Prepared rows.
    similarity : Similarity
    threads : int
    """
    value = exp(entropy(np.linalg.eigvalsh(kernel(rows, rows, similarity, threads))))
    return Vendi(value, value, value)


def vendi_estimate(
    vectors: np.ndarray, similarity: Similarity, threads: int = 1, seed: int = 0, landmarks: int = LANDMARKS
) -> Vendi:
    """Return an estimate of the Vendi score from landmark rows, with bounds.

    O(n landmarks (dim + landmarks)) time, O(landmarks^2) memory.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        More rows than landmarks.
    similarity : Similarity
        With 1 as the similarity of a row with itself.
    threads, seed, landmarks : int

    Returns
    -------
    Vendi
        Its value takes the entropy of what the landmarks miss as the mean of that entropy's bounds, which it is where
        the eigenvalues are distributed as a lognormal; low and high are bounds but for the sampling of the purity.

    References
    ----------
    Friedman & Dieng 2023 for the score; Williams & Seeger 2001 for the approximation.
    """
    n = len(vectors)
    order = np.random.default_rng(seed).permutation(n)
    base = similarity.prepare(vectors[np.sort(order[:landmarks])])
    values, axes = np.linalg.eigh(kernel(base, base, similarity, threads))
    kept = values > SMALLEST * values[-1]
    root = axes[:, kept] / np.sqrt(values[kept])
    products = np.zeros((landmarks, landmarks))
    for part in blocks(n, BLOCK_BYTES // (8 * max(landmarks, vectors.shape[1]))):
        to_base = kernel(similarity.prepare(vectors[part]), base, similarity, threads)
        products += to_base.T @ to_base
    known = np.maximum(np.linalg.eigvalsh(root.T @ products @ root) / n, 0)
    missed = max(0.0, 1 - float(known.sum()))
    if missed < 1e-12:
        value = exp(entropy(known))
        return Vendi(value, value, value, landmarks)
    others = n - landmarks
    sample = similarity.prepare(vectors[np.sort(order[landmarks : landmarks + SAMPLE])])
    least = min(_renyi_entropy(sample, base, root, similarity, others, threads), log(others))
    first, mixed = (1 - missed) * entropy(known), entropy(np.array([missed, 1 - missed]))
    low, high = first + missed * least, min(first + missed * log(others) + mixed, log(n))
    middle = min(first + missed * (least + log(others)) / 2 + mixed, log(n))
    return Vendi(exp(middle), exp(low), exp(high), landmarks)


def _renyi_entropy(
    sample: np.ndarray, base: np.ndarray, root: np.ndarray, similarity: Similarity, others: int, threads: int
) -> float:
    """-ln of the purity of what the landmarks miss, over `others` rows, from a sample of them."""
    projected = kernel(sample, base, similarity, threads) @ root
    left = kernel(sample, sample, similarity, threads) - projected @ projected.T
    m = len(sample)
    own = np.diag(left)
    apart = (float((left**2).sum()) - float(own @ own)) / max(1, m * (m - 1))
    whole = others * float(own @ own) / m + others * (others - 1) * apart
    return -log(whole / (others * float(own.mean())) ** 2)
