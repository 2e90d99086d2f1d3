"""Predict the class of queries from the labels of the rows nearest to them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal import devices
from vicinal.analysis.votes import class_probabilities
from vicinal.data import adding, tables
from vicinal.data.embeddings import OnInvalid
from vicinal.data.labels import Labels, from_values
from vicinal.tasks import arguments
from vicinal.tasks.predict import voting
from vicinal.tasks.predict.classes import warn_of_small_classes
from vicinal.tasks.predict.voting import Predicted, Vote
from vicinal.typing import LearnedMetricLike, StartProgress


class Predictions(Predicted):
    """The class of each query: one row a query, in the queries' order, with the columns "label" and "probability".

    Attributes
    ----------
    label : list
        The class with the most votes; of equal ones the lower.
    probability : ndarray of float64, shape (n_queries,)
        Its share of the votes.
    probabilities : ndarray of float64, shape (n_queries, n_classes)
        The share of each class.
    classes : list
        The labels of the columns of `probabilities`, ascending.
    neighbors, k, weights, score, metric, n_known, seconds
        As in `Predicted`; score is the leave-one-out accuracy.
    """

    known_as = "label"

    def __init__(self, labels: Labels, vote: Vote, with_neighbors: bool = False) -> None:
        shares = class_probabilities(vote.neighbors, labels.codes, len(labels.classes), vote.weights)
        queries, best = vote.rows.queries, shares.argmax(axis=1)
        self.probabilities, self.classes = queries.column(shares, np.nan), labels.classes
        self.label = queries.column([labels.classes[code] for code in best], None)
        self.probability = queries.column(shares[np.arange(len(best)), best], np.nan)
        columns = {"label": self.label, "probability": self.probability}
        types = {"label": "string" if labels.is_text else "double", "probabilities": "string", "neighbors": "string"}
        evidence = (labels.ids, [labels.classes[code] for code in labels.codes]) if with_neighbors else None
        super().__init__(columns, types, vote, evidence)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one mapping a query, as it is written to a file: shares are rounded to 6 decimals."""
        names = [str(label) for label in self.classes]
        for record, shares in zip(super().records(), self.probabilities, strict=True):
            whole = dict(record)
            neighbors = whole.pop("neighbors", None)
            if record["probability"] is None:
                whole["probabilities"] = None
            else:
                whole["probability"] = round(record["probability"], 6)
                whole["probabilities"] = {name: round(float(one), 6) for name, one in zip(names, shares, strict=True)}
            yield whole if neighbors is None else {**whole, "neighbors": neighbors}

    def summary(self) -> dict[str, Any]:
        """Return the numbers of rows and classes, and how they voted, as JSON can hold them."""
        return {
            "n": self.n_known,
            "queries": len(self),
            "classes": len(self.classes),
            "k": self.k,
            "weights": self.weights,
            "metric": self.metric,
            "unusable": {name: len(rows) for name, rows in self.unusable.items()},
            "leave_one_out_accuracy": None if self.score is None else round(self.score, 6),
        }


@devices.takes_device
def classify(
    data: object,
    labels: object,
    queries: object,
    *,
    embeddings: object = None,
    encoding: object = None,
    ids: object = None,
    query_ids: object = None,
    k: int | Literal["auto"] = 5,
    max_k: int = voting.MAX_K,
    weights: Literal["uniform", "distance", "auto"] = "uniform",
    allow_small_classes: bool = False,
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
) -> Predictions:
    """Return the class that the nearest labelled rows vote for, for each query.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (n, dim) of the labelled rows, at least two; or a data set that holds or belongs to them.
    labels : str or sequence
        The label of each row: a column of `data`, FILE:FIELD (default field "label"), or one label a row.
    queries : array_like, path, or table
        Embeddings (n_queries, dim) of the rows to classify, or a table that holds them.
    embeddings : str, path, or array_like, optional
        Where the embeddings of `data` are, if not in `data`: a column (of `queries` too), a `.npy` file or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    ids : str or sequence, optional
        The ids of the labelled rows. Default: the column "id", the ids in the file of the labels, or row numbers.
    query_ids : str or sequence, optional
        The ids of the queries: a column (default "id"), one id a query, or FILE:FIELD. Default: row numbers.
    k : int or "auto"
        How many neighbours vote. "auto": the k up to `max_k` with the best leave-one-out accuracy.
    max_k : int
        The largest k that "auto" tries.
    weights : {"uniform", "distance", "auto"}
        Whether neighbours vote equally or by 1 / distance; "auto": the one with the better leave-one-out accuracy.
    allow_small_classes : bool
        Whether k may be larger than a class under uniform weights without a warning.
    with_neighbors : bool
        Whether written records name the neighbours: id, distance, label.
    metric : Metric or str
        A name of `vicinal.knn.metrics`, or "mahalanobis".
    matrix : array_like or path, optional
        The matrix of "mahalanobis", (dim, dim). Default: the inverse of the labelled rows' covariance.
    on_invalid : {"error", "null", "skip"}
        Rows whose embedding is NaN, infinite or, under cosine, zero, and rows without a label: "error" refuses
        them, "null" lets known rows not vote and gives queries no result, "skip" leaves them out.
    threads : int, optional
        Default: the machine's cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    output : path, optional
        Write one record a query: `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet`.
    add_to : path, optional
        Write the data set of the queries with predicted_label and predicted_probability as new columns: `.parquet`,
        `.jsonl`, `.jsonl.gz` or `.csv`.
    overwrite : bool
        Whether an output that exists is replaced.
    progress : callable, optional
        Called with the name of the work; returns a function that is called with (work done, work in all).

    Returns
    -------
    Predictions

    Raises
    ------
    UsageError
        An argument cannot be used, or the output exists.
    DataError
        Embeddings, labels or ids cannot be used or do not belong together.

    Warns
    -----
    UserWarning
        k is larger than the number of rows, or larger than a class.

    References
    ----------
    Fix & Hodges 1951; Dudani 1976 for weights by distance.

    Examples
    --------
    >>> found = classify([[0.0], [1.0], [9.0]], ["low", "low", "high"], [[0.4], [8.0]], k=1)
    >>> found.label, found.classes, found.probabilities.tolist()
    (['low', 'high'], ['high', 'low'], [[0.0, 1.0], [1.0, 0.0]])
    """
    settings = voting.check_settings(k, max_k, weights, metric, matrix, threads)
    inputs = (data, labels, queries, embeddings, ids, query_ids, matrix)
    arguments.check_outputs({"output": output, "add_to": add_to}, inputs, overwrite)
    if output is not None:
        tables.suffix(output)
    fields = {"labels": (labels, "label")}
    rows = voting.read_rows(data, queries, fields, settings, embeddings, ids, query_ids, encoding, on_invalid)
    voters = rows.known.rows
    known = from_values(voters.values["labels"], voters.ids, voters.places["labels"])
    if output is not None:
        tables.check_table(output, rows.query_rows.ids)
    if add_to is not None:
        adding.check(rows.query_rows, add_to)
    outcome = voting.vote(rows, known, settings, progress)
    if not allow_small_classes:
        warn_of_small_classes(known, outcome.neighbors.k, outcome.weights, chosen=settings.choose)
    result = Predictions(known, outcome, with_neighbors)
    if output is not None:
        result.write(output, overwrite)
    if add_to is not None:
        adding.write(rows.query_rows, result, add_to, overwrite, rows.queries.of_result)
    return result
