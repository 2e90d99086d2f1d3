"""Metrics learned from pairs of rows that are similar or dissimilar: ITML and MMC."""

from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from vicinal.errors import DataError, UsageError, unknown
from vicinal.learn.learner import Float, Int, Mahalanobis
from vicinal.learn.whitening import RandomState, inverse

Prior = Literal["identity", "covariance"]
PRIORS: tuple[str, ...] = get_args(Prior)
TINY = 1e-12
Bools = NDArray[np.bool_]


def _draw_pairs(codes: Int, count: int, random: np.random.RandomState) -> tuple[Int, Bools]:
    """At most `count` random distinct pairs of rows of one class, and at most as many of different classes.

    Returns row numbers, int64 (n_pairs, 2), and whether each pair is similar.
    """
    n, sizes = len(codes), np.bincount(codes)
    if n * (n - 1) // 2 <= 4 * count:
        pairs = np.stack(np.triu_indices(n, 1), axis=1)[random.permutation(n * (n - 1) // 2)]
        same = codes[pairs[:, 0]] == codes[pairs[:, 1]]
        parts = [pairs[same][:count], pairs[~same][:count]]
    else:
        order, ends = np.argsort(codes, kind="stable"), np.cumsum(sizes)  # rows ordered by class
        parts = []
        for similar in (True, False):
            others = sizes - 1 if similar else n - sizes  # possible partners of a row of each class
            chance = sizes * others / (sizes * others).sum()
            group = random.choice(len(sizes), count, p=chance)
            first = (random.random_sample(count) * sizes[group]).astype(np.int64)
            step = (random.random_sample(count) * others[group]).astype(np.int64)
            start = ends[group] - sizes[group]
            other = start + (first + 1 + step) % sizes[group] if similar else (ends[group] + step) % n
            drawn = np.sort(np.stack([order[start + first], order[other]], axis=1), axis=1)
            parts.append(np.unique(drawn, axis=0))
    return np.concatenate(parts), np.repeat([True, False], [len(part) for part in parts])


class ITML(Mahalanobis):
    """Information-theoretic metric learning: similar pairs below one bound, dissimilar pairs above another.

    Minimises the LogDet divergence of M from the prior where squared distances of similar pairs are at most u and
    those of dissimilar pairs at least l, with slack. The method is cyclic Bregman projection: one constraint after the
    other, each a rank-one update of M.

    Parameters
    ----------
    gamma : float
        The price of slack. A large value enforces the bounds; a small one keeps M near the prior.
    n_constraints : int, optional
        Pairs of each kind that `fit` draws from the labels. None is 20 times the number of pairs of classes.
    bounds : (float, float), optional
        (u, l), squared distances. None takes the 5th and 95th percentile over all pairs under the prior.
    prior : {"identity", "covariance"} or array_like
        The matrix to stay near; "covariance" is the inverse of the covariance, an array must be positive definite.
    max_iter : int
        Rounds over all constraints.
    tol : float
        The relative change of the multipliers in a round at which the method stops.
    random_state : int, RandomState or None
        Of the drawing of pairs.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_features, n_features)
    bounds_ : (float, float)
    n_iter_ : int

    References
    ----------
    Davis, Kulis, Jain, Sra & Dhillon 2007, algorithm 1.

    Examples
    --------
    >>> x = [[0.0, 9.0], [1.0, 1.0], [0.5, 5.0], [5.0, 8.0], [6.0, 2.0], [5.5, 5.0]]
    >>> m = ITML(random_state=0).fit(x, [0, 0, 0, 1, 1, 1]).get_mahalanobis_matrix()
    >>> bool(m[0, 0] > m[1, 1])                               # the first column tells the classes apart
    True
    """

    def __init__(
        self,
        gamma: float = 1.0,
        *,
        n_constraints: int | None = None,
        bounds: tuple[float, float] | None = None,
        prior: Prior | ArrayLike = "identity",
        max_iter: int = 1_000,
        tol: float = 1e-3,
        random_state: RandomState = None,
    ) -> None:
        self.gamma = gamma
        self.n_constraints = n_constraints
        self.bounds = bounds
        self.prior = prior
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Learn from pairs that are drawn from labels.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,)
            The class of each row.

        Raises
        ------
        DataError
            Where y has one class or no class of two rows.
        UsageError
            Where a parameter is out of range.
        """
        x, codes = self._check_labels(X, y)
        n_classes = len(self.classes_)
        count = 20 * n_classes * (n_classes - 1) if self.n_constraints is None else self.n_constraints
        pairs, same = _draw_pairs(codes, count, check_random_state(self.random_state))
        return self._project(x, pairs, same)

    def fit_pairs(self, X: ArrayLike, pairs: ArrayLike, same: ArrayLike) -> Self:  # noqa: N803
        """Learn from given pairs.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        pairs : array_like of int, shape (n_pairs, 2)
            Row numbers.
        same : array_like of bool, shape (n_pairs,)
            Whether each pair is similar.

        Raises
        ------
        DataError
            Where the pairs are malformed, or all of one kind.
        UsageError
            Where a parameter is out of range.
        """
        return self._project(*self._check_pairs(X, pairs, same))

    def _project(self, x: Float, pairs: Int, same: Bools) -> Self:
        if not self.gamma > 0:
            raise UsageError(f"gamma: expected a number above 0, got {self.gamma!r}")
        m = _prior(self.prior, x)
        steps = x[pairs[:, 0]] - x[pairs[:, 1]]
        differ = (steps != 0).any(axis=1)  # no M separates equal rows
        steps, same = steps[differ], same[differ]
        squared = np.einsum("ij,jk,ik->i", steps, m, steps)
        low, high = np.percentile(squared, [5, 95]) if self.bounds is None and len(squared) else self.bounds or (1, 2)
        if not 0 < low < high:
            raise UsageError(f"bounds: expected 0 < u < l, got ({low:g}, {high:g})")
        self.bounds_ = (float(low), float(high))
        slack = np.where(same, low, high)
        sign = np.where(same, 1.0, -1.0)
        multipliers = np.zeros(len(steps))
        share = self.gamma / (1 + self.gamma)  # the paper prints 1/2, which holds for gamma = 1 only
        for rounds in range(1, self.max_iter + 1):
            self.n_iter_ = rounds
            before = multipliers.copy()
            for at, step in enumerate(steps):
                moved = m @ step
                p = step @ moved
                alpha = min(multipliers[at], sign[at] * share * (1 / p - 1 / slack[at]))
                beta = sign[at] * alpha / (1 - sign[at] * alpha * p)
                slack[at] *= self.gamma / (self.gamma + sign[at] * alpha * slack[at])
                multipliers[at] -= alpha
                m += beta * np.outer(moved, moved)
            size = np.linalg.norm(multipliers) + np.linalg.norm(before)
            if size == 0 or np.abs(multipliers - before).sum() <= self.tol * size:
                break
        else:
            self._warn_not_converged("rounds")
        self.components_ = np.asarray(np.linalg.cholesky((m + m.T) / 2).T, dtype=np.float64)
        return self


def _prior(prior: Prior | ArrayLike, x: Float) -> Float:
    """The matrix to stay near."""
    dim = x.shape[1]
    if isinstance(prior, str):
        if prior not in PRIORS:
            raise UsageError(unknown("prior", prior, PRIORS))
        return np.eye(dim) if prior == "identity" else inverse(np.cov(x, rowvar=False).reshape(dim, dim), "the rows'")
    given = np.array(prior, dtype=np.float64)
    if given.shape != (dim, dim) or not np.allclose(given, given.T) or np.linalg.eigvalsh(given).min() <= 0:
        raise UsageError(f"prior: expected a positive definite matrix {(dim, dim)}, found shape {given.shape}")
    return given


class MMC(Mahalanobis):
    """Mahalanobis metric for clustering: dissimilar pairs far apart while similar pairs stay within a budget.

    Maximises the sum of d_M over dissimilar pairs where the sum of d_M^2 over similar pairs is at most 1. Any M can be
    scaled to meet the budget, so L-BFGS maximises the scale-free quotient log sum d - log(sum d^2) / 2 instead, without
    a constraint. It is smooth in L, and the problem is convex in M, so a square L reaches the optimum.

    Parameters
    ----------
    n_pairs : int
        At most so many pairs of each kind are drawn from the labels by `fit`.
    diagonal : bool
        Whether M is diagonal: one weight a feature.
    max_iter : int
        L-BFGS steps.
    tol : float
        L-BFGS stops when a step raises log sum d by less than this.
    random_state : int, RandomState or None
        Of the drawing of pairs.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_features, n_features)
        Scaled to the budget.
    n_iter_ : int
    objective_ : float
        The sum over dissimilar pairs.

    References
    ----------
    Xing, Ng, Jordan & Russell 2002.

    Examples
    --------
    >>> x = [[0.0, 9.0], [1.0, 1.0], [0.5, 5.0], [5.0, 8.0], [6.0, 2.0], [5.5, 5.0]]
    >>> m = MMC().fit(x, [0, 0, 0, 1, 1, 1]).get_mahalanobis_matrix()
    >>> bool(m[0, 0] > m[1, 1])
    True
    """

    def __init__(
        self,
        *,
        n_pairs: int = 20_000,
        diagonal: bool = False,
        max_iter: int = 1_000,
        tol: float = 1e-7,
        random_state: RandomState = None,
    ) -> None:
        self.n_pairs = n_pairs
        self.diagonal = diagonal
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Learn from pairs that are drawn from labels.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,)
            The class of each row.

        Raises
        ------
        DataError
            Where y has one class or no class of two rows.
        UsageError
            Where a parameter is out of range.
        """
        x, codes = self._check_labels(X, y)
        return self._maximize(x, *_draw_pairs(codes, self.n_pairs, check_random_state(self.random_state)))

    def fit_pairs(self, X: ArrayLike, pairs: ArrayLike, same: ArrayLike) -> Self:  # noqa: N803
        """Learn from given pairs.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        pairs : array_like of int, shape (n_pairs, 2)
            Row numbers.
        same : array_like of bool, shape (n_pairs,)
            Whether each pair is similar.

        Raises
        ------
        DataError
            Where the pairs are malformed, or all of one kind.
        UsageError
            Where a parameter is out of range.
        """
        return self._maximize(*self._check_pairs(X, pairs, same))

    def _maximize(self, x: Float, pairs: Int, same: Bools) -> Self:
        from scipy.optimize import minimize

        dim = x.shape[1]
        spread = x.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)  # scaled variables converge sooner; the optimum is the same
        steps = (x[pairs[:, 0]] - x[pairs[:, 1]]) / scale
        budget, far = steps[same].T @ steps[same], steps[~same]
        eye = np.eye(dim)

        def loss(flat: Float) -> tuple[float, Float]:
            linear = np.diag(flat) if self.diagonal else flat.reshape(dim, dim)
            z = far @ linear.T
            d = np.sqrt((z * z).sum(axis=1) + TINY)
            used = float((linear @ budget * linear).sum()) + TINY
            gradient = linear @ budget / used - (z / d[:, None]).T @ far / d.sum()
            value = 0.5 * np.log(used) - np.log(d.sum())
            return value, np.diag(gradient).copy() if self.diagonal else gradient.ravel()

        begin = np.ones(dim) if self.diagonal else eye.ravel()
        options = {"maxiter": self.max_iter, "gtol": 1e-8, "ftol": self.tol}
        found = minimize(loss, begin, jac=True, method="L-BFGS-B", options=options)
        if found.nit >= self.max_iter:
            self._warn_not_converged("steps")
        linear = np.diag(found.x) if self.diagonal else found.x.reshape(dim, dim)
        used = float((linear @ budget * linear).sum())
        if used <= TINY * float((linear * linear).sum()):
            raise DataError(
                "X: similar pairs do not differ in a direction in which dissimilar ones do, so M is unbounded; "
                "give more similar pairs"
            )
        linear = linear / np.sqrt(used)
        self.objective_ = float(np.sqrt(((far @ linear.T) ** 2).sum(axis=1)).sum())
        self.components_, self.n_iter_ = linear / scale, int(found.nit)
        return self
