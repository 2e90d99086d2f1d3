"""Exact copies: all of them are found, nothing else is, and they are put back in the order (distance, row)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vicinal.knn import copies
from vicinal.knn.copies import find_copies


@settings(max_examples=200)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 1 << 30), st.sampled_from(["f2", "f4", "f8", "i1", "i8"]))
def test_groups_are_those_of_numpy_unique(n: int, dim: int, seed: int, dtype: str) -> None:
    vectors = np.random.default_rng(seed).integers(-2, 3, (n, dim)).astype(dtype)
    if dtype.startswith("f"):
        vectors[np.random.default_rng(seed).random((n, dim)) < 0.5] *= -1  # some zeros become -0.0
    found = find_copies(vectors)
    _, first, inverse = np.unique(vectors + 0, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(found.first, np.sort(first))
    np.testing.assert_array_equal(found.first[found.group], first[inverse.ravel()])
    for group, row in enumerate(found.first):
        members = found.members[found.starts[group] : found.starts[group + 1]]
        np.testing.assert_array_equal(members, np.flatnonzero(found.first[found.group] == row))
    assert found.any == (len(first) < n)


def test_rows_with_equal_hashes_are_compared_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_row_hashes", lambda rows: np.zeros(len(rows), dtype=np.uint64))
    assert find_copies(np.array([[1.0], [2], [1], [3], [2]])).group.tolist() == [0, 1, 0, 2, 1]


def test_real_rows_rarely_share_a_hash() -> None:
    vectors = np.random.default_rng(0).integers(0, 2, (4096, 16)).astype(np.uint8)
    distinct = np.unique(vectors, axis=0)
    assert len(np.unique(copies._row_hashes(distinct))) == len(distinct)


def test_expand_orders_by_distance_then_row(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_copies(np.array([[0.0], [7], [7], [0], [9], [7]]))
    indices, distances = np.array([[1, 0, 2], [2, -1, -1]]), np.array([[1.0, 1.0, 5.0], [2.0, np.inf, np.inf]])
    for entries in (1, 1 << 20):
        monkeypatch.setattr(copies, "BLOCK_ENTRIES", entries)
        rows, far = found.expand(indices, distances, 4)
        assert rows.tolist() == [[0, 1, 2, 3], [4, -1, -1, -1]]
        assert far.tolist() == [[1, 1, 1, 1], [2, np.inf, np.inf, np.inf]]
