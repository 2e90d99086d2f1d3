"""CREATE TABLE as DuckDB's statement, and a table as the statement that would make it."""

from vicinal.sql.catalog import Index, Table, check_name, comment_of, physical_name
from vicinal.sql.compile.expressions import no_such
from vicinal.sql.compile.nodes import Join, Name, Node, Phrase
from vicinal.sql.faults import UnknownTable, fault, outside, place
from vicinal.sql.parse.statements import ColumnDefinition, CreateTable
from vicinal.sql.parse.statements import Name as Written
from vicinal.sql.types import STRING, Type, named


def create_table(statement: CreateTable, tables: dict[str, Table], text: str) -> list[Node]:
    """The statements for DuckDB: the table, and comments that keep what DuckDB's types do not.

    Raises    SqlError where a name, type or key cannot be used.
    """
    name = statement.table
    check_name(name, text)
    if not statement.key:
        raise fault(text, statement.start, f"table {name.text} needs a PRIMARY KEY; add PRIMARY KEY (column)")
    columns: dict[str, str] = {}
    comments: dict[str, str] = {}
    parts: list[Node] = []
    keys_in = {key.text for key in statement.key}
    for column in statement.columns:
        kind = _kind(column, text)
        if column.name.text in columns:
            raise fault(text, column.name.start, f"column {column.name.text} stands twice; leave one out")
        physical = physical_name(column.name.text, {one.lower() for one in columns.values()})
        columns[column.name.text] = physical
        comments[physical] = comment_of(kind, column.required and column.name.text in keys_in)
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
    made = Phrase(("CREATE TABLE ", table, " (", Join(parts), ", PRIMARY KEY (", keys, "))"))
    kept = {physical: comment for physical, comment in comments.items() if comment}
    return [made, *(comment_on(table, physical, comment) for physical, comment in kept.items())]


def add_column(column: ColumnDefinition, table: Table, text: str) -> list[Node]:
    """ALTER TABLE ... ADD COLUMN, and the column's comment.

    Raises    SqlError where the table has it, or it takes no NULL.
    """
    kind = _kind(column, text)
    if column.name.text in table.columns:
        raise fault(text, column.name.start, f"table {table.name} has column {column.name.text} already; name another")
    if column.required:
        raise fault(text, column.name.start, f"column {column.name.text}: NOT NULL needs values; leave it out")
    physical = physical_name(column.name.text, {one.physical.lower() for one in table.columns.values()})
    storage = " USING COMPRESSION uncompressed" if kind == STRING else ""
    of = Name(table.physical)
    made = Phrase(("ALTER TABLE ", of, " ADD COLUMN ", Name(physical), f" {kind.duck}{storage}"))
    comment = comment_of(kind, False)
    return [made, comment_on(of, physical, comment)] if comment else [made]


def drop_column(table: Table, column: str) -> Node:
    """ALTER TABLE ... DROP COLUMN."""
    return Phrase(("ALTER TABLE ", Name(table.physical), " DROP COLUMN ", Name(table.columns[column].physical)))


def comment_on(table: Node, column: str, comment: str) -> Node:
    """COMMENT ON COLUMN."""
    return Phrase(("COMMENT ON COLUMN ", table, ".", Name(column), f" IS '{comment}'"))


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
        f"    {_name(one.name)} {one.kind}{' NOT NULL' if one.refuses_null(table.key) else ''}"
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
    if index.settings.get("adaptive_clusters") == ("clusters" not in settings):
        del settings["adaptive_clusters"]  # the default
    given = ", ".join(f"{name}={value}" for name, value in settings.items())
    return f"{_name(index.name)} GLOBAL SYNC USING {index.kind} ON ({columns}){cover} WITH ({given})"


def _name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
