"""Predict the value of queries from the values of the rows nearest to them."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal import devices
from vicinal.analysis.votes import values_by_k
from vicinal.data import adding, tables
from vicinal.data.embeddings import OnInvalid
from vicinal.tasks import arguments
from vicinal.tasks.predict import voting
from vicinal.tasks.predict.voting import Predicted, Vote
from vicinal.typing import LearnedMetricLike, StartProgress


class PredictedValues(Predicted):
    """The value of each query: one row a query, in the queries' order, with the columns "value" and "spread".

    Attributes
    ----------
    value : ndarray of float64, shape (n_queries,)
        The weighted mean of the neighbours' values.
    spread : ndarray of float64, shape (n_queries,)
        Their standard deviation.
    neighbors, k, weights, score, metric, n_known, seconds
        As in `Predicted`; score is the leave-one-out R2.
    """

    def __init__(self, targets: np.ndarray, vote: Vote, with_neighbors: bool = False) -> None:
        queries = vote.rows.queries
        value = values_by_k(vote.neighbors, targets, [vote.neighbors.k], vote.weights)[0]
        self.value = queries.column(value, np.nan)
        self.spread = queries.column(targets[vote.neighbors.indices].std(axis=1), np.nan)
        evidence = (vote.rows.known.rows.ids, targets.tolist()) if with_neighbors else None
        super().__init__({"value": self.value, "spread": self.spread}, {"neighbors": "string"}, vote, evidence)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of rows, and how they were averaged, as JSON can hold them."""
        return {
            "n": self.n_known,
            "queries": len(self),
            "k": self.k,
            "weights": self.weights,
            "metric": self.metric,
            "unusable": {name: len(rows) for name, rows in self.unusable.items()},
            "leave_one_out_r2": None if self.score is None else round(self.score, 6),
        }


@devices.takes_device
def regress(
    data: object,
    targets: object,
    queries: object,
    *,
    embeddings: object = None,
    encoding: object = None,
    ids: object = None,
    query_ids: object = None,
    k: int | Literal["auto"] = 5,
    max_k: int = voting.MAX_K,
    weights: Literal["uniform", "distance", "auto"] = "uniform",
    with_neighbors: bool = False,
    metric: LearnedMetricLike = "euclidean",
    matrix: object = None,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    device: str | None = None,
    output: str | Path | None = None,
    add_to: str | Path | None = None,
    overwrite: bool = False,
    progress: StartProgress | None = None,
) -> PredictedValues:
    """Return the mean value of the nearest rows, and its spread, for each query.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (n, dim) of the rows whose value is known, at least two; or a data set that holds or belongs to
        them.
    targets : str or sequence
        The value of each row: a column of `data`, FILE:FIELD (default field "target"), or one value a row.
    queries : array_like, path, or table
        Embeddings (n_queries, dim) of the rows to predict for, or a table that holds them.
    embeddings : str, path, or array_like, optional
        Where the embeddings of `data` are, if not in `data`: a column (of `queries` too), a `.npy` file or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    ids : str or sequence, optional
        The ids of the known rows. Default: the column "id", the ids in the file of the targets, or row numbers.
    query_ids : str or sequence, optional
        The ids of the queries: a column (default "id"), one id a query, or FILE:FIELD. Default: row numbers.
    k : int or "auto"
        How many neighbours are averaged. "auto": the k up to `max_k` with the best leave-one-out R2.
    max_k : int
        The largest k that "auto" tries.
    weights : {"uniform", "distance", "auto"}
        Whether neighbours count equally or by 1 / distance; "auto": the one with the better leave-one-out R2.
    with_neighbors : bool
        Whether written records name the neighbours: id, distance, value.
    metric : Metric or str
        A name of `vicinal.knn.metrics`, or "mahalanobis".
    matrix : array_like or path, optional
        The matrix of "mahalanobis", (dim, dim). Default: the inverse of the known rows' covariance.
    on_invalid : {"error", "null", "skip"}
        Rows whose embedding is NaN, infinite or, under cosine, zero, and rows without a value: "error" refuses
        them, "null" lets known rows not count and gives queries no result, "skip" leaves them out.
    threads : int, optional
        Default: the machine's cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    output : path, optional
        Write one record a query: `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet`.
    add_to : path, optional
        Write the data set of the queries with predicted_value and predicted_spread as new columns: `.parquet`,
        `.jsonl`, `.jsonl.gz` or `.csv`.
    overwrite : bool
        Whether an output that exists is replaced.
    progress : callable, optional
        Called with the name of the work; returns a function that is called with (work done, work in all).

    Returns
    -------
    PredictedValues

    Raises
    ------
    UsageError
        An argument cannot be used, or the output exists.
    DataError
        Embeddings, targets or ids cannot be used or do not belong together.

    Warns
    -----
    UserWarning
        k is larger than the number of rows.

    Examples
    --------
    >>> found = regress([[0.0], [1.0], [9.0]], [10.0, 20.0, 90.0], [[0.4], [8.0]], k=2)
    >>> found.value.tolist(), found.spread.tolist()
    ([15.0, 55.0], [5.0, 35.0])
    """
    settings = voting.check_settings(k, max_k, weights, metric, matrix, threads)
    inputs = (data, targets, queries, embeddings, ids, query_ids, matrix)
    arguments.check_outputs({"output": output, "add_to": add_to}, inputs, overwrite)
    if output is not None:
        tables.suffix(output)
    fields = {"targets": (targets, "number")}
    rows = voting.read_rows(data, queries, fields, settings, embeddings, ids, query_ids, encoding, on_invalid)
    if output is not None:
        tables.check_table(output, rows.query_rows.ids)
    if add_to is not None:
        adding.check(rows.query_rows, add_to)
    known = np.array(rows.known.rows.values["targets"], dtype=np.float64)
    outcome = voting.vote(rows, known, settings, progress)
    result = PredictedValues(known, outcome, with_neighbors)
    if output is not None:
        result.write(output, overwrite)
    if add_to is not None:
        adding.write(rows.query_rows, result, add_to, overwrite, rows.queries.of_result)
    return result
