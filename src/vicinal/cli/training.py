"""The options and the loading that commands with known rows and asked rows share."""

import argparse
import contextlib
import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from vicinal.data.labels import Labels
    from vicinal.data.tables import Id
    from vicinal.indexes.exact import Exact
    from vicinal.knn.metrics import Metric

MAX_K = "50"
MAHALANOBIS = "mahalanobis"


def add_rows(parser: argparse.ArgumentParser, what: str) -> None:
    """The rows, the metric, the threads and the output of the command's figures."""
    from vicinal.knn.metrics import BY_NAME

    parser.add_argument("embeddings", metavar="NPY", help=what)
    parser.add_argument(
        "--metric", metavar="NAME", default="euclidean", help=f"{', '.join(BY_NAME)}, mahalanobis (default euclidean)"
    )
    parser.add_argument(
        "--matrix",
        metavar="NPY",
        help="the M of mahalanobis, sqrt((x - y)' M (x - y)): an array (dim, dim), learned or the inverse of a "
        "covariance (default: the inverse of the rows' own)",
    )
    parser.add_argument("--threads", metavar="N", help="threads (default: the machine's cores)")
    parser.add_argument("--json", action="store_true", help="a summary as JSON: on stdout, or stderr without an output")


def add_predictions(parser: argparse.ArgumentParser) -> None:
    """The options of commands that write a record of each row."""
    from vicinal.data.tables import SUFFIXES

    parser.add_argument("--ids", metavar="FILE[:FIELD]", help="the ids of the rows written (default: row numbers)")
    parser.add_argument("-o", "--output", metavar="FILE", help=f"{', '.join(SUFFIXES)} (default: standard output)")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")


def add_votes(parser: argparse.ArgumentParser) -> None:
    """The options of commands that predict."""
    from vicinal.analysis.votes import WEIGHTS

    parser.add_argument("--queries", metavar="NPY", required=True, help="the embeddings to predict for")
    parser.add_argument(
        "-k", "--k", metavar="K", default="5", help="how many neighbours vote, or auto: the best of leave-one-out"
    )
    parser.add_argument("--max-k", metavar="K", default=MAX_K, help=f"the largest k that auto tries (default {MAX_K})")
    parser.add_argument("--weights", choices=(*WEIGHTS, "auto"), default="uniform", help="auto: the better one")
    parser.add_argument("--with-neighbors", action="store_true", help="name the neighbours in each record")


def vectors(path: str, place: str, index: "Exact", at_least: int = 1) -> "np.ndarray":
    """The rows of a file, all of which can be used."""
    from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid
    from vicinal.storage import npy
    from vicinal.tasks.score import config

    file = config.input_file(path, place)
    rows = as_vectors(npy.load_npy(file), str(file), at_least=at_least)
    refuse_dtype(rows, index.metric, str(file))
    refuse_invalid(invalid_rows(rows, index.metric), range(len(rows)), str(file), remedy="")
    return rows


def index_of(arguments: argparse.Namespace) -> "Exact":
    """An empty index of the metric and threads that were asked for."""
    from vicinal.errors import UsageError
    from vicinal.indexes.exact import Exact
    from vicinal.tasks.score import config

    threads = config.threads(arguments.threads)
    if arguments.metric == MAHALANOBIS:
        return Exact(_mahalanobis(arguments), threads)
    if arguments.matrix is not None:
        raise UsageError(f"--matrix: it is for --metric mahalanobis, not for {arguments.metric}")
    return Exact(arguments.metric, threads)


def _mahalanobis(arguments: argparse.Namespace) -> "Metric":
    """The metric of the matrix that was given, or of the rows' own covariance."""
    import numpy as np

    from vicinal.errors import DataError, UsageError
    from vicinal.indexes.exact import Exact
    from vicinal.knn.metrics import mahalanobis
    from vicinal.storage import npy
    from vicinal.tasks.score import config

    rows = vectors(arguments.embeddings, "NPY", Exact(), at_least=2)
    (n, dim), amid = rows.shape, rows.mean(axis=0, dtype=np.float64)
    if arguments.matrix is not None:
        matrix = npy.load_npy(config.input_file(arguments.matrix, "--matrix"))
        if matrix.shape != (dim, dim) or matrix.dtype.kind not in "fiu" or not np.isfinite(matrix).all():
            raise DataError(
                f"{arguments.matrix}: found {matrix.dtype} of shape {matrix.shape}, expected ({dim}, {dim}) finite "
                f"numbers for {arguments.embeddings}"
            )
        try:
            return mahalanobis(matrix, amid)
        except UsageError as error:
            raise DataError(f"{arguments.matrix}: {error}") from None
    covariance = np.cov(rows, rowvar=False, dtype=np.float64).reshape(dim, dim)
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if rank < dim:
        raise DataError(
            f"{arguments.embeddings}: the covariance of {n} rows has rank {rank} of {dim}, so it has no inverse; give "
            "--matrix: learned, or precision_ of sklearn.covariance.LedoitWolf, whose covariance is shrunk"
        )
    return mahalanobis(np.linalg.inv(covariance), amid)


def labels_of(arguments: argparse.Namespace, n: int) -> "Labels":
    """The labels of the n rows, of the rows that a note beside the array says it is of."""
    from vicinal.data import labels, provenance

    found = labels.read_labels(arguments.labels, "--labels", n, arguments.embeddings)
    provenance.verify(arguments.embeddings, labels.parse(arguments.labels, "--labels")[0], found.ids, contents=False)
    return found


def targets_of(arguments: argparse.Namespace, n: int) -> "tuple[list[Id], np.ndarray]":
    """The ids and the target values of the n rows, as `labels_of`."""
    from vicinal.data import labels, provenance

    ids, values = labels.read_targets(arguments.targets, "--targets", n, arguments.embeddings)
    provenance.verify(arguments.embeddings, labels.parse(arguments.targets, "--targets")[0], ids, contents=False)
    return ids, values


def ids_of(arguments: argparse.Namespace, n: int, array: str) -> "list[Id]":
    """The ids of the n rows of an array, as `labels_of`; their numbers where no file is named."""
    from vicinal.data import labels, provenance

    ids = labels.read_ids(arguments.ids, "--ids", n, array)
    if arguments.ids is not None:
        provenance.verify(array, labels.parse(arguments.ids, "--ids")[0], ids, contents=False)
    return ids


def queries(arguments: argparse.Namespace, index: "Exact", stored: "np.ndarray") -> "np.ndarray":
    """The rows to predict for; as wide as those that are known."""
    from vicinal.errors import DataError

    asked = vectors(arguments.queries, "--queries", index)
    if asked.shape[1] != stored.shape[1]:
        raise DataError(
            f"{arguments.queries}: found dim {asked.shape[1]}, {arguments.embeddings} has dim {stored.shape[1]}"
        )
    return asked


def check_output(arguments: argparse.Namespace, ids: "list[Id]") -> None:
    """Raises UsageError at once where the records could not be written later."""
    from vicinal.data import tables
    from vicinal.storage import atomic

    if arguments.output is not None:
        tables.suffix(arguments.output)
        atomic.check_file(arguments.output, arguments.overwrite)
        tables.check_table(arguments.output, ids)


def write(arguments: argparse.Namespace, records: Iterable[dict[str, Any]], types: dict[str, str]) -> None:
    """Writes the records: as they are in JSON lines, flat in tables."""
    from vicinal.data import tables

    if arguments.output is None:
        lines = tables.JsonLines(sys.stdout.buffer)
        for record in records:
            lines.add(record)
        sys.stdout.buffer.flush()
        return
    plain = tables.suffix(arguments.output) in (".jsonl", ".jsonl.gz")
    with tables.table_writer(arguments.output, arguments.overwrite, types) as table:
        for record in records:
            table.add(record if plain else _flat(record))


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Lists and objects as JSON text, which a cell can hold."""
    import json

    return {name: json.dumps(cell) if isinstance(cell, dict | list) else cell for name, cell in record.items()}


def share(text: str, place: str) -> float:
    """The number of an option that holds one, or UsageError."""
    from vicinal.errors import UsageError

    number = math.nan
    with contextlib.suppress(ValueError):
        number = float(text)
    if not math.isfinite(number):
        raise UsageError(f'{place}: expected a number, got "{text}"')
    return number


def number_of_voters(arguments: argparse.Namespace) -> int:
    """-k, or --max-k where -k is auto."""
    from vicinal.tasks.score import config

    if arguments.k == "auto":
        return config.whole_number(arguments.max_k, "--max-k")
    return config.whole_number(arguments.k, "-k")


def voters(arguments: argparse.Namespace, index: "Exact", known: Any, progress: Any) -> tuple[int, str, Any]:
    """How many neighbours vote and with which weights, and the curve that was asked where they are chosen."""
    from vicinal.analysis.votes import WEIGHTS
    from vicinal.tasks.predict import leave_one_out

    most = number_of_voters(arguments)
    if arguments.k != "auto" and arguments.weights != "auto":
        return most, arguments.weights, None
    weightings = WEIGHTS if arguments.weights == "auto" else (arguments.weights,)
    curve = leave_one_out(index, known, most, weightings, progress)
    if arguments.k == "auto":
        return *curve.best, curve
    return curve.ks[-1], max(weightings, key=lambda name: curve.scores[name][-1]), curve


def at_most(k: int, n: int) -> int:
    """k, or n where that is less, with a warning that says both."""
    import warnings

    if k > n:
        warnings.warn(f"k = {k}, but only {n} rows are known; using k = {n}", stacklevel=2)
    return min(k, n)
