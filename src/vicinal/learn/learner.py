"""The base class of the learners of Mahalanobis metrics: the transform, the matrix, and the checks of X and y."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from vicinal.errors import DataError, UsageError

LARGEST = 1e18  # squared distances of larger values overflow in the float32 kernel

Float = NDArray[np.float64]
Int = NDArray[np.int64]


class Mahalanobis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A learner of a Mahalanobis metric; once it is fitted, `components_` is L.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_components, n_features)
        L, with M = L'L.
    """

    components_: Float
    max_iter: int

    def transform(self, X: ArrayLike) -> Float:  # noqa: N803
        """Return L x of each row x.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray of float64, shape (n, n_components)
            Euclidean distances between these rows are the learned metric.
        """
        check_is_fitted(self)
        rows: Float = validate_data(self, X, dtype=np.float64, reset=False)
        return rows @ self.components_.T

    def get_mahalanobis_matrix(self) -> Float:
        """Return M = L'L, positive semi-definite, float64 (n_features, n_features)."""
        check_is_fitted(self)
        return self.components_.T @ self.components_

    def _check_labels(self, X: ArrayLike, y: ArrayLike) -> tuple[Float, Int]:  # noqa: N803
        """The rows in float64 and the classes as codes, of which there are at least two."""
        rows, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        _refuse_large(rows)
        check_classification_targets(labels)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise DataError(
                f"y: all {len(labels)} rows are of the class {classes.tolist()[0]!r}; a metric that tells classes "
                "apart needs at least 2"
            )
        if np.bincount(codes).max() < 2:
            raise DataError(f"y: each of the {len(classes)} classes has a single row; similar pairs need two of one")
        self.classes_ = classes
        return rows, codes

    def _check_pairs(
        self,
        X: ArrayLike,  # noqa: N803
        pairs: ArrayLike,
        same: ArrayLike,
    ) -> tuple[Float, Int, NDArray[np.bool_]]:
        """The rows, the pairs of row numbers, and whether each is similar; there are pairs of both kinds."""
        rows: Float = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        _refuse_large(rows)
        numbers, similar = np.asarray(pairs), np.asarray(same)
        if (
            numbers.ndim != 2
            or numbers.shape[1] != 2
            or numbers.dtype.kind not in "iu"
            or similar.shape != (len(numbers),)
        ):
            raise DataError(
                f"pairs: expected row numbers (n_pairs, 2) and one truth value each, found {numbers.dtype} of "
                f"{numbers.shape} and {similar.shape}"
            )
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(rows)):
            raise DataError(
                f"pairs: found rows {numbers.min()} to {numbers.max()}, expected 0 to {len(rows) - 1}, as X has "
                f"{len(rows)} rows"
            )
        similar = similar.astype(bool)
        if similar.all() or not similar.any():
            kind = "similar" if similar.all() else "dissimilar"
            raise DataError(f"pairs: all {len(similar)} are {kind}; both kinds are needed")
        return rows, numbers, similar

    def _warn_not_converged(self, what: str) -> None:
        message = f"{type(self).__name__}: stopped after max_iter = {self.max_iter} {what} without convergence"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def check_n_components(n_components: int | None, dim: int) -> int:
    """Return the number of rows of L; None is as many as there are features.

    Raises
    ------
    UsageError
        Where it is not a whole number from 1 to `dim`.
    """
    if n_components is None:
        return dim
    whole = isinstance(n_components, int | np.integer) and not isinstance(n_components, bool)
    if not whole or not 1 <= n_components <= dim:
        raise UsageError(f"n_components: expected a whole number from 1 to the {dim} features, got {n_components!r}")
    return int(n_components)


def _refuse_large(rows: Float) -> None:
    """Raise DataError for values whose squared distances the kernel cannot represent."""
    large = np.flatnonzero(np.abs(rows).max(axis=1) > LARGEST)
    if len(large):
        raise DataError(
            f"X: {len(large)} of {len(rows)} rows have a value beyond {LARGEST:g} (row {large[0]}); scale the columns "
            "first"
        )
