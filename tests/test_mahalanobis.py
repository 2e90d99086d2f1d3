"""Learned Mahalanobis metrics: each at its problem's optimum, by conditions that its own code does not use."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import vicinal
from vicinal.errors import DataError, UsageError
from vicinal.estimators import KNeighborsClassifier
from vicinal.learn import ITML, LDA, LMNN, MMC, NCA, RCA, WithinClassWhitening, lmnn, pairwise
from vicinal.learn.mahalanobis import LEARNERS

SEEDED = (NCA, ITML, MMC, RCA)


def made(kind: Any) -> Any:
    return kind(random_state=0) if kind in SEEDED else kind()


def few_steps(kind: Any) -> Any:
    return made(kind).set_params(max_iter=10) if kind in (NCA, LMNN, ITML) else made(kind)


def two_columns(n: int = 60, classes: int = 3, dim: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes along the first column, noise of three times their distance in the others."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = random.normal(size=(n, dim)) * ([0.7] + [3.0] * (dim - 1))
    x[:, 0] += 2 * y
    return x, y


@pytest.mark.filterwarnings("ignore:Variables are collinear", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([few_steps(kind) for kind in LEARNERS])
def test_check_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.filterwarnings("ignore:ITML. stopped")
@pytest.mark.parametrize("kind", LEARNERS)
def test_the_matrix_gives_the_distances_of_the_transformed_rows(kind: Any) -> None:
    x, y = two_columns()
    model = made(kind).fit(x, y)
    m, z = model.get_mahalanobis_matrix(), model.transform(x)
    assert m.shape == (4, 4) and np.linalg.eigvalsh(m).min() > -1e-9 * np.abs(m).max()
    apart = x[:, None] - x[None]
    expected = np.sqrt(np.einsum("ijk,kl,ijl->ij", apart, m, apart))
    np.testing.assert_allclose(np.linalg.norm(z[:, None] - z[None], axis=2), expected, atol=1e-6 * expected.max())
    assert len(model.get_feature_names_out()) == z.shape[1]
    ours = vicinal.Exact(vicinal.mahalanobis(m)).fit(x).neighbors(3)
    np.testing.assert_allclose(ours.distances, np.sort(expected + np.diag([np.inf] * 60))[:, :3], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:ITML. stopped")
@pytest.mark.parametrize("kind", LEARNERS)
def test_what_is_learned_serves_rows_that_were_not_seen(kind: Any) -> None:
    x, y = two_columns(300)
    plain = KNeighborsClassifier(3).fit(x[:150], y[:150]).score(x[150:], y[150:])
    model = made(kind).fit(x[:150], y[:150])
    learned = KNeighborsClassifier(3).fit(model.transform(x[:150]), y[:150]).score(model.transform(x[150:]), y[150:])
    assert learned > plain + 0.1, (plain, learned)


def test_nca_and_lda_are_scikit_learns() -> None:
    x, y = two_columns()
    theirs = NeighborhoodComponentsAnalysis(random_state=0).fit(x, y)
    np.testing.assert_array_equal(NCA(random_state=0).fit(x, y).transform(x), theirs.transform(x))
    lda = LDA().fit(x, y)
    np.testing.assert_array_equal(lda.transform(x), LinearDiscriminantAnalysis().fit(x, y).transform(x))
    assert lda.score(x, y) == LinearDiscriminantAnalysis().fit(x, y).score(x, y)
    with pytest.raises(UsageError, match="lsqr"):
        LDA(solver="lsqr").fit(x, y)


def lmnn_by_hand(linear: np.ndarray, x: np.ndarray, y: np.ndarray, k: int, mu: float) -> float:
    """The objective over every triplet, row by row."""
    z, total = x @ linear.T, 0.0
    before, after = (((one[:, None] - one[None]) ** 2).sum(axis=2) for one in (x, z))
    for i in range(len(x)):
        mates = np.flatnonzero((y == y[i]) & (np.arange(len(x)) != i))
        for j in mates[np.argsort(before[i, mates], kind="stable")][:k]:
            near = after[i, j]
            total += (1 - mu) * near + mu * np.maximum(0, 1 + near - after[i, y != y[i]]).sum()
    return float(total / len(x))


@pytest.mark.parametrize("impostors", [1, 64])
def test_lmnn_ends_at_the_minimum_over_all_triplets(impostors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmnn, "IMPOSTORS", impostors)
    x, y = two_columns(36, dim=3)
    x /= x.std(axis=0)
    y[:2] = 3  # a class of two rows, fewer than n_neighbors + 1
    model = LMNN(2, tol=1e-12).fit(x, y)
    found = lmnn_by_hand(model.components_, x, y, 2, 0.5)
    assert model.objective_ == pytest.approx(found, rel=1e-9)  # no impostor was left out
    whole = minimize(lambda flat: lmnn_by_hand(flat.reshape(3, 3), x, y, 2, 0.5), model.components_.ravel(), tol=1e-9)
    assert found <= whole.fun * 1.002
    assert found < lmnn_by_hand(np.eye(3), x, y, 2, 0.5)


def test_lmnn_gradient() -> None:
    x, y = two_columns(30, dim=3)
    targets = lmnn._targets(x, y, 2)
    pairs = np.array([(i, j) for i in range(30) for j in range(30) if y[i] != y[j]])
    rest = (x, targets, pairs[:, 0], pairs[:, 1], 0.3)
    at = np.random.default_rng(1).normal(size=6)
    error = check_grad(lambda f: lmnn._objective(f, *rest)[0], lambda f: lmnn._objective(f, *rest)[1], at)
    assert error < 1e-4 * np.abs(lmnn._objective(at, *rest)[1]).max()


def test_lmnn_starts_and_sizes() -> None:
    x, y = two_columns()
    x /= x.std(axis=0)
    for init in ("identity", "pca", "lda", np.ones((2, 4))):
        assert LMNN(n_components=2, init=init).fit(x, y).transform(x).shape == (60, 2)
    with pytest.warns(UserWarning, match="max_iter = 2 steps"):
        LMNN(max_iter=2).fit(x, y)
    for wrong in ({"mu": 1.0}, {"n_neighbors": 0}, {"n_components": 5}, {"init": "eye"}, {"init": np.ones((3, 3))}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            LMNN(**wrong).fit(x, y)


def test_itml_meets_the_conditions_of_its_optimum() -> None:
    """min LogDet(M, I) + gamma LogDet(slack, bound): M^-1 = I + sum of signed multipliers, and the slack's own."""
    x, y = two_columns(24, dim=3)
    pairs = np.array([(i, j) for i in range(12) for j in range(i + 1, 12)])
    same = y[pairs[:, 0]] == y[pairs[:, 1]]
    gamma, low, high = 0.7, 4.0, 40.0
    model = ITML(gamma, bounds=(low, high), tol=1e-10, max_iter=100_000).fit_pairs(x, pairs, same)
    m = model.get_mahalanobis_matrix()
    steps = x[pairs[:, 0]] - x[pairs[:, 1]]

    def objective(m: np.ndarray) -> float:
        """The divergence with the best slack of each pair, written from the definition."""
        value = np.trace(m) - np.linalg.slogdet(m)[1] - 3
        for step, similar in zip(steps, same, strict=True):
            bound, p = (low, step @ m @ step) if similar else (high, step @ m @ step)
            broken = p > bound if similar else p < bound
            value += gamma * (p / bound - np.log(p / bound) - 1) if broken else 0.0
        return value

    def flat(parts: np.ndarray) -> float:
        root = parts.reshape(3, 3)
        return objective(root.T @ root + 1e-12 * np.eye(3))

    best = min(minimize(flat, start.ravel(), tol=1e-10).fun for start in (np.eye(3), model.components_))
    assert objective(m) == pytest.approx(best, rel=1e-4)
    assert best < objective(np.eye(3)) - 0.1


def test_itml_far_bounds_leave_the_prior() -> None:
    x, y = two_columns(20, dim=2)
    prior = np.array([[2.0, 0.5], [0.5, 1.0]])
    pairs = np.array([[0, 3], [0, 1]])
    kept = ITML(bounds=(1e6, 1e7), prior=prior, gamma=1e-9).fit_pairs(x, pairs, [True, False])
    np.testing.assert_allclose(kept.get_mahalanobis_matrix(), prior, atol=1e-6)
    for wrong in ({"prior": "none"}, {"prior": -prior}, {"gamma": 0.0}, {"bounds": (2.0, 1.0)}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            ITML(**wrong).fit(x, y)


@pytest.mark.parametrize("diagonal", [False, True])
def test_mmc_meets_the_conditions_of_its_optimum(diagonal: bool) -> None:
    """max sum d over D, sum d^2 over S at most 1: the gradient in M less the multiplier's part is nowhere positive."""
    x, y = two_columns(40, dim=3)
    model = MMC(diagonal=diagonal, tol=1e-12).fit(x, y)
    a, b = np.triu_indices(40, 1)
    steps, same = x[a] - x[b], y[a] == y[b]
    m = model.get_mahalanobis_matrix()
    budget = steps[same].T @ steps[same]
    assert np.trace(budget @ m) == pytest.approx(1)
    d = np.sqrt(np.einsum("ij,jk,ik->i", steps[~same], m, steps[~same]))
    assert model.objective_ == pytest.approx(d.sum())
    slope = (steps[~same].T / (2 * d)) @ steps[~same] - d.sum() / 2 * budget
    slope = np.diag(np.diag(slope)) if diagonal else slope
    size = np.abs(d.sum() / 2 * budget).max()
    assert np.linalg.eigvalsh(slope).max() < 1e-3 * size
    assert abs(np.trace(slope @ m)) < 1e-6 * d.sum()
    if diagonal:
        assert np.count_nonzero(m - np.diag(np.diag(m))) == 0


def test_whitening_gives_the_identity_within_groups() -> None:
    x, y = two_columns(80)
    z = WithinClassWhitening(shrinkage=None).fit(x, y).transform(x)
    inside = np.concatenate([z[y == c] - z[y == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(inside.T @ inside / 80, np.eye(4), atol=1e-9)
    same = RCA(shrinkage=None).fit_chunks(x, y).get_mahalanobis_matrix()  # classes as chunklets
    np.testing.assert_allclose(same, WithinClassWhitening(shrinkage=None).fit(x, y).get_mahalanobis_matrix())
    two = RCA(2, shrinkage=None).fit_chunks(x, y)
    lda = LinearDiscriminantAnalysis(solver="eigen").fit(x, y).scalings_[:, :2]
    lost = lda - two.components_.T @ np.linalg.lstsq(two.components_.T, lda, rcond=None)[0]
    assert np.abs(lost).max() < 1e-8  # LDA's directions are those of RCA with classes as chunklets


def test_rca_draws_whole_chunklets_of_one_class() -> None:
    x, y = two_columns(50)
    model = RCA(n_chunks=10, chunk_size=3, random_state=4).fit(x, y)
    numbers, sizes = np.unique(model.chunks_, return_counts=True)
    assert numbers.tolist() == list(range(-1, 10)) and (sizes[1:] == 3).all()
    for chunk in range(10):
        assert len(set(y[model.chunks_ == chunk])) == 1
    again = RCA(shrinkage=None).fit_chunks(x, model.chunks_ * 7)  # any numbers; below 0 is none
    np.testing.assert_allclose(
        again.components_, RCA(n_chunks=10, chunk_size=3, random_state=4, shrinkage=None).fit(x, y).components_
    )
    with pytest.raises(DataError, match="no inverse"):
        WithinClassWhitening(shrinkage=None).fit(np.column_stack([x, np.ones(50)]), y)
    with pytest.raises(DataError, match="largest class has 17 rows"):
        RCA(chunk_size=18).fit(x, y)
    with pytest.raises(DataError, match="no chunklet"):
        RCA().fit_chunks(x, np.arange(50))
    with pytest.raises(UsageError, match="shrinkage"):
        RCA(shrinkage="some").fit(x, y)  # type: ignore[arg-type]


def test_drawn_pairs_are_distinct_and_of_their_kind() -> None:
    random = np.random.RandomState(0)
    for n, count in ((10, 100), (500, 300)):
        codes = random.randint(0, 5, n)
        pairs, same = pairwise._draw_pairs(codes, count, random)
        assert (pairs[:, 0] < pairs[:, 1]).all() and len(np.unique(pairs, axis=0)) == len(pairs)
        assert ((codes[pairs[:, 0]] == codes[pairs[:, 1]]) == same).all()
        assert (same.sum() > 0.9 * count and (~same).sum() > 0.9 * count) or n == 10
    assert len(pairs) <= 600
    pairs, same = pairwise._draw_pairs(np.array([0, 0, 1]), 100, random)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 1), (0, 2), (1, 2)] and same.sum() == 1


@pytest.mark.parametrize("kind", LEARNERS)
def test_one_class_is_refused(kind: Any) -> None:
    x, _ = two_columns()
    with pytest.raises(DataError, match="all 60 rows are of the class 0; a metric"):
        made(kind).fit(x, np.zeros(60, dtype=int))


@pytest.mark.parametrize("kind", LEARNERS)
def test_values_beyond_the_kernel_are_refused(kind: Any) -> None:
    x, y = two_columns()
    with pytest.raises(DataError, match=r"60 of 60 rows have a value beyond 1e\+18 \(row 0\); scale the columns"):
        made(kind).fit(x * 1e30 + 1e20, y)


@pytest.mark.parametrize(
    "rows", [np.ones((40, 3)), np.repeat(np.random.default_rng(0).normal(size=(20, 3)), 2, axis=0)]
)
def test_lda_needs_means_that_differ(rows: np.ndarray) -> None:
    with pytest.raises(DataError, match="the means of the 2 classes are equal"):
        LDA().fit(rows, np.arange(40) % 2)


def test_mmc_says_where_it_was_not_yet_at_rest() -> None:
    x, y = two_columns()
    with pytest.warns(ConvergenceWarning, match="MMC: stopped after max_iter = 2 steps"):
        MMC(max_iter=2, random_state=0).fit(x, y)


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("kind", LEARNERS)
def test_classes_of_one_row_each_are_refused(kind: Any) -> None:
    x, _ = two_columns()
    with pytest.raises(DataError, match="each of the 60 classes has a single row"):
        made(kind).fit(x, np.arange(60))


@pytest.mark.parametrize("kind", [ITML, MMC])
def test_pairs_that_cannot_be_used(kind: Any) -> None:
    x, _ = two_columns(10)
    for pairs, same, said in (
        ([[0, 10]], [True], "found rows 0 to 10, expected 0 to 9, as X has 10 rows"),
        ([[0, 1]], [True], "all 1 are similar"),
        ([[0.5, 1]], [True], "float64"),
        ([[0, 1], [0, 2]], [True], r"\(1,\)"),
    ):
        with pytest.raises(DataError, match=said):
            kind().fit_pairs(x, pairs, same)


def test_wine_by_three_neighbours() -> None:
    """Of published figures: raw .674, scaled .955, LDA .994; a learned metric lies between and above."""
    x, y = load_wine(return_X_y=True)
    vote = KNeighborsClassifier(3)

    def folds(*steps: Any) -> float:
        cv = StratifiedKFold(5, shuffle=True, random_state=0)
        return float(cross_val_score(make_pipeline(*steps, clone(vote)), x, y, cv=cv).mean())

    assert folds() == pytest.approx(0.674, abs=0.001)
    assert folds(StandardScaler()) == pytest.approx(0.955, abs=0.001)
    assert folds(StandardScaler(), LDA()) == pytest.approx(0.994, abs=0.006)
    assert folds(StandardScaler(), LMNN()) > 0.955
