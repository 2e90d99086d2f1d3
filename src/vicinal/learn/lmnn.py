"""Large margin nearest neighbours, with exact search for target neighbours and impostors."""

from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike

from vicinal.errors import UsageError, unknown
from vicinal.indexes.exact import Exact
from vicinal.learn.learner import Float, Int, Mahalanobis, check_n_components
from vicinal.learn.scikit_learners import LDA

Init = Literal["identity", "pca", "lda"]
INITS: tuple[str, ...] = get_args(Init)
IMPOSTORS = 64  # of a row, that a round adds at first; rounds go on until none is left out


class LMNN(Mahalanobis):
    """Large margin nearest neighbours: a row's k target neighbours are nearer than any row of another class.

    Minimises over L, with d2(i, j) = ||L xi - L xj||^2, the sum over rows i of

        (1 - mu) sum over targets j of d2(i, j)
        + mu sum over j and over rows l of other classes of [1 + d2(i, j) - d2(i, l)]+

    The targets of a row are the k nearest rows of its class before learning. Rows l with a positive term are called
    impostors. A round searches them exactly in the learned space and then optimises L by L-BFGS against all impostors
    of this and earlier rounds. Rounds end when no new impostor exists, so the sum at the end is over all rows. The
    hinge is not smooth and the problem is not convex in L, so another start can lead to another end.

    Parameters
    ----------
    n_neighbors : int
        k. The rows of a class with k rows or fewer have fewer targets.
    n_components : int, optional
        The number of rows of L. None is the number of features.
    mu : float
        The weight of pushing impostors away against pulling targets close, between 0 and 1.
    init : {"identity", "pca", "lda"} or array_like
        The initial L. "lda" is completed by principal components where it has fewer rows than L.
    max_iter : int
        L-BFGS steps in all.
    tol : float
        L-BFGS stops when a step lowers the sum by a smaller share than this.

    Attributes
    ----------
    components_ : ndarray of float64, shape (n_components, n_features)
    n_iter_ : int
        L-BFGS steps.
    rounds_ : int
        Searches for impostors.
    objective_ : float
        The sum above, divided by the number of rows.

    References
    ----------
    Weinberger & Saul 2009.

    Examples
    --------
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
        init: Init | ArrayLike = "identity",
        max_iter: int = 1_000,
        tol: float = 1e-6,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.mu = mu
        self.init = init
        self.max_iter = max_iter
        self.tol = tol

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
            Where y has one class or no class of two rows.
        UsageError
            Where a parameter is out of range.
        """
        from scipy.optimize import minimize

        x, codes = self._check_labels(X, y)
        if not 0 < self.mu < 1:
            raise UsageError(f"mu: expected a number between 0 and 1, got {self.mu!r}")
        if not isinstance(self.n_neighbors, int | np.integer) or self.n_neighbors < 1:
            raise UsageError(f"n_neighbors: expected a whole number above 0, got {self.n_neighbors!r}")
        linear = _initial(self.init, x, codes, check_n_components(self.n_components, x.shape[1]))
        targets = _targets(x, codes, int(self.n_neighbors))
        pairs = np.empty(0, dtype=np.int64)  # i * n + l of the impostors of all rounds so far
        left, self.rounds_, best = int(self.max_iter), 0, np.nan
        while True:
            new = _impostors(x @ linear.T, codes, targets, pairs)
            if (self.rounds_ and not len(new)) or left <= 0:
                break
            pairs = np.union1d(pairs, new)
            found = minimize(
                _objective,
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
            self._warn_not_converged("steps")
        self.components_, self.n_iter_, self.objective_ = linear, int(self.max_iter) - left, best
        return self


def _initial(init: Init | ArrayLike, x: Float, codes: Int, rows: int) -> Float:
    """The initial L, (rows, n_features)."""
    dim = x.shape[1]
    if not isinstance(init, str):
        given = np.array(init, dtype=np.float64)
        if given.shape != (rows, dim) or not np.isfinite(given).all():
            raise UsageError(f"init: expected finite numbers of shape {(rows, dim)}, found shape {given.shape}")
        return given
    if init not in INITS:
        raise UsageError(unknown("init", init, INITS))
    if init == "identity":
        return np.eye(rows, dim)
    axes = np.linalg.svd(x - x.mean(axis=0))[2]
    if init == "lda":
        axes = np.vstack([LDA().fit(x, codes).components_, axes])
    chosen: Float = axes[:rows]
    return chosen


def _targets(x: Float, codes: Int, k: int) -> Int:
    """The k nearest other rows of its class for each row, int64 (n, k); -1 where there are fewer."""
    targets = np.full((len(x), k), -1)
    for code in range(codes.max() + 1):
        rows = np.flatnonzero(codes == code)
        if len(rows) > 1:
            nearest = Exact().fit(x[rows]).neighbors(min(k, len(rows) - 1)).indices
            targets[rows[:, None], np.arange(nearest.shape[1])] = rows[nearest]
    return targets


def _impostors(z: Float, codes: Int, targets: Int, known: Int) -> Int:
    """New impostors as i * n + l: rows of another class within the margin of row i's farthest target.

    The nearest impostors of each row are returned first; the result is empty only where no row has a new one.
    """
    n, k = len(z), IMPOSTORS
    index = Exact().fit(z)
    far = np.where(targets >= 0, ((z[:, None] - z[targets]) ** 2).sum(axis=2), -np.inf).max(axis=1)
    while True:
        nearest = index.neighbors(min(k, n - 1), groups=codes).indices
        squared = index.distances(nearest) ** 2
        inside = (nearest >= 0) & (squared < 1 + far[:, None])
        new = np.setdiff1d((np.arange(n)[:, None] * n + nearest)[inside], known)
        if len(new) or not inside[:, -1].any() or k >= n:
            return new
        k *= 2


def _objective(flat: Float, x: Float, targets: Int, anchor: Int, impostor: Int, mu: float) -> tuple[float, Float]:
    """The objective and its gradient, both divided by the number of rows, for the given pairs of row and impostor."""
    n, k = targets.shape
    z = x @ flat.reshape(-1, x.shape[1]).T
    present = targets >= 0
    to_target = np.where(present, ((z[:, None] - z[targets]) ** 2).sum(axis=2), 0.0)
    to_impostor = ((z[anchor] - z[impostor]) ** 2).sum(axis=1)
    hinge = np.where(present[anchor], 1 + to_target[anchor] - to_impostor[:, None], 0.0)
    active = hinge > 0
    value = (1 - mu) * to_target.sum() + mu * hinge[active].sum()
    pull = np.zeros((n, k))
    np.add.at(pull, anchor, mu * active)
    pull += (1 - mu) * present
    rows = np.concatenate([np.repeat(np.arange(n), k), anchor])
    others = np.concatenate([np.maximum(targets, 0).ravel(), impostor])
    weights = np.concatenate([(pull * present).ravel(), -mu * active.sum(axis=1)])
    gradient = 2 * _weighted_products(z, x, rows, others, weights)
    return value / n, gradient.ravel() / n


def _weighted_products(z: Float, x: Float, rows: Int, others: Int, weights: Float) -> Float:
    """The sum over pairs (a, b) of w (za - zb)(xa - xb)', from the Laplacian of the graph of pairs."""
    from scipy.sparse import coo_array

    n = len(x)
    graph = coo_array((weights, (rows, others)), shape=(n, n)).tocsr()
    degree = np.bincount(rows, weights, n) + np.bincount(others, weights, n)
    laplacian: Float = degree[:, None] * x - graph @ x - graph.T @ x
    return z.T @ laplacian
