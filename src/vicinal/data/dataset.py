"""A data set as a task sees it: the id of each row and the columns that the task reads, from a file or from memory."""

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames, labels, provenance, tables
from vicinal.data.opening import input_file, open_source
from vicinal.data.sources import LOG, is_data_file, is_source, is_table, open_table, own_fields, own_spec, split
from vicinal.errors import DataError, UsageError, some
from vicinal.typing import Id

NO_FIELDS: Mapping[str, tuple[object, str]] = {}


@dataclass(frozen=True, eq=False)
class Dataset:
    """The rows of a data set: their ids, the columns that a task reads, and where their embeddings are.

    Attributes
    ----------
    name : str
        What messages call it: the file, or "data".
    ids : list of int or str
        One a row; row numbers where the data set has none.
    path : Path or None
        The file that it was read from.
    table : object
        The table in memory that it was read from, or None.
    values : dict of str to list
        For each argument that named a column or gave values: one value a row.
    places : dict of str to str
        For each of them, the place that messages name.
    embeddings : object
        Where its embeddings are: a path, an array, an Arrow column, or an opened source; None where none were given.
    sources : tuple of (Path, list)
        Other files that values were read from, and their ids.
    id_field : str
        The column of ids.
    key : str
        The field of the file that holds its embeddings; empty where they lie elsewhere.
    encoding : object
        How its embeddings are quantised, as `vicinal.data.encodings.parse` takes it.
    """

    name: str
    ids: list[Id]
    path: Path | None = None
    table: Any = None
    values: dict[str, list[Any]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    embeddings: Any = None
    sources: tuple[tuple[Path, list[Id]], ...] = ()
    id_field: str = "id"
    key: str = ""
    encoding: object = None

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> Any:
        """Return all columns of the data set but the ids and the vectors: a mapping of columns, or one mapping a row.

        None where there are no columns. A file is read again for it.
        """
        if self.table is not None:
            names = [name for name in frames.column_names(self.table) if name != self.id_field]
            arrow = {name: frames.column(self.table, name) for name in names}
            return {name: values for name, values in arrow.items() if not frames.is_vector_column(values)} or None
        if self.path is None:
            return None
        rows = (row for _, row in tables.read_rows(self.path))
        own = self.key or next(iter(own_fields(self.path)), "") if self.embeddings is None or self.key else ""
        return [{name: value for name, value in row.items() if name not in (self.id_field, own)} for row in rows]

    def own_embeddings(self) -> str | None:
        """Return FILE:FIELD of the data set's only field that can hold embeddings, or None; as `sources.own_spec`."""
        return None if self.path is None else own_spec(self.path)

    def refuse_other_count(self, source: object, found: int) -> None:
        """Raise DataError where a source that belongs to these rows has another number of rows."""
        if found != len(self):
            raise DataError(
                f"{self.name} has {len(self)} rows, but {source} has {found}; each row of the data set needs one row "
                "there, in the same order"
            )

    def verify(self, array: Path) -> None:
        """Raise DataError where the note beside an array names other data than this, or its rows in another order."""
        if self.path is not None:
            provenance.verify(array, self.path, self.ids)
        for path, ids in self.sources:
            provenance.verify(array, path, ids, contents=False)


@dataclass(frozen=True)
class _Request:
    """The arguments of `read`, without the data."""

    embeddings: object
    ids: object
    fields: Mapping[str, tuple[object, str]]
    argument: str
    ids_argument: str
    ids_from: str | None
    first_row: int
    key: str = ""


def read(
    data: object,
    embeddings: object = None,
    *,
    ids: object = None,
    fields: Mapping[str, tuple[object, str]] = NO_FIELDS,
    argument: str = "data",
    unique_ids: bool = False,
    ids_argument: str = "ids",
    ids_from: str | None = None,
    first_row: int = 0,
    encoding: object = None,
) -> Dataset:
    """Return the rows of a data set.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (an array of shape (n, dim), or a file or folder of `vicinal.data.sources.READERS`), a data set
        file (`.jsonl`, `.jsonl.gz`, `.csv`, `.parquet`), a file or folder of Arrow's formats, or a table in memory
        (pandas, polars, pyarrow, Hugging Face datasets, mapping of columns). FILE:FIELD of a data set file names its
        own field of embeddings.
    embeddings : str, path, or array_like, optional
        Where the embeddings are, if not in `data`: the name of a column of a table, a path, or an array. ":FIELD" is a
        field of the data set file itself. Of a table with exactly one column of lists of numbers, that column is taken.
    ids : str or sequence, optional
        The column of ids (default "id"; where there is none, row numbers), or the ids. Where `data` is an array,
        FILE or FILE:FIELD.
    fields : mapping of str to (object, str)
        Argument name -> (what the caller gave, kind). A str is a column of the data set, or FILE:FIELD; another value
        is one value a row; None is left out. Kinds: "label", "number", "text", "any", as in `tables.read_columns`.
    argument : str
        What messages call `data` in memory.
    unique_ids : bool
        Whether an id that occurs twice is refused; a file's are warned of otherwise.
    ids_argument : str
        What messages call `ids`.
    ids_from : str, optional
        The field whose file gives the ids where `data` is an array, `ids` is None and the field is FILE:FIELD.
    first_row : int
        The number of the first row, where the rows follow others; rows without an id are named by their number.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised, for `embeddings.load`.

    Returns
    -------
    Dataset

    Raises
    ------
    UsageError
        A column is not there, or an argument has another form.
    DataError
        A file cannot be read, the numbers of rows differ, or ids that must differ do not.

    Examples
    --------
    >>> rows = read({"id": ["a", "b"], "e": [[0.0], [1.0]], "kind": [7, 8]}, fields={"labels": ("kind", "label")})
    >>> rows.ids, rows.values, len(rows.embeddings)
    (['a', 'b'], {'labels': [7, 8]}, 2)
    """
    if isinstance(data, Dataset):
        raise UsageError(f"{argument}: found a Dataset, expected an array, a path or a table")
    given = {name: (spec, kind) for name, (spec, kind) in fields.items() if spec is not None}
    request = _Request(embeddings, ids, given, argument, ids_argument, ids_from, first_row)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        if frames.is_table(data):
            rows = _from_table(data, request)
        elif isinstance(data, str | os.PathLike):
            rows = _from_path(data, request)
        else:
            rows = _from_array(data, request)
    if unique_ids:
        _refuse_repeated(rows)
    for warning in raised:
        warnings.warn(warning.message, warning.category, stacklevel=3)
    return rows if encoding is None else replace(rows, encoding=encoding)


def _from_path(data: str | os.PathLike[str], request: _Request) -> Dataset:
    """The rows of a file or a folder: a data set file, a table in one of Arrow's formats, or embeddings."""
    path, key = split(data)
    if not path.exists():
        place = f"there is nothing at {path.absolute()}"
        raise UsageError(f'{request.argument}: expected a file, got "{data}": {place}')
    if key and request.embeddings is not None:
        raise UsageError(f"embeddings: {data} names the field of embeddings already; give it once")
    if is_data_file(path) and not path.is_dir():
        own = f":{key}" if key else request.embeddings
        if isinstance(own, str) and own.startswith(":"):
            return _from_file(path, replace(request, embeddings=f"{path}{own}", key=own[1:]))
        return _from_file(path, request)
    if is_table(path):
        return _from_table(open_table(path), replace(request, embeddings=key or request.embeddings, argument=str(path)))
    if isinstance(request.embeddings, str) and request.embeddings.startswith(":"):
        raise UsageError(f"embeddings: {data} has no fields, got {request.embeddings!r}; name a file")
    return _from_array(data, request)


def _refuse_repeated(rows: Dataset) -> None:
    repeated = [one for one, count in Counter(rows.ids).items() if count > 1]
    if repeated:
        raise DataError(
            f"{rows.name}: {len(repeated)} ids occur more than once ({some(repeated)}); ids of an index must differ: "
            "name another field with --ids (in Python: ids='...')"
        )


def _from_table(table: Any, request: _Request) -> Dataset:
    embeddings, ids, argument, ids_argument = request.embeddings, request.ids, request.argument, request.ids_argument
    table = frames.settled(table)
    names = frames.column_names(table)
    if isinstance(embeddings, str) and embeddings in names:
        source: Any = frames.column(table, embeddings, "embeddings")
    elif isinstance(embeddings, str) and embeddings.startswith(":"):
        source = frames.column(table, embeddings[1:], "embeddings")
    elif isinstance(embeddings, str) and not is_source(embeddings) and not embeddings.lower().endswith(".npy"):
        source = frames.column(table, embeddings, "embeddings")  # raises the error for a column that does not exist
    elif embeddings is not None:
        source = embeddings
    else:
        candidates = frames.vector_columns(table)
        source = frames.column(table, candidates[0]) if len(candidates) == 1 else None
        if source is not None:
            LOG.info("%s: embeddings are taken from the column %r", argument, candidates[0])
        if len(candidates) > 1:
            raise UsageError(
                f"embeddings: the table has several columns of vectors ({some(candidates, 9)}); name one: "
                f"embeddings={candidates[0]!r}"
            )
    n = len(frames.column(table, names[0])) if names else 0
    if isinstance(ids, str):
        column = frames.column(table, ids, ids_argument)
        row_ids = _checked_ids(column.to_pylist(), n, f"{ids_argument}: column {ids!r}")
    elif ids is not None:
        row_ids = _checked_ids(ids, n, ids_argument)
    elif "id" in names:
        row_ids = _checked_ids(frames.column(table, "id").to_pylist(), n, f"{ids_argument}: column 'id'")
    else:
        row_ids = list(range(request.first_row, request.first_row + n))
    values: dict[str, list[Any]] = {}
    places: dict[str, str] = {}
    sources: list[tuple[Path, list[Id]]] = []
    for name, (spec, kind) in request.fields.items():
        if isinstance(spec, str) and spec not in names and labels.is_file(spec):
            values[name], places[name] = _from_other_file(spec, kind, n, name, argument, sources)
        elif isinstance(spec, str):
            places[name] = f"{argument}: column {spec!r}"
            cells = frames.column(table, spec, name).to_pylist()
            values[name] = [
                tables.checked_value(cell, kind, f"{places[name]}: row {i}") for i, cell in enumerate(cells)
            ]
        else:
            places[name] = name
            values[name] = _values(spec, kind, n, name)
    return Dataset(
        argument, row_ids, None, table, values, places, source, tuple(sources), ids if isinstance(ids, str) else "id"
    )


def _from_file(path: Path, request: _Request) -> Dataset:
    ids, argument = request.ids, request.argument
    tables.suffix(input_file(path, argument))
    id_field = ids if isinstance(ids, str) else "id"
    wanted: dict[str, str] = {}
    for spec, kind in request.fields.values():
        if isinstance(spec, str) and not labels.is_file(spec) and wanted.get(spec) != "number":
            wanted[spec] = kind
    row_ids, warned, columns = tables.read_columns(path, id_field, wanted, request.first_row)
    if ids is not None and not isinstance(ids, str):
        row_ids, warned = _checked_ids(ids, len(row_ids), request.ids_argument), []
    for text in warned:
        warnings.warn(text, stacklevel=2)
    values: dict[str, list[Any]] = {}
    places: dict[str, str] = {}
    sources: list[tuple[Path, list[Id]]] = []
    for name, (spec, kind) in request.fields.items():
        if isinstance(spec, str) and spec not in wanted:
            values[name], places[name] = _from_other_file(spec, kind, len(row_ids), name, str(path), sources)
        else:
            places[name] = f"{path}:{spec}" if isinstance(spec, str) else name
            values[name] = columns[spec] if isinstance(spec, str) else _values(spec, kind, len(row_ids), name)
    given, key = request.embeddings, request.key
    return Dataset(str(path), row_ids, path, None, values, places, given, tuple(sources), id_field, key)


_ROWS = ("__len__", "__array__", "__dlpack__", "__arrow_c_array__", "__arrow_c_stream__")


def _from_array(data: Any, request: _Request) -> Dataset:
    ids, argument, ids_argument = request.ids, request.argument, request.ids_argument
    if request.embeddings is not None:
        raise UsageError(
            f"embeddings: {argument} holds embeddings already; give a data set or a table as {argument}, or leave "
            "embeddings out"
        )
    is_path = isinstance(data, str | os.PathLike)
    place = str(data) if is_path else "embeddings" if argument == "data" else argument
    if not is_path and (isinstance(data, Mapping) or not any(hasattr(data, name) for name in _ROWS)):
        raise DataError(f"{argument}: expected an array (rows, dim), a path or a table, found {frames.described(data)}")
    opened = open_source(data, argument if is_path else place)
    n = len(opened)
    sources: list[tuple[Path, list[Id]]] = []
    row_ids: list[Id] = (
        list(range(request.first_row, request.first_row + n)) if opened.ids is None else list(opened.ids)
    )
    if isinstance(ids, str):
        row_ids = labels.read_ids(ids, ids_argument, n, place)
        sources.append((labels.parse(ids, ids_argument, "id")[0], row_ids))
    elif ids is not None:
        row_ids = _checked_ids(ids, n, ids_argument)
    values, places = {}, {}
    for name, (spec, kind) in request.fields.items():
        if isinstance(spec, str):
            values[name], places[name] = _from_other_file(spec, kind, n, name, place, sources)
            if name == request.ids_from and ids is None:
                row_ids = sources[-1][1]
        else:
            places[name] = name
            values[name] = _values(spec, kind, n, name)
    return Dataset(place, row_ids, None, None, values, places, opened, tuple(sources))


def _from_other_file(
    spec: str, kind: str, n: int, name: str, place: str, sources: list[tuple[Path, list[Id]]]
) -> tuple[list[Any], str]:
    """The values of FILE:FIELD and the place that messages name; the file joins those that embeddings must fit."""
    file, column = labels.parse(spec, name, labels.DEFAULT_FIELDS.get(name, "label"))
    ids, _, columns = tables.read_columns(file, wanted={column: kind})
    if len(ids) != n:
        raise DataError(f"{file}: found {len(ids)} {name}, but {place} has {n} rows; one a row, in the same order")
    sources.append((file, ids))
    return columns[column], f"{file}:{column}"


def _checked_ids(values: Any, n: int, place: str) -> list[Id]:
    row_ids = list(values.tolist() if isinstance(values, np.ndarray) else values)
    if len(row_ids) != n:
        raise DataError(f"{place}: found {len(row_ids)} ids, expected {n}, one a row")
    wrong = [
        row for row, one in enumerate(row_ids) if isinstance(one, bool) or not isinstance(one, int | str | np.integer)
    ]
    if wrong:
        raise DataError(
            f"{place}: expected a whole number or a string in each row, found {row_ids[wrong[0]]!r} in row {wrong[0]}"
        )
    try:
        "".join(one for one in row_ids if isinstance(one, str)).encode()
    except UnicodeEncodeError as error:
        row = next(row for row, one in enumerate(row_ids) if isinstance(one, str) and error.object[error.start] in one)
        raise DataError(
            f"{place}: found half a surrogate pair in row {row}, {row_ids[row]!r}, which no file of UTF-8 holds; "
            "correct the text: id.encode('utf-8', 'replace').decode()"
        ) from None
    return [int(one) if isinstance(one, np.integer) else one for one in row_ids]


def as_list(values: Any, name: str) -> list[Any]:
    """Return the values of a sequence, an array or a column as Python's own.

    Raises
    ------
    UsageError
        There is only one value, or it is no sequence.
    """
    convert = next((getattr(values, way) for way in ("to_pylist", "tolist", "to_list") if hasattr(values, way)), None)
    try:
        plain = list(values) if convert is None else convert()
    except TypeError:
        plain = None
    if isinstance(values, str) or not isinstance(plain, list):
        raise UsageError(f"{name}: expected one value a row or the name of a column, got {values!r}")
    return plain


def _values(values: Any, kind: str, n: int, name: str) -> list[Any]:
    """The values that a caller gave, one a row, of a kind."""
    plain = as_list(values, name)
    if len(plain) != n:
        raise DataError(f"{name}: found {len(plain)}, expected {n} values, one a row")
    return [tables.checked_value(value, kind, f"{name}: row {row}") for row, value in enumerate(plain)]
