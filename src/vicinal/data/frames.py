"""Tables in memory: pandas, polars, pyarrow, Hugging Face datasets, or a mapping of columns.

They are read through Arrow's C stream interface, so that none of these packages is a dependency, and are given back
with new columns as the kind of table that they were.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError, half_pair, some, unknown
from vicinal.knn import arrays


def is_table(data: object) -> bool:
    """Whether an object is a table in memory: it has named columns.

    >>> import pyarrow
    >>> is_table(pyarrow.table({"id": [1, 2]})), is_table({"id": [1, 2]}), is_table([[1.0, 2.0]])
    (True, True, False)
    """
    if isinstance(data, Mapping):
        return not any(_package(part) == "datasets" for part in data.values())  # the splits of a DatasetDict
    if _package(data) == "datasets":
        return hasattr(data, "column_names") and hasattr(data, "__len__")
    return hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")


def settled(table: Any) -> Any:
    """Return a table as it is, or as a pyarrow.Table where its kind is not known, such as a query's result in DuckDB.

    >>> settled({"id": [1, 2]})
    {'id': [1, 2]}
    """
    if isinstance(table, Mapping) or _package(table) in ("pandas", "polars", "datasets", "pyarrow"):
        return table
    import pyarrow

    return pyarrow.table(table)


def column_names(table: Any) -> list[str]:
    """The names of a table's columns, in order."""
    if isinstance(table, Mapping):
        return [str(name) for name in table]
    if _package(table) in ("datasets", "pyarrow"):
        return list(table.column_names)
    return [str(name) for name in table.columns]


def column(table: Any, name: str, argument: str = "column") -> Any:
    """One column of a table as a pyarrow.ChunkedArray.

    Raises
    ------
    UsageError
        The table has no such column; `argument` names the parameter that asked for it.
    """
    import pyarrow

    names = column_names(table)
    if name not in names:
        raise UsageError(f"{argument}: {unknown('column', name, names)}")
    if _package(table) == "datasets":  # its own formats convert float64 to float32 and uint8 to int64; Arrow does not
        return _simple(table.with_format("arrow").select_columns([name])[:].column(0))
    values = _values_of(table, name)
    if isinstance(values, pyarrow.ChunkedArray):
        return _simple(values)
    try:
        if hasattr(values, "__arrow_c_stream__"):
            return _simple(pyarrow.chunked_array(values))
        plain = list(values) if isinstance(values, np.ndarray) and values.ndim > 1 else values
        return pyarrow.chunked_array([pyarrow.array(plain, from_pandas=True)])
    except UnicodeEncodeError as error:
        raise DataError(f"column {name!r}: a text holds {half_pair(error)}") from None
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"{argument}: column {name!r}: Arrow cannot read its values ({error})") from None


def _values_of(table: Any, name: str) -> Any:
    """The values of a column; its name may be a number in pandas and in a mapping."""
    if isinstance(table, Mapping):
        return next(values for key, values in table.items() if str(key) == name)
    if _package(table) == "pandas":
        return table.iloc[:, column_names(table).index(name)]
    return table[name]


def _simple(values: Any) -> Any:
    """An Arrow column without views and dictionaries, which Arrow's own functions do not compare with plain values.

    polars gives text as string_view; pandas and polars give categories as dictionaries.
    """
    import pyarrow

    kind = values.type
    if pyarrow.types.is_dictionary(kind):  # pyarrow decodes no dictionary of views, so its texts are cast first
        chunks = values.chunks if isinstance(values, pyarrow.ChunkedArray) else [values]
        arrays = [pyarrow.DictionaryArray.from_arrays(one.indices, _simple(one.dictionary)) for one in chunks]
        decoded = [one.dictionary_decode() for one in arrays]
        return pyarrow.chunked_array(decoded) if decoded else values.cast(kind.value_type)
    if pyarrow.types.is_string_view(kind):
        return values.cast(pyarrow.string())
    return values.cast(pyarrow.binary()) if pyarrow.types.is_binary_view(kind) else values


def is_vector_column(values: Any) -> bool:
    """Whether an Arrow column holds a list of numbers in each row."""
    return is_vector_type(values.type)


def is_number_column(values: Any) -> bool:
    """Whether an Arrow column holds one number in each row."""
    import pyarrow.types as types

    return bool(types.is_floating(values.type) or types.is_integer(values.type))


def is_vector_type(kind: Any) -> bool:
    """Whether an Arrow type is one of lists of numbers."""
    import pyarrow.types as types

    kind = _storage(kind)
    if not _is_list(kind):
        return False
    inner = _storage(kind.value_type)
    return bool(types.is_floating(inner) or types.is_integer(inner) or _is_bfloat16(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(test(kind) for test in tests)


def _storage(kind: Any) -> Any:
    """The type that an extension type, such as a tensor's, is stored as."""
    import pyarrow

    return kind.storage_type if isinstance(kind, pyarrow.BaseExtensionType) else kind


def _is_bfloat16(kind: Any) -> bool:
    """Whether a type of lists holds bfloat16: two bytes each, named by an extension."""
    item = kind.value_field
    name = getattr(item.type, "extension_name", "") or (item.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    return bool(name.endswith("bfloat16") and _storage(item.type).bit_width == 16)


def vector_columns(table: Any) -> list[str]:
    """The names of the columns that hold a list of numbers in each row."""
    return [name for name in column_names(table) if is_vector_column(column(table, name))]


def vectors_of(values: Any, name: str) -> tuple[np.ndarray, dict[int, str]]:
    """The vectors of an Arrow column of lists, and the reason of each row that has none.

    Parameters
    ----------
    values : pyarrow.Array or pyarrow.ChunkedArray
        Lists of numbers: list, large_list or fixed_size_list; numbers may be bfloat16.
    name : str
        What errors call it.

    Returns
    -------
    vectors : ndarray, shape (n, dim)
        Of the column's own number type (float32 for bfloat16), without a copy where the column is one whole chunk. Rows
        that are null are NaN (0 for whole numbers).
    missing : dict of int to str
        The reason for each null row.

    Raises
    ------
    DataError
        The column holds no lists of numbers, or lists of different lengths (it names the rows).
    """
    import pyarrow

    if not is_vector_column(values):
        raise DataError(f"{name}: expected a list of numbers in each row, found a column of type {values.type}")
    chunks = values.chunks if isinstance(values, pyarrow.ChunkedArray) else [values]
    parts: list[np.ndarray] = []
    missing: dict[int, str] = {}
    dim, odd, start = -1, list[int](), 0
    for chunk in chunks:
        lists = chunk.storage if isinstance(chunk.type, pyarrow.BaseExtensionType) else chunk
        there, lengths = _present(lists)
        missing |= {start + int(row): arrays.NO_EMBEDDING for row in np.delete(np.arange(len(lists)), there)}
        dim = int(lengths[0]) if dim < 0 and len(lengths) else dim
        odd += (there[lengths != dim] + start).tolist()
        if not odd and len(lists):
            parts.append(_rows_of(lists, there, max(dim, 0)))
        start += len(lists)
    if odd:
        first = next(row for row in range(start) if row not in missing)
        raise DataError(
            f"{name}: found rows of different lengths: row {first} has {dim} numbers, {len(odd)} rows have another "
            f"number ({some(odd)}); embed them with one model"
        )
    parts = [part if part.shape[1] == dim else np.full((len(part), max(dim, 0)), np.nan) for part in parts]
    if len(parts) == 1:
        return parts[0], missing
    return (np.concatenate(parts) if parts else np.empty((0, max(dim, 0)))), missing


def _present(lists: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an Arrow array of lists that are not null, and the length of each of them."""
    import pyarrow
    import pyarrow.compute

    n = len(lists)
    there = np.flatnonzero(lists.is_valid().to_numpy(zero_copy_only=False)) if lists.null_count else np.arange(n)
    if pyarrow.types.is_fixed_size_list(lists.type):
        return there, np.full(len(there), lists.type.list_size)
    return there, pyarrow.compute.list_value_length(lists).drop_null().to_numpy(zero_copy_only=False)


def _rows_of(lists: Any, there: np.ndarray, dim: int) -> np.ndarray:
    """The numbers of an Arrow array of lists that are all of one length, (n, dim)."""
    values = (lists.drop_null() if lists.null_count else lists).flatten()
    numbers = _from_bfloat16(values) if _is_bfloat16(lists.type) else values.to_numpy(zero_copy_only=False)
    rows = numbers.reshape(len(there), dim)
    if len(there) == len(lists):
        return rows
    padded = np.full((len(lists), dim), np.nan if rows.dtype.kind == "f" else 0, dtype=rows.dtype)
    padded[there] = rows
    return padded


def _from_bfloat16(values: Any) -> np.ndarray:
    """Arrow values of two bytes, bfloat16, as float32."""
    import pyarrow

    values = values.storage if isinstance(values.type, pyarrow.BaseExtensionType) else values
    bits = np.frombuffer(values.buffers()[1], dtype="<u2")[values.offset : values.offset + len(values)]
    numbers = arrays.from_bfloat16(bits)
    if values.null_count:
        numbers[values.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return numbers


def with_columns(table: Any, columns: Mapping[str, Any]) -> Any:
    """A table of the same kind with further columns behind its own.

    Parameters
    ----------
    table : pandas.DataFrame, polars.DataFrame, pyarrow.Table, datasets.Dataset, mapping, or Arrow stream
    columns : mapping of str to pyarrow.Array

    Returns
    -------
    table
        A new table of the same kind; a pyarrow.Table where the kind is not known.

    Raises
    ------
    UsageError
        A name is taken already, or the numbers of rows differ.
    """
    import pyarrow

    _refuse_other_kind(table, array=False)
    taken = [name for name in columns if name in column_names(table)]
    if taken:
        raise UsageError(f"the table has columns {some(taken)} already; give prefix='...' or drop them first")
    package = _package(table)
    n = next((len(values) for values in columns.values()), 0)
    rows = len(next(iter(table.values()), ())) if isinstance(table, Mapping) else _length(table)
    if columns:
        _refuse_other_count(rows, n)
    if package == "pandas":
        return table.assign(**{name: _as_pandas(values, table.index) for name, values in columns.items()})
    if package == "polars":
        import polars

        return table.with_columns([polars.Series(name, values) for name, values in columns.items()])
    if package == "datasets":
        for name, values in columns.items():
            table = table.add_column(name, values.to_pylist())
        return table
    if isinstance(table, Mapping):
        return {**table, **{name: values.to_pylist() for name, values in columns.items()}}
    arrow = table if isinstance(table, pyarrow.Table) else pyarrow.table(table)
    for name, values in columns.items():
        arrow = arrow.append_column(name, values)
    return arrow


def take(table: Any, rows: np.ndarray, n: int) -> Any:
    """Return some rows of a table, as a table of the same kind.

    Parameters
    ----------
    table : pandas.DataFrame, polars.DataFrame, pyarrow.Table, datasets.Dataset, mapping, Arrow stream, or array_like
    rows : ndarray of int, shape (n_rows,)
        The numbers of the rows, from 0.
    n : int
        The number of rows that the table must have.

    Returns
    -------
    table
        Of the same kind, with the rows in the order of `rows`; a pyarrow.Table where the kind is not known.

    Raises
    ------
    UsageError
        The table has another number of rows.

    Examples
    --------
    >>> take({"id": ["a", "b", "c"]}, np.array([0, 2]), n=3)
    {'id': ['a', 'c']}
    """
    import pyarrow

    _refuse_other_kind(table, array=True)
    if isinstance(table, Mapping):
        found = len(next(iter(table.values()), ()))
    elif is_table(table):
        found = _length(table)
    else:
        table = np.asanyarray(table)
        found = len(table) if table.ndim else 1
    _refuse_other_count(found, n)
    if isinstance(table, Mapping):
        return {
            name: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]
            for name, values in table.items()
        }
    package = _package(table)
    if package == "pandas":
        return table.iloc[rows]
    if package == "polars" or isinstance(table, np.ndarray):
        return table[rows]
    if package == "datasets":
        return table.select(rows)
    arrow = table if isinstance(table, pyarrow.Table) else pyarrow.table(table)
    return arrow.take(pyarrow.array(rows, pyarrow.int64()))


def _refuse_other_kind(table: Any, array: bool) -> None:
    """Raise UsageError for what is no table; a list or an array of rows is one where `array` is true."""
    rows = array and (isinstance(table, Sequence) or hasattr(table, "__array__")) and not isinstance(table, str | bytes)
    if not (rows or is_table(table)):
        kinds = "pandas, polars, pyarrow, Hugging Face datasets or a mapping of columns"
        raise UsageError(f"expected the table that the result was computed from ({kinds}), got {described(table)}")


def described(data: object) -> str:
    """What messages call an object that is no table; of one that can become a table it says how."""
    kind = type(data).__name__
    if _package(data) == "polars" and hasattr(data, "collect"):
        return f"{kind}, which is not computed yet; give .collect() of it"
    if _package(data) == "datasets" and isinstance(data, Mapping):
        return f"{kind}, which holds several data sets ({some(list(data), 9)}); give one of them"
    if _package(data) == "datasets":
        return (
            f"{kind}, which is read one row at a time; give a Dataset, as load_dataset(..., streaming=False) makes it"
        )
    if hasattr(data, "toarray"):
        return f"{kind}, which is sparse; give .toarray() of it"
    if hasattr(data, "read_all"):
        return f"{kind}, which can be read once; give .read_all() of it"
    return kind


def _refuse_other_count(found: int, n: int) -> None:
    if found != n:
        raise UsageError(
            f"the table has {found} rows, but the result has {n}; give the table that it was computed from"
        )


def _as_pandas(values: Any, index: Any) -> Any:
    series = values.to_pandas()
    series.index = index
    return series


def _length(table: Any) -> int:
    return int(table.num_rows) if hasattr(table, "num_rows") else len(table)


def _package(data: object) -> str:
    """The package that the type of an object comes from."""
    return type(data).__module__.partition(".")[0]
