"""The table of scores: their names, what they need, and the forms that a score can be put in."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vicinal.analysis.distinct import EQUAL_AT_ZERO, multiplicity
from vicinal.analysis.forms import percentile, ratio_to_median
from vicinal.analysis.scores import (
    hubness,
    kth_distance,
    local_intrinsic_dimension,
    local_outlier_factor,
    log_density,
    mean_distance,
    mean_distinct_distance,
    median_distance,
    volume_expected,
)
from vicinal.errors import UsageError, unknown
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors


@dataclass(frozen=True)
class Score:
    """A row of the table of scores.

    Attributes
    ----------
    name : str
        What configurations call it.
    by : str
        The short name, which commands and functions take too.
    compute : callable
        The function of `Neighbors` and k; it is given all the neighbours there are.
    high : str
        What a high value means, in a word or two.
    undefined : str
        Why a row that has k neighbours has no value; "" where only distances beyond float32 have none.
    least_k : int
        The smallest k that it is defined for.
    own : bool
        Whether it needs the neighbours of the neighbours, and so a set's neighbours in itself.
    distinct : bool
        Whether it reads the k nearest distinct vectors, which `nearest_distinct` gives.
    lengths : bool
        Whether equal vectors must have distance 0, so that inner products will not do.
    volume : bool
        Whether it needs the volume of a ball.
    also : dict of str to callable
        Whole numbers that are reported beside the score, by name: functions of the `Neighbors` and the groups of
        copies.
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
        """Return why the score cannot be computed from this metric's distances; empty where it can."""
        if self.volume and metric.log_volume is None:
            return f"{volume_expected()}, got {metric.name}"
        if self.lengths and metric.product:
            return f"expected {EQUAL_AT_ZERO}, got {metric.name}; choose euclidean or cosine"
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
    """Return the score of a name, and the form that may follow it after a colon, "" for the plain value.

    Raises
    ------
    UsageError
        There is no such score or form; the message gives the choices and the nearest one.

    Examples
    --------
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
