"""`vicinal.neighbors`: each row's nearest other rows, of an array, a file or a table."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.data import dataset, tables
from vicinal.data.embeddings import OnInvalid, load
from vicinal.errors import UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.arguments import check_k
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.storage import atomic
from vicinal.typing import Id, MetricLike, PathLike, StartProgress


@dataclass(frozen=True, eq=False, repr=False)
class DataNeighbors(Neighbors):
    """The `Neighbors` of the rows of a data set, with ids, engine and time of the search.

    Attributes
    ----------
    indices, distances, metric, dim
        As of `Neighbors`.
    ids : list of int or str
        The id of each row, to which `indices` lead: `ids[indices[0, 0]]` is the row nearest to the first.
    engine : str
        The kernel that computed them, with its version.
    seconds : float
        How long it took.
    output : Path or None
        The folder that was written.
    """

    ids: list[Id] = field(default_factory=list)
    engine: str = ""
    seconds: float = 0.0
    output: Path | None = None

    def summary(self) -> dict[str, Any]:
        """Return n, dim, k, metric, engine, seconds and output, as JSON can hold them."""
        return {
            "n": len(self),
            "dim": self.dim,
            "k": self.k,
            "metric": self.metric,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "output": None if self.output is None else str(self.output),
        }


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
    progress: StartProgress | None = None,
    checkpoint: PathLike | None = None,
    output: PathLike | None = None,
    overwrite: bool = False,
) -> DataNeighbors:
    """Return the k nearest other rows of each row, exactly: those that a float64 brute force returns.

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
    on_invalid : {"error", "null"}
        What to do with rows that no distance is defined for (NaN, infinite, under cosine all zero): refuse them, or
        give them no neighbours (index -1) and leave them out of the others'.
    threads : int, optional
        The number of threads (default: all cores). The result does not depend on it.
    progress : callable, optional
        Called with the name of the pass; returns the function that is called with (rows done, rows in all).
    checkpoint : path, optional
        A folder that keeps finished work every minute; the same call resumes from it and removes it at the end.
    output : path, optional
        A folder to save the neighbours in, for `Neighbors.load` and `vicinal.score(neighbors=...)`.
    overwrite : bool
        Whether `output` may be replaced.

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
    try:
        measure = find(metric)
    except UsageError as error:
        raise UsageError(f"metric: {error}") from None
    index = Exact(measure, threads)
    if output is not None:
        atomic.check_folder(Path(output), overwrite)
    rows = dataset.read(data, embeddings, ids=ids, fields={"groups": (groups, "label")}, encoding=encoding)
    vectors = load(rows.embeddings, rows=rows, metric=measure, on_invalid=on_invalid, at_least=2)
    codes = tables.numbered(rows.values["groups"]) if "groups" in rows.values else None
    index.fit(vectors.vectors, on_invalid, vectors.invalid)
    name = vectors.name if vectors.path is None else vectors.path.name
    callback = None if progress is None else progress(f"{measure.name} neighbours of {name}")
    nearest = index.neighbors(
        k, groups=codes, progress=callback, checkpoint=None if checkpoint is None else Path(checkpoint)
    )
    folder = None if output is None else Path(output)
    if folder is not None:
        nearest.save(folder, overwrite)
    seconds = time.perf_counter() - start
    return DataNeighbors(
        nearest.indices, nearest.distances, nearest.metric, nearest.dim, rows.ids, index.engine, seconds, folder
    )
