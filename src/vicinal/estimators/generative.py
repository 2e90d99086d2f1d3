"""A classifier by Bayes' rule, with class-conditional densities from nearest neighbours."""

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from vicinal.errors import UsageError
from vicinal.estimators.stock import KNeighborsClassifier

Float = NDArray[np.float64]


class GenerativeKNNClassifier(KNeighborsClassifier):
    """A classifier from k-NN densities: p(x|c) = n_c(x) / (n_c V_K(x)), p(c) = n_c / n, and Bayes' rule.

    Among the K nearest rows of x, n_c(x) are of class c. V_K(x) is the volume of the ball around x that reaches the
    K-th nearest row. Everything is computed in logarithms. With the class shares of the training set as priors, the
    posterior is n_c(x) / K. Give other priors where the classes will occur in other shares than in the training set.

    Parameters
    ----------
    n_neighbors : int
        K.
    priors : array_like, shape (n_classes,), optional
        The probability of each class, in the order of classes_. None is n_c / n.
    algorithm, leaf_size, p, metric, metric_params, n_jobs
        As of `KNeighborsClassifier`.

    Attributes
    ----------
    priors_ : ndarray of float64, shape (n_classes,)
    class_count_ : ndarray of int, shape (n_classes,)
        The rows of each class.

    References
    ----------
    Bishop 2006, section 2.5.2.

    Examples
    --------
    >>> model = GenerativeKNNClassifier(n_neighbors=3).fit([[0.0], [1.0], [2.0], [8.0]], [0, 0, 1, 1])
    >>> model.predict_proba([[0.5]]).round(3).tolist()
    [[0.667, 0.333]]
    >>> np.exp(model.log_density([[0.5]])).round(3).tolist()        # 3 of 4 rows in a ball of length 3
    [0.25]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{name: one for name, one in KNeighborsClassifier._parameter_constraints.items() if name != "weights"},
        "priors": ["array-like", None],
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        priors: ArrayLike | None = None,
        algorithm: Literal["auto", "ball_tree", "kd_tree", "brute"] = "auto",
        leaf_size: int = 30,
        p: float = 2,
        metric: Any = "minkowski",
        metric_params: dict[str, Any] | None = None,
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

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Store the rows and count the classes.

        Raises
        ------
        ValueError
            Where y has several columns, or the priors are not one probability a class that sum to 1.
        """
        super().fit(X, y)
        if self.outputs_2d_:
            raise ValueError(f"y: expected one label a row, found {self._y.shape[1]} columns; fit one model a column")
        self.class_count_ = np.bincount(self._y, minlength=len(self.classes_))
        self.priors_ = self._checked_priors()
        return self

    def predict_proba(self, X: ArrayLike | None) -> Float:  # noqa: N803
        """Return p(c|x) of each class, float64 (n_queries, n_classes), in the order of classes_."""
        inside, counts, priors, _ = self._counts(X)
        with np.errstate(divide="ignore"):
            joint = np.log(priors) + np.log(inside) - np.log(np.maximum(counts, 1))  # V_K(x) is the same for all
        posterior: Float = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        return posterior

    def predict(self, X: ArrayLike | None) -> NDArray[Any]:  # noqa: N803
        """Return the class of the largest p(c|x); of equal ones the first."""
        check_is_fitted(self)
        predicted: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return predicted

    def log_density(self, X: ArrayLike | None) -> Float:  # noqa: N803
        """Return log p(x), with p(x) = sum over classes of p(c) p(x|c).

        Parameters
        ----------
        X : array_like, shape (n_queries, n_features), or None
            None takes each training row as a query and leaves it out.

        Returns
        -------
        ndarray of float64, shape (n_queries,)
            Natural logarithms; inf where the K nearest rows are copies of x.

        Raises
        ------
        UsageError
            Where the balls of the metric have no known volume.
        """
        conditional, priors = self._conditional(X)
        with np.errstate(divide="ignore"):
            return np.asarray(np.logaddexp.reduce(np.log(priors) + conditional, axis=1))

    def class_log_density(self, X: ArrayLike | None) -> Float:  # noqa: N803
        """Return log p(x|c) of each class; parameters and errors as of `log_density`.

        Returns
        -------
        ndarray of float64, shape (n_queries, n_classes)
            -inf where none of the K nearest rows is of the class.
        """
        return self._conditional(X)[0]

    def _conditional(self, X: ArrayLike | None) -> tuple[Float, Float]:  # noqa: N803
        """log p(x|c) and p(c)."""
        check_is_fitted(self)
        self._log_volume(np.ones(1))  # raises before the search where the metric has no volume
        inside, counts, priors, radius = self._counts(X)
        volume = self._log_volume(radius)
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = np.log(inside) - np.log(np.maximum(counts, 1)) - volume[:, None]
        return np.where(inside > 0, logarithms, -np.inf), priors

    def _counts(self, X: ArrayLike | None) -> tuple[NDArray[np.int64], NDArray[np.int64], Float, Float]:  # noqa: N803
        """n_c(x), n_c and p(c), each (n_queries or 1, n_classes), and the distance of the K-th nearest, (n_queries,).

        A training row that is a query itself is not counted.
        """
        check_is_fitted(self)
        distances, indices = self.kneighbors(X)
        rows, radius = self._y[indices], distances[:, -1]
        inside = np.stack([(rows == code).sum(axis=1) for code in range(len(self.classes_))], axis=1)
        if X is not None:
            return inside, self.class_count_[None], self.priors_[None], radius
        counts = self.class_count_ - np.eye(len(self.classes_), dtype=np.int64)[self._y]
        priors = self.priors_[None] if self.priors is not None else counts / (len(self._y) - 1)
        return inside, counts, priors, radius

    def _log_volume(self, radius: Float) -> Float:
        """The logarithm of the volume of balls."""
        metric = self._exact_metric()
        if metric is None or metric.log_volume is None:
            raise UsageError(
                f"a density needs a metric whose balls have a volume; {self.effective_metric_} has none here: choose "
                "euclidean, manhattan or mahalanobis"
            )
        with np.errstate(divide="ignore"):
            volume: Float = metric.log_volume(radius, self.n_features_in_)
        if self.effective_metric_ != "mahalanobis":
            return volume
        sign, determinant = np.linalg.slogdet(np.asarray(self._mahalanobis_matrix(), dtype=np.float64))
        if sign <= 0:
            raise UsageError("a density needs a metric of full rank, but this matrix is singular")
        scaled: Float = volume - determinant / 2
        return scaled

    def _checked_priors(self) -> Float:
        """The given priors, or the class shares of the training set."""
        if self.priors is None:
            return np.asarray(self.class_count_ / self.class_count_.sum())
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
