"""`vicinal.neighbors`: each row's nearest other rows, of an array, a file or a table."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from vicinal import devices
from vicinal.data import adding, dataset, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.usable import Usable, kind_of, usable
from vicinal.distributed.engines import engine_of
from vicinal.knn.arguments import check_k
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import check_recall, recall_fields
from vicinal.storage import atomic
from vicinal.tasks import arguments
from vicinal.tasks.score import kept
from vicinal.typing import Id, MetricLike, PathLike, StartProgress


@dataclass(frozen=True, eq=False, repr=False)
class DataNeighbors(Neighbors):
    """The `Neighbors` of the rows of a data set, with ids, engine and time of the search.

    Attributes
    ----------
    indices, distances, metric, dim, recall
        As of `Neighbors`.
    ids : list of int or str
        The id of each row, to which `indices` lead: `ids[indices[0, 0]]` is the row nearest to the first. A slice
        keeps all of them.
    row_ids : list of int or str
        The id of each row of this result; of a slice, those of its rows.
    engine : str
        The kernel that computed them, with its version.
    seconds : float
        How long it took.
    output : Path or None
        The folder that was written.
    unusable : dict of int to str
        The rows without neighbours of their own, by number in the data, and why.
    skipped : bool
        Whether these rows are left out of the result.
    """

    ids: list[Id] = field(default_factory=list)
    engine: str = ""
    seconds: float = 0.0
    output: Path | None = None
    unusable: dict[int, str] = field(default_factory=dict)
    skipped: bool = False

    row_ids: list[Id] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.row_ids and len(self.ids) == len(self):
            object.__setattr__(self, "row_ids", self.ids)

    def _slice(self, rows: slice) -> Self:
        part = replace(self, indices=self.indices[rows], distances=self.distances[rows], row_ids=[])
        object.__setattr__(part, "row_ids", self.row_ids[rows])
        return part

    def summary(self) -> dict[str, Any]:
        """Return n, dim, k, metric, engine, seconds, recall and output, as JSON can hold them."""
        return {
            "n": len(self),
            "dim": self.dim,
            "k": self.k,
            "metric": self.metric,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "unusable": len(self.unusable),
            **recall_fields(self.recall),
            "output": None if self.output is None else str(self.output),
        }


@devices.takes_device
def neighbors(
    data: object,
    k: int = 5,
    metric: MetricLike = "euclidean",
    *,
    embeddings: object = None,
    encoding: object = None,
    groups: object = None,
    ids: object = None,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    device: str | None = None,
    progress: StartProgress | None = None,
    checkpoint: PathLike | None = None,
    engine: str = "local",
    address: str | None = None,
    recall: float | None = None,
    output: PathLike | None = None,
    add_to: PathLike | None = None,
    overwrite: bool = False,
) -> DataNeighbors:
    """Return the k nearest other rows of each row: those that a float64 brute force returns, unless `recall` is given.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (an array of shape (n, dim) or a `.npy` file), a data set file (`.jsonl`, `.jsonl.gz`, `.csv`,
        `.parquet`), or a table in memory (pandas, polars, pyarrow, Hugging Face datasets, mapping of columns).
    k : int
        The number of neighbours; where there are fewer other rows, all of them, with a warning.
    metric : str or Metric
        A name or alias of `vicinal.knn.metrics`, or a metric such as `vicinal.mahalanobis(M)`.
    embeddings : str, path, or array_like, optional
        Where the embeddings are, if not in `data`: a column of the table, a `.npy` file, or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    groups : str or sequence, optional
        The column (or FILE:FIELD, or one value a row) whose equal values make rows no neighbours of each other.
    ids : str or sequence, optional
        The column of ids (default "id"; where there is none, row numbers), or the ids.
    on_invalid : {"error", "null", "skip"}
        What to do with rows that no distance is defined for (NaN, infinite, under cosine all zero) and rows without a
        group: refuse them, give them no neighbours (index -1) and leave them out of the others', or leave them out of
        the result too, whose `ids` are those of the others.
    threads : int, optional
        The number of threads (default: all cores). The result does not depend on it.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    progress : callable, optional
        Called with the name of the pass; returns the function that is called with (rows done, rows in all).
    checkpoint : path, optional
        A folder that keeps finished work every minute; the same call resumes from it and removes it at the end.
    engine : {"local", "ray"}
        Where the pass runs: in this process, or on a Ray cluster (`vicinal.distributed.neighbors`). The result does not
        depend on it.
    address : str, optional
        Of the Ray cluster: HOST:PORT, or "auto" on one of its nodes; without it, this machine alone.
    recall : float, optional
        Above 0 and at most 1: an approximate result of at least this recall, for less work; the default is exact. The
        recall is measured on a sample of rows, and is the result's `recall`.
    output : path, optional
        A folder to save the neighbours in, for `Neighbors.load` and `vicinal.score(neighbors=...)`.
    add_to : path, optional
        Write the data set with the column "neighbors" behind its own: of each row the numbers of its neighbours, from
        0, and their distances, {"ids": [...], "distances": [...]}, as embedding-atlas reads it. `.parquet`, `.jsonl`,
        `.jsonl.gz` or `.csv`.
    overwrite : bool
        Whether the outputs may be replaced.

    Returns
    -------
    DataNeighbors
        indices int64 (n, k), -1 where there are fewer; distances float32 (n, k), ascending, in the metric's unit. Ties
        go to the lower row.

    Raises
    ------
    UsageError
        An argument cannot be used; the output exists and may not be replaced.
    DataError
        A file cannot be read; the numbers of rows differ; there are fewer than two rows; rows are invalid and
        `on_invalid` is "error".

    Examples
    --------
    >>> nearest = neighbors([[0.0], [1.0], [3.0]], k=1)
    >>> nearest.indices.ravel().tolist(), nearest.distances.ravel().tolist()
    ([1, 0, 1], [1.0, 1.0, 2.0])
    >>> table = {"id": ["a", "b", "c"], "chat": [1, 1, 2], "embedding": [[0.0], [1.0], [3.0]]}
    >>> nearest = neighbors(table, k=1, groups="chat")
    >>> [nearest.ids[row] for row in nearest.indices[:, 0]]
    ['c', 'c', 'b']
    """
    start = time.perf_counter()
    k = check_k(k)
    measure = find(metric)
    place = engine_of(engine, address, recall)
    index = place.exact(measure, threads)
    recall = None if recall is None else check_recall(recall)
    if output is not None:
        atomic.check_folder(Path(output), overwrite)
    arguments.check_outputs({"add_to": add_to}, [data, embeddings, groups, ids], overwrite)
    arguments.refuse_one_file({"output": output, "add_to": add_to})
    fields = {"groups": (groups, kind_of("label", on_invalid))}
    rows = dataset.read(data, embeddings, ids=ids, fields=fields, encoding=encoding)
    if add_to is not None:
        adding.check(rows, add_to)
    vectors = load(
        rows.embeddings, rows=rows, metric=measure, on_invalid=on_invalid, at_least=2, in_place=place.in_place
    )
    use = usable(rows, vectors, on_invalid, at_least=2)
    if not use.skip:  # rows without neighbours keep their places
        use = replace(use, rows=rows, vectors=vectors, left=np.arange(len(rows)))
    values = use.rows.values.get("groups")
    codes = None if values is None else tables.numbered(["" if value is None else value for value in values])
    index.fit(use.vectors.vectors, "null", {} if use.skip else use.reasons)
    name = vectors.name if vectors.path is None else vectors.path.name
    callback = None if progress is None else progress(f"{measure.name} neighbours of {name}")
    nearest = index.neighbors(
        k,
        groups=codes,
        progress=callback,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        recall=recall,
    )
    folder = None if output is None else Path(output)
    if folder is not None:
        of_all = None if use.skip and use.reasons else vectors  # of other rows, a checksum would say nothing
        nearest.save(folder, overwrite, kept.origin(of_all, groups is not None))
    if add_to is not None:
        _add(rows, use, nearest, add_to, overwrite)
    result = DataNeighbors(
        nearest.indices, nearest.distances, nearest.metric, nearest.dim, use.ids, index.engine, recall=nearest.recall
    )
    seconds = time.perf_counter() - start
    return replace(result, seconds=seconds, output=folder, unusable=use.reasons, skipped=use.skip)


def _add(rows: Dataset, use: Usable, nearest: Neighbors, add_to: PathLike, overwrite: bool) -> None:
    """Write the data set with its neighbours; they are named by their row in the file that is written."""
    adding.write_arrow(rows, {"neighbors": nearest.to_arrow()}, add_to, overwrite, use.left)
