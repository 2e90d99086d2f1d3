"""scikit-learn's own learners of linear metrics, with the matrix that ours have."""

from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NeighborhoodComponentsAnalysis

from vicinal.errors import DataError, UsageError
from vicinal.learn.base import Mahalanobis

TINY = 1e-12  # of a column's largest value: differences below are rounding


class NCA(NeighborhoodComponentsAnalysis, Mahalanobis):
    """Neighbourhood components analysis: scikit-learn's own, with `get_mahalanobis_matrix()`.

    Source    Goldberger, Roweis, Hinton & Salakhutdinov 2004

    >>> NCA(random_state=0).fit([[0.0, 9.0], [1.0, 1.0], [5.0, 8.0], [6.0, 2.0]], [0, 0, 1, 1]).components_.shape
    (2, 2)
    """

    def fit(self, X: Any, y: Any) -> "NCA":  # noqa: N803
        """Fits scikit-learn's model, where there are two classes and one of two rows."""
        self._labelled(X, y)
        return super().fit(X, y)


class LDA(LinearDiscriminantAnalysis, Mahalanobis):
    """Linear discriminant analysis: scikit-learn's own, with `components_` and `get_mahalanobis_matrix()`.

    M has at most n_classes - 1 directions. scikit-learn's `transform` also subtracts the mean, which no distance sees.

    Source    Fisher 1936; Rao 1948

    >>> LDA().fit([[0.0, 9.0], [1.0, 1.0], [5.0, 8.0], [6.0, 2.0]], [0, 0, 1, 1]).get_mahalanobis_matrix().shape
    (2, 2)
    """

    _n_features_out = 0  # scikit-learn's fit sets it

    def fit(self, X: Any, y: Any) -> "LDA":  # noqa: N803
        """Fits scikit-learn's model.

        Raises    UsageError for the solver "lsqr", which learns no transform; DataError where y has one class or no
                  class of two rows, or where no direction tells the means of the classes apart
        """
        if self.solver == "lsqr":
            raise UsageError("solver: 'lsqr' learns a classifier but no metric; choose 'svd' or 'eigen'")
        x, codes = self._labelled(X, y)
        means = np.array([x[codes == code].mean(axis=0) for code in range(len(self.classes_))])
        if not (np.ptp(means, axis=0) > TINY * np.abs(x).max(axis=0)).any():
            raise DataError(f"X: the means of the {len(means)} classes are equal; no direction tells them apart")
        super().fit(X, y)
        self.components_ = self.scalings_[:, : self._max_components].T
        return self
