"""Statements in the form that current YDB takes.

Three things are not as YDB takes them now: the names ToBinaryString and FromBinaryString of the first Knn module,
vectors that are stored without Untag, and `//` comments. The user's text is otherwise kept as it is, with its layout
and comments, which is why this works on the text and not on nodes: a tree would not give them back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vicinal.sql.parse import statements
from vicinal.sql.parse.dialect import Invoke, LambdaBlock, exp
from vicinal.sql.parse.grammar import parse
from vicinal.sql.parse.lexer import comments
from vicinal.sql.vectors import binary

_RENAMED = {"Knn::ToBinaryString": "Knn::ToBinaryStringFloat", "Knn::FromBinaryString": "Knn::FloatFromBinaryString"}
_TAGS = {f"Knn::ToBinaryString{one.name}": one.tag for one in binary.FORMATS} | {"Knn::ToBinaryString": "FloatVector"}

Names = dict[str, Any]  # `$name` to its node and the names that this sees


@dataclass
class _Changes:
    """Changes to a text, by the places at which they are made; they are made in one pass."""

    opened: dict[int, int] = field(default_factory=dict)  # how many Untag( begin there
    closed: dict[int, list[str]] = field(default_factory=dict)  # what ends there
    replaced: dict[int, tuple[int, str]] = field(default_factory=dict)  # until where, and by what

    def applied(self, text: str) -> str:
        """The text with the changes."""
        parts, at = [], 0
        for place in sorted({*self.opened, *self.closed, *self.replaced}):
            parts += [text[at:place], *self.closed.get(place, []), "Untag(" * self.opened.get(place, 0)]
            end, new = self.replaced.get(place, (place, ""))
            parts.append(new)
            at = end
        return "".join([*parts, text[at:]])


def to_ydb(text: str) -> str:
    """Return statements in the form that YDB takes.

    Parameters
    ----------
    text : str
        The statements.

    Returns
    -------
    str
        The text with its layout and comments, and with the changes.

    Raises
    ------
    SqlError
        A statement cannot be read.

    Examples
    --------
    >>> print(to_ydb("UPSERT INTO F (id, e) VALUES (1, Knn::ToBinaryString([1.f])) // a fact"))
    UPSERT INTO F (id, e) VALUES (1, Untag(Knn::ToBinaryStringFloat([1.f]), "FloatVector")) -- a fact
    """
    changes = _Changes()
    for start, _, comment in comments(text):
        if comment.startswith("//"):
            changes.replaced[start] = start + 2, "--"
    names: Names = {}
    spans: dict[tuple[int, int], str] = {}
    for statement in parse(text):
        if isinstance(statement, statements.Named):
            names[statement.name] = (statement.value, dict(names))
        for node in _nodes(list(vars(statement).values())):
            if isinstance(node, exp.Anonymous) and node.this in _RENAMED:
                changes.replaced[node.meta["start"]] = node.meta["end"] + 1, _RENAMED[node.this]
        for value, seen in _stored(statement, names):
            tag = _tag(value, seen)
            if tag:
                spans[value.meta["span"]] = tag
    for (start, end), tag in spans.items():
        changes.opened[start] = changes.opened.get(start, 0) + 1
        changes.closed.setdefault(end, []).append(f', "{tag}")')
    return changes.applied(text)


def _nodes(value: Any) -> Iterator[Any]:
    """Every node of sqlglot's in a statement's parts."""
    if isinstance(value, exp.Expression):
        yield from value.walk()
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _nodes(one)


def _stored(statement: Any, names: Names) -> Iterator[tuple[Any, Names]]:
    """The expressions whose values a statement stores, each with the names that it sees."""
    if isinstance(statement, statements.Write):
        for row in statement.rows:
            for value in row:
                yield value, names
        yield from _outputs(statement.query, names)
    elif isinstance(statement, statements.Update):
        for _, value in statement.changes:
            yield value, names


def _outputs(query: Any, names: Names) -> Iterator[tuple[Any, Names]]:
    """The expressions that a query gives, and those of the queries that it reads."""
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


def _tag(node: Any, names: Names) -> str:
    """The tag of an expression's value, empty where it has none."""
    if isinstance(node, exp.Paren):
        return _tag(node.this, names)
    if isinstance(node, Invoke):
        return _result_tag(node, names)
    if isinstance(node, exp.Parameter) and node.this.this in names:
        value, seen = names[node.this.this]
        return _tag(value, seen)
    branches: list[Any] = []
    if isinstance(node, exp.Anonymous):
        if node.this in _TAGS:
            return _TAGS[node.this]
        if str(node.this).lower() in ("if", "coalesce", "nvl", "just", "unwrap"):
            branches = node.expressions
    elif isinstance(node, exp.Coalesce):
        branches = [node.this, *node.expressions]
    elif isinstance(node, exp.Case):
        branches = [one.args["true"] for one in node.args["ifs"]]
    return next((tag for one in branches if (tag := _tag(one, names))), "")


def _result_tag(node: Any, names: Names) -> str:
    """The tag of what a lambda gives."""
    function, seen = names.get(node.this.this.this, (None, names))
    body = function.this if isinstance(function, exp.Lambda) else None
    if isinstance(body, LambdaBlock):
        for name, value in zip(body.args["names"], body.expressions, strict=True):
            seen = {**seen, name.this: (value, seen)}
        body = body.this
    return _tag(body, seen) if body is not None else ""
