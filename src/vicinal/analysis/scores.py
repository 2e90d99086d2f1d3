"""Scores: pure functions of `Neighbors` that give one number a row, and the forms that a score can be put in.

A row whose score is not defined gets NaN or an infinity: a row with fewer than k neighbours (index -1), or one of which
the docstring says so. Rows without any neighbour take no part in the scores of the others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vicinal.analysis.components import components
from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.blocks import padded
from vicinal.knn.metrics import BY_NAME as METRICS
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors

LOF_FLOOR = 1e-10  # added to mean reachabilities, so that copies have a density; scikit-learn's value


def mean_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """The mean distance to the k nearest: high is isolated and unique, low is surrounded and redundant.

    Returns   float32 (n,) in the metric's unit; the mean is taken in float64
    Source    score_i = (1/k) sum_{j=1..k} d(e_i, e_nj), the k-NN score of data selection

    >>> mean_distance(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]]), k=2).tolist()
    [2.0, 1.5, 2.5]
    """
    return neighbors.nearest(k).distances.mean(axis=1, dtype=np.float64).astype(np.float32)


def kth_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """The distance to the k-th nearest: the radius that holds k others.

    Returns   float32 (n,) in the metric's unit
    Source    Ramaswamy, Rastogi, Shim 2000

    >>> kth_distance(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]]), k=2).tolist()
    [3.0, 2.0, 3.0]
    """
    return neighbors.nearest(k).distances[:, -1].copy()


def median_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """The median distance to the k nearest: one very near or very far neighbour does not move it.

    Returns   float32 (n,) in the metric's unit; for an even k the mean of the middle two, taken in float64

    >>> median_distance(Neighbors([[1, 2, 3]], [[1, 2, 9]]), k=3).tolist()
    [2.0]
    """
    ascending = neighbors.nearest(k).distances
    middle = ascending[:, (k - 1) // 2 : k // 2 + 1]
    return middle.mean(axis=1, dtype=np.float64).astype(np.float32)


def copy_groups(neighbors: Neighbors) -> np.ndarray:
    """Which rows are copies of each other: the lowest row of each row's group.

    Copies are rows at distance 0. A group is found whole even where it has more members than a row has neighbours,
    because every member's first neighbour is the group's lowest other row. Where rows of one conversation are no
    neighbours of each other, copies that all lie in one are not seen.

    Returns   int64 (n,); a row without a copy has its own number
    Raises    UsageError for inner products, where distance 0 means something else

    >>> copy_groups(Neighbors([[2], [0], [0]], [[0], [7], [0]])).tolist()
    [0, 1, 0]
    """
    _needs_lengths(neighbors, "copies")
    copies = np.flatnonzero((neighbors.distances[:, 0] == 0) & (neighbors.indices[:, 0] >= 0))
    return components(len(neighbors), copies, neighbors.indices[copies, 0])


def multiplicity(neighbors: Neighbors, copies: np.ndarray | None = None) -> np.ndarray:
    """How many copies of each row there are, itself included: the size of its group.

    copies  : the groups, where more is known of them than `copy_groups` can tell
    Returns   int64 (n,), 1 where a row has no copy

    >>> multiplicity(Neighbors([[2], [0], [0]], [[0], [7], [0]])).tolist()
    [2, 1, 2]
    """
    group = copy_groups(neighbors) if copies is None else copies
    return np.bincount(group, minlength=len(group))[group]


def distinct(neighbors: Neighbors, k: int, copies: np.ndarray | None = None) -> Neighbors:
    """Each row's k nearest distinct vectors: no copy of the row itself, and of several copies the lowest row.

    copies  : as in `multiplicity`
    Returns   Neighbors (n, k); index -1, distance inf where a row's list holds fewer than k distinct vectors. A pass
              with more neighbours finds them: copies take places in the lists
    Raises    as `copy_groups`

    >>> distinct(Neighbors([[1, 2, 3], [0, 2, 3], [3, 0, 1], [2, 0, 1]],
    ...                    [[0, 5, 5], [0, 5, 5], [0, 5, 5], [0, 5, 5]]), k=1).indices.ravel().tolist()
    [2, 2, 0, 0]
    """
    group = copy_groups(neighbors) if copies is None else copies
    crowded = np.bincount(group, minlength=len(group))[group] > 1
    rows = np.flatnonzero(crowded | crowded[neighbors.indices].any(axis=1)) if crowded.any() else np.empty(0, np.int64)
    indices, distances = (array.copy() for array in padded(neighbors.indices, neighbors.distances, k))
    found = neighbors.indices[rows]
    keys = np.where(found < 0, -1, group[found])
    indices[rows], distances[rows] = first_of_each(found, neighbors.distances[rows], keys, group[rows], k)
    return Neighbors(indices, distances, neighbors.metric, neighbors.dim)


def first_of_each(
    indices: np.ndarray, distances: np.ndarray, keys: np.ndarray, own: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """In each row the first k entries whose keys differ from each other and from the row's own; key -1 is no entry.

    >>> first_of_each(np.array([[7, 8, 9]]), np.array([[1.0, 2.0, 3.0]]), np.array([[4, 4, 5]]), np.array([6]), k=2)
    (array([[7, 9]]), array([[1., 3.]]))
    """
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    again = np.zeros(keys.shape, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    left_out = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(left_out, order, again, axis=1)
    left_out |= (keys < 0) | (keys == own[:, None])
    place = np.argsort(left_out, axis=1, kind="stable")[:, :k]
    none = np.take_along_axis(left_out, place, axis=1)
    found = np.where(none, -1, np.take_along_axis(indices, place, axis=1))
    far = np.where(none, np.inf, np.take_along_axis(distances, place, axis=1)).astype(distances.dtype)
    return padded(found, far, k)


def mean_distinct_distance(neighbors: Neighbors, k: int) -> np.ndarray:
    """The mean distance to the k nearest distinct vectors, so that 50 copies of one row do not tie at 0.

    Returns   float32 (n,) in the metric's unit; inf where a row's list holds fewer than k distinct vectors
    Raises    as `copy_groups`
    """
    return mean_distance(distinct(neighbors, k), k)


def local_outlier_factor(neighbors: Neighbors, k: int) -> np.ndarray:
    """How much thinner it is around a row than around its neighbours: near 1 inside a cluster, large for outliers.

    neighbors : each row's nearest others in the same set. Where ties make the k nearest ambiguous, the lower rows
                count, not all of them as in the paper
    Returns     float64 (n,), without unit; NaN where a row has no neighbour
    Source      Breunig, Kriegel, Ng, Sander 2000, definitions 5 to 7; mean reachabilities are raised by 1e-10, as
                scikit-learn does, so that copies have a density
    Raises      UsageError for inner products; DataError where the neighbours are another set's

    >>> line = Neighbors([[1, 2], [0, 2], [1, 0], [2, 1]], [[1, 2], [1, 1], [1, 2], [8, 9]])
    >>> local_outlier_factor(line, k=2).round(3).tolist()
    [0.875, 1.333, 0.875, 4.958]
    """
    _needs_lengths(neighbors, "the local outlier factor")
    nearest = _own(neighbors.nearest(k), "the local outlier factor")
    there = nearest.indices >= 0
    distances = nearest.distances.astype(np.float64)
    radius = np.where(there, distances, -np.inf).max(axis=1)
    reachability = np.maximum(distances, radius[nearest.indices])
    density = 1.0 / (_mean(reachability, there) + LOF_FLOOR)
    return _mean(density[nearest.indices], there) / density


def log_density(neighbors: Neighbors, k: int) -> np.ndarray:
    """The logarithm of the k-NN density (k - 1) / (n V), with V the volume of the ball that reaches the k-th nearest.

    It is computed in logarithms, so that hundreds of dimensions neither overflow nor vanish. For cosine the ball lies
    on the unit sphere and counts as flat, in dim - 1 dimensions.

    k       : at least 2
    Returns   float64 (n,), natural logarithm of points' share per unit of volume; n counts the rows with neighbours;
              inf where the k nearest are copies
    Raises    UsageError where k is below 2, the metric's balls have no volume, or the result does not know its dim
    Source    Loftsgaarden & Quesenberry 1965; Fukunaga 1990 for k - 1

    >>> log_density(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]], dim=1), k=2).round(3).tolist()
    [-2.89, -2.485, -2.89]
    """
    _least(k, 2, "the density")
    volume = _metric(neighbors).log_volume
    if volume is None:
        raise UsageError(f"a density needs a metric whose balls have a volume; {neighbors.metric} has none")
    if neighbors.dim is None:
        raise UsageError("a density needs the number of dimensions, which this result does not know; make it again")
    n = int((neighbors.indices[:, 0] >= 0).sum())
    with np.errstate(divide="ignore"):
        return np.log((k - 1) / max(n, 1)) - volume(neighbors.nearest(k).distances[:, -1].astype(float), neighbors.dim)


def hubness(neighbors: Neighbors, k: int) -> np.ndarray:
    """How many rows have this row among their k nearest (k-occurrence): 0 for an anti-hub, many for a hub.

    neighbors : each row's nearest others in the same set
    Returns     float64 (n,); its mean is k where every row has k neighbours
    Source      Radovanovic, Nanopoulos, Ivanovic 2010

    >>> hubness(Neighbors([[1, 2], [0, 2], [1, 0]], [[1, 3], [1, 2], [2, 3]]), k=1).tolist()
    [1.0, 2.0, 0.0]
    """
    named = _own(neighbors.nearest(k), "hubness").indices
    return np.bincount(named[named >= 0], minlength=len(neighbors)).astype(np.float64)


def local_intrinsic_dimension(neighbors: Neighbors, k: int) -> np.ndarray:
    """The dimension of the data around a row: how fast the number of neighbours grows with their distance.

    Distances are taken as lengths (the root of sqeuclidean, the chord of cosine); copies of the row are left out.

    k       : at least 2
    Returns   float64 (n,); inf where the neighbours are all at one distance, NaN where fewer than two are no copies
    Raises    UsageError where k is below 2, or for inner products
    Source    Levina & Bickel 2004, equation 8, with their 1 / (k - 1)

    >>> from math import e
    >>> local_intrinsic_dimension(Neighbors([[1, 2, 3]], [[1, e, e * e]]), k=3).round(4).tolist()
    [0.6667]
    """
    _least(k, 2, "the local intrinsic dimension")
    _needs_lengths(neighbors, "a dimension")
    lengths = _metric(neighbors).length(neighbors.nearest(k).distances.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(lengths > 0, np.log(lengths[:, -1:]) - np.log(lengths), 0.0)
        others = (lengths > 0).sum(axis=1) - 1
        return np.where(others > 0, others / logarithms.sum(axis=1), np.nan)


def percentile(values: np.ndarray) -> np.ndarray:
    """Where each value stands among all: the share of rows below it and half of those equal to it, in percent.

    Returns   float64 (n,), above 0 and below 100; NaN where a value is not finite, and such rows count nowhere

    >>> percentile(np.array([0.3, 0.1, 0.3, 9.0])).tolist()
    [50.0, 12.5, 50.0, 87.5]
    """
    finite = np.isfinite(values)
    out = np.full(len(values), np.nan)
    _, group, counts = np.unique(values[finite], return_inverse=True, return_counts=True)
    out[finite] = (100.0 / max(1, int(finite.sum())) * (np.cumsum(counts) - counts / 2))[group]
    return out


def ratio_to_median(values: np.ndarray) -> np.ndarray:
    """Each value divided by the median of all finite ones: 1 is typical, whatever the model and metric.

    Returns   float64 (n,); inf or NaN where the median is 0

    >>> ratio_to_median(np.array([1.0, 2.0, 6.0])).tolist()
    [0.5, 1.0, 3.0]
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return values / (np.median(finite) if len(finite) else np.nan)


@dataclass(frozen=True)
class Score:
    """A row of the table.

    name      : what configurations call it
    by        : the short name that commands take too
    compute   : the function; it is given all the neighbours there are, and k
    high      : what a high value means, in a word or two
    undefined : what to say of a row that has k neighbours and no value; "" where only distances beyond float32 do that
    least_k   : the smallest k that it is defined for
    own       : whether it needs the neighbours of the neighbours, and so a set's neighbours in itself
    distinct  : whether it reads the k nearest distinct vectors, which `distinct` gives
    lengths   : whether its distances must be lengths, so that inner products will not do
    volume    : whether it needs the volume of a ball
    also      : whole numbers that are reported beside the score, by name; they are given the copies too
    """

    name: str
    by: str
    compute: Callable[[Neighbors, int], np.ndarray]
    high: str
    undefined: str = ""
    least_k: int = 1
    own: bool = False
    distinct: bool = False
    lengths: bool = False
    volume: bool = False
    also: dict[str, Callable[[Neighbors, np.ndarray | None], np.ndarray]] = field(default_factory=dict)

    def unfit(self, metric: Metric) -> str:
        """Why the score cannot be computed from this metric's distances; empty where it can."""
        if self.volume and metric.log_volume is None:
            return f"a density needs a metric whose balls have a volume; {metric.name} has none"
        if self.lengths and metric.product:
            return metric.not_a_distance
        return ""


SCORES = (
    Score("KNNScorer", "mean", mean_distance, "unique"),
    Score("KthDistanceScorer", "kth", kth_distance, "unique"),
    Score("MedianDistanceScorer", "median", median_distance, "unique"),
    Score(
        "DistinctKNNScorer",
        "distinct",
        mean_distinct_distance,
        "unique",
        undefined="fewer than k distinct neighbours are known",
        own=True,
        distinct=True,
        lengths=True,
        also={"multiplicity": multiplicity},
    ),
    Score("LOFScorer", "lof", local_outlier_factor, "outlying", own=True, lengths=True),
    Score(
        "DensityScorer",
        "density",
        log_density,
        "crowded",
        undefined="its k nearest are copies of it, so the density has no bound",
        least_k=2,
        volume=True,
    ),
    Score("HubnessScorer", "hubness", hubness, "a hub", own=True),
    Score(
        "LIDScorer",
        "lid",
        local_intrinsic_dimension,
        "complex",
        undefined="fewer than two of its k nearest differ from it and in distance, so there is no dimension",
        least_k=2,
        lengths=True,
    ),
)
BY_NAME = {name: score for score in SCORES for name in (score.name, score.by)}
FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"percentile": percentile, "ratio": ratio_to_median}


def find(name: str) -> tuple[Score, str]:
    """The score of a name, and the form that may follow it after a colon, "" for the plain value.

    Raises    UsageError, naming the choices and the nearest one.
    >>> score, form = find("kth:percentile")
    >>> score.name, form
    ('KthDistanceScorer', 'percentile')
    """
    plain, colon, form = str(name).partition(":")
    if plain not in BY_NAME:
        raise UsageError(unknown("scorer", name, BY_NAME))
    if colon and form not in FORMS:
        raise UsageError(unknown(f"form of {plain}", form, FORMS))
    return BY_NAME[plain], form


def _metric(neighbors: Neighbors) -> Metric:
    """The metric of the result; one that is not in the table is a length, as mahalanobis is."""
    return METRICS.get(neighbors.metric or "", METRICS["euclidean"])


def _needs_lengths(neighbors: Neighbors, what: str) -> None:
    if reason := _metric(neighbors).not_a_distance:
        raise UsageError(f"{what}: {reason}")


def _least(k: int, least: int, what: str) -> None:
    if k < least:
        raise UsageError(f"k = {k}: {what} needs a k of at least {least}")


def _own(neighbors: Neighbors, what: str) -> Neighbors:
    if neighbors.indices.max(initial=-1) >= len(neighbors):
        raise DataError(
            f"{what} needs each row's neighbours in the same set, found row numbers beyond {len(neighbors)}"
        )
    return neighbors


def _mean(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean of each row over the places that are there; NaN where none is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1)
