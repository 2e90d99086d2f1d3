"""`FROM table VIEW index`: an approximate search reads the rows of a few clusters."""

from collections.abc import Callable
from typing import Any

from vicinal.sql.catalog import VECTOR, Index, Table
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.expressions import no_such
from vicinal.sql.compile.nodes import NOTHING, Call, Column, Join, Node, Operation, Phrase, Word, enclosed
from vicinal.sql.compile.values import Scope
from vicinal.sql.parse.dialect import exp
from vicinal.sql.parse.statements import Name

Probe = Callable[[Table, str, bytes | None], list[int]]


def visited(compiler: Conversion, view: Name, node: Any, scope: Scope, probe: Probe) -> Node:
    """The condition that a row is in one of the clusters that a search visits; a row without a cluster always is.

    Raises    SqlError where the SELECT does not order by a distance that the index supports.
    """
    table = scope.sources[0].table
    if table is None or len(scope.sources) != 1:
        raise compiler.error(view, "VIEW of an index takes one table, without joins; search in a SELECT in parentheses")
    if view.text not in table.indexes:
        raise compiler.error(view, no_such("index", view.text, list(table.indexes)))
    index = table.indexes[view.text]
    if index.kind != VECTOR:  # DuckDB uses its own indexes by itself, and full text is in the functions
        return Word("true")
    expected = _expected(index)
    order = node.args.get("order")
    if order is None or node.args.get("limit") is None:
        raise compiler.error(view, expected)
    first = order.expressions[0]
    call = _aliased(first.this, node)
    name = call.this.removeprefix("Knn::") if isinstance(call, exp.Anonymous) and isinstance(call.this, str) else ""
    if name not in index.functions or bool(first.args.get("desc")) != name.endswith("Similarity"):
        raise compiler.error(first, expected)
    alias = "t0"  # of the first table
    vector = Column(alias, table.columns[index.columns[-1]].physical)
    arguments = [compiler.expression(one, scope) for one in call.expressions]
    targets = [compiler.bytes(one, call) for one in arguments if one.compiled != vector]
    if len(targets) != 1 or not targets[0].known:
        raise compiler.error(first, f"{expected}, the target being the same for all rows")
    return in_clusters(index, alias, probe(table, index.name, targets[0].value))


def in_clusters(index: Index, alias: str, visited: list[int]) -> Node:
    """The condition that a row is in one of some clusters, or in none."""
    clusters: list[Node] = [Word(str(one)) for one in visited]
    cluster = Column(alias, index.physical)
    if index.settings.get("overlap_clusters", 1) > 1:  # a row is in several
        near: Node = Call("list_has_any", [cluster, Phrase(("[", Join(clusters), "]::INTEGER[]"))])
    else:
        near = Operation("IN", [cluster, enclosed(Join(clusters or [NOTHING]))])
    return Operation("OR", [near, Phrase((cluster, " IS NULL"))])


def _expected(index: Index) -> str:
    name = index.functions[0]
    down = " DESC" if name.endswith("Similarity") else ""
    return f"VIEW {index.name} takes ORDER BY Knn::{name}({index.columns[-1]}, target){down} and LIMIT"


def _aliased(node: Any, select: Any) -> Any:
    """What an output's name stands for, else the node itself."""
    if isinstance(node, exp.Column) and not node.table:
        for one in select.expressions:
            if isinstance(one, exp.Alias) and one.alias == node.name:
                return one.this
    return node
