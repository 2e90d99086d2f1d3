"""What the neighbours say of a whole data set: pure functions of `Neighbors`, and of labels where there are any.

No function here sees a vector. Labels are codes from 0, as in `votes`; neighbours are each row's nearest others in the
same set.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from vicinal.analysis.scores import hubness, local_intrinsic_dimension
from vicinal.analysis.votes import BLOCK_VOTES, Weights, class_probabilities, classes_by_k
from vicinal.errors import DataError, UsageError
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import BY_NAME, Metric
from vicinal.knn.neighbors import Neighbors

MISSED = 0.01  # the largest part of a subsample's nearest neighbours that may lie beyond the lists


def two_nn_dimension(neighbors: Neighbors) -> float:
    """The intrinsic dimension, from the ratio of each row's second and first distance alone.

    Returns   n / sum of log(r2 / r1) over the rows whose nearest other is no copy; NaN where there is none
    Source    Facco, d'Errico, Rodriguez, Laio 2017, in its maximum-likelihood form

    >>> two_nn_dimension(Neighbors([[1, 2], [0, 2]], [[1, 2], [1, 4]])).__round__(4)
    0.9618
    """
    lengths = _metric(neighbors).length(neighbors.nearest(2).distances.astype(np.float64))
    usable = (lengths[:, 0] > 0) & np.isfinite(lengths[:, 1])
    with np.errstate(divide="ignore"):
        total = np.log(lengths[usable, 1] / lengths[usable, 0]).sum()
        return float(np.float64(usable.sum()) / total) if usable.any() else float("nan")


def mle_dimension(neighbors: Neighbors, k: int) -> float:
    """The intrinsic dimension by maximum likelihood: the harmonic mean of the local ones.

    Source    Levina & Bickel 2004, averaged as MacKay & Ghahramani 2005 say
    """
    with np.errstate(divide="ignore"):
        inverse = 1.0 / local_intrinsic_dimension(neighbors, k)
    mean = np.nanmean(inverse) if np.isfinite(inverse).any() else 0.0
    return float(1.0 / mean) if mean > 0 else float("nan")


def relative_contrast(neighbors: Neighbors, rows: np.ndarray, mean_distances: np.ndarray) -> float:
    """How much farther a random row is than the nearest one: near 1, distances say little.

    rows           : which rows it is measured on; those with a copy are left out
    mean_distances : their mean distances to random other rows, in the neighbours' unit
    Returns          the mean of the rows' ratios; inf where every row has a copy
    Source           He, Kumar, Chang 2012: the contrast of a query is its mean distance over that to its nearest

    >>> relative_contrast(Neighbors([[1], [0]], [[2], [1]]), np.array([0, 1]), np.array([3.0, 3.0]))
    2.25
    """
    nearest = neighbors.distances[rows, 0].astype(np.float64)
    usable = (nearest > 0) & np.isfinite(nearest)
    return float((mean_distances[usable] / nearest[usable]).mean()) if usable.any() else float("inf")


def hubness_skew(neighbors: Neighbors, k: int) -> tuple[float, float]:
    """The skewness of how often rows are among the k nearest of others, and the share of rows that never are.

    Returns   skewness, without unit (0: even; above 1: hubs draw many others' lists), and the share of anti-hubs
    Source    Radovanovic, Nanopoulos, Ivanovic 2010

    >>> skew, never = hubness_skew(Neighbors([[1], [0], [1], [1]], [[1], [1], [1], [1]]), k=1)
    >>> round(skew, 2), never
    (0.82, 0.5)
    """
    named = hubness(neighbors, k)
    centred = named - named.mean()
    variance = (centred**2).mean()
    skew = (centred**3).mean() / variance**1.5 if variance > 0 else 0.0
    return float(skew), float((named == 0).mean())


def disagreement(one: Neighbors, other: Neighbors) -> float:
    """The share of the neighbours in one result that the other does not name for the same row, 0 to 1.

    >>> disagreement(Neighbors([[1, 2]], [[1, 2]]), Neighbors([[2, 3]], [[1, 2]]))
    0.5
    """
    same = (one.indices[:, :, None] == other.indices[:, None, :]).any(axis=2)
    there = one.indices >= 0
    return float(1 - same[there].mean())


def bayes_interval(error: float, n_classes: int) -> tuple[float, float]:
    """The interval in which the Bayes error lies if `error` is that of one neighbour among infinitely many rows.

    error   : the 1-NN error, 0 to 1
    Returns   its lower and its upper end; for n rows an estimate, not a bound
    Source    Cover & Hart 1967: (M - 1) / M (1 - sqrt(1 - M / (M - 1) e)) <= Bayes error <= e

    >>> [round(end, 4) for end in bayes_interval(0.18, 2)]
    [0.1, 0.18]
    """
    most = (n_classes - 1) / n_classes
    return most * (1 - sqrt(max(0.0, 1 - error / most))), error


def error_by_share(neighbors: Neighbors, labels: np.ndarray, points: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """The leave-one-out error of one neighbour, had only a share of the other rows been there.

    Where each other row is kept with probability s, the j-th neighbour becomes the nearest with probability
    s (1 - s)^(j - 1): so the expected error over all subsamples follows from the lists, without drawing one. Shares go
    down as far as the lists reach: all but 1 % of the subsamples' nearest neighbours are in them.

    Returns   shares, ascending to 1, and the error of each, float64 (points,)

    >>> line = Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 2], [1, 1], [1, 2]])
    >>> error_by_share(line, np.array([0, 0, 1]), points=1)[1].round(3).tolist()
    [0.333]
    """
    wrong = (labels[np.maximum(neighbors.indices, 0)] != labels[:, None]) & (neighbors.indices >= 0)
    least = 1 - MISSED ** (1 / neighbors.k)
    shares = np.geomspace(least, 1.0, points) if points > 1 else np.ones(1)
    errors = np.empty(points)
    place = np.arange(neighbors.k)
    for at, share in enumerate(shares):
        chance = share * (1 - share) ** place
        errors[at] = (wrong * chance).sum(axis=1).mean() / chance.sum()
    return shares, errors


def confusion(
    neighbors: Neighbors, labels: np.ndarray, n_classes: int, k: int, weights: Weights = "uniform"
) -> np.ndarray:
    """How many rows of each class (down) are voted into each class (across) by their k nearest others.

    Returns   int64 (n_classes, n_classes); its diagonal holds what leave-one-out gets right

    >>> confusion(Neighbors([[1], [0], [1]], [[1], [1], [1]]), np.array([0, 0, 1]), 2, 1).tolist()
    [[2, 0], [1, 0]]
    """
    voted = classes_by_k(neighbors, labels, [k], weights)[0]
    there = voted >= 0
    pairs = labels[there].astype(np.int64) * n_classes + voted[there]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def recall_at(neighbors: Neighbors, labels: np.ndarray, k: int) -> float:
    """The share of rows of which at least one of the k nearest others is of the row's own class.

    neighbors : each row's nearest others in the same set; labels int (n,). Rows alone in their class do not count.
    Returns     0 to 1; NaN where every row is alone in its class

    >>> recall_at(Neighbors([[1, 2], [2, 0], [1, 0]], [[1, 2], [1, 2], [1, 2]]), np.array([0, 1, 0]), 2)
    1.0
    """
    own = labels[np.maximum(neighbors.indices[:, :k], 0)] == labels[:, None]
    met = (own & (neighbors.indices[:, :k] >= 0)).any(axis=1)[np.bincount(labels)[labels] > 1]
    return float(met.mean()) if len(met) else float("nan")


def map_at_r(neighbors: Neighbors, labels: np.ndarray) -> float:
    """Mean average precision at R: R is the number of others of a row's class, and only the R nearest count.

    A row's value is the sum, over the places up to R that hold one of its class, of the precision up to there, divided
    by R. Rows alone in their class do not count.

    neighbors : each row's nearest others in the same set, at least as many as the largest R
    Returns     0 to 1; NaN where every row is alone in its class
    Raises      UsageError where the lists are shorter than the largest R
    Source      Musgrave, Belongie & Lim 2020

    >>> line = Neighbors([[1, 2, 3], [0, 2, 3], [1, 3, 0], [2, 1, 0]], [[1, 2, 3]] * 4)
    >>> map_at_r(line, np.array([0, 0, 1, 0])).__round__(4)  # 0 and 1 find one at place 1, 3 one at place 2
    0.4167
    """
    others = np.bincount(labels)[labels] - 1
    most = int(others.max(initial=0))
    if neighbors.k < min(most, len(neighbors) - 1):
        raise UsageError(f"map_at_r: a class has {most} others, but the lists hold {neighbors.k}; search for more")
    if not most:
        return float("nan")
    named = neighbors.indices[:, :most]
    own = (labels[np.maximum(named, 0)] == labels[:, None]) & (named >= 0)
    place = np.arange(1, own.shape[1] + 1)
    own &= place <= others[:, None]
    precision = (own.cumsum(axis=1) / place * own).sum(axis=1)[others > 0] / others[others > 0]
    return float(precision.mean())


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Rows whose neighbours agree on another label, the most suspicious first.

    rows      : int64 (n_found,)
    suggested : the code that the neighbours agree on
    agreement : its share of their votes, above the row's own label's share
    own       : the share of the row's own label
    """

    rows: np.ndarray
    suggested: np.ndarray
    agreement: np.ndarray
    own: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def label_errors(
    neighbors: Neighbors, labels: np.ndarray, n_classes: int, k: int, least: float = 0.5, own: float = 0.05
) -> LabelErrors:
    """The rows that are likely labelled wrongly: neighbours agree on another label and hardly any has theirs.

    least, own : the other label has at least, and the row's own at most, this share of the k nearest others
    Returns      by falling odds of the two shares, each raised by 1 / (10 k) so that none is 0; of equals the lower row
    Source       Wilson 1972 edits the rows that their neighbours outvote; here they are ranked, never removed
    """
    nearest, n = neighbors.nearest(k), len(labels)
    mine, theirs, other = np.empty(n), np.empty(n), np.empty(n, dtype=np.int64)
    for block in blocks(n, BLOCK_VOTES // n_classes):
        shares = class_probabilities(nearest[block], labels, n_classes)
        rows = np.arange(len(shares))
        mine[block] = shares[rows, labels[block]]
        shares[rows, labels[block]] = -1
        other[block] = shares.argmax(axis=1)
        theirs[block] = shares[rows, other[block]]
    odds = (theirs + 0.1 / k) / (mine + 0.1 / k)
    found = np.flatnonzero((theirs >= least) & (mine <= own))
    found = found[np.lexsort((found, -odds[found]))]
    return LabelErrors(found, other[found], theirs[found], mine[found])


@dataclass(frozen=True, eq=False)
class BoundaryPairs:
    """Near rows of different labels, for experts to label again.

    first, second : int64 (n_pairs,), rows; no row is in two pairs
    distances     : float32 (n_pairs,)
    evaluation    : bool (n_pairs,), whether the pair is for evaluation; the others are for training
    """

    first: np.ndarray
    second: np.ndarray
    distances: np.ndarray
    evaluation: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def boundary_pairs(neighbors: Neighbors, labels: np.ndarray, count: int, evaluation: float = 0.5) -> BoundaryPairs:
    """The nearest pairs of rows with different labels, spread over the space.

    Each pair is chosen from the least covered region: among all rows and their nearest other of a different label, the
    pair whose two rows have been covered the least, and of those the nearest. It then covers the n / count rows that
    are reached first from it along the neighbour lists.

    count      : how many pairs at most; fewer come back where the lists hold no more
    evaluation : the share of pairs that is set aside for evaluation, spread evenly over the order in which they were
                 chosen, so that both parts cover the space
    Source       Google Research 2025, "Achieving 10,000x training data reduction with high-fidelity labels": experts
                 label the pairs, agreement is measured by Cohen's kappa, the model learns from one part and is judged
                 on the other, and the round is repeated
    """
    if not 0 <= evaluation <= 1:
        raise UsageError(f"evaluation: expected a share from 0 to 1, got {evaluation}")
    differs = (labels[np.maximum(neighbors.indices, 0)] != labels[:, None]) & (neighbors.indices >= 0)
    place = differs.argmax(axis=1)
    rows = np.flatnonzero(differs.any(axis=1))
    others, far = neighbors.indices[rows, place[rows]], neighbors.distances[rows, place[rows]]
    ends = np.sort(np.stack([rows, others], axis=1), axis=1)
    ends, once = np.unique(ends, axis=0, return_index=True)
    far = far[once]
    order = np.lexsort((ends[:, 1], ends[:, 0], far))
    ends, far = ends[order], far[order]
    covered = np.zeros(len(neighbors), dtype=np.int64)
    free = np.ones(len(ends), dtype=bool)
    reach = max(2, len(neighbors) // max(1, count))
    chosen: list[int] = []
    while len(chosen) < count and free.any():
        cover = np.where(free, covered[ends].sum(axis=1), np.iinfo(np.int64).max)
        best = int(cover.argmin())  # the first of the least covered: the nearest
        chosen.append(best)
        free &= ~np.isin(ends, ends[best]).any(axis=1)
        covered[_reached(neighbors, ends[best], reach)] += 1
    pairs = ends[chosen].reshape(-1, 2)
    turns = np.floor((np.arange(len(chosen)) + 1) * evaluation) > np.floor(np.arange(len(chosen)) * evaluation)
    return BoundaryPairs(pairs[:, 0], pairs[:, 1], far[chosen], turns)


def _reached(neighbors: Neighbors, start: np.ndarray, count: int) -> np.ndarray:
    """The rows that are reached first from some rows, ring by ring along the lists; about `count` of them."""
    inside = np.zeros(len(neighbors), dtype=bool)
    ring = start
    inside[ring] = True
    total = len(ring)
    while total < count and len(ring):
        ring = np.unique(neighbors.indices[ring])
        ring = ring[(ring >= 0) & ~inside[ring]][: count - total]
        inside[ring] = True
        total += len(ring)
    return np.flatnonzero(inside)


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of two columns of labels: agreement beyond chance, and its confidence interval.

    value, low, high : 1 is full agreement, 0 that of chance
    agreement        : the share of rows that agree
    n                : rows
    confidence       : of the interval, 0 to 1
    """

    value: float
    low: float
    high: float
    agreement: float
    n: int
    confidence: float


def cohen_kappa(one: np.ndarray, other: np.ndarray, confidence: float = 0.95) -> Kappa:
    """How far two columns of labels agree beyond chance.

    one, other : the label of each row by each of two judges, of one type
    Raises       DataError where their lengths differ, or neither column has two labels
    Source       Cohen 1960; the interval by the large-sample variance of Fleiss, Cohen & Everitt 1969

    >>> found = cohen_kappa(np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15]))
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
    (0.4, 0.15, 0.65)
    """
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise DataError(f"two columns of labels for the same rows are needed, found {one.shape} and {other.shape}")
    n = len(one)
    names, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    m = len(names)
    table = np.bincount(codes[:n] * m + codes[n:], minlength=m * m).reshape(m, m) / n
    down, across = table.sum(axis=1), table.sum(axis=0)
    agreement, chance = float(np.trace(table)), float(down @ across)
    if chance == 1:
        raise DataError(f"both columns hold the one label {names[0]!s}; agreement beyond chance needs at least two")
    kappa = (agreement - chance) / (1 - chance)
    diagonal = np.diag(table)
    agreed = (diagonal * (1 - (down + across) * (1 - kappa)) ** 2).sum()
    mixed = (table * (across[:, None] + down[None, :]) ** 2).sum() - (diagonal * (across + down) ** 2).sum()
    variance = agreed + (1 - kappa) ** 2 * mixed - (kappa - chance * (1 - kappa)) ** 2
    margin = NormalDist().inv_cdf(0.5 + confidence / 2) * sqrt(max(0.0, variance) / n) / (1 - chance)
    return Kappa(kappa, max(-1.0, kappa - margin), min(1.0, kappa + margin), agreement, n, confidence)


def _metric(neighbors: Neighbors) -> Metric:
    return BY_NAME.get(neighbors.metric or "", BY_NAME["euclidean"])
