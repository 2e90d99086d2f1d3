"""A pytest plugin: our estimators in scikit-learn's places, so that its own installed tests run on them.

    python -m pytest -p ours_for_theirs --pyargs sklearn.neighbors.tests.test_neighbors

What cannot pass is in CANNOT, with the reason, and is left out; a name there that no test has is an error.
"""

import pytest
import sklearn.neighbors
from sklearn.neighbors import _classification, _graph, _lof, _regression, _unsupervised

from vicinal import estimators

MODULES = ("test_neighbors", "test_graph", "test_neighbors_pipeline", "test_lof")
PLACES = (sklearn.neighbors, _classification, _graph, _lof, _regression, _unsupervised)
OURS = (
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
    "RadiusNeighborsClassifier",
    "RadiusNeighborsRegressor",
)
EQUAL_ROWS = "of three equal rows it wants the last to name the second; ours names the lowest other row, as everywhere"
PRIVATE = "it reads _fit_method, which says 'exact' where our kernel serves"
CANNOT = {
    "test_k_and_radius_neighbors_duplicates[ball_tree]": EQUAL_ROWS,
    "test_k_and_radius_neighbors_duplicates[brute]": EQUAL_ROWS,
    "test_k_and_radius_neighbors_duplicates[kd_tree]": EQUAL_ROWS,
    "test_k_and_radius_neighbors_duplicates[auto]": EQUAL_ROWS,
    "test_auto_algorithm[X1-euclidean-None-brute]": PRIVATE,
    "test_auto_algorithm[X2-euclidean-None-brute]": PRIVATE,
    "test_auto_algorithm[X3-euclidean-None-kd_tree]": PRIVATE,
}


def pytest_configure() -> None:
    for place in PLACES:
        for name in OURS:
            if hasattr(place, name) and getattr(place, name).__module__ != place.__name__:
                setattr(place, name, getattr(estimators, name))  # where it is made it stays, for its own super() calls


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.name in CANNOT]
    if len(left_out) != len(CANNOT):
        raise pytest.UsageError(f"of {len(CANNOT)} tests to leave out, {len(left_out)} are there")
    items[:] = [item for item in items if item.name not in CANNOT]
    config.hook.pytest_deselected(items=left_out)
