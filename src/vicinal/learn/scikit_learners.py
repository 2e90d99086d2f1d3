"""NCA and LDA: scikit-learn's learners of linear metrics, with the methods of the other learners here."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NeighborhoodComponentsAnalysis

from vicinal.errors import DataError, UsageError
from vicinal.learn.learner import Mahalanobis

ROUNDING = 1e-12  # differences below this share of a column's largest value are rounding errors


class NCA(NeighborhoodComponentsAnalysis, Mahalanobis):
    """Neighbourhood components analysis: scikit-learn's class, with `get_mahalanobis_matrix()`.

    Parameters and attributes are those of `sklearn.neighbors.NeighborhoodComponentsAnalysis`.

    References
    ----------
    Goldberger, Roweis, Hinton & Salakhutdinov 2004.

    Examples
    --------
    >>> NCA(random_state=0).fit([[0.0, 9.0], [1.0, 1.0], [5.0, 8.0], [6.0, 2.0]], [0, 0, 1, 1]).components_.shape
    (2, 2)
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Fit scikit-learn's model.

        Raises
        ------
        DataError
            Where y has one class, or no class of two rows.
        """
        self._check_labels(X, y)
        super().fit(X, y)
        return self


class LDA(LinearDiscriminantAnalysis, Mahalanobis):
    """Linear discriminant analysis: scikit-learn's class, with `components_` and `get_mahalanobis_matrix()`.

    The rank of M is at most n_classes - 1. scikit-learn's `transform` also subtracts the mean, which changes no
    distance. Parameters and attributes are those of `sklearn.discriminant_analysis.LinearDiscriminantAnalysis`.

    References
    ----------
    Fisher 1936; Rao 1948.

    Examples
    --------
    >>> LDA().fit([[0.0, 9.0], [1.0, 1.0], [5.0, 8.0], [6.0, 2.0]], [0, 0, 1, 1]).get_mahalanobis_matrix().shape
    (2, 2)
    """

    _n_features_out = 0  # scikit-learn's fit sets it

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Fit scikit-learn's model.

        Raises
        ------
        UsageError
            For the solver "lsqr", which learns no transform.
        DataError
            Where y has one class or no class of two rows, or where the means of all classes are equal.
        """
        if self.solver == "lsqr":
            raise UsageError("solver: 'lsqr' learns a classifier but no metric; choose 'svd' or 'eigen'")
        x, codes = self._check_labels(X, y)
        means = np.array([x[codes == code].mean(axis=0) for code in range(len(self.classes_))])
        if not (np.ptp(means, axis=0) > ROUNDING * np.abs(x).max(axis=0)).any():
            raise DataError(f"X: the means of the {len(means)} classes are equal; no direction tells them apart")
        super().fit(X, y)
        self.components_ = self.scalings_[:, : self._max_components].T
        return self
