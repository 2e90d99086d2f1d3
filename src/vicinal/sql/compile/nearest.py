"""`FROM a JOIN NEAREST k b BY Knn::Function(a.e, b.e)`: for each row of a the k nearest rows of b.

The conditions of WHERE are about one of the two tables each, and filter it first. The pairs are computed while the
statement is compiled; the statement then joins the tables by them. Where the SELECT has the function of BY again, it
takes the distance that the pairs have.
"""

from typing import Any

import pyarrow

from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import Column, Given, Name, Node, Phrase, Select, both
from vicinal.sql.compile.values import Expression, Scope, Source, of_table
from vicinal.sql.parse.dialect import exp
from vicinal.sql.types import FLOAT, STRING
from vicinal.sql.vectors import binary, joins

MOST = 10_000


def joined(compiler: Conversion, select: Any, join: Any, scope: Scope) -> Node:
    """The pairs as a table `p` with the columns l and r, row ids, and d, the distance."""
    call = join.meta["by"]
    count = compiler.expression(join.meta["count"], Scope())
    if not count.known or not count.kind.whole or not 0 < count.value <= MOST:
        raise compiler.error(join, f"JOIN NEAREST takes a number from 1 to {MOST:,}: JOIN NEAREST 10 b BY ...")
    if len(scope.sources) != 2 or any(one.table is None or one.view is not None for one in scope.sources):
        raise compiler.error(join, "JOIN NEAREST joins two tables; put other joins into a SELECT around this one")
    name = str(call.this).removeprefix("Knn::") if isinstance(call, exp.Anonymous) else ""
    if name not in binary.DISTANCES or len(call.expressions) != 2:
        raise compiler.error(
            call, "BY takes a function of Knn of a column of each table: Knn::CosineDistance(a.e, b.e)"
        )
    columns = [_owner(compiler, one, scope) for one in call.expressions]
    if columns[0][0] is columns[1][0]:
        raise compiler.error(call, "BY takes a column of each of the two tables")
    conditions = _split(compiler, select.args.get("where"), scope)
    left, right = scope.sources
    sides = []
    for source in (left, right):
        column = next(column for one, column in columns if one is source)
        sides.append(_rows(compiler, source, column, conditions[source.alias]))
    vectors = [one.column(1).combine_chunks() for one in sides]
    pairs = joins.nearest(name, vectors[0], vectors[1], int(count.value), compiler.notices)
    ids = [sides[at].column(0).to_numpy()[pairs[at]] for at in (0, 1)]
    scope.distance = call, Expression(Column("p", "d"), FLOAT)
    return Given(pyarrow.table({"l": ids[0], "r": ids[1], "d": pairs[2]}))


def _owner(compiler: Conversion, node: Any, scope: Scope) -> tuple[Source, str]:
    """The table of a column of BY, and the column."""
    if isinstance(node, exp.Column):
        for source in scope.sources:
            wanted = not node.table or node.table == source.alias
            if wanted and source.table is not None and node.name in source.table.columns:
                if source.table.columns[node.name].kind != STRING:
                    break
                return source, node.name
    raise compiler.error(node, "BY takes columns of vectors, a String each")


def _split(compiler: Conversion, where: Any, scope: Scope) -> dict[str, list[Any]]:
    """Each table's conditions."""
    found: dict[str, list[Any]] = {one.alias: [] for one in scope.sources}
    for one in [] if where is None else _conjuncts(where.this):
        owners = {
            source.alias
            for column in one.find_all(exp.Column)
            for source in scope.sources
            if column.table == source.alias or (not column.table and column.name in (source.table or source).columns)
        }
        if len(owners) > 1 or any(True for _ in one.find_all(exp.Select)):
            message = "a condition beside JOIN NEAREST is about one of the tables, as it filters before the join"
            raise compiler.error(one, f"{message}; put this one into a SELECT around")
        for owner in owners:
            found[owner].append(one)
    return found


def _conjuncts(node: Any) -> list[Any]:
    while isinstance(node, exp.Paren):
        node = node.this
    return _conjuncts(node.this) + _conjuncts(node.expression) if isinstance(node, exp.And) else [node]


def _rows(compiler: Conversion, source: Source, column: str, conditions: list[Any]) -> Any:
    """The row ids and vectors of one table that pass its conditions, in the order of the primary key."""
    table = source.table
    assert table is not None
    scope = Scope([of_table(source.alias, table, "t0")])
    vector = Column("t0", table.columns[column].physical)
    where = both(
        Phrase((vector, " IS NOT NULL")),
        *(compiler.condition(compiler.expression(one, scope), one) for one in conditions),
    )
    order = scope.keys
    return compiler.fetch(
        Select([Column("t0", "rowid"), vector], Phrase((Name(table.physical), " AS t0")), where, order=order)
    )
