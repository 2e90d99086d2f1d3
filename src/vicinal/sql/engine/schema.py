"""CREATE TABLE as DuckDB's statement, and a table as the statement that would make it."""

from vicinal.sql.catalog import VECTOR, Index, Table, check_name, physical_name
from vicinal.sql.compile.expressions import no_such
from vicinal.sql.compile.nodes import Join, Name, Node, Phrase
from vicinal.sql.faults import UnknownTable, fault, outside, place
from vicinal.sql.parse.statements import ColumnDefinition, CreateTable
from vicinal.sql.parse.statements import Name as Written
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


def find_table(name: Written, tables: dict[str, Table], text: str) -> Table:
    """A table of the catalog.

    Raises    SqlError where there is none.
    """
    if name.text not in tables:
        raise UnknownTable(no_such("table", name.text, list(tables)), *place(text, name.start))
    return tables[name.text]


def refuse_registered(table: Table, name: Written, text: str) -> None:
    """Raises SqlError where a table is a copy of the caller's."""
    if table.registered:
        message = f"table {table.name} was registered and is for reading only"
        raise fault(text, name.start, f"{message}; CREATE TABLE and INSERT INTO ... SELECT make one of your own")


def shown(table: Table) -> str:
    """The CREATE TABLE that makes a table with its indexes."""
    lines = [
        f"    {_name(one.name)} {one.kind}{' NOT NULL' if one.required and one.name not in table.key else ''}"
        for one in table.columns.values()
    ]
    lines += [f"    INDEX {_index(one)}" for one in table.indexes.values()]
    if table.key:  # a registered table has none
        lines.append(f"    PRIMARY KEY ({', '.join(map(_name, table.key))})")
    return f"CREATE TABLE {_name(table.name)} (\n" + ",\n".join(lines) + "\n);\n"


def _index(index: Index) -> str:
    columns = ", ".join(map(_name, index.columns))
    cover = f" COVER ({', '.join(map(_name, index.cover))})" if index.cover else ""
    if index.plain:
        return f"{_name(index.name)} GLOBAL SYNC ON ({columns}){cover}"
    settings = {name: str(value).lower() for name, value in index.settings.items()}
    if index.kind == VECTOR and len(index.columns) == 1:
        settings.pop("adaptive_clusters", None)  # it is about prefixes
    given = ", ".join(f"{name}={value}" for name, value in settings.items())
    return f"{_name(index.name)} GLOBAL SYNC USING {index.kind} ON ({columns}){cover} WITH ({given})"


def _name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
