"""Structs, and lists of them as tables: AsStruct, <|a: 1|>, x.member, AS_TABLE(list)."""

from collections.abc import Iterable
from typing import Any

import pyarrow

from vicinal.sql.catalog import quoted
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import Column, Given, Join, Node, Phrase
from vicinal.sql.compile.values import Expression, Relation, Source, constant
from vicinal.sql.types import Type, arrow_type, list_of, struct_of


def struct(compiler: Conversion, node: Any, members: dict[str, Expression]) -> Expression:
    """`AsStruct(value AS name, ...)`."""
    if not members:
        raise compiler.error(node, "AsStruct takes values with names: AsStruct(1 AS id, 2.5 AS score)")
    kind = struct_of((name, value.kind) for name, value in members.items())
    parts = [Phrase((f"{quoted(name)} := ", value.node)) for name, value in members.items()]
    return Expression(Phrase(("struct_pack(", Join(parts), ")")), kind)


def member(compiler: Conversion, node: Any, value: Expression, name: str) -> Expression:
    """`value.name`."""
    kind = value.kind.member(name)
    if kind is None:
        have = ", ".join(one for one, _ in value.kind.fields)
        found = f"{value.kind}, which has {have}" if have else str(value.kind)
        raise compiler.error(node, f".{name} takes a Struct with that member, found {found}")
    if value.known:
        return constant(None if value.value is None else value.value[name], kind)
    return Expression(Phrase(("(", value.node, f").{quoted(name)}")), kind)


def as_table(compiler: Conversion, node: Any, rows: Expression, alias: str, at: str) -> tuple[Node, Source]:
    """A list of structs as a table under an alias `at` of DuckDB's."""
    kind = rows.kind.item
    if kind is None or not kind.fields:
        raise compiler.error(node, f"AS_TABLE takes a List<Struct<...>>, found {rows.kind}")
    names = {name: f"c{number}" for number, (name, _) in enumerate(kind.fields)}
    if rows.known:
        columns = [(name, Expression(Column(at, names[name]), one)) for name, one in kind.fields]
        return Phrase((Given(table_of(rows.value or [], kind)), f" AS {at}")), Source(alias, columns)
    source = Phrase(("(SELECT unnest(", rows.node, f") AS s) AS {at}"))
    members = [(name, Expression(Phrase((Column(at, "s"), f".{quoted(name)}")), one)) for name, one in kind.fields]
    return source, Source(alias, members)


def table_of(rows: Iterable[dict[str, Any]], kind: Type) -> Any:
    """Structs as an Arrow table with columns c0, c1, ..."""
    found = list(rows)
    arrays = [pyarrow.array([row[name] for row in found], arrow_type(one)) for name, one in kind.fields]
    return pyarrow.Table.from_arrays(arrays, names=[f"c{number}" for number in range(len(arrays))])


def column_of(values: Any, kind: Type) -> Any:
    """The values of a list as an Arrow table of one column, v."""
    return pyarrow.table({"v": pyarrow.array(list(values), arrow_type(kind))})


def rows_of(query: Relation) -> Expression:
    """A SELECT as a list of structs."""
    kind = struct_of((one.name, one.kind) for one in query.columns)
    parts = [Phrase((f"{quoted(one.name)} := q.{quoted(one.physical)}",)) for one in query.columns]
    packed = Phrase(("struct_pack(", Join(parts), ")"))
    return Expression(Phrase(("(SELECT list(", packed, ") FROM (", query.node, ") AS q)")), list_of(kind))
