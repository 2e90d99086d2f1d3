"""The result of all rows, from lists and pairs of distinct ones: copies are put back, in the order (distance, row)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vicinal.knn.blocks import blocks
from vicinal.knn.copies import Copies
from vicinal.knn.kernels.blas import without_self
from vicinal.knn.kernels.torch.driver import State
from vicinal.knn.kernels.torch.lists import NONE
from vicinal.knn.metrics import Metric

MEASURE_BYTES = 1 << 24
Found = tuple[np.ndarray, np.ndarray]  # indices and distances
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, their neighbours, distances


def apart(copies: Copies, groups: np.ndarray) -> Copies:
    """The copies of rows that are also of one group."""
    _, group = np.unique(groups, return_inverse=True)
    _, first, number = np.unique(copies.group * (group.max() + 1) + group, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    own = rank[number]
    members = np.argsort(own, kind="stable")
    starts = np.append(0, np.cumsum(np.bincount(own, minlength=len(first)))).astype(np.int64)
    return Copies(np.sort(first), own, members, starts)


def own_distances(vectors: np.ndarray, rows: np.ndarray, metric: Metric) -> np.ndarray:
    """The distance of each of some rows from itself: 0, except for products."""
    found = np.empty(len(rows))
    for block in blocks(len(rows), MEASURE_BYTES // (8 * vectors.shape[1])):
        prepared = metric.prepare(vectors[rows[block]])
        found[block] = metric.finish(metric.measure(prepared, prepared))
    return found


def of_rows(state: State, copies: Copies, own: np.ndarray | None, k: int) -> Found:
    """The result of a self-join, from the lists of distinct rows.

    own : the distance of each distinct row from itself; None where the copies of a row are not its neighbours
    """
    distances, indices = state[0], np.where(state[1] == NONE, -1, state[1])
    if not copies.any:
        return indices, distances
    if own is None:
        found, far = copies.expand(indices, distances, k)
        return found[copies.group], far[copies.group]
    entries = np.concatenate([state[1], np.arange(len(own))[:, None]], axis=1)
    distances = np.concatenate([distances, own[:, None]], axis=1)
    order = np.lexsort((entries, distances))
    entries = np.take_along_axis(entries, order, axis=1)
    found, far = copies.expand(
        np.where(entries == NONE, -1, entries), np.take_along_axis(distances, order, axis=1), k + 1
    )
    return without_self(found[copies.group], far[copies.group], k)


def of_queries(state: State, copies: Copies, k: int) -> Found:
    """The result of a search, from the lists of queries."""
    indices = np.where(state[1] == NONE, -1, state[1])
    return copies.expand(indices, state[0], k) if copies.any else (indices, state[0])


def within(
    n: int, found: list[Pairs], itself: bool, copies: Copies, own: np.ndarray | None, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The result of a call within a radius, as indptr, indices and distances, from its pairs of distinct rows.

    n      : the number of rows that look for neighbours
    itself : whether they are the stored rows, whose pairs are given once
    own    : as `of_rows` takes it
    """
    parts = list(_directed(found, itself))
    if itself and own is not None:
        alone = np.flatnonzero(own <= radius)
        parts.append((alone, alone, own[alone]))
    empty = np.zeros(0, dtype=np.int64)
    a, b, far = (np.concatenate(each) for each in zip((empty, empty, np.zeros(0)), *parts, strict=True))
    if copies.any:
        b, a, far = _copied(b, a, far, copies)
        if itself:
            a, b, far = _copied(a, b, far, copies)
    if itself:
        other = a != b
        a, b, far = a[other], b[other], far[other]
    order = np.lexsort((b, far, a))
    indptr = np.append(0, np.cumsum(np.bincount(a, minlength=n))).astype(np.int64)
    return indptr, b[order], far[order]


def _directed(found: list[Pairs], both: bool) -> Iterator[Pairs]:
    for a, b, far in found:
        yield a, b, far
        if both:
            yield b, a, far


def _copied(entries: np.ndarray, others: np.ndarray, far: np.ndarray, copies: Copies) -> Pairs:
    """Pairs with every copy in the place of its entry."""
    counts = np.diff(copies.starts)[entries]
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = copies.members[np.repeat(copies.starts[:-1][entries], counts) + offset]
    return rows, np.repeat(others, counts), np.repeat(far, counts)
