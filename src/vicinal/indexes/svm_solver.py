"""The solver of the exemplar SVM: Newton's method on its piecewise quadratic loss, and updates of a factorised system.

The loss and the notation are those of `exemplar_svm.py`: z = (x, 1), f = z w, A the negatives within the margin, a and
b the weights of a negative and of a positive.
"""

import numpy as np

MOST_STEPS = 100
GRADIENT = 1e-9  # the tolerance of the gradient, relative to the sum of its terms


class NegativeRows:
    """Negatives, and Z_A'Z_A of those within the margin, updated as rows enter and leave A."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self._counted = np.zeros(len(rows), dtype=bool)
        self._gram: np.ndarray | None = None

    def append(self, rows: np.ndarray) -> None:
        """Add negatives."""
        self.rows = np.vstack([self.rows, rows])
        self._counted = np.append(self._counted, np.zeros(len(rows), dtype=bool))

    def gram(self, active: np.ndarray) -> np.ndarray:
        """Z_A'Z_A"""
        came, went = active & ~self._counted, self._counted & ~active
        if self._gram is None or 2 * np.count_nonzero(came | went) > np.count_nonzero(active):
            inside = self.rows[active]
            self._gram = inside.T @ inside
        else:
            came_rows, went_rows = self.rows[came], self.rows[went]
            self._gram = self._gram + came_rows.T @ came_rows - went_rows.T @ went_rows
        self._counted = active
        return self._gram


def with_one(rows: np.ndarray) -> np.ndarray:
    """Rows x as z = (x, 1), float64."""
    longer = np.ones((len(rows), rows.shape[1] + 1))
    longer[:, :-1] = rows
    return longer


def coefficients(scale: np.ndarray, inner: np.ndarray, base: np.ndarray) -> np.ndarray:
    """What each updated row adds to the solution, in units of M^-1 row (Woodbury).

    scale : the weight that each row has beyond its part in M; its right-hand side is |scale|
    inner : rows M^-1 rows'
    base  : the decision values of the rows by the solution of M alone
    """
    pull = np.abs(scale)
    result: np.ndarray = pull - np.linalg.solve(np.diag(1 / scale) + inner, base + inner @ pull)
    return result


def minimise(
    negatives: NegativeRows,
    examples: np.ndarray,
    a: float,
    b: float,
    w: np.ndarray,
    inverse: np.ndarray | None = None,
    absent: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """The w of least loss with these negatives, by Newton's method from a first w, and the number of steps.

    inverse : (I + a Z'Z)^-1 of the negatives and of the `absent` rows, where nearly all negatives will count
    """
    rows = negatives.rows
    f, g = rows @ w, examples @ w
    for step in range(MOST_STEPS):
        active, near = f > -1, g < 1
        chosen, n_active = examples[near], int(np.count_nonzero(active))
        # The gradient: w + a Z_A'(1 + f) - b Q'(1 - g)
        pull, push = np.maximum(0, 1 + f) @ rows, (1 - g[near]) @ chosen
        gradient = w + a * pull - b * push
        size = np.abs(w).sum() + a * np.abs(pull).sum() + b * np.abs(push).sum()
        if np.abs(gradient).max() <= GRADIENT * size:
            return w, step
        if inverse is not None and absent is not None and 2 * (len(rows) - n_active) <= len(w):
            left = np.vstack([absent, rows[~active]])
            direction = _updated(inverse, np.vstack([chosen, left]), scales(b, len(chosen), -a, len(left)), -gradient)
        elif n_active + len(chosen) < len(w):
            update = np.vstack([chosen, rows[active]])
            direction = _updated(None, update, scales(b, len(chosen), a, n_active), -gradient)
        else:
            matrix = np.eye(len(w)) + a * negatives.gram(active) + b * chosen.T @ chosen
            direction = _solve(matrix, -gradient)
        df, dg = rows @ direction, examples @ direction
        t = _line_search(w, direction, f, df, g, dg, a, b)
        w, f, g = w + t * direction, f + t * df, g + t * dg
    return w, MOST_STEPS


def scales(first: float, n_first: int, second: float, n_second: int) -> np.ndarray:
    """The weights of rows that come in two kinds."""
    return np.concatenate([np.full(n_first, first), np.full(n_second, second)])


def _updated(inverse: np.ndarray | None, update: np.ndarray, scale: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(M + U' diag(scale) U)^-1 right, from the inverse of M, None for the identity (Woodbury)."""
    solved = update.T if inverse is None else inverse @ update.T
    first = right if inverse is None else inverse @ right
    result: np.ndarray = first - solved @ np.linalg.solve(np.diag(1 / scale) + update @ solved, update @ first)
    return result


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    from scipy.linalg import cho_factor, cho_solve

    result: np.ndarray = cho_solve(
        cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False), right, check_finite=False
    )
    return result


def _line_search(
    w: np.ndarray,
    direction: np.ndarray,
    f: np.ndarray,
    df: np.ndarray,
    g: np.ndarray,
    dg: np.ndarray,
    a: float,
    b: float,
) -> float:
    """The step along a direction that brings the loss lowest: where its slope, which only grows, is zero."""
    linear, square = float(w @ direction), float(direction @ direction)

    def slope(t: float) -> float:
        ahead, behind = 1 + f + t * df, 1 - g - t * dg
        inside = ahead > 0
        near = behind > 0
        return linear + t * square + a * float(ahead[inside] @ df[inside]) - b * float(behind[near] @ dg[near])

    low, high = 0.0, 1.0
    at_high = slope(high)
    if abs(at_high) <= 1e-12 * abs(slope(0.0)):
        return high
    while at_high < 0 and high < 64:
        low, high = high, 2 * high
        at_high = slope(high)
    for _ in range(12):  # a rough step is enough: the next direction starts from there
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    # A whole step lands on the minimum once no row comes or goes; it must be taken whole.
    return 1.0 if low <= 1.0 <= high else (low + high) / 2
