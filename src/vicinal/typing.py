"""The types that signatures use.

The names of metrics and of types of index are literals, so that an editor completes them. Any other text is taken too
(an alias, a name read from a file), and is checked when the function runs.
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

MetricLike: TypeAlias = Union[MetricName, str, "Metric"]
"""A metric, its name or an alias; str, because a name may come from a file."""

IndexName: TypeAlias = Literal["auto", "exact", "kdtree", "balltree", "hnsw", "ivf", "ivfpq", "pq", "binary", "annoy"]
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
