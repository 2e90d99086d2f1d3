"""RCA and within-class whitening: metrics in closed form that discount the variance within groups of rows."""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.covariance import ledoit_wolf
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from vicinal.errors import DataError, UsageError
from vicinal.learn.learner import Float, Int, Mahalanobis, check_n_components

Shrinkage = float | Literal["auto"] | None
RandomState = int | np.random.RandomState | None


class Whitening(Mahalanobis):
    """The base class of RCA and WithinClassWhitening: M is the inverse of the covariance within groups."""

    n_components: int | None
    shrinkage: Shrinkage

    def _whiten(self, x: Float, groups: Int) -> None:
        """Learn from the rows of groups 0, 1, ...; rows of group -1 contribute to the total covariance only."""
        inside = np.flatnonzero(groups >= 0)
        sizes = np.bincount(groups[inside])
        means = np.stack([np.bincount(groups[inside], column, len(sizes)) for column in x[inside].T], axis=1)
        residuals = x[inside] - (means / np.maximum(sizes, 1)[:, None])[groups[inside]]
        within = _shrunk(residuals, self.shrinkage)
        total = _shrunk(x - x.mean(axis=0), self.shrinkage)
        rows = check_n_components(self.n_components, x.shape[1])
        root = inverse(within, "the within-group", half=True)
        if rows < x.shape[1]:  # the directions of largest total variance, in units of the variance within groups
            root = np.linalg.eigh(root @ total @ root)[1][:, ::-1][:, :rows].T @ root
        self.components_ = root


def _shrunk(residuals: Float, shrinkage: Shrinkage) -> Float:
    """The covariance of centred rows, shrunk towards a multiple of the identity."""
    covariance: Float = residuals.T @ residuals / len(residuals)
    if shrinkage is None:
        return covariance
    if shrinkage == "auto":
        shrunk: Float = ledoit_wolf(residuals, assume_centered=True)[0]
        return shrunk
    if isinstance(shrinkage, str) or not 0 <= shrinkage <= 1:
        raise UsageError(f'shrinkage: expected None, "auto" or a number from 0 to 1, got {shrinkage!r}')
    n = len(covariance)
    identity: Float = shrinkage * np.trace(covariance) / n * np.eye(n)
    return (1 - shrinkage) * covariance + identity


def inverse(covariance: Float, whose: str, half: bool = False) -> Float:
    """Return the inverse of a covariance, or with `half` the symmetric square root of the inverse.

    Raises
    ------
    DataError
        Where the covariance is singular; the message names it by `whose`.
    """
    values, axes = np.linalg.eigh(covariance)
    if values[0] <= len(values) * np.finfo(np.float64).eps * max(values[-1], 0):
        raise DataError(
            f"X: {whose} covariance has no inverse: {int((values <= values[-1] * 1e-12).sum())} of {len(values)} "
            'directions do not vary; leave out constant columns, or shrink it with shrinkage="auto"'
        )
    inverted: Float = axes / (np.sqrt(values) if half else values) @ axes.T
    return inverted


class RCA(Whitening):
    """Relevant components analysis: M is the inverse of the covariance within chunklets.

    Chunklets are small groups of rows that are known to be of one class.

    Parameters
    ----------
    n_components : int, optional
        Keep so many directions, those of largest total variance after whitening. None keeps all.
    n_chunks, chunk_size : int
        How many chunklets of how many rows `fit` draws from the labels; fewer where the classes have no more rows.
    shrinkage : None, "auto" or float
        How far the covariance is shrunk towards a multiple of the identity: not at all, as far as Ledoit & Wolf
        estimate, or by a share from 0 to 1.
    random_state : int, RandomState or None
        Of the drawing of chunklets.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_components, n_features)
    chunks_ : ndarray of int, shape (n,)
        The chunklet of each row, -1 for none.

    References
    ----------
    Shental, Hertz, Weinshall & Pavel 2002; Bar-Hillel, Hertz, Shental & Weinshall 2005.

    Examples
    --------
    >>> x = [[0.0, 9.0], [1.0, 1.0], [0.5, 5.0], [5.0, 8.0], [6.0, 2.0], [5.5, 5.0]]
    >>> RCA(random_state=0).fit(x, [0, 0, 0, 1, 1, 1]).components_.shape
    (2, 2)
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_chunks: int = 100,
        chunk_size: int = 2,
        shrinkage: Shrinkage = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.n_chunks = n_chunks
        self.chunk_size = chunk_size
        self.shrinkage = shrinkage
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Learn from chunklets that are drawn from labels.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,)
            The class of each row.

        Raises
        ------
        DataError
            Where y has one class, no class has as many rows as a chunklet, or the covariance is singular.
        UsageError
            Where a parameter is out of range.
        """
        x, codes = self._check_labels(X, y)
        for name, least in (("n_chunks", 1), ("chunk_size", 2)):
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < least:
                raise UsageError(f"{name}: expected a whole number of at least {least}, got {getattr(self, name)!r}")
        random = check_random_state(self.random_state)
        order = random.permutation(len(codes))
        order = order[np.argsort(codes[order], kind="stable")]
        sizes = np.bincount(codes)
        place = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
        complete = place < np.repeat(sizes - sizes % self.chunk_size, sizes)
        _, number = np.unique(np.stack([codes[order], place // self.chunk_size]), axis=1, return_inverse=True)
        drawn = random.permutation(np.unique(number[complete]))[: self.n_chunks]
        if not len(drawn):
            raise DataError(
                f"chunk_size: {self.chunk_size}, but the largest class has {sizes.max()} rows; give a smaller one"
            )
        renumbered = np.full(number.max() + 1, -1)
        renumbered[drawn] = np.arange(len(drawn))
        chunks = np.full(len(codes), -1)
        chunks[order] = np.where(complete, renumbered[number], -1)
        return self._from_chunks(x, chunks)

    def fit_chunks(self, X: ArrayLike, chunks: ArrayLike) -> Self:  # noqa: N803
        """Learn from given chunklets.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        chunks : array_like of int, shape (n,)
            The chunklet of each row, -1 for none.

        Raises
        ------
        DataError
            Where no chunklet has two rows, or the covariance is singular.
        """
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        given = np.asarray(chunks)
        if given.shape != (len(x),) or given.dtype.kind not in "iu":
            raise DataError(f"chunks: expected {len(x)} whole numbers, found {given.dtype} of {given.shape}")
        numbers, codes, sizes = np.unique(given, return_inverse=True, return_counts=True)
        if not (sizes[numbers >= 0] > 1).any():
            raise DataError("chunks: no chunklet has two rows")
        first = np.searchsorted(numbers, 0)
        return self._from_chunks(x, np.maximum(codes - first, -1))

    def _from_chunks(self, x: Float, chunks: Int) -> Self:
        self._whiten(x, chunks)
        self.chunks_ = chunks
        return self


class WithinClassWhitening(Whitening):
    """Within-class covariance normalisation: M is the inverse of the covariance within classes.

    Parameters
    ----------
    n_components : int, optional
        Keep so many directions, those of largest total variance after whitening. None keeps all.
    shrinkage : None, "auto" or float
        As of `RCA`.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_components, n_features)

    References
    ----------
    Hatch, Kajarekar & Stolcke 2006.

    Examples
    --------
    >>> x = [[0.0, 9.0], [1.0, 1.0], [0.5, 5.0], [5.0, 8.0], [6.0, 2.0], [5.5, 5.0]]
    >>> model = WithinClassWhitening(shrinkage=None).fit(x, [0, 0, 0, 1, 1, 1])
    >>> within = model.transform(x) - np.repeat([model.transform(x[:3]).mean(0), model.transform(x[3:]).mean(0)], 3, 0)
    >>> np.allclose(within.T @ within / 6, np.eye(2))
    True
    """

    def __init__(self, n_components: int | None = None, *, shrinkage: Shrinkage = "auto") -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Learn from labels.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,)
            The class of each row.

        Raises
        ------
        DataError
            Where y has one class or no class of two rows, or the covariance is singular.
        UsageError
            Where a parameter is out of range.
        """
        x, codes = self._check_labels(X, y)
        self._whiten(x, codes)
        return self
