"""Metrics in closed form: what varies within groups does not count."""

from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from vicinal.errors import DataError, UsageError
from vicinal.learn.base import Mahalanobis


class Whitening(Mahalanobis):
    """What RCA and WithinClassWhitening share: M is the inverse of what varies within groups."""

    n_components: int | None
    shrinkage: float | str | None

    def _whiten(self, x: np.ndarray, groups: np.ndarray) -> None:
        """Learns from the rows of groups 0, 1, ...; rows of group -1 count for the whole alone."""
        inside = np.flatnonzero(groups >= 0)
        sizes = np.bincount(groups[inside])
        means = np.stack([np.bincount(groups[inside], column, len(sizes)) for column in x[inside].T], axis=1)
        residuals = x[inside] - (means / np.maximum(sizes, 1)[:, None])[groups[inside]]
        within = _shrunk(residuals, self.shrinkage)
        whole = _shrunk(x - x.mean(axis=0), self.shrinkage)
        dim = x.shape[1]
        rows = dim if self.n_components is None else self.n_components
        if not isinstance(rows, int | np.integer) or isinstance(rows, bool) or not 1 <= rows <= dim:
            raise UsageError(f"n_components: expected a whole number from 1 to {dim}, got {self.n_components!r}")
        root = inverse(within, "the within-group", half=True)
        if rows < dim:  # the directions in which most of the whole varies, measured by what varies within
            root = np.linalg.eigh(root @ whole @ root)[1][:, ::-1][:, :rows].T @ root
        self.components_ = root


def _shrunk(residuals: np.ndarray, shrinkage: float | str | None) -> np.ndarray:
    """The covariance of centred rows, pulled towards a multiple of the identity."""
    covariance = residuals.T @ residuals / len(residuals)
    if shrinkage is None:
        return covariance
    if shrinkage == "auto":
        return ledoit_wolf(residuals, assume_centered=True)[0]
    if isinstance(shrinkage, str) or not 0 <= shrinkage <= 1:
        raise UsageError(f'shrinkage: expected None, "auto" or a number from 0 to 1, got {shrinkage!r}')
    return (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def inverse(covariance: np.ndarray, whose: str, half: bool = False) -> np.ndarray:
    """The inverse of a covariance, or its symmetric root."""
    values, axes = np.linalg.eigh(covariance)
    if values[0] <= len(values) * np.finfo(np.float64).eps * max(values[-1], 0):
        raise DataError(
            f"X: {whose} covariance has no inverse: {int((values <= values[-1] * 1e-12).sum())} of {len(values)} "
            'directions do not vary; leave out constant columns, or shrink it with shrinkage="auto"'
        )
    return axes / (np.sqrt(values) if half else values) @ axes.T


class RCA(Whitening):
    """Relevant components analysis: whitens by what varies within chunklets, small groups known to be of one class.

    n_components : the directions of largest total variance after whitening; None for all
    n_chunks, chunk_size : chunklets drawn from the labels; fewer where the classes have no more
    shrinkage    : of the covariance towards the identity: None, "auto" (Ledoit & Wolf), or 0 to 1
    After fit      components_, chunks_ (the chunklet of each row, -1 for none)
    Raises         DataError where there is no chunklet of two rows, or their covariance has no inverse
    Source         Shental, Hertz, Weinshall & Pavel 2002; Bar-Hillel, Hertz, Shental & Weinshall 2005

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
        shrinkage: float | str | None = "auto",
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.n_chunks = n_chunks
        self.chunk_size = chunk_size
        self.shrinkage = shrinkage
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "RCA":  # noqa: N803
        """Learns from chunklets drawn from labels: X (n, n_features), a class each."""
        x, codes = self._labelled(X, y)
        for name, least in (("n_chunks", 1), ("chunk_size", 2)):
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < least:
                raise UsageError(f"{name}: expected a whole number of at least {least}, got {getattr(self, name)!r}")
        random = check_random_state(self.random_state)
        order = random.permutation(len(codes))
        order = order[np.argsort(codes[order], kind="stable")]
        sizes = np.bincount(codes)
        place = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its class
        whole = place < np.repeat(sizes - sizes % self.chunk_size, sizes)
        _, number = np.unique(np.stack([codes[order], place // self.chunk_size]), axis=1, return_inverse=True)
        drawn = random.permutation(np.unique(number[whole]))[: self.n_chunks]
        if not len(drawn):
            raise DataError(f"chunk_size: {self.chunk_size}, but the largest class has {sizes.max()} rows; give less")
        renumbered = np.full(number.max() + 1, -1)
        renumbered[drawn] = np.arange(len(drawn))
        chunks = np.full(len(codes), -1)
        chunks[order] = np.where(whole, renumbered[number], -1)
        return self._from_chunks(x, chunks)

    def fit_chunks(self, X: Any, chunks: Any) -> "RCA":  # noqa: N803
        """Learns from given chunklets: a whole number each row, -1 for none."""
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        chunks = np.asarray(chunks)
        if chunks.shape != (len(x),) or chunks.dtype.kind not in "iu":
            raise DataError(f"chunks: expected {len(x)} whole numbers, found {chunks.dtype} of {chunks.shape}")
        numbers, codes, sizes = np.unique(chunks, return_inverse=True, return_counts=True)
        if not (sizes[numbers >= 0] > 1).any():
            raise DataError("chunks: no chunklet has two rows")
        first = np.searchsorted(numbers, 0)
        return self._from_chunks(x, np.maximum(codes - first, -1))

    def _from_chunks(self, x: np.ndarray, chunks: np.ndarray) -> "RCA":
        self._whiten(x, chunks)
        self.chunks_ = chunks
        return self


class WithinClassWhitening(Whitening):
    """Within-class covariance normalisation: M is the inverse of the covariance within classes.

    n_components : the directions of largest total variance after whitening; None for all
    shrinkage    : of the covariance towards the identity: None, "auto" (Ledoit & Wolf), or 0 to 1
    Raises         DataError where y has one class or no class of two rows, or the covariance has no inverse
    Source         Hatch, Kajarekar & Stolcke 2006

    >>> x = [[0.0, 9.0], [1.0, 1.0], [0.5, 5.0], [5.0, 8.0], [6.0, 2.0], [5.5, 5.0]]
    >>> model = WithinClassWhitening(shrinkage=None).fit(x, [0, 0, 0, 1, 1, 1])
    >>> within = model.transform(x) - np.repeat([model.transform(x[:3]).mean(0), model.transform(x[3:]).mean(0)], 3, 0)
    >>> np.allclose(within.T @ within / 6, np.eye(2))
    True
    """

    def __init__(self, n_components: int | None = None, *, shrinkage: float | str | None = "auto") -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage

    def fit(self, X: Any, y: Any) -> "WithinClassWhitening":  # noqa: N803
        """Learns from labels: X (n, n_features), a class each."""
        x, codes = self._labelled(X, y)
        self._whiten(x, codes)
        return self
