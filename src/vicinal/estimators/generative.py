"""Bayes' rule from neighbours: class-conditional densities, priors, and the posterior that they make."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from vicinal.errors import UsageError
from vicinal.estimators.stock import KNeighborsClassifier


class GenerativeKNNClassifier(KNeighborsClassifier):
    """A classifier from k-NN densities: p(x|c) = n_c(x) / (n_c V_K(x)), p(c) = n_c / n, and Bayes' rule.

    Among the K nearest rows of x, n_c(x) are of class c; V_K(x) is the volume of the ball that reaches the K-th. All is
    computed in logarithms. With the priors of the training set the posterior is n_c(x) / K; with other priors, as
    where the classes will occur in other shares than they were collected in, it is not.

    n_neighbors : K
    priors      : the probability of each class, in the order of classes_; None for n_c / n
    others      : as KNeighborsClassifier's
    After fit   : priors_, class_count_, and what KNeighborsClassifier has
    Source        Bishop 2006, section 2.5.2

    >>> model = GenerativeKNNClassifier(n_neighbors=3).fit([[0.0], [1.0], [2.0], [8.0]], [0, 0, 1, 1])
    >>> model.predict_proba([[0.5]]).round(3).tolist()
    [[0.667, 0.333]]
    >>> np.exp(model.log_density([[0.5]])).round(3).tolist()        # 3 of 4 rows in a ball of length 3
    [0.25]
    """

    _parameter_constraints: dict = {**KNeighborsClassifier._parameter_constraints, "priors": ["array-like", None]}  # noqa: RUF012
    _parameter_constraints.pop("weights")

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        priors: Any = None,
        algorithm: str = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Any = "minkowski",
        metric_params: dict | None = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            n_neighbors=n_neighbors,
            algorithm=algorithm,
            leaf_size=leaf_size,
            p=p,
            metric=metric,
            metric_params=metric_params,
            n_jobs=n_jobs,
        )
        self.priors = priors

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        """Stores the rows and counts the classes.

        Raises    ValueError where y has several columns, or the priors are not as many probabilities as classes
        """
        super().fit(X, y)
        if self.outputs_2d_:
            raise ValueError(f"y: expected one label a row, found {self._y.shape[1]} columns; fit one model a column")
        self.class_count_ = np.bincount(self._y, minlength=len(self.classes_))
        self.priors_ = self._checked_priors()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """p(c|x) of each class, float64 (n_queries, n_classes), in the order of classes_."""
        inside, counts, priors, _ = self._counts(X)
        with np.errstate(divide="ignore"):
            joint = np.log(priors) + np.log(inside) - np.log(np.maximum(counts, 1))  # V_K(x) is the same for all
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The class of the largest p(c|x); of equals the first."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def log_density(self, X: Any) -> np.ndarray:  # noqa: N803
        """log p(x), with p(x) = sum over classes of p(c) p(x|c).

        X       : (n_queries, n_features), or None for each training row without itself
        Returns   float64 (n_queries,), natural logarithm; inf where the K nearest rows are copies of x
        Raises    UsageError where the metric's balls have no volume
        """
        conditional, priors = self._conditional(X)
        with np.errstate(divide="ignore"):
            return np.logaddexp.reduce(np.log(priors) + conditional, axis=1)

    def class_log_density(self, X: Any) -> np.ndarray:  # noqa: N803
        """log p(x|c) of each class, float64 (n_queries, n_classes); -inf where none of the K nearest is of the class.

        X, Raises   as `log_density`
        """
        return self._conditional(X)[0]

    def _conditional(self, X: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: N803
        """log p(x|c) and p(c)."""
        check_is_fitted(self)
        self._log_volume(np.ones(1))  # what cannot be done is said before the search
        inside, counts, priors, radius = self._counts(X)
        volume = self._log_volume(radius)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.log(inside) - np.log(np.maximum(counts, 1)) - volume[:, None]
        return np.where(inside > 0, found, -np.inf), priors

    def _counts(self, X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # noqa: N803
        """n_c(x), n_c and p(c), each (n_queries or 1, n_classes), and how far the K-th nearest is, (n_queries,).

        A training row is not counted where it asks.
        """
        check_is_fitted(self)
        far, named = self.kneighbors(X)
        rows, radius = self._y[named], far[:, -1]
        inside = np.stack([(rows == code).sum(axis=1) for code in range(len(self.classes_))], axis=1)
        if X is not None:
            return inside, self.class_count_[None], self.priors_[None], radius
        counts = self.class_count_ - np.eye(len(self.classes_), dtype=np.int64)[self._y]
        priors = self.priors_[None] if self.priors is not None else counts / (len(self._y) - 1)
        return inside, counts, priors, radius

    def _log_volume(self, radius: np.ndarray) -> np.ndarray:
        metric = self._served_metric()
        if metric is None or metric.log_volume is None:
            raise UsageError(
                f"a density needs a metric whose balls have a volume; {self.effective_metric_} has none here: choose "
                "euclidean, manhattan or mahalanobis"
            )
        with np.errstate(divide="ignore"):
            volume = metric.log_volume(radius, self.n_features_in_)
        if self.effective_metric_ != "mahalanobis":
            return volume
        sign, determinant = np.linalg.slogdet(np.asarray(self._mahalanobis_matrix(), dtype=np.float64))
        if sign <= 0:
            raise UsageError("a density needs a metric that looks at every direction; this matrix is singular")
        return volume - determinant / 2

    def _checked_priors(self) -> np.ndarray:
        if self.priors is None:
            return self.class_count_ / self.class_count_.sum()
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != self.classes_.shape or not (priors > 0).all() or not np.isclose(priors.sum(), 1):
            raise UsageError(
                f"priors: expected {len(self.classes_)} probabilities above 0 that sum to 1, one for each of "
                f"{self.classes_.tolist()}, found {priors.tolist()}"
            )
        return priors

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        tags.target_tags.multi_output = False
        return tags
