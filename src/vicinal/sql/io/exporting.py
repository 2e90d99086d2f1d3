"""Tables into files: Parquet, or `.npy` vectors beside a data set. A file appears whole or not at all."""

import contextlib
import json
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow
import pyarrow.parquet

from vicinal.data import tables
from vicinal.errors import DataError, UsageError, unknown
from vicinal.sql.catalog import Table
from vicinal.sql.database import Database
from vicinal.sql.io.importing import BATCH, YQL
from vicinal.sql.io.printing import plain
from vicinal.sql.types import STRING, Type
from vicinal.sql.vectors import binary
from vicinal.storage import atomic
from vicinal.typing import Progress


def export_table(
    database: Database,
    table: str,
    path: str | Path,
    data: str | Path | None = None,
    column: str = "embedding",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write a table's rows in the order of its primary key and return their number.

    Parameters
    ----------
    database : Database
    table : str
    path : str or Path
        `.parquet` with every column as it is kept, or `.npy` with the vectors, float32 (uint8 and int8 as they are).
    data : str or Path, optional
        Beside `.npy`, a data set for the other columns: `.jsonl`, `.jsonl.gz`.
    column : str
        The column of vectors, for `.npy`.
    overwrite : bool
        Replace files that exist.
    progress : callable, optional
        Called with the rows done and the rows in all.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    UsageError
        There is no such table or column, or a file exists.
    DataError
        The vectors are not of one length, or one is missing; no file is written then.
    """
    entry = _table(database, table)
    total = database.count(entry)
    kind = str(path).lower()
    if kind.endswith(".parquet"):
        if data is not None:
            raise UsageError(f"{path}: a .parquet has all columns in it; leave out --data {data}")
        spans = [one.name for one in entry.columns.values() if one.kind.plain.name == "Interval"]
        if spans:
            remedy = "write a .npy with a .jsonl beside it, or drop the column"
            raise UsageError(f"{path}: column {spans[0]} is an Interval, which Parquet has no type for; {remedy}")
        with atomic.whole_file(path, overwrite) as file:
            return _write_parquet(database.stream(entry, list(entry.columns), BATCH), entry, file, total, progress)
    if not kind.endswith(".npy"):
        raise UsageError(f"{path}: expected a name that ends in .parquet or .npy")
    if data is not None and tables.suffix(data) not in (".jsonl", ".jsonl.gz"):
        raise UsageError(
            f"{data}: expected a name that ends in .jsonl or .jsonl.gz; or write a .parquet, with all columns in it"
        )
    _check_vectors(entry, column)
    names = list(entry.key) if data is None else [name for name in entry.columns if name != column]
    beside = contextlib.nullcontext() if data is None else tables.table_writer(data, overwrite)
    with atomic.whole_file(path, overwrite) as file, beside as lines:
        vectors = _Vectors(file, entry, column, total, path)
        return _write_vectors(database.stream(entry, [*names, column], BATCH), vectors, lines, progress)


def _table(database: Database, name: str) -> Table:
    """The table of that name; UsageError names the choices."""
    tables = database.tables()
    if name not in tables:
        message = unknown("table", name, tables) if tables else f"{database.path} has no tables; CREATE TABLE makes one"
        raise UsageError(message)
    return tables[name]


def _check_vectors(table: Table, column: str) -> None:
    """Raises UsageError where a table has no such column of byte strings."""
    remedy = "--column names the vectors' column"
    if column not in table.columns:
        raise UsageError(f"table {table.name}: {unknown('column', column, table.columns)}; {remedy}")
    kind = table.columns[column].kind
    if kind != STRING:
        raise UsageError(f"table {table.name}: column {column} is {kind}, expected String, vectors' type; {remedy}")


def _write_parquet(batches: Any, entry: Table, file: IO[bytes], total: int, progress: Progress | None) -> int:
    done = 0
    schema = pyarrow.schema([one.with_metadata({YQL: entry.columns[one.name].kind.name}) for one in batches.schema])
    # Vectors do not compress.
    compression = {name: "none" if one.kind == STRING else "zstd" for name, one in entry.columns.items()}
    with pyarrow.parquet.ParquetWriter(file, schema, compression=compression, use_dictionary=False) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata().cast(schema))
            done += len(batch)
            if progress:
                progress(done, total)
    return done


def _write_vectors(batches: Any, vectors: "_Vectors", lines: Any, progress: Progress | None) -> int:
    """Writes the vectors, and the other columns where there are lines for them; gives the number of rows."""
    columns = vectors.table.columns
    for batch in batches:
        others = dict(zip(batch.schema.names, batch.columns, strict=True))
        vectors.add(others.pop(vectors.column), others)
        if lines is not None:
            for record in zip(*(values.to_pylist() for values in others.values()), strict=True):
                lines.add({name: _json(value, columns[name].kind) for name, value in zip(others, record, strict=True)})
        if progress:
            progress(vectors.done, vectors.total)
    if vectors.done == 0:
        raise DataError(f"{vectors.path}: table {vectors.table.name} has no rows, so there are no vectors to write")
    return vectors.done


class _Vectors:
    """A `.npy` file that takes vectors of one length and format, a batch at a time."""

    def __init__(self, file: IO[bytes], table: Table, column: str, total: int, path: Any) -> None:
        self._file, self.path, self.table, self.column, self.total = file, path, table, column, total
        self.done = 0
        self._size = 0  # of each string, which ends with the byte of the first one's format
        self._format: binary.Format | None = None

    def add(self, strings: Any, others: dict[str, Any]) -> None:
        """Writes a batch of byte strings; `others` are the other columns, which name a row that is wrong."""
        found = binary.Strings(strings)
        sizes = np.diff(found.offsets)
        if not len(sizes):
            return
        if self.done == 0:
            self._size = int(sizes[0])
            self._format = binary.BY_BYTE.get(int(found.bytes[found.offsets[1] - 1])) if self._size else None
        wrong = np.flatnonzero((sizes != self._size) | ~found.valid)
        if self._format is None or len(wrong):
            row = int(wrong[0]) if len(wrong) else 0
            at = ", ".join(f"{key} {others[key][row]}" for key in self.table.key)
            raise DataError(
                f"{self.path}: the vector of {at} is missing, no vector, or of another length than the first; "
                "correct or delete the row"
            )
        body = found.bytes[found.offsets[0] : found.offsets[-1]].reshape(len(sizes), self._size)
        vectors = _decoded(body, self._format, self.path)
        if self.done == 0:
            np.lib.format.write_array_header_1_0(
                self._file,
                {"descr": vectors.dtype.str, "fortran_order": False, "shape": (self.total, vectors.shape[1])},
            )
        self._file.write(np.ascontiguousarray(vectors).data)
        self.done += len(sizes)


def _decoded(body: np.ndarray, form: binary.Format, path: Any) -> np.ndarray:
    """Byte strings of one length, uint8 (n, bytes), as vectors."""
    if (body[:, -1] != form.byte).any():
        raise DataError(
            f"{path}: expected vectors of one format, {form.name} as the first, found several; write .parquet"
        )
    if form.name != "Bit" and ((body.shape[1] - 1) % np.dtype(form.dtype).itemsize or body.shape[1] < 2):
        raise DataError(
            f"{path}: expected {form.name} vectors, found {body.shape[1]} bytes each; --column names another"
        )
    if form.name in ("Uint8", "Int8", "Float"):
        return np.ascontiguousarray(body[:, :-1]).view(form.dtype)
    return np.stack([row for row in map(binary.from_binary, map(bytes, body)) if row is not None])


def _json(value: Any, kind: Type) -> Any:
    return json.loads(value) if kind.name == "Json" and value is not None else plain(value, kind)
