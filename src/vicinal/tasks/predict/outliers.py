"""Outliers: how isolated each row is, and which rows are above the limit."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal import devices
from vicinal.analysis.distinct import first_of_each
from vicinal.analysis.near_pairs import equal_rows
from vicinal.analysis.scores import kth_distance, local_outlier_factor
from vicinal.data import adding, dataset, tables
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.results import Columns
from vicinal.data.usable import Usable, usable
from vicinal.errors import DataError, UsageError, some
from vicinal.indexes.exact import Exact
from vicinal.knn.arguments import at_most
from vicinal.knn.copies import Copies
from vicinal.knn.joined import chosen
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import check_recall, recall_fields
from vicinal.tasks import arguments
from vicinal.tasks.score import kept
from vicinal.typing import LearnedMetricLike, StartProgress

LOF_LIMIT = 1.5  # scikit-learn's limit where no contamination is given
SCORES = {"lof": local_outlier_factor, "distance": kth_distance}


class Outliers(Columns):
    """How isolated each row is: one row a sample, in the input's order, with the columns "score" and "outlier".

    Attributes
    ----------
    score : ndarray of float64, shape (n,)
        The higher, the more isolated.
    outlier : ndarray of bool, shape (n,)
        Whether the score is above the limit.
    limit : float
    by : {"lof", "distance"}
    k : int
        The number of neighbours used.
    metric : str
    neighbors : Neighbors
        Of lof, the nearest distinct rows: no copy of the row itself, and of several copies the lowest row.
    unusable : dict of int to str
        The rows without a score, by number, and why.
    skipped : bool
        Whether these rows are left out of the result.
    seconds : float
        How long the neighbour pass and the scores took.
    """

    def __init__(
        self, use: Usable, score: np.ndarray, limit: float, by: str, neighbors: Neighbors, seconds: float = 0.0
    ) -> None:
        self.score, self.outlier = use.column(score, np.nan), use.column(score > limit, False)
        columns = {"score": self.score, "outlier": self.outlier}
        super().__init__(use.ids, columns, {"score": "double", "outlier": "int64"})
        self.limit, self.by, self.k = limit, by, neighbors.k
        self.unusable, self.skipped = use.reasons, use.skip
        indices = use.column(use.numbers(neighbors.indices), -1)
        distances = use.column(neighbors.distances, np.inf)
        self.neighbors = Neighbors(indices, distances, neighbors.metric, neighbors.dim, recall=neighbors.recall)
        self.metric, self.seconds = neighbors.metric, seconds

    def __repr__(self) -> str:
        return (
            f"Outliers(n={len(self)}, outliers={int(self.outlier.sum())}, by={self.by!r}, limit={self.limit:.6g}, "
            f"k={self.k}, metric={self.metric!r})"
        )

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one mapping a row, as it is written to a file: outlier is 1 or 0."""
        for record in super().records():
            yield {**record, "outlier": None if record["score"] is None else int(record["outlier"])}

    def summary(self) -> dict[str, Any]:
        """Return n, k, by, limit and the number of outliers, as JSON can hold them."""
        return {
            "n": len(self),
            "k": self.k,
            "by": self.by,
            "limit": self.limit,
            "outliers": int(self.outlier.sum()),
            "unusable": len(self.unusable),
            **recall_fields(self.neighbors.recall),
        }


@devices.takes_device
def outliers(
    data: object,
    embeddings: object = None,
    encoding: object = None,
    *,
    ids: object = None,
    k: int = 20,
    by: Literal["lof", "distance"] = "lof",
    contamination: float | Literal["auto"] = "auto",
    metric: LearnedMetricLike | None = None,
    matrix: object = None,
    neighbors: object = None,
    on_invalid: OnInvalid = "error",
    recall: float | None = None,
    threads: int | None = None,
    device: str | None = None,
    output: str | Path | None = None,
    add_to: str | Path | None = None,
    overwrite: bool = False,
    progress: StartProgress | None = None,
) -> Outliers:
    """Return how isolated each row is, and which rows are outliers.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (n, dim), at least three rows; or a data set that holds or belongs to them.
    embeddings : str, path, or array_like, optional
        Where the embeddings are, if not in `data`: a column, a `.npy` file or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    ids : str or sequence, optional
        The column of ids (default "id"), or the ids; FILE:FIELD where `data` is an array. Default: row numbers.
    k : int
        The number of neighbours; at most the number of other rows.
    by : {"lof", "distance"}
        "lof": the local outlier factor, near 1 inside a cluster of any density. It is computed over distinct rows:
        copies of a row would make the density around them infinite, and their neighbours outliers. "distance": the
        distance to the k-th neighbour, in the metric's unit.
    contamination : float or "auto"
        The share of rows that are outliers, above 0 and at most 0.5. "auto": rows with a factor above 1.5, or with a
        distance above the upper quartile + 1.5 interquartile ranges.
    metric : Metric or str, optional
        A name of `vicinal.knn.metrics` other than inner_product, or "mahalanobis"; by default that of `neighbors`, else
        "euclidean".
    matrix : array_like or path, optional
        The matrix of "mahalanobis", (dim, dim). Default: the inverse of the rows' covariance.
    neighbors : path or Neighbors, optional
        The nearest neighbours of every row, in place of a pass: a kept run (`vicinal.score(run=...)`), a folder that
        `vicinal neighbors` wrote, or the result.
    on_invalid : {"error", "null", "skip"}
        Rows whose embedding is NaN, infinite or, under cosine, zero: "error" refuses them, "null"
        gives them no score, "skip" leaves them out of the result.
    recall : float, optional
        Above 0 and at most 1: approximate neighbours of at least this measured recall, for less work; exact by default.
    threads : int, optional
        Default: the machine's cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    output : path, optional
        Write one record a row: id, score, outlier (1 or 0). `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet`.
    add_to : path, optional
        Write the data set with score and outlier as new columns: `.parquet`, `.jsonl`, `.jsonl.gz` or `.csv`.
    overwrite : bool
        Whether an output that exists is replaced.
    progress : callable, optional
        Called with the name of the work; returns a function that is called with (work done, work in all).

    Returns
    -------
    Outliers

    Raises
    ------
    UsageError
        An argument cannot be used, or the output exists.
    DataError
        The embeddings or ids cannot be used, or a row has no finite score.

    References
    ----------
    Breunig, Kriegel, Ng, Sander 2000 (lof); Ramaswamy, Rastogi, Shim 2000 (distance); Tukey 1977 (its limit).

    Examples
    --------
    >>> found = outliers([[0.0], [1.0], [2.0], [3.0], [4.0], [20.0]], k=2, by="distance")
    >>> found.score.tolist(), found.limit, found.outlier.tolist()
    ([2.0, 1.0, 1.0, 1.0, 2.0, 17.0], 3.5, [False, False, False, False, False, True])
    """
    k = arguments.whole_number(k, "k")
    arguments.choice(by, "by", SCORES)
    share = _share(contamination)
    threads = None if threads is None else arguments.whole_number(threads, "threads")
    recall = None if recall is None else check_recall(recall)
    choice, graph = kept.choose(metric, matrix, neighbors, recall)
    if choice.reading.product:
        raise UsageError(
            f"metric: expected a distance, got {choice.reading.name}, which can be negative and does not say how far "
            "rows are apart; give cosine or euclidean"
        )
    embeddings = kept.own_embeddings(graph, data, embeddings)
    arguments.check_outputs({"output": output, "add_to": add_to}, (data, embeddings, ids, matrix, neighbors), overwrite)
    rows = dataset.read(data, embeddings, ids=ids, encoding=encoding)
    if output is not None:
        tables.check_table(output, rows.ids)
    if add_to is not None:
        adding.check(rows, add_to)
    stored = load(rows.embeddings, rows=rows, metric=choice.reading, on_invalid=on_invalid, at_least=3)
    if graph is not None:
        graph.of(rows, stored)
    use = usable(rows, stored, on_invalid, at_least=3)
    index = Exact(choice.resolve(use.vectors), threads)
    start = time.perf_counter()
    report = None if progress is None else progress(f"{index.metric.name} neighbours")
    vectors = use.vectors.vectors
    copies = equal_rows(vectors, index.metric) if by == "lof" else None
    if copies is not None and copies.any and len(copies.first) > 2:
        if graph is None:
            distinct = index.fit(chosen(vectors, copies.first), invalid={}).neighbors(k, progress=report, recall=recall)
        else:
            graph.at_least(k, len(rows))
            distinct = _distinct(kept.renumbered(graph.neighbors, use.left), copies, k, vectors, index)
        score, limit = score_and_limit(distinct, by, None)
        score, nearest = score[copies.group], _of_copies(distinct, copies)
        limit = limit if share is None else float(np.percentile(score, 100 * (1 - share)))
    else:
        if graph is None:
            nearest = index.fit(vectors, invalid={}).neighbors(k, progress=report, recall=recall)
        else:
            nearest = kept.complete(graph, use.left, k)
        score, limit = score_and_limit(nearest, by, share)
    result = Outliers(use, score, limit, by, nearest, time.perf_counter() - start)
    if output is not None:
        result.write(output, overwrite)
    if add_to is not None:
        adding.write(rows, result, add_to, overwrite, use.of_result)
    return result


def _distinct(nearest: Neighbors, copies: Copies, k: int, vectors: np.ndarray, index: Exact) -> Neighbors:
    """The nearest of the distinct rows among themselves, from known neighbours of all rows.

    Rows whose lists are filled by copies are searched.
    """
    m = len(copies.first)
    k = at_most(k, m - 1)
    named = nearest.indices[copies.first]
    groups = np.where(named < 0, -1, copies.group[named])
    indices, distances = first_of_each(groups, nearest.distances[copies.first], groups, np.arange(m), k)
    short = np.flatnonzero(indices[:, -1] < 0)
    if len(short):
        rows = np.arange(m)
        found = index.fit(vectors[copies.first], invalid={}).search(
            vectors[copies.first[short]], k, groups=rows, query_groups=short
        )
        indices[short], distances[short] = found.indices, found.distances
    return Neighbors(indices, distances, nearest.metric, nearest.dim, recall=nearest.recall)


def _of_copies(distinct: Neighbors, copies: Copies) -> Neighbors:
    """The neighbours of all rows, from those among the distinct ones."""
    indices = np.where(distinct.indices < 0, -1, copies.first[distinct.indices])[copies.group]
    return Neighbors(indices, distinct.distances[copies.group], distinct.metric, distinct.dim, recall=distinct.recall)


def score_and_limit(neighbors: Neighbors, by: str, contamination: float | None) -> tuple[np.ndarray, float]:
    """Return the outlier score of each row and the limit above which a row is an outlier.

    Parameters
    ----------
    neighbors : Neighbors
        Each row's nearest others in the same set.
    by : {"lof", "distance"}
    contamination : float or None
        The share of rows above the limit. None: 1.5 for lof; the upper quartile + 1.5 interquartile ranges for
        distances.

    Returns
    -------
    score : ndarray of float64, shape (n,)
    limit : float

    Raises
    ------
    DataError
        A row has no finite score.
    """
    score = SCORES[by](neighbors, neighbors.k).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(score))
    if len(wrong):
        raise DataError(f"{len(wrong)} rows have no finite score: {some(wrong.tolist())}; are their values too large?")
    if contamination is not None:
        return score, float(np.percentile(score, 100 * (1 - contamination)))
    if by == "lof":
        return score, LOF_LIMIT
    low, high = np.percentile(score, [25, 75])
    return score, float(high + 1.5 * (high - low))


def _share(contamination: object) -> float | None:
    """The share of outliers; None for "auto"."""
    if isinstance(contamination, str) and contamination == "auto":
        return None
    expected = "auto, or a share above 0 and at most 0.5"
    return arguments.number(contamination, "contamination", expected, lambda share: 0 < share <= 0.5)
