"""Data sets, read row by row.

Of a row only its id and the wanted fields are kept, so that its texts are never all in memory. Messages name the file
and the line.
"""

import csv
import gzip
import json
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.formats import Bytes, excerpt, lines_of, opened, suffix, whole_text
from vicinal.errors import DataError, some
from vicinal.typing import Id

OR_NULL = " or null"  # after a kind: a row may have no value


def read_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row of a data set with its place: (line number from 1, mapping). Cells of a CSV are strings.

    Raises
    ------
    DataError
        With file and line: a line is not a JSON object or not UTF-8, or a blank line is followed by others.
    """
    kind = suffix(path)
    try:
        if kind == ".parquet":
            yield from _parquet_rows(path, None)
        else:
            with opened(path) as file:
                yield from _csv_rows(path, file) if kind == ".csv" else _jsonl_rows(path, file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: damaged gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_ids(path: str | Path, field: str = "id") -> tuple[list[Id], list[str]]:
    """Return the id of every row, and warnings, as `read_columns`."""
    ids, warnings, _ = read_columns(path, field, {})
    return ids, warnings


def read_columns(
    path: str | Path, field: str = "id", wanted: dict[str, str] | None = None, first_row: int = 0
) -> tuple[list[Id], list[str], dict[str, list[Any]]]:
    """Return the id of every row of a data set, warnings, and the values of further fields.

    Parameters
    ----------
    path : path
    field : str
        The field of ids.
    wanted : dict of str to {"label", "number", "text", "any"}, optional
        The fields to read, each with its kind: "label" (text, number or truth value), "number" (finite, as float),
        "text" (a number or None where it is no text), or "any".
    first_row : int
        The number of the first row, where the file continues others.

    Returns
    -------
    ids : list of int or str
        Of the type that they are written with. A row without one gets its row number, from 0.
    warnings : list of str
        Of ids that are missing or occur more than once.
    columns : dict of str to list
        The values of each wanted field, one a row.

    Raises
    ------
    DataError
        With file and line: an id or a value is missing or of another type.
    """
    wanted = wanted or {}
    kind = suffix(path)
    ids: list[Id] = []
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    nullable = [name for name, what in wanted.items() if what.endswith(OR_NULL)]
    missing, found_in_row = 0, set[str]()
    for line, row in _parquet_rows(path, (field, *wanted)) if kind == ".parquet" else read_rows(path):
        found = row.get(field)
        if found is None or (found == "" and kind == ".csv"):
            missing += 1
            found = first_row + len(ids)
        elif isinstance(found, bool) or not isinstance(found, int | str):
            raise DataError(f"{path}:{line}: {field}: expected a whole number or a string, found {excerpt(found)}")
        ids.append(found)
        if nullable:
            found_in_row.update(row)
        for name, what in wanted.items():
            columns[name].append(
                checked_value(row.get(name), what, f"{path}:{line}: {name}", name in row, kind == ".csv")
            )
    for name in nullable:
        if ids and name not in found_in_row:
            kind = wanted[name].removesuffix(OR_NULL)
            raise DataError(f"{path}: {name}: expected a {kind}, found no such field in any row")
    return ids, _warnings(path, field, ids, missing), columns


def _warnings(path: str | Path, field: str, ids: list[Id], missing: int) -> list[str]:
    """What to warn of: ids that are missing, or that occur more than once."""
    warnings: list[str] = []
    if missing:
        have = "has" if missing == 1 else "have"
        what = f"all {missing} rows have" if missing == len(ids) else f"{missing} of {len(ids)} rows {have}"
        warnings.append(f"{path}: {what} no {field!r}; their row number (from 0) is used")
    repeated = [one for one, count in Counter(ids).items() if count > 1]
    if repeated:
        occur = "id occurs" if len(repeated) == 1 else "ids occur"
        warnings.append(f"{path}: {len(repeated)} {occur} more than once ({some(repeated)})")
    return warnings


def checked_value(value: Any, what: str, place: str, there: bool = True, text: bool = False) -> Any:
    """Return a row's value of a field, converted to its kind.

    Parameters
    ----------
    value : object
    what : {"label", "number", "text", "any"}
        "label or null" and "number or null" take None, NaN and blank text as None.
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
    if what.endswith(OR_NULL):
        blank = isinstance(value, str) and not value.strip()
        if value is None or blank or (isinstance(value, float) and math.isnan(value)):
            return None
        what = what.removesuffix(OR_NULL)
    if what == "any":
        return value
    if what == "text":
        if value is None or isinstance(value, str | int | float):
            return value
        raise DataError(f"{place}: expected text or a number, found {excerpt(value)}")
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
    raise DataError(f"{place}: expected a {what}, found {excerpt(value)}")


def decoded(path: str | Path, number: int, line: bytes) -> str:
    """Return a line as text, or raise DataError where it is not UTF-8."""
    try:
        if b"\0" in line:
            raise DataError(f"{path}:{number}: not UTF-8 text: it holds zero bytes, as UTF-16 does; convert the file")
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: not UTF-8 (byte {line[error.start]:#04x} at column {error.start + 1}); "
            "convert the file to UTF-8"
        ) from None


def _without_mark(path: str | Path, file: Bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number from 1, the first without a byte order mark."""
    for number, line in lines_of(path, file):
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _jsonl_rows(path: str | Path, file: Bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    blank = 0
    halves: list[int] = []
    for number, line in _without_mark(path, file):
        if not line.strip():
            blank = blank or number
            continue
        if blank:
            raise DataError(f"{path}:{blank}: blank line in the middle of the data; remove it")
        text = decoded(path, number, line)
        try:
            row = json.loads(text)
        except RecursionError:
            raise DataError(f"{path}:{number}: nested too deeply to be read") from None
        except ValueError as error:
            place = f"column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{path}:{number}: not valid JSON: {place}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected a JSON object, found {_kind(row)}")
        if r"\ud" in text or r"\uD" in text:
            whole = whole_text(row)
            halves += [number] if whole != row else []
            row = whole
        yield number, row
    if halves:
        warnings.warn(
            f"{path}: half a surrogate pair in {len(halves)} {'line' if len(halves) == 1 else 'lines'} "
            f"({some(halves)}) is read as the replacement character U+FFFD",
            stacklevel=2,
        )


def _kind(value: object) -> str:
    kinds = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _csv_rows(path: str | Path, file: Bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(1 << 30)
    reader = csv.reader((decoded(path, number, line) for number, line in _without_mark(path, file)), strict=True)
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

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = None if wanted is None else [name for name in dict.fromkeys(wanted) if name in names]
            for batch in file.iter_batches(columns=columns, batch_size=8192):
                for row in batch.to_pylist() if batch.num_columns else [{}] * batch.num_rows:
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from None
    except (UnicodeDecodeError, OverflowError) as error:  # a text that is no UTF-8, a date that Python cannot hold
        raise DataError(
            f"{path}: a value after row {number} cannot be read: {error}; correct the column, or write the file again"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def numbered(column: list[Any]) -> np.ndarray:
    """Return a whole number for each value, the same for equal values, in the order of first occurrence, int64 (n,).

    Examples
    --------
    >>> numbered(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in column], dtype=np.int64)
