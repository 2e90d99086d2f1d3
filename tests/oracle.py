"""The oracle that results are compared with: every distance in float64, sorted by (distance, row)."""

import functools

import numpy as np

from vicinal.knn.metrics import find


def brute_force(vectors: np.ndarray, queries: np.ndarray | None, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest stored rows of each query; if queries is None, of each stored row, itself excluded."""
    own = queries is None
    queries = vectors if queries is None else queries
    shape = (len(queries), min(k, len(vectors) - own))
    indices, distances = np.empty(shape, np.int64), np.empty(shape)
    for row in range(len(queries)):
        found = find(metric).pairwise(queries[row : row + 1], vectors)[0]
        order = np.lexsort((np.arange(len(vectors)), found))
        order = order[order != row] if own else order
        indices[row] = order[: shape[1]]
        distances[row] = found[indices[row]]
    with np.errstate(over="ignore"):
        return indices, distances.astype(np.float32)


def fit_for(metric: str, vectors: np.ndarray) -> np.ndarray:
    """The vectors in the form that the metric accepts: bits packed, no zero rows for cosine."""
    if find(metric).kernel == "bits":
        return np.packbits(np.asarray(vectors) > np.median(vectors), axis=1)
    return vectors[(vectors != 0).any(axis=1)] if find(metric).nonzero else vectors


def hard_data(kind: str, n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Data on which a careless neighbour search fails."""
    random = np.random.default_rng(seed)
    plain = random.normal(size=(n, dim))
    return HARD[kind](plain, random)


def signed_zeros(like: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Zeros of both signs, with a single 1 in each row."""
    vectors = np.where(random.random(like.shape) < 0.5, 0.0, -0.0)
    vectors[np.arange(len(like)), np.arange(len(like)) % like.shape[1]] = 1
    return vectors


@functools.cache
def hard_case(kind: str, metric: str, n: int, dim: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hard data in the form that the metric accepts, and each row's neighbours by brute force."""
    vectors = fit_for(metric, hard_data(kind, n, dim))
    return vectors, *brute_force(vectors, None, k, metric)


HARD = {
    "plain": lambda x, _: x,
    "float16": lambda x, _: x.astype(np.float16),
    "float32": lambda x, _: x.astype(np.float32),
    "uint8": lambda x, r: r.integers(1, 256, x.shape, dtype=np.uint8),
    "int8": lambda x, r: r.integers(-127, 127, x.shape, dtype=np.int8) | np.int8(1),
    "int64": lambda x, r: r.integers(1, 1 << 40, x.shape),
    "fortran order": lambda x, _: np.asfortranarray(x),
    "every other row": lambda x, _: np.repeat(x, 2, axis=0)[::2],
    "offset by 1e8": lambda x, _: x + 1e8,
    "offset by 1e8 in float32": lambda x, _: (x * 100 + 1e8).astype(np.float32),
    "40 % copies of one row": lambda x, r: np.where(r.random((len(x), 1)) < 0.4, x[:1], x),
    "all rows equal": lambda x, _: np.ones_like(x),
    "rows within 1e-4": lambda x, _: x[0] + 1e-4 * x,
    "rows within 1e-7 of two centres": lambda x, r: np.where(r.random((len(x), 1)) < 0.5, x[:1], -x[:1]) + 1e-7 * x,
    "few integers, many ties": lambda x, r: r.integers(1, 4, x.shape),
    "heavy tails": lambda x, r: x / r.random((len(x), 1)) ** 4,
    "one dimension 1,000 times larger": lambda x, _: x * np.where(np.arange(x.shape[1]) == 0, 1000, 1),
    "very large": lambda x, _: x * 1e30,
    "very small": lambda x, _: x * 1e-30,
    "subnormal float32": lambda x, _: (np.abs(x) * 1e-40 + 1e-41).astype(np.float32),
    "both signs of zero": lambda x, r: signed_zeros(x, r),
}
