"""Exact copies of a row: found by a hash that is verified, taken out of a search, and put back into its result.

A group of m equal rows costs a search m times the work, and worse, makes m-fold ties. So a search runs over the
distinct rows alone, and `expand` gives each row its copies back, in the total order (distance, row number).
"""

from dataclasses import dataclass

import numpy as np

from vicinal.knn.blocks import blocks, nothing

BLOCK_BYTES = 1 << 24
BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Copies:
    """Which rows are equal.

    first   : int64 (n_distinct,), the lowest row of each group of equal rows, ascending
    group   : int64 (n,), each row's group, so that first[group[i]] is the lowest row equal to row i
    members : int64 (n,), all rows, group by group, ascending within each
    starts  : int64 (n_distinct + 1,), where each group begins in `members`
    """

    first: np.ndarray
    group: np.ndarray
    members: np.ndarray
    starts: np.ndarray

    @classmethod
    def none(cls, n: int) -> "Copies":
        """n rows, each of which is alone."""
        rows = np.arange(n)
        return cls(rows, rows, rows, np.arange(n + 1))

    @classmethod
    def of_groups(cls, first: np.ndarray, group: np.ndarray, members: np.ndarray) -> "Copies":
        """Rows and their groups in any order: `members[i]` belongs to `group[i]`, whose lowest row is in `first`."""
        order = np.lexsort((members, group))
        starts = np.append(0, np.cumsum(np.bincount(group, minlength=len(first)))).astype(np.int64)
        return cls(first, group[order], members[order], starts)

    @property
    def group_of_member(self) -> np.ndarray:
        """The group of each row of `members`, int64."""
        return np.repeat(np.arange(len(self.first)), np.diff(self.starts))

    def among(self, allowed: np.ndarray) -> "Copies":
        """The same groups with their allowed rows only, some of which may be empty; `first` stays as it is."""
        keep = allowed[self.members]
        counts = np.bincount(self.group_of_member[keep], minlength=len(self.first))
        starts = np.append(0, np.cumsum(counts)).astype(np.int64)
        return Copies(self.first, self.group_of_member[keep], self.members[keep], starts)

    @property
    def any(self) -> bool:
        """Whether at least one row has a copy."""
        return len(self.first) < len(self.group)

    def expand(self, indices: np.ndarray, distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of each query, from its nearest groups.

        indices   : int64 (n_queries, m), group numbers, at least min(k, all) of them, nearest first; -1 for none
        distances : float64 (n_queries, m)
        Returns     row numbers int64 (n_queries, k) and distances float64, by (distance, row); -1 and inf for none

        k groups are enough: ordered by (distance, lowest row), the lowest rows of the first k groups are k rows that
        come before every row of any later group.
        """
        out_indices, out_distances = nothing(len(indices), k)
        sizes = np.where(indices < 0, 0, np.minimum(np.diff(self.starts)[indices], k))
        for block in blocks(len(indices), BLOCK_ENTRIES // max(1, indices.shape[1])):
            counts = sizes[block].ravel()
            query = np.repeat(np.arange(len(sizes[block])), sizes[block].sum(axis=1))
            offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            rows = self.members[np.repeat(self.starts[:-1][indices[block].ravel()], counts) + offset]
            far = np.repeat(distances[block].ravel(), counts)
            order = np.lexsort((rows, far, query))
            place = np.arange(len(query)) - np.searchsorted(query, np.arange(len(sizes[block])))[query]
            keep = place < k
            out_indices[block][query[keep], place[keep]] = rows[order][keep]
            out_distances[block][query[keep], place[keep]] = far[order][keep]
        return out_indices, out_distances


def find_copies(vectors: np.ndarray, numbers: np.ndarray | None = None) -> Copies:
    """The groups of rows whose values are all equal (0.0 equals -0.0).

    vectors : (n, dim) of finite numbers, in any layout; read in blocks, never copied whole
    numbers : int64 (n,), ascending, the row numbers that the result names; None for 0..n-1
    """
    n = len(vectors)
    if not n:
        return Copies.none(0)
    keys = np.empty(n, dtype=np.uint64)
    for block in blocks(n, BLOCK_BYTES // max(1, vectors.shape[1] * 8)):
        keys[block] = _row_hashes(vectors[block])
    order = np.argsort(keys, kind="stable")
    group_of = np.arange(n)
    # Equal hashes only nominate; equality of the values decides. Rows of one hash are compared with the first of them,
    # and those that differ (a collision) among themselves.
    begins = np.flatnonzero(np.append(True, keys[order[1:]] != keys[order[:-1]]))
    lengths = np.diff(np.append(begins, n))
    others = np.delete(np.arange(n), begins)
    run = np.repeat(np.arange(len(begins)), lengths)[others]
    heads, others = order[begins[run]], order[others]
    equal = np.empty(len(others), dtype=bool)
    for block in blocks(len(others), BLOCK_BYTES // max(1, vectors.shape[1] * vectors.dtype.itemsize)):
        equal[block] = (vectors[others[block]] == vectors[heads[block]]).all(axis=1)
    group_of[others[equal]] = heads[equal]
    for collided in np.unique(run[~equal]):
        _group_equal(vectors, others[~equal & (run == collided)], group_of)
    first = np.flatnonzero(group_of == np.arange(n))
    number = np.empty(n, dtype=np.int64)
    number[first] = np.arange(len(first))
    group = number[group_of]
    members = np.argsort(group, kind="stable")
    starts = np.append(0, np.cumsum(np.bincount(group, minlength=len(first)))).astype(np.int64)
    if numbers is None:
        return Copies(first, group, members, starts)
    return Copies(numbers[first], group, numbers[members], starts)


def _row_hashes(rows: np.ndarray) -> np.ndarray:
    """One 64-bit number a row, equal for equal rows: products with odd random multipliers, added modulo 2^64."""
    values = np.ascontiguousarray(rows) + rows.dtype.type(0)  # -0.0 + 0 is 0.0
    row_bytes = values.shape[1] * values.dtype.itemsize
    word = next(
        word for word in (np.uint64, np.uint32, np.uint16, np.uint8) if row_bytes % np.dtype(word).itemsize == 0
    )
    words = values.view(word).astype(np.uint64)
    multipliers = np.random.default_rng(20_000_003).integers(1, 1 << 63, words.shape[1], dtype=np.uint64) * 2 + 1
    words *= multipliers
    # The low bits of a product depend only on the low bits of the word, so the high half is folded in.
    words ^= words >> np.uint64(32)
    words *= multipliers[::-1]
    result: np.ndarray = words.sum(axis=1, dtype=np.uint64)
    return result


def _group_equal(vectors: np.ndarray, rows: np.ndarray, group_of: np.ndarray) -> None:
    while len(rows) > 1:
        step = BLOCK_BYTES // max(1, vectors.shape[1] * vectors.dtype.itemsize)
        equal = np.concatenate(
            [(vectors[rows[block]] == vectors[rows[0]]).all(axis=1) for block in blocks(len(rows), step)]
        )
        group_of[rows[equal]] = rows[0]
        rows = rows[~equal]
