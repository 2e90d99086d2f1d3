"""Choose k: the leave-one-out score of every number of neighbours, from one pass."""

import os
import time
from dataclasses import replace
from typing import Literal

import numpy as np

from vicinal import devices
from vicinal.analysis.votes import WEIGHTS
from vicinal.data import dataset
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.labels import Labels, from_values
from vicinal.data.usable import Usable, kind_of, usable
from vicinal.errors import UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric
from vicinal.tasks import arguments, pictures
from vicinal.tasks.predict.classes import warn_of_small_classes
from vicinal.tasks.predict.curve import Curve, leave_one_out
from vicinal.tasks.score import kept
from vicinal.typing import LearnedMetricLike, StartProgress

MAX_K = 50


@devices.takes_device
def choose_k(
    data: object,
    labels: object = None,
    targets: object = None,
    *,
    embeddings: object = None,
    encoding: object = None,
    max_k: int = MAX_K,
    weights: Literal["uniform", "distance", "both"] = "both",
    metric: LearnedMetricLike | None = None,
    matrix: object = None,
    neighbors: object = None,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    device: str | None = None,
    picture: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: StartProgress | None = None,
) -> Curve:
    """Return the leave-one-out score of every number of neighbours.

    Each row is predicted from its nearest others: its label by their vote, or its value by their mean.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (n, dim), at least two rows; or a data set that holds or belongs to them.
    labels : str or sequence, optional
        The label of each row: a column of `data`, FILE:FIELD (default field "label"), or one label a row.
    targets : str or sequence, optional
        The value of each row, likewise (default field "target"). Give either labels or targets.
    embeddings : str, path, or array_like, optional
        Where the embeddings are, if not in `data`: a column, a `.npy` file or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    max_k : int
        The largest k; at most the number of other rows.
    weights : {"uniform", "distance", "both"}
        Whether neighbours vote equally or by 1 / distance.
    metric : Metric or str, optional
        A name of `vicinal.knn.metrics`, or "mahalanobis"; by default that of `neighbors`, else "euclidean".
    matrix : array_like or path, optional
        The matrix of "mahalanobis", (dim, dim). Default: the inverse of the rows' covariance.
    neighbors : path or Neighbors, optional
        The max_k nearest neighbours of every row or more, in place of a pass: a kept run (`vicinal.score(run=...)`), a
        folder that `vicinal neighbors` wrote, or the result.
    on_invalid : {"error", "null", "skip"}
        Rows whose embedding is NaN, infinite or, under cosine, zero, and rows without a label or
        value: "error" refuses them, "null" and "skip" leave
        them out.
    threads : int, optional
        Default: the machine's cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    picture : path, optional
        Write the curve as .svg, .png or .pdf. Needs matplotlib.
    overwrite : bool
        Whether a picture that exists is replaced.
    progress : callable, optional
        Called with the name of the work; returns a function that is called with (work done, work in all).

    Returns
    -------
    Curve

    Raises
    ------
    UsageError
        An argument cannot be used, or both or neither of labels and targets are given.
    DataError
        Embeddings, labels or targets cannot be used or do not belong together.
    MissingExtra
        A picture is wanted and matplotlib is not installed.

    Warns
    -----
    UserWarning
        The best k is larger than a class.

    Examples
    --------
    >>> curve = choose_k([[0.0], [1.0], [2.0], [10.0], [11.0]], labels=list("aaabb"), max_k=4, weights="uniform")
    >>> curve.best, curve.scores["uniform"].tolist()
    ((1, 'uniform'), [1.0, 0.6, 0.6, 0.6])
    """
    weightings = _weightings(weights)
    most = arguments.whole_number(max_k, "max_k")
    threads = None if threads is None else arguments.whole_number(threads, "threads")
    choice, graph = kept.choose(metric, matrix, neighbors)
    embeddings = kept.own_embeddings(graph, data, embeddings)
    if picture is not None:
        pictures.check(os.fspath(picture), overwrite)
    arguments.check_outputs({"picture": picture}, (data, embeddings, labels, targets, matrix, neighbors), overwrite)
    use, known = _read(data, embeddings, labels, targets, encoding, choice.reading, on_invalid, graph)
    index = Exact(choice.resolve(use.vectors), threads)
    start = time.perf_counter()
    nearest = None if graph is None else kept.complete(graph, use.left, most)
    if nearest is None:
        index.fit(use.vectors.vectors, invalid={})
    report = None if progress is None else progress(f"{index.metric.name} neighbours")
    curve = leave_one_out(index, known, most, weightings, report, nearest)
    curve = replace(curve, seconds=time.perf_counter() - start, unusable=use.reasons)
    if isinstance(known, Labels):
        warn_of_small_classes(known, *curve.best)
    if picture is not None:
        pictures.save(curve.picture(), os.fspath(picture), overwrite)
    return curve


def _weightings(weights: object) -> tuple[str, ...]:
    chosen = arguments.choice(weights, "weights", (*WEIGHTS, "both"))
    return WEIGHTS if chosen == "both" else (chosen,)


def _read(
    data: object,
    source: object,
    labels: object,
    targets: object,
    encoding: object,
    metric: Metric,
    on_invalid: OnInvalid,
    graph: kept.Graph | None,
) -> tuple[Usable, Labels | np.ndarray]:
    """Read the rows that can be used and their labels or values."""
    if (labels is None) == (targets is None):
        given = "neither" if labels is None else "both"
        raise UsageError(f"labels: expected labels or targets, got {given}; give one of them")
    name, spec, kind = ("targets", targets, "number") if labels is None else ("labels", labels, "label")
    fields = {name: (spec, kind_of(kind, on_invalid))}
    rows = dataset.read(data, source, fields=fields, ids_from=name, encoding=encoding)
    stored = load(rows.embeddings, rows=rows, metric=metric, on_invalid=on_invalid, at_least=2)
    if graph is not None:
        graph.of(rows, stored)
    use = usable(rows, stored, on_invalid, at_least=2)
    if labels is None:
        return use, np.array(use.rows.values["targets"], dtype=np.float64)
    return use, from_values(use.rows.values["labels"], use.rows.ids, rows.places["labels"])
