"""How the functions of the modules String, Unicode, Math and DateTime, and those over lists, are compiled."""

from collections.abc import Callable
from typing import Any

from vicinal.sql.compile.builders import Builder
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import Call, Cast, Node, Phrase, Word
from vicinal.sql.compile.values import Expression, Lambda
from vicinal.sql.types import BOOL, STRING, TIMES, UTF8, Type, list_of, struct_of


def text(name: str, takes: str, gives: Type, template: str) -> Builder:
    """A function of strings.

    takes    : for each argument s (a string) or n (a whole number)
    template : DuckDB's expression, with {0}, {1} where the arguments go; strings are text in it
    """

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        nodes: list[Node] = []
        for value, what in zip(args, takes, strict=False):
            if what == "n":
                if not value.kind.whole:
                    raise compiler.error(node, f"{name}: expected a whole number, found {value.kind}; use CAST")
                nodes.append(Cast(value.node, "BIGINT"))
            else:
                nodes.append(_text(compiler, node, name, value))
        filled = _filled(template, nodes)
        if gives == STRING:
            return Expression(Call("encode", [filled]), STRING)
        if gives == list_of(STRING):
            return Expression(Phrase(("list_transform(", filled, ", lambda w: encode(w))")), gives)
        return Expression(Cast(filled, gives.duck), gives)

    return build


def _text(compiler: Conversion, node: Any, name: str, value: Expression) -> Node:
    """A string as text; NULL where its bytes are not UTF-8."""
    if value.kind.name in ("Utf8", "Json", "Null"):
        return Cast(value.node, "VARCHAR")
    if value.kind.name == "String":
        return Phrase(("TRY(decode(", value.node, "))"))
    if value.kind.item is not None and value.kind.item.name in ("String", "Utf8"):
        body = "w" if value.kind.item == UTF8 else "TRY(decode(w))"
        return Phrase(("list_transform(", value.node, f", lambda w: {body})"))
    raise compiler.error(node, f"{name}: expected a string, found {value.kind}; use CAST")


def _filled(template: str, nodes: list[Node]) -> Phrase:
    """A template with its arguments."""
    parts: list[str | Node] = []
    for number, piece in enumerate(template.replace("}", "{").split("{")):
        parts.append(nodes[int(piece)] if number % 2 else piece)
    return Phrase(parts)


def part(name: str, field: str) -> Builder:
    """A part of a moment."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        if args[0].kind.name not in TIMES:
            raise compiler.error(node, f"{name}: expected Date, Datetime or Timestamp, found {args[0].kind}; use CAST")
        kind = Type("Uint16" if field in ("year", "doy") else "Uint32" if field == "epoch" else "Uint8")
        return Expression(Cast(Phrase((f"floor(date_part('{field}', ", args[0].node, "))")), kind.duck), kind)

    return build


def moment(kind: str, template: str) -> Builder:
    """A moment of a whole number."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        if not args[0].kind.whole:
            raise compiler.error(node, f"expected a whole number, found {args[0].kind}; use CAST")
        to = Type(kind)
        return Expression(Cast(_filled(template, [Cast(args[0].node, "BIGINT")]), to.duck), to)

    return build


# Lists.


def _items(compiler: Conversion, node: Any, name: str, value: Any) -> Type:
    if not isinstance(value, Expression) or value.kind.item is None:
        found = value.kind if isinstance(value, Expression) else "a lambda"
        raise compiler.error(node, f"{name}: expected a list, found {found}; write [a, b]")
    return value.kind.item


def list_of_same(name: str, template: str) -> Builder:
    """A function that gives a list of the same type; a second argument is a whole number."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        _items(compiler, node, name, args[0])
        nodes = [args[0].node]
        for one in args[1:]:
            if not one.kind.whole:
                raise compiler.error(node, f"{name}: expected a whole number, found {one.kind}; use CAST")
            nodes.append(Cast(one.node, "BIGINT"))
        return Expression(_filled(template, nodes), args[0].kind)

    return build


def list_filter(compiler: Conversion, node: Any, args: list[Expression | Lambda]) -> Expression:
    """The elements for which a lambda is true."""
    item = _items(compiler, node, "ListFilter", args[0])
    closure, kind = compiler.applied(args[1], item, node)
    if kind != BOOL:
        raise compiler.error(node, f"ListFilter: the lambda gives {kind}, expected Bool")
    assert isinstance(args[0], Expression)
    return Expression(Call("list_filter", [args[0].node, closure]), args[0].kind)


def list_has(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """Whether a list has an element."""
    item = _items(compiler, node, "ListHas", args[0])
    value = compiler.converted(args[1], item, node)
    return Expression(Call("list_contains", [args[0].node, value.node]), BOOL)


def list_zip(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The elements of several lists side by side, as structs; as long as the shortest."""
    kinds = [_items(compiler, node, "ListZip", one) for one in args]
    kind = struct_of((str(number), one) for number, one in enumerate(kinds))
    zipped = Call("list_zip", [*(one.node for one in args), Word("true")])
    return Expression(Cast(zipped, list_of(kind).duck), list_of(kind))


def concat(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The elements of several lists one after another."""
    for one in args:
        _items(compiler, node, "ListExtend", one)
    kind = compiler.common(args, node)
    found, *others = (compiler.converted(one, kind, node).node for one in args)
    for other in others:
        found = Call("list_concat", [found, other])
    return Expression(found, kind)


def aggregate(name: str, function: str, gives: Callable[[Type], Type]) -> Builder:
    """An aggregate over the elements of a list."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        item = _items(compiler, node, name, args[0])
        kind = gives(item)
        return Expression(Cast(Call(function, [args[0].node]), kind.duck), kind)

    return build
