"""Choosing k: the leave-one-out score of every k and weighting, from one neighbour pass over the training rows.

Leaving a row out changes no other row's neighbours except by that row, which is never its own neighbour: so the lists
of all rows, walked once, hold the leave-one-out prediction of every k.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from vicinal.analysis.votes import WEIGHTS, classes_by_k, r2_by_k
from vicinal.errors import UsageError, some, unknown
from vicinal.estimators.stock import KNeighborsClassifier, KNeighborsRegressor
from vicinal.knn.neighbors import Neighbors

KS = tuple(range(1, 51))


class LeaveOneOutSearch(MultiOutputMixin, BaseEstimator):
    """What the classifier and the regressor share: the parameters, the pass and the choice."""

    def __init__(
        self,
        ks: Sequence[int] = KS,
        *,
        weights: str | Callable | Sequence[str | Callable | None] | None = WEIGHTS,
        algorithm: str = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Any = "minkowski",
        metric_params: dict | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.ks = ks
        self.weights = weights
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.p = p
        self.metric = metric
        self.metric_params = metric_params
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        """Stores the rows, scores every k and weighting by leave-one-out, and keeps the best.

        X, y   : as the estimator's of which k is chosen
        Raises   ValueError where a k or a weighting cannot be used, or there are fewer than two rows
        """
        ks, weightings = _ks(self.ks), _weightings(self.weights)
        others = {name: value for name, value in self.get_params(deep=False).items() if name not in ("ks", "weights")}
        estimator = self._kind()(n_neighbors=1, **others).fit(X, y)
        n = estimator.n_samples_fit_
        if n < 2:
            raise ValueError(f"found n_samples = {n}; leaving one out needs at least 2")
        usable = [k for k in ks if k < n]
        if not usable:
            raise UsageError(f"ks: found {some(ks)}, but a row has only {n - 1} others; give a smaller k")
        if len(usable) < len(ks):
            left = [k for k in ks if k >= n]
            warnings.warn(f"ks: left out {some(left)}: a row has only {n - 1} others", UserWarning, stacklevel=2)
        found = estimator.stored_neighbors(max(usable))
        self.ks_ = np.array(usable)
        self.weightings_ = weightings
        self.scores_ = np.array([self._scores(estimator, found, usable, one) for one in weightings])
        at = np.unravel_index(np.argmax(self.scores_), self.scores_.shape)
        self.best_score_, self.n_neighbors_, self.weights_ = float(self.scores_[at]), usable[at[1]], weightings[at[0]]
        self.estimator_ = estimator.set_params(n_neighbors=self.n_neighbors_, weights=self.weights_)
        self.n_features_in_ = estimator.n_features_in_
        if hasattr(estimator, "feature_names_in_"):
            self.feature_names_in_ = estimator.feature_names_in_
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The prediction of the best k and weighting; for None, of each training row without itself."""
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:  # noqa: N803
        """The nearest training rows, as `NearestNeighbors.kneighbors`; by default as many as were chosen."""
        check_is_fitted(self)
        return self.estimator_.kneighbors(X, n_neighbors, return_distance)

    def _kind(self) -> Any:
        raise NotImplementedError

    def _scores(self, estimator: Any, found: Neighbors, ks: list[int], weights: Any) -> np.ndarray:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.input_tags.pairwise = tags.input_tags.positive_only = self.metric == "precomputed"
        tags.input_tags.allow_nan = self.metric == "nan_euclidean"
        return tags


class KNeighborsClassifierCV(ClassifierMixin, LeaveOneOutSearch):
    """A k-NN classifier that chooses k and the weighting by leave-one-out accuracy, from one neighbour pass.

    ks      : the numbers of neighbours to try; those that are not below n are left out with a warning
    weights : "uniform", "distance", a function of distances, or several of them to choose among
    others  : as KNeighborsClassifier's
    After fit: n_neighbors_ and weights_ (the choice: the best score; of equals the first weighting, then the first k
              in the order of ks), best_score_, scores_ (n_weightings, n_ks) with ks_ and weightings_, classes_,
              estimator_ (the KNeighborsClassifier that answers)

    >>> x = [[0.0], [0.2], [0.4], [0.5], [3.0], [3.1], [3.2]]
    >>> model = KNeighborsClassifierCV(ks=range(1, 5)).fit(x, list("aaabbbb"))
    >>> model.n_neighbors_, round(model.best_score_, 3), model.predict([[0.1]]).tolist()
    (2, 0.857, ['a'])
    """

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803, D102
        super().fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Each class's share of the vote, as KNeighborsClassifier's."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    def _kind(self) -> Any:
        return KNeighborsClassifier

    def _scores(self, estimator: Any, found: Neighbors, ks: list[int], weights: Any) -> np.ndarray:
        codes = estimator._y.reshape(len(found), -1)
        right = np.ones((len(ks), len(found)), dtype=bool)
        for column in codes.T:
            right &= classes_by_k(found, column, ks, weights) == column
        return right.mean(axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class KNeighborsRegressorCV(RegressorMixin, LeaveOneOutSearch):
    """A k-NN regressor that chooses k and the weighting by the R2 of leave-one-out, from one neighbour pass.

    Parameters and attributes as KNeighborsClassifierCV's; scores_ are R2 of the leave-one-out predictions, the mean
    over outputs, as r2_score's.

    >>> x = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]
    >>> KNeighborsRegressorCV(ks=(1, 2, 3), weights="uniform").fit(x, [0.0, 1, 2, 3, 4, 5]).n_neighbors_
    2
    """

    def _kind(self) -> Any:
        return KNeighborsRegressor

    def _scores(self, estimator: Any, found: Neighbors, ks: list[int], weights: Any) -> np.ndarray:
        values = np.asarray(estimator._y, dtype=np.float64)
        return r2_by_k(found, values, ks, weights)


def _ks(ks: Any) -> list[int]:
    listed = list(ks) if np.iterable(ks) and not isinstance(ks, str) else []
    if not listed or any(isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1 for k in listed):
        raise UsageError(f"ks: expected whole numbers above 0, such as range(1, 51), got {ks!r}")
    return list(dict.fromkeys(int(k) for k in listed))


def _weightings(weights: Any) -> list:
    listed = list(weights) if np.iterable(weights) and not isinstance(weights, str) else [weights]
    if not listed:
        raise UsageError(f"weights: expected at least one of {', '.join(WEIGHTS)}")
    listed = ["uniform" if one is None else one for one in listed]  # as scikit-learn reads None
    for one in listed:
        if not callable(one) and one not in WEIGHTS:
            raise UsageError(unknown("weights", one, WEIGHTS))
    return listed
