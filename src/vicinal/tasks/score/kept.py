"""Neighbours that were computed before, for tasks that need no second pass: a saved graph, or the folder of a kept run.

Before they are used, they are compared with the rows that they are used for: the metric, the number of rows, the dim,
the checksum of the embeddings' file where both are files, and the distances of a sample of pairs, measured again.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import metric as metric_choice
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings
from vicinal.data.metric import MetricChoice
from vicinal.data.sources import is_data_file, split
from vicinal.errors import DataError, UsageError
from vicinal.knn.measure import inverse_lengths, measured
from vicinal.knn.metrics import BY_NAME, Metric
from vicinal.knn.neighbors import SAVED, Neighbors
from vicinal.storage import manifests
from vicinal.tasks.score.runs import RUN, Kept
from vicinal.typing import PathLike

SAMPLE = 64  # rows whose distances are measured again


@dataclass(frozen=True, eq=False)
class Graph:
    """Known neighbours of all rows of a set, and what they were computed from.

    Attributes
    ----------
    neighbors : Neighbors
    place : str
        What messages call them: their folder, or the argument.
    checksums : tuple of str
        The SHA-256 of each file of embeddings, in the order of the rows; empty where it is not known.
    grouped : bool
        Whether rows of one group were kept apart, so that near rows may be missing.
    scored, source : str
        The data set and the file of embeddings of a run that has one of each; else empty.
    """

    neighbors: Neighbors
    place: str
    checksums: tuple[str, ...] = ()
    grouped: bool = False
    scored: str = ""
    source: str = ""

    @property
    def metric(self) -> Metric:
        """The metric; euclidean where it is not known.

        Raises    UsageError where it is no metric of the table, as one with a matrix.
        """
        name = self.neighbors.metric or "euclidean"
        if name not in BY_NAME:
            raise UsageError(
                f"{self.place}: holds neighbours by {name}, which needs its matrix; leave the neighbours out"
            )
        return BY_NAME[name]

    def of(self, rows: Dataset, vectors: Embeddings | None, whole: bool = True) -> Neighbors:
        """Return the neighbours once they are known to be those of the rows.

        Parameters
        ----------
        rows : Dataset
        vectors : Embeddings or None
            Of all the rows; None where the task reads none.
        whole : bool
            Whether rows that were kept apart by groups would make the result wrong.

        Raises
        ------
        DataError
            They belong to other rows or other embeddings.
        UsageError
            They were computed with groups.
        """
        rows.refuse_other_count(self.place, len(self.neighbors))
        if whole and self.grouped:
            raise UsageError(
                f"{self.place}: holds neighbours outside each row's group, so that near rows of one group are missing; "
                "compute them again without groups"
            )
        if vectors is not None:
            self._refuse_other_vectors(vectors)
        return self.neighbors

    def at_least(self, k: int, n_usable: int, name: str = "k") -> Neighbors:
        """Return the k nearest of each row.

        Raises
        ------
        UsageError
            They hold fewer, although there are more rows.
        """
        held = self.neighbors.k
        if k > held and held < n_usable - 1:
            raise UsageError(
                f"{self.place}: holds {held} neighbours a row, expected at least {name} = {k}; compute them again with "
                f"-k {k} (in Python: k={k}), or give a smaller {name}"
            )
        return self.neighbors.nearest(min(k, held))

    def _refuse_other_vectors(self, vectors: Embeddings) -> None:
        remedy = "give the embeddings that they were computed from, or compute the neighbours again"
        dim = self.neighbors.dim
        if dim is not None and dim != vectors.dim:
            raise DataError(
                f"{self.place}: neighbours of dim {dim}, but {vectors.name} has dim {vectors.dim}; {remedy}"
            )
        checksum = _checksum(vectors) if len(self.checksums) == 1 else None
        if checksum not in (None, *self.checksums):
            raise DataError(f"{self.place}: computed from other embeddings than those of {vectors.name}; {remedy}")
        sample = np.unique(np.linspace(0, len(vectors) - 1, SAMPLE).astype(np.int64))
        wrong = _other_distances(self.neighbors, self.metric, vectors, sample)
        if wrong is not None:
            raise DataError(
                f"{self.place}: row {wrong[0]} has other distances in {vectors.name} ({wrong[2]:.7g} to row "
                f"{wrong[1]}, where {wrong[3]:.7g} was kept); {remedy}"
            )


def _other_distances(
    graph: Neighbors, metric: Metric, vectors: Embeddings, rows: np.ndarray
) -> tuple[int, int, float, float] | None:
    """The first pair among those of some rows whose distance is another; the row, its neighbour, and both distances."""
    named = graph.indices[rows]
    there = (named >= 0) & ~np.isin(rows, list(vectors.invalid))[:, None]
    if (named >= len(vectors)).any():
        row, column = np.argwhere(named >= len(vectors))[0]
        return int(rows[row]), int(named[row, column]), float("nan"), float(graph.distances[rows][row, column])
    own, place = np.unique(named[there], return_inverse=True)
    places = np.full(named.shape, -1)
    places[there] = place
    stored = np.asarray(vectors.vectors[own])
    lengths = inverse_lengths(stored) if metric.nonzero else None
    with np.errstate(all="ignore"):
        far = measured(metric, stored, np.asarray(vectors.vectors[rows]), places, 1, lengths).astype(np.float32)
    kept = graph.distances[rows]
    other = np.argwhere(there & ~(np.isclose(far, kept, rtol=1e-5, atol=1e-12) | (far == kept)))
    if not len(other):
        return None
    row, column = other[0]
    return int(rows[row]), int(named[row, column]), float(far[row, column]), float(kept[row, column])


def open_graph(source: object, metric: Metric | None = None, name: str = "neighbors") -> Graph:
    """Return the neighbours of an argument: a `Neighbors`, a folder of saved ones, or a kept run.

    Parameters
    ----------
    source : Neighbors or path
    metric : Metric, optional
        As it was given; without it, that of the neighbours, of a run with several the first.
    name : str
        The argument.

    Raises
    ------
    UsageError
        It is neither, or holds no neighbours by the metric.
    DataError
        The folder is damaged, or a file that a run was made from is gone or has changed.
    """
    if isinstance(source, Neighbors):
        return _of_metric([Graph(source, name)], metric, name)
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"{name}: expected a Neighbors, a folder that `vicinal neighbors` wrote, or a kept run (`vicinal score "
            f"--run`), got {type(source).__name__}"
        )
    place = os.fspath(source)
    if is_run(place):
        return _of_metric(_of_run(Kept.load(place), place), metric, place)
    found = Neighbors.load(place)
    manifest = manifests.read(place, SAVED)
    checksum = manifest.optional("embeddings_sha256", str)
    grouped = manifest.field("groups", bool, False)
    return _of_metric([Graph(found, place, () if checksum is None else (checksum,), grouped)], metric, place)


def is_run(place: object) -> bool:
    """Whether a path is the folder of a kept run."""
    return isinstance(place, str | os.PathLike) and manifests.format_of(Path(place)) == RUN.format


def _of_run(run: Kept, place: str) -> list[Graph]:
    """The passes of a run among its own rows."""
    run.verify()
    graphs = []
    for one in run.passes:
        first = run.scorers[one.scorers[0]]
        if first.reference is None:
            number = [source.path for source in run.parts[0].embeddings].index(_path_of(run, one.scorers[0]))
            checksums = tuple(part.embeddings[min(number, len(part.embeddings) - 1)].sha256 for part in run.parts)
            alone = (run.parts[0].data.path, _path_of(run, one.scorers[0])) if len(run.parts) == 1 else ("", "")
            graphs.append(Graph(one.neighbors, place, checksums, first.groups is not None, *alone))
    if not graphs:
        raise UsageError(f"{place}: holds neighbours in a reference alone; score without a reference, or leave it out")
    return sorted(graphs, key=lambda one: one.grouped)


def _path_of(run: Kept, scorer: int) -> str:
    """The file of a scorer's embeddings among those of the run's first part."""
    sources = [source.path for source in run.parts[0].embeddings]
    wanted = str(run.scorers[scorer].question.embeddings)
    return wanted if wanted in sources else sources[0]


def _of_metric(graphs: list[Graph], metric: Metric | None, place: str) -> Graph:
    known = [one for one in graphs if metric is None or one.neighbors.metric in (None, metric.name)]
    if known:
        return known[0]
    assert metric is not None
    names = " and ".join(dict.fromkeys(str(one.neighbors.metric) for one in graphs))
    raise UsageError(
        f"metric: the neighbours of {place} are those of {names}, got {metric.name}; leave the metric out, or compute "
        f"them again with --metric {metric.name} (in Python: metric={metric.name!r})"
    )


def origin(vectors: Embeddings | None, grouped: bool) -> dict[str, Any]:
    """Return what a folder of neighbours says of their origin, beside the neighbours themselves."""
    checksum = None if vectors is None else _checksum(vectors)
    return {**({} if checksum is None else {"embeddings_sha256": checksum}), **({"groups": True} if grouped else {})}


def _checksum(vectors: Embeddings) -> str | None:
    """The SHA-256 of the file whose only array the embeddings are."""
    if vectors.path is None or not vectors.path.is_file() or split(str(vectors.place))[1]:
        return None
    return manifests.sha256(vectors.path)


def choose(
    metric: Metric | str | None, matrix: object, neighbors: object, recall: object = None
) -> tuple[MetricChoice, Graph | None]:
    """Return the metric of a task, by default that of the neighbours, else euclidean; and the neighbours, if given.

    Raises
    ------
    UsageError
        The neighbours are those of another metric, or cannot be used beside a matrix or a recall.
    """
    if neighbors is None:
        return metric_choice.choose("euclidean" if metric is None else metric, matrix), None
    if recall is not None:
        raise UsageError("recall: an approximate pass is a new one, but neighbors are given; leave one of them out")
    given = None if metric is None else metric_choice.choose(metric, matrix)
    if given is not None and (given.whitened or given.reading.whiten is not None):
        raise UsageError("neighbors: mahalanobis is computed anew, from its matrix; leave the neighbours out")
    if given is None and matrix is not None:
        raise UsageError("matrix: belongs to the metric mahalanobis, but neighbors are given; leave one of them out")
    graph = open_graph(neighbors, None if given is None else given.reading)
    return given or metric_choice.choose(graph.metric), graph


def own_embeddings(graph: Graph | None, data: object, embeddings: object) -> object:
    """Return the embeddings as given; without them those of the run, for the data set that it scored."""
    if embeddings is not None or graph is None or not graph.source or not is_data_file(data):
        return embeddings
    same = Path(str(data)).resolve() == Path(graph.scored).resolve()
    own = split(graph.source)[0] == split(graph.scored)[0]  # the vectors are a field of the data set
    return graph.source if same and not own else None


def renumbered(graph: Neighbors, rows: np.ndarray) -> Neighbors:
    """Return the graph of some rows, in their numbers; other neighbours leave empty places at the end.

    An empty place that such a neighbour leaves has the distance of the row's last neighbour, up to which the rest is
    known.
    """
    if len(rows) == len(graph):
        return graph
    number = np.full(len(graph), -1)
    number[rows] = np.arange(len(rows))
    indices = graph.indices[rows]
    indices = np.where(indices < 0, -1, number[indices])
    order = np.argsort(indices < 0, axis=1, kind="stable")
    indices = np.take_along_axis(indices, order, axis=1)
    distances = np.where(
        indices < 0, graph.distances[rows, -1:], np.take_along_axis(graph.distances[rows], order, axis=1)
    )
    return Neighbors(indices, distances, graph.metric, graph.dim, recall=graph.recall)


def complete(graph: Graph, rows: np.ndarray, k: int) -> Neighbors:
    """Return the k nearest of some rows among themselves, in their numbers; fewer where there are fewer others.

    Raises
    ------
    UsageError
        Fewer are known, since the graph has fewer, or rows were left out.
    """
    n = len(graph.neighbors)
    found = renumbered(graph.neighbors if len(rows) < n else graph.at_least(k, n), rows)
    k = min(k, len(rows) - 1)
    if k > found.k or (found.indices[:, k - 1] < 0).any():
        short = found.k if k > found.k else int((found.indices >= 0).sum(axis=1).min())
        raise UsageError(
            f"{graph.place}: holds {short} neighbours of some of the {len(rows):,} rows that are used, expected at "
            f"least k = {k}; compute more neighbours of them, or give a smaller k"
        )
    return found.nearest(k)


def paths_of(neighbors: object) -> list[PathLike]:
    """The folder of the neighbours, as an input that no output may replace."""
    return [neighbors] if isinstance(neighbors, str | os.PathLike) else []
