"""The mixture p(w) = lambda p_kNN(w) + (1 - lambda) p_LM(w), in log space.

p_kNN(w) is proportional to the sum of exp(-||q - k_i||^2 / T) over the neighbours whose value is w. A token that no
neighbour has as its value keeps (1 - lambda) p_LM(w), so no token becomes impossible.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicinal.errors import DataError, UsageError

Float = NDArray[np.float64]


def knn_weights(distances: ArrayLike, values: ArrayLike, T: float) -> Float:  # noqa: N803
    """Return each neighbour's share of p_kNN: exp(-distance / T), scaled to sum 1 in each row.

    Parameters
    ----------
    distances : array_like, shape (n, k)
        Squared Euclidean distances; inf where a neighbour is missing.
    values : array_like of int, shape (n, k)
        The token of each neighbour; -1 where it is missing.
    T : float
        The temperature, above 0. With a large one, all neighbours have the same weight.

    Returns
    -------
    ndarray of float64, shape (n, k)
        Zeros in a row without neighbours.

    Raises
    ------
    UsageError
        For T.
    DataError
        Where the shapes differ, or a distance is NaN or below 0.

    Examples
    --------
    >>> knn_weights([[0.0, 0.0, np.inf]], [[3, 5, -1]], T=1.0).tolist()
    [[0.5, 0.5, 0.0]]
    """
    squared, tokens = np.asarray(distances, dtype=np.float64), np.asarray(values)
    if not (isinstance(T, int | float | np.number) and T > 0):
        raise UsageError(f"T: expected a number above 0, got {T!r}")
    if squared.ndim != 2 or squared.shape != tokens.shape or tokens.dtype.kind not in "iu":
        raise DataError(
            f"expected distances and whole numbers as values of one shape (n, k), found {squared.shape} and "
            f"{tokens.dtype} {tokens.shape}"
        )
    if np.isnan(squared).any() or squared.min(initial=0) < 0:
        raise DataError("distances: found NaN or a value below 0, expected squared Euclidean distances")
    present = (tokens >= 0) & np.isfinite(squared)
    nearest = np.where(present, squared, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    with np.errstate(invalid="ignore"):
        weights = np.where(present, np.exp((nearest - squared) / T), 0.0)
    total = weights.sum(axis=1, keepdims=True)
    shares: Float = weights / np.where(total > 0, total, 1.0)
    return shares


def log_mixture(log_lm: Float, p_knn: Float, known: NDArray[np.bool_], lambda_: float) -> Float:
    """Return logaddexp(log(1 - lambda) + log p_LM, log lambda + log p_kNN), or log p_LM where `known` is false."""
    if not (isinstance(lambda_, int | float | np.number) and 0 <= lambda_ <= 1):
        raise UsageError(f"lambda_: expected a number from 0 to 1, got {lambda_!r}")
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(np.log1p(-lambda_) + log_lm, np.log(lambda_) + np.log(p_knn))
    return np.where(known, mixed, log_lm)


def interpolate(
    lm_logp: ArrayLike,
    distances: ArrayLike,
    values: ArrayLike,
    lambda_: float,
    T: float,  # noqa: N803
) -> Float:
    """Return the log probability of every token, from the model's and the neighbours of the context.

    Parameters
    ----------
    lm_logp : array_like, shape (n, n_words)
        log p_LM: natural logarithms of probabilities that sum to 1 to within 1 %.
    distances : array_like, shape (n, k)
        Squared Euclidean distances of the neighbours; inf where one is missing.
    values : array_like of int, shape (n, k)
        The token that followed each neighbour; -1 where one is missing.
    lambda_ : float
        The weight of p_kNN, from 0 to 1.
    T : float
        The temperature of the distances, above 0.

    Returns
    -------
    ndarray of float64, shape (n, n_words)
        A row without any neighbour keeps log p_LM.

    Raises
    ------
    UsageError
        For lambda_ and T.
    DataError
        Where the shapes differ, a value is not below n_words, a distance is NaN or below 0, or a row of lm_logp does
        not sum to 1 as probabilities, as logits do not.

    References
    ----------
    Khandelwal et al. 2020, equations 2 and 3.

    Examples
    --------
    >>> half = np.log([[0.5, 0.5, 1e-9]])
    >>> np.exp(interpolate(half, [[0.0, 0.0]], [[2, 2]], lambda_=0.25, T=1.0)).round(3).tolist()
    [[0.375, 0.375, 0.25]]
    """
    log_lm = np.asarray(lm_logp, dtype=np.float64)
    weights, tokens = knn_weights(distances, values, T), np.asarray(values)
    if log_lm.ndim != 2 or len(log_lm) != len(tokens):
        raise DataError(f"lm_logp: expected ({len(tokens)}, n_words), found shape {log_lm.shape}")
    if tokens.max(initial=-1) >= log_lm.shape[1]:
        raise DataError(f"values: found token {tokens.max()}, but lm_logp has {log_lm.shape[1]} tokens")
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.exp(log_lm).sum(axis=1)
    wrong = np.flatnonzero(~(np.abs(total - 1) <= 0.01))
    if len(wrong):
        raise DataError(
            f"lm_logp: row {wrong[0]} sums to {total[wrong[0]]:g} as probabilities, expected 1; give log p, not logits"
        )
    p_knn = np.zeros_like(log_lm)
    np.add.at(p_knn, (np.arange(len(tokens))[:, None], np.maximum(tokens, 0)), weights)
    return log_mixture(log_lm, p_knn, np.any(weights, axis=1, keepdims=True), lambda_)


def target_logp(
    lm_logp: ArrayLike,
    distances: ArrayLike,
    values: ArrayLike,
    targets: ArrayLike,
    lambda_: float,
    T: float,  # noqa: N803
) -> Float:
    """Return the log probability of one token a row: what `interpolate` returns for it, without the other tokens.

    Parameters
    ----------
    lm_logp : array_like, shape (n,)
        log p_LM of the token of each row.
    distances, values : array_like, shape (n, k)
        As of `interpolate`.
    targets : array_like of int, shape (n,)
        The token of each row.
    lambda_, T : float
        As of `interpolate`.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    UsageError, DataError
        As `interpolate`.

    Examples
    --------
    >>> target_logp([np.log(0.5)], [[0.0]], [[7]], [7], lambda_=0.5, T=1.0).round(3).tolist()   # log(.25 + .5)
    [-0.288]
    """
    log_lm, tokens = np.asarray(lm_logp, dtype=np.float64), np.asarray(targets)
    weights = knn_weights(distances, values, T)
    if log_lm.shape != (len(weights),) or tokens.shape != log_lm.shape:
        raise DataError(
            f"expected lm_logp and targets of shape ({len(weights)},), found {log_lm.shape} and {tokens.shape}"
        )
    return log_mixture(log_lm, *target_p_knn(weights, values, tokens), lambda_)


def target_p_knn(weights: Float, values: ArrayLike, targets: ArrayLike) -> tuple[Float, NDArray[np.bool_]]:
    """Return p_kNN of one token a row, and whether the row has any neighbour; `weights` are those of `knn_weights`."""
    own = np.asarray(values) == np.asarray(targets)[:, None]
    return np.where(own, weights, 0.0).sum(axis=1), np.asarray(weights.any(axis=1))
