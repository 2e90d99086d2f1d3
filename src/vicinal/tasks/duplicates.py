"""Near-duplicates of a data set: `duplicates` finds them, `Duplicates` holds one row a sample and the groups."""

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis.duplicates import check_radius, duplicate_groups, representatives
from vicinal.data import dataset, frames, tables
from vicinal.data.embeddings import Embeddings, OnInvalid, load
from vicinal.data.results import Columns
from vicinal.errors import UsageError
from vicinal.knn.arguments import check_threads
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import Metric, find
from vicinal.storage import atomic
from vicinal.typing import Id, MetricLike, StartProgress

BLOCK_BYTES = 1 << 24


class Duplicates(Columns):
    """The near-duplicates of a data set: one row a sample, in the input's order.

    Columns, by name (`result["duplicate"]`), each an array of length n:

    - `group` (int64): the row number of the first row of the sample's group; a sample without duplicates is a group of
      its own.
    - `representative` (int64): the row number of the row that is kept for the group.
    - `size` (int64): the number of rows of the group.
    - `distance` (float32): the distance to the representative, in the metric's unit.
    - `duplicate` (bool): whether the sample is dropped, because it is not its group's representative.

    A sample whose embedding is invalid (`on_invalid="null"`) has group and representative -1, size 0, distance NaN, and
    is kept.

    Attributes
    ----------
    ids : list of int or str
    metric : str
    radius : float
        In the metric's unit.
    seconds : float
        The time that `duplicates` took.
    """

    def __init__(
        self, ids: list[Id], columns: dict[str, np.ndarray], metric: str, radius: float, seconds: float
    ) -> None:
        super().__init__(ids, columns)
        self.metric, self.radius, self.seconds = metric, radius, seconds

    def __repr__(self) -> str:
        return (
            f"Duplicates(n={len(self)}, groups={self.n_groups}, removed={len(self.removed)}, metric={self.metric!r}, "
            f"radius={self.radius:g})"
        )

    @property
    def kept(self) -> np.ndarray:
        """The numbers of the rows that are kept, ascending, int64."""
        return np.flatnonzero(~self["duplicate"])

    @property
    def removed(self) -> np.ndarray:
        """The numbers of the rows that are dropped, ascending, int64."""
        return np.flatnonzero(self["duplicate"])

    @property
    def n_groups(self) -> int:
        """The number of groups of at least two rows."""
        return int(((self["group"] == np.arange(len(self))) & (self["size"] > 1)).sum())

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        """The groups of at least two rows, ordered by their first row, as the command writes them.

        Each is a mapping of representative (an id), size, ids, rows, and distances (to the representative, one a row).
        """
        return list(self._group_records())

    def _group_records(self) -> Iterator[dict[str, Any]]:
        members = np.flatnonzero(self["size"] > 1)
        group = self["group"][members]
        members = members[np.argsort(group, kind="stable")]
        ends = np.cumsum(self["size"][np.unique(group)])
        for rows in np.split(members, ends[:-1]) if len(members) else ():
            yield {
                "representative": self.ids[self["representative"][rows[0]]],
                "size": len(rows),
                "ids": [self.ids[row] for row in rows],
                "rows": rows.tolist(),
                "distances": [float(str(one)) for one in self["distance"][rows]],
            }

    def drop_from(self, table: Any) -> Any:
        """Return a table without the duplicates.

        Parameters
        ----------
        table : pandas.DataFrame, polars.DataFrame, pyarrow.Table, datasets.Dataset, mapping of columns, or array
            With the same rows as the data, in the same order.

        Returns
        -------
        table
            Of the same kind.

        Raises
        ------
        UsageError
            The table has another number of rows.
        """
        return frames.take(table, self.kept, len(self))

    def write_groups(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the groups to a `.jsonl` or `.jsonl.gz` file, a line a group; it appears whole or not at all.

        Raises
        ------
        UsageError
            The file exists and `overwrite` is false, or its name has another ending.
        """
        _check_output(path, overwrite)
        with tables.table_writer(path, overwrite) as table:
            for record in self.groups:
                table.add(record)

    def summary(self) -> dict[str, Any]:
        """Return the counts that `vicinal duplicates --json` prints: groups, rows in them, removable rows, seconds."""
        rows = int((self["size"] > 1).sum())
        removable = len(self.removed)
        return {"groups": self.n_groups, "rows": rows, "removable": removable, "seconds": round(self.seconds, 3)}


def duplicates(
    data: object,
    radius: float,
    embeddings: object = None,
    encoding: object = None,
    *,
    metric: MetricLike = "euclidean",
    quality: object = None,
    ids: object = None,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    progress: StartProgress | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Duplicates:
    """Return the near-duplicates of a data set, and which row of each group to keep.

    Rows at most `radius` apart are of one group, and so are rows that a chain of such pairs joins. The groups are
    exact: every pair within the radius is found.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (an array of shape (n, dim) or a `.npy` file), a data set file (`.jsonl`, `.jsonl.gz`, `.csv`,
        `.parquet`), or a table in memory (pandas, polars, pyarrow, Hugging Face datasets, mapping of columns).
    radius : float
        In the unit of the metric, at least 0 (of any sign for inner_product); 0 finds exact copies.
    embeddings : str, path, or array_like, optional
        The embeddings, if not in `data`: the name of a column, a `.npy` file, or an array; one row a sample.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    metric : str or Metric
        A name or alias of the table of metrics, such as "euclidean" or "cosine".
    quality : str or array_like, optional
        A number a row, high is good: a column name, FILE:FIELD, or the values. Of each group the best row is kept, of
        equal ones the first. Without it, the first row is kept.
    ids : str or sequence, optional
        The column of ids (default "id"; row numbers where there is none), or the ids.
    on_invalid : {"error", "null"}
        Rows with NaN, infinity or, under cosine, only zeros: "error" refuses them, "null" puts them in no group.
    threads : int, optional
        The number of threads; by default, the number of cores.
    progress : callable, optional
        Called with the name of each pass; returns a callback that takes (rows done, rows in all).
    output : path, optional
        A `.jsonl` or `.jsonl.gz` file for the groups, a line a group.
    overwrite : bool
        Whether `output` may exist; it is replaced.

    Returns
    -------
    Duplicates
        One row a sample in the input's order: group, representative, size, distance, duplicate.

    Raises
    ------
    UsageError
        An argument cannot be used.
    DataError
        The data or the embeddings cannot be read or do not fit together, or rows are invalid.

    Examples
    --------
    >>> found = duplicates([[0.0], [5.0], [0.1], [0.2]], radius=0.15)
    >>> found["group"].tolist(), found["duplicate"].tolist()
    ([0, 1, 0, 0], [False, False, True, True])
    >>> found.drop_from({"text": ["a", "b", "c", "d"]})
    {'text': ['a', 'b']}
    """
    start = time.perf_counter()
    measure = find(metric)
    limit = check_radius(radius, measure)
    threads = check_threads(threads)
    if output is not None:
        _check_output(output, overwrite)
        atomic.refuse_input(output, [data, embeddings, ids, quality])
    rows = dataset.read(data, embeddings, ids=ids, fields={"quality": (quality, "number")}, encoding=encoding)
    vectors = load(rows.embeddings, rows=rows, metric=measure, on_invalid=on_invalid)
    worth = np.array(rows.values["quality"], dtype=np.float64) if "quality" in rows.values else None
    callback = progress and progress(f"{measure.name} pairs within {limit:g}")
    columns = _columns(vectors, limit, measure, worth, threads, callback)
    result = Duplicates(rows.ids, columns, measure.name, limit, time.perf_counter() - start)
    if output is not None:
        result.write_groups(output, overwrite)
    return result


def _check_output(output: str | Path, overwrite: bool) -> None:
    if tables.suffix(output) not in tables.LINES:
        raise UsageError(f"{output}: a group is a list of rows; expected a name that ends in .jsonl or .jsonl.gz")
    atomic.check_file(output, overwrite)


def _columns(
    embeddings: Embeddings,
    radius: float,
    metric: Metric,
    quality: np.ndarray | None,
    threads: int | None,
    progress: Callable[..., None] | None,
) -> dict[str, np.ndarray]:
    """The columns of `Duplicates`."""
    n, valid = len(embeddings), embeddings.valid
    vectors = embeddings.vectors[valid] if embeddings.invalid else embeddings.vectors
    groups = duplicate_groups(vectors, radius, metric, threads, progress)
    best = representatives(groups, None if quality is None else quality[valid])
    group, representative = np.full(n, -1), np.full(n, -1)
    size, distance = np.zeros(n, dtype=np.int64), np.full(n, np.nan, dtype=np.float32)
    group[valid], representative[valid] = valid[groups], valid[best]
    size[valid] = np.bincount(groups, minlength=len(valid))[groups]
    distance[valid] = _distances_between(vectors, best, metric)
    return {
        "group": group,
        "representative": representative,
        "size": size,
        "distance": distance,
        "duplicate": (representative != np.arange(n)) & (representative >= 0),
    }


def _distances_between(vectors: np.ndarray, others: np.ndarray, metric: Metric) -> np.ndarray:
    """The distance of each row to another, float32 (n,)."""
    distance = np.zeros(len(vectors), dtype=np.float32)
    # A row's distance to itself is 0, but not its inner product with itself.
    rows = np.arange(len(vectors)) if metric.product else np.flatnonzero(others != np.arange(len(vectors)))
    for places in blocks(len(rows), BLOCK_BYTES // (8 * vectors.shape[1])):
        block = rows[places]
        a, b = np.asarray(vectors[block]), np.asarray(vectors[others[block]])
        if metric.whiten is not None:
            a, b = metric.whiten(a), metric.whiten(b)
        with np.errstate(over="ignore"):  # a distance beyond float32 is inf
            distance[block] = metric.finish(metric.measure(metric.prepare(a), metric.prepare(b)))
    return distance
