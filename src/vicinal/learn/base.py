"""What the learners of Mahalanobis metrics share: the transform, the matrix, and the look at X and y."""

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from vicinal.errors import DataError

LARGEST = 1e18


class Mahalanobis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A learner, with L as `components_` once it is fitted."""

    components_: np.ndarray
    max_iter: int

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """L x of each row: float64 (n, n_components), whose Euclidean distances are d_M."""
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False) @ self.components_.T

    def get_mahalanobis_matrix(self) -> np.ndarray:
        """M = L'L, float64 (n_features, n_features), positive semi-definite."""
        check_is_fitted(self)
        return self.components_.T @ self.components_

    def _labelled(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: N803
        """The rows in float64 and the classes as codes, where there are at least two."""
        x, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        _refuse_large(x)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(
                f"y: all {len(y)} rows are of the class {classes.tolist()[0]!r}; a metric that tells classes apart "
                "needs at least 2"
            )
        if np.bincount(codes).max() < 2:
            raise DataError(f"y: each of the {len(classes)} classes has a single row; similar pairs need two of one")
        self.classes_ = classes
        return x, codes

    def _paired(self, X: Any, pairs: Any, same: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # noqa: N803
        """The rows, the pairs of row numbers and whether each is similar; both kinds are there."""
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        _refuse_large(x)
        pairs, same = np.asarray(pairs), np.asarray(same)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu" or same.shape != (len(pairs),):
            raise DataError(
                f"pairs: expected row numbers (n_pairs, 2) and one truth value each, found {pairs.dtype} of "
                f"{pairs.shape} and {same.shape}"
            )
        if len(pairs) and (pairs.min() < 0 or pairs.max() >= len(x)):
            raise DataError(f"pairs: found row {pairs.max()} or below 0, but X has {len(x)} rows")
        same = same.astype(bool)
        if same.all() or not same.any():
            raise DataError(f"pairs: all {len(same)} are {'similar' if same.all() else 'dissimilar'}; both are needed")
        return x, pairs, same

    def _tired(self, what: str) -> None:
        said = f"{type(self).__name__}: stopped after max_iter = {self.max_iter} {what}, not yet at rest"
        warnings.warn(said, ConvergenceWarning, stacklevel=3)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _refuse_large(x: np.ndarray) -> None:
    """Raises DataError for values whose squared distances our kernel cannot tell."""
    large = np.flatnonzero(np.abs(x).max(axis=1) > LARGEST)
    if len(large):
        raise DataError(
            f"X: {len(large)} of {len(x)} rows have a value beyond {LARGEST:g} (row {large[0]}); scale the columns "
            "first"
        )
