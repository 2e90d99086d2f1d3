"""The outputs of a SELECT: their names in DuckDB, and what is known of them."""

from typing import Any

from vicinal.sql.compile.nodes import Column, Node, Reference
from vicinal.sql.compile.values import Expression, Output, Scope
from vicinal.sql.parse.dialect import exp


def compares(node: Node) -> bool:
    """Whether a node compares with a vector that is the same for all rows."""
    return any(isinstance(one, Reference) for one in node.walk())


def distinct_names(outputs: list[tuple[str, Expression]]) -> list[Output]:
    """The outputs, each with a name in DuckDB that no other has."""
    taken: set[str] = set()
    columns = []
    for name, value in outputs:
        physical, number = name, 1
        while physical.lower() in taken:
            number += 1
            physical = f"{name}~{number}"
        taken.add(physical.lower())
        columns.append(Output(name, physical, value.kind))
    return columns


def unique_outputs(scope: Scope, outputs: list[tuple[str, Expression]]) -> frozenset[str]:
    """The outputs that are the primary key of the one table that is read."""
    table = scope.sources[0].table if len(scope.sources) == 1 else None
    if table is None:
        return frozenset()
    columns = {value.compiled: name for name, value in scope.sources[0].columns}
    shown = {columns.get(value.compiled): name for name, value in outputs if isinstance(value.compiled, Column)}
    found = [shown.get(key) for key in table.key]
    return frozenset() if None in found else frozenset(name for name in found if name)


def projections(node: Any, outputs: list[tuple[str, Expression]]) -> list[Any]:
    """For each output the item of the SELECT that it comes from; None for the columns of a star."""
    stars = sum(
        isinstance(one, exp.Star) or isinstance(getattr(one, "this", None), exp.Star) for one in node.expressions
    )
    if not stars:
        return list(node.expressions)
    named_items = {one.alias: one for one in node.expressions if isinstance(one, exp.Alias)}
    return [named_items.get(name) for name, _ in outputs]
