"""How each function is compiled.

A builder takes the statement's `Conversion`, the call's node in YQL, which says where an error stands, and the compiled
arguments; it gives the compiled call. The table of functions, `functions`, names a builder for each.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow

from vicinal.errors import UsageError
from vicinal.sql.compile.casts import cast
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import (
    STAR,
    Call,
    Cast,
    Closure,
    Node,
    Operation,
    Parameter,
    Phrase,
    Reference,
    Variable,
    Word,
)
from vicinal.sql.compile.operators import chosen, first_not_null
from vicinal.sql.compile.values import Expression, Lambda, constant
from vicinal.sql.parse.dialect import exp
from vicinal.sql.types import DOUBLE, FLOAT, INT64, NULL, STRING, UINT64, UTF8, Type, list_of
from vicinal.sql.vectors import binary

MOST_ITEMS = 1_000_000  # of a list that a function makes
Builder = Callable[[Conversion, Any, list[Any]], Expression]

# Vectors.


def encode(form: str) -> Builder:
    """A list of numbers as a byte string of that format."""
    about = binary.find_format(form)

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        (vector,) = args
        kind = Type("String", tag=about.tag)
        if vector.kind == NULL:
            return constant(None, kind)
        if vector.kind.item is None or not (vector.kind.item.numeric or vector.kind.item == NULL):
            raise compiler.error(node, f"expected a list of numbers, found {vector.kind}; write [1.f, 2.f]")
        if not vector.known:
            item = DOUBLE if form == "Bit" else Type(about.element)
            if form != "Bit" and vector.kind.item != item and not (item == FLOAT and vector.kind.item.numeric):
                raise compiler.error(node, f"expected List<{item}>, found {vector.kind}; use CAST or ListMap")
            lists = compiler.converted(vector, list_of(item), node)
            return Expression(Call(f"knn_encode_{form.lower()}", [lists.node]), kind)
        try:
            return constant(None if vector.value is None else binary.to_binary(vector.value, form), kind)
        except UsageError as error:
            raise compiler.error(node, str(error)) from None

    return build


def decode(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """A byte string's elements."""
    string = compiler.bytes(args[0], node)
    if string.known:
        return constant(binary.from_binary(string.value), list_of(FLOAT))
    return Expression(Call("knn_decode", [string.node]), list_of(FLOAT))


def distance(name: str) -> Builder:
    """The distance of two byte strings; one that is the same for all rows goes in as a number that stands for it."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        args = [_as_vector(compiler, one, node) for one in args]
        tags = [one.kind.tag for one in args]
        a, b = (compiler.bytes(one, node) for one in args)
        if tags[0] and tags[1] and tags[0] != tags[1]:  # in YDB's words
            raise compiler.error(node, f"Arguments should have same tags, but '{tags[0]}' is not equal to '{tags[1]}'")
        if a.known and b.known:
            return constant(_distance_of_two(compiler, name, a.value, b.value), FLOAT)
        if a.known:
            a, b = b, a
        if b.known:
            return Expression(Call(f"knn_{name}_to", [a.node, Reference(b.value)]), FLOAT)
        return Expression(Call(f"knn_{name}", [a.node, b.node]), FLOAT)

    return build


def _as_vector(compiler: Conversion, value: Expression, node: Any) -> Expression:
    """A list of numbers as a vector's byte string: Uint8 and Int8 as they are, others as Float."""
    item = value.kind.item
    if item is None or not item.numeric:
        return value
    form = item.name if item.name in ("Uint8", "Int8") else "Float"
    lists = value if form == item.name else cast(compiler, value, list_of(FLOAT), node)
    return encode(form)(compiler, node, [lists]).retyped(STRING)


def _distance_of_two(compiler: Conversion, name: str, a: bytes | None, b: bytes | None) -> float | None:
    columns = [pyarrow.array([one], pyarrow.binary()) for one in (a, b)]
    found: float | None = binary.distance_column(name, columns[0], columns[1], compiler.notices)[0].as_py()
    return found


def _tag(compiler: Conversion, node: Any, name: str, tag: Expression) -> str:
    if not tag.known or not isinstance(tag.value, bytes):
        raise compiler.error(
            node, f'{name}: expected a string literal as the tag, found {tag.kind}; write "FloatVector"'
        )
    return tag.value.decode("utf-8", "replace")


def untag(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The value without its tag."""
    value = args[0]
    wanted = _tag(compiler, node, "Untag", args[1])
    if value.kind.tag != wanted and value.kind != NULL:
        raise compiler.error(node, f"Untag: expected a value tagged {wanted!r}, found {value.kind}")
    return value.retyped(value.kind.untagged)


def as_tagged(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The value with a tag."""
    value = args[0]
    tag = _tag(compiler, node, "AsTagged", args[1])
    if value.kind.name != "String":
        raise compiler.error(node, f"AsTagged: expected a String, found {value.kind}; use CAST")
    return value.retyped(Type("String", tag=tag))


# Numbers, NULL and strings.


def math(name: str) -> Builder:
    """A function of DuckDB's over Doubles."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        return Expression(Call(name, [compiler.number(one, DOUBLE, node).node for one in args]), DOUBLE)

    return build


def square_root(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The root; NaN below 0, where DuckDB's is an error."""
    value = compiler.number(args[0], DOUBLE, node).node
    root = Call("sqrt", [Call("greatest", [value, Word("0")])])
    return Expression(Phrase(("(CASE WHEN ", value, " < 0 THEN 'nan'::DOUBLE ELSE ", root, " END)")), DOUBLE)


def absolute(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The absolute value, of the number's own type."""
    _numeric(compiler, node, "Abs", args[0])
    return Expression(Call("abs", [args[0].node]), args[0].kind)


def _numeric(compiler: Conversion, node: Any, name: str, value: Expression) -> None:
    if not value.kind.numeric:
        raise compiler.error(node, f"{name}: expected a number, found {value.kind}; use CAST")


def conditional(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """`If(condition, value, other)`."""
    branches = args[1:] if len(args) == 3 else [args[1], constant(None, NULL)]
    return chosen(compiler, [compiler.condition(args[0], node)], branches, node)


def coalesce(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The first argument that is not NULL."""
    return first_not_null(compiler, args, node)


def length(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The number of bytes."""
    kind = Type("Uint32")
    if args[0].kind.name == "Utf8":
        return Expression(Cast(Call("strlen", [args[0].node]), kind.duck), kind)
    return Expression(Cast(Call("octet_length", [compiler.bytes(args[0], node).node]), kind.duck), kind)


def same(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The argument itself."""
    return args[0]


def unwrap(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The argument, or an error where it is NULL."""
    error = Call("error", [Parameter("Unwrap: found NULL", UTF8.duck)])
    return Expression(Call("coalesce", [args[0].node, Cast(error, args[0].kind.duck)]), args[0].kind)


# Lists.


def _item(compiler: Conversion, node: Any, name: str, values: Expression) -> Type:
    if values.kind.item is None:
        raise compiler.error(node, f"{name}: expected a list, found {values.kind}; write [a, b]")
    return values.kind.item


def list_map(compiler: Conversion, node: Any, args: list[Expression | Lambda]) -> Expression:
    """A lambda's value of each element."""
    values, function = args
    if not isinstance(values, Expression):
        raise compiler.error(node, "ListMap: expected a list, found a lambda; write ListMap(list, lambda)")
    closure, kind = compiler.applied(function, _item(compiler, node, "ListMap", values), node)
    return Expression(Call("list_transform", [values.node, closure]), list_of(kind))


def list_length(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The number of elements."""
    _item(compiler, node, "ListLength", args[0])
    return Expression(Cast(Call("len", [args[0].node]), UINT64.duck), UINT64)


def list_replicate(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """A value so many times."""
    value, times = args
    if not times.kind.whole:
        raise compiler.error(node, f"ListReplicate: expected a whole number, found {times.kind}; use CAST")
    if times.known and times.value is not None and times.value > MOST_ITEMS:
        raise compiler.error(node, f"ListReplicate: {times.value:,} elements; a list has at most {MOST_ITEMS:,}")
    repeated = Closure(Variable("_"), value.node)
    many = Parameter(f"ListReplicate: more than {MOST_ITEMS:,} elements, which is the most that a list has", UTF8.duck)
    allowed = Operation("<=", [Operation("*", [Cast(times.node, "DOUBLE"), _weight(value)]), Word(str(MOST_ITEMS))])
    counted = Phrase(
        ("(CASE WHEN ", allowed, " THEN ", times.node, " ELSE CAST(", Call("error", [many]), " AS BIGINT) END)")
    )
    return Expression(Call("list_transform", [Call("range", [counted]), repeated]), list_of(value.kind))


def _weight(value: Expression) -> Node:
    """How many elements a value takes in a list: those of a list within count, and eight bytes of a string are one."""
    node, kind = value.node, value.kind
    while kind.item is not None and kind.item.item is not None:
        node, kind = Call("flatten", [node]), kind.item
    if kind.item is not None:
        return Call("greatest", [Call("len", [node]), Word("1")])
    if kind.name in ("String", "Utf8", "Json"):
        return (
            Call("greatest", [Phrase(("octet_length(CAST(", node, " AS BLOB)) / 8")), Word("1")])
            if (kind.name == "String")
            else Call("greatest", [Phrase(("strlen(CAST(", node, " AS VARCHAR)) / 8")), Word("1")])
        )
    return Word("1")


def list_flatten(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """A list of lists as one list."""
    kind = args[0].kind
    if kind.item is None or kind.item.item is None:
        raise compiler.error(node, f"ListFlatten: expected a list of lists, found {kind}; write [[a], [b]]")
    return Expression(Call("flatten", [args[0].node]), kind.item)


def as_list(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """A list of the arguments."""
    return compiler.listed(args, node)


def list_from_range(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """Numbers from start, below end."""
    for one in args:
        if not one.known or not one.kind.numeric:
            raise compiler.error(node, f"ListFromRange: expected number literals, found {one.kind} of unknown value")
    kind = compiler.common(args, node)
    start, end, *step = (one.value for one in args)
    if step and step[0] == 0:
        raise compiler.error(node, "ListFromRange: the step is 0; write a step above or below 0")
    count = (end - start) / (step[0] if step else 1)
    if count > MOST_ITEMS:
        raise compiler.error(node, f"ListFromRange: {count:,.0f} elements; a list has at most {MOST_ITEMS:,}")
    values = np.arange(start, end, *(step or [1]))
    return constant(values.astype(np.float32 if kind == FLOAT else values.dtype), list_of(kind))


# Literals of other types.


def time(name: str) -> Builder:
    """A string literal as a moment."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        if not args[0].known or args[0].kind.name != "String":
            raise compiler.error(node, f"{name}: expected a string literal, found {args[0].kind}")
        return compiler.time(args[0], Type(name), node)

    return build


def json(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """A string literal as JSON."""
    if not args[0].known or not isinstance(args[0].value, bytes):
        raise compiler.error(node, f"Json: expected a string literal, found {args[0].kind}")
    return compiler.converted(args[0], Type("Json"), node)


# Aggregates and windows.


def _aggregate(name: str, node: Any, argument: Node, kind: Type | None = None) -> Node:
    """A call over several rows, cast to a type where DuckDB's result is of another one."""
    distinct = bool(node.expressions) and isinstance(node.expressions[0], exp.Distinct)
    call = Call(name, [argument], distinct, rows=True)
    return call if kind is None else Cast(call, kind.duck)


def count(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """How many rows, or how many are not NULL."""
    return Expression(_aggregate("count", node, args[0].node if args else STAR, UINT64), UINT64)


def count_if(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """How many are true."""
    return Expression(_aggregate("count_if", node, compiler.condition(args[0], node), UINT64), UINT64)


def total(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The sum."""
    _numeric(compiler, node, "SUM", args[0])
    kind = args[0].kind
    result = DOUBLE if kind.real else UINT64 if kind.name.startswith("U") else INT64
    return Expression(_aggregate("sum", node, args[0].node, result), result)


def mean(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
    """The mean."""
    return Expression(_aggregate("avg", node, compiler.number(args[0], DOUBLE, node).node), DOUBLE)


def keeping(name: str) -> Builder:
    """An aggregate that gives one of the values."""

    def build(compiler: Conversion, node: Any, args: list[Expression]) -> Expression:
        if name in ("min", "max") and args[0].kind.item is not None:
            raise compiler.outside(node, f"{name.upper()} of {args[0].kind}")
        return Expression(Call(name, [args[0].node], rows=True), args[0].kind.untagged)

    return build


def rank(name: str) -> Builder:
    """A row's place in its window."""
    return lambda compiler, node, args: Expression(Call(name, rows=True), UINT64)
