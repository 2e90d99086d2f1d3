"""The rows of a source as parts that lie where they are: files are opened by their header alone."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vicinal.data import sources
from vicinal.data.embeddings import Embeddings
from vicinal.data.opening import open_source
from vicinal.data.sources import folders, plain
from vicinal.distributed.rows import Part, part_of
from vicinal.errors import DataError
from vicinal.knn.metrics import Metric
from vicinal.knn.vectors import as_rows, checked, refuse_dtype

MAPPED = (".npy", *plain.BINS, *plain.VECS)
"""The endings of files that are mapped; others are read by the driver, and sent to the nodes."""


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
    if isinstance(source, Embeddings):
        arrays, name = [source.vectors], source.name
    elif isinstance(source, str | os.PathLike):
        arrays, name = _of_path(source), str(source)
    elif isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
        arrays, name = [array for one in source for array in _of_path(one)], f"{source[0]}, ..."
    else:
        arrays = [open_source(source, name).values]
    parts: list[Part] = []
    first: np.ndarray | None = None
    for array in arrays:
        rows = checked(array, name, at_least=0 if len(arrays) > 1 else 1, bits=metric.kernel == "bits")
        refuse_dtype(rows, metric, name)
        first = rows if first is None else first
        if rows.shape[1] != first.shape[1] or rows.dtype != first.dtype:
            raise DataError(
                f"{name}: found {rows.dtype} of dim {rows.shape[1]} beside {first.dtype} of dim {first.shape[1]}; all "
                "shards need one type and one dim"
            )
        if len(rows):
            parts.append(_part(array, rows, metric))
    if first is None or not parts:
        raise DataError(f"{name}: found 0 rows, expected at least 1")
    return Rows(parts, name, parts[0].shape[1])


def _part(given: np.ndarray, rows: np.ndarray, metric: Metric) -> Part:
    """The rows where they lie; a metric that whitens has them whitened here, all at once as on one machine."""
    if metric.whiten is not None:
        return as_rows(rows, metric)
    found = part_of(given)
    return rows if isinstance(found, np.ndarray) else found


def _of_path(source: str | os.PathLike[str]) -> list[np.ndarray]:
    """The array of a file, or those of the shards of a folder, none of which is copied."""
    path, key = sources.split(source)
    if path.is_dir() and sources.reader_of(path) is None and not folders.is_saved_to_disk(path):
        ours = (path / "manifest.json").is_file() or (path / "zarr.json").is_file() or (path / ".zarray").is_file()
        if not ours:
            files, part = folders.shards(path, key, sources.ENDINGS)
            if files[0].name.lower().endswith(MAPPED):
                return [open_source(_named(file, part), "source").values for file in files]
    return [open_source(source, "source").values]


def _named(file: Path, key: str) -> str:
    return f"{file}:{key}" if key else str(file)
