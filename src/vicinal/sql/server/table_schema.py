"""YDB's table service: tables as messages, not as statements."""

from collections.abc import Iterable
from typing import Any

from vicinal.errors import UsageError
from vicinal.sql.catalog import Index, Table
from vicinal.sql.engine.schema import find_table
from vicinal.sql.parse.statements import Name
from vicinal.sql.server import execution
from vicinal.sql.server.messages import ydb_scheme_pb2, ydb_table_pb2
from vicinal.sql.server.paths import name_of, quoted_name
from vicinal.sql.server.sessions import Sessions
from vicinal.sql.server.values import type_message, type_of

_REFUSED = (
    *("alter_columns", "set_ttl_settings", "add_column_families", "alter_column_families", "add_changefeeds"),
    *("drop_changefeeds", "set_tiering"),
)


def table_of(sessions: Sessions, path: str, root: str) -> Table:
    """The table at a path.

    Raises    UnknownTable where there is none.
    """
    with execution.borrowed(sessions) as connection:
        return find_table(Name(name_of(path, root), 0), connection.tables(), "")


class TableSchema:
    """The methods of Ydb.Table.V1.TableService about tables, each named as there, in lower case."""

    def __init__(self, sessions: Sessions, root: str) -> None:
        self._sessions, self._root = sessions, root

    def _run(self, request: Any, call: Any, texts: Iterable[str]) -> None:
        seconds = execution.seconds_of(request.operation_params, call)
        query = execution.Query(";\n".join(texts), {}, seconds, call)
        execution.execute(self._sessions, request.session_id, None, query)

    def create_table(self, request: Any, call: Any) -> None:
        """Makes a table."""
        lines = [_column(one) for one in request.columns]
        lines += [f"INDEX {_index(one)}" for one in request.indexes]
        if request.primary_key:
            lines.append(f"PRIMARY KEY ({_names(request.primary_key)})")
        if request.store_type == ydb_table_pb2.STORE_TYPE_COLUMN or request.temporary:
            raise UsageError("expected a table of rows that stays, found another kind; leave store_type and temporary")
        self._run(request, call, [f"CREATE TABLE {self._quoted(request.path)} ({', '.join(lines)})"])

    def drop_table(self, request: Any, call: Any) -> None:
        """Removes a table."""
        self._run(request, call, [f"DROP TABLE {self._quoted(request.path)}"])

    def _quoted(self, path: str) -> str:
        return quoted_name(name_of(path, self._root))

    def alter_table(self, request: Any, call: Any) -> None:
        """Adds and drops columns, and adds, drops and renames indexes."""
        refused = _given(request)
        if refused:
            raise UsageError(f"{refused[0]} is not supported by this server; it changes columns and indexes alone")
        table = f"ALTER TABLE {self._quoted(request.path)}"
        have = table_of(self._sessions, request.path, self._root).indexes
        texts = [f"ADD COLUMN {_column(one)}" for one in request.add_columns]
        texts += [f"DROP COLUMN {quoted_name(one)}" for one in request.drop_columns]
        texts += [f"ADD INDEX {_index(one)}" for one in request.add_indexes]
        texts += [f"DROP INDEX {quoted_name(one)}" for one in request.drop_indexes]
        for one in request.rename_indexes:
            if one.replace_destination and one.destination_name in have:
                texts.append(f"DROP INDEX {quoted_name(one.destination_name)}")
            texts.append(f"RENAME INDEX {quoted_name(one.source_name)} TO {quoted_name(one.destination_name)}")
        self._run(request, call, [f"{table} {one}" for one in texts])

    def describe_table(self, request: Any, call: Any) -> Any:
        """A table's columns, key and indexes."""
        table = table_of(self._sessions, request.path, self._root)
        result = ydb_table_pb2.DescribeTableResult(primary_key=table.key)
        entry = result.self
        entry.name, entry.owner, entry.type = table.name.rpartition("/")[2], "root", ydb_scheme_pb2.Entry.TABLE
        for column in table.columns.values():
            required = column.refuses_null(table.key)
            made = result.columns.add(name=column.name, not_null=required)
            made.type.CopyFrom(type_message(column.kind, optional=not required))
        for index in table.indexes.values():
            _describe_index(result.indexes.add(), index)
        if request.include_table_stats:
            with execution.borrowed(self._sessions) as connection:
                result.table_stats.rows_estimate = connection.count(table)
        result.partitioning_settings.min_partitions_count = 1
        return result


def _given(request: Any) -> list[str]:
    """What a request asks for that no table here has."""
    given = {field.name for field, _ in request.ListFields()}
    return [one for one in _REFUSED if one in given]


def _column(column: Any) -> str:
    """A column as YQL writes it; one whose type is not Optional takes no NULL."""
    required = "" if column.type.WhichOneof("type") == "optional_type" and not column.not_null else " NOT NULL"
    return f"{quoted_name(column.name)} {type_of(column.type)}{required}"


def _index(index: Any) -> str:
    kind = index.WhichOneof("type")
    if kind == "global_unique_index":
        raise UsageError(f"index {index.name}: a unique index is not supported by this server; make a plain one")
    cover = f" COVER ({_names(index.data_columns)})" if index.data_columns else ""
    word = "ASYNC" if kind == "global_async_index" else "SYNC"
    return f"{quoted_name(index.name)} GLOBAL {word} ON ({_names(index.index_columns)}){cover}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(quoted_name, names))


def _describe_index(message: Any, index: Index) -> None:
    message.name = index.name
    message.index_columns.extend(index.columns)
    message.data_columns.extend(index.cover)
    message.status = ydb_table_pb2.TableIndexDescription.STATUS_READY
    if index.plain:
        message.global_index.SetInParent()
