"""Tables of results, and copies of rows of a data set, written atomically."""

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from vicinal.data.formats import LINES, Bytes, excerpt, opened, packed, suffix
from vicinal.data.readers import decoded
from vicinal.errors import UsageError
from vicinal.storage import atomic
from vicinal.typing import Id

TYPES = {"id": "id", "score": "float32", "error": "string"}


def copy_rows(path: str | Path, file: IO[bytes], name: str | Path, kept: Sequence[bool] | np.ndarray) -> None:
    """Copy the kept rows of a data set as they are: lines byte for byte, the header of a CSV, the schema of a Parquet.

    Parameters
    ----------
    path : path
        The data set.
    file : binary file
        Open; written to as it is, or packed where `name` ends in `.gz`.
    name : path
        The name that the file will have.
    kept : sequence of bool, length n
    """
    kind = suffix(path)
    if kind == ".parquet":
        _copy_parquet(path, file, np.asarray(kept))
        return
    with opened(path) as source, packed(file, name) as target:
        if kind == ".csv":
            _copy_records(path, source, target, kept)
            return
        row = 0
        for line in source:
            if line.strip():
                if kept[row]:
                    target.write(line)
                row += 1


def _copy_records(path: str | Path, source: Bytes, target: Bytes, kept: Sequence[bool] | np.ndarray) -> None:
    for number, (cells, raw) in enumerate(csv_records(path, source)):
        if number == 0 or (cells and kept[number - 1]):
            target.write(raw)


def csv_records(path: str | Path, source: Bytes) -> Iterator[tuple[list[str], bytes]]:
    """Yield each record of a CSV, the header first: its cells and its bytes; a record ends where its last line does."""
    raw: list[bytes] = []

    def lines() -> Iterator[str]:
        for number, line in enumerate(source, start=1):
            raw.append(line)
            yield decoded(path, number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)

    for cells in csv.reader(lines(), strict=True):
        yield cells, b"".join(raw)
        raw.clear()


def _copy_parquet(path: str | Path, target: IO[bytes], kept: np.ndarray) -> None:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as source:
        start = 0
        with pyarrow.parquet.ParquetWriter(target, source.schema_arrow) as writer:
            for batch in source.iter_batches(batch_size=65_536):
                part = batch.filter(pyarrow.array(kept[start : start + batch.num_rows]))
                start += batch.num_rows
                writer.write_batch(part)


def check_table(path: str | Path, ids: list[Id]) -> None:
    """Raise UsageError where a table of these ids could not be written to a file of this name."""
    kind = suffix(path)
    if kind not in (".csv", ".parquet"):
        return
    if kind == ".parquet" and len({type(found) for found in ids}) > 1:
        raise UsageError(f"{path}: a parquet column has one type, but the ids are both numbers and strings; use .jsonl")
    for found in ids:
        if isinstance(found, str):
            try:
                found.encode("utf-8")
            except UnicodeEncodeError:
                raise UsageError(f"{path}: the id {found!a} is not valid Unicode; use .jsonl") from None
        elif kind == ".parquet" and not -(1 << 63) <= found < 1 << 63:
            raise UsageError(f"{path}: the id {excerpt(found)} is beyond 64 bits, parquet's largest; use .jsonl")


@contextmanager
def table_writer(
    path: str | Path, overwrite: bool = False, types: dict[str, str] | None = None, columns: Sequence[str] = ()
) -> Iterator["Table"]:
    """Yield a table to add records to; the file appears whole when the block ends, or not at all.

    Parameters
    ----------
    path : path
    overwrite : bool
    types : dict of str to str, optional
        For Parquet, the type of each column: "float32", "double", "int64", "bool", "string", or "id" for that of the
        ids; "list:" before it for lists.
    columns : sequence of str
        The names of the columns of a table that may have no records, so that it has a header all the same.

    Raises
    ------
    UsageError
        The file exists and `overwrite` is false, or its name has another ending.
    """
    kind = suffix(path)
    with atomic.whole_file(path, overwrite) as file, packed(file, path) as target:
        if kind in LINES:
            yield JsonLines(target)
        elif kind == ".csv":
            with CsvLines(file, columns) as table:
                yield table
        else:
            with Parquet(file, types or {}, columns) as parquet:
                yield parquet


_encoded = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode  # made once: `dumps` makes one for each call


class JsonLines:
    """A table with one JSON object a line."""

    def __init__(self, file: Bytes) -> None:
        self._file = file

    def add(self, record: dict[str, Any]) -> None:
        """Write one record."""
        line = _encoded(record)
        try:
            self._file.write(line.encode("utf-8") + b"\n")
        except UnicodeEncodeError:  # a lone surrogate: legal in JSON as an escape only
            self._file.write(json.dumps(record, allow_nan=False).encode("ascii") + b"\n")


class CsvLines:
    """A table with a header line and a line for each record; all records have the keys of the first."""

    def __init__(self, file: Bytes, columns: Sequence[str] = ()) -> None:
        self._columns = columns
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._writer = csv.writer(self._text)
        self._header: list[str] | None = None

    def add(self, record: dict[str, Any]) -> None:
        """Write one record; None is an empty cell."""
        if self._header is None:
            self._header = list(record)
            self._writer.writerow(self._header)
        self._writer.writerow([record[name] for name in self._header])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Flush what is buffered; a table without records is its header. What failed is abandoned without a word."""
        if kind is None:
            if self._header is None and self._columns:
                self._writer.writerow(self._columns)
            self._text.flush()
        with contextlib.suppress(OSError, ValueError):
            self._text.detach()


class Parquet:
    """A Parquet table, written in row groups of 65,536."""

    def __init__(self, file: Bytes, types: dict[str, str], columns: Sequence[str] = ()) -> None:
        self._file, self._types, self._columns = file, types, columns
        self._writer: Any = None
        self._records: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        """Write one record."""
        self._records.append(record)
        if len(self._records) == 65_536:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow
        import pyarrow.parquet

        if self._writer is None:
            first = self._records[0] if self._records else dict.fromkeys(self._columns)
            ids = "string" if isinstance(first["id"], str) else "int64"
            types = TYPES | self._types
            schema = pyarrow.schema([(name, _arrow_type(types[name], ids)) for name in first])
            self._writer = pyarrow.parquet.ParquetWriter(self._file, schema)
        self._writer.write_table(pyarrow.Table.from_pylist(self._records, schema=self._writer.schema))
        self._records = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write the records that are left, and the footer of the file.

        What failed or was interrupted is closed all the same: pyarrow would do it later, to a file that is closed, and
        print a traceback.
        """
        if kind is not None:
            with contextlib.suppress(Exception):
                self._writer.close()
            return
        if self._records or (self._writer is None and self._columns):
            self._write_group()
        if self._writer is not None:
            self._writer.close()


def _arrow_type(kind: str, ids: str) -> Any:
    """The Arrow type of a column; "id" is the type of the ids, "list:X" a list of X."""
    import pyarrow

    name = kind.removeprefix("list:")
    plain = pyarrow.type_for_alias(ids if name == "id" else name)
    return plain if name == kind else pyarrow.list_(plain)


Table = JsonLines | CsvLines | Parquet
