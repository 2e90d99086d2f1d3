"""INSERT, UPSERT, REPLACE, UPDATE and DELETE.

A row whose vector may have changed loses its cluster of every index over it; the database gives it one afterwards.
"""

from vicinal.errors import unknown
from vicinal.sql.catalog import Column, Table
from vicinal.sql.compile import nodes
from vicinal.sql.compile.nodes import (
    NOTHING,
    STAR,
    As,
    Call,
    Join,
    Name,
    Node,
    Operation,
    Phrase,
    Window,
    Word,
    enclosed,
)
from vicinal.sql.compile.select import Compiler
from vicinal.sql.compile.values import Expression, Relation, Scope, of_table
from vicinal.sql.parse.statements import Delete, Update, Write
from vicinal.sql.parse.statements import Name as Written

ROW = "~row"  # the column that numbers rows, where the last of those with one key counts


def change(compiler: Compiler, statement: Write | Update | Delete, table: Table) -> tuple[Node, set[str]]:
    """DuckDB's statement, and the columns whose values it may change; none for DELETE."""
    if isinstance(statement, Write):
        return _write(compiler, statement, table)
    if isinstance(statement, Update):
        return _update(compiler, statement, table)
    return Phrase(("DELETE FROM ", Name(table.physical), " AS t0", *_where(compiler, statement, table))), set()


def _where(compiler: Compiler, statement: Update | Delete, table: Table) -> list[str | Node]:
    """WHERE over the one table, t0."""
    if statement.where is None:
        return []
    scope = Scope([of_table(table.name, table, "t0")])
    return [" WHERE ", compiler.condition(compiler.expression(statement.where, scope), statement.where)]


def _set(column: str, value: Node) -> Node:
    return Phrase((Name(column), " = ", value))


def _forget_clusters(table: Table, touched: set[str]) -> list[Node]:
    """Sets the hidden column to NULL of every index over a column that changes."""
    changed = (one for one in table.indexes.values() if touched & set(one.columns) and not one.plain)
    return [_set(one.physical, NOTHING) for one in changed]


def _update(compiler: Compiler, statement: Update, table: Table) -> tuple[Node, set[str]]:
    scope = Scope([of_table(table.name, table, "t0")])
    parts: list[Node] = []
    touched: set[str] = set()
    for name, value in statement.changes:
        column = _column(compiler, name, table)
        if name.text in table.key:
            raise compiler.error(
                name, f"UPDATE of {name.text}, a column of the primary key; insert a row and delete the old one"
            )
        if name.text in touched:
            raise compiler.error(name, f"column {name.text} is set twice; leave one out")
        touched.add(name.text)
        parts.append(
            _set(column.physical, compiler.converted(compiler.expression(value, scope), column.kind, value).node)
        )
    parts += _forget_clusters(table, touched)
    where = _where(compiler, statement, table)
    return Phrase(("UPDATE ", Name(table.physical), " AS t0 SET ", Join(parts), *where)), touched


def _column(compiler: Compiler, name: Written, table: Table) -> Column:
    if name.text not in table.columns:
        raise compiler.error(
            name, f"table {table.name} has no such column: {unknown('column', name.text, table.columns)}"
        )
    return table.columns[name.text]


def _write(compiler: Compiler, statement: Write, table: Table) -> tuple[Node, set[str]]:
    query = None if statement.query is None else compiler.select(statement.query)
    columns = _columns(compiler, statement, query, table)
    names = [one.name for one in columns]
    if len(set(names)) < len(names):
        raise compiler.error(statement.table, "a column is named twice; leave one out")
    missing = [key for key in table.key if key not in names]
    if missing:
        raise compiler.error(
            statement.table, f"{statement.verb} needs every column of the primary key; {missing[0]} is missing"
        )
    source = (
        _values(compiler, statement, columns, table)
        if query is None
        else _rows(compiler, statement, query, columns, table)
    )
    into = Join([Name(one.physical) for one in columns])
    touched = set(names)
    if statement.verb == "REPLACE":
        touched = set(table.columns)
    parts: list[str | Node] = ["INSERT INTO ", Name(table.physical), " (", into, ") ", source]
    if statement.verb != "INSERT":
        parts += on_conflict(table, set(names), touched)
    return Phrase(parts), touched


def on_conflict(table: Table, given: set[str], touched: set[str]) -> list[str | Node]:
    """ON CONFLICT for a key that is there: the given columns take the new values, other touched ones NULL."""
    keys = enclosed(Join([Name(table.columns[key].physical) for key in table.key]))
    changes = [
        _set(one.physical, nodes.Column("excluded", one.physical) if one.name in given else NOTHING)
        for one in table.columns.values()
        if one.name in touched and one.name not in table.key
    ]
    changes += _forget_clusters(table, touched)
    if not changes:
        return [" ON CONFLICT ", keys, " DO NOTHING"]
    return [" ON CONFLICT ", keys, " DO UPDATE SET ", Join(changes)]


def _columns(compiler: Compiler, statement: Write, query: Relation | None, table: Table) -> list[Column]:
    """The columns that are written: those named, else those of the SELECT."""
    if statement.columns:
        return [_column(compiler, name, table) for name in statement.columns]
    if query is None:
        columns = ", ".join(table.columns)
        raise compiler.error(
            statement.table, f"{statement.verb} ... VALUES needs the columns' names: {table.name} ({columns})"
        )
    strange = [one.name for one in query.columns if one.name not in table.columns]
    if strange:
        raise compiler.error(
            statement.start, f"table {table.name} has no such column: {unknown('column', strange[0], table.columns)}"
        )
    return [table.columns[one.name] for one in query.columns]


def _values(compiler: Compiler, statement: Write, columns: list[Column], table: Table) -> Node:
    rows = []
    for row in statement.rows:
        if len(row) != len(columns):
            raise compiler.error(row[0], f"expected {len(columns)} values as there are columns, found {len(row)}")
        rows.append(
            [
                compiler.converted(compiler.expression(value, Scope()), column.kind, value).node
                for value, column in zip(row, columns, strict=True)
            ]
        )
    if statement.verb == "INSERT" or len(rows) == 1:
        return Phrase(("VALUES ", Join([enclosed(Join(row)) for row in rows])))
    numbered = Join([enclosed(Join([*row, Word(str(number))])) for number, row in enumerate(rows)])
    names = Join([Name(name) for name in (*(one.physical for one in columns), ROW)])
    return _last(Phrase(("(VALUES ", numbered, ") AS v(", names, ")")), columns, table)


def _last(numbered: Node, columns: list[Column], table: Table) -> Node:
    """The last of the rows with each key, by the column `ROW`."""
    keys = [Name(table.columns[key].physical) for key in table.key]
    place = Call("row_number", window=Window(keys, [Phrase((Name(ROW), " DESC"))]))
    return nodes.Select(
        [Name(one.physical) for one in columns],
        numbered,
        qualify=Operation("=", [place, Word("1")]),
        order=[Name(ROW)],
    )


def _rows(compiler: Compiler, statement: Write, query: Relation, columns: list[Column], table: Table) -> Node:
    """The rows of a SELECT, in the columns' types."""
    if len(query.columns) != len(columns):
        raise compiler.error(
            statement.start, f"expected {len(columns)} columns from SELECT, found {len(query.columns)}"
        )
    pairs = list(zip(query.columns, columns, strict=True))
    values = [Expression(nodes.Column("q", one.physical), one.kind) for one in query.columns]
    source = query.derived(
        As(compiler.converted(value, column.kind, statement.start).node, column.physical)
        for value, column in zip(values, columns, strict=True)
    )
    keyed = {column.name for one, column in pairs if one.name in query.unique}
    if statement.verb == "INSERT" or (keyed and keyed <= set(table.key)):
        return source
    number = As(Call("row_number", window=Window()), ROW)
    return _last(enclosed(nodes.Select([STAR, number], enclosed(source))), columns, table)
