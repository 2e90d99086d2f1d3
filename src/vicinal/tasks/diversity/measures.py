"""The measures of a whole set: their names, what each needs, and what each answers.

The names and the keys of the answers are those of OpenDataArena's ODA-DataScorer.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isinf, log
from typing import Any

import numpy as np

from vicinal.analysis.diversity import average, log_det, novel_sum, spread, vendi
from vicinal.analysis.diversity import similarities as similar
from vicinal.analysis.diversity.similarities import Moments, Similarity
from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric, find
from vicinal.typing import Progress

DISTANCES = ("cosine", "euclidean", "squared_euclidean", "manhattan")


class Rows:
    """The vectors that measures share, and what several of them read: sums, prepared rows, nearest distances."""

    def __init__(self, vectors: np.ndarray, threads: int) -> None:
        self.vectors, self.threads = vectors, threads
        self.nearest: np.ndarray | None = None  # squared distances to distinct rows of the same set, where known
        self._moments: dict[str, Moments] = {}

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """The number of coordinates."""
        return int(self.vectors.shape[1])

    def moments(self, similarity: Similarity) -> Moments:
        """Return the sums of a linear similarity, computed once."""
        if similarity.name not in self._moments:
            self._moments[similarity.name] = similar.moments(self.vectors, similarity)
        return self._moments[similarity.name]

    @cached_property
    def deviations(self) -> np.ndarray:
        """The standard deviation of each column."""
        return spread.standard_deviations(self.vectors)

    def centred(self, similarity: Similarity) -> np.ndarray:
        """Return the rows for a similarity of distances, minus their mean, which no distance depends on."""
        rows = np.asarray(similarity.prepare(self.vectors))
        centred: np.ndarray = rows - rows.mean(axis=0)
        return centred


@dataclass(frozen=True, eq=False)
class Request:
    """One measure, and how it is to be computed.

    Attributes
    ----------
    similarity : Similarity
        Of aps and vendi.
    distance : str or None
        One of `DISTANCES`, of facility and inertia; None for the measure's own default.
    sample_pairs : int or None
        Of aps: the number of pairs; None for all of them where that is feasible.
    ridge_alpha : float
        Of logdet.
    num_clusters : int or None
        Of entropy: how many clusters there are in all.
    density_powers, neighbors, distance_powers : sequence of numbers
        Of novelsum.
    subset, reference, centroids : ndarray or None
        Vectors of facility, novelsum and inertia. Without a reference, novelsum takes the rows themselves.
    clusters : sequence or None
        The cluster of each row, of inertia (row numbers of `centroids`) and entropy.
    seed : int
    """

    similarity: Similarity = similar.BY_NAME["cosine"]
    distance: str | None = None
    sample_pairs: int | None = None
    ridge_alpha: float = 1e-10
    num_clusters: int | None = None
    density_powers: Sequence[float] = (0, 0.25, 0.5)
    neighbors: Sequence[int] = (5, 10)
    distance_powers: Sequence[float] = (0, 1, 2)
    subset: np.ndarray | None = None
    reference: np.ndarray | None = None
    centroids: np.ndarray | None = None
    clusters: Sequence[Hashable] | None = None
    seed: int = 0
    progress: Progress | None = field(default=None, repr=False)


Answer = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """A row of the table of measures.

    Attributes
    ----------
    name : str
        What ODA-DataScorer calls it.
    by : str
        The short name, which commands and functions take too.
    compute : callable
        Rows and Request -> the answer.
    main : str
        The key of the answer that is the measure itself; "" where there are several.
    needs : tuple of str
        The attributes of the request that must be given.
    takes : tuple of str
        The other attributes of the request that it reads.
    distance : str or None
        The distance where none is given.
    directions : callable
        Request -> whether rows of zeros have no place in it.
    embeddings : bool
        Whether it reads embeddings.
    """

    name: str
    by: str
    compute: Callable[[Rows, Request], Answer]
    main: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    distance: str | None = None
    directions: Callable[["Request"], bool] = lambda request: False
    embeddings: bool = True

    def reads(self, name: str) -> bool:
        """Whether it reads an attribute of the request."""
        return name in self.needs or name in self.takes


def metric_of(name: str) -> Metric:
    """Return the metric of a distance as ODA-DataScorer names it.

    >>> metric_of("squared_euclidean").name
    'sqeuclidean'
    """
    return find("sqeuclidean" if name == "squared_euclidean" else name)


def _aps(rows: Rows, request: Request) -> Answer:
    similarity, count = request.similarity, request.sample_pairs
    total = rows.n * (rows.n - 1) // 2
    if count is None and not similarity.linear and rows.n > similarity.most_rows:
        count = average.DEFAULT_SAMPLE
    if count is not None and count < total:
        prepared = rows.vectors if not similarity.linear else similarity.prepare(rows.vectors)
        found = average.average_of_sample(np.asarray(prepared), similarity, count, request.seed)
    elif similarity.linear:
        found = average.average_of_moments(rows.moments(similarity))
    else:
        found = average.average_of_all(rows.centred(similarity), similarity, rows.threads)
    answer: Answer = {
        "score": found.value,
        "num_samples": rows.n,
        "num_pairs": found.n_pairs,
        "total_possible_pairs": total,
        "is_sampled": found.sampled,
        "similarity_metric": similarity.name,
        "max_workers": rows.threads,
    }
    if found.sampled:
        answer |= {"sample_pairs": found.n_pairs, "standard_error": found.error, "seed": request.seed}
    return answer


def _vendi(rows: Rows, request: Request) -> Answer:
    similarity = request.similarity
    if similarity.linear:
        found = vendi.vendi_of_moments(rows.moments(similarity))
    elif rows.n <= vendi.MOST_ROWS:
        found = vendi.vendi_of_all(rows.centred(similarity), similarity, rows.threads)
    else:
        found = vendi.vendi_estimate(rows.vectors, similarity, rows.threads, request.seed)
    answer: Answer = {"vendi_score": found.value, "num_samples": rows.n, "similarity_metric": similarity.name}
    if found.landmarks:
        answer |= {"is_estimated": True, "low": found.low, "high": found.high, "landmarks": found.landmarks}
    return answer


def _log_det(rows: Rows, request: Request) -> Answer:
    cosine, least = similar.BY_NAME["cosine"], None
    if rows.n <= log_det.MOST_ROWS:
        least = log_det.least_similarity(cosine.prepare(rows.vectors), cosine, rows.threads)
    found = log_det.log_det(rows.moments(cosine), request.ridge_alpha, least)
    answer: Answer = {
        "log_det": "-inf" if isinf(found.value) else found.value,
        "sign": found.sign,
        "is_valid": found.sign > 0,
        "is_positive_definite": found.least > 0,
        "is_positive_semidefinite": found.least >= log_det.NEGATIVE,
        "num_samples": rows.n,
        "embedding_dimension": rows.dim,
        "similarity_metric": "cosine",
        "eigenvalue_stats": {
            "min": found.least,
            "max": found.largest,
            "num_negative": int(found.least < log_det.NEGATIVE),
        },
        "similarity_matrix_stats": {
            "min": found.minimum,
            "max": 1 + request.ridge_alpha,
            "mean": found.mean,
            "std": found.deviation,
            "diagonal_mean": 1 + request.ridge_alpha,
        },
    }
    if rows.n > rows.dim:
        answer["warning"] = (
            f"{rows.n} rows in {rows.dim} coordinates: {rows.n - rows.dim} eigenvalues are ridge_alpha and make up "
            "nearly all of log_det; compare only sets of the same number of rows"
        )
    if isinf(found.value):
        answer["log_det_is_inf"] = True
    return answer


def _radius(rows: Rows, request: Request) -> Answer:
    deviations = rows.deviations
    used = np.where(deviations == 0, spread.CONSTANT, deviations)
    value = spread.radius(deviations)
    return {
        "radius": value,
        "geometric_mean_std": value,
        "arithmetic_mean_std": float(used.mean()),
        "min_std": float(used.min()),
        "max_std": float(used.max()),
        "median_std": float(np.median(used)),
        "num_samples": rows.n,
        "embedding_dimension": rows.dim,
        "zero_std_dimensions": int((deviations == 0).sum()),
    }


def _facility(rows: Rows, request: Request) -> Answer:
    assert request.subset is not None
    name = request.distance or "euclidean"
    index = ExactSearch.of(request.subset, metric_of(name), rows.threads)
    nearest = index.search(rows.vectors, 1, progress=request.progress).distances[:, 0].astype(np.float64)
    return {
        "facility_location_score": float(nearest.sum()),
        "avg_min_distance": float(nearest.mean()),
        "max_min_distance": float(nearest.max()),
        "median_min_distance": float(np.median(nearest)),
        "std_min_distance": float(nearest.std()),
        "num_samples": rows.n,
        "num_subset_samples": len(request.subset),
        "distance_metric": name,
        "subset_ratio": len(request.subset) / rows.n,
    }


def _inertia(rows: Rows, request: Request) -> Answer:
    assert request.centroids is not None and request.clusters is not None
    name, labels, n_clusters = request.distance or "cosine", np.asarray(request.clusters), len(request.centroids)
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= n_clusters:
        wrong = np.flatnonzero((labels < 0) | (labels >= n_clusters)) if labels.dtype.kind in "iu" else [0]
        raise DataError(
            f"clusters: expected whole numbers from 0 to {n_clusters - 1}, the rows of centroids, found "
            f"{labels[wrong[0]]} in row {wrong[0]}"
        )
    distances = spread.distances_to_own(rows.vectors, request.centroids, labels, metric_of(name))
    sums = np.bincount(labels, distances, n_clusters)
    sizes = np.bincount(labels, minlength=n_clusters)
    return {
        "total_inertia": float(distances.sum()),
        "avg_inertia_per_sample": float(distances.mean()),
        "num_samples": rows.n,
        "num_clusters": n_clusters,
        "distance_metric": name,
        "max_workers": rows.threads,
        "cluster_sizes": {str(one): int(size) for one, size in enumerate(sizes)},
        "cluster_inertias": {str(one): float(value) for one, value in enumerate(sums)},
    }


def _novel_sum(rows: Rows, request: Request) -> Answer:
    most = max(request.neighbors)
    squared = rows.nearest if request.reference is None else None
    if squared is None or squared.shape[1] < most:
        reference = rows.vectors if request.reference is None else request.reference
        squared = novel_sum.density_distances(rows.vectors, reference, most, rows.threads)
    means, all_pairs = novel_sum.weighted_distances(
        rows.vectors, list(request.distance_powers), rows.threads, request.progress
    )
    answer: Answer = {"num_samples": rows.n, "cos_distance": all_pairs}
    for power in request.density_powers:
        for k in request.neighbors:
            rho = novel_sum.densities(squared[:, :k], power)
            for number, distance in enumerate(request.distance_powers):
                key = f"neighbor_{k}_density_{power}_distance_{distance}"
                answer[key] = float((rho * means[:, number]).mean())
    return answer


def _entropy(rows: Rows, request: Request) -> Answer:
    assert request.clusters is not None and request.num_clusters is not None
    found, most = spread.partition(request.clusters), request.num_clusters
    if len(found.counts) > most:
        raise UsageError(f"num_clusters: expected at least {len(found.counts)}, as many as the rows are of, got {most}")
    n = len(request.clusters)
    return {
        "entropy": found.entropy,
        "normalized_entropy": found.entropy / log(most) if most > 1 else 0.0,
        "max_entropy": log(most),
        "num_samples": n,
        "num_clusters_global": most,
        "num_clusters_in_subset": len(found.counts),
        "cluster_counts": {str(one): count for one, count in found.counts.items()},
        "cluster_probabilities": {str(one): count / n for one, count in found.counts.items()},
    }


def _by_similarity(request: Request) -> bool:
    return bool(request.similarity.name == "cosine")


MEASURES = (
    Measure("RadiusScorer", "radius", _radius, "radius"),
    Measure("ApsScorer", "aps", _aps, "score", (), ("similarity", "sample_pairs", "seed"), directions=_by_similarity),
    Measure("VendiScorer", "vendi", _vendi, "vendi_score", (), ("similarity", "seed"), directions=_by_similarity),
    Measure(
        "LogDetDistanceScorer", "logdet", _log_det, "log_det", (), ("ridge_alpha",), directions=lambda request: True
    ),
    Measure(
        "NovelSumScorer",
        "novelsum",
        _novel_sum,
        "",
        takes=("reference", "density_powers", "neighbors", "distance_powers"),
        directions=lambda request: True,
    ),
    Measure(
        "FacilityLocationScorer",
        "facility",
        _facility,
        "facility_location_score",
        needs=("subset",),
        takes=("distance",),
        distance="euclidean",
        directions=lambda request: request.distance == "cosine",
    ),
    Measure(
        "ClusterInertiaScorer",
        "inertia",
        _inertia,
        "total_inertia",
        needs=("centroids", "clusters"),
        takes=("distance",),
        distance="cosine",
        directions=lambda request: request.distance in (None, "cosine"),
    ),
    Measure(
        "PartitionEntropyScorer",
        "entropy",
        _entropy,
        "entropy",
        needs=("clusters", "num_clusters"),
        embeddings=False,
    ),
)
BY_NAME = {name: measure for measure in MEASURES for name in (measure.name, measure.by)}


def find_measure(name: str) -> Measure:
    """Return the measure of a name.

    Raises
    ------
    UsageError
        There is none; the message gives the choices and the nearest one.

    Examples
    --------
    >>> find_measure("vendi").name
    'VendiScorer'
    """
    if name not in BY_NAME:
        raise UsageError(unknown("measure", name, BY_NAME))
    return BY_NAME[name]
