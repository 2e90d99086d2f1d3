"""YDB's table service: rows in bulk, and rows by their keys."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow

from vicinal.errors import UsageError, unknown
from vicinal.sql.catalog import Table
from vicinal.sql.compile.structs import table_of as arrow_of
from vicinal.sql.server import execution, results
from vicinal.sql.server.messages import Status, ydb_table_pb2
from vicinal.sql.server.paths import quoted_name
from vicinal.sql.server.sessions import Sessions
from vicinal.sql.server.table_schema import table_of
from vicinal.sql.server.values import FIELDS, reader, type_of
from vicinal.sql.types import Type, arrow_type

_PLAIN = ("Utf8", "String", "Uint64", "Int64", "Uint32", "Int32", "Float", "Double")


class TableRows:
    """The methods of Ydb.Table.V1.TableService about rows, each named as there, in lower case."""

    def __init__(self, sessions: Sessions, root: str) -> None:
        self._sessions, self._root = sessions, root

    # Into a table.

    def bulk_upsert(self, request: Any, call: Any) -> Any:
        """Inserts rows, or changes those of equal key; all of them or none."""
        table = table_of(self._sessions, request.table, self._root)
        chosen = request.WhichOneof("data_format")
        if chosen == "csv_settings":
            raise UsageError("csv_settings is not supported by this server; send rows or Arrow batches")
        kinds, rows = _arrow(request, table) if chosen == "arrow_batch_settings" else _rows(request.rows)
        _check(table, kinds)
        rows = _last(rows, [list(kinds).index(key) for key in table.key])
        with execution.writable(self._sessions) as connection:
            connection.load(table.name, kinds, table.key[0], iter([rows]), len(rows), if_exists="upsert")
        return ydb_table_pb2.BulkUpsertResult()

    # Out of a table.

    def read_rows(self, request: Any, call: Any) -> Any:
        """The rows of some keys."""
        table = table_of(self._sessions, request.path, self._root)
        kind = type_of(request.keys.type)
        names = [name for name, _ in kind.item.fields] if kind.item else []
        if set(names) != set(table.key):
            raise UsageError(f"keys: expected a List of Structs with {', '.join(table.key)}, found {kind}")
        same = " AND ".join(f"t.{quoted_name(one)} = k.{quoted_name(one)}" for one in table.key)
        columns = ", ".join(f"t.{one} AS {one}" for one in _columns(table, request.columns))
        text = f"SELECT {columns} FROM AS_TABLE($keys) AS k JOIN {quoted_name(table.name)} AS t ON {same}"
        query = execution.Query(text, {"$keys": request.keys}, execution.seconds_of(None, call), call)
        answer = ydb_table_pb2.ReadRowsResponse()
        (rows,) = execution.scan(self._sessions, query).rows
        answer.result_set.CopyFrom(results.result_set(rows, len(rows)))
        return answer

    def stream_read_table(self, request: Any, call: Any) -> Iterator[Any]:
        """A table's rows, or those in a range of keys, in the order of the key, in parts."""
        table = table_of(self._sessions, request.path, self._root)
        given: dict[str, Any] = {}
        conditions = []
        for sign, name in ((">", "greater"), (">=", "greater_or_equal"), ("<", "less"), ("<=", "less_or_equal")):
            if request.key_range.HasField(name):
                conditions.append(_beyond(table, sign, getattr(request.key_range, name), given))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = f" ORDER BY {', '.join(quoted_name(one) for one in table.key)}"
        limit = f" LIMIT {request.row_limit}" if request.row_limit else ""
        columns = ", ".join(_columns(table, request.columns))
        text = f"SELECT {columns} FROM {quoted_name(table.name)}{where}{order}{limit}"
        query = execution.Query(text, given, execution.seconds_of(None, call), call)
        (rows,) = execution.scan(self._sessions, query).rows
        for part in results.parts(rows, request.batch_limit_bytes, request.batch_limit_rows):
            answer = ydb_table_pb2.ReadTableResponse(status=Status.SUCCESS)
            answer.result.result_set.CopyFrom(part)
            yield answer


def _columns(table: Table, asked: Any) -> list[str]:
    """The columns asked for, all where none is named, as YQL reads them."""
    for name in asked:
        if name not in table.columns:
            raise UsageError(f"table {table.name}: {unknown('column', name, table.columns)}")
    return [quoted_name(one) for one in asked or table.columns]


def _beyond(table: Table, sign: str, bound: Any, given: dict[str, Any]) -> str:
    """A condition on the key: beyond the values of a tuple, which may have fewer members than the key.

    given : takes the values as parameters
    """
    kinds, values = bound.type.tuple_type.elements, bound.value.items
    if not 0 < len(kinds) <= len(table.key) or len(kinds) != len(values):
        wanted = f"expected a Tuple of 1 to {len(table.key)} values"
        raise UsageError(f"key_range: {wanted}, found {len(values)}; the key is {', '.join(table.key)}")
    keys, choices, equal = [quoted_name(one) for one in table.key], [], ""
    for place, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        name = f"$range{len(given)}"
        given[name] = type(bound)(type=kind, value=value)
        last = place == len(kinds) - 1
        choices.append(f"({equal}{keys[place]} {sign if last else sign[0]} {name})")
        equal += f"{keys[place]} = {name} AND "
    return f"({' OR '.join(choices)})"


def _rows(rows: Any) -> tuple[dict[str, Type], Any]:
    """The types and the rows of a List of Structs."""
    kind = type_of(rows.type)
    if kind.item is None or not kind.item.fields:
        raise UsageError(f"rows: expected a List of Structs, found {kind}")
    members = list(kind.item.fields)
    if all(one.name in _PLAIN for _, one in members):
        return dict(members), _plain_rows(rows.value, members)
    read = reader(kind.item)
    return dict(members), arrow_of((read(one) for one in rows.value.items), kind.item)


def _plain_rows(value: Any, members: list[tuple[str, Type]]) -> Any:
    """The rows of types whose values need no conversion, column by column."""
    lists = [one.items for one in value.items]
    arrays = []
    for place, (_, kind) in enumerate(members):
        field = FIELDS[kind.name]
        cells = [items[place] for items in lists]
        values = [getattr(one, field) for one in cells]
        if not all(values):  # what is empty or 0 may be NULL
            values = [
                None if not value and one.HasField("null_flag_value") else value
                for one, value in zip(cells, values, strict=True)
            ]
        arrays.append(pyarrow.array(values, arrow_type(kind)))
    return pyarrow.Table.from_arrays(arrays, names=[f"c{place}" for place in range(len(members))])


def _arrow(request: Any, table: Table) -> tuple[dict[str, Type], Any]:
    """The types and the rows of an Arrow batch, whose columns are cast to the table's types."""
    try:
        schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(request.arrow_batch_settings.schema))
        batch = pyarrow.ipc.read_record_batch(pyarrow.py_buffer(request.data), schema)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"expected a record batch of Arrow's with its schema, found other bytes: {error}") from None
    kinds: dict[str, Type] = {}
    arrays = []
    for name, column in zip(schema.names, batch.columns, strict=True):
        if name not in table.columns:
            raise UsageError(f"table {table.name}: {unknown('column', name, table.columns)}")
        kinds[name] = table.columns[name].kind
        try:
            arrays.append(column.cast(arrow_type(kinds[name])))
        except pyarrow.ArrowException as error:
            raise UsageError(f"column {name}: {error}") from None
    return kinds, pyarrow.Table.from_arrays(arrays, names=[f"c{place}" for place in range(len(arrays))])


def _check(table: Table, kinds: dict[str, Type]) -> None:
    """Raises UsageError where the rows do not fit the table."""
    for name, kind in kinds.items():
        if name not in table.columns:
            raise UsageError(f"table {table.name}: {unknown('column', name, table.columns)}")
        if kind != table.columns[name].kind:
            raise UsageError(f"column {name}: expected {table.columns[name].kind}, found {kind}")
    missing = [one for one in table.key if one not in kinds]
    if missing:
        raise UsageError(f"table {table.name}: the rows need every column of the key; {missing[0]} is missing")


def _last(rows: Any, keys: list[int]) -> Any:
    """The last of the rows with each key."""
    columns = [rows.column(one).to_pylist() for one in keys]
    places = dict(zip(zip(*columns, strict=True), range(rows.num_rows), strict=True))
    if len(places) == rows.num_rows:
        return rows
    return rows.take(pyarrow.array(np.sort(np.fromiter(places.values(), np.int64))))
