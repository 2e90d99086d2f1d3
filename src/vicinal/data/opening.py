"""A source of embeddings, opened: a file, a folder, an array or a column becomes an array of unchecked values."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from vicinal.data import frames, sources
from vicinal.data.sources.found import copied
from vicinal.errors import DataError, UsageError, some
from vicinal.knn import arrays
from vicinal.knn.joined import Joined, copy_of
from vicinal.typing import Id


@dataclass(frozen=True, eq=False)
class Opened:
    """Values of a source, before any check.

    Attributes
    ----------
    values : ndarray
        Of a folder of shards a `Joined`, which reads them where they lie.
    name : str
        What messages call it: the file, or the argument.
    path : Path or None
        The file or folder that they come from.
    place : Path or None
        The text that names them again: FILE, or FILE:KEY where a key was chosen.
    missing : mapping of int to str
        The reason of each row that has no vector.
    ids : sequence of int or str, or None
        The names of the rows, of a format that names them.
    encoding : str
        How the values are coded, where the file says so.
    """

    values: np.ndarray
    name: str
    path: Path | None = None
    place: Path | None = None
    missing: Mapping[int, str] = field(default_factory=dict)
    ids: Sequence[Id] | None = None
    encoding: str = ""

    def __len__(self) -> int:
        return len(self.values) if self.values.ndim else 0

    @cached_property
    def whole(self) -> "Opened":
        """The same with shards copied into one array, once; in a file where they would fill much of the memory."""
        if not isinstance(self.values, Joined):
            return self
        copied(self.path, "its shards become one array")
        return replace(self, values=copy_of(self.values))

    def in_place(self) -> "Opened":
        """The same with the rows of one array as a `Joined`, whose rows are chosen without a copy."""
        if isinstance(self.values, Joined) or self.values.ndim != 2 or np.ma.isMaskedArray(self.values):
            return self
        return replace(self, values=cast(np.ndarray, Joined([self.values])))


def open_source(source: Any, name: str) -> Opened:
    """Return the values of a source.

    Parameters
    ----------
    source : path, array_like, Arrow column, table of numbers, or Opened
        FILE or FILE:KEY (`sources.READERS`), an array of any library, a column of lists, or a table whose columns are
        the coordinates.
    name : str
        What messages call a source that is not a file.

    Raises
    ------
    UsageError
        There is no such file, column or key.
    DataError
        It cannot be read.
    """
    if isinstance(source, Opened):
        return source
    if isinstance(source, str | os.PathLike):
        found, path = sources.read(source, name)
        place = Path(f"{path}:{found.key}") if found.key else path
        return Opened(found.values, str(source), path, place, found.missing, found.ids, found.encoding)
    if frames.is_table(source):
        return Opened(_matrix(source, name), name)
    if hasattr(source, "read_all"):  # a pyarrow.RecordBatchReader, as DuckDB gives
        raise DataError(f"{name}: expected an array (rows, dim), a path or a table, found {frames.described(source)}")
    column = _arrow_column(source)
    if column is not None and not frames.is_number_column(column):
        values, missing = frames.vectors_of(column, name)
        return Opened(values, name, missing=missing)
    values, missing = arrays.read(source, name)
    return Opened(values, name, missing=missing)


def input_file(path: str | os.PathLike[str], argument: str) -> Path:
    """Return the path of a file that an argument names.

    Raises
    ------
    UsageError
        There is no file of this name.
    """
    file = Path(path)
    if file.is_file():
        return file
    there = "a folder" if file.is_dir() else "no plain file" if file.exists() else "nothing"
    if file.is_symlink():
        there = f"a link to {os.path.realpath(file)}, which is {there.replace('nothing', 'not there')}"
    raise UsageError(f'{argument}: expected a file, got "{path}": there is {there} at {file.absolute()}')


def _arrow_column(source: Any) -> Any:
    """A column of Arrow, polars, pandas or Hugging Face as a pyarrow.ChunkedArray; None for what is no such column."""
    package = type(source).__module__.partition(".")[0]
    if package == "datasets" and hasattr(source, "column_name") and hasattr(source, "source"):
        if frames.is_table(source.source):
            return frames.column(source.source, source.column_name)
        return None
    if package == "pandas" and getattr(getattr(source, "dtype", None), "kind", "") == "O":
        return None  # rows of any kind, which are stacked with errors that name them
    if not hasattr(source, "__arrow_c_stream__") and not hasattr(source, "__arrow_c_array__") and package != "pyarrow":
        return None
    import pyarrow

    if isinstance(source, pyarrow.Array | pyarrow.ChunkedArray):
        return source
    if isinstance(source, pyarrow.Table | pyarrow.RecordBatch) or not hasattr(source, "__arrow_c_stream__"):
        return pyarrow.array(source)
    return pyarrow.chunked_array(source)


def _matrix(table: Any, name: str) -> np.ndarray:
    """A table whose columns are the coordinates, as an array."""
    names = frames.column_names(table)
    columns = [frames.column(table, one) for one in names]
    if len(columns) == 1 and frames.is_vector_column(columns[0]):
        values, _ = frames.vectors_of(columns[0], name)
        return values
    if not columns or not all(frames.is_number_column(one) for one in columns):
        raise UsageError(
            f"{name}: found a table with the columns {some(names, 9)}, expected one column or an array; name the "
            "column of embeddings: embeddings='...'"
        )
    try:
        return np.column_stack([one.to_numpy() for one in columns])
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: its columns are no numbers of one type: {error}") from None
