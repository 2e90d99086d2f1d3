"""p(w) = lambda p_kNN(w) + (1 - lambda) p_LM(w), in log space.

p_kNN(w) is proportional to the sum, over the neighbours whose value is w, of exp(-||q - k_i||^2 / T). A word that no
neighbour has keeps (1 - lambda) p_LM(w): it is never made impossible.
"""

import numpy as np

from vicinal.errors import DataError, UsageError


def knn_weights(distances: object, values: object, T: float) -> np.ndarray:  # noqa: N803
    """Each neighbour's share of p_kNN: exp(-distance / T), scaled to sum 1 a row.

    distances : (n, k), squared Euclidean; values: (n, k). A neighbour with value -1 or distance inf is missing.
    T         : the temperature, above 0; large makes all neighbours alike
    Returns     float64 (n, k); zeros in a row without neighbours
    Raises      UsageError for T; DataError where the shapes differ, or a distance is NaN or below 0

    >>> knn_weights([[0.0, 0.0, np.inf]], [[3, 5, -1]], T=1.0).tolist()
    [[0.5, 0.5, 0.0]]
    """
    far, words = np.asarray(distances, dtype=np.float64), np.asarray(values)
    if not (isinstance(T, int | float | np.number) and T > 0):
        raise UsageError(f"T: expected a number above 0, got {T!r}")
    if far.ndim != 2 or far.shape != words.shape or words.dtype.kind not in "iu":
        raise DataError(
            f"expected distances and whole numbers as values of one shape (n, k), found {far.shape} and {words.dtype} "
            f"{words.shape}"
        )
    if np.isnan(far).any() or far.min(initial=0) < 0:
        raise DataError("distances: found NaN or a value below 0, expected squared Euclidean distances")
    there = (words >= 0) & np.isfinite(far)
    nearest = np.where(there, far, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    with np.errstate(invalid="ignore"):
        weights = np.where(there, np.exp((nearest - far) / T), 0.0)
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def log_mixed(log_lm: np.ndarray, p_knn: np.ndarray, known: np.ndarray, lambda_: float) -> np.ndarray:
    """logaddexp(log(1 - lambda) + log p_LM, log lambda + log p_kNN); log p_LM where a row has no neighbour."""
    if not (isinstance(lambda_, int | float | np.number) and 0 <= lambda_ <= 1):
        raise UsageError(f"lambda_: expected a number from 0 to 1, got {lambda_!r}")
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(np.log1p(-lambda_) + log_lm, np.log(lambda_) + np.log(p_knn))
    return np.where(known, mixed, log_lm)


def interpolate(lm_logp: object, distances: object, values: object, lambda_: float, T: float) -> np.ndarray:  # noqa: N803
    """log p of every word, from the model's log p and the neighbours of the context.

    lm_logp   : (n, n_words), log p_LM; natural logarithms that sum to 1 as probabilities, to within 1 %
    distances : (n, k), squared Euclidean distances of the neighbours; inf where one is missing
    values    : (n, k), the word that followed each; -1 where one is missing
    lambda_   : the weight of p_kNN, 0 to 1
    T         : the temperature of the distances
    Returns     float64 (n, n_words). A row without any neighbour keeps log p_LM
    Raises      UsageError, DataError as `knn_weights`, where a value is not below n_words, and where a row of lm_logp
                is NaN or does not sum to 1, as logits do not
    Source      Khandelwal et al. 2020, equations 2 and 3

    >>> half = np.log([[0.5, 0.5, 1e-9]])
    >>> np.exp(interpolate(half, [[0.0, 0.0]], [[2, 2]], lambda_=0.25, T=1.0)).round(3).tolist()
    [[0.375, 0.375, 0.25]]
    """
    log_lm = np.asarray(lm_logp, dtype=np.float64)
    weights, words = knn_weights(distances, values, T), np.asarray(values)
    if log_lm.ndim != 2 or len(log_lm) != len(words):
        raise DataError(f"lm_logp: expected ({len(words)}, n_words), found shape {log_lm.shape}")
    if words.max(initial=-1) >= log_lm.shape[1]:
        raise DataError(f"values: found word {words.max()}, but lm_logp has {log_lm.shape[1]} words")
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.exp(log_lm).sum(axis=1)
    wrong = np.flatnonzero(~(np.abs(total - 1) <= 0.01))
    if len(wrong):
        raise DataError(
            f"lm_logp: row {wrong[0]} sums to {total[wrong[0]]:g} as probabilities, expected 1; give log p, not logits"
        )
    p_knn = np.zeros_like(log_lm)
    np.add.at(p_knn, (np.arange(len(words))[:, None], np.maximum(words, 0)), weights)
    return log_mixed(log_lm, p_knn, np.any(weights, axis=1, keepdims=True), lambda_)


def target_logp(
    lm_logp: object,
    distances: object,
    values: object,
    targets: object,
    lambda_: float,
    T: float,  # noqa: N803
) -> np.ndarray:
    """log p of one word a row: what `interpolate` gives for it, without the other words.

    lm_logp, targets : (n,), log p_LM of each row's word, and the word
    Returns            float64 (n,)

    >>> target_logp([np.log(0.5)], [[0.0]], [[7]], [7], lambda_=0.5, T=1.0).round(3).tolist()   # log(.25 + .5)
    [-0.288]
    """
    log_lm, words = np.asarray(lm_logp, dtype=np.float64), np.asarray(targets)
    weights = knn_weights(distances, values, T)
    if log_lm.shape != (len(weights),) or words.shape != log_lm.shape:
        raise DataError(f"expected {len(weights)} values a side, found lm_logp {log_lm.shape}, targets {words.shape}")
    p_knn = np.where(np.asarray(values) == words[:, None], weights, 0.0).sum(axis=1)
    return log_mixed(log_lm, p_knn, np.asarray(weights.any(axis=1)), lambda_)
