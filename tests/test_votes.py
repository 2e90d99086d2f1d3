"""Votes: by hand, and against scikit-learn's predictions for every k."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicinal import Neighbors
from vicinal.analysis.votes import class_probabilities, classes_by_k, values_by_k, vote_weights
from vicinal.errors import DataError, UsageError

NONE = np.inf
LINE = Neighbors(
    np.array([[1, 2, 3], [0, 2, -1], [-1, -1, -1]]), np.array([[1, 2, 4], [0, 5, NONE], [NONE, NONE, NONE]])
)
LABELS = np.array([2, 0, 1, 1])


def test_weights_by_hand() -> None:
    assert vote_weights(LINE).tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert vote_weights(LINE, "distance").tolist() == [[1, 0.5, 0.25], [1, 0, 0], [0, 0, 0]]
    assert vote_weights(LINE, lambda far: np.exp2(-far))[0].tolist() == [0.5, 0.25, 0.0625]


def test_probabilities_by_hand_and_rows_without_neighbours() -> None:
    found = class_probabilities(LINE, LABELS, 3)
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3, 0.0], [0.0, 0.5, 0.5], [np.nan] * 3])
    by_distance = class_probabilities(LINE, LABELS, 3, "distance")
    np.testing.assert_allclose(by_distance, [[4 / 7, 3 / 7, 0.0], [0.0, 0.0, 1.0], [np.nan] * 3])


def test_classes_and_values_by_hand() -> None:
    assert classes_by_k(LINE, LABELS, [3, 1, 2]).tolist() == [[1, 1, -1], [0, 2, -1], [0, 1, -1]]
    assert classes_by_k(LINE, LABELS, [2], "distance").tolist() == [[0, 2, -1]]
    values = np.array([8.0, 0, 2, 4])
    np.testing.assert_allclose(values_by_k(LINE, values, [1, 3]), [[0, 8, np.nan], [2, 5, np.nan]])
    np.testing.assert_allclose(values_by_k(LINE, values, [3], "distance"), [[8 / 7, 8, np.nan]])
    two = values_by_k(LINE, np.c_[values, -values], [3])
    np.testing.assert_allclose(two[0, 0], [2, -2])


@given(st.integers(0, 1 << 31), st.sampled_from(["uniform", "distance"]))
def test_one_walk_gives_what_each_k_gives_alone(seed: int, weights: str) -> None:
    random = np.random.default_rng(seed)
    n, k, classes = 20, 6, 4
    indices = np.argsort(random.random((n, n)), axis=1)[:, :k]
    distances = np.sort(random.integers(0, 5, (n, k)), axis=1)
    labels, values = random.integers(0, classes, n), random.normal(size=n)
    found = Neighbors(indices, distances)
    ks = list(range(1, k + 1))
    by_k, means = classes_by_k(found, labels, ks, weights), values_by_k(found, values, ks, weights)
    for at, one in enumerate(ks):
        first = found.nearest(one)
        shares, voices = class_probabilities(first, labels, classes, weights), vote_weights(first, weights)
        leads = np.take_along_axis(shares, by_k[at][:, None], axis=1).ravel()
        np.testing.assert_allclose(leads, shares.max(axis=1))
        if weights == "uniform":
            np.testing.assert_array_equal(by_k[at], shares.argmax(axis=1))
        np.testing.assert_allclose(means[at], (voices * values[first.indices]).sum(1) / voices.sum(1), atol=1e-12)
    same = classes_by_k(found, labels, ks, lambda far: np.ones_like(far))
    np.testing.assert_array_equal(same, classes_by_k(found, labels, ks))
    np.testing.assert_allclose(values_by_k(found, values, ks, np.ones_like), values_by_k(found, values, ks))


def test_many_classes_are_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    found = Neighbors(random.integers(0, 50, (50, 5)), np.sort(random.random((50, 5)), axis=1))
    labels = random.integers(0, 9, 50)
    whole = classes_by_k(found, labels, [1, 5])
    monkeypatch.setattr("vicinal.analysis.votes.BLOCK_VOTES", 40)
    np.testing.assert_array_equal(classes_by_k(found, labels, [1, 5]), whole)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(DataError, match="found 3 labels or values, but the neighbours name row 3"):
        class_probabilities(LINE, LABELS[:3], 3)
    with pytest.raises(DataError, match="whole numbers from 0 to 1"):
        class_probabilities(LINE, LABELS, 2)
    with pytest.raises(DataError, match=r"whole numbers from 0, one a row, found float64 of \(4,\)"):
        classes_by_k(LINE, LABELS / 2, [1])
    with pytest.raises(UsageError, match="unknown weights 'distances': did you mean 'distance'"):
        vote_weights(LINE, "distances")
    with pytest.raises(UsageError, match="numbers of at least 0"):
        vote_weights(LINE, lambda far: -far)
    with pytest.raises(UsageError, match="k: expected at most 3, which this result holds a row, got 4"):
        values_by_k(LINE, np.zeros(4), [4])
