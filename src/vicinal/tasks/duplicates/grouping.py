"""How rows are grouped: the rules that `duplicates`, `dedup` and `select` share, checked and applied."""

from dataclasses import dataclass, field, replace

import numpy as np

from vicinal import devices
from vicinal.analysis.duplicates import LINKS, check_radius, crowding, greedy, linked, representatives
from vicinal.analysis.near_pairs import NearPairs
from vicinal.distributed.engines import HERE, Engine
from vicinal.errors import UsageError
from vicinal.knn.arguments import check_threads
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import Metric, find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall, check_recall
from vicinal.tasks import arguments
from vicinal.tasks.score import kept
from vicinal.typing import Progress

BLOCK_BYTES = 1 << 24
KEEP = ("first", "best", "most-central")


@dataclass(frozen=True, eq=False)
class Rules:
    """What a duplicate is, and which row of a group stays.

    Attributes
    ----------
    radius : float
        In the metric's unit.
    metric : Metric
    link : {"greedy", "single"}
    keep : {"first", "best", "most-central", "all"}
    threads : int or None
    engine : Engine
        Where pairs are searched.
    graph : Neighbors or None
        The nearest others of each row that is grouped, where they are known.
    recall : float or None
        Most of the pairs will do: so many of them; None for all.
    recalls : list of Recall
        That of the pairs that were used is added to it.
    """

    radius: float
    metric: Metric
    link: str
    keep: str
    threads: int | None
    engine: Engine = HERE
    graph: Neighbors | None = None
    recall: float | None = None
    recalls: list[Recall] = field(default_factory=list)

    @property
    def found(self) -> Recall | None:
        """The recall of the pairs that were used; None for exact ones."""
        return self.recalls[-1] if self.recalls else None


def check_rules(
    radius: object, metric: Metric | str, link: object, keep: object, quality: object, threads: object, also: str = ""
) -> tuple[Rules, object]:
    """Return the rules, and the quality that they need: the caller's, or the field of "best:FIELD".

    Parameters
    ----------
    also : str
        Another value that `keep` may have.

    Raises
    ------
    UsageError
        One of the arguments cannot be used.
    """
    measure = find(metric)
    limit = check_radius(radius, measure)
    arguments.choice(link, "link", LINKS)
    name, colon, field = str(keep).partition(":")
    if name not in (*KEEP, *filter(None, [also])) or (colon and (name != "best" or not field)):
        choices = ", ".join(["first", "best:FIELD", "most-central", *filter(None, [also])])
        raise UsageError(f'keep: expected one of {choices}, got "{keep}"')
    if colon and quality is not None:
        raise UsageError(f"quality: keep {keep!r} names the field already; leave one of them out")
    if name == "best" and not colon and quality is None:
        raise UsageError("keep: best needs a field of numbers; write best:FIELD")
    if quality is not None and name not in ("first", "best"):
        raise UsageError(f"quality: keeps the best row of a group, but keep is {name!r}; leave one of them out")
    if colon:
        quality = field
    best = "best" if quality is not None else name
    return Rules(limit, measure, str(link), best, check_threads(threads)), quality


def check_known(
    radius: object,
    metric: Metric | str | None,
    link: object,
    keep: object,
    quality: object,
    threads: object,
    neighbors: object,
    also: str = "",
) -> tuple[Rules, object, kept.Graph | None]:
    """Return what `check_rules` returns, and the neighbours that were given; their metric is the default.

    Raises
    ------
    UsageError
        One of the arguments cannot be used.
    """
    given = None if metric is None else find(metric)
    graph = None if neighbors is None else kept.open_graph(neighbors, given)
    measure = given or (find("euclidean") if graph is None else graph.metric)
    return *check_rules(radius, measure, link, keep, quality, threads, also), graph


def with_recall(rules: Rules, recall: object, neighbors: object) -> Rules:
    """Return the rules with the recall of pairs that will do.

    Raises
    ------
    UsageError
        It is none, or stands beside neighbours or a device.
    """
    if recall is None:
        return rules
    if neighbors is not None:
        raise UsageError("recall: an approximate pass is a new one, but neighbors are given; leave one of them out")
    if devices.chosen() not in (None, devices.AUTO):
        raise UsageError("device: approximate passes run on the processor; leave recall or device out")
    return replace(rules, recall=check_recall(recall))


def group_rows(
    vectors: np.ndarray,
    rules: Rules,
    quality: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest row of each row's group, and the row that stays for it.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Rows that a distance is defined for.
    rules : Rules
    quality : ndarray of float, shape (n,), optional
        High is good; -inf for a row without one.
    labels : ndarray of int64, shape (n,), optional
        Only rows of one label are duplicates of each other.
    progress : callable, optional

    Returns
    -------
    group, representative : ndarray of int64, shape (n,)
    """
    pairs = NearPairs(
        vectors, rules.radius, rules.metric, rules.threads, labels, progress, rules.engine.pairs, rules.graph,
        rules.recall,
    )  # fmt: skip
    priority = crowding(pairs) if rules.keep == "most-central" else quality
    groups = linked(pairs) if rules.link == "single" else None
    standing = greedy(pairs, priority) if groups is None else representatives(groups, priority)
    if pairs.recall is not None:
        rules.recalls.append(pairs.recall)
    if groups is not None:
        return groups, standing
    lowest = np.arange(len(vectors))
    np.minimum.at(lowest, standing, np.arange(len(vectors)))
    return lowest[standing], standing


def distances_between(vectors: np.ndarray, others: np.ndarray, metric: Metric) -> np.ndarray:
    """Return the distance of each row to another, float64 (n,)."""
    distance = np.zeros(len(vectors))
    # A row's distance to itself is 0, but not its inner product with itself.
    rows = np.arange(len(vectors)) if metric.product else np.flatnonzero(others != np.arange(len(vectors)))
    distance[rows] = pair_distances(vectors, rows, vectors, others[rows], metric)
    return distance


def pair_distances(a: np.ndarray, rows: np.ndarray, b: np.ndarray, others: np.ndarray, metric: Metric) -> np.ndarray:
    """Return the distances of a[rows] to b[others], pair by pair, float64 (n_pairs,)."""
    distance = np.empty(len(rows))
    for block in blocks(len(rows), BLOCK_BYTES // (8 * a.shape[1])):
        one, other = metric.ready(np.asarray(a[rows[block]])), metric.ready(np.asarray(b[others[block]]))
        distance[block] = metric.finish(metric.measure(one, other))
    return distance
