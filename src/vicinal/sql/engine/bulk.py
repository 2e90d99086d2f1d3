"""Statements for rows in bulk: a table for Arrow columns, the INSERT of an Arrow table, a table in order."""

from vicinal.errors import DataError, UsageError, unknown
from vicinal.sql.catalog import Table
from vicinal.sql.compile.nodes import As, Call, Cast, Join, Name, Node, Phrase, Select, Word
from vicinal.sql.parse import statements
from vicinal.sql.types import STRING, Type

BATCH = "~import"  # the Arrow table whose rows are inserted


def definition(name: str, kinds: dict[str, Type], key: str) -> statements.CreateTable:
    """CREATE TABLE with columns of those types."""
    columns = [
        statements.ColumnDefinition(statements.Name(one, 0), statements.TypeName(kind.name, [], 0), False)
        for one, kind in kinds.items()
    ]
    return statements.CreateTable(statements.Name(name, 0), columns, [statements.Name(key, 0)], False, [])


def insertion(table: Table, kinds: dict[str, Type]) -> Node:
    """INSERT of the Arrow table `BATCH`, whose columns are c0, c1, ... of those types.

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
    return Phrase(("INSERT INTO ", Name(table.physical), " (", Join(into), ") ", Select(values, Name(BATCH))))


def ordered(table: Table, columns: list[str]) -> Node:
    """The SELECT of some columns in the order of the primary key."""
    chosen: list[Node] = [As(Name(table.columns[one].physical), one) for one in dict.fromkeys(columns)]
    return Select(chosen, Name(table.physical), order=[Name(table.columns[key].physical) for key in table.key])
