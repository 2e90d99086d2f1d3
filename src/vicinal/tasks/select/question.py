"""The question that a strategy answers: the rows, how many of them to choose, and the numbers that it takes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall

K, ALPHA, THRESHOLD, BANDWIDTH = 10, 0.5, 0.1, 0.75


@dataclass(frozen=True, eq=False)
class Question:
    """Rows of which a strategy chooses some.

    Attributes
    ----------
    keep : int
        How many to choose.
    weight : ndarray of float64, shape (n,)
        Multiplies what the strategy maximises.
    groups : ndarray of int64, shape (n,), or None
        The group of each row, from 0.
    seats : ndarray of int64, shape (n_groups,), or None
        How many rows of each group to choose.
    scores : ndarray of float64, shape (n,), or None
        One a row, finite.
    vectors : ndarray, shape (n, dim), or None
    target : ndarray, shape (n_target, dim), or None
        The rows that the choice is made towards.
    graph : Neighbors or None
        The nearest others of each row, if they are known already.
    settings : Settings
    start : callable
        Takes the name of a pass; gives its progress callback, or None.
    recalls : list of Recall
        A strategy adds that of the neighbours that it used.
    """

    keep: int
    weight: np.ndarray
    groups: np.ndarray | None
    seats: np.ndarray | None
    scores: np.ndarray | None
    vectors: np.ndarray | None
    target: np.ndarray | None
    graph: Neighbors | None
    settings: "Settings"
    metric: Metric
    threads: int | None
    start: Callable[[str], Callable[..., None] | None]
    recalls: list[Recall] = field(default_factory=list)

    @property
    def rows(self) -> np.ndarray:
        """The vectors of a strategy that needs them."""
        assert self.vectors is not None
        return self.vectors


@dataclass(frozen=True)
class Settings:
    """The numbers that strategies take.

    Attributes
    ----------
    k : int
        How many neighbours to search.
    seed : int
    alpha : float
        From 0 to 1.
    threshold, bandwidth : float
        Distances.
    clusters : int or None
        How many clusters; the root of the number of rows by default.
    recall : float or None
        Of approximate neighbours; None for exact ones.
    """

    k: int = K
    seed: int = 0
    alpha: float = ALPHA
    threshold: float = THRESHOLD
    bandwidth: float = BANDWIDTH
    clusters: int | None = None
    recall: float | None = None
