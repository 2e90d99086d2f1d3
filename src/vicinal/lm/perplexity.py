"""Perplexity of a text with neighbours, and the choice of lambda and T."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vicinal.errors import DataError
from vicinal.lm.datastore import Datastore
from vicinal.lm.interpolation import knn_weights, log_mixture, target_logp, target_p_knn
from vicinal.lm.transformer import Block

LAMBDAS = tuple(round(0.05 * step, 2) for step in range(20))
T_STEPS = tuple(2.0**step for step in range(-8, 5))  # times the mean squared distance of the neighbours
MIN_QUERIES = 4_096  # positions that are searched at once


@dataclass(frozen=True, eq=False)
class Positions:
    """The positions of a text, with the log probabilities of a model and the neighbours of each.

    Attributes
    ----------
    lm_logp : ndarray of float64, shape (n,)
        The model's log probability of each target.
    distances : ndarray of float32, shape (n, k)
    values : ndarray of int32, shape (n, k)
    targets : ndarray of int64, shape (n,)
    """

    lm_logp: NDArray[np.float64]
    distances: NDArray[np.float32]
    values: NDArray[np.int32]
    targets: NDArray[np.int64]

    def perplexity(self, lambda_: float, T: float) -> float:  # noqa: N803
        """Return exp of minus the mean log probability of the targets."""
        return float(np.exp(-target_logp(self.lm_logp, self.distances, self.values, self.targets, lambda_, T).mean()))


@dataclass(frozen=True)
class Choice:
    """The best lambda and T on a text, and its perplexity without and with neighbours."""

    lambda_: float
    T: float
    without: float
    with_neighbors: float


def search_positions(
    store: Datastore, stream: Iterable[Block], k: int, progress: Callable[[int], None] | None = None
) -> Positions:
    """Return the k neighbours of every position; `progress` is called with the number of positions done.

    Raises
    ------
    DataError
        Where there is no position.
    """
    parts: list[tuple[NDArray[np.generic], ...]] = []
    waiting: list[Block] = []
    done = 0

    def search() -> None:
        nonlocal done
        if waiting:
            keys = np.concatenate([one.keys for one in waiting])
            logp, targets = (np.concatenate([getattr(one, name) for one in waiting]) for name in ("logp", "targets"))
            parts.append((logp, *store.search(keys, k), targets))
            done += len(keys)
            waiting.clear()
            if progress is not None:
                progress(done)

    for block in stream:
        waiting.append(block)
        if sum(len(one.keys) for one in waiting) >= MIN_QUERIES:
            search()
    search()
    if not parts:
        raise DataError("a text of fewer than 2 tokens has nothing to predict")
    return Positions(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def choose(positions: Positions) -> Choice:
    """Return the lambda and T of least perplexity on a grid, which includes lambda = 0, the model alone.

    Raises
    ------
    DataError
        Where no position has a neighbour.
    """
    finite = positions.distances[np.isfinite(positions.distances)]
    if not len(finite):
        raise DataError("no neighbour was found for any position")
    scale = float(finite.mean(dtype=np.float64)) or 1.0
    without, best = positions.perplexity(0.0, 1.0), None
    for step in T_STEPS:
        weights = knn_weights(positions.distances, positions.values, scale * step)
        p_knn, known = target_p_knn(weights, positions.values, positions.targets)
        for lambda_ in LAMBDAS:
            perplexity = float(np.exp(-log_mixture(positions.lm_logp, p_knn, known, lambda_).mean()))
            if best is None or perplexity < best.with_neighbors:
                best = Choice(lambda_, scale * step, without, perplexity)
    assert best is not None
    return best
