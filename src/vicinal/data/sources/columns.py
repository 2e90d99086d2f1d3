"""Columns of vectors in Arrow's formats: Parquet, Arrow IPC and Feather (the file and the stream form), and Lance."""

from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames
from vicinal.data.sources.found import LOG, Found, chosen, copied
from vicinal.errors import DataError, UsageError, need, some
from vicinal.storage.npy import mapped

FILE_FORM = b"ARROW1"


def read_parquet(path: Path, key: str) -> Found:
    """The vectors of a column of a Parquet file, decoded row group by row group into one array."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            name = vector_column(path, file.schema_arrow, key)
            copied(f"{path}:{name}", "it is encoded", _decoded_size(file.metadata, name))
            return found(file.read(columns=[name]).column(0), path, name)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from None


def _decoded_size(metadata: Any, name: str) -> int:
    """The bytes of a column's values without compression."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    parts = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(part.total_uncompressed_size for part in parts if part.path_in_schema.partition(".")[0] == name)


def read_arrow(path: Path, key: str) -> Found:
    """The vectors of a column of an Arrow or Feather file, mapped where it is one batch without compression."""
    table = open_arrow(path)
    name = vector_column(path, table.schema, key)
    return found(table.column(name), path, name)


def read_lance(path: Path, key: str) -> Found:
    """The vectors of a column of a Lance data set."""
    file = _lance(path)
    name = vector_column(path, file.schema, key)
    copied(f"{path}:{name}", "it is encoded")
    return found(file.to_table(columns=[name]).column(0), path, name)


def open_arrow(path: Path) -> Any:
    """The table of an Arrow or Feather file, in the file form or in the stream form, mapped.

    Raises
    ------
    DataError
        It is neither.
    """
    import pyarrow
    import pyarrow.ipc

    try:
        source = pyarrow.py_buffer(mapped(path, np.uint8) if path.stat().st_size else b"")
        form = source[: len(FILE_FORM)].to_pybytes()
        opened = pyarrow.ipc.open_file(source) if form == FILE_FORM else pyarrow.ipc.open_stream(source)
        return opened.read_all()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable Arrow file, in the file form or in the stream form: {error}") from None


def open_table(path: Path) -> Any:
    """The table of a file of one of these formats, as a pyarrow.Table."""
    import pyarrow
    import pyarrow.parquet

    if path.suffix.lower() == ".lance":
        return _lance(path).to_table()
    if path.suffix.lower() != ".parquet":
        return open_arrow(path)
    try:
        return pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from None


def _lance(path: Path) -> Any:
    library = need("lance", extra="lance")
    try:
        return library.dataset(str(path))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable Lance data set: {error}") from None


def vector_columns(path: Path) -> list[str]:
    """The columns of a Parquet file that can hold vectors."""
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from None
    return [one.name for one in schema if frames.is_vector_type(one.type)]


def vector_column(place: object, schema: Any, key: str) -> str:
    """Return the column of a schema that is asked for; or, where none is, the only one that can hold vectors.

    Raises
    ------
    UsageError
        There is no such column, or the choice is not clear.
    """
    if key:
        return chosen(place, key, dict.fromkeys(schema.names, ""), "column")
    fitting = {one.name: str(one.type) for one in schema if frames.is_vector_type(one.type)}
    if not fitting:
        listed = some([f"{one.name} ({one.type})" for one in schema], 9)
        raise UsageError(f"{place}: expected a column of vectors (lists of numbers), found the columns {listed}")
    name = chosen(place, key, fitting, "column")
    LOG.info("%s: embeddings are taken from the column %r", place, name)
    return name


def found(column: Any, path: Path, name: str) -> Found:
    """What a column of a file holds."""
    values, missing = frames.vectors_of(column, f"{path}:{name}")
    return Found(np.asarray(values), name, missing)
