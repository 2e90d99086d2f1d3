"""The third and fourth phase of a selection: candidates in tiers, duplicates last, and the choice among each tier."""

import warnings
from dataclasses import dataclass, replace

import numpy as np

from vicinal.analysis.selection import Choice, shares
from vicinal.data.text_keys import text_numbers
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.duplicates.grouping import distances_between
from vicinal.tasks.duplicates.texts import group_with_texts, matches
from vicinal.tasks.score import kept
from vicinal.tasks.select.candidates import Candidates
from vicinal.tasks.select.plan import Plan
from vicinal.tasks.select.question import Question
from vicinal.tasks.select.strategies import by_quality


@dataclass(frozen=True, eq=False)
class Tier:
    """Candidates that compete with each other.

    Attributes
    ----------
    members : ndarray of int64, shape (m,)
        Their positions among the candidates, ascending.
    keep : int
        How many of them are chosen.
    seats : ndarray of int64, shape (n_groups,), or None
        How many of each group.
    """

    members: np.ndarray
    keep: int
    seats: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Tiers:
    """The candidates without duplicates, and the duplicates that make up the number if the first are too few.

    Attributes
    ----------
    first, duplicates : Tier
    representative : ndarray of int64, shape (n_candidates,)
        The position of the candidate that stands for each candidate's group of duplicates.
    distance : ndarray of float64, shape (n_candidates,)
        The distance to it.
    match : list of str or None
        How a duplicate is like it (`duplicates.texts.MATCHES`).
    other_text : int
        With radius 0, the number of candidates that take part for their text alone.
    """

    first: Tier
    duplicates: Tier
    representative: np.ndarray
    distance: np.ndarray
    match: list[str | None]
    other_text: int = 0


def deduplicate(candidates: Candidates, plan: Plan) -> Tiers:
    """Return the candidates in two tiers, with how many of each are chosen."""
    positions = np.arange(len(candidates))
    representative, distance, other_text = positions, np.zeros(len(candidates)), 0
    match: list[str | None] = [None] * len(candidates)
    if plan.rules is not None and candidates.vectors is not None:
        callback = plan.start(f"{plan.metric.name} pairs within {plan.rules.radius:g}")
        numbers = text_numbers(candidates.data, ())
        numbers = None if numbers is None else numbers[candidates.rows]
        priority = candidates.quality
        if candidates.marked.any():  # they come first, so that their duplicates are left out
            priority = np.where(candidates.marked, np.inf, 0 if priority is None else priority)
        graph = None if candidates.graph is None else kept.renumbered(candidates.graph, candidates.rows)
        rules = replace(plan.rules, graph=graph)
        _, representative, other_text = group_with_texts(candidates.vectors, rules, priority, None, numbers, callback)
        distance = distances_between(candidates.vectors, representative, plan.metric)
        match = matches(candidates.vectors, representative, distance, numbers, plan.metric)
    free, wanted = ~candidates.marked, candidates.keep - int(candidates.marked.sum())
    first = np.flatnonzero((representative == positions) & free)
    others = np.flatnonzero((representative != positions) & free)
    keep = min(wanted, len(first))
    seats = (None, None) if candidates.groups is None else seats_of(candidates.groups, wanted, first, others)
    rest = wanted - keep
    if rest and plan.rules is not None:
        warnings.warn(
            f"dedup {plan.rules.radius:g} leaves {len(first)} rows, {rest} fewer than requested; the best of the "
            "duplicates make up the number",
            stacklevel=3,
        )
    tiers = Tier(first, keep, seats[0]), Tier(others, rest, seats[1])
    return Tiers(*tiers, representative, distance, match, other_text)


def seats_of(groups: np.ndarray, keep: int, first: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows of each group are kept of the first tier, and of the others where the first is too small.

    Parameters
    ----------
    groups : ndarray of int64, shape (n,)
        From 0.
    keep : int
    first, others : ndarray of int64
        The rows of each tier.

    Examples
    --------
    >>> seats = seats_of(np.array([0, 0, 0, 1, 1]), keep=4, first=np.array([0, 3, 4]), others=np.array([1, 2]))
    >>> seats[0].tolist(), seats[1].tolist()
    ([1, 2], [1, 0])
    """
    n_groups = int(groups.max()) + 1
    in_first = np.bincount(groups[first], minlength=n_groups)
    if keep <= len(first):
        return shares(groups, keep, in_first), np.zeros(n_groups, dtype=np.int64)
    whole = shares(groups, keep, in_first + np.bincount(groups[others], minlength=n_groups))
    rest = np.maximum(whole - in_first, 0)
    spare = keep - len(first) - int(rest.sum())
    while spare < 0:  # the first tier alone gives some groups more than their share
        group = int(np.argmax(rest))
        rest[group], spare = rest[group] - 1, spare + 1
    return in_first, rest


def choose(candidates: Candidates, tiers: Tiers, plan: Plan) -> tuple[Choice, Choice | None]:
    """Return the choice among the first tier by the strategy, and the one among the duplicates by quality, if any."""
    if not tiers.first.keep and candidates.marked.any():  # all that are kept are marked
        n = len(tiers.first.members)
        first = Choice(np.empty(0, dtype=np.int64), np.full(n, -1, dtype=np.int64), np.full(n, np.nan))
    else:
        first = plan.strategy.choose(_question(candidates, tiers.first, plan))
    if not tiers.duplicates.keep:
        return first, None
    return first, by_quality(_question(candidates, tiers.duplicates, plan, by_weight=True))


def _question(candidates: Candidates, tier: Tier, plan: Plan, by_weight: bool = False) -> Question:
    members = tier.members
    needs = "" if by_weight else plan.strategy.needs
    graph, vectors = None, None
    if needs == "neighbors" and candidates.graph is not None:
        graph = _part_of(candidates.graph, candidates.rows[members])
    elif needs in ("embeddings", "neighbors") and candidates.vectors is not None:
        whole = len(members) == len(candidates)
        vectors = candidates.vectors if whole else candidates.vectors[members]
    return Question(
        keep=tier.keep,
        weight=candidates.weight[members],
        groups=None if candidates.groups is None else candidates.groups[members],
        seats=tier.seats,
        scores=None if by_weight or candidates.scores is None else candidates.scores[members],
        vectors=vectors,
        graph=graph,
        target=candidates.target,
        settings=plan.settings,
        metric=plan.metric,
        threads=plan.threads,
        start=plan.start,
        recalls=plan.recalls,
    )


def _part_of(graph: Neighbors, rows: np.ndarray) -> Neighbors:
    """The graph of some of the rows, in their numbers; neighbours that are not among them are left out."""
    if len(rows) == len(graph):
        return graph
    number = np.full(len(graph), -1)
    number[rows] = np.arange(len(rows))
    indices = graph.indices[rows]
    indices = np.where(indices < 0, -1, number[indices])
    distances = np.where(indices < 0, np.float32(np.inf), graph.distances[rows])
    return Neighbors(indices, distances, graph.metric, graph.dim, recall=graph.recall)
