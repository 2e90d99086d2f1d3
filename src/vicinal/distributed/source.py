"""The rows of a source as parts that lie where they are: files are opened by their header alone."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vicinal.data.embeddings import Embeddings
from vicinal.data.opening import open_source
from vicinal.distributed.rows import Part, Piece, part_of
from vicinal.errors import DataError
from vicinal.knn.joined import Joined
from vicinal.knn.metrics import Metric
from vicinal.knn.vectors import as_rows, checked, refuse_dtype


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a source.

    Attributes
    ----------
    parts : list of Piece or ndarray
        One after the other.
    name : str
    dim : int
        The number of columns.
    """

    parts: list[Part]
    name: str
    dim: int

    def __len__(self) -> int:
        return sum(part.shape[0] for part in self.parts)


def open_rows(source: object, metric: Metric, name: str = "source") -> Rows:
    """Return the rows of a source; of files that can be mapped, no row is read here.

    Parameters
    ----------
    source : path, array_like, Embeddings, or list of paths
        A file or a folder of shards as `vicinal.neighbors` takes them, an array, or the shards themselves.
    metric : Metric
    name : str
        What messages call a source that is not a file.

    Raises
    ------
    DataError
        Dtype or shape cannot be used, or those of shards differ.
    UsageError
        There is no such file.
    """
    opened: list[np.ndarray | Joined]
    if isinstance(source, Embeddings):
        opened, name = [source.vectors], source.name
    elif isinstance(source, str | os.PathLike):
        opened, name = [open_source(source, "source").values], str(source)
    elif isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
        opened, name = [open_source(one, "source").values for one in source], f"{source[0]}, ..."
    else:
        opened = [source if isinstance(source, Joined) else open_source(source, name).values]
    arrays = list(_arrays(opened))
    parts: list[Part] = []
    first: np.ndarray | None = None
    for array, chosen in arrays:
        rows = checked(array, name, at_least=0 if len(arrays) > 1 else 1, bits=metric.kernel == "bits")
        refuse_dtype(rows, metric, name)
        first = rows if first is None else first
        if rows.shape[1] != first.shape[1] or rows.dtype != first.dtype:
            raise DataError(
                f"{name}: found {rows.dtype} of dim {rows.shape[1]} beside {first.dtype} of dim {first.shape[1]}; all "
                "shards need one type and one dim"
            )
        if len(rows):
            parts.append(_part(array, rows, chosen))
    if first is None or not parts:
        raise DataError(f"{name}: found 0 rows, expected at least 1")
    if metric.whiten is not None:
        parts = [_whitened(parts, metric)]
    return Rows(parts, name, parts[0].shape[1])


def _arrays(opened: Iterable[np.ndarray | Joined]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Each array, and which of its rows are meant; None for all."""
    for one in opened:
        if isinstance(one, Joined):
            yield from one.pieces()
        else:
            yield one, None


def _part(given: np.ndarray, rows: np.ndarray, chosen: np.ndarray | None) -> Part:
    """The rows where they lie."""
    found = part_of(given)
    if isinstance(found, np.ndarray):
        return rows if chosen is None else rows[chosen]
    return found if chosen is None else found.only(chosen)


def _whitened(parts: list[Part], metric: Metric) -> np.ndarray:
    """All rows as a metric whitens them, at once as on one machine: the bits of a row depend on the array around it."""
    read = [part.read() if isinstance(part, Piece) else part for part in parts]
    return as_rows(read[0] if len(read) == 1 else np.concatenate(read), metric)
