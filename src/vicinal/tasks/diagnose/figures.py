"""The figures of a diagnosis, each with what is needed to read it, and the warnings that follow from them.

Beside the one neighbour pass, a sample of rows is measured against random others (relative contrast) and searched by a
second metric (do cosine and euclidean agree?).
"""

from dataclasses import dataclass

import numpy as np

from vicinal.analysis.diagnostics import (
    Kappa,
    LabelErrors,
    bayes_interval,
    disagreement,
    hubness_skew,
    mle_dimension,
    relative_contrast,
    two_nn_dimension,
)
from vicinal.analysis.scores import copy_groups
from vicinal.data.labels import Labels
from vicinal.errors import some
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.predict import Curve

SEED = 20_26
SAMPLED, PARTNERS = 2000, 200  # rows and random others of each, for the mean distance
COMPARED, COMPARED_K = 500, 10  # rows, and neighbours of each, for cosine against euclidean
DIMENSION_K, HUB_K = 20, 10
UNEVEN = 0.01  # norms that differ by more are not those of normalised rows
DOMINATES = 0.5  # the share of all variance from which a column dominates
DISAGREES = 0.1  # the share of neighbours from which the choice of metric matters
FALLING = 0.005  # a 1-NN error that still falls by more from half the rows to all has not settled


@dataclass(frozen=True)
class Figure:
    """A number, and all that is needed to read it."""

    name: str
    title: str
    value: float | None
    unit: str
    formula: str
    source: str
    meaning: str


def figures_of_vectors(
    vectors: np.ndarray, index: Exact, found: Neighbors, norms: np.ndarray
) -> tuple[list[Figure], list[str]]:
    """The figures that need no labels, and the warnings."""
    metric, n, dim = index.metric, *vectors.shape
    warnings = []
    random = np.random.default_rng(SEED)
    dimension_k, hub_k = min(DIMENSION_K, found.k), min(HUB_K, found.k)
    copies = n - len(np.unique(copy_groups(found)))
    rows = np.sort(random.permutation(n)[:SAMPLED])
    partners = (rows[:, None] + random.integers(1, n, (len(rows), min(PARTNERS, n - 1)))) % n  # never the row itself
    contrast = relative_contrast(found, rows, index.distances(partners, vectors[rows]).mean(axis=1))
    mle = mle_dimension(found, dimension_k) if dimension_k > 1 else float("nan")
    skew, anti = hubness_skew(found, hub_k)
    variance = np.asarray(vectors, dtype=np.float64).var(axis=0)
    widest = int(variance.argmax())
    width = float(variance[widest] / variance.sum()) if variance.sum() > 0 else 0.0
    figures = [
        Figure(
            "two_nn_dimension",
            "intrinsic dimension (TwoNN)",
            two_nn_dimension(found) if found.k > 1 else float("nan"),
            f"dimensions, of {dim}",
            "n / sum of log(r2 / r1)",
            "Facco et al. 2017",
            "About as many numbers describe a row at the finest scale; far fewer than the columns means that they are "
            "redundant.",
        ),
        Figure(
            "mle_dimension",
            f"intrinsic dimension (MLE, k = {dimension_k})",
            mle,
            f"dimensions, of {dim}",
            "1 / mean of (1 / m(x)), m(x) = (k - 1) / sum of log(r_k / r_j)",
            "Levina & Bickel 2004; MacKay & Ghahramani 2005",
            "The same at the scale of 20 neighbours; where the two differ much, noise or curvature sets in between.",
        ),
        Figure(
            "relative_contrast",
            "relative contrast",
            contrast,
            "times, mean over rows",
            "mean over x of E[d(x, random row)] / d(x, nearest row)",
            "He, Kumar, Chang 2012",
            "A random row is this many times as far as the nearest. "
            + ("Near 1, distances hardly tell rows apart." if contrast < 1.5 else "Distances tell rows apart."),
        ),
        Figure(
            "hubness_skew",
            f"hubness skew (k = {hub_k})",
            skew,
            "skewness of k-occurrences",
            "E[(N - mean)^3] / std^3, N = how many rows name this one",
            "Radovanovic et al. 2010",
            "A few rows are neighbours of very many others, which sways votes."
            if skew > 2
            else "No row rules the lists.",
        ),
        Figure(
            "anti_hubs",
            f"anti-hubs (k = {hub_k})",
            anti,
            "share of rows",
            "share of rows with N = 0",
            "Radovanovic et al. 2010",
            "So many rows are among nobody's nearest: no vote ever asks them.",
        ),
        Figure(
            "duplicates",
            "exact duplicates",
            float(copies),
            "rows",
            "rows - distinct rows (distance 0)",
            "counting",
            "So many rows could go without losing a vector; across a train/test split they leak.",
        ),
        Figure(
            "mean_norm",
            "length of a row",
            float(norms.mean()),
            f"input units; {norms.min():.4g} to {norms.max():.4g}",
            "sqrt(sum of squares), mean of rows",
            "counting",
            "All rows have about one length." if _even(norms) else "Rows differ in length.",
        ),
        Figure(
            "widest_column",
            f"widest column ({widest})",
            width,
            "share of all variance",
            "var_j / sum of var",
            "counting",
            "The largest share that one column has in the squared distances of random rows.",
        ),
    ]
    if skew > 2:
        warnings.append(f"hubs: the skew of k-occurrences is {skew:.1f}; centre the rows, or use weights by distance")
    if contrast < 1.1:
        warnings.append(f"distances concentrate: the nearest row is only {contrast:.2f} times nearer than a random one")
    if copies:
        warnings.append(f"exact copies of other rows: {copies:,}; `vicinal score --by distinct` looks past them")
    if not _even(norms) and metric.name in ("euclidean", "sqeuclidean"):
        warnings.append(
            f"not normalised: rows are {norms.min():.4g} to {norms.max():.4g} long; if only their direction means "
            "something, use --metric cosine"
        )
    if dim > 1 and width > min(0.9, max(DOMINATES, 3 / dim)):
        warnings.append(
            f"one dimension dominates: column {widest} has {100 * width:.0f} % of all variance; scale the columns, as "
            "StandardScaler does, unless that is meant"
        )
    differ = _cosine_against_euclidean(vectors, norms, random)
    if isinstance(differ, str):
        warnings.append(differ)
    else:
        figures.append(
            Figure(
                "cosine_euclidean_disagreement",
                "cosine and euclidean disagree",
                differ,
                f"share of {COMPARED_K} nearest",
                "1 - mean overlap of the two lists",
                f"counting, on {min(COMPARED, n)} rows",
                "So many neighbours depend on which of the two metrics is chosen.",
            )
        )
        if differ > DISAGREES:
            warnings.append(
                f"cosine and euclidean disagree on {100 * differ:.0f} % of the neighbours; choose the one that the "
                "embeddings were made for"
            )
    return figures, warnings


def _cosine_against_euclidean(vectors: np.ndarray, norms: np.ndarray, random: np.random.Generator) -> float | str:
    """The share of neighbours on which the two differ, on a sample of rows; or why it cannot be told."""
    n = len(vectors)
    if vectors.dtype.kind not in "fiu" or not (norms > 0).all():
        return f"rows that are all zero: {int((norms == 0).sum()):,}; cosine cannot be compared with euclidean"
    rows = np.sort(random.permutation(n)[:COMPARED])
    own = np.arange(n)
    one, other = (
        Exact(name)
        .fit(vectors, invalid={})
        .search(vectors[rows], min(COMPARED_K, n - 1), groups=own, query_groups=rows)
        for name in ("euclidean", "cosine")
    )
    return disagreement(one, other)


def figures_of_labels(
    curve: Curve,
    convergence: tuple[np.ndarray, np.ndarray],
    errors: LabelErrors,
    labels: Labels,
    kappa: Kappa | None,
    error_k: int,
    n: int,
) -> tuple[list[Figure], list[str]]:
    """The figures of labelled rows, and the warnings."""
    best_k, best_weights = curve.best
    best = 1 - float(curve.scores[best_weights][best_k - 1])
    one_nn = 1 - float(curve.scores["uniform"][0])
    low, high = bayes_interval(one_nn, len(labels.classes))
    shares, by_share = convergence
    half = float(np.interp(0.5, shares, by_share))
    most = labels.counts.max() / n
    figures = [
        Figure(
            "one_nn_error",
            "1-NN error",
            one_nn,
            "share of rows",
            "share of rows whose nearest other has another label",
            "leave-one-out",
            f"Guessing the largest class is wrong for {1 - most:.4f}.",
        ),
        Figure(
            "cover_hart_lower",
            "Cover-Hart interval, lower end",
            low,
            "share of rows, an estimate",
            "(M - 1) / M (1 - sqrt(1 - M / (M - 1) e))",
            "Cover & Hart 1967",
            "Were there infinitely many rows, no classifier on these embeddings could err less.",
        ),
        Figure(
            "cover_hart_upper",
            "Cover-Hart interval, upper end",
            high,
            "share of rows, an estimate",
            "e, the 1-NN error",
            "Cover & Hart 1967",
            "Were there infinitely many rows, the best classifier would err at most so much.",
        ),
        Figure(
            "best_knn_error",
            f"best k-NN error (k = {best_k}, {best_weights} weights)",
            best,
            "share of rows",
            "least leave-one-out error over k and weights",
            "leave-one-out",
            f"Reached at n / k = {n / best_k:,.0f}, the model's complexity: about so many separate neighbourhoods.",
        ),
        Figure(
            "half_error",
            "1-NN error with half the rows",
            half,
            "share of rows",
            "expected over all subsamples: sum of s (1 - s)^(j - 1) [label_j differs]",
            "leave-one-out",
            "Against the 1-NN error it says what the second half of the rows was worth.",
        ),
        Figure(
            "label_errors",
            f"likely label errors (k = {error_k})",
            float(len(errors)),
            "rows",
            "another label has >= 50 % of the k nearest, the row's own <= 5 %",
            "after Wilson 1972",
            "So many rows contradict their neighbours; look at the first ones of the ranked list.",
        ),
    ]
    warnings = []
    if low > best:
        warnings.append(
            f"the Cover-Hart lower end {low:.4f} lies above the best k-NN error {best:.4f}: it holds only for "
            "infinitely many rows, and these are too few for it; do not read it as a bound"
        )
    if half - one_nn > FALLING:
        warnings.append(
            f"the 1-NN error still falls with more rows ({half:.4f} with half of them, {one_nn:.4f} with all): the "
            "Cover-Hart interval has not settled, and more data would help"
        )
    small = [
        f"{labels.classes[code]!r} ({labels.counts[code]})" for code in np.flatnonzero(labels.counts <= error_k // 2)
    ]
    if small:
        warnings.append(
            f"classes with too few rows for a majority of {error_k} neighbours, so that their rows can seem wrongly "
            f"labelled: {some(small)}"
        )
    if kappa is not None:
        figures.append(
            Figure(
                "cohen_kappa",
                "Cohen's kappa of the two label columns",
                kappa.value,
                f"1 is full agreement; {100 * kappa.confidence:.0f} % interval {kappa.low:.4f} to {kappa.high:.4f}",
                "(agreement - chance) / (1 - chance)",
                "Cohen 1960; Fleiss, Cohen & Everitt 1969",
                f"The columns agree on {100 * kappa.agreement:.1f} % of {kappa.n:,} rows.",
            )
        )
    return figures, warnings


def _even(norms: np.ndarray) -> bool:
    return bool(norms.max() - norms.min() <= UNEVEN * norms.mean())
