"""Many targets in one statement.

A join of a table with a table of targets, ranked within each target and cut to the first few, has as many pairs as the
product of the two, and needs almost none of them. Where a statement has that form,

    SELECT ... FROM (
        SELECT ..., ROW_NUMBER() OVER (PARTITION BY t.id ORDER BY Knn::Distance(f.embedding, t.embedding)) AS place
        FROM Facts AS f CROSS JOIN Targets AS t WHERE ...
    ) WHERE place <= k

one pass over the facts measures each against all targets at once and keeps the k best of each; the statement then runs
on those pairs alone. The answer is the statement's own, because a row beyond a target's k best has a place beyond k.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow

from vicinal.sql.catalog import Table
from vicinal.sql.compile.nodes import Call, Column, Name, Node, Phrase, Reference, Select, both
from vicinal.sql.compile.select import Compiler
from vicinal.sql.compile.values import Deferred, Scope, of_table
from vicinal.sql.engine.connection import Connection
from vicinal.sql.parse.dialect import exp, start_of
from vicinal.sql.parse.statements import Name as Written
from vicinal.sql.types import STRING
from vicinal.sql.vectors import binary
from vicinal.sql.vectors.best import Best

MOST_TARGETS = 4096
MOST_PLACES = 1024


@dataclass(frozen=True)
class Side:
    """A table of the join: its alias, the table, its column of vectors, and the conditions on it alone."""

    alias: str
    table: Table
    embedding: str
    conditions: list[Any]


@dataclass(frozen=True)
class Ranking:
    """A statement of that form.

    inner      : the SELECT with the join
    names      : what `$name` stands for in it
    function   : as in Knn::<function>
    k          : how many rows of each target are kept
    descending : whether the largest values are the best
    """

    inner: Any
    names: dict[str, Any]
    facts: Side
    targets: Side
    function: str
    k: int
    descending: bool

    @property
    def columns(self) -> dict[str, str]:
        """For each alias, the column of `pairs` with its row ids."""
        return {self.facts.alias: "f", self.targets.alias: "t"}

    def pairs(self, compiler: Compiler, connection: Connection) -> Any:
        """The row ids of the pairs that are kept, as an Arrow table; None where the targets are too many, or none."""
        targets = self._scan(compiler, connection, self.targets, [Column("t0", "rowid"), _vectors(self.targets)])
        rows = targets.column(0).to_numpy()
        if not 0 < len(rows) <= MOST_TARGETS:
            return None
        vectors, places = binary.Strings(targets.column(1)), self._places(connection, compiler)
        best = Best(self.function, vectors, self.k, self.descending, places)
        measured = Call("knn_measure", [Column("t0", "rowid"), _vectors(self.facts), Reference(best)])
        self._scan(compiler, connection, self.facts, [Call("sum", [measured])])
        connection.notices += best.notices
        kept = best.rows >= 0
        return pyarrow.table(
            {"f": best.rows[kept], "t": np.broadcast_to(rows[:, None], best.rows.shape)[kept].astype(np.int64)}
        )

    def _places(self, connection: Connection, compiler: Compiler) -> np.ndarray | None:
        """Each fact's place in the order of the primary key by its row id; None where the row ids are in that order."""
        table = self.facts.table
        if not table.key:
            return None
        keys = [Phrase((Column("t0", table.columns[key].physical), " ASC NULLS FIRST")) for key in table.key]
        query = Select([Column("t0", "rowid")], Phrase((Name(table.physical), " AS t0")), order=keys)
        order = connection.arrow(query, compiler.source, compiler.start).column(0).to_numpy()
        if not len(order) or (np.diff(order) > 0).all():
            return None
        places = np.zeros(order.max() + 1, np.int64)
        places[order] = np.arange(len(order))
        return places

    def _scan(self, compiler: Compiler, connection: Connection, side: Side, columns: list[Node]) -> Any:
        scope = Scope([of_table(side.alias, side.table, "t0")])
        with compiler.seeing(self.names):
            where = both(*(compiler.condition(compiler.expression(one, scope), one) for one in side.conditions))
        source = Phrase((Name(side.table.physical), " AS t0"))
        return connection.arrow(Select(columns, source, where), compiler.source, compiler.start)


def _vectors(side: Side) -> Node:
    return Column("t0", side.table.columns[side.embedding].physical)


def plan(compiler: Compiler, select: Any) -> Ranking | None:
    """The statement's plan, None where it is not of that form."""
    if not isinstance(select, exp.Select) or select.args.get("from_") is None or select.args.get("where") is None:
        return None
    inner, names = _inner(compiler, select.args["from_"].this)
    if select.args.get("joins") or inner is None:
        return None
    sides = _sides(compiler, inner)
    windows = [one for item in inner.expressions for one in item.find_all(exp.Window)]
    if sides is None or len(windows) != 1:  # another window would miss the pairs that are left out
        return None
    conditions = _split(inner.args.get("where"), sides)
    ranked = [item for item in inner.expressions if isinstance(item, exp.Alias) and item.this is windows[0]]
    if conditions is None or not ranked:
        return None
    k = _places(select.args["where"].this, ranked[0].alias)
    if k is None or k > MOST_PLACES:
        return None
    return _ranked(inner, names, windows[0], sides, conditions, k)


def _inner(compiler: Compiler, source: Any) -> tuple[Any, dict[str, Any]]:
    """The SELECT in FROM, in parentheses or by its `$name`, and its names; None where it has other clauses."""
    node, names = source.this if isinstance(source, exp.Subquery) else None, compiler.names
    if isinstance(source, exp.Table) and source.name.startswith("$"):
        found = compiler.names.get(source.name[1:])
        node, names = (found.node, found.names) if isinstance(found, Deferred) else (None, names)
    while isinstance(node, exp.Subquery):
        node = node.this
    if not isinstance(node, exp.Select):
        return None, names
    clauses = ("group", "having", "order", "limit", "offset", "distinct")
    return (None if any(node.args.get(key) for key in clauses) else node), names


def _sides(compiler: Compiler, inner: Any) -> dict[str, Table] | None:
    """The two tables of the join by alias."""
    joins = inner.args.get("joins") or []
    if inner.args.get("from_") is None or len(joins) != 1:
        return None
    join = joins[0]
    if join.args.get("on") is not None or join.args.get("using") or join.args.get("side"):
        return None
    if str(join.args.get("kind") or "").upper() not in ("", "CROSS"):
        return None
    found: dict[str, Table] = {}
    for node in (inner.args["from_"].this, join.this):
        if not isinstance(node, exp.Table) or node.name.startswith("$") or "view" in node.meta:
            return None
        alias = node.args.get("alias")
        found[alias.name if alias is not None else node.name] = compiler.table(Written(node.name, start_of(node.this)))
    return found if len(found) == 2 else None


def _owner(column: Any, sides: dict[str, Table]) -> str | None:
    """The alias whose column it is."""
    if column.table:
        return column.table if column.table in sides and column.name in sides[column.table].columns else None
    having = [alias for alias, table in sides.items() if column.name in table.columns]
    return having[0] if len(having) == 1 else None


def _places(where: Any, name: str) -> int | None:
    """k, where one of the conditions is that the column is at most k."""
    for one in _conjuncts(where):
        if isinstance(one, exp.LTE | exp.LT | exp.EQ) and isinstance(one.this, exp.Column) and one.this.name == name:
            number = one.expression
            if isinstance(number, exp.Literal) and not number.args["is_string"] and number.this.isdigit():
                k = int(number.this) - isinstance(one, exp.LT)
                return k if k > 0 else None
    return None


def _conjuncts(node: Any) -> list[Any]:
    while isinstance(node, exp.Paren):
        node = node.this
    return _conjuncts(node.this) + _conjuncts(node.expression) if isinstance(node, exp.And) else [node]


def _ranked(
    inner: Any, names: dict[str, Any], window: Any, sides: dict[str, Table], conditions: dict[str, list[Any]], k: int
) -> Ranking | None:
    """The plan, where the window ranks the rows of one side for each row of the other by their distance."""
    if not isinstance(window.this, exp.Anonymous) or str(window.this.this).lower() != "row_number":
        return None
    about = window
    if window.args.get("alias") is not None:
        about = next((one for one in inner.args.get("windows") or [] if one.name == window.args["alias"].name), None)
    order = about.args.get("order") if about is not None else None
    if order is None or len(order.expressions) != 1:
        return None
    target = _partition(about.args.get("partition_by") or [], sides)
    call = order.expressions[0].this
    function = str(call.this).removeprefix("Knn::") if isinstance(call, exp.Anonymous) else ""
    if target is None or function not in binary.DISTANCES or len(call.expressions) != 2:
        return None
    if not all(isinstance(one, exp.Column) for one in call.expressions):
        return None
    columns = {_owner(one, sides) or "": one.name for one in call.expressions}
    if set(columns) != set(sides):
        return None
    if any(sides[alias].columns[name].kind != STRING for alias, name in columns.items()):
        return None
    each = {alias: Side(alias, sides[alias], columns[alias], conditions[alias]) for alias in sides}
    fact = next(alias for alias in sides if alias != target)
    return Ranking(inner, names, each[fact], each[target], function, k, bool(order.expressions[0].args.get("desc")))


def _partition(partition: list[Any], sides: dict[str, Table]) -> str | None:
    """The alias of the table whose columns these are, where they hold its primary key; else None."""
    if not partition or not all(isinstance(one, exp.Column) for one in partition):
        return None
    owners = {_owner(one, sides) for one in partition}
    target = owners.pop()
    if owners or target is None or not set(sides[target].key) <= {one.name for one in partition}:
        return None
    return target


def _split(where: Any, sides: dict[str, Table]) -> dict[str, list[Any]] | None:
    """Each table's conditions; None where one is about both, or about neither."""
    found: dict[str, list[Any]] = {alias: [] for alias in sides}
    if where is None:
        return found
    for one in _conjuncts(where.this):
        owners = {_owner(column, sides) for column in one.find_all(exp.Column)}
        owner = owners.pop() if len(owners) == 1 else None
        if owner is None or any(one.find_all(exp.Select)):
            return None
        found[owner].append(one)
    return found
