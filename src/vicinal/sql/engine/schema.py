"""CREATE TABLE as DuckDB's statement."""

from vicinal.sql.catalog import Table, check_name, physical_name
from vicinal.sql.compile.nodes import Join, Name, Node, Phrase
from vicinal.sql.faults import fault, outside
from vicinal.sql.parse.statements import ColumnDefinition, CreateTable
from vicinal.sql.types import STRING, Type, named


def create_table(statement: CreateTable, tables: dict[str, Table], text: str) -> Node:
    """The statement for DuckDB.

    Raises    SqlError where a name, type or key cannot be used.
    """
    name = statement.table
    check_name(name, text)
    if not statement.key:
        raise fault(text, statement.start, f"table {name.text} needs a PRIMARY KEY; add PRIMARY KEY (column)")
    columns: dict[str, str] = {}
    parts: list[Node] = []
    for column in statement.columns:
        kind = _kind(column, text)
        if column.name.text in columns:
            raise fault(text, column.name.start, f"column {column.name.text} stands twice; leave one out")
        physical = physical_name(column.name.text, {one.lower() for one in columns.values()})
        columns[column.name.text] = physical
        # Vectors do not compress, and a scan that reads few of them is several times faster without.
        storage = " USING COMPRESSION uncompressed" if kind == STRING else ""
        required = " NOT NULL" if column.required else ""
        parts.append(Phrase((Name(physical), f" {kind.duck}{storage}{required}")))
    for key in statement.key:
        if key.text not in columns:
            have = ", ".join(columns)
            raise fault(
                text, key.start, f"PRIMARY KEY names column {key.text}, which the table does not have; it has {have}"
            )
    if len({key.text for key in statement.key}) < len(statement.key):
        raise fault(text, statement.key[0].start, "PRIMARY KEY names a column twice; leave one out")
    keys = Join([Name(columns[key.text]) for key in statement.key])
    held = {one.physical.lower() for one in tables.values()}
    table = Name(physical_name(name.text, held))
    return Phrase(("CREATE TABLE ", table, " (", Join(parts), ", PRIMARY KEY (", keys, "))"))


def _kind(column: ColumnDefinition, text: str) -> Type:
    """A column's type."""
    check_name(column.name, text)
    try:
        kind = named(column.kind)
    except ValueError as error:
        raise fault(text, column.kind.start, str(error)) from None
    if kind.item is not None:
        remedy = "keep a vector as a String, made by Knn::ToBinaryStringFloat"
        raise fault(text, column.kind.start, outside(f"a column of type {kind}", remedy))
    return kind
