"""The estimators: scikit-learn's own tests on ours; its answers where it is right, the oracle's where it is not."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from scipy.sparse import csr_array
from scipy.stats import norm
from sklearn import neighbors as stock
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from oracle import brute_force
from ours_for_theirs import CANNOT, MODULES, OURS
from vicinal import estimators, neighbors
from vicinal.analysis.scores import local_outlier_factor
from vicinal.estimators.search import EXACT, TREE_ROWS

ALL = [getattr(estimators, name) for name in estimators.__all__]
SEVEN = [(getattr(estimators, name), getattr(stock, name)) for name in OURS]
CLASSIFIERS = [pair for pair in SEVEN if "Classifier" in pair[0].__name__]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 20))
QUERIES = RANDOM.normal(size=(60, 20))
CLASSES = RANDOM.integers(0, 4, 400)
VALUES = np.c_[X[:, 0], X @ RANDOM.normal(size=20)]


def test_scikit_learns_own_tests_pass_with_ours_in_place_of_theirs(tmp_path: Path) -> None:
    """In a process of its own, in both float types: 1,105 tests in scikit-learn 1.9, of which ours cannot pass 7."""
    modules = [f"sklearn.neighbors.tests.{name}" for name in MODULES]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "ours_for_theirs",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "-o",
        "addopts=",
    ]
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(estimators.__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path, "SKLEARN_RUN_FLOAT32_TESTS": "1"}
    done = subprocess.run(
        [*command, "--pyargs", *modules], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) passed, (?:\d+ skipped, )?(\d+) deselected", done.stdout)
    assert found is not None and int(found[1]) > 1000 and int(found[2]) == len(CANNOT), done.stdout[-300:]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([one() for one in ALL])
def test_scikit_learns_checks_of_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(("ours", "theirs"), SEVEN)
def test_every_keyword_is_scikit_learns(ours: Any, theirs: Any) -> None:
    assert ours().get_params() == theirs().get_params()
    assert repr(ours(n_jobs=2)) == repr(theirs(n_jobs=2)) and isinstance(ours(), theirs)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan", "cosine", "l1", "l2", "cityblock"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_neighbours_are_scikit_learns_where_it_is_right(metric: str, dtype: str) -> None:
    rows, queries = X.astype(dtype), QUERIES.astype(dtype)
    ours, theirs = (
        library.NearestNeighbors(n_neighbors=7, algorithm="brute", metric=metric).fit(rows.astype(asked))
        for library, asked in ((estimators, dtype), (stock, "float64"))
    )
    assert ours._fit_method == EXACT
    for asked in (None, queries):
        for found, expected in zip(ours.kneighbors(asked), theirs.kneighbors(asked), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9)
        radius = float(np.median(theirs.kneighbors(asked)[0]))
        for found, expected in zip(
            ours.radius_neighbors(asked, radius, sort_results=True),
            theirs.radius_neighbors(asked, radius, sort_results=True),
            strict=True,
        ):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_where_one_column_is_far_off_ours_are_the_oracles_and_scikit_learns_are_not(dtype: str) -> None:
    rows = X.astype(dtype)
    rows[:, 0] += 1e9  # seconds since 1970, say
    indices, distances = brute_force(rows, None, 5, "euclidean")
    far, found = estimators.NearestNeighbors(n_neighbors=5).fit(rows).kneighbors()
    np.testing.assert_array_equal(found, indices)
    np.testing.assert_allclose(far, distances, rtol=1e-6)
    theirs = stock.NearestNeighbors(n_neighbors=5).fit(rows).kneighbors()
    assert (theirs[1] != indices).mean() > 0.5 and np.abs(theirs[0] / distances - 1).max() > 0.5
    # A tree of float64 differences is right where brute force is not.
    truth = stock.LocalOutlierFactor(5, algorithm="kd_tree").fit(rows).negative_outlier_factor_
    ours = estimators.LocalOutlierFactor(5).fit(rows).negative_outlier_factor_
    np.testing.assert_allclose(ours, truth, rtol=1e-6)
    assert np.abs(stock.LocalOutlierFactor(5).fit(rows).negative_outlier_factor_ / truth - 1).max() > 0.1


@pytest.mark.parametrize("weights", ["uniform", "distance", lambda far: 1 / (1 + far)])
def test_predictions_are_scikit_learns(weights: Any) -> None:
    for name, parameter in (("KNeighbors", {"n_neighbors": 9}), ("RadiusNeighbors", {"radius": 6.5})):
        for kind, y in (("Classifier", CLASSES), ("Classifier", np.c_[CLASSES, CLASSES % 2]), ("Regressor", VALUES)):
            ours, theirs = (
                getattr(library, name + kind)(**parameter, weights=weights, algorithm="brute").fit(X, y)
                for library in (estimators, stock)
            )
            np.testing.assert_allclose(ours.predict(QUERIES), theirs.predict(QUERIES), rtol=1e-9)
            if kind == "Classifier":
                for one, other in zip(ours.predict_proba(QUERIES), theirs.predict_proba(QUERIES), strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-9)
            else:
                np.testing.assert_allclose(ours.predict(None), theirs.predict(None), rtol=1e-9)


@pytest.mark.parametrize("novelty", [False, True])
@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_outlier_factors_are_scikit_learns(novelty: bool, contamination: Any) -> None:
    rows = np.vstack([X, X[:5] * 10])
    ours, theirs = (
        library.LocalOutlierFactor(contamination=contamination, novelty=novelty).fit(rows)
        for library in (estimators, stock)
    )
    np.testing.assert_allclose(ours.negative_outlier_factor_, theirs.negative_outlier_factor_, rtol=1e-9)
    assert ours.offset_ == pytest.approx(theirs.offset_)
    if novelty:
        np.testing.assert_array_equal(ours.predict(QUERIES), theirs.predict(QUERIES))
        np.testing.assert_allclose(ours.score_samples(QUERIES), theirs.score_samples(QUERIES), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"algorithm": "ball_tree"}, X),
        ({"algorithm": "kd_tree"}, X),
        ({"metric": lambda a, b: float(np.abs(a - b).max())}, X[:100]),
        ({"metric": "chebyshev"}, X),
        ({"metric": "minkowski", "p": 3}, X),
        ({"metric": "minkowski", "metric_params": {"w": np.arange(1, 21)}}, X),
        ({"metric": "precomputed"}, stock.NearestNeighbors().fit(X).kneighbors_graph(X, 400, "distance").toarray()),
        ({}, csr_array(np.where(X > 1, X, 0))),
        ({"metric": "cosine"}, np.vstack([X, np.zeros(20)])),
        ({}, X * 1e38),
        ({"metric": "hamming"}, X > 0),
        ({"metric": "jaccard"}, X > 0),
        ({}, np.repeat(X[:, :2], TREE_ROWS // 400 + 1, axis=0) + RANDOM.normal(size=(TREE_ROWS + 400, 2))),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_the_kernel_does_not_serve_is_scikit_learns(options: dict, rows: Any) -> None:
    ours, theirs = (library.NearestNeighbors(**options).fit(rows) for library in (estimators, stock))
    assert ours._fit_method == theirs._fit_method != EXACT
    for found, expected in zip(ours.kneighbors(rows[:9]), theirs.kneighbors(rows[:9]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_queries_that_the_kernel_does_not_serve_are_scikit_learns() -> None:
    cosine, plain = (estimators.NearestNeighbors(metric=name).fit(X) for name in ("cosine", "euclidean"))
    with_zero = np.vstack([QUERIES, np.zeros(20)])
    assert cosine._fit_method == plain._fit_method == EXACT
    np.testing.assert_allclose(cosine.kneighbors(with_zero)[0][-1], 1)
    np.testing.assert_allclose(cosine.kneighbors(with_zero)[0][:-1], cosine.kneighbors(QUERIES)[0])
    np.testing.assert_allclose(plain.kneighbors(csr_array(QUERIES))[0], plain.kneighbors(QUERIES)[0])
    assert np.isfinite(plain.kneighbors(QUERIES * 1e38)[0]).all()
    assert [len(row) for row in cosine.radius_neighbors(with_zero, 0.99)[1]][-1] == 0


def test_mahalanobis_of_a_covariance_and_of_a_learned_matrix() -> None:
    covariance = np.cov(X, rowvar=False)
    matrix = np.linalg.inv(covariance)
    expected = stock.NearestNeighbors(algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": matrix})
    far, rows = expected.fit(X).kneighbors(QUERIES)
    for params in ({"V": covariance}, {"VI": matrix}):
        ours = estimators.NearestNeighbors(metric="mahalanobis", metric_params=params).fit(X)
        assert ours._fit_method == EXACT
        np.testing.assert_array_equal(ours.kneighbors(QUERIES)[1], rows)
        np.testing.assert_allclose(ours.kneighbors(QUERIES)[0], far, rtol=1e-9)
    far_off = np.eye(20)[0] * 1e9  # seconds since 1970, say; the truth is that of what float64 keeps of the rows
    asked, stored = (array + far_off for array in (QUERIES, X))
    difference = asked[:, None] - stored
    truth = np.sqrt(np.einsum("qri,ij,qrj->qr", difference, matrix, difference))
    ours = estimators.NearestNeighbors(metric="mahalanobis", metric_params={"VI": matrix}).fit(stored)
    np.testing.assert_array_equal(ours.kneighbors(asked)[1], truth.argsort(axis=1)[:, :5])
    np.testing.assert_allclose(ours.kneighbors(asked)[0], np.sort(truth, axis=1)[:, :5], rtol=1e-12)
    flat = np.diag([1.0] + [0.0] * 19)  # a learned matrix that looks at one column alone
    one = estimators.KNeighborsRegressor(1, metric="mahalanobis", metric_params={"VI": flat}).fit(X, VALUES[:, 0])
    nearest = np.abs(QUERIES[:, :1] - X[:, 0]).argmin(axis=1)
    np.testing.assert_array_equal(one.predict(QUERIES), VALUES[nearest, 0])
    narrow = LedoitWolf().fit(X[:10]).covariance_
    assert estimators.NearestNeighbors(metric="mahalanobis", metric_params={"V": narrow}).fit(X)._fit_method == EXACT
    with pytest.raises(ValueError, match=r"V, the covariance, has no inverse.*LedoitWolf"):
        estimators.NearestNeighbors(metric="mahalanobis", metric_params={"V": np.zeros((20, 20))}).fit(X)


def test_ties_go_to_the_lower_row_and_the_lower_class() -> None:
    rows, y = np.array([[1.0], [-1], [1], [-1]]), np.array([1, 0, 1, 0])
    two = estimators.KNeighborsClassifier(2).fit(rows, y)
    assert two.kneighbors([[0.0]])[1].tolist() == [[0, 1]]
    assert two.predict([[0.0]]).tolist() == [0] and two.predict_proba([[0.0]]).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(("ours", "theirs"), CLASSIFIERS)
def test_stored_rows_at_distance_zero_take_the_whole_vote(ours: Any, theirs: Any) -> None:
    rows, y = np.array([[0.0], [0], [0], [1], [1.5]]), np.array(["b", "b", "a", "a", "a"])
    found = ours(5, weights="distance").fit(rows, y)
    assert found.predict_proba([[0.0]]).tolist() == [[1 / 3, 2 / 3]]
    np.testing.assert_allclose(
        found.predict_proba([[0.5], [1.5]]), theirs(5, weights="distance").fit(rows, y).predict_proba([[0.5], [1.5]])
    )
    values = estimators.KNeighborsRegressor(5, weights="distance").fit(rows, [1.0, 2, 6, 100, 100])
    assert values.predict([[0.0]]).tolist() == [3.0]


def test_k_up_to_the_number_of_rows_and_not_beyond() -> None:
    rows, y = X[:6], np.array([0, 0, 0, 0, 1, 2])
    assert estimators.KNeighborsClassifier(6).fit(rows, y).predict(QUERIES).tolist() == [0] * 60
    for k, asked in ((7, QUERIES), (6, None)):
        model = estimators.KNeighborsClassifier(k).fit(rows, y)
        with pytest.raises(ValueError, match=r"Expected n_neighbors <=? n_samples_fit") as ours:
            model.predict(asked)
        with pytest.raises(ValueError) as theirs:
            stock.KNeighborsClassifier(k, algorithm="brute").fit(rows, y).kneighbors(asked)
        assert str(ours.value) == str(theirs.value)


def test_one_class_and_a_class_of_one_member() -> None:
    assert estimators.KNeighborsClassifier().fit(X, np.zeros(400)).predict_proba(QUERIES).tolist() == [[1.0]] * 60
    lone = estimators.KNeighborsClassifier(1).fit(X, np.arange(400) == 7)
    assert lone.predict(X[7:9]).tolist() == [True, False] and not lone.predict(None)[7]


@pytest.mark.parametrize(("ours", "theirs"), SEVEN)
def test_clones_and_pickles_answer_the_same(ours: Any, theirs: Any) -> None:
    model = ours().set_params(**({"radius": 6.5} if "Radius" in ours.__name__ else {}))
    y = VALUES if "Regressor" in ours.__name__ else CLASSES
    assert clone(model).get_params() == model.get_params()
    model.fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    ask = "radius_neighbors" if "Radius" in ours.__name__ else "kneighbors"
    for found, expected in zip(getattr(again, ask)(QUERIES), getattr(model, ask)(QUERIES), strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert again._fit_method == EXACT


def test_one_estimator_can_be_fitted_from_another() -> None:
    first = estimators.NearestNeighbors(metric="manhattan").fit(X)
    second = estimators.NearestNeighbors(n_neighbors=3, metric="manhattan").fit(first)
    assert second._fit_method == EXACT
    np.testing.assert_array_equal(second.kneighbors(QUERIES)[1], first.kneighbors(QUERIES, 3)[1])
    other = estimators.NearestNeighbors(metric="chebyshev").fit(first)
    expected = stock.NearestNeighbors(metric="chebyshev", algorithm="brute").fit(X).kneighbors(QUERIES)[1]
    np.testing.assert_array_equal(other.kneighbors(QUERIES)[1], expected)
    tree = estimators.NearestNeighbors().fit(stock.KDTree(X))
    np.testing.assert_array_equal(tree.kneighbors(QUERIES)[0], stock.KDTree(X).query(QUERIES, 5)[0])


def test_pipelines_searches_frames_and_outputs() -> None:
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    grid = {"knn__n_neighbors": [1, 5, 9], "knn__weights": ["uniform", "distance"]}
    scores = []
    for library in (estimators, stock):
        pipeline = make_pipeline(StandardScaler(), library.KNeighborsClassifier())
        pipeline.steps[-1] = ("knn", pipeline.steps[-1][1])
        found = GridSearchCV(pipeline, grid, cv=3).fit(x, y)
        scores.append(found.cv_results_["mean_test_score"])
        assert found.best_estimator_[-1].n_features_in_ == 30
    np.testing.assert_array_equal(*scores)
    model = estimators.KNeighborsClassifier().fit(x, y)
    assert list(model.feature_names_in_) == list(x.columns)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(x.to_numpy()[:2])
    graph = estimators.KNeighborsTransformer(n_neighbors=2).set_output(transform="default").fit(x)
    assert graph.get_feature_names_out()[:2].tolist() == ["kneighborstransformer0", "kneighborstransformer1"]
    scaled = make_pipeline(StandardScaler(), estimators.KNeighborsRegressor(3)).set_output(transform="pandas")
    assert isinstance(scaled[:-1].fit_transform(x), pandas.DataFrame)
    assert scaled.fit(x, y).predict(x).shape == (569,)


def test_wine_needs_scaling() -> None:
    x, y = load_wine(return_X_y=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    raw = cross_val_score(estimators.KNeighborsClassifier(3), x, y, cv=folds).mean()
    scaled = cross_val_score(make_pipeline(StandardScaler(), estimators.KNeighborsClassifier(3)), x, y, cv=folds).mean()
    assert (round(raw, 3), round(scaled, 3)) == (0.674, 0.955)


def test_threads_change_nothing() -> None:
    one, two = (estimators.NearestNeighbors(n_jobs=jobs).fit(X).kneighbors(QUERIES) for jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev"])
def test_leave_one_out_for_every_k_is_scikit_learns_for_each(metric: str) -> None:
    ks, weights = [1, 2, 3, 8, 21], ("uniform", "distance")
    pairs = np.c_[CLASSES, CLASSES % 2]
    for y, kind in ((CLASSES, "Classifier"), (pairs, "Classifier"), (VALUES, "Regressor"), (VALUES[:, 0], "Regressor")):
        model = getattr(estimators, f"KNeighbors{kind}CV")(ks, weights=weights, metric=metric).fit(X, y)
        alone = getattr(stock, f"KNeighbors{kind}")
        # A row is left out of its own neighbours where X is None: leave-one-out, one k at a time.
        truth = [[alone(k, weights=one, metric=metric).fit(X, y).predict(None) for k in ks] for one in weights]
        right = accuracy_of_rows if kind == "Classifier" else r2_score
        np.testing.assert_allclose(model.scores_, [[right(y, one) for one in row] for row in truth], rtol=1e-6)
        best = alone(model.n_neighbors_, weights=model.weights_, metric=metric).fit(X, y)
        np.testing.assert_allclose(model.predict(QUERIES), best.predict(QUERIES), rtol=1e-9)
        assert model.best_score_ == model.scores_.max() == pytest.approx(right(y, model.predict(None)), rel=1e-6)


def accuracy_of_rows(y: np.ndarray, found: np.ndarray) -> float:
    return float((y == found).reshape(len(y), -1).all(axis=1).mean())


def test_choosing_k_says_what_it_left_out_and_what_it_cannot_use() -> None:
    rows, y = X[:8], np.arange(8) % 2
    with pytest.warns(UserWarning, match="ks: left out 8, 9: a row has only 7 others"):
        model = estimators.KNeighborsClassifierCV(ks=range(5, 10)).fit(rows, y)
    assert model.ks_.tolist() == [5, 6, 7] and model.scores_.shape == (2, 3)
    wrong: list[Any] = [[], [0], [1.5], "3", 3]
    for ks in wrong:
        with pytest.raises(ValueError, match="ks: expected whole numbers above 0"):
            estimators.KNeighborsClassifierCV(ks=ks).fit(rows, y)
    with pytest.raises(ValueError, match="ks: found 8, 9, but a row has only 7 others"):
        estimators.KNeighborsRegressorCV(ks=[8, 9]).fit(rows, y)
    with pytest.raises(ValueError, match="unknown weights 'near'"):
        estimators.KNeighborsRegressorCV(weights=["near"]).fit(rows, y)
    number: Any = 3
    with pytest.raises(ValueError, match="unknown weights 3: choose from uniform, distance"):
        estimators.KNeighborsRegressorCV(weights=number).fit(rows, y)
    assert estimators.KNeighborsRegressorCV([1, 2], weights=None).fit(rows, y).weights_ == "uniform"
    one = estimators.KNeighborsClassifierCV(ks=[1, 3], weights=lambda far: 1 / (1 + far)).fit(rows, np.zeros(8))
    assert one.best_score_ == 1.0 and one.n_neighbors_ == 1
    lone = estimators.KNeighborsClassifierCV(ks=[1]).fit(rows, np.arange(8) == 3)
    assert lone.best_score_ <= 7 / 8  # a class of one member cannot be told when that member is left out


def test_choosing_k_works_on_sparse_rows_and_in_pipelines() -> None:
    sparse = csr_array(np.where(X > 1, X, 0))
    dense = estimators.KNeighborsClassifierCV(ks=range(1, 10)).fit(sparse.toarray(), CLASSES)
    np.testing.assert_array_equal(
        estimators.KNeighborsClassifierCV(ks=range(1, 10)).fit(sparse, CLASSES).ks_, dense.ks_
    )
    x, y = load_wine(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), estimators.KNeighborsClassifierCV()).fit(x, y)
    assert pipeline[-1].best_score_ > 0.95 and pipeline.predict_proba(x).shape == (178, 3)
    again = pickle.loads(pickle.dumps(clone(pipeline).fit(x, y)))
    np.testing.assert_array_equal(again.predict(x), pipeline.predict(x))
    assert list(estimators.KNeighborsClassifierCV().fit(x, y).feature_names_in_) == list(x.columns)


def test_a_density_integrates_to_its_formula_and_nears_the_truth() -> None:
    rows = np.random.default_rng(1).normal(size=(4000, 1))
    y = (rows[:, 0] > 0).astype(int)
    model = estimators.GenerativeKNNClassifier(200).fit(rows, y)
    grid = np.linspace(-2, 2, 41)[:, None]
    radius = stock.NearestNeighbors(n_neighbors=200).fit(rows).kneighbors(grid)[0][:, -1]
    np.testing.assert_allclose(np.exp(model.log_density(grid)), 200 / 4000 / (2 * radius), rtol=1e-9)
    np.testing.assert_allclose(np.exp(model.log_density(grid)), norm.pdf(grid.ravel()), rtol=0.25)
    conditional = np.exp(model.class_log_density(np.array([[1.0], [-1.0]])))
    np.testing.assert_allclose(conditional, [[0, 2 * norm.pdf(1)], [2 * norm.pdf(1), 0]], rtol=0.25)


@pytest.mark.parametrize("options", [{}, {"metric": "manhattan"}, {"metric": "cosine"}, {"metric": "mahalanobis"}])
def test_bayes_rule_and_a_volume_for_every_metric_of_lengths(options: dict[str, Any]) -> None:
    rows, y = X[:, :3], CLASSES
    matrix = np.diag([4.0, 1.0, 0.25])
    if options.get("metric") == "mahalanobis":
        options = {**options, "metric_params": {"VI": matrix}}
    model = estimators.GenerativeKNNClassifier(15, **options).fit(rows, y)
    posterior = model.predict_proba(QUERIES[:, :3])
    direct = estimators.KNeighborsClassifier(15, **options).fit(rows, y).predict_proba(QUERIES[:, :3])
    np.testing.assert_allclose(posterior, direct, atol=1e-12)  # with the priors of the training set it is n_c(x) / K
    joint = np.log(model.priors_) + model.class_log_density(QUERIES[:, :3])
    np.testing.assert_allclose(np.exp(joint - model.log_density(QUERIES[:, :3])[:, None]), posterior, atol=1e-12)
    radius = model.kneighbors(QUERIES[:, :3])[0][:, -1]
    volume = {
        None: 4 / 3 * np.pi * radius**3,
        "mahalanobis": 4 / 3 * np.pi * radius**3,  # the determinant is 1
        "manhattan": 4 / 3 * radius**3,
        "cosine": np.pi * 2 * radius,
    }[options.get("metric")]
    np.testing.assert_allclose(np.exp(model.log_density(QUERIES[:, :3])), 15 / 400 / volume, rtol=1e-9)


def test_other_priors_move_the_posterior_and_high_dimensions_do_not_overflow() -> None:
    y = (np.arange(400) % 4 == 0).astype(int)
    even = estimators.GenerativeKNNClassifier(20, priors=[0.5, 0.5]).fit(X, y)
    shares = estimators.KNeighborsClassifier(20).fit(X, y).predict_proba(QUERIES)
    odds = shares * [0.5 / 300, 0.5 / 100]
    np.testing.assert_allclose(even.predict_proba(QUERIES), odds / odds.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(even.predict(QUERIES), odds.argmax(axis=1))
    wide = np.random.default_rng(0).normal(size=(100, 3000)) * 1e6
    assert np.isfinite(estimators.GenerativeKNNClassifier(9).fit(wide, y[:100]).log_density(None)).all()
    copies = estimators.GenerativeKNNClassifier(2).fit(np.zeros((4, 2)), [0, 0, 1, 1])
    assert copies.log_density([[0.0, 0.0]]).tolist() == [np.inf] and copies.predict_proba([[0.0, 0.0]]).sum() == 1


def test_leave_one_out_density_counts_the_others_alone() -> None:
    rows, y = np.array([[0.0], [1.0], [3.0]]), np.array([0, 0, 1])
    model = estimators.GenerativeKNNClassifier(1).fit(rows, y)
    # Two others; the nearest is at 1, 1 and 2: balls of length 2, 2 and 4.
    np.testing.assert_allclose(np.exp(model.log_density(None)), [1 / 4, 1 / 4, 1 / 8])
    assert model.predict(None).tolist() == [0, 0, 0]


def test_a_density_says_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match=r"balls have a volume; chebyshev has none"):
        estimators.GenerativeKNNClassifier(metric="chebyshev").fit(X, CLASSES).log_density(QUERIES)
    with pytest.raises(ValueError, match=r"this matrix is singular"):
        flat = np.diag([1.0] + [0.0] * 19)
        model = estimators.GenerativeKNNClassifier(metric="mahalanobis", metric_params={"VI": flat}, algorithm="brute")
        model.fit(X, CLASSES).log_density(QUERIES)
    with pytest.raises(ValueError, match=r"priors: expected 4 probabilities above 0 that sum to 1"):
        estimators.GenerativeKNNClassifier(priors=[0.5, 0.5]).fit(X, CLASSES)
    with pytest.raises(ValueError, match=r"expected one label a row, found 2 columns"):
        estimators.GenerativeKNNClassifier().fit(X, np.c_[CLASSES, CLASSES])


def test_local_outlier_factor_is_the_score_of_the_neighbours() -> None:
    found = local_outlier_factor(neighbors(X, 20), 20)
    np.testing.assert_allclose(-estimators.LocalOutlierFactor().fit(X).negative_outlier_factor_, found, rtol=1e-6)
