"""The strategies of a selection, and which rows of a tier each chooses; how, is in `select.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vicinal.analysis import scores, selection
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors

Progress = Callable[[int, int], None]
Start = Callable[[str], Progress]


@dataclass(frozen=True)
class Strategy:
    """A row of the table: a strategy's name, what it does, and what it needs.

    merit : percentiles of the score, 0 to 1 -> what is maximised; None where the strategy is none of single rows
    needs : scores, embeddings or neighbours
    """

    name: str
    does: str
    needs: str
    merit: Callable[[np.ndarray], np.ndarray] | None = None


STRATEGIES = (
    Strategy("highest", "the highest scores", "scores", lambda p: p),
    Strategy("lowest", "the lowest scores", "scores", lambda p: 1 - p),
    # Rounded, so that rows equally far above and below the median tie, and the lower row decides.
    Strategy(
        "middle",
        "the scores around the median: both tails are cut",
        "scores",
        lambda p: np.round(1 - abs(2 * p - 1), 12),
    ),
    Strategy("k-center", "each next row the farthest from all chosen before", "embeddings"),
    Strategy("facility", "the rows that serve the others' neighbourhoods best", "neighbours"),
)
BY_NAME = {strategy.name: strategy for strategy in STRATEGIES}


def choose(
    plan: Strategy | None,
    tier: np.ndarray,
    wanted: int,
    values: np.ndarray | None,
    weight: np.ndarray,
    vectors: np.ndarray | None,
    graph: Neighbors | None,
    k: int,
    metric: Metric,
    groups: np.ndarray | None,
    seats: np.ndarray | None,
    threads: int | None,
    progress: Start | None,
) -> selection.Choice:
    """One strategy over the rows of a tier; without one, those of the best quality."""
    if plan is None:
        return selection.by_merit(weight, wanted, groups, seats)
    if plan.merit is not None:
        assert values is not None
        return selection.by_merit(plan.merit(scores.percentile(values) / 100) * weight, wanted, groups, seats)
    if plan.needs == "embeddings":
        assert vectors is not None
        best = weight if values is None else scores.percentile(values) * weight
        return selection.k_center(vectors, wanted, metric, weight, int(np.argmax(best)), groups, seats, threads)
    if graph is None:
        assert vectors is not None
        if len(tier) < 2:
            return selection.by_merit(weight, wanted, groups, seats)
        tell = progress and progress(f"{metric.name} neighbours")
        graph = Exact(metric, threads).fit(vectors).neighbors(min(k, len(tier) - 1), progress=tell)
    return selection.facility_location(graph, wanted, weight, groups, seats)


def seats_of(groups: np.ndarray, count: int, tiers: list[np.ndarray]) -> list[np.ndarray]:
    """How many rows each group may keep of each tier: of the first as many as it has, then of the second."""
    present = [np.bincount(groups[tier], minlength=int(groups.max()) + 1) for tier in tiers]
    first = selection.shares(groups, min(count, len(tiers[0])), present[0])
    if count <= len(tiers[0]):
        return [first, np.zeros_like(first)]
    whole = selection.shares(groups, count, present[0] + present[1])
    rest = np.maximum(whole - present[0], 0)
    spare = count - len(tiers[0]) - int(rest.sum())
    while spare < 0:  # some groups keep more than their share already
        group = int(np.argmax(rest))
        rest[group], spare = rest[group] - 1, spare + 1
    return [present[0], rest]
