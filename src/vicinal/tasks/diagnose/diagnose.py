"""Diagnose a data set from one neighbour pass: read, compute, write."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.analysis.agreement import Kappa, cohen_kappa
from vicinal.analysis.diagnostics import confusion, error_by_share
from vicinal.analysis.label_review import boundary_pairs, label_errors
from vicinal.analysis.scores import hubness
from vicinal.analysis.votes import WEIGHTS, accuracy_by_k
from vicinal.data import dataset, frames, labels, tables
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.labels import Labels, from_values, read_labels
from vicinal.data.metric import MetricChoice
from vicinal.data.sources import is_data_file
from vicinal.data.usable import Usable, kind_of, usable
from vicinal.errors import DataError, UsageError, some
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import check_recall
from vicinal.storage import atomic
from vicinal.tasks import arguments
from vicinal.tasks.diagnose import label_figures, vector_figures
from vicinal.tasks.diagnose.diagnosis import Diagnosis
from vicinal.tasks.diagnose.label_figures import LabelFacts
from vicinal.tasks.diagnose.matching import codes_as_in, matched
from vicinal.tasks.diagnose.page import pieces
from vicinal.tasks.diagnose.tables import error_table, pair_table
from vicinal.tasks.predict.classes import refuse_lone_classes
from vicinal.tasks.predict.curve import Curve
from vicinal.tasks.score import kept
from vicinal.typing import Id, LearnedMetricLike, PathLike, StartProgress

K = 50  # neighbours, where none were asked for
ERROR_K = 30
PAIRS, EVALUATION = 100, 0.5
MOST_CLASSES = 4000  # the confusion of more classes is not counted: it has n_classes x n_classes cells


@dataclass(frozen=True, eq=False)
class _Settings:
    """The settings of a diagnosis, checked."""

    k: int
    pairs: int
    evaluation: float
    metric: MetricChoice
    threads: int | None
    recall: float | None
    graph: kept.Graph | None = None


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows, checked; `second` are the second labels as codes of the first ones' classes."""

    use: Usable
    labels: Labels | None
    second: np.ndarray | None


@devices.takes_device
def diagnose(
    data: object,
    labels: object = None,
    second_labels: object = None,
    *,
    embeddings: object = None,
    encoding: object = None,
    ids: object = None,
    k: int | None = None,
    pairs: int = 100,
    evaluation: float = 0.5,
    metric: LearnedMetricLike | None = None,
    matrix: object = None,
    neighbors: object = None,
    on_invalid: OnInvalid = "error",
    recall: float | None = None,
    threads: int | None = None,
    device: str | None = None,
    html: PathLike | None = None,
    write_errors: PathLike | None = None,
    write_pairs: PathLike | None = None,
    overwrite: bool = False,
    progress: StartProgress | None = None,
) -> Diagnosis:
    """Return a diagnosis of a data set from its nearest neighbours, with or without labels.

    Without labels: intrinsic dimension, concentration of distances, hubness, duplicates, lengths, and warnings. With
    labels also: the 1-NN error and the Cover-Hart interval, the accuracy of every k, confusion, likely label errors,
    boundary pairs for experts to label, and Cohen's kappa with a second column.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (n, dim), at least three rows; or a data set that holds or belongs to them.
    labels : str or sequence, optional
        The label of each row: a column of `data`, FILE:FIELD (default field "label"), or one label a row.
    second_labels : str or sequence, optional
        Another judge's labels of the same rows: a column of `data` or one label a row; or FILE:FIELD, matched by id.
    embeddings : str, path, or array_like, optional
        Where the embeddings are, if not in `data`: a column, a `.npy` file or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    ids : str or sequence, optional
        The column of ids (default "id"), or the ids. Default for an array: the ids in the file of the labels, or row
        numbers.
    k : int, optional
        The number of neighbours; at most the number of other rows. Default: 50, or as many as `neighbors` hold.
    pairs : int
        How many boundary pairs at most.
    evaluation : float
        The share of the pairs that is set aside for evaluation, 0 to 1.
    metric : Metric or str, optional
        euclidean, sqeuclidean, cosine, manhattan or "mahalanobis"; by default that of `neighbors`, else euclidean.
    matrix : array_like or path, optional
        The matrix of "mahalanobis", (dim, dim). Default: the inverse of the rows' covariance.
    neighbors : path or Neighbors, optional
        The k nearest neighbours of every row or more, in place of a pass: a kept run (`vicinal.score(run=...)`), a
        folder that `vicinal neighbors` wrote, or the result.
    on_invalid : {"error", "null", "skip"}
        Rows whose embedding is NaN, infinite or, under cosine, zero, and rows without a label: "error" refuses them,
        "null" and "skip" leave them out.
    recall : float, optional
        Above 0 and at most 1: approximate neighbours of at least this measured recall, for less work; exact by default.
    threads : int, optional
        Default: the machine's cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    html : path, optional
        Write the page: a map, all rows, the figures, likely label errors, boundary pairs and outliers.
    write_errors, write_pairs : path, optional
        Write all likely label errors, or the boundary pairs: `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet`.
    overwrite : bool
        Whether outputs that exist are replaced.
    progress : callable, optional
        Called with the name of the work; returns a function that is called with (work done, work in all).

    Returns
    -------
    Diagnosis

    Raises
    ------
    UsageError
        An argument cannot be used, or an output exists.
    DataError
        Embeddings, labels or ids cannot be used or do not belong together; no class has two rows.

    References
    ----------
    Each figure names its source; `docs/diagnose.md` has figures to compare with.

    Examples
    --------
    >>> found = diagnose([[0.0], [1.0], [1.5], [9.0], [9.2], [9.9]], ["a", "a", "a", "b", "b", "b"], k=2)
    >>> found["one_nn_error"].value, found["duplicates"].value, len(found.label_errors)
    (0.0, 0.0, 0)
    """
    choice = kept.choose(metric, matrix, neighbors, recall)
    embeddings = kept.own_embeddings(choice[1], data, embeddings)
    settings = _check_settings(k, pairs, evaluation, choice, threads, recall)
    outputs = {"html": html, "write_errors": write_errors, "write_pairs": write_pairs}
    _check_labels_given(labels, {"second_labels": second_labels, **outputs})
    _check_outputs(outputs, (data, labels, second_labels, embeddings, ids, matrix, neighbors), overwrite)
    rows = _read(data, labels, second_labels, (embeddings, encoding), ids, settings, on_invalid)
    diagnosis = _compute(rows, settings, progress)
    if write_errors is not None and diagnosis.label_errors is not None:
        diagnosis.label_errors.write(Path(write_errors), overwrite)
    if write_pairs is not None and diagnosis.boundary_pairs is not None:
        diagnosis.boundary_pairs.write(Path(write_pairs), overwrite)
    if html is not None:
        with atomic.whole_file(Path(html), overwrite) as file:
            file.writelines(pieces(diagnosis))
    return diagnosis


def _check_settings(
    k: object,
    pairs: object,
    evaluation: object,
    chosen: tuple[MetricChoice, kept.Graph | None],
    threads: object,
    recall: object,
) -> _Settings:
    choice, graph = chosen
    if k is None:
        k = K if graph is None else min(K, graph.neighbors.k)
    if choice.reading.product or choice.reading.kernel == "bits":
        raise UsageError(
            f"metric: expected a distance between numbers, got {choice.reading.name}; diagnose takes euclidean, "
            "sqeuclidean, cosine, manhattan or mahalanobis"
        )
    return _Settings(
        k=arguments.whole_number(k, "k"),
        pairs=arguments.whole_number(pairs, "pairs"),
        evaluation=arguments.number(evaluation, "evaluation", "a share from 0 to 1", lambda share: 0 <= share <= 1),
        metric=choice,
        threads=None if threads is None else arguments.whole_number(threads, "threads"),
        recall=None if recall is None else check_recall(recall),
        graph=graph,
    )


def _check_labels_given(labels: object, others: dict[str, object]) -> None:
    """Raise UsageError where an argument that needs labels was given without labels."""
    for name in ("second_labels", "write_errors", "write_pairs"):
        if labels is None and others[name] is not None:
            raise UsageError(f"{name}: needs labels too; give --labels FILE:FIELD (in Python: labels=)")


def _check_outputs(outputs: dict[str, PathLike | None], inputs: tuple[object, ...], overwrite: bool) -> None:
    for name in ("write_errors", "write_pairs"):
        path = outputs[name]
        if path is not None:
            tables.suffix(os.fspath(path))
    arguments.check_outputs(outputs, inputs, overwrite)


def _read(
    data: object,
    labels_given: object,
    second: object,
    source: tuple[object, object],
    ids: object,
    settings: _Settings,
    on_invalid: OnInvalid,
) -> _Rows:
    """Read the rows, their labels and the second labels."""
    by_id = isinstance(second, str | os.PathLike) and not _is_column(data, os.fspath(second))
    kind = kind_of("label", on_invalid)
    fields = {"labels": (labels_given, kind), "second_labels": (None if by_id else second, kind)}
    whole = dataset.read(data, source[0], ids=ids, fields=fields, ids_from="labels", encoding=source[1])
    stored = load(whole.embeddings, rows=whole, metric=settings.metric.reading, on_invalid=on_invalid, at_least=3)
    if settings.graph is not None:
        settings.graph.of(whole, stored)
    use = usable(whole, stored, on_invalid, at_least=3)
    rows = use.rows
    known = codes = None
    if labels_given is not None:
        known = from_values(rows.values["labels"], rows.ids, rows.places["labels"])
        refuse_lone_classes(known)
    if known is not None and second is not None:
        if by_id:
            codes = _codes_by_id(known, os.fspath(second), stored.name)  # type: ignore[call-overload]
        else:
            values, place = rows.values["second_labels"], rows.places["second_labels"]
            codes = codes_as_in(known, from_values(values, rows.ids, place))
    return _Rows(use, known, codes)


def _is_column(data: object, name: str) -> bool:
    """Whether a text names a column of the data set and not a file."""
    if frames.is_table(data) and name in frames.column_names(data):
        return True
    return is_data_file(data) and not labels.is_file(name)


def _codes_by_id(known: Labels, spec: str, source: str) -> np.ndarray:
    """The second labels of all rows, from a file that names the rows by id."""
    other = read_labels(spec, "second_labels", len(known), source)
    rows, codes = matched(known, other)
    if len(rows) < len(known):
        labelled = set(other.ids)
        missing = [one for one in known.ids if one not in labelled]
        raise DataError(
            f"{other.place}: {len(missing)} ids of {known.place} are missing: {some(missing)}; `vicinal kappa` "
            "compares files of which one labels only a part"
        )
    return codes


def _compute(rows: _Rows, settings: _Settings, progress: StartProgress | None) -> Diagnosis:
    """The diagnosis, from one neighbour pass."""
    start = time.perf_counter()
    stored = rows.use.vectors
    index = Exact(settings.metric.resolve(stored), settings.threads)
    report = None if progress is None else progress(f"{index.metric.name} neighbours")
    index = index.fit(stored.vectors, invalid={})
    if settings.graph is None:
        neighbors = index.neighbors(settings.k, progress=report, recall=settings.recall)
    else:
        neighbors = kept.complete(settings.graph, rows.use.left, settings.k)
    diagnosis = describe(
        stored.vectors, index, neighbors, rows.use.rows.ids, rows.labels, rows.second, source=stored.name,
        pairs=settings.pairs, evaluation=settings.evaluation,
    )  # fmt: skip
    return replace(
        diagnosis, seconds=time.perf_counter() - start, unusable=rows.use.reasons, use=rows.use, measure=index.metric
    )


def describe(
    vectors: np.ndarray,
    index: Exact,
    neighbors: Neighbors,
    ids: list[Id],
    labels: Labels | None = None,
    second: np.ndarray | None = None,
    *,
    source: str,
    pairs: int = PAIRS,
    evaluation: float = EVALUATION,
) -> Diagnosis:
    """Return the diagnosis of rows whose neighbours are known.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
    index : Exact
        Fitted to them.
    neighbors : Neighbors
        The nearest others of each row.
    ids : list of int or str
    labels : Labels, optional
    second : ndarray of int64, optional
        Second labels, as codes of the first ones' classes; -1 for another.
    source : str
        What the embeddings are called.
    pairs : int
    evaluation : float
        As in `diagnose`.
    """
    facts = vector_figures.measure(vectors, index, neighbors)
    figures, warnings = vector_figures.figures_of(facts), vector_figures.warnings_of(facts)
    if neighbors.approximate:
        warnings.append(f"the neighbours are {neighbors.recall}")
    of_labels: dict[str, Any] = {}
    if labels is not None:
        label_facts, of_labels = _of_labels(labels, second, neighbors, pairs, evaluation)
        figures = label_figures.figures_of(label_facts) + figures
        warnings = label_figures.warnings_of(label_facts) + warnings
        if of_labels["confusion"] is None:
            warnings.append(
                f"{len(labels.classes):,} classes: confusion is counted for at most {MOST_CLASSES:,} classes"
            )
    return Diagnosis(
        source=source,
        n=len(vectors),
        dim=vectors.shape[1],
        metric=index.metric.name,
        k=neighbors.k,
        ids=ids,
        neighbors=neighbors,
        norms=facts.norms,
        occurrences=hubness(neighbors, facts.hub_k),
        figures={figure.name: figure for figure in figures},
        warnings=warnings,
        **of_labels,
    )


def _of_labels(
    known: Labels, second: np.ndarray | None, neighbors: Neighbors, pairs: int, evaluation: float
) -> tuple[LabelFacts, dict[str, Any]]:
    """The facts of the labels, and the fields of the diagnosis that need labels."""
    ks, n_classes = list(range(1, neighbors.k + 1)), len(known.classes)
    scores = {name: accuracy_by_k(neighbors, known.codes, ks, name) for name in WEIGHTS}
    curve = Curve("accuracy", ks, scores, len(known), str(neighbors.metric))
    counts = confusion(neighbors, known.codes, n_classes, *curve.best) if n_classes <= MOST_CLASSES else None
    error_k = min(ERROR_K, neighbors.k)
    errors = label_errors(neighbors, known.codes, n_classes, error_k)
    kappa: Kappa | None = None if second is None else cohen_kappa(known.codes, second)
    facts = LabelFacts(known, curve, error_by_share(neighbors, known.codes), error_k, len(errors), kappa)
    fields = {
        "labels": known,
        "curve": curve,
        "convergence": facts.convergence,
        "confusion": counts,
        "label_errors": error_table(known, errors),
        "boundary_pairs": pair_table(known, boundary_pairs(neighbors, known.codes, pairs, evaluation)),
        "kappa": kappa,
    }
    return facts, fields
