"""Whether an answer is right: against a float64 brute force on sampled rows, and against faiss up to float32 ties."""

import numpy as np
from benchmarks.sets import SEED

EPS32 = 2.0**-24


def truth(vectors: np.ndarray, queries: np.ndarray, own: np.ndarray | None, k: int, metric: str) -> np.ndarray:
    """The k nearest rows of each query by (distance, row) in float64; `own` are the queries' row numbers, left out.

    Ranks come from float64 products (euclidean, cosine) or scipy (manhattan); those within rounding of the k-th are
    measured by the metric's `pairwise`, so that the order is the one that the package promises.
    """
    from scipy.spatial.distance import cdist

    from vicinal.knn.metrics import find

    named = find(metric)
    found = np.empty((len(queries), k), dtype=np.int64)
    ready = {"cosine": lambda rows: rows / np.linalg.norm(rows, axis=1)[:, None]}.get(metric, lambda rows: rows)
    asked = ready(queries.astype(np.float64))
    rank = np.empty((len(queries), len(vectors)))
    for start in range(0, len(vectors), 4096):
        block = ready(vectors[start : start + 4096].astype(np.float64))
        if metric == "manhattan":
            rank[:, start : start + 4096] = cdist(asked, block, "cityblock")
        else:
            squares = np.einsum("ij,ij->i", block, block) + np.einsum("ij,ij->i", asked, asked)[:, None]
            rank[:, start : start + 4096] = squares - 2 * asked @ block.T
    largest = np.abs(asked).max() * asked.shape[1] + np.abs(vectors).max() * asked.shape[1]
    slack = 1e-13 * max(largest, largest**2)
    for i, row in enumerate(rank):
        if own is not None:
            row[own[i]] = np.inf
        near = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1] + slack)
        far = named.pairwise(queries[i][None], vectors[near])[0]
        found[i] = near[np.lexsort((near, far))[:k]]
    return found


def sampled_rows(n: int, count: int = 200) -> np.ndarray:
    """Row numbers to check, drawn with the seed."""
    return np.sort(np.random.default_rng(SEED).permutation(n)[:count])


def against_truth(
    vectors: np.ndarray, queries: np.ndarray | None, indices: np.ndarray, metric: str
) -> dict[str, int | bool]:
    """How many of 200 sampled rows have exactly the neighbours of the float64 brute force, in its order."""
    rows = sampled_rows(len(indices))
    asked = (vectors if queries is None else queries)[rows]
    right = truth(vectors, asked, rows if queries is None else None, indices.shape[1], metric)
    wrong = int((right != indices[rows]).any(axis=1).sum())
    return {"rows_checked": len(rows), "rows_wrong": wrong, "exact": wrong == 0}


def without_own(indices: np.ndarray, k: int, rows: np.ndarray | None = None) -> np.ndarray:
    """A peer's k + 1 nearest without the row itself (or, where a copy took its place, without the last)."""
    rows = np.arange(len(indices)) if rows is None else rows
    own = indices == rows[:, None]
    own[~own.any(axis=1), -1] = True
    return indices[~own].reshape(len(indices), k)


def distances(a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
    """Float64 ranks of matching rows: squared (euclidean, cosine at length 1) or absolute differences, summed."""
    if metric == "cosine":
        a, b = (rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (a, b))
    difference = np.abs(a - b)
    return difference.sum(axis=-1) if metric == "manhattan" else (difference * difference).sum(axis=-1)


def against_faiss(
    vectors: np.ndarray, queries: np.ndarray | None, ours: np.ndarray, theirs: np.ndarray, metric: str
) -> dict[str, float | int]:
    """Recall of faiss against ours, and what kind the differences are.

    tied            : faiss's row is exactly as far as our k-th in float64, as copies are: which comes first is a rule
    within_float32  : faiss's row is farther than our k-th by no more than float32 rounding of expanded squares
    beyond_float32  : by more: faiss is wrong there by more than its arithmetic explains
    closer_than_ours: faiss's row is nearer than our k-th, by float64: we would be wrong; must be 0
    """
    asked = vectors if queries is None else queries
    asked, ours = asked[: len(theirs)], ours[: len(theirs)]
    k = ours.shape[1]
    same = (theirs[:, :, None] == ours[:, None, :]).any(axis=2) if k <= 10 else _members(theirs, ours)
    row, place = np.nonzero(~same)
    counts = {"tied": 0, "within_float32": 0, "beyond_float32": 0, "closer_than_ours": 0}
    largest = 1.0 if metric == "cosine" else float(np.abs(vectors).max(initial=0)) * vectors.shape[1]
    if metric == "euclidean":
        largest = 4 * float(np.max(np.einsum("ij,ij->i", vectors, vectors)))
    tolerance = (vectors.shape[1] + 8) * EPS32 * largest * (4 if metric == "cosine" else 1)
    for start in range(0, len(row), 4096):
        some, where = row[start : start + 4096], place[start : start + 4096]
        query = asked[some].astype(np.float64)
        kth = distances(query, vectors[ours[some, -1]].astype(np.float64), metric)
        gap = distances(query, vectors[theirs[some, where]].astype(np.float64), metric) - kth
        same_far = np.abs(gap) <= 1e-12 * kth
        counts["tied"] += int(same_far.sum())
        counts["closer_than_ours"] += int(((gap < 0) & ~same_far).sum())
        counts["within_float32"] += int(((gap > 0) & (gap <= tolerance) & ~same_far).sum())
        counts["beyond_float32"] += int((gap > tolerance).sum())
    return {"recall": float(same.mean()), "differences": len(row), "rows_compared": len(theirs), **counts}


def _members(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    width = np.int64(max(theirs.max(), ours.max()) + 1)
    base = np.arange(len(theirs), dtype=np.int64)[:, None] * width
    return np.isin(theirs + base, ours + base)
