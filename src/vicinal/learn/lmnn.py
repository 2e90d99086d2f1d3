"""Large margin nearest neighbours, with our exact kernel for target neighbours and impostors."""

from typing import Any

import numpy as np

from vicinal.errors import UsageError, unknown
from vicinal.indexes.exact import Exact
from vicinal.learn.base import Mahalanobis
from vicinal.learn.scikit_learners import LDA

INITS = ("identity", "pca", "lda")
IMPOSTORS = 64  # of each row that join the active ones in a round; none is left out in the end


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
