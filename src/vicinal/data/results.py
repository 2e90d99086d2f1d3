"""The result of a task: named columns with one value a row, in the order of the input."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.errors import need, unknown
from vicinal.typing import Id


class Columns:
    """Named columns with one value a row.

    Parameters
    ----------
    ids : sequence of int or str
        The id of each row.
    columns : mapping of str to ndarray or list
        Each of length n, an array of shape (n, m) for lists. NaN in a float column and None in a list stand for "no
        value".
    types : mapping of str to str, optional
        The types of columns in a Parquet file where their values do not say it: "double", "float32", "int64",
        "string", "bool", or "id" for the type of the ids.

    Examples
    --------
    >>> result = Columns(["a", "b"], {"score": np.array([0.5, np.nan])})
    >>> len(result), result.names, result["score"].tolist()
    (2, ['score'], [0.5, nan])
    >>> result.to_arrow().to_pylist()
    [{'id': 'a', 'score': 0.5}, {'id': 'b', 'score': None}]
    >>> result.add_to({"text": ["one", "two"]})
    {'text': ['one', 'two'], 'score': [0.5, None]}
    """

    added_as = ""  # before the names of columns that are added to a data set file

    def __init__(self, ids: Sequence[Id], columns: Mapping[str, Any], types: Mapping[str, str] | None = None) -> None:
        self.ids = list(ids)
        self._columns = dict(columns)
        self._types = dict(types or {})

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def __getitem__(self, name: str) -> Any:
        """The values of a column, in the input's order."""
        if name not in self._columns:
            raise KeyError(unknown("column", name, self._columns))
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def keys(self) -> list[str]:
        """The names of the columns, so that `dict(result)` gives them all."""
        return self.names

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={len(self)}, columns={self.names})"

    def to_arrow(self) -> Any:
        """Return a pyarrow.Table of the ids and all columns; no value becomes null."""
        import pyarrow

        arrays = {"id": pyarrow.array(self._plain_ids()), **self.arrow_columns()}
        return pyarrow.table(arrays)

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame of the ids and all columns."""
        need("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """Return a polars.DataFrame of the ids and all columns."""
        return need("polars").from_arrow(self.to_arrow())

    def add_to(self, table: Any, prefix: str = "") -> Any:
        """Return a table of the same kind with these columns behind its own.

        Parameters
        ----------
        table : pandas.DataFrame, polars.DataFrame, pyarrow.Table, datasets.Dataset, or mapping of columns
            The table that this result was computed from, with the same rows in the same order.
        prefix : str
            Put before the name of each new column.

        Raises
        ------
        UsageError
            The table has a column of a name already, or another number of rows.
        """
        return frames.with_columns(table, {f"{prefix}{name}": values for name, values in self.arrow_columns().items()})

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet` file; it appears whole or not at all.

        Raises
        ------
        UsageError
            The file exists and `overwrite` is false, or its name has another ending.
        """
        tables.check_table(path, self.ids)
        flat = tables.suffix(path) in (".csv", ".parquet")
        columns = () if len(self) else ("id", *self.names)
        with tables.table_writer(path, overwrite, self.types(), columns) as table:
            for record in self.records():
                table.add(flat_record(record) if flat else record)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one mapping a row, as it is written to a file: floats as their shortest decimals, no value as None."""
        columns = {name: plain_values(values) for name, values in self._columns.items()}
        for row, identity in enumerate(self.ids):
            yield {"id": identity, **{name: values[row] for name, values in columns.items()}}

    def types(self) -> dict[str, str]:
        """The type of each column in a Parquet file, as `tables.table_writer` takes it."""
        types = {"id": "id"}
        for name, values in self._columns.items():
            kind = values.dtype.kind if isinstance(values, np.ndarray) else "O"
            known = {"i": "int64", "u": "int64", "b": "bool", "f": "double"}
            types[name] = "float32" if kind == "f" and values.dtype == np.float32 else known.get(kind, "string")
        return types | self._types

    def _plain_ids(self) -> list[Id]:
        kinds = {type(one) for one in self.ids}
        return self.ids if len(kinds) < 2 else [str(one) for one in self.ids]

    def arrow_columns(self) -> dict[str, Any]:
        """Return the columns as Arrow arrays, blanks in their names as "_"; no value becomes null."""
        import pyarrow

        out = {}
        for column, values in self._columns.items():
            name = column.replace(" ", "_")
            if isinstance(values, np.ndarray) and values.ndim == 1:
                missing = ~np.isfinite(values) if values.dtype.kind == "f" else None
                out[name] = pyarrow.array(values, mask=missing)
            elif isinstance(values, np.ndarray):
                flat = pyarrow.array(np.ascontiguousarray(values).ravel())
                out[name] = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
            else:
                out[name] = pyarrow.array(values)
        return out


class Kept(Columns):
    """A result whose column `kept` says which rows of the data stay.

    Parameters
    ----------
    ids, columns, types : as for `Columns`
    data_rows : ndarray of int64, optional
        The number, in the data, of each row of the result; by default the result has all rows of the data.
    n_data : int, optional
        How many rows the data has.
    """

    def __init__(
        self,
        ids: Sequence[Id],
        columns: Mapping[str, Any],
        types: Mapping[str, str] | None = None,
        data_rows: np.ndarray | None = None,
        n_data: int | None = None,
    ) -> None:
        super().__init__(ids, columns, types)
        self._data_rows = np.arange(len(self.ids)) if data_rows is None else data_rows
        self._n_data = len(self.ids) if n_data is None else n_data

    @property
    def rows(self) -> np.ndarray:
        """The numbers, in the data, of the rows that stay, ascending, int64."""
        return np.asarray(self._data_rows[self["kept"]])

    def take_from(self, table: Any) -> Any:
        """Return the rows of a table that stay, in its order.

        Parameters
        ----------
        table : pandas.DataFrame, polars.DataFrame, pyarrow.Table, datasets.Dataset, mapping of columns, or array
            With the same rows as the data, in the same order.

        Returns
        -------
        table
            Of the same kind.

        Raises
        ------
        UsageError
            The table has another number of rows.
        """
        return frames.take(table, self.rows, self._n_data)


def plain_values(values: Any) -> list[Any]:
    """Return the values of a column as JSON can hold them; a float32 becomes the shortest decimal that reads back.

    >>> plain_values(np.array([0.1, np.inf], dtype=np.float32))
    [0.1, None]
    """
    if not isinstance(values, np.ndarray):
        return list(values)
    if values.dtype == np.float32:
        return [float(str(value)) if np.isfinite(value) else None for value in values]
    if values.dtype.kind == "f":
        return [float(value) if np.isfinite(value) else None for value in values]
    return list(values.tolist())


def flat_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose lists and mappings are JSON text, which a cell of a table can hold."""
    return {name: flat_cell(cell) for name, cell in record.items()}


def flat_cell(cell: Any) -> Any:
    """Return a list or a mapping as JSON text, another cell as it is."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, dict | list) else cell
