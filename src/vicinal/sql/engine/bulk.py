"""Statements for rows in bulk: a table for Arrow columns, the INSERT of an Arrow table, a table in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vicinal.errors import DataError, UsageError, unknown
from vicinal.sql.catalog import Table
from vicinal.sql.compile.changes import on_conflict
from vicinal.sql.compile.nodes import As, Call, Cast, Join, Name, Node, Phrase, Select, Word, written
from vicinal.sql.engine.connection import Connection
from vicinal.sql.parse import statements
from vicinal.sql.types import STRING, Type

BATCH = "~import"  # the Arrow table whose rows are inserted


IF_EXISTS = ("append", "replace", "upsert")


@dataclass(frozen=True)
class Load:
    """Rows to insert, as `Database.load` takes them."""

    table: str
    kinds: dict[str, Type]
    key: str
    batches: Iterator[Any]
    total: int
    progress: Callable[[int, int], None] | None
    if_exists: str


def insert(connection: Connection, table: Table, load: Load) -> int:
    """Inserts the rows, within a transaction; gives their number."""
    if load.if_exists == "replace":
        connection.rows(Phrase(("DELETE FROM ", Name(table.physical))))
    statement, done = written(insertion(table, load.kinds, load.if_exists == "upsert")).sql, 0
    for batch in load.batches:
        with connection.registered(BATCH, batch.rename_columns([f"c{i}" for i in range(len(load.kinds))])):
            connection.duck.execute(statement).fetchall()
        done += batch.num_rows
        if load.progress:
            load.progress(done, load.total)
    return done


def definition(name: str, kinds: dict[str, Type], key: str) -> statements.CreateTable:
    """CREATE TABLE with columns of those types."""
    columns = [
        statements.ColumnDefinition(statements.Name(one, 0), _written(kind), False) for one, kind in kinds.items()
    ]
    return statements.CreateTable(statements.Name(name, 0), columns, [statements.Name(key, 0)], False, [])


def _written(kind: Type) -> statements.TypeName:
    """A type as a statement writes it."""
    if kind.decimal:
        return statements.TypeName("Decimal", [], 0, [str(one) for one in kind.digits])
    return statements.TypeName(kind.name, [], 0)


def insertion(table: Table, kinds: dict[str, Type], upsert: bool = False) -> Node:
    """INSERT of the Arrow table `BATCH`, whose columns are c0, c1, ... of those types.

    upsert : whether a row whose key is there already changes that row

    Raises    UsageError where the table has no such column, DataError where a column is of another type.
    """
    into: list[Node] = []
    values: list[Node] = []
    for number, (name, kind) in enumerate(kinds.items()):
        if name not in table.columns:
            raise UsageError(f"table {table.name}: {unknown('column', name, table.columns)}")
        to = table.columns[name].kind
        value: Node = Word(f"c{number}")
        if to != kind:
            text = {kind.name, to.name} <= {"Utf8", "Json", "String"} and kind.name != "String"
            if not (kind.numeric and to.numeric) and not text:
                remedy = "convert the data, or import into another table"
                raise DataError(f"table {table.name}: column {name}: expected {to}, found {kind}; {remedy}")
            value = Call("encode", [value]) if to == STRING else Cast(value, to.duck)
        into.append(Name(table.columns[name].physical))
        values.append(value)
    conflict = on_conflict(table, set(kinds), set(kinds)) if upsert else []
    rows = Select(values, Name(BATCH))
    return Phrase(("INSERT INTO ", Name(table.physical), " (", Join(into), ") ", rows, *conflict))


def ordered(table: Table, columns: list[str]) -> Node:
    """The SELECT of some columns in the order of the primary key."""
    chosen: list[Node] = [As(Name(table.columns[one].physical), one) for one in dict.fromkeys(columns)]
    return Select(chosen, Name(table.physical), order=[Name(table.columns[key].physical) for key in table.key])
