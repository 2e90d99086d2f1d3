"""INSERT, UPSERT, REPLACE, UPDATE and DELETE made statements of DuckDB.

A row whose vector may have changed loses its cluster of every index over it, and is given one anew afterwards.
"""

from typing import Any

from vicinal.errors import unknown
from vicinal.sql.catalog import Column, Table, quoted
from vicinal.sql.compile.conversion import Expression, Select
from vicinal.sql.compile.expressions import Scope, Source
from vicinal.sql.compile.lowering import Lowering
from vicinal.sql.parse.statements import Delete, Name, Update, Write


def change(low: Lowering, statement: Write | Update | Delete, table: Table) -> tuple[str, set[str]]:
    """DuckDB's statement, and the columns of the table whose values it may change in rows that stay."""
    if isinstance(statement, Write):
        return _write(low, statement, table)
    if isinstance(statement, Update):
        return _update(low, statement, table)
    return f"DELETE FROM {quoted(table.physical)} AS t0{_where(low, statement.where, table)}", set()


def _where(low: Lowering, where: Any, table: Table) -> str:
    """` WHERE ...` over one table named t0."""
    return "" if where is None else f" WHERE {low.condition(low.expression(where, _alone(table)), where)}"


def _alone(table: Table) -> Scope:
    columns = [(one.name, f"t0.{quoted(one.physical)}", one.kind) for one in table.columns.values()]
    return Scope([Source(table.name, columns, table)])


def _update(low: Lowering, statement: Update, table: Table) -> tuple[str, set[str]]:
    scope = _alone(table)
    parts: list[str] = []
    touched: set[str] = set()
    for name, value in statement.changes:
        column = _column(low, name, table)
        if name.text in table.key:
            raise low.error(
                name, f"UPDATE of {name.text}, a column of the primary key; insert a row and delete the old one"
            )
        if name.text in touched:
            raise low.error(name, f"column {name.text} is set twice")
        touched.add(name.text)
        new = low.converted(low.expression(value, scope), column.kind, value)
        parts.append(f"{quoted(column.physical)} = {low.sql(new)}")
    parts += [f"{quoted(one.physical)} = NULL" for one in table.indexes.values() if touched & set(one.columns)]
    where = _where(low, statement.where, table)
    return f"UPDATE {quoted(table.physical)} AS t0 SET {', '.join(parts)}{where}", touched


def _column(low: Lowering, name: Name, table: Table) -> Column:
    if name.text not in table.columns:
        raise low.error(name, f"table {table.name} has no such column: {unknown('column', name.text, table.columns)}")
    return table.columns[name.text]


def _write(low: Lowering, statement: Write, table: Table) -> tuple[str, set[str]]:
    """INSERT, UPSERT or REPLACE as one INSERT, and the columns that it may change."""
    query = low.select(statement.query) if statement.query is not None else None
    if statement.columns:
        columns = [_column(low, name, table) for name in statement.columns]
    elif query is not None:
        missing = [name for name, _, _ in query.columns if name not in table.columns]
        if missing:
            raise low.error(statement.start, f"table {table.name} has no column {missing[0]}")
        columns = [table.columns[name] for name, _, _ in query.columns]
    else:
        raise low.error(statement.table, f"{statement.verb} ... VALUES needs the columns' names")
    names = [one.name for one in columns]
    if len(set(names)) < len(names):
        raise low.error(statement.table, "a column is named twice")
    left_out = [key for key in table.key if key not in names]
    if left_out:
        raise low.error(
            statement.table, f"{statement.verb} needs every column of the primary key; {left_out[0]} is missing"
        )
    into = ", ".join(quoted(one.physical) for one in columns)
    source = (
        _values(low, statement, columns, table) if query is None else _rows_of(low, statement, query, columns, table)
    )
    keys = ", ".join(quoted(table.columns[key].physical) for key in table.key)
    changed = [one for one in columns if one.name not in table.key]
    parts = [f"{quoted(one.physical)} = excluded.{quoted(one.physical)}" for one in changed]
    touched = set(names)
    if statement.verb == "REPLACE":
        others = [one for one in table.columns.values() if one.name not in names]
        parts += [f"{quoted(one.physical)} = NULL" for one in others]
        touched |= {one.name for one in others}
    parts += [f"{quoted(one.physical)} = NULL" for one in table.indexes.values() if touched & set(one.columns)]
    end = ""
    if statement.verb != "INSERT":
        end = (
            f" ON CONFLICT ({keys}) DO UPDATE SET {', '.join(parts)}" if parts else f" ON CONFLICT ({keys}) DO NOTHING"
        )
    return f"INSERT INTO {quoted(table.physical)} ({into}) {source}{end}", touched


def _values(low: Lowering, statement: Write, columns: list[Column], table: Table) -> str:
    rows = []
    for row in statement.rows:
        if len(row) != len(columns):
            raise low.error(row[0], f"expected {len(columns)} values as there are columns, found {len(row)}")
        values = [
            low.sql(low.converted(low.expression(value, Scope()), column.kind, value))
            for value, column in zip(row, columns, strict=True)
        ]
        rows.append(", ".join(values))
    if statement.verb == "INSERT" or len(rows) == 1:
        return "VALUES " + ", ".join(f"({row})" for row in rows)
    numbered = ", ".join(f"({row}, {number})" for number, row in enumerate(rows))
    names = ", ".join(quoted(one.physical) for one in columns)
    return _last(f'(VALUES {numbered}) AS v({names}, "~row")', columns, table)


def _last(numbered: str, columns: list[Column], table: Table) -> str:
    """Of rows with one key the last, by the column ~row."""
    names = ", ".join(quoted(one.physical) for one in columns)
    keys = ", ".join(quoted(table.columns[key].physical) for key in table.key)
    return (
        f"SELECT {names} FROM {numbered} "
        f'QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY "~row" DESC) = 1 ORDER BY "~row"'
    )


def _rows_of(low: Lowering, statement: Write, query: Select, columns: list[Column], table: Table) -> str:
    if len(query.columns) != len(columns):
        raise low.error(statement.start, f"expected {len(columns)} columns from SELECT, found {len(query.columns)}")
    parts = [
        f"{low.sql(low.converted(Expression(f'q.{quoted(at)}', kind), column.kind, statement.start))} "
        f"AS {quoted(column.physical)}"
        for (_, at, kind), column in zip(query.columns, columns, strict=True)
    ]
    source = f"SELECT {', '.join(parts)} FROM ({query.text}) AS q"
    keyed = {column.name for (name, _, _), column in zip(query.columns, columns, strict=True) if name in query.unique}
    if statement.verb == "INSERT" or (keyed and keyed <= set(table.key)):
        return source
    return _last(f'(SELECT *, row_number() OVER () AS "~row" FROM ({source}))', columns, table)
