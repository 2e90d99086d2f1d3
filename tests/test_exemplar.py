"""Exemplar-SVM ranking against scikit-learn's LinearSVC, and the notebook's published case."""

import functools
import warnings

import numpy as np
import pytest

from vicinal import Exact, ExemplarSVM
from vicinal.errors import DataError, NotFitted, UsageError


def reference(vectors: np.ndarray, positive: np.ndarray, C: float) -> np.ndarray:  # noqa: N803
    """Decision values of every row by LinearSVC, as the notebook calls it, to a tolerance below the one tested."""
    from sklearn.svm import LinearSVC

    svm = LinearSVC(class_weight="balanced", max_iter=200_000, tol=1e-9, C=C, dual=len(vectors) < vectors.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return svm.fit(vectors, positive.astype(int)).decision_function(vectors)


@functools.cache
def notebook() -> tuple[np.ndarray, np.ndarray]:
    np.random.seed(42)
    rows = np.random.randn(1000, 1536)
    rows /= np.sqrt((rows**2).sum(1, keepdims=True))
    query = np.random.randn(1536)
    return rows, query / np.sqrt((query**2).sum())


def test_the_notebooks_case() -> None:
    rows, query = notebook()
    found = Exact("inner_product").fit(rows).search(query[None], 10)
    assert found.indices[0].tolist() == [545, 790, 973, 597, 479, 229, 976, 568, 800, 654]
    assert -found.distances[0, 0] == pytest.approx(0.0795663, abs=5e-8)
    ranking = ExemplarSVM(C=0.1).fit(rows).rank(query, 9)
    assert [0, *(ranking.indices + 1)] == [0, 546, 791, 974, 480, 598, 230, 569, 977, 801]
    expected = [
        0.9797113,
        -0.8360650,
        -0.8519226,
        -0.8585436,
        -0.8620392,
        -0.8653315,
        -0.8671984,
        -0.8674762,
        -0.8705646,
        -0.8728034,
    ]
    np.testing.assert_allclose([ranking.positives[0], *ranking.decisions], expected, atol=1e-7)


def clustered(n: int, dim: int, spread: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(12, dim))
    rows = centres[random.integers(12, size=n)] + spread * random.normal(size=(n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def positive_cone(n: int, dim: int) -> np.ndarray:
    rows = np.random.default_rng(1).random((n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


CASES = {
    "few of many dimensions": lambda: clustered(300, 40, 1.0),
    "tight clusters": lambda: clustered(900, 12, 0.2),
    "more dimensions than rows": lambda: clustered(80, 200, 0.6),
    "one cone": lambda: positive_cone(250, 90),
    "large": lambda: 30 * clustered(200, 10, 0.5),
    "many rows": lambda: clustered(5_000, 12, 0.7),
    "copies": lambda: np.repeat(clustered(60, 8, 0.7), 4, axis=0),
}


@pytest.mark.parametrize("hat", [True, False], ids=["updates", "shortlists"])
@pytest.mark.parametrize("C", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("case", list(CASES))
def test_decision_values_are_linear_svcs(case: str, C: float, hat: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: N803
    if not hat:
        monkeypatch.setattr("vicinal.indexes.exemplar_svm.HAT_AT_MOST", 0)
        monkeypatch.setattr("vicinal.indexes.exemplar_svm.SHORT", 10**9)
    rows = CASES[case]()
    svm = ExemplarSVM(C).fit(rows)
    n = len(rows)
    for positives in ([3], [3, 17, 40]):
        is_positive = np.isin(np.arange(n), positives)
        truth = reference(rows, is_positive, C)
        found = svm.rank(positives, n, include_positives=True)
        np.testing.assert_allclose(found.decisions, truth[found.indices], atol=1e-5)
        assert (np.diff(found.decisions) <= 0).all() and sorted(found.indices) == list(range(n))
        without = svm.rank(positives, n)
        assert set(without.indices[: n - len(positives)]) == set(range(n)) - set(positives)
        assert (without.indices[n - len(positives) :] == -1).all()
        query = rows[positives] + 0.1 * np.abs(rows).mean()
        stacked = np.vstack([query, rows])
        truth = reference(stacked, np.arange(len(stacked)) < len(query), C)
        found = svm.rank(query if len(query) > 1 else query[0], 20)
        np.testing.assert_allclose(found.decisions, truth[len(query) :][found.indices], atol=1e-5)
        np.testing.assert_allclose(found.positives, truth[: len(query)], atol=1e-5)
        np.testing.assert_allclose(found.decisions, np.sort(truth[len(query) :])[::-1][:20], atol=1e-5)


def test_many_rankings_at_once_are_those_of_one_at_a_time() -> None:
    rows = clustered(400, 30, 0.8)
    svm = ExemplarSVM(0.5).fit(rows)
    asked: list = [5, [7, 8], rows[9] + 0.01, rows[:3], 11]
    for question, together in zip(asked, svm.rank_each(asked, 12), strict=True):
        alone = ExemplarSVM(0.5).fit(rows).rank(question, 12)
        np.testing.assert_array_equal(together.indices, alone.indices)
        np.testing.assert_allclose(together.decisions, alone.decisions, atol=1e-9)


def test_a_sample_stands_for_the_negatives_and_all_rows_are_ranked() -> None:
    rows = clustered(2_000, 16, 0.5)
    svm = ExemplarSVM(0.1, negatives=300, seed=3).fit(rows)
    chosen = np.sort(np.random.default_rng(3).choice(2_000, 300, replace=False))
    for positive in (int(chosen[5]), 1):
        rest = chosen[chosen != positive]
        order = np.append(positive, rest)
        truth = reference(rows[order], np.arange(len(order)) == 0, 0.1)
        found = svm.rank(positive, 2_000, include_positives=True)
        decisions = np.empty(2_000)
        decisions[found.indices] = found.decisions
        np.testing.assert_allclose(decisions[order], truth, atol=1e-5)


def test_whole_numbers_are_rows_or_a_vector_by_argument() -> None:
    rows = np.random.default_rng(0).integers(0, 9, (30, 3))
    svm = ExemplarSVM().fit(rows)
    for three in ([1, 0, 2], rows[5]):
        with pytest.raises(UsageError, match="3 whole numbers may be rows or a vector of dim 3; give them as rows="):
            svm.rank(three, 4)
        as_rows, as_vector = svm.rank(rows=three, k=4), svm.rank(vectors=three, k=4)
        np.testing.assert_array_equal(as_vector.indices, svm.rank(np.array([three], dtype=float), 4).indices)
        assert len(as_rows.positives) == len(set(np.asarray(three).tolist())) and len(as_vector.positives) == 1
    assert svm.rank([1, 0], 4).indices.tolist() == svm.rank(rows=[0, 1], k=4).indices.tolist()


def test_wrong_arguments_are_named() -> None:
    rows = clustered(20, 4, 0.5)
    svm = ExemplarSVM().fit(rows)
    for wrong in (0, -1, np.inf, "a", True):
        with pytest.raises(UsageError, match="C: expected a number above 0"):
            ExemplarSVM(C=wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="negatives: expected a whole number above 0"):
        ExemplarSVM(negatives=0)
    with pytest.raises(NotFitted):
        ExemplarSVM().rank(0, 1)
    with pytest.raises(DataError, match="positives: expected row numbers from 0 to 19, found -1, 20"):
        svm.rank([3, 20, -1][1:], 1)
    with pytest.raises(DataError, match="all 20 rows are examples"):
        svm.rank(list(range(20)), 1)
    with pytest.raises(DataError, match="positives: found dim 3, the stored vectors have dim 4"):
        svm.rank(rows[0, :3], 1)
    with pytest.raises(DataError, match="positives: 1 row cannot be used"):
        svm.rank([np.nan, 0.0, 0.0, 0.0], 1)
    with pytest.raises(UsageError, match="k: expected a whole number above 0"):
        svm.rank(0, 0)
    with pytest.raises(UsageError, match="expected positives, rows= or vectors=, one of them"):
        svm.rank(0, 1, vectors=rows[0])
    with pytest.raises(DataError, match="rows: expected row numbers, found"):
        svm.rank(rows=rows[0])
    with pytest.raises(DataError, match="expected at least 2 rows"):
        ExemplarSVM().fit(rows[:1])


def test_the_squared_loss_is_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    rows = clustered(200, 12, 0.6)
    found = ExemplarSVM(0.3, loss="squared").fit(rows).rank(4, 200, include_positives=True)
    target, weights = np.where(np.arange(200) == 4, 1.0, -1.0), np.where(np.arange(200) == 4, 200 / 2, 200 / 398)
    stacked = np.hstack([rows, np.ones((200, 1))])  # the intercept is regularised
    ridge = Ridge(alpha=1 / (2 * 0.3), fit_intercept=False, solver="cholesky").fit(stacked, target, weights)
    np.testing.assert_allclose(found.decisions, ridge.predict(stacked)[found.indices], atol=1e-9)
    with pytest.raises(UsageError, match="unknown loss 'hinge'"):
        ExemplarSVM(loss="hinge")
