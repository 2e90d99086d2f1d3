"""Choosing k: the leave-one-out score of every k and weighting, from one neighbour search over the training rows.

A row is never its own neighbour here, so the first k entries of its list are its k nearest rows among all others. One
list for the largest k therefore holds the leave-one-out predictions of every smaller k.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from vicinal.analysis.votes import WEIGHTS, classes_by_k, r2_by_k
from vicinal.errors import UsageError, some, unknown
from vicinal.estimators.stock import KNeighborsClassifier, KNeighborsRegressor
from vicinal.knn.neighbors import Neighbors

KS = tuple(range(1, 51))
Float = NDArray[np.float64]
WeightsLike = str | Callable[[Float], Float] | None


class LeaveOneOutSearch(MultiOutputMixin, BaseEstimator):
    """The base class of the classifier and the regressor: the parameters, the search and the choice."""

    def __init__(
        self,
        ks: Sequence[int] = KS,
        *,
        weights: WeightsLike | Sequence[WeightsLike] = WEIGHTS,
        algorithm: Literal["auto", "ball_tree", "kd_tree", "brute"] = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Any = "minkowski",
        metric_params: dict[str, Any] | None = None,
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

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Store the rows, score every k and weighting by leave-one-out, and keep the best.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)

        Raises
        ------
        ValueError
            Where no k is below the number of rows, a k or a weighting is unknown, or there are fewer than two rows.
        """
        ks, weightings = _ks(self.ks), _weightings(self.weights)
        others = {name: value for name, value in self.get_params(deep=False).items() if name not in ("ks", "weights")}
        estimator = self._kind()(n_neighbors=1, **others).fit(X, y)
        n = estimator.n_samples_fit_
        if n < 2:
            raise ValueError(f"found n_samples = {n}; leave-one-out needs at least 2")
        usable = [k for k in ks if k < n]
        if not usable:
            raise UsageError(f"ks: found {some(ks)}, but a row has only {n - 1} others; give a smaller k")
        if len(usable) < len(ks):
            left = [k for k in ks if k >= n]
            warnings.warn(f"ks: left out {some(left)}: a row has only {n - 1} others", UserWarning, stacklevel=2)
        neighbors = estimator.stored_neighbors(max(usable))
        self.ks_ = np.array(usable)
        self.weightings_ = weightings
        self.scores_ = np.array([self._scores(estimator, neighbors, usable, one) for one in weightings])
        at = np.unravel_index(np.argmax(self.scores_), self.scores_.shape)
        self.best_score_, self.n_neighbors_, self.weights_ = float(self.scores_[at]), usable[at[1]], weightings[at[0]]
        self.estimator_ = estimator.set_params(n_neighbors=self.n_neighbors_, weights=self.weights_)
        self.n_features_in_ = estimator.n_features_in_
        if hasattr(estimator, "feature_names_in_"):
            self.feature_names_in_ = estimator.feature_names_in_
        return self

    def predict(self, X: ArrayLike | None) -> NDArray[Any]:  # noqa: N803
        """Return the predictions of the best k and weighting; None takes each training row and leaves it out."""
        check_is_fitted(self)
        predictions: NDArray[Any] = self.estimator_.predict(X)
        return predictions

    def kneighbors(
        self,
        X: ArrayLike | None = None,  # noqa: N803
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> Any:
        """Return the nearest training rows, as `NearestNeighbors.kneighbors`; by default the chosen number of them."""
        check_is_fitted(self)
        return self.estimator_.kneighbors(X, n_neighbors, return_distance)

    def _kind(self) -> Any:
        """The class of the estimator whose k is chosen."""
        raise NotImplementedError

    def _scores(self, estimator: Any, neighbors: Neighbors, ks: list[int], weights: Any) -> Float:
        """The leave-one-out score of each k."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.input_tags.pairwise = tags.input_tags.positive_only = self.metric == "precomputed"
        tags.input_tags.allow_nan = self.metric == "nan_euclidean"
        return tags


class KNeighborsClassifierCV(ClassifierMixin, LeaveOneOutSearch):
    """A k-NN classifier that chooses k and the weighting by leave-one-out accuracy, from one neighbour search.

    Parameters
    ----------
    ks : sequence of int
        The numbers of neighbours to try. Those that are not below the number of rows are left out with a warning.
    weights : "uniform", "distance", callable, or a sequence of them
        The weightings to choose among.
    algorithm, leaf_size, p, metric, metric_params, n_jobs
        As of `KNeighborsClassifier`.

    Attributes
    ----------
    n_neighbors_, weights_
        The choice: the best score; of equal ones the first weighting, then the first k in the order of ks.
    best_score_ : float
    scores_ : ndarray of float64, shape (n_weightings, n_ks)
        The leave-one-out accuracy of each of `weightings_` and `ks_`.
    classes_ : ndarray
    estimator_ : KNeighborsClassifier
        The fitted estimator with the choice.

    Examples
    --------
    >>> x = [[0.0], [0.2], [0.4], [0.5], [3.0], [3.1], [3.2]]
    >>> model = KNeighborsClassifierCV(ks=range(1, 5)).fit(x, list("aaabbbb"))
    >>> model.n_neighbors_, round(model.best_score_, 3), model.predict([[0.1]]).tolist()
    (2, 0.857, ['a'])
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803, D102
        super().fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X: ArrayLike | None) -> Any:  # noqa: N803
        """Return each class's share of the vote, as `KNeighborsClassifier.predict_proba`."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    def _kind(self) -> Any:
        return KNeighborsClassifier

    def _scores(self, estimator: Any, neighbors: Neighbors, ks: list[int], weights: Any) -> Float:
        codes = estimator._y.reshape(len(neighbors), -1)
        right = np.ones((len(ks), len(neighbors)), dtype=bool)
        for column in codes.T:
            right &= classes_by_k(neighbors, column, ks, weights) == column
        return np.asarray(right.mean(axis=1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class KNeighborsRegressorCV(RegressorMixin, LeaveOneOutSearch):
    """A k-NN regressor that chooses k and the weighting by the R2 of leave-one-out, from one neighbour search.

    Parameters and attributes are those of `KNeighborsClassifierCV`, without classes_. `scores_` are the R2 of the
    leave-one-out predictions, the mean over outputs, as of `sklearn.metrics.r2_score`.

    Examples
    --------
    >>> x = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]
    >>> KNeighborsRegressorCV(ks=(1, 2, 3), weights="uniform").fit(x, [0.0, 1, 2, 3, 4, 5]).n_neighbors_
    2
    """

    def _kind(self) -> Any:
        return KNeighborsRegressor

    def _scores(self, estimator: Any, neighbors: Neighbors, ks: list[int], weights: Any) -> Float:
        values = np.asarray(estimator._y, dtype=np.float64)
        return r2_by_k(neighbors, values, ks, weights)


def _ks(ks: Any) -> list[int]:
    """The distinct ks, checked."""
    listed = list(ks) if np.iterable(ks) and not isinstance(ks, str) else []
    if not listed or any(isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1 for k in listed):
        raise UsageError(f"ks: expected whole numbers above 0, such as range(1, 51), got {ks!r}")
    return list(dict.fromkeys(int(k) for k in listed))


def _weightings(weights: Any) -> list[Any]:
    """The weightings to try, checked."""
    listed = list(weights) if np.iterable(weights) and not isinstance(weights, str) else [weights]
    if not listed:
        raise UsageError(f"weights: expected at least one of {', '.join(WEIGHTS)}")
    listed = ["uniform" if one is None else one for one in listed]  # as scikit-learn reads None
    for one in listed:
        if not callable(one) and one not in WEIGHTS:
            raise UsageError(unknown("weights", one, WEIGHTS))
    return listed
