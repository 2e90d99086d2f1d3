"""What is stored with each vector: the user's id, and columns for filters and results.

Ids are whole numbers or strings, each of one row. Where none are given, a row's number is its id. Columns are an Arrow
table, so that a filter over millions of rows is a few passes over arrays.
"""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError, half_pair, some
from vicinal.typing import Id


class Ids:
    """The id of each row, and the row of each id.

    values : a list of ids, or how many rows there are where their numbers are their ids
    dead   : bool (n,), rows that are removed: their ids may be those of later rows
    Raises   DataError where an id is neither a whole number nor a string, or is given twice
    """

    def __init__(self, values: Sequence[Any] | int, dead: np.ndarray | None = None) -> None:
        self._n = 0
        self._values: list[Id] | None = None
        self._rows: dict[Id, int] = {}
        if isinstance(values, int):
            self._n = values
        else:
            self._values = []
            self._append(values, dead)

    @property
    def given(self) -> bool:
        """Whether the ids are the user's; else they are row numbers."""
        return self._values is not None

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, row: int) -> Id:
        if not 0 <= row < self._n:
            raise IndexError(f"row {row} of {self._n}")
        return int(row) if self._values is None else self._values[row]

    def of(self, rows: np.ndarray) -> list[Any]:
        """The ids of rows, in the shape of the array; None where the row is -1."""
        if rows.ndim > 1:
            return [self.of(row) for row in rows]
        return [None if row < 0 else self[int(row)] for row in rows]

    def rows(self, ids: object, what: str = "id", dead: np.ndarray | None = None) -> np.ndarray:
        """The rows of these ids, int64.

        Raises   DataError naming the ids that no row has, or whose row is dead, and one that there is
        """
        wanted = ids if isinstance(ids, Iterable) and not isinstance(ids, str) else [ids]
        found, missing = [], []
        for value in wanted:
            row = self.find(value)
            if row is None or _is(dead, row):
                missing.append(repr(value.item() if isinstance(value, np.generic) else value))
            else:
                found.append(row)
        if missing:
            known = f", whose ids are like {self[0]!r}" if self._n else ""
            raise DataError(f"{what}: not in the index: {some(missing)}; it holds {self._n} rows{known}")
        return np.array(found, dtype=np.int64)

    def find(self, value: object) -> int | None:
        """The row of an id, or None."""
        if isinstance(value, bool) or not isinstance(value, int | np.integer | str):
            return None
        if self._values is None:
            return int(value) if not isinstance(value, str) and 0 <= value < self._n else None
        return self._rows.get(value if isinstance(value, str) else int(value))

    def extend(self, values: Iterable[Any] | None, n: int, dead: np.ndarray | None = None) -> None:
        """Adds the ids of n more rows; the id of a dead row may be used again.

        Raises   DataError where ids are missing, too many, or of a row already; nothing is added then
        """
        if values is None:
            if self._values is not None:
                raise DataError(f"ids: this index has ids of its own such as {self[0]!r}; give one for each new row")
            self._n += n
            return
        values = list(values)
        if len(values) != n:
            raise DataError(f"ids: expected {n}, one a row, found {len(values)}")
        if self._values is None:
            self._rows = {row: row for row in range(self._n)}  # first, for a thread that looks an id up meanwhile
            self._values = list(range(self._n))
        self._append(values, dead)

    def copy(self) -> "Ids":
        """Ids that do not change with these."""
        other = Ids(self._n)
        if self._values is not None:
            other._values, other._rows = list(self._values), dict(self._rows)
        return other

    def cut(self, n: int, given: bool, dead: np.ndarray | None) -> None:
        """Take back the last additions: the first n ids, as they were."""
        first = n if self._values is None or not given else self._values[:n]
        self._values, self._rows, self._n = None, {}, n
        if isinstance(first, list):
            self._values, self._n = [], 0
            self._append(first, dead)

    def _append(self, values: Iterable[Any], dead: np.ndarray | None) -> None:
        assert self._values is not None
        start, values = self._n, list(values)
        new: dict[Id, int] = {}
        for row, value in enumerate(values, start):
            name = _as_id(value, row)
            before = new.get(name, self._rows.get(name))
            if before is not None and not _is(dead, before):
                raise DataError(f"ids: {name!r} is given to rows {before} and {row}; ids must differ")
            new[name] = row
        self._values.extend(_as_id(value, row) for row, value in enumerate(values, start))
        self._rows.update(new)
        self._n = len(self._values)


def _is(dead: np.ndarray | None, row: int) -> bool:
    return dead is not None and row < len(dead) and bool(dead[row])


def _as_id(value: object, row: int) -> Id:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"ids: row {row}: expected a whole number or a string, found {value!r}")
    return value


def as_table(payload: object, n: int) -> Any:
    """Columns as an Arrow table of n rows.

    payload : a pyarrow.Table, a table of pandas, polars or datasets, a mapping name -> n values, or n mappings name ->
              value; values that no Arrow type holds together become text, with a warning: JSON, but for those that are
              text already
    Raises    DataError where the number of rows is another; UsageError where it is none of these
    """
    import pyarrow

    if isinstance(payload, pyarrow.Table):
        table = payload
    elif (frame := _frame(payload)) is not None:
        table = frame
    elif isinstance(payload, Mapping):
        table = pyarrow.table({str(name): _as_column(str(name), values) for name, values in payload.items()})
    elif isinstance(payload, Iterable) and not isinstance(payload, str | bytes):
        records = list(payload)
        if not all(isinstance(record, Mapping) for record in records):
            raise UsageError(
                "payload: expected a table (pyarrow, pandas, polars), a mapping of columns, or one mapping a row, got "
                f"{type(payload).__name__}"
            )
        names = dict.fromkeys(str(name) for record in records for name in record)
        columns = {name: _as_column(name, [record.get(name) for record in records]) for name in names}
        table = pyarrow.table(columns) if columns else None
        if table is None:
            table = pyarrow.table({"": pyarrow.nulls(len(records))}).select([])
            if len(records) == n:
                return table
    else:
        raise UsageError(f"payload: expected a table, columns or rows, got {type(payload).__name__}")
    if table.num_columns and table.num_rows != n:
        raise DataError(f"payload: found {table.num_rows} rows, expected {n}, one a vector")
    return table


def _frame(payload: object) -> Any:
    """A table of pandas, polars or Hugging Face datasets as a pyarrow.Table; None where it is none."""
    import pyarrow

    package = type(payload).__module__.partition(".")[0]
    found: Any = payload
    if package == "pandas" and hasattr(payload, "columns"):
        return pyarrow.table({str(name): _of_series(str(name), found[name]) for name in found.columns})
    if package == "datasets" and hasattr(payload, "with_format"):
        return found.with_format("arrow")[:]
    if not (hasattr(payload, "__arrow_c_stream__") and hasattr(payload, "columns")):
        return None
    table = pyarrow.table(found)
    for place, field in enumerate(table.schema):  # polars gives text as a view, which Arrow does not compare with text
        if pyarrow.types.is_string_view(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pyarrow.string()))
    return table


def _of_series(name: str, series: Any) -> Any:
    """A column of pandas as a column of Arrow; values of several types as `_as_column` takes them."""
    import pyarrow

    try:
        return pyarrow.Array.from_pandas(series)
    except pyarrow.ArrowException:
        return _as_column(name, [None if value != value else value for value in series.tolist()])


def joined(first: Any, second: Any, n_first: int, n_second: int) -> Any:
    """Two tables, one below the other; a column that one of them lacks is null there."""
    import pyarrow

    if first is None and second is None:
        return None
    columns = {}
    tables = [(first, n_first), (second, n_second)]
    for name in dict.fromkeys(name for table, _ in tables if table is not None for name in table.column_names):
        parts = [
            pyarrow.nulls(n) if table is None or name not in table.column_names else table[name] for table, n in tables
        ]
        types = {part.type for part in parts if not pyarrow.types.is_null(part.type)}
        if len(types) > 1:
            columns[name] = _as_column(name, [value for part in parts for value in part.to_pylist()])
        else:
            kind = types.pop() if types else pyarrow.null()
            chunks = [chunk for part in parts for chunk in _chunks(part.cast(kind))]
            columns[name] = pyarrow.chunked_array(chunks, type=kind)
    return pyarrow.table(columns)


def _chunks(array: Any) -> list[Any]:
    return list(array.chunks) if hasattr(array, "chunks") else [array]


def _as_column(name: str, values: Any) -> Any:
    listed = values if isinstance(values, np.ndarray) else list(values)
    try:
        column, as_text = as_array(listed)
    except UnicodeEncodeError as error:
        raise DataError(f"payload: {name}: a text holds {half_pair(error)}") from None
    if as_text:
        whole = all(isinstance(one, int) and not isinstance(one, bool) for one in listed if one is not None)
        what = "it holds whole numbers beyond 64 bits" if whole else "its values are of several kinds"
        warnings.warn(f"payload: {name}: {what}; they are kept as text", stacklevel=2)
    return column


def as_array(values: Any) -> tuple[Any, bool]:
    """Values as an Arrow array, and whether they became text (JSON, but for what is text) for want of one type."""
    import pyarrow

    try:
        return pyarrow.array(values), False
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        texts = [one if one is None or isinstance(one, str) else json.dumps(one, default=str) for one in values]
        return pyarrow.array(texts), True
