"""The strategies of a selection: a table of names, what each needs, and how each chooses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vicinal.analysis import selection
from vicinal.analysis.forms import percentile
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors


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
    graph : Neighbors or None
        The nearest others of each row, if they are known already.
    k : int
        How many neighbours to search if they are not.
    start : callable
        Takes the name of a pass; gives its progress callback, or None.
    """

    keep: int
    weight: np.ndarray
    groups: np.ndarray | None
    seats: np.ndarray | None
    scores: np.ndarray | None
    vectors: np.ndarray | None
    graph: Neighbors | None
    k: int
    metric: Metric
    threads: int | None
    start: Callable[[str], Callable[..., None] | None]


Choose = Callable[[Question], selection.Choice]


@dataclass(frozen=True)
class Strategy:
    """A row of the table.

    Attributes
    ----------
    name : str
    does : str
        What it chooses, for the help.
    needs : {"scores", "embeddings", "neighbors"}
        What it requires; embeddings can replace neighbors.
    choose : callable
        Question -> Choice.
    """

    name: str
    does: str
    needs: Literal["scores", "embeddings", "neighbors"]
    choose: Choose


def by_quality(question: Question) -> selection.Choice:
    """Return the rows of the largest weight."""
    return selection.by_merit(question.weight, question.keep, question.groups, question.seats)


def _by_score(merit: Callable[[np.ndarray], np.ndarray]) -> Choose:
    """A strategy that keeps the rows of the largest merit; it takes the place of each score among all, from 0 to 1."""

    def choose(question: Question) -> selection.Choice:
        assert question.scores is not None
        value = merit(percentile(question.scores) / 100) * question.weight
        return selection.by_merit(value, question.keep, question.groups, question.seats)

    return choose


def _k_center(question: Question) -> selection.Choice:
    """The farthest points, from the best row on."""
    assert question.vectors is not None
    best = question.weight if question.scores is None else percentile(question.scores) * question.weight
    return selection.k_center(
        question.vectors,
        question.keep,
        question.metric,
        question.weight,
        int(np.argmax(best)),
        question.groups,
        question.seats,
        question.threads,
    )


def _facility(question: Question) -> selection.Choice:
    """Facility location on the neighbour graph."""
    graph = question.graph
    if graph is None:
        assert question.vectors is not None
        n = len(question.vectors)
        if n < 2:
            return by_quality(question)
        callback = question.start(f"{question.metric.name} neighbours")
        index = Exact(question.metric, question.threads).fit(question.vectors)
        graph = index.neighbors(min(question.k, n - 1), progress=callback)
    return selection.facility_location(graph, question.keep, question.weight, question.groups, question.seats)


STRATEGIES = (
    Strategy("highest", "the highest scores", "scores", _by_score(lambda p: p)),
    Strategy("lowest", "the lowest scores", "scores", _by_score(lambda p: 1 - p)),
    # Rounded, so that rows equally far above and below the median tie, and the lower row decides.
    Strategy(
        "middle",
        "the scores around the median: both tails are cut",
        "scores",
        _by_score(lambda p: np.round(1 - abs(2 * p - 1), 12)),
    ),
    Strategy("k-center", "each next row the farthest from all chosen before", "embeddings", _k_center),
    Strategy("facility", "the rows that together are nearest to all others", "neighbors", _facility),
)
BY_NAME = {strategy.name: strategy for strategy in STRATEGIES}
