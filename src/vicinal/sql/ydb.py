"""Statements in the form that current YDB takes.

Three things changed since the first Knn module, or are ours: the names ToBinaryString and FromBinaryString, vectors
that are stored without Untag, and `//` comments. The text is edited where it says so and otherwise left as it is.
"""

from typing import Any

from vicinal.sql import binary
from vicinal.sql.lexer import comments

_RENAMED = {"Knn::ToBinaryString": "Knn::ToBinaryStringFloat", "Knn::FromBinaryString": "Knn::FloatFromBinaryString"}
_TAGS = {f"Knn::ToBinaryString{one.name}": one.tag for one in binary.FORMATS} | {"Knn::ToBinaryString": "FloatVector"}


def to_ydb(text: str) -> str:
    """The statements as YDB takes them.

    Raises    SqlError where a statement cannot be read.
    >>> print(to_ydb("UPSERT INTO F (id, e) VALUES (1, Knn::ToBinaryString([1.f])) // a fact"))
    UPSERT INTO F (id, e) VALUES (1, Untag(Knn::ToBinaryStringFloat([1.f]), "FloatVector")) -- a fact
    """
    from vicinal.sql import grammar

    edits: list[tuple[int, int, str]] = []
    for start, _, comment in comments(text):
        if comment.startswith("//"):
            edits.append((start, start + 2, "--"))
    names: dict[str, Any] = {}
    for statement in grammar.parse(text):
        if isinstance(statement, grammar.Named):
            names[statement.name] = (statement.value, dict(names))
        for node in _nodes(statement):
            if isinstance(node, grammar.exp.Anonymous) and node.this in _RENAMED:
                at = node.meta["start"]
                edits.append((at, node.meta["end"] + 1, _RENAMED[node.this]))
        for value in _stored(statement):
            tag = _tag(value, names)
            if tag:
                start, end = value.meta["span"]
                edits += [(start, start, "Untag("), (end, end, f', "{tag}")')]
    # Of edits at one place an opening stands outside what it opens.
    for start, end, new in sorted(edits, key=lambda one: (one[0], one[1], one[2] != "Untag("), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _nodes(statement: Any) -> Any:
    for value in vars(statement).values():
        yield from _expressions(value)


def _expressions(value: Any) -> Any:
    from vicinal.sql.grammar import exp

    if isinstance(value, exp.Expression):
        yield from value.walk()
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _expressions(one)


def _stored(statement: Any) -> list[Any]:
    """The expressions whose values a statement stores."""
    from vicinal.sql import grammar

    if isinstance(statement, grammar.Write):
        if statement.query is None:
            return [value for row in statement.rows for value in row]
        if isinstance(statement.query, grammar.exp.Select):
            return [
                one.this if isinstance(one, grammar.exp.Alias) else one
                for one in statement.query.expressions
                if isinstance(one, grammar.exp.Alias | grammar.exp.Anonymous | grammar.exp.Parameter)
            ]
    if isinstance(statement, grammar.Update):
        return [value for _, value in statement.changes]
    return []


def _tag(node: Any, names: dict[str, Any]) -> str:
    """The tag of an expression's value, empty where it has none."""
    from vicinal.sql.grammar import exp

    if isinstance(node, exp.Paren):
        return _tag(node.this, names)
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
