"""Metrics learned from pairs of rows that are similar or dissimilar: ITML and MMC."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from vicinal.errors import DataError, UsageError, unknown
from vicinal.learn.base import Mahalanobis
from vicinal.learn.whitening import inverse

TINY = 1e-12


def _draw_pairs(codes: np.ndarray, count: int, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """At most so many distinct pairs of rows of one class, and as many of different classes, drawn at random.

    Returns   row numbers int64 (n_pairs, 2) and whether each is similar; all pairs there are where those are few
    """
    n, sizes = len(codes), np.bincount(codes)
    if n * (n - 1) // 2 <= 4 * count:
        pairs = np.stack(np.triu_indices(n, 1), axis=1)[random.permutation(n * (n - 1) // 2)]
        same = codes[pairs[:, 0]] == codes[pairs[:, 1]]
        parts = [pairs[same][:count], pairs[~same][:count]]
    else:
        order, ends = np.argsort(codes, kind="stable"), np.cumsum(sizes)  # classes one after the other
        parts = []
        for same in (True, False):
            others = sizes - 1 if same else n - sizes  # of each class's row
            chance = sizes * others / (sizes * others).sum()
            group = random.choice(len(sizes), count, p=chance)
            first = (random.random_sample(count) * sizes[group]).astype(np.int64)
            step = (random.random_sample(count) * others[group]).astype(np.int64)
            start = ends[group] - sizes[group]
            other = start + (first + 1 + step) % sizes[group] if same else (ends[group] + step) % n
            drawn = np.sort(np.stack([order[start + first], order[other]], axis=1), axis=1)
            parts.append(np.unique(drawn, axis=0))
    return np.concatenate(parts), np.repeat([True, False], [len(part) for part in parts])


class ITML(Mahalanobis):
    """Information-theoretic metric learning: similar pairs below a bound, dissimilar ones above another.

    Minimises the LogDet divergence of M from the prior, with slack: squared distances of similar pairs at most `u`,
    of dissimilar ones at least `l`. Cyclic Bregman projections, one constraint after the other, each a rank-one update.

    gamma         : the price of slack; large holds the bounds, small stays near the prior
    n_constraints : pairs of each kind drawn from the labels; None for 20 times the number of pairs of classes
    bounds        : (u, l), squared distances; None for the 5th and 95th percentile of the pairs' under the prior
    prior         : "identity", "covariance" (its inverse), or a positive definite matrix
    max_iter, tol : rounds over all constraints; the relative change of the multipliers at which it ends
    After fit       components_, bounds_, n_iter_
    Raises          DataError where y has one class or no class of two rows; UsageError where a parameter is no use
    Source          Davis, Kulis, Jain, Sra & Dhillon 2007, algorithm 1

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
        prior: Any = "identity",
        max_iter: int = 1_000,
        tol: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.gamma = gamma
        self.n_constraints = n_constraints
        self.bounds = bounds
        self.prior = prior
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "ITML":  # noqa: N803
        """Learns from pairs drawn from labels: X (n, n_features), a class each."""
        x, codes = self._labelled(X, y)
        n_classes = len(self.classes_)
        count = 20 * n_classes * (n_classes - 1) if self.n_constraints is None else self.n_constraints
        pairs, same = _draw_pairs(codes, count, check_random_state(self.random_state))
        return self._project(x, pairs, same)

    def fit_pairs(self, X: Any, pairs: Any, same: Any) -> "ITML":  # noqa: N803
        """Learns from given pairs: row numbers (n_pairs, 2), and whether each is similar."""
        return self._project(*self._paired(X, pairs, same))

    def _project(self, x: np.ndarray, pairs: np.ndarray, same: np.ndarray) -> "ITML":
        if not self.gamma > 0:
            raise UsageError(f"gamma: expected a number above 0, got {self.gamma!r}")
        m = _prior(self.prior, x)
        steps = x[pairs[:, 0]] - x[pairs[:, 1]]
        apart = (steps != 0).any(axis=1)  # nothing moves equal rows apart
        steps, same = steps[apart], same[apart]
        squared = np.einsum("ij,jk,ik->i", steps, m, steps)
        low, high = np.percentile(squared, [5, 95]) if self.bounds is None and len(squared) else self.bounds or (1, 2)
        if not 0 < low < high:
            raise UsageError(f"bounds: expected 0 < u < l, got ({low:g}, {high:g})")
        self.bounds_ = (float(low), float(high))
        slack = np.where(same, low, high)
        sign = np.where(same, 1.0, -1.0)
        multipliers = np.zeros(len(steps))
        share = self.gamma / (1 + self.gamma)  # the paper's 1/2 holds for gamma = 1; its authors' code has this
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
            self._tired("rounds")
        self.components_ = np.linalg.cholesky((m + m.T) / 2).T
        return self


def _prior(prior: Any, x: np.ndarray) -> np.ndarray:
    """The matrix to stay near to."""
    dim = x.shape[1]
    if isinstance(prior, str):
        if prior not in ("identity", "covariance"):
            raise UsageError(unknown("prior", prior, ("identity", "covariance")))
        return np.eye(dim) if prior == "identity" else inverse(np.cov(x, rowvar=False).reshape(dim, dim), "the rows'")
    given = np.array(prior, dtype=np.float64)
    if given.shape != (dim, dim) or not np.allclose(given, given.T) or np.linalg.eigvalsh(given).min() <= 0:
        raise UsageError(f"prior: expected a positive definite matrix {(dim, dim)}, found shape {given.shape}")
    return given


class MMC(Mahalanobis):
    """Mahalanobis metric for clustering: dissimilar pairs far apart while similar pairs stay within a budget.

    Maximises the sum of d_M over dissimilar pairs where the sum of d_M^2 over similar pairs is at most 1. Scaling M
    turns this into a quotient without constraint, log sum d - log(sum d^2) / 2, which is smooth in L and climbed by
    L-BFGS; the problem is convex in M, so L of full size finds its optimum.

    n_pairs      : pairs of each kind drawn from the labels at most
    diagonal     : learn one weight a feature
    max_iter, tol : L-BFGS steps; it stops where one raises log sum d by less than tol
    After fit      components_, scaled to the budget; n_iter_, objective_ (the sum over dissimilar pairs)
    Raises         DataError where y has one class or no class of two rows
    Source         Xing, Ng, Jordan & Russell 2002

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
        random_state: Any = None,
    ) -> None:
        self.n_pairs = n_pairs
        self.diagonal = diagonal
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "MMC":  # noqa: N803
        """Learns from pairs drawn from labels: X (n, n_features), a class each."""
        x, codes = self._labelled(X, y)
        return self._climb(x, *_draw_pairs(codes, self.n_pairs, check_random_state(self.random_state)))

    def fit_pairs(self, X: Any, pairs: Any, same: Any) -> "MMC":  # noqa: N803
        """Learns from given pairs: row numbers (n_pairs, 2), and whether each is similar."""
        return self._climb(*self._paired(X, pairs, same))

    def _climb(self, x: np.ndarray, pairs: np.ndarray, same: np.ndarray) -> "MMC":
        from scipy.optimize import minimize

        dim = x.shape[1]
        spread = x.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)  # of the variables only: the optimum is the same
        steps = (x[pairs[:, 0]] - x[pairs[:, 1]]) / scale
        budget, far = steps[same].T @ steps[same], steps[~same]
        eye = np.eye(dim)

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
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
            self._tired("steps")
        linear = np.diag(found.x) if self.diagonal else found.x.reshape(dim, dim)
        used = float((linear @ budget * linear).sum())
        if used <= TINY * float((linear * linear).sum()):
            raise DataError("X: similar pairs do not differ where dissimilar ones do, so that M grows without end")
        linear = linear / np.sqrt(used)
        self.objective_ = float(np.sqrt(((far @ linear.T) ** 2).sum(axis=1)).sum())
        self.components_, self.n_iter_ = linear / scale, int(found.nit)
        return self
