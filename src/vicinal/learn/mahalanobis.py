"""Mahalanobis metrics learned from labels or pairs: d_M(x1, x2) = sqrt((x1 - x2)' M (x1 - x2)) with M = L'L.

Each is a scikit-learn transformer. `components_` is L, `transform` gives L x for each row x, and the plain Euclidean
distances of what it gives are d_M, so that every index and estimator of ours works on it; `get_mahalanobis_matrix()` is
M, for `vicinal.mahalanobis` and `metric="mahalanobis"`.

    learner                 what it asks for                                            how it is found
    NCA                     neighbours drawn by softmax are of the own class            scikit-learn's, L-BFGS
    LMNN                    k target neighbours nearer than all others, by a margin     L-BFGS; neighbours by our kernel
    ITML                    similar pairs below, dissimilar pairs above a bound         Bregman projections
    MMC                     dissimilar pairs far apart, similar pairs within a budget   L-BFGS on a scale-free quotient
    RCA                     what varies within small groups does not count              closed form
    LDA                     between-class over within-class variance                    scikit-learn's, closed form
    WithinClassWhitening    what varies within classes does not count                   closed form

LMNN's margin is 1 in units of squared distance, so scale the columns first (sklearn.preprocessing.StandardScaler).
"""

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from vicinal.errors import DataError, UsageError, unknown
from vicinal.indexes.exact import Exact

INITS = ("identity", "pca", "lda")
IMPOSTORS = 64  # of each row that join the active ones in a round; none is left out in the end
TINY = 1e-12


class Mahalanobis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What the learners share: the transform, the matrix, and the look at X and y."""

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
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(
                f"y: all {len(y)} rows are of the class {classes[0]!r}; a metric that tells classes apart needs at "
                "least 2"
            )
        if np.bincount(codes).max() < 2:
            raise DataError(f"y: each of the {len(classes)} classes has a single row; similar pairs need two of one")
        self.classes_ = classes
        return x, codes

    def _paired(self, X: Any, pairs: Any, same: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # noqa: N803
        """The rows, the pairs of row numbers and whether each is similar; both kinds are there."""
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
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
        """Fits scikit-learn's model; raises UsageError for the solver "lsqr", which learns no transform."""
        super().fit(X, y)
        if len(self.classes_) < 2:
            raise DataError(f"y: all rows are of the class {self.classes_[0]!r}; at least 2 are needed")
        if self.solver == "lsqr":
            raise UsageError("solver: 'lsqr' learns a classifier but no metric; choose 'svd' or 'eigen'")
        self.components_ = self.scalings_[:, : self._max_components].T
        return self


class LMNN(Mahalanobis):
    """Large margin nearest neighbours: each row's k target neighbours nearer than any row of another class.

    Minimises over L, with d2(i, j) = ||L xi - L xj||^2, the sum over rows i of

        (1 - mu) sum over targets j of d2(i, j)
        + mu sum over j and over rows l of other classes of [1 + d2(i, j) - d2(i, l)]+

    The targets are the k nearest rows of the same class before learning. Rows l with a positive term are impostors;
    they are found by the exact kernel in the learned space, L is optimised against those found so far by L-BFGS, and so
    on in rounds until no further ones are there: then the sum is that over all rows. The hinge has corners, which
    L-BFGS passes; started elsewhere it may end elsewhere.

    n_neighbors  : k; a class of k rows or fewer takes what it has
    n_components : rows of L; None for as many as there are features
    mu           : how much pushing weighs against pulling, 0 to 1
    init         : "identity", "pca", "lda" (where it has fewer rows than L, principal ones follow), or an array
    max_iter     : L-BFGS steps in all
    tol          : L-BFGS stops where a step lowers the sum by a smaller share than this
    After fit      components_, n_iter_, rounds_, objective_ (the sum above divided by the number of rows)
    Raises         DataError where y has one class or no class of two rows
    Source         Weinberger & Saul 2009

    >>> x = [[0.0, 9.0], [1.0, 1.0], [0.5, 5.0], [5.0, 8.0], [6.0, 2.0], [5.5, 5.0]]
    >>> LMNN(n_neighbors=1).fit(x, [0, 0, 0, 1, 1, 1]).transform(x).shape
    (6, 2)
    """

    def __init__(
        self,
        n_neighbors: int = 3,
        *,
        n_components: int | None = None,
        mu: float = 0.5,
        init: Any = "identity",
        max_iter: int = 1_000,
        tol: float = 1e-6,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.mu = mu
        self.init = init
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: Any, y: Any) -> "LMNN":  # noqa: N803
        """Learns L.

        X, y    : (n, n_features) and a class each
        Raises    UsageError where a parameter is out of range
        """
        from scipy.optimize import minimize

        x, codes = self._labelled(X, y)
        if not 0 < self.mu < 1:
            raise UsageError(f"mu: expected a number between 0 and 1, got {self.mu!r}")
        if not isinstance(self.n_neighbors, int | np.integer) or self.n_neighbors < 1:
            raise UsageError(f"n_neighbors: expected a whole number above 0, got {self.n_neighbors!r}")
        linear = _start(self.init, x, codes, self.n_components)
        targets = _targets(x, codes, int(self.n_neighbors))
        pairs = np.empty(0, dtype=np.int64)  # i * n + l of the impostors found so far
        left, self.rounds_, best = int(self.max_iter), 0, np.nan
        while True:
            new = _impostors(x @ linear.T, codes, targets, pairs)
            if (self.rounds_ and not len(new)) or left <= 0:
                break
            pairs = np.union1d(pairs, new)
            found = minimize(
                _lmnn,
                linear.ravel(),
                args=(x, targets, pairs // len(x), pairs % len(x), float(self.mu)),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": left, "gtol": 1e-8, "ftol": self.tol},
            )
            linear, best = found.x.reshape(linear.shape), float(found.fun)
            left -= max(1, found.nit)
            self.rounds_ += 1
        if len(new):
            self._tired("steps")
        self.components_, self.n_iter_, self.objective_ = linear, int(self.max_iter) - left, best
        return self


def _start(init: Any, x: np.ndarray, codes: np.ndarray, n_components: int | None) -> np.ndarray:
    """The L to start from, (n_components, n_features)."""
    dim = x.shape[1]
    rows = dim if n_components is None else n_components
    if not isinstance(rows, int | np.integer) or isinstance(rows, bool) or not 1 <= rows <= dim:
        raise UsageError(f"n_components: expected a whole number from 1 to the {dim} features, got {n_components!r}")
    if not isinstance(init, str):
        given = np.array(init, dtype=np.float64)
        if given.shape != (rows, dim) or not np.isfinite(given).all():
            raise UsageError(f"init: expected finite numbers of shape {(rows, dim)}, found shape {given.shape}")
        return given
    if init not in INITS:
        raise UsageError(unknown("init", init, INITS))
    if init == "identity":
        return np.eye(int(rows), dim)
    axes = np.linalg.svd(x - x.mean(axis=0))[2]
    if init == "lda":
        axes = np.vstack([LDA().fit(x, codes).components_, axes])
    return axes[:rows]


def _targets(x: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """Each row's k nearest others of its class, int64 (n, k); -1 where there are fewer."""
    targets = np.full((len(x), k), -1)
    for code in range(codes.max() + 1):
        rows = np.flatnonzero(codes == code)
        if len(rows) > 1:
            found = Exact().fit(x[rows]).neighbors(min(k, len(rows) - 1)).indices
            targets[rows[:, None], np.arange(found.shape[1])] = rows[found]
    return targets


def _impostors(z: np.ndarray, codes: np.ndarray, targets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Pairs i * n + l of a row and one of another class within the margin of its farthest target, that are not known.

    The nearest of each row come first; there are none only where no row has one.
    """
    n, k = len(z), IMPOSTORS
    index = Exact().fit(z)
    far = np.where(targets >= 0, ((z[:, None] - z[targets]) ** 2).sum(axis=2), -np.inf).max(axis=1)
    while True:
        found = index.neighbors(min(k, n - 1), groups=codes).indices
        near = index.distances(found) ** 2
        inside = (found >= 0) & (near < 1 + far[:, None])
        new = np.setdiff1d((np.arange(n)[:, None] * n + found)[inside], known)
        if len(new) or not inside[:, -1].any() or k >= n:
            return new
        k *= 2


def _lmnn(
    flat: np.ndarray, x: np.ndarray, targets: np.ndarray, anchor: np.ndarray, impostor: np.ndarray, mu: float
) -> tuple[float, np.ndarray]:
    """The objective and its gradient, both divided by the number of rows, for impostors of the pairs given."""
    n, k = targets.shape
    z = x @ flat.reshape(-1, x.shape[1]).T
    there = targets >= 0
    to_target = np.where(there, ((z[:, None] - z[targets]) ** 2).sum(axis=2), 0.0)
    to_impostor = ((z[anchor] - z[impostor]) ** 2).sum(axis=1)
    hinge = np.where(there[anchor], 1 + to_target[anchor] - to_impostor[:, None], 0.0)
    active = hinge > 0
    value = (1 - mu) * to_target.sum() + mu * hinge[active].sum()
    pull = np.zeros((n, k))
    np.add.at(pull, anchor, mu * active)
    pull += (1 - mu) * there
    rows = np.concatenate([np.repeat(np.arange(n), k), anchor])
    others = np.concatenate([np.maximum(targets, 0).ravel(), impostor])
    weights = np.concatenate([(pull * there).ravel(), -mu * active.sum(axis=1)])
    gradient = 2 * _pulled(z, x, rows, others, weights)
    return value / n, gradient.ravel() / n


def _pulled(z: np.ndarray, x: np.ndarray, rows: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum over pairs (a, b) of w (za - zb)(xa - xb)', by the graph's Laplacian."""
    from scipy.sparse import coo_array

    n = len(x)
    graph = coo_array((weights, (rows, others)), shape=(n, n)).tocsr()
    degree = np.bincount(rows, weights, n) + np.bincount(others, weights, n)
    return z.T @ (degree[:, None] * x - graph @ x - graph.T @ x)


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
        return np.eye(dim) if prior == "identity" else _inverse(np.cov(x, rowvar=False).reshape(dim, dim), "the rows'")
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
        linear = np.diag(found.x) if self.diagonal else found.x.reshape(dim, dim)
        used = float((linear @ budget * linear).sum())
        if used <= TINY * float((linear * linear).sum()):
            raise DataError("X: similar pairs do not differ where dissimilar ones do, so that M grows without end")
        linear = linear / np.sqrt(used)
        self.objective_ = float(np.sqrt(((far @ linear.T) ** 2).sum(axis=1)).sum())
        self.components_, self.n_iter_ = linear / scale, int(found.nit)
        return self


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
        root = _inverse(within, "the within-group", half=True)
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


def _inverse(covariance: np.ndarray, whose: str, half: bool = False) -> np.ndarray:
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


LEARNERS = (NCA, LMNN, ITML, MMC, RCA, LDA, WithinClassWhitening)
