"""Statements in the form that current YDB takes.

Three things changed since the first Knn module, or are ours: the names ToBinaryString and FromBinaryString, vectors
that are stored without Untag, and `//` comments. The text is edited where it says so and otherwise left as it is.
"""

from collections.abc import Iterator
from typing import Any

from vicinal.sql.parse import statements
from vicinal.sql.parse.lexer import comments
from vicinal.sql.vectors import binary

_RENAMED = {"Knn::ToBinaryString": "Knn::ToBinaryStringFloat", "Knn::FromBinaryString": "Knn::FloatFromBinaryString"}
_TAGS = {f"Knn::ToBinaryString{one.name}": one.tag for one in binary.FORMATS} | {"Knn::ToBinaryString": "FloatVector"}


def to_ydb(text: str) -> str:
    """The statements as YDB takes them.

    Raises    SqlError where a statement cannot be read.
    >>> print(to_ydb("UPSERT INTO F (id, e) VALUES (1, Knn::ToBinaryString([1.f])) // a fact"))
    UPSERT INTO F (id, e) VALUES (1, Untag(Knn::ToBinaryStringFloat([1.f]), "FloatVector")) -- a fact
    """
    from vicinal.sql.parse.dialect import exp
    from vicinal.sql.parse.grammar import parse

    edits = {(start, start + 2, "--") for start, _, comment in comments(text) if comment.startswith("//")}
    names: dict[str, Any] = {}
    for statement in parse(text):
        if isinstance(statement, statements.Named):
            names[statement.name] = (statement.value, dict(names))
        for node in _nodes(statement):
            if isinstance(node, exp.Anonymous) and node.this in _RENAMED:
                at = node.meta["start"]
                edits.add((at, node.meta["end"] + 1, _RENAMED[node.this]))
        for value, seen in _stored(statement, names):
            tag = _tag(value, seen)
            if tag:
                start, end = value.meta["span"]
                edits |= {(start, start, "Untag("), (end, end, f', "{tag}")')}
    # Of edits at one place an opening stands outside what it opens.
    for start, end, new in sorted(edits, key=lambda one: (one[0], one[1], one[2] != "Untag("), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _nodes(statement: Any) -> Any:
    for value in vars(statement).values():
        yield from _expressions(value)


def _expressions(value: Any) -> Any:
    from vicinal.sql.parse.dialect import exp

    if isinstance(value, exp.Expression):
        yield from value.walk()
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _expressions(one)


def _stored(statement: Any, names: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The expressions whose values a statement stores, each with the names that it sees."""
    if isinstance(statement, statements.Write):
        for row in statement.rows:
            for value in row:
                yield value, names
        yield from _outputs(statement.query, names)
    elif isinstance(statement, statements.Update):
        for _, value in statement.changes:
            yield value, names


def _outputs(query: Any, names: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """What a query and those that it reads give; without its tag a vector serves all the same."""
    from vicinal.sql.parse.dialect import exp

    if isinstance(query, exp.Union):
        yield from _outputs(query.this, names)
        yield from _outputs(query.expression, names)
    elif isinstance(query, exp.Subquery):
        yield from _outputs(query.this, names)
    elif isinstance(query, exp.Table) and query.name.removeprefix("$") in names and query.name.startswith("$"):
        value, seen = names[query.name[1:]]
        yield from _outputs(value, seen)
    elif isinstance(query, exp.Select):
        for one in query.expressions:
            yield (one.this if isinstance(one, exp.Alias) else one), names
        if query.args.get("from_") is not None:
            for source in (query.args["from_"].this, *(join.this for join in query.args.get("joins") or [])):
                yield from _outputs(source, names)


def _tag(node: Any, names: dict[str, Any]) -> str:
    """The tag of an expression's value, empty where it has none."""
    from vicinal.sql.parse.dialect import Invoke, LambdaBlock, exp

    if isinstance(node, exp.Paren):
        return _tag(node.this, names)
    if isinstance(node, Invoke) and node.this.this.this in names:
        function, seen = names[node.this.this.this]
        body = function.this if isinstance(function, exp.Lambda) else None
        if isinstance(body, LambdaBlock):
            for name, value in zip(body.args["names"], body.expressions, strict=True):
                seen = {**seen, name.this: (value, seen)}
            body = body.this
        return _tag(body, seen) if body is not None else ""
    if isinstance(node, exp.Parameter) and node.this.this in names:
        value, seen = names[node.this.this]
        return _tag(value, seen)
    if isinstance(node, exp.Anonymous):
        if node.this in _TAGS:
            return _TAGS[node.this]
        if str(node.this).lower() in ("if", "coalesce", "nvl", "just", "unwrap"):
            return next((tag for one in node.expressions if (tag := _tag(one, names))), "")
    if isinstance(node, exp.Coalesce):
        return next((tag for one in (node.this, *node.expressions) if (tag := _tag(one, names))), "")
    if isinstance(node, exp.Case):
        values = [one.args["true"] for one in node.args["ifs"]]
        return next((tag for one in values if (tag := _tag(one, names))), "")
    return ""
