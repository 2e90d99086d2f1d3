"""The figures of a diagnosis that need no labels, and the warnings that follow from them.

`measure` computes the facts once. Each figure and each warning is a small function of the facts, listed in `FIGURES`
and `WARNINGS`. Beside the one neighbour pass, a sample of rows is measured against random others (relative contrast)
and searched by euclidean and by cosine (do they agree?).
"""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.diagnostics import (
    disagreement,
    hubness_skew,
    median_contrast,
    mle_dimension,
    relative_contrast,
    two_nn_dimension,
)
from vicinal.analysis.scores import copy_groups
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.diagnose.figure import Figure

SEED = 20_26
SAMPLED, PARTNERS = 2000, 200  # rows, and random others of each, for the mean distance
COMPARED, COMPARED_K = 500, 10  # rows, and neighbours of each, for cosine against euclidean
DIMENSION_K, HUB_K = 20, 10
FEW = 0.01  # the largest share of rows that are told apart from the rest
UNEVEN = 0.01  # lengths that differ by more are not those of normalised rows
DOMINATES = 0.5  # the share of all variance from which a column dominates
DISAGREES = 0.1  # the share of neighbours from which the choice of metric matters
SKEWED = 2.0  # the skewness of k-occurrences from which there are hubs
LOW_CONTRAST, NO_CONTRAST = 1.5, 1.1


@dataclass(frozen=True, eq=False)
class VectorFacts:
    """The measurements of the embeddings that figures and warnings are computed from.

    Attributes
    ----------
    n, dim : int
    metric : str
    dimension_k, hub_k : int
        The numbers of neighbours used for the MLE dimension and for k-occurrences.
    two_nn, mle : float
        The intrinsic dimensions; NaN where there are too few neighbours.
    contrast, median_contrast : float
        The relative contrast, and that of the median row, which single rows do not decide.
    skew, anti_hubs : float
        The skewness of k-occurrences, and the share of rows that are in no other row's list.
    copies : int
        Rows minus distinct rows.
    norms : ndarray of float64, shape (n,)
        The Euclidean lengths of the rows.
    widest : int
        The column with the largest variance.
    width : float
        Its share of all variance.
    width_without : float
        The same without the row that lies farthest from the mean of the widest column.
    extreme : int
        That row.
    odd : int
        The number of rows whose length is not about the median.
    disagreement : float or None
        The share of neighbours on which cosine and euclidean differ, among the rows that are not all zero; None where
        there are fewer than three.
    """

    n: int
    dim: int
    metric: str
    dimension_k: int
    hub_k: int
    two_nn: float
    mle: float
    contrast: float
    median_contrast: float
    skew: float
    anti_hubs: float
    copies: int
    norms: np.ndarray
    widest: int
    width: float
    width_without: float
    extreme: int
    odd: int
    disagreement: float | None

    @property
    def even(self) -> bool:
        """Whether all rows have about one length."""
        return bool(self.norms.max() - self.norms.min() <= UNEVEN * self.norms.mean())

    @property
    def mostly_even(self) -> bool:
        """Whether all rows but a few have about one length."""
        return 0 < self.odd <= FEW * self.n


def measure(vectors: np.ndarray, index: Exact, neighbors: Neighbors) -> VectorFacts:
    """Return the facts of embeddings.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    index : Exact
        Fitted to the vectors.
    neighbors : Neighbors
        Each row's nearest others.
    """
    n, dim = vectors.shape
    random = np.random.default_rng(SEED)
    dimension_k, hub_k = min(DIMENSION_K, neighbors.k), min(HUB_K, neighbors.k)
    rows = np.sort(random.permutation(n)[:SAMPLED])
    partners = (rows[:, None] + random.integers(1, n, (len(rows), min(PARTNERS, n - 1)))) % n  # never the row itself
    skew, anti_hubs = hubness_skew(neighbors, hub_k)
    values = np.asarray(vectors, dtype=np.float64)
    norms = np.sqrt((values**2).sum(axis=1))
    variance = values.var(axis=0)
    widest = int(variance.argmax())
    extreme = int(np.abs(values[:, widest] - values[:, widest].mean()).argmax())
    without = np.delete(values, extreme, axis=0).var(axis=0)
    sampled = index.distances(partners, vectors[rows])
    nonzero = np.flatnonzero(norms > 0)
    middle = float(np.median(norms))
    return VectorFacts(
        n=n,
        dim=dim,
        metric=index.metric.name,
        dimension_k=dimension_k,
        hub_k=hub_k,
        two_nn=two_nn_dimension(neighbors) if neighbors.k > 1 else float("nan"),
        mle=mle_dimension(neighbors, dimension_k) if dimension_k > 1 else float("nan"),
        contrast=relative_contrast(neighbors, rows, sampled.mean(axis=1)),
        median_contrast=median_contrast(neighbors, rows, np.median(sampled, axis=1)),
        skew=skew,
        anti_hubs=anti_hubs,
        copies=n - len(np.unique(copy_groups(neighbors))),
        norms=norms,
        widest=widest,
        width=float(variance[widest] / variance.sum()) if variance.sum() > 0 else 0.0,
        width_without=float(without[widest] / without.sum()) if without.sum() > 0 else 0.0,
        extreme=extreme,
        odd=int((np.abs(norms - middle) > UNEVEN * middle).sum()),
        disagreement=None
        if len(nonzero) < 3
        else _cosine_against_euclidean(vectors if len(nonzero) == n else vectors[nonzero], random),
    )


def _cosine_against_euclidean(vectors: np.ndarray, random: np.random.Generator) -> float:
    """The share of neighbours on which cosine and euclidean differ, on a sample of rows."""
    n = len(vectors)
    rows = np.sort(random.permutation(n)[:COMPARED])
    own = np.arange(n)
    one, other = (
        Exact(name)
        .fit(vectors, invalid={})
        .search(vectors[rows], min(COMPARED_K, n - 1), groups=own, query_groups=rows)
        for name in ("euclidean", "cosine")
    )
    return disagreement(one, other)


def figures_of(facts: VectorFacts) -> list[Figure]:
    """Return the figures in the order in which they are shown."""
    return [figure for figure in (make(facts) for make in FIGURES) if figure is not None]


def warnings_of(facts: VectorFacts) -> list[str]:
    """Return the warnings in the order in which they are shown."""
    return [text for text in (make(facts) for make in WARNINGS) if text is not None]


def _two_nn(facts: VectorFacts) -> Figure:
    return Figure(
        name="two_nn_dimension",
        title="intrinsic dimension (TwoNN)",
        value=facts.two_nn,
        unit=f"dimensions, of {facts.dim}",
        formula="n / sum of log(r2 / r1), the largest tenth censored",
        source="Facco et al. 2017",
        meaning="About this many numbers describe a row at the finest scale; far fewer than the columns means that the "
        "columns are redundant.",
    )


def _mle(facts: VectorFacts) -> Figure:
    return Figure(
        name="mle_dimension",
        title=f"intrinsic dimension (MLE, k = {facts.dimension_k})",
        value=facts.mle,
        unit=f"dimensions, of {facts.dim}",
        formula="1 / mean of (1 / m(x)), m(x) = (k - 1) / sum of log(r_k / r_j)",
        source="Levina & Bickel 2004; MacKay & Ghahramani 2005",
        meaning=f"The same at the scale of {facts.dimension_k} neighbours; where the two differ much, noise or "
        "curvature sets in between the scales.",
    )


def _contrast(facts: VectorFacts) -> Figure:
    says_little = facts.median_contrast < LOW_CONTRAST
    differ = not 0.8 <= facts.contrast / facts.median_contrast <= 1.25 if np.isfinite(facts.median_contrast) else False
    few = " The two differ: a few rows are far nearer or farther than the rest; go by the median row." if differ else ""
    return Figure(
        name="relative_contrast",
        title="relative contrast",
        value=facts.contrast,
        unit=f"times; {facts.median_contrast:.4g} for the median row",
        formula="E[d(x, random row)] / E[d(x, nearest row)]",
        source="He, Kumar, Chang 2012",
        meaning="A random row is this many times as far as the nearest. "
        + ("Near 1, distances hardly separate rows." if says_little else "Distances separate rows.")
        + few,
    )


def _hubness(facts: VectorFacts) -> Figure:
    return Figure(
        name="hubness_skew",
        title=f"hubness skew (k = {facts.hub_k})",
        value=facts.skew,
        unit="skewness of k-occurrences",
        formula="E[(N - mean)^3] / std^3, N = number of rows that have this one among their k nearest",
        source="Radovanovic et al. 2010",
        meaning="A few rows are neighbours of very many others, which biases votes."
        if facts.skew > SKEWED
        else "No row is a neighbour of very many others.",
    )


def _anti_hubs(facts: VectorFacts) -> Figure:
    return Figure(
        name="anti_hubs",
        title=f"anti-hubs (k = {facts.hub_k})",
        value=facts.anti_hubs,
        unit="share of rows",
        formula="share of rows with N = 0",
        source="Radovanovic et al. 2010",
        meaning="Share of rows that are in no other row's k nearest, so that they take part in no vote.",
    )


def _duplicates(facts: VectorFacts) -> Figure:
    return Figure(
        name="duplicates",
        title="rows with the vector of another row",
        value=float(facts.copies),
        unit="rows",
        formula="rows - distinct rows (distance 0)",
        source="counting",
        meaning="This many rows can be removed without losing a vector; `vicinal duplicates --radius 0` says which of "
        "them have the same text. Where they lie on both sides of a train/test split they leak.",
    )


def _mean_norm(facts: VectorFacts) -> Figure:
    return Figure(
        name="mean_norm",
        title="length of a row",
        value=float(facts.norms.mean()),
        unit=f"input units; {facts.norms.min():.4g} to {facts.norms.max():.4g}, median {np.median(facts.norms):.4g}",
        formula="sqrt(sum of squares), mean of rows",
        source="counting",
        meaning="All rows have about one length."
        if facts.even
        else f"All rows but {facts.odd:,} have about one length."
        if facts.mostly_even
        else "Rows differ in length.",
    )


def _widest_column(facts: VectorFacts) -> Figure:
    return Figure(
        name="widest_column",
        title=f"widest column ({facts.widest})",
        value=facts.width,
        unit="share of all variance",
        formula="var_j / sum of var",
        source="counting",
        meaning="The largest share that one column has in the squared Euclidean distances of random rows.",
    )


def _cosine_euclidean(facts: VectorFacts) -> Figure | None:
    if facts.disagreement is None:
        return None
    return Figure(
        name="cosine_euclidean_disagreement",
        title="cosine and euclidean disagree",
        value=facts.disagreement,
        unit=f"share of {COMPARED_K} nearest",
        formula="1 - mean overlap of the two lists",
        source=f"counting, on {min(COMPARED, facts.n)} rows",
        meaning="Share of neighbours that depend on which of the two metrics is chosen.",
    )


FIGURES = (
    _two_nn,
    _mle,
    _contrast,
    _hubness,
    _anti_hubs,
    _duplicates,
    _mean_norm,
    _widest_column,
    _cosine_euclidean,
)


def _warn_of_hubs(facts: VectorFacts) -> str | None:
    if facts.skew <= SKEWED:
        return None
    return f"hubs: the skew of k-occurrences is {facts.skew:.1f}; centre the rows, or use weights by distance"


def _warn_of_concentration(facts: VectorFacts) -> str | None:
    if not facts.median_contrast < NO_CONTRAST:
        return None
    return f"distances concentrate: a random row is only {facts.median_contrast:.2f} times as far as the nearest"


def _warn_of_copies(facts: VectorFacts) -> str | None:
    if not facts.copies:
        return None
    return (
        f"rows with the vector of an earlier row: {facts.copies:,}, whose texts may differ; "
        "`vicinal score --by distinct` counts each vector once"
    )


def _warn_of_lengths(facts: VectorFacts) -> str | None:
    if facts.even or facts.metric not in ("euclidean", "sqeuclidean"):
        return None
    if facts.mostly_even:
        return (
            f"{facts.odd:,} rows have another length than the rest ({facts.norms.min():.4g} to "
            f"{facts.norms.max():.4g}, median {np.median(facts.norms):.4g}); look at them: are they failed embeddings?"
        )
    return (
        f"not normalised: rows are {facts.norms.min():.4g} to {facts.norms.max():.4g} long; if only their direction "
        "has a meaning, use metric cosine"
    )


def _warn_of_wide_column(facts: VectorFacts) -> str | None:
    if facts.dim == 1 or facts.width <= min(0.9, max(DOMINATES, 3 / facts.dim)):
        return None
    if facts.width_without <= min(0.9, max(DOMINATES, 3 / facts.dim)):
        return (
            f"row {facts.extreme} lies so far out in column {facts.widest} that the column has "
            f"{100 * facts.width:.0f} % of all variance ({100 * facts.width_without:.0f} % without it); look at the row"
        )
    return (
        f"one dimension dominates: column {facts.widest} has {100 * facts.width:.0f} % of all variance; scale the "
        "columns, as StandardScaler does, unless this is intended"
    )


def _warn_of_zeros(facts: VectorFacts) -> str | None:
    zeros = int((facts.norms == 0).sum())
    if not zeros:
        return None
    return f"rows that are all zero: {zeros:,}; cosine is not defined for them, and is compared without them"


def _warn_of_metric(facts: VectorFacts) -> str | None:
    if facts.disagreement is None or facts.disagreement <= DISAGREES:
        return None
    return (
        f"cosine and euclidean disagree on {100 * facts.disagreement:.0f} % of the neighbours; choose the one that the "
        "embeddings were made for"
    )


WARNINGS = (
    _warn_of_hubs,
    _warn_of_concentration,
    _warn_of_copies,
    _warn_of_lengths,
    _warn_of_wide_column,
    _warn_of_zeros,
    _warn_of_metric,
)
