"""Tables from files: vectors beside a data set or in it, and Parquet.

Rows come in batches of Arrow, and an import is one transaction.
"""

import itertools
import json
import warnings
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from vicinal.data import dataset, tables
from vicinal.data.embeddings import load
from vicinal.data.sources import is_data_file, split
from vicinal.errors import DataError, UsageError, some, unknown
from vicinal.knn.blocks import blocks
from vicinal.sql.database import Database
from vicinal.sql.engine.bulk import IF_EXISTS
from vicinal.sql.types import MOST_DIGITS, STRING, Type, decimal
from vicinal.sql.vectors import binary
from vicinal.typing import Progress

BATCH = 16_384
YQL = b"yql"  # the field of a Parquet column's metadata that names its type


class _Rows(Protocol):
    """Rows to import: how many, their columns' types, and the rows in batches."""

    count: int
    kinds: dict[str, Type]

    def batches(self, first: int) -> Iterator[Any]: ...


def import_table(
    database: Database,
    table: str,
    path: str | Path,
    data: str | Path | None = None,
    key: str = "id",
    column: str = "embedding",
    vector_type: str = "",
    progress: Progress | None = None,
    encoding: object = None,
    if_exists: str = "",
) -> int:
    """Insert rows into a table and return their number.

    Parameters
    ----------
    database : Database
    table : str
        The table; it is made where it does not exist, and so is the database's file.
    path : str or Path
        `.parquet`, whose column of vectors is a list of numbers or bytes; or vectors alone: a `.npy`, or FILE:KEY of
        another format that `vicinal` reads. FILE:FIELD of a `.jsonl` takes the other fields of its lines as columns.
    data : str or Path, optional
        Beside vectors alone, the data set with the other columns, a row a vector.
    key : str
        The column that is the primary key; where the data have none, the row number from 0.
    column : str
        The column of vectors.
    vector_type : str
        Float, Float16, BFloat16, Uint8, Int8 or Bit; empty for Uint8 or Int8 where the elements are, else Float. As
        Bit, elements of uint8 are eight packed bits each; of other numbers, those above 0 are set.
    progress : callable, optional
        Called with the rows done and the rows in all.
    encoding : str or (str, array_like), optional
        How vectors alone are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    if_exists : {"", "append", "replace", "upsert"}
        What happens where the table has rows. "append": row numbers continue after the greatest key; "replace": the
        rows there are deleted first; "upsert": a row of equal key is changed. In every case but "upsert" a key that is
        there already is an error.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    UsageError
        An option does not fit the data.
    DataError
        A row cannot be inserted; no row is inserted then.
    """
    if database.read_only:
        raise UsageError(f"{database.path}: open for reading only, so nothing can be imported; leave out --read-only")
    if vector_type:
        binary.find_format(vector_type)
    if if_exists and if_exists not in IF_EXISTS:
        raise UsageError(f"if_exists: {unknown('value', if_exists, IF_EXISTS)}")
    first = database.next_number(table, key) if if_exists == "append" else 0
    source: _Rows
    if str(path).lower().endswith(".parquet"):
        if data is not None:
            raise UsageError(f"{path}: a .parquet has all columns in it; leave out --data {data}")
        if encoding is not None:
            raise UsageError(
                f"encoding: needs the column of vectors; name it as {path}:{column}, and its other columns come too"
            )
        source = _Parquet(Path(path), key, column, vector_type)
    else:
        source = _Vectors(Path(path), data, key, column, vector_type, encoding)
    return database.load(table, source.kinds, key, source.batches(first), source.count, progress, if_exists)


class _Vectors:
    """The rows of vectors alone and of the data set beside them, which may be the file that holds them."""

    def __init__(
        self, path: Path, data: str | Path | None, key: str, column: str, form: str, encoding: object = None
    ) -> None:
        file, field = split(path)
        if data is None and is_data_file(path):
            data = file
        with warnings.catch_warnings():  # of ids that are missing or repeat, which are errors of the key here
            warnings.simplefilter("ignore")
            rows = dataset.read(path) if data is None else dataset.read(data, path, ids=key)
        # Rows that are not finite are refused batch by batch, as float64 values too large for float32 are taken.
        source = path if data is not None else rows.embeddings
        self._vectors = load(source, rows=rows, on_invalid="null", at_least=0, encoding=encoding).vectors
        self._form = form or _natural(self._vectors.dtype)
        self._path, self._key, self._column = path, key, column
        self.count = len(self._vectors)
        own = (field,) if data is not None and split(data)[0] == file else ()
        self._beside = _Beside(data, own) if data is not None else None
        if self._beside is not None and self._beside.count != self.count:  # a damaged file, or one that changed
            raise DataError(
                f"{data}: has {self._beside.count} rows when read whole and {self.count} by its key; write it again"
            )
        self._words = [str(one) for one in rows.ids] if data is None and rows.ids[:1] != [0] and rows.ids else None
        kinds = self._beside.kinds if self._beside else {}
        if column in kinds:
            raise UsageError(
                f"{data}: has a field {column!r}, which is the name of the vectors' column; name another with --column"
            )
        kinds = {name: Type("Utf8") if kind == _NOTHING else kind for name, kind in kinds.items()}
        named = Type("Uint64" if self._words is None else "Utf8")
        self.kinds = {**({} if key in kinds else {key: named}), **kinds, column: STRING}
        self._numbered = key not in kinds

    def batches(self, first: int) -> Iterator[Any]:
        """Arrow tables; a key that is the row's number begins at `first`."""
        for block in blocks(self.count, BATCH):
            start, part = block.start, np.ascontiguousarray(self._vectors[block])
            columns: dict[str, Any] = self._beside.take(start // BATCH) if self._beside else {}
            if self._numbered and self._words is not None:
                columns[self._key] = pyarrow.array(self._words[block], pyarrow.string())
            elif self._numbered:
                columns[self._key] = pyarrow.array(np.arange(first + start, first + start + len(part), dtype=np.uint64))
            _refuse_not_finite(part, f"{self._path}: rows", np.arange(start, start + len(part)))
            try:
                strings = _strings_of(part, self._form)
            except UsageError as error:
                raise DataError(f"{self._path}: rows {start} to {start + len(part) - 1}: {error}") from None
            columns[self._column] = binary.binary_array(strings)
            yield pyarrow.table({name: columns[name] for name in self.kinds})


class _Beside:
    """A data set's rows, read once and kept as Arrow columns of `BATCH` rows; and the types of its fields."""

    def __init__(self, data: str | Path, without: tuple[str, ...] = ()) -> None:
        self._data, self._without = data, without
        self._batches: list[dict[str, Any]] = []
        self.kinds: dict[str, Type] = {}
        self.count = 0
        rows = tables.read_rows(data)
        while part := list(itertools.islice(rows, BATCH)):
            self.count += len(part)
            self._batches.append(self._columns(part))

    def take(self, batch: int) -> dict[str, Any]:
        """The columns of one batch, each of the type that its field has in the end."""
        columns = self._batches[batch]
        self._batches[batch] = {}
        n = min(BATCH, self.count - batch * BATCH)
        return {
            name: columns[name].cast(_arrow(kind)) if name in columns else pyarrow.nulls(n, _arrow(kind))
            for name, kind in self.kinds.items()
        }

    def _columns(self, rows: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        found = {}
        for name in dict.fromkeys(name for _, row in rows for name in row if name not in self._without):
            values = [row.get(name) for _, row in rows]
            nested = [isinstance(value, dict | list) for value in values if value is not None]
            if nested and all(nested):
                values = [None if value is None else json.dumps(value) for value in values]
            try:
                column = pyarrow.array(values)
            except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
                column = None
            kind = None if column is None else _JSON_TYPES.get(str(column.type))
            kind = Type("Json") if nested and all(nested) else kind
            before = self.kinds.get(name)
            if before is not None and before.name == "Utf8" and kind == _NOTHING:
                kind = before
            both = {one.name for one in (before, kind) if one is not None and one != _NOTHING}
            if kind is None or (len(both) > 1 and both != {"Int64", "Double"}):
                raise self._mixed(name, rows, before)
            self.kinds[name] = Type("Double") if len(both) > 1 else Type(both.pop()) if both else _NOTHING
            found[name] = column
        return found

    def _mixed(self, name: str, rows: list[tuple[int, dict[str, Any]]], known: Type | None) -> DataError:
        """The error for a field whose values have no type in common."""
        for line, row in rows:
            kind = _kind(row.get(name))
            if (
                kind is not None
                and known is not None
                and kind != known
                and {kind.name, known.name} != {"Int64", "Double"}
            ):
                return DataError(f"{self._data}:{line}: {name}: expected {known} as in the rows before, found {kind}")
            known = kind or known
        where = f"{self._data}:{rows[0][0]}: {name}"
        return DataError(f"{where}: expected values of one type, found one from here on that no column keeps")


_NOTHING = Type("Null")
_JSON_TYPES = {
    "int64": Type("Int64"),
    "double": Type("Double"),
    "bool": Type("Bool"),
    "string": Type("Utf8"),
    "date32[day]": Type("Date"),
    "timestamp[us]": Type("Timestamp"),
    "null": _NOTHING,
}


def _refuse_not_finite(vectors: np.ndarray, where: str, rows: np.ndarray) -> None:
    if vectors.dtype.kind == "f" and not np.isfinite(vectors).all():
        wrong = rows[~np.isfinite(vectors).all(axis=1)]
        raise DataError(f"{where} {some(wrong.tolist())} hold NaN or infinity; correct or remove them")


def _strings_of(vectors: np.ndarray, form: str) -> np.ndarray:
    """Vectors as byte strings; as Bit, bytes are eight bits each, as hamming takes them."""
    if form == "Bit" and vectors.dtype == np.uint8:
        vectors = np.unpackbits(vectors, axis=1)
    return binary.to_binaries(vectors, form)


def _natural(dtype: np.dtype) -> str:
    return {"uint8": "Uint8", "int8": "Int8"}.get(dtype.name, "Float")


def _kind(value: Any) -> Type | None:
    if value is None:
        return None
    names = {bool: "Bool", int: "Int64", float: "Double", str: "Utf8", date: "Date", datetime: "Timestamp"}
    return Type(names.get(type(value), "Json"))


def _arrow(kind: Type) -> Any:
    kinds = {
        "Int64": pyarrow.int64(),
        "Double": pyarrow.float64(),
        "Bool": pyarrow.bool_(),
        "Date": pyarrow.date32(),
        "Timestamp": pyarrow.timestamp("us"),
    }
    return kinds.get(kind.name, pyarrow.string())  # where all values are null, too


class _Parquet:
    """The rows of a Parquet file."""

    def __init__(self, path: Path, key: str, column: str, form: str) -> None:
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable parquet file: {error}") from None
        self._path, self._key, self._name, self._form = path, key, column, form
        self.count = self._file.metadata.num_rows
        schema = self._file.schema_arrow
        if column not in schema.names:
            raise UsageError(f"{path}: {unknown('column', column, schema.names)}; --column names the vectors' column")
        self._lists = pyarrow.types.is_list(schema.field(column).type) or pyarrow.types.is_fixed_size_list(
            schema.field(column).type
        )
        self._dim = 0
        if not self._lists and _from_arrow(path, schema.field(column)) != STRING:
            found = schema.field(column).type
            raise DataError(f"{path}: column {column}: expected lists of numbers, or bytes, found {found}")
        self.kinds = {one.name: STRING if one.name == column else _from_arrow(path, one) for one in schema}
        self._numbered = key not in self.kinds
        if self._numbered:
            self.kinds = {key: Type("Uint64"), **self.kinds}
        if self._lists and not form:
            item = schema.field(column).type.value_type
            self._form = {"uint8": "Uint8", "int8": "Int8"}.get(str(item), "Float")

    def batches(self, first: int) -> Iterator[Any]:
        """Arrow tables; a key that is the row's number begins at `first`."""
        start = 0
        for batch in self._file.iter_batches(batch_size=BATCH, use_threads=False):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            if self._numbered:
                columns[self._key] = pyarrow.array(
                    np.arange(first + start, first + start + len(batch), dtype=np.uint64)
                )
            if self._lists:
                columns[self._name] = self._strings(columns[self._name], start)
            else:
                self._refuse_other_strings(columns[self._name], start)
            start += len(batch)
            yield pyarrow.table({name: columns[name] for name in self.kinds})

    def _strings(self, lists: Any, start: int) -> Any:
        """The vectors of a batch as byte strings; where a list is null, null."""
        there = np.flatnonzero(lists.is_valid().to_numpy(zero_copy_only=False))
        whole = lists.drop_null()
        values = whole.flatten()
        lengths = pyarrow.compute.list_value_length(whole).to_numpy(zero_copy_only=False)
        self._dim = self._dim or int(lengths[0]) if len(lengths) else self._dim
        where = f"{self._path}: {self._name}: rows"
        wrong = there[lengths != self._dim] + start
        if len(wrong):
            raise DataError(
                f"{where} {some(wrong.tolist())} have another length than the first, {self._dim}; correct them"
            )
        if values.null_count:
            holes = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)) // self._dim
            raise DataError(
                f"{where} {some((there[np.unique(holes)] + start).tolist())} hold a null; correct or remove them"
            )
        try:
            vectors = values.to_numpy(zero_copy_only=False).reshape(len(whole), self._dim)
            _refuse_not_finite(vectors, where, there + start)
            strings = binary.binary_array(_strings_of(vectors, self._form))
        except DataError:
            raise
        except (UsageError, TypeError, ValueError) as error:
            raise DataError(f"{where} {start} to {start + len(lists) - 1}: {error}") from None
        if len(there) == len(lists):
            return strings
        places = np.full(len(lists), -1)
        places[there] = np.arange(len(there))
        return strings.take(pyarrow.array(places, mask=places < 0))

    def _refuse_other_strings(self, column: Any, start: int) -> None:
        """Raises DataError where a byte string is no vector's."""
        other = np.flatnonzero(binary.Strings(column).without_format) + start
        if len(other):
            raise DataError(
                f"{self._path}: {self._name}: rows {some(other.tolist())} hold bytes that are no vector's: the last "
                f"byte names no format; write them with Knn::ToBinaryStringFloat or as lists"
            )


_TEXTS = ("Json", "JsonDocument", "Uuid")
_MOMENTS = ("Datetime", "Date32", "Datetime64", "Timestamp64")


def _from_arrow(path: Any, field: Any) -> Type:
    arrow = pyarrow.types
    written = (field.metadata or {}).get(YQL, b"").decode("utf-8", "replace")
    if written in (_TEXTS if arrow.is_string(field.type) else _MOMENTS):
        return Type(written)
    kinds = {
        "bool": "Bool",
        "float": "Float",
        "double": "Double",
        "halffloat": "Float",
        "date32[day]": "Date",
        **{f"{sign}int{bits}": f"{'Uint' if sign else 'Int'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    }
    kind = field.type
    if arrow.is_string(kind) or arrow.is_large_string(kind) or arrow.is_string_view(kind):
        return Type("Utf8")
    if arrow.is_binary(kind) or arrow.is_large_binary(kind) or arrow.is_fixed_size_binary(kind):
        return STRING
    if arrow.is_timestamp(kind):
        return Type("Timestamp")
    if arrow.is_decimal128(kind) and kind.precision <= MOST_DIGITS and kind.scale >= 0:
        return decimal(kind.precision, kind.scale)
    if str(kind) not in kinds:
        raise DataError(
            f"{path}: column {field.name} is of type {kind}, which has no type in YQL; leave it out or convert it"
        )
    return Type(kinds[str(kind)])
