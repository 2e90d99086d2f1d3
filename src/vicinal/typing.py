"""The types that signatures use.

The names and aliases of metrics are literals, so that an editor completes them and a type checker finds a misspelt one.
For a name read from a file, `vicinal.knn.metrics.find(name)` gives the metric, or raises an error with the choices.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from vicinal.knn.metrics import Metric

__all__ = [
    "ArrayLike",
    "Id",
    "IndexName",
    "LearnedMetricLike",
    "MetricLike",
    "MetricName",
    "PathLike",
    "Progress",
    "StartProgress",
    "StrategyName",
]

Id: TypeAlias = int | str
"""A row's name, given by the user."""

PathLike: TypeAlias = str | os.PathLike[str]
"""A file or a folder."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (work done, work in all) from time to time; what it raises stops the work."""

StartProgress: TypeAlias = Callable[[str], Progress]
"""Called with the name of each pass; returns the `Progress` of that pass."""

MetricName: TypeAlias = Literal[
    "euclidean",
    "l2",
    "sqeuclidean",
    "cosine",
    "manhattan",
    "l1",
    "cityblock",
    "inner_product",
    "hamming",
    "jaccard",
]
"""The names and aliases of `vicinal.knn.metrics.METRICS`."""

MetricLike: TypeAlias = Union[MetricName, "Metric"]
"""A metric, its name or an alias."""

LearnedMetricLike: TypeAlias = MetricLike | Literal["mahalanobis"]
"""As `MetricLike`, or mahalanobis with the matrix that a function takes beside it."""

IndexName: TypeAlias = Literal[
    "auto", "exact", "kdtree", "balltree", "graph", "hnsw", "ivf", "ivfpq", "pq", "binary", "annoy"
]
"""The types of index that `vicinal.index` makes."""

StrategyName: TypeAlias = Literal[
    "highest",
    "lowest",
    "middle",
    "random",
    "k-center",
    "facility",
    "qdit",
    "novelsum",
    "logdet",
    "semdedup",
    "d4",
    "deita",
    "herding",
    "moderate",
    "tsds",
    "tsds-kde",
]
"""The strategies of `vicinal.select`."""
