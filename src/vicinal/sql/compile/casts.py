"""CAST: one type of another, NULL where the value does not fit."""

from typing import Any

import numpy as np

from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import NOTHING, Call, Cast, Closure, Node, Operation, Parameter, Phrase, Variable, Word
from vicinal.sql.compile.values import Expression, constant
from vicinal.sql.faults import SqlError
from vicinal.sql.parse import literals
from vicinal.sql.parse.literals import BITS
from vicinal.sql.types import BOOL, STRING, TIMES, UTF8, Type

_WHOLE = r"[+-]?[0-9]+"
_REAL = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def cast(compiler: Conversion, value: Expression, to: Type, node: Any) -> Expression:
    """The value as another type, NULL where it does not fit.

    Raises    SqlError where no value of the one type is a value of the other.
    """
    have = value.kind.untagged
    if have == to:
        return value.retyped(to)
    if have.plain == to.plain:
        return value.retyped(to)
    if have.plain != have or to.plain != to:
        return cast(compiler, value.retyped(have.plain), to.plain, node).retyped(to)
    if have.name == "Null" or (value.known and value.value is None):
        return constant(None, to)
    if have.item is not None and to.item is not None:
        return _list(compiler, value, to, node)
    if have.numeric and to.numeric:
        whole = Call("trunc", [value.node]) if have.real and to.whole else value.node
        return Expression(Cast(whole, to.duck, attempt=not to.real), to)
    if (have == BOOL and to.numeric) or (have.name in TIMES and to.name in TIMES):
        return Expression(Cast(value.node, to.duck), to)
    if to == BOOL and have.numeric:
        return Expression(Operation("<>", [value.node, Word("0")]), to)
    if {have.name, to.name} == {"String", "Utf8"}:
        return _string(compiler, value, to, node)
    if have.whole and to.name in ("String", "Utf8"):
        found = Expression(Cast(value.node, UTF8.duck), UTF8)
        return found if to == UTF8 else compiler.converted(found, STRING, node)
    if have.name in ("String", "Utf8") and to.numeric:
        return Expression(_number(value.node if have == UTF8 else _decoded(value.node), to), to)
    if have == STRING and value.known and to.name in TIMES:
        try:
            return compiler.time(value, to, node)
        except SqlError:
            return constant(None, to)
    other = _decimal(value, have, to) or _text(compiler, value, have, to, node) or _from_text(value, have, to)
    if other is None:
        raise compiler.outside(node, f"CAST of {have} to {to}")
    return other


def _decimal(value: Expression, have: Type, to: Type) -> Expression | None:
    """A Decimal as a number, or a number or a Decimal as a Decimal; None where neither is one."""
    if to.decimal and (have.numeric or have.decimal):
        return Expression(Cast(value.node, to.duck, attempt=True), to)
    if have.decimal and to.numeric:
        return Expression(Cast(Call("trunc", [value.node]) if to.whole else value.node, to.duck, attempt=True), to)
    return None


def _text(compiler: Conversion, value: Expression, have: Type, to: Type, node: Any) -> Expression | None:
    """A moment, a Uuid, a Decimal, a truth value or JSON as text in YQL's form; None for other types."""
    if to.name not in ("String", "Utf8"):
        return None
    text: Node = Cast(value.node, UTF8.duck)
    if have.name in ("Datetime", "Timestamp"):
        seconds = Phrase(("strftime(", value.node, ", '%Y-%m-%dT%H:%M:%S')"))
        part = Phrase(("CASE WHEN microsecond(", value.node, ") % 1000000 = 0 THEN '' ELSE "))
        text = Phrase(("(", seconds, " || ", part, "strftime(", value.node, ", '.%f') END || 'Z')"))
    elif have.decimal:
        text = Phrase(("regexp_replace(", text, r", '\.?0+$', '')")) if have.digits[1] else text
    elif have.name not in ("Date", "Uuid", "Bool", "Json"):
        return None
    found = Expression(text, UTF8)
    return found if to == UTF8 else compiler.converted(found, STRING, node)


def _from_text(value: Expression, have: Type, to: Type) -> Expression | None:
    """A text as a Uuid or a Decimal; None for other types."""
    if have.name not in ("String", "Utf8") or not (to.name == "Uuid" or to.decimal):
        return None
    text = value.node if have == UTF8 else _decoded(value.node)
    return Expression(Cast(text, to.duck, attempt=True), to)


def _decoded(node: Node) -> Node:
    """Bytes as text, NULL where they are not valid UTF-8."""
    return Call("TRY", [Call("decode", [node])])


def _number(text: Node, to: Type) -> Node:
    """A text as a number, NULL where it is none; DuckDB would take blanks and underscores in it."""
    form = Parameter(_WHOLE if to.whole else _REAL, UTF8.duck)
    matches = Call("regexp_full_match", [text, form])
    return Phrase(("(CASE WHEN ", matches, " THEN ", Cast(text, to.duck, attempt=True), " ELSE ", NOTHING, " END)"))


def _string(compiler: Conversion, value: Expression, to: Type, node: Any) -> Expression:
    if to == STRING:
        return compiler.converted(value, to, node)
    if not value.known:
        return Expression(_decoded(value.node), to)
    try:
        return constant(value.value.decode("utf-8"), to)
    except UnicodeDecodeError:
        return constant(None, to)


def _list(compiler: Conversion, value: Expression, to: Type, node: Any) -> Expression:
    """A list of numbers of one type as a list of another."""
    have, item = value.kind.item, to.item
    assert have is not None and item is not None
    if value.known and have.numeric and item.numeric and (item.real or have.whole):
        numbers = np.asarray(value.value)
        if item.real or numbers.size == 0 or _within(numbers, item):
            with np.errstate(over="ignore"):
                return constant(numbers.astype(literals.NUMPY[item.name]), to)
    argument = Variable("v")
    body = cast(compiler, Expression(argument, have), item, node).node
    return Expression(Call("list_transform", [value.node, Closure(argument, body)]), to)


def _within(numbers: np.ndarray, kind: Type) -> bool:
    return bool(BITS[kind.name][0] <= numbers.min() and numbers.max() <= BITS[kind.name][1])
