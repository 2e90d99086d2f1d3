"""Data sets in, tables of scores out: `.jsonl`, `.jsonl.gz`, `.csv` and `.parquet`, chosen by extension.

A data set is streamed. Of a row only its id is kept, so its texts are never all in memory. What is wrong is said with
the file's name and line.
"""

import csv
import gzip
import io
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from vicinal.errors import DataError, UsageError, some
from vicinal.storage import atomic

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
TYPES = {"id": "id", "score": "float32", "error": "string"}
Id = int | str
Bytes = IO[bytes] | gzip.GzipFile


def suffix(path: str | Path) -> str:
    """The one of `SUFFIXES` that the file's name ends in.

    Raises    UsageError, naming the choices.
    >>> suffix("data.JSONL.gz")
    '.jsonl.gz'
    """
    for known in SUFFIXES:
        if str(path).lower().endswith(known):
            return known
    raise UsageError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")


def read_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its place: (line number from 1, row). Cells of a CSV are strings.

    Raises    DataError with file and line where a line is not a JSON object, not UTF-8, or a blank line is followed by
              others.
    """
    kind = suffix(path)
    try:
        if kind == ".parquet":
            yield from _parquet_rows(path, None)
        else:
            with gzip.open(path, "rb") if kind == ".jsonl.gz" else open(path, "rb") as file:
                yield from _csv_rows(path, file) if kind == ".csv" else _jsonl_rows(path, file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: damaged gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_ids(path: str | Path, field: str = "id") -> tuple[list[Id], list[str]]:
    """The id of every row, and what there is to warn of; as `read_columns`."""
    ids, warnings, _ = read_columns(path, field, {})
    return ids, warnings


def read_columns(
    path: str | Path, field: str = "id", wanted: dict[str, str] | None = None, first_row: int = 0
) -> tuple[list[Id], list[str], dict[str, list[Any]]]:
    """The id of every row, what there is to warn of, and the values of further fields.

    Ids keep the type they are written with (whole number or string). A row without one gets its row number, from 0.

    wanted    : field -> "label" (text, number or truth value), "number" (finite, as float) "text" ("" where there
                is none) or "any"
    first_row : the number of the first row, where the file goes on from others
    Raises      DataError with file and line where an id or a value is missing or of another type.
    """
    wanted = wanted or {}
    kind = suffix(path)
    ids: list[Id] = []
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    missing = 0
    for line, row in _parquet_rows(path, (field, *wanted)) if kind == ".parquet" else read_rows(path):
        found = row.get(field)
        if found is None or (found == "" and kind == ".csv"):
            missing += 1
            found = first_row + len(ids)
        elif isinstance(found, bool) or not isinstance(found, int | str):
            raise DataError(f"{path}:{line}: {field}: expected a whole number or a string, found {_excerpt(found)}")
        ids.append(found)
        for name, what in wanted.items():
            columns[name].append(
                checked_value(row.get(name), what, f"{path}:{line}: {name}", name in row, kind == ".csv")
            )
    warnings = []
    if missing:
        have = "has" if missing == 1 else "have"
        what = f"all {missing} rows have" if missing == len(ids) else f"{missing} of {len(ids)} rows {have}"
        warnings.append(f"{path}: {what} no {field!r}; their row number (from 0) is used")
    repeated = [found for found, count in Counter(ids).items() if count > 1]
    if repeated:
        occur = "id occurs" if len(repeated) == 1 else "ids occur"
        warnings.append(f"{path}: {len(repeated)} {occur} more than once ({some(repeated)})")
    return ids, warnings, columns


def checked_value(value: Any, what: str, place: str, there: bool = True, text: bool = False) -> Any:
    """Return a row's value of a field, converted to its kind.

    Parameters
    ----------
    value : object
    what : {"label", "number", "text", "any"}
    place : str
        What the error names: file, line and field.
    there : bool
        Whether the row has the field at all.
    text : bool
        Whether it is a cell of a CSV: every value is text, and an empty cell is no value.

    Raises
    ------
    DataError
        There is no value, or it is of another kind.
    """
    if what == "any":
        return value
    if what == "text":
        if value is None or isinstance(value, str):
            return value or ""
        raise DataError(f"{place}: expected text, found {_excerpt(value)}")
    if value is None or (text and value == ""):
        found = "null" if there and not text else "an empty cell" if there else "no such field"
        raise DataError(f"{place}: expected a {what} in every row, found {found}")
    if what == "label":
        if isinstance(value, str | int | float):
            return value
    elif text or not isinstance(value, bool | str):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise DataError(f"{place}: expected a {what}, found {_excerpt(value)}")


def _excerpt(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _decoded(path: str | Path, number: int, line: bytes) -> str:
    """The line as text, where it is UTF-8."""
    try:
        if b"\0" in line:
            raise DataError(f"{path}:{number}: not UTF-8 text: it holds zero bytes, as UTF-16 does; convert the file")
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: not UTF-8 (byte {line[error.start]:#04x} at column {error.start + 1}); "
            "convert the file to UTF-8"
        ) from None


def _without_mark(file: Bytes) -> Iterator[tuple[int, bytes]]:
    """Each line with its number from 1, the first without a byte order mark."""
    for number, line in enumerate(file, start=1):
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _jsonl_rows(path: str | Path, file: Bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    blank = 0
    for number, line in _without_mark(file):
        if not line.strip():
            blank = blank or number
            continue
        if blank:
            raise DataError(f"{path}:{blank}: blank line in the middle of the data; remove it")
        text = _decoded(path, number, line)
        try:
            row = json.loads(text)
        except RecursionError:
            raise DataError(f"{path}:{number}: nested too deeply to be read") from None
        except ValueError as error:
            place = f"column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{path}:{number}: not valid JSON: {place}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected a JSON object, found {_kind(row)}")
        yield number, row


def _kind(value: object) -> str:
    kinds = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _csv_rows(path: str | Path, file: Bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(1 << 30)
    reader = csv.reader((_decoded(path, number, line) for number, line in _without_mark(file)), strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise DataError(f"{path}:1: expected a header line, found {'nothing' if header is None else 'a blank one'}")
        twice = [name for name, count in Counter(header).items() if name and count > 1]
        if twice:
            raise DataError(f"{path}:1: the header names {some(twice)} more than once; rename all but one")
        blank = 0
        for cells in reader:
            if not cells:
                blank = blank or reader.line_num
                continue
            if blank:
                raise DataError(f"{path}:{blank}: blank line in the middle of the data; remove it")
            if len(cells) != len(header):
                raise DataError(
                    f"{path}:{reader.line_num}: expected {len(header)} cells as in the header, found {len(cells)}"
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _parquet_rows(path: str | Path, wanted: tuple[str, ...] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = None if wanted is None else [name for name in dict.fromkeys(wanted) if name in names]
            number = 0
            for batch in file.iter_batches(columns=columns, batch_size=8192):
                for row in batch.to_pylist() if batch.num_columns else [{}] * batch.num_rows:
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def copy_rows(path: str | Path, file: IO[bytes], name: str | Path, kept: Sequence[bool] | np.ndarray) -> None:
    """Copies the kept rows of a data set as they are: lines byte for byte, a CSV's header, a parquet's schema.

    file : where to, open; packed where `name` ends in .gz
    """
    kind = suffix(path)
    if kind == ".parquet":
        _copy_parquet(path, file, np.asarray(kept))
        return
    with ExitStack() as stack:
        source: Bytes = stack.enter_context(open(path, "rb"))
        if kind == ".jsonl.gz":
            source = stack.enter_context(gzip.GzipFile(fileobj=source, mode="rb"))
        target: Bytes = file
        if suffix(name) == ".jsonl.gz":
            target = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0))
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
    raw: list[bytes] = []

    def lines() -> Iterator[str]:
        for number, line in enumerate(source, start=1):
            raw.append(line)
            yield _decoded(path, number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)

    for number, cells in enumerate(csv.reader(lines(), strict=True)):  # a record ends where its last line does
        if number == 0 or (cells and kept[number - 1]):
            target.write(b"".join(raw))
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


def refuse_other_count(data: str | Path, n: int, source: object, found: int) -> None:
    """Raises DataError where what belongs to a data set's n rows has another number of rows."""
    if found != n:
        raise DataError(
            f"{data} has {n} rows, but {source} has {found}; each row of the data set needs one row there, in the same "
            "order"
        )


def numbered(column: list[Any]) -> np.ndarray:
    """A whole number for each value, the same for equal ones, by first occurrence: int64 (n,).

    >>> numbered(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in column], dtype=np.int64)


def check_table(path: str | Path, ids: list[Id]) -> None:
    """Raises UsageError where a table of these ids could not be written to a file of this name."""
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
            raise UsageError(f"{path}: the id {_excerpt(found)} is beyond 64 bits, parquet's largest; use .jsonl")


@contextmanager
def table_writer(
    path: str | Path, overwrite: bool = False, types: dict[str, str] | None = None, columns: Sequence[str] = ()
) -> Iterator["Table"]:
    """A table to add records to; the file appears whole when the block ends, or not at all.

    types   : for parquet, each column's type: float32, int64, string, or "id" for that of the ids
    columns : the names of a table that may have no records, so that it has a header all the same
    """
    kind = suffix(path)
    with atomic.whole_file(path, overwrite) as file:
        if kind == ".jsonl.gz":
            # No time and no name in the header: the same scores make the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield JsonLines(packed)
        elif kind == ".jsonl":
            yield JsonLines(file)
        elif kind == ".csv":
            table = CsvLines(file, columns)
            yield table
            table.close()
        else:
            parquet = Parquet(file, types or {}, columns)
            yield parquet
            parquet.close()


class JsonLines:
    """One JSON object a line."""

    def __init__(self, file: Bytes) -> None:
        self._file = file

    def add(self, record: dict[str, Any]) -> None:
        """Writes one record."""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        try:
            self._file.write(line.encode("utf-8") + b"\n")
        except UnicodeEncodeError:  # a lone surrogate: legal in JSON as an escape only
            self._file.write(json.dumps(record, allow_nan=False).encode("ascii") + b"\n")


class CsvLines:
    """A header line and a line for each record; all records have the keys of the first."""

    def __init__(self, file: Bytes, columns: Sequence[str] = ()) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._writer = csv.writer(self._text)
        self._columns = columns
        self._header: list[str] | None = None

    def add(self, record: dict[str, Any]) -> None:
        """Writes one record; None is an empty cell."""
        if self._header is None:
            self._header = list(record)
            self._writer.writerow(self._header)
        self._writer.writerow([record[name] for name in self._header])

    def close(self) -> None:
        """Flushes what is left; a table without records is its header."""
        if self._header is None and self._columns:
            self._writer.writerow(self._columns)
        self._text.flush()
        self._text.detach()


class Parquet:
    """A parquet file, written in row groups of 65,536."""

    def __init__(self, file: Bytes, types: dict[str, str], columns: Sequence[str] = ()) -> None:
        self._file, self._types, self._columns = file, types, columns
        self._writer: Any = None
        self._records: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        """Writes one record."""
        self._records.append(record)
        if len(self._records) == 65_536:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow
        import pyarrow.parquet

        if self._writer is None:
            first = self._records[0] if self._records else dict.fromkeys(self._columns)
            ids = "string" if isinstance(first["id"], str) else "int64"
            types = {name: ids if kind == "id" else kind for name, kind in (TYPES | self._types).items()}
            schema = pyarrow.schema([(name, pyarrow.type_for_alias(types[name])) for name in first])
            self._writer = pyarrow.parquet.ParquetWriter(self._file, schema)
        self._writer.write_table(pyarrow.Table.from_pylist(self._records, schema=self._writer.schema))
        self._records = []

    def close(self) -> None:
        """Writes what is left and the file's footer."""
        if self._records or (self._writer is None and self._columns):
            self._write_group()
        if self._writer is not None:
            self._writer.close()


Table = JsonLines | CsvLines | Parquet
