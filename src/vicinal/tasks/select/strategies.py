"""The strategies of a selection: a table of names, what each needs and takes, and how each chooses."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vicinal.analysis import class_centres, clusters, selection
from vicinal.analysis.forms import percentile
from vicinal.analysis.log_determinant import log_determinant
from vicinal.analysis.novelsum import novelsum
from vicinal.analysis.score_first import score_first
from vicinal.analysis.towards import towards
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.select.question import Question

Choose = Callable[[Question], selection.Choice]
CENTRED = ("euclidean", "cosine")


@dataclass(frozen=True)
class Strategy:
    """A row of the table.

    Attributes
    ----------
    name : str
    does : str
        What it chooses, for the help.
    needs : {"nothing", "scores", "embeddings", "neighbors"}
        What it requires; embeddings can replace neighbors.
    choose : callable
        Question -> Choice.
    takes : tuple of str
        The arguments that only some strategies take: quality, k, neighbors, seed, target, alpha, threshold, bandwidth,
        clusters. An argument that it does not take is refused.
    requires : tuple of str
        Those of scores, quality and target that it cannot do without.
    metrics : tuple of str
        The metrics that it is defined for; empty where it takes every distance.
    by_class : bool
        Whether it chooses by classes, which the quota gives.
    nested : float
        Up to this share of the rows, the first of many chosen are those that would be chosen if fewer were asked for.
    """

    name: str
    does: str
    needs: Literal["nothing", "scores", "embeddings", "neighbors"]
    choose: Choose
    takes: tuple[str, ...] = ("quality",)
    requires: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    by_class: bool = False
    nested: float = 1.0


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


def _random(question: Question) -> selection.Choice:
    """Rows drawn at random; a row of twice the weight is drawn twice as easily."""
    return selection.at_random(question.weight, question.keep, question.groups, question.seats, question.settings.seed)


def _k_center(question: Question) -> selection.Choice:
    """The farthest points, from the best row on."""
    best = question.weight if question.scores is None else percentile(question.scores) * question.weight
    return selection.k_center(
        question.rows,
        question.keep,
        question.metric,
        question.weight,
        int(np.argmax(best)),
        question.groups,
        question.seats,
        question.threads,
        question.start(f"{question.keep} rows by k-center"),
    )


def _graph(question: Question) -> Neighbors | None:
    """The neighbours of the rows; None where there is one row."""
    graph = _searched(question) if question.graph is None else question.graph
    if graph is not None and graph.recall is not None:
        question.recalls.append(graph.recall)
    return graph


def _searched(question: Question) -> Neighbors | None:
    """The neighbours by a search; None where there is one row."""
    if len(question.rows) < 2:
        return None
    callback = question.start(f"{question.metric.name} neighbours")
    index = Exact(question.metric, question.threads).fit(question.rows)
    k = min(question.settings.k, len(question.rows) - 1)
    return index.neighbors(k, progress=callback, recall=question.settings.recall)


def _facility(question: Question) -> selection.Choice:
    """Facility location on the neighbour graph."""
    graph = _graph(question)
    if graph is None:
        return by_quality(question)
    progress = question.start(f"{question.keep} rows by facility")
    return selection.facility_location(
        graph, question.keep, question.weight, question.groups, question.seats, progress=progress
    )


def _qdit(question: Question) -> selection.Choice:
    """Facility location on the neighbour graph, and quality beside it."""
    graph = _graph(question)
    if graph is None:
        return by_quality(question)
    progress = question.start(f"{question.keep} rows by qdit")
    settings = question.settings
    return selection.facility_location(
        graph, question.keep, None, question.groups, question.seats, question.weight, settings.alpha, progress
    )


def _novelsum(question: Question) -> selection.Choice:
    """The most novel rows, from one that the seed draws."""
    first = int(np.random.default_rng(question.settings.seed).integers(len(question.rows)))
    return novelsum(
        question.rows,
        question.keep,
        question.metric,
        question.weight,
        first,
        question.groups,
        question.seats,
        question.settings.k,
        question.threads,
        question.start(f"{question.metric.name} neighbours"),
        question.start("novelsum"),
        question.settings.recall,
        question.recalls,
    )


def _logdet(question: Question) -> selection.Choice:
    """The rows of the largest determinant."""
    return log_determinant(
        question.rows,
        question.keep,
        question.metric,
        question.weight,
        question.groups,
        question.seats,
        question.threads,
        question.start("logdet"),
    )


def _by_clusters(function: Callable[..., selection.Choice]) -> Choose:
    """SemDeDup or D4."""

    def choose(question: Question) -> selection.Choice:
        return function(
            question.rows,
            question.keep,
            question.metric,
            question.weight,
            question.groups,
            question.seats,
            question.settings.clusters,
            question.settings.seed,
            question.threads,
        )

    return choose


def _deita(question: Question) -> selection.Choice:
    """The best scores that are far from each other."""
    assert question.scores is not None
    merit = percentile(question.scores) * question.weight
    threshold = question.settings.threshold
    choice, apart = score_first(
        question.rows,
        merit,
        question.keep,
        threshold,
        question.metric,
        question.groups,
        question.seats,
        question.threads,
    )
    if apart < question.keep:
        warnings.warn(
            f"threshold {threshold:g} leaves {apart} rows, {question.keep - apart} fewer than requested; the best of "
            "the rows that are nearer make up the number",
            stacklevel=4,
        )
    return choice


def _herding(question: Question) -> selection.Choice:
    """The rows whose mean follows the class mean."""
    return class_centres.herding(
        question.rows, question.keep, question.metric, question.groups, question.seats, question.threads
    )


def _moderate(question: Question) -> selection.Choice:
    """The rows at the median distance from the class centre."""
    return class_centres.moderate(
        question.rows, question.keep, question.metric, question.weight, question.groups, question.seats
    )


def _towards(with_density: bool) -> Choose:
    """TSDS: KNN-uniform, or KNN-KDE with densities."""

    def choose(question: Question) -> selection.Choice:
        assert question.target is not None
        return towards(
            question.rows,
            question.target,
            question.keep,
            question.metric,
            question.groups,
            question.seats,
            question.settings.alpha,
            question.settings.bandwidth if with_density else None,
            question.settings.seed,
            question.threads,
        )

    return choose


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
    Strategy("random", "any rows, drawn by the seed", "nothing", _random, ("quality", "seed")),
    Strategy("k-center", "each next row the farthest from all chosen before", "embeddings", _k_center),
    Strategy(
        "facility",
        "the rows that together are nearest to all others",
        "neighbors",
        _facility,
        ("quality", "k", "neighbors", "recall"),
    ),
    Strategy(
        "qdit",
        "quality and facility together",
        "neighbors",
        _qdit,
        ("quality", "k", "neighbors", "alpha", "recall"),
        requires=("quality",),
    ),
    Strategy(
        "novelsum",
        "each next row the newest, dense regions first",
        "embeddings",
        _novelsum,
        ("quality", "k", "seed", "recall"),
        metrics=("cosine",),
    ),
    Strategy("logdet", "the rows of the largest determinant", "embeddings", _logdet, metrics=("cosine",)),
    Strategy(
        "semdedup",
        "the rows farthest from others of their cluster",
        "embeddings",
        _by_clusters(clusters.semdedup),
        ("quality", "seed", "clusters"),
        metrics=CENTRED,
    ),
    Strategy(
        "d4",
        "semdedup, then the rows farthest from the cluster centres",
        "embeddings",
        _by_clusters(clusters.d4),
        ("quality", "seed", "clusters"),
        metrics=CENTRED,
        nested=clusters.DEDUPLICATED,
    ),
    Strategy(
        "deita",
        "the highest scores, each farther than the threshold from the others",
        "embeddings",
        _deita,
        ("quality", "threshold"),
        requires=("scores",),
    ),
    Strategy(
        "herding",
        "the rows whose mean follows that of their class",
        "embeddings",
        _herding,
        (),
        metrics=CENTRED,
        by_class=True,
        nested=0.0,
    ),
    Strategy(
        "moderate",
        "the median distances to the class centre",
        "embeddings",
        _moderate,
        metrics=CENTRED,
        by_class=True,
        nested=0.0,
    ),
    Strategy(
        "tsds",
        "rows drawn towards a target set",
        "embeddings",
        _towards(with_density=False),
        ("seed", "target", "alpha"),
        requires=("target",),
        metrics=CENTRED,
    ),
    Strategy(
        "tsds-kde",
        "as tsds, near-duplicates count as one",
        "embeddings",
        _towards(with_density=True),
        ("seed", "target", "alpha", "bandwidth"),
        requires=("target",),
        metrics=CENTRED,
    ),
)
BY_NAME = {strategy.name: strategy for strategy in STRATEGIES}
